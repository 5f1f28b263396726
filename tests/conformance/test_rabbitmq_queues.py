"""Queues of a real RabbitMQ as event sources (Amazon MQ).

https://docs.aws.amazon.com/lambda/latest/dg/with-mq.html
"""

from __future__ import annotations

import base64
import datetime
from collections.abc import Generator
from typing import Any

import pytest

from tests.conformance.facts import fact
from tests.conformance.mq import ECHO, ERRORS, FAILS_ON_BAD, FAILS_ONCE, FILTERING, MQ, PARAMETERS, Reading, filtered
from tests.conformance.test_broker_mappings import SOURCES
from tests.local.conftest import Virtual, own, start, stop, unique, until
from tests.rabbitmq import Rabbit, running

OTHER = f"{SOURCES['mq']['EventSourceArn'][:-1]}9"
SINCE = datetime.datetime(1970, 1, 1, 0, 33, 41, tzinfo=datetime.UTC)


@pytest.fixture(scope="module")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Generator[Rabbit]:
    with running(tmp_path_factory.mktemp("rabbitmq")) as found:
        yield found


@pytest.fixture(scope="module")
def local(rabbit: Rabbit, tmp_path_factory: pytest.TempPathFactory) -> Generator[Virtual]:
    brokers = ("--broker", f"mq={rabbit.address}", "--broker", f"{OTHER}={rabbit.login}")
    process, aws = start(tmp_path_factory.mktemp("reading"), "--clock", "virtual", *brokers)
    yield Virtual(aws)
    stop(process)


@pytest.fixture
def reading(local: Virtual) -> Generator[Reading]:
    found = Reading(local)
    yield found
    found.delete()


def messages(event: Any) -> list[Any]:
    [held] = event["rmqMessagesByQueue"].values()
    return held


def texts(event: Any) -> list[str]:
    return [base64.b64decode(each["data"]).decode() for each in messages(event)]


@fact("EventSourceArn", "a batch of a RabbitMQ queue's messages invokes the function, by queue and host", source=MQ)
def test_the_event_holds_the_messages_by_queue_and_virtual_host(reading: Reading, rabbit: Rabbit) -> None:
    queue = rabbit.declare(unique("orders"))
    headers = {"header1": "value1", "numberInHeader": 10}
    given = {"content_type": "text/plain", "priority": 34, "expiration": "60000", "message_id": "m", "timestamp": SINCE}
    rabbit.send(queue, '{"id": 1}', headers=headers, delivery_mode=1, user_id="guest", **given)
    name, _ = reading.map(ECHO, queue)
    [event] = reading.events(name)

    assert event == {
        "eventSource": "aws:rmq",
        "eventSourceArn": SOURCES["mq"]["EventSourceArn"],
        "rmqMessagesByQueue": {
            f"{queue}::{rabbit.virtual_host}": [
                {
                    "basicProperties": {
                        "contentType": "text/plain",
                        "contentEncoding": None,
                        "headers": {"header1": {"bytes": list(b"value1")}, "numberInHeader": 10},
                        "deliveryMode": 1,
                        "priority": 34,
                        "correlationId": None,
                        "replyTo": None,
                        "expiration": "60000",
                        "messageId": "m",
                        "timestamp": "Jan 1, 1970, 12:33:41 AM",
                        "type": None,
                        "userId": "guest",
                        "appId": None,
                        "clusterId": None,
                        "bodySize": 9,
                    },
                    "redelivered": False,
                    "data": base64.b64encode(b'{"id": 1}').decode(),
                }
            ]
        },
    }


@fact("VIRTUAL_HOST", "names the virtual host of the queue", source=PARAMETERS)
def test_the_virtual_host_of_the_mapping_is_entered(reading: Reading, rabbit: Rabbit) -> None:
    queue = rabbit.declare(unique("orders"))
    rabbit.send(queue, "a")
    login, _ = SOURCES["mq"]["SourceAccessConfigurations"]
    access = [login, {"Type": "VIRTUAL_HOST", "URI": rabbit.virtual_host}]
    name, _ = reading.map(ECHO, queue, EventSourceArn=OTHER, SourceAccessConfigurations=access)
    [event] = reading.events(name)

    assert list(event["rmqMessagesByQueue"]) == [f"{queue}::{rabbit.virtual_host}"]


@fact("BatchSize, MaximumBatchingWindowInSeconds", "500 ms when not given; full batches go at once", source=PARAMETERS)
def test_messages_are_handed_over_in_batches(reading: Reading, rabbit: Rabbit) -> None:
    queue = rabbit.declare(unique("orders"))
    rabbit.send(queue, "a", "b", "c")
    name, _ = reading.map(ECHO, queue, BatchSize=2)
    reading.virtual.advance(1)

    assert [texts(event) for event in reading.events(name)] == [["a", "b"], ["c"]]


@fact("FilterCriteria", "filters look into the data; what is filtered out is acknowledged", source=FILTERING)
def test_filters_look_into_the_data(reading: Reading, rabbit: Rabbit) -> None:
    queue = rabbit.declare(unique("orders"))
    rabbit.send(queue, '{"kind": "a"}', '{"kind": "b"}', "Result: 1")
    name, _ = reading.map(ECHO, queue, **filtered({"data": [{"prefix": "Result: "}]}))
    reading.virtual.aws.client("lambda").delete_event_source_mapping(UUID=reading.made.pop())
    reading.virtual.advance(1)

    assert [texts(event) for event in reading.events(name)] == [["Result: 1"]]
    assert rabbit.ready(queue) == []


