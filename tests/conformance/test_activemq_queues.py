"""Queues of a real ActiveMQ as event sources (Amazon MQ).

https://docs.aws.amazon.com/lambda/latest/dg/with-mq.html
"""

from __future__ import annotations

import base64
from collections.abc import Generator
from typing import Any

import attrs
import pytest

from tests.conformance.facts import fact
from tests.conformance.mq import ECHO, ERRORS, FAILS_ON_BAD, FAILS_ONCE, FILTERING, MQ, PARAMETERS, Reading, filtered
from tests.conformance.test_broker_mappings import SOURCES
from tests.local.conftest import Aws, Virtual, start, stop, unique, until
from tests.stomp import DEAD, StompBroker


@pytest.fixture(scope="module")
def broker() -> Generator[StompBroker]:
    found = StompBroker()
    yield found
    found.close()


@pytest.fixture(scope="module")
def running(broker: StompBroker, tmp_path_factory: pytest.TempPathFactory) -> Generator[Virtual]:
    options = ("--clock", "virtual", "--broker", f"mq={broker.address}")
    process, aws = start(tmp_path_factory.mktemp("reading"), *options)
    yield Virtual(aws)
    stop(process)


@pytest.fixture
def reading(running: Virtual) -> Generator[Reading]:
    found = Reading(running)
    yield found
    found.delete()


def texts(event: Any) -> list[str]:
    return [base64.b64decode(each["data"]).decode() for each in event["messages"]]


@fact("EventSourceArn", "a batch of an ActiveMQ queue's messages invokes the function", source=MQ)
def test_the_event_holds_the_messages_of_a_queue(reading: Reading, broker: StompBroker) -> None:
    queue = unique("orders")
    broker.send(queue, '{"id": 1}', persistent="true", kind="a:b", correlation_id="c", type="order", expires="60000")
    name, _ = reading.map(ECHO, queue)
    [event] = reading.events(name)
    [message] = event.pop("messages")
    times = [message.pop(name) for name in ("timestamp", "brokerInTime", "brokerOutTime")]

    assert event == {"eventSource": "aws:mq", "eventSourceArn": SOURCES["mq"]["EventSourceArn"]}
    assert message.pop("messageID").startswith("ID:")
    assert message == {
        "messageType": "jms/text-message",
        "deliveryMode": 2,
        "replyTo": None,
        "type": "order",
        "expiration": 60_000,
        "priority": 4,
        "correlationId": "c",
        "redelivered": False,
        "destination": {"physicalName": queue},
        "data": base64.b64encode(b'{"id": 1}').decode(),
        "properties": {"kind": "a:b"},
    }
    assert times == sorted(times)


@fact(
    "messageType",
    "text and bytes are told apart; other messages are not read",
    here="partly",
    gap="over STOMP a message with a length is of bytes and any other of text, whatever it was in JMS",
    source=MQ,
)
def test_text_and_bytes_are_told_apart(reading: Reading, broker: StompBroker) -> None:
    queue = unique("orders")
    broker.send(queue, "text", b"\x00\xff")
    name, _ = reading.map(ECHO, queue)
    [event] = reading.events(name)

    found = [(each["messageType"], base64.b64decode(each["data"])) for each in event["messages"]]
    assert found == [("jms/text-message", b"text"), ("jms/bytes-message", b"\x00\xff")]


@fact("BatchSize, MaximumBatchingWindowInSeconds", "500 ms when not given; full batches go at once", source=PARAMETERS)
def test_messages_are_handed_over_in_batches(reading: Reading, broker: StompBroker) -> None:
    queue = unique("orders")
    broker.send(queue, "a", "b", "c")
    name, _ = reading.map(ECHO, queue, BatchSize=2)

    assert sorted(map(texts, reading.events(name))) == [["a", "b"], ["c"]]
    assert broker.bodies(queue) == []


@fact("FilterCriteria", "filters look into the data; what is filtered out is acknowledged", source=FILTERING)
def test_filters_look_into_the_data(reading: Reading, broker: StompBroker) -> None:
    queue = unique("orders")
    broker.send(queue, '{"kind": "a"}', '{"kind": "b"}', "text")
    name, _ = reading.map(ECHO, queue, **filtered({"data": {"kind": ["a"]}}))

    assert [text for event in reading.events(name) for text in texts(event)] == ['{"kind": "a"}']
    assert broker.bodies(queue) == []


