"""Facts about messages of Amazon MQ as they stand in events, whatever a broker says of them."""

from __future__ import annotations

import base64
import datetime
import decimal
from typing import Any

import pytest
from pamqp.commands import Basic

from lambdaform.local.pollers import activemq, filters, rabbitmq
from lambdaform.local.pollers.mq_messages import read_ahead, virtual_host_of
from lambdaform.local.pollers.stomp import Frame
from lambdaform.local.ports import Json
from lambdaform.testing import broker_events
from lambdaform.testing.origin import Origin

ORIGIN = Origin("us-east-1", "123456789012", "orders")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("é", {"bytes": [195, 169]}),
        (b"\xff", {"bytes": [255]}),
        (10, 10),
        (True, True),
        (1.5, 1.5),
        (decimal.Decimal("1.5"), 1.5),
        (None, None),
        ([1, "a"], [1, {"bytes": [97]}]),
        ({"inner": "a"}, {"inner": {"bytes": [97]}}),
        (datetime.datetime(2026, 12, 31, 12, 0, tzinfo=datetime.UTC), "Dec 31, 2026, 12:00:00 PM"),
    ],
)
def test_a_header_of_rabbitmq_has_its_text_as_bytes(value: Any, shown: Json) -> None:
    properties = Basic.Properties(headers={"header": value})

    event = rabbitmq.event_of(properties, b"", is_redelivered=False)

    assert event["basicProperties"]["headers"] == {"header": shown}


@pytest.mark.parametrize(
    ("moment", "shown"),
    [
        (datetime.datetime(1970, 1, 1, 0, 33, 41, tzinfo=datetime.UTC), "Jan 1, 1970, 12:33:41 AM"),
        (datetime.datetime(2026, 11, 21, 23, 5, 9, tzinfo=datetime.UTC), "Nov 21, 2026, 11:05:09 PM"),
        (
            datetime.datetime(2026, 11, 22, 1, 5, 9, tzinfo=datetime.timezone(datetime.timedelta(hours=2))),
            "Nov 21, 2026, 11:05:09 PM",
        ),
    ],
)
def test_a_time_of_rabbitmq_is_in_words(moment: datetime.datetime, shown: str) -> None:
    event = rabbitmq.event_of(Basic.Properties(timestamp=moment), b"", is_redelivered=False)

    assert event["basicProperties"]["timestamp"] == shown


def test_a_message_of_rabbitmq_has_the_keys_of_the_sample_event() -> None:
    [[sample]] = broker_events.rabbitmq(ORIGIN)["rmqMessagesByQueue"].values()

    event = rabbitmq.event_of(Basic.Properties(), b"abc", is_redelivered=True)

    assert {*event} == {*sample}
    assert {*event["basicProperties"]} == {*sample["basicProperties"]}
    assert (event["redelivered"], event["basicProperties"]["bodySize"]) == (True, 3)


def test_a_message_of_activemq_has_the_keys_of_the_sample_event() -> None:
    [sample] = broker_events.mq(ORIGIN)["messages"]

    event = activemq.event_of(Frame("MESSAGE", {"destination": "/queue/orders"}, b"abc"), now=1_795_000_000.5)

    assert {*event} == {*sample}
    assert event["destination"] == sample["destination"]
    assert (event["timestamp"], event["brokerOutTime"]) == (1_795_000_000_500, 1_795_000_000_500)


@pytest.mark.parametrize(
    ("pattern", "data", "is_kept"),
    [
        ({"data": {"timeout": [{"numeric": [">", 0]}]}}, '{"timeout": 1}', True),
        ({"data": {"timeout": [{"numeric": [">", 0]}]}}, '{"timeout": 0}', False),
        ({"data": [{"prefix": "Result: "}]}, "Result: 1", True),
        ({"data": [{"prefix": "Result: "}]}, '{"a": 1}', False),
        ({"data": {"timeout": [1]}}, "text", False),
    ],
)
def test_filters_look_at_json_or_at_text(pattern: Json, data: str, is_kept: bool) -> None:
    record = {"data": base64.b64encode(data.encode()).decode()}

    assert filters.keeps_mq([pattern], record) == is_kept


def test_without_filters_everything_is_kept() -> None:
    assert filters.keeps_mq([], {"data": base64.b64encode(b"\xff").decode()})


def test_a_virtual_host_is_named_among_the_ways_in() -> None:
    login = {"Type": "BASIC_AUTH", "URI": "arn:aws:secretsmanager:us-east-1:123456789012:secret:a-AbCdEf"}

    assert virtual_host_of({"SourceAccessConfigurations": [login, {"Type": "VIRTUAL_HOST", "URI": "/a"}]}) == "/a"
    assert virtual_host_of({"SourceAccessConfigurations": [login]}) is None


def test_every_batch_at_work_and_one_more_are_read_ahead() -> None:
    assert read_ahead(1_000, 5) == 6_000
    assert read_ahead(1, 1) == 100