@pytest.mark.parametrize("kind", ["classic", "quorum"])
@fact("Redelivery", "a failing batch goes back as a whole, and comes again as redelivered", source=MQ)
def test_a_failing_batch_goes_back_to_the_queue(reading: Reading, rabbit: Rabbit, kind: str) -> None:
    queue = rabbit.declare(unique("orders"), x_queue_type=kind)
    rabbit.send(queue, "a", "b")
    name, _ = reading.map(FAILS_ONCE, queue)
    reading.virtual.advance(3)
    events = reading.events(name)

    assert [texts(event) for event in events] == [["a", "b"], ["a", "b"]]
    assert [[each["redelivered"] for each in messages(event)] for event in events] == [[False] * 2, [True] * 2]


@fact("Redelivery", "a failing batch comes again until it succeeds or the broker dead-letters it", source=ERRORS)
def test_what_fails_on_and_on_ends_where_the_queue_says(reading: Reading, rabbit: Rabbit) -> None:
    dead = rabbit.declare(unique("dead"))
    ways = {"x_delivery_limit": 2, "x_dead_letter_exchange": "", "x_dead_letter_routing_key": dead}
    queue = rabbit.declare(unique("orders"), x_queue_type="quorum", **ways)
    rabbit.send(queue, "bad", delivery_mode=2)
    name, _ = reading.map(FAILS_ON_BAD, queue)
    reading.virtual.advance(60)

    assert len(reading.events(name)) == 3
    until(lambda: rabbit.ready(dead) == [b"bad"])


@fact("Concurrency", "one batch of a RabbitMQ queue at a time", source=MQ)
def test_a_batch_waits_for_the_one_before(reading: Reading, rabbit: Rabbit) -> None:
    queue = rabbit.declare(unique("orders"))
    rabbit.send(queue, "bad", "a")
    name, _ = reading.map(FAILS_ON_BAD, queue, wait=0.9, BatchSize=1)
    early = [texts(event) for event in reading.events(name)]
    reading.virtual.advance(1)

    assert early == [["bad"]]
    assert ["a"] in [texts(event) for event in reading.events(name)]


@fact("Enabled", "a mapping that is switched off takes nothing and gives back what it had", source=PARAMETERS)
def test_a_mapping_that_is_switched_off_gives_back_what_it_had(reading: Reading, rabbit: Rabbit) -> None:
    queue = rabbit.declare(unique("orders"))
    rabbit.send(queue, "bad")
    name, uuid = reading.map(FAILS_ON_BAD, queue)
    reading.virtual.aws.client("lambda").update_event_source_mapping(UUID=uuid, Enabled=False)
    reading.virtual.advance(10)
    rabbit.send(queue, "b")

    assert {text for event in reading.events(name) for text in texts(event)} == {"bad"}
    assert rabbit.ready(queue) == [b"bad", b"b"]


@fact("LastProcessingResult", "says what is wrong with a queue, and goes on when it is there", source=ERRORS)
def test_a_queue_that_is_deleted_and_made_again_is_read_on(reading: Reading, rabbit: Rabbit) -> None:
    queue = rabbit.declare(unique("orders"))
    name, uuid = reading.map(ECHO, queue)
    rabbit.delete(queue)
    reading.virtual.advance(0.5)
    deleted = reading.result(uuid)
    reading.virtual.advance(1)
    missing = reading.result(uuid)
    rabbit.send(rabbit.declare(queue), "a")
    reading.virtual.advance(5)
    reading.virtual.advance(1)

    assert deleted.endswith(f"the queue {queue} was deleted")
    assert missing.endswith(f"there is no queue {queue} in virtual host {rabbit.virtual_host}")
    assert "guest:guest" not in missing
    assert [texts(event) for event in reading.events(name)] == [["a"]]


@fact(
    "SourceAccessConfigurations",
    "BASIC_AUTH logs in with a secret",
    here="not",
    gap="the address of the option says how to log in, which is said",
    source=PARAMETERS,
)
def test_a_secret_that_is_not_used_is_said(reading: Reading, rabbit: Rabbit) -> None:
    _, uuid = reading.map(ECHO, rabbit.declare(unique("orders")))
    said = own(reading.virtual.aws, "GET", "fidelity")[1]["resources"][uuid]

    assert [each["says"] for each in said] == ["not used: the broker's address says how to log in"]


def test_in_real_time_messages_are_taken_as_they_come(rabbit: Rabbit, tmp_path_factory: pytest.TempPathFactory) -> None:
    process, aws = start(tmp_path_factory.mktemp("real"), "--broker", f"mq={rabbit.address}")
    try:
        queue, here = rabbit.declare(unique("orders")), Reading(Virtual(aws))
        name = here.virtual.function(ECHO)
        login, _ = SOURCES["mq"]["SourceAccessConfigurations"]
        given = {**SOURCES["mq"], "SourceAccessConfigurations": [login], "Queues": [queue]}
        aws.client("lambda").create_event_source_mapping(FunctionName=name, **given)
        rabbit.send(queue, "a")

        until(lambda: [texts(event) for event in here.events(name)] == [["a"]])
    finally:
        stop(process)
