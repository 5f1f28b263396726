"""Facts about addresses of real brokers: which are taken, which source each is for, and that passwords stay inside."""

from __future__ import annotations

import os
import subprocess
from typing import Any

import pytest

from lambdaform.local.brokers import SCHEMES, VARIABLE, Address, BadAddress, Brokers, as_variable, split_options
from lambdaform.local.pollers import readers
from tests.local.conftest import command
from tests.patience import PATIENCE

CLUSTER = "arn:aws:kafka:eu-central-1:123456789012:cluster/orders/3b1a6a5e-0b6c-4f0b-9a54-5c3ff8c0c5a1-2"
OTHER = "arn:aws:kafka:eu-central-1:123456789012:cluster/other/3b1a6a5e-0b6c-4f0b-9a54-5c3ff8c0c5a1-3"
SECRET = "hush"


def own_kafka(*servers: str) -> dict[str, Any]:
    return {"SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": list(servers)}}}


def test_an_address_has_hosts_a_login_and_the_usual_port() -> None:
    brokers = Brokers.of({"kafka": "kafka+ssl://me:hu%20sh@one,two:19092"})

    assert brokers.by_source["kafka"] == Address("kafka+ssl", ("one:9092", "two:19092"), "me", "hu sh")


def test_an_address_has_a_virtual_host_or_options() -> None:
    brokers = Brokers.of({"mq": "amqp://me@one/%2Fshop", "documentdb": "mongodb://one,two/admin?tls=true"})

    assert brokers.by_source["mq"] == Address("amqp", ("one:5672",), "me", path="/shop")
    assert brokers.by_source["documentdb"] == Address(
        "mongodb", ("one:27017", "two:27017"), path="admin", query={"tls": "true"}
    )


def test_the_nearest_address_counts() -> None:
    brokers = Brokers.of({CLUSTER: "kafka://a:1", "msk": "kafka://b:1", "broker.example:9092": "kafka://c:1"})

    assert str(brokers.address(CLUSTER, {})) == "kafka://a:1"
    assert str(brokers.address(OTHER, {})) == "kafka://b:1"
    assert str(brokers.address("", own_kafka("other.example:9092", "broker.example:9092"))) == "kafka://c:1"
    assert brokers.address("", own_kafka("other.example:9092")) is None


@pytest.mark.parametrize(
    ("servers", "is_read"),
    [
        (["localhost:9092"], True),
        (["127.0.0.1:9092", "127.0.0.2:9093"], True),
        (["localhost:9092", "broker.example:9092"], False),
        (["10.0.0.1:9092"], False),
        (["localhost.example:9092"], False),
    ],
)
def test_only_a_kafka_wholly_on_loopback_is_its_own_address(servers: list[str], is_read: bool) -> None:
    assert (Brokers().address("", own_kafka(*servers)) is not None) == is_read


def test_a_cluster_of_msk_has_no_address_of_its_own() -> None:
    assert Brokers().address(CLUSTER, {}) is None


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("kafka", "SOURCE=URL"),
        ("kafak=kafka://localhost", "did you mean kafka?"),
        (f"arn:aws:sqs:us-east-1:123456789012:jobs=kafka://me:{SECRET}@localhost", "no ARN of a broker"),
        (f"kafka=http://me:{SECRET}@localhost", "http:// is not how self-managed Apache Kafka is read"),
        (f"kafka=me:{SECRET}@localhost:9092", "takes kafka://, kafka+ssl://host:port"),
        (f"mq=kafka://me:{SECRET}@host", "takes amqp://, amqps://, stomp://, stomp+ssl://host:port"),
        (f"documentdb=mongodb+srv://me:{SECRET}@host", "takes mongodb://host:port"),
        (f"kafka=kafka://me:{SECRET}@", "host:port"),
        (f"kafka=kafka://me:{SECRET}@host:99999", "host:port"),
        (f"kafka=kafka://me:{SECRET}@[::1", "is no URL"),
        (f"kafka=kafka://me:{SECRET} x@localhost", "a space"),
    ],
)
def test_what_is_no_address_is_said_without_its_password(option: str, says: str) -> None:
    with pytest.raises(BadAddress) as caught:
        split_options([option])

    assert says in caught.value.message
    assert SECRET not in caught.value.message


def test_a_source_has_one_address() -> None:
    with pytest.raises(BadAddress, match="given twice"):
        split_options(["kafka=kafka://a", "kafka=kafka://b"])


def test_no_text_made_from_an_address_holds_its_password() -> None:
    brokers = Brokers.of({"kafka": f"kafka://me:{SECRET}@localhost?token={SECRET}"})

    assert SECRET not in f"{brokers} {brokers!r} {brokers.by_source['kafka']}"


def test_every_scheme_has_a_reader() -> None:
    assert {*readers.READERS} == {*SCHEMES}


def test_addresses_go_by_the_environment_as_they_were_given() -> None:
    given = {"kafka": "kafka://me:hush@localhost:9092", CLUSTER: "kafka://localhost:9093"}

    assert split_options(as_variable(given).split()) == given


@pytest.mark.parametrize("by_environment", [False, True])
def test_a_wrong_address_is_wrong_usage(by_environment: bool) -> None:
    wrong = f"kafka=amqp://me:{SECRET}@localhost"
    options = [] if by_environment else ["--broker", wrong]
    environ = {**os.environ, **({VARIABLE: wrong} if by_environment else {})}

    done = subprocess.run(command(*options), capture_output=True, text=True, timeout=PATIENCE, check=False, env=environ)

    assert done.returncode == 2
    assert "amqp:// is not how self-managed Apache Kafka is read" in done.stderr
    assert SECRET not in done.stderr