@fact("FilterCriteria", "only the data is filtered on", source=FILTERING)
def test_filters_do_not_look_at_anything_else(reading: Reading, broker: StompBroker) -> None:
    queue = unique("orders")
    broker.send(queue, "a")
    name, _ = reading.map(ECHO, queue, **filtered({"messageType": ["jms/text-message"]}))

    assert reading.events(name) == []
    assert broker.bodies(queue) == []


@fact("Redelivery", "a failing batch is delivered again as a whole, marked as redelivered", source=MQ)
def test_a_failing_batch_is_delivered_again(reading: Reading, broker: StompBroker) -> None:
    queue = unique("orders")
    broker.send(queue, "a", "b")
    name, _ = reading.map(FAILS_ONCE, queue)
    reading.virtual.advance(2)
    events = reading.events(name)

    assert [texts(event) for event in events] == [["a", "b"], ["a", "b"]]
    assert [[each["redelivered"] for each in event["messages"]] for event in events] == [[False] * 2, [True] * 2]
    assert broker.bodies(queue) == []


@fact("Redelivery", "after six redeliveries a second apart the broker's dead-letter queue has it", source=ERRORS)
def test_what_fails_on_and_on_ends_in_the_dead_letter_queue(reading: Reading, broker: StompBroker) -> None:
    queue = unique("orders")
    broker.send(queue, "bad")
    name, _ = reading.map(FAILS_ON_BAD, queue)
    reading.virtual.advance(4)
    held = broker.bodies(queue)
    reading.virtual.advance(10)

    assert held == [b"bad"]
    assert len(reading.events(name)) == 7
    assert (broker.bodies(queue), broker.bodies(DEAD)[-1:]) == ([], [b"bad"])


@fact("Concurrency", "five batches of an ActiveMQ queue at a time", source=MQ)
def test_a_failing_batch_does_not_hold_up_others(reading: Reading, broker: StompBroker) -> None:
    queue = unique("orders")
    broker.send(queue, "bad", *"abcdef")
    name, _ = reading.map(FAILS_ON_BAD, queue, BatchSize=1)
    seen = [text for event in reading.events(name) for text in texts(event)]

    assert {*seen} == {"bad", *"abcdef"}
    assert broker.bodies(queue) == [b"bad"]


@fact("Enabled", "a mapping that is switched off takes nothing and gives back what it had", source=PARAMETERS)
def test_a_mapping_that_is_switched_off_gives_back_what_it_had(reading: Reading, broker: StompBroker) -> None:
    queue = unique("orders")
    broker.send(queue, "bad")
    name, uuid = reading.map(FAILS_ON_BAD, queue)
    reading.virtual.aws.client("lambda").update_event_source_mapping(UUID=uuid, Enabled=False)
    reading.virtual.advance(10)
    seen = len(reading.events(name))
    reading.virtual.advance(10)

    assert len(reading.events(name)) == seen
    assert broker.bodies(queue) == [b"bad"]


@fact("LastProcessingResult", "says why a broker cannot be read, and goes on when it is back", source=ERRORS)
def test_a_connection_that_is_lost_is_made_again(reading: Reading, broker: StompBroker) -> None:
    queue = unique("orders")
    name, uuid = reading.map(ECHO, queue)
    broker.cut()
    reading.virtual.advance(0.5)
    lost = reading.result(uuid)
    broker.send(queue, "a")
    reading.virtual.advance(3)
    reading.virtual.advance(1)

    assert lost.startswith("PROBLEM: cannot read from stomp://127.0.0.1")
    assert "hush" not in lost
    assert [texts(event) for event in reading.events(name)] == [["a"]]


@attrs.frozen
class _Real:
    aws: Aws
    broker: StompBroker


@pytest.fixture
def real(broker: StompBroker, tmp_path_factory: pytest.TempPathFactory) -> Generator[_Real]:
    process, aws = start(tmp_path_factory.mktemp("real"), "--broker", f"mq={broker.address}")
    yield _Real(aws, broker)
    stop(process)


def test_in_real_time_messages_are_taken_as_they_come(real: _Real) -> None:
    queue, here = unique("orders"), Reading(Virtual(real.aws))
    name = here.virtual.function(ECHO)
    given = {**SOURCES["mq"], "Queues": [queue]}
    real.aws.client("lambda").create_event_source_mapping(FunctionName=name, **given)
    real.broker.send(queue, "a")

    until(lambda: [texts(event) for event in here.events(name)] == [["a"]])
    until(lambda: real.broker.bodies(queue) == [])
