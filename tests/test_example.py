"""The running example, `stacks/app.py`, through the same class its users deploy."""

from lambdaform.testing import stack_fixture
from lambdaform.testing.session import LocalAws
from stacks.app import Load, Orders

aws = stack_fixture(Orders)
load = stack_fixture(Load)


def test_a_poison_message_ends_in_the_dead_letter_queue_after_its_receives(aws: LocalAws) -> None:
    aws.send(Orders.inbox, {"id": None})
    aws.clock.advance(minutes=20)

    assert [message.json()["id"] for message in aws.messages(Orders.dead)] == [None]
    assert len(aws.invocations(Orders.worker)) == 5


def test_a_test_begins_with_nothing_of_the_one_before(aws: LocalAws) -> None:
    assert aws.messages(Orders.dead) == []
    assert aws.invocations(Orders.worker) == []


def test_an_order_is_priced_and_stored(aws: LocalAws) -> None:
    aws.send(Orders.inbox, {"id": "1", "article": "tea", "amount": 2})

    assert [(item["id"], float(item["total"])) for item in aws.items(Orders.orders)] == [("1", 9.0)]


def test_a_shipped_order_reaches_the_notifier(aws: LocalAws) -> None:
    aws.send(Orders.inbox, {"id": "1", "article": "tea", "amount": 2})

    assert "order 1 is on its way" in aws.invocations(Orders.notifier)[0].logs


def test_an_order_over_http_is_accepted_and_one_without_an_article_is_not(aws: LocalAws) -> None:
    good = aws.http(Orders.api, "POST", body={"article": "tea", "amount": 1})
    bad = aws.http(Orders.api, "POST", body={"amount": 1})

    assert (good.status, bad.status) == (202, 400)
    assert len(aws.invocations(Orders.api)) == 2


def test_an_event_that_fails_is_retried_twice_and_kept(aws: LocalAws) -> None:
    aws.put_event("shop", "order cancelled", {"reason": "no id"})
    aws.clock.advance(minutes=10)

    assert [each.attempt for each in aws.invocations(Orders.auditor)] == [1, 2, 3]
    [kept] = aws.messages(Orders.dead)
    assert kept.json()["requestContext"]["condition"] == "RetriesExhausted"


def test_the_report_runs_every_night_of_a_week(aws: LocalAws) -> None:
    aws.clock.advance(days=7)

    assert len(aws.invocations(Orders.report)) == 7


def test_a_handler_takes_the_sample_event_of_its_source(aws: LocalAws) -> None:
    result = aws.invoke(Orders.worker, aws.event(Orders.inbox, body={"id": "7", "article": "tea", "amount": 1}))

    assert result.json() == {"batchItemFailures": []}
    assert [item["id"] for item in aws.items(Orders.orders)] == ["7"]


def test_the_variants_queue_is_the_one_its_worker_reads(load: LocalAws) -> None:
    load.send(Load.inbox, {"id": "1", "article": "tea", "amount": 2})

    assert len(load.invocations(Load.worker)) == 1
    assert load.record(Load.inbox).props["visibility_timeout"] == 900
