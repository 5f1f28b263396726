"""The running example, `stacks/app.py`, through the same class its users deploy."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def app() -> ModuleType:
    path = Path(__file__).parent.parent / "stacks" / "app.py"
    spec = importlib.util.spec_from_file_location("example_app", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_a_poison_message_ends_in_the_dead_letter_queue(app: ModuleType) -> None:
    with app.Orders.local(clock="virtual") as aws:
        aws.send(app.Orders.inbox, {"id": None})
        aws.clock.advance(minutes=20)

        assert [message.json()["id"] for message in aws.messages(app.Orders.dead)] == [None]


def test_a_test_begins_with_nothing_of_the_one_before(app: ModuleType) -> None:
    with app.Orders.local(clock="virtual") as aws:
        assert aws.messages(app.Orders.dead) == []
        assert aws.invocations(app.Orders.worker) == []


def test_an_order_is_priced_and_stored(app: ModuleType) -> None:
    with app.Orders.local(clock="virtual") as aws:
        aws.send(app.Orders.inbox, {"id": "1", "article": "tea", "amount": 2})
        aws.clock.advance(seconds=1)

        assert [(item["id"], float(item["total"])) for item in aws.items(app.Orders.orders)] == [("1", 9.0)]


def test_a_shipped_order_reaches_the_notifier(app: ModuleType) -> None:
    with app.Orders.local(clock="virtual") as aws:
        aws.send(app.Orders.inbox, {"id": "1", "article": "tea", "amount": 2})
        aws.clock.advance(seconds=1)

        assert "order 1 is on its way" in aws.invocations(app.Orders.notifier)[0]["logs"]


def test_an_order_over_http_is_accepted_and_one_without_an_article_is_not(app: ModuleType) -> None:
    with app.Orders.local(clock="virtual") as aws:
        good = aws.http(app.Orders.api, "POST", body={"article": "tea", "amount": 1})
        bad = aws.http(app.Orders.api, "POST", body={"amount": 1})

        assert (good.status, bad.status) == (202, 400)
        assert len(aws.invocations(app.Orders.api)) == 2


def test_an_event_that_fails_is_retried_twice_and_kept(app: ModuleType) -> None:
    with app.Orders.local(clock="virtual") as aws:
        aws.put_event("shop", "order cancelled", {"reason": "no id"})
        aws.clock.advance(minutes=10)

        assert len(aws.invocations(app.Orders.auditor)) == 3
        [kept] = aws.messages(app.Orders.dead)
        assert kept.json()["requestContext"]["condition"] == "RetriesExhausted"


def test_the_report_runs_every_night(app: ModuleType) -> None:
    with app.Orders.local(clock="virtual") as aws:
        aws.clock.advance(days=7)

        assert len(aws.invocations(app.Orders.report)) == 7


def test_the_variants_queue_is_the_one_its_worker_reads(app: ModuleType) -> None:
    with app.Load.local(clock="virtual") as aws:
        aws.send(app.Load.inbox, {"id": "1", "article": "tea", "amount": 2})
        aws.clock.advance(seconds=1)

        assert len(aws.invocations(app.Load.worker)) == 1
        assert aws.record(app.Load.inbox).props["visibility_timeout"] == 900
