"""Mappings of Kafka, Amazon MQ and DocumentDB from create to delete: against our own Lambda, the library has none."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest

from lambdaform.aws.session import AwsSession, connect
from lambdaform.resources.lambda_event_source_mapping import DRIVER, EventSourceMapping, SourceAccess
from tests.fakes.desired import changes, desired, record
from tests.local.conftest import Aws, start, stop, unique, zipped


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Generator[Aws]:
    """A local AWS."""
    process, found = start(tmp_path_factory.mktemp("local"))
    yield found
    stop(process)


@pytest.fixture
def aws(local: Aws) -> AwsSession:
    return connect(region="eu-central-1", endpoint=local.endpoint, local=True)


@pytest.fixture
def function(local: Aws) -> str:
    """The ARN of a function."""
    made = local.client("lambda", region="eu-central-1").create_function(
        FunctionName=unique(),
        Runtime="python3.11",
        Handler="app.handler",
        Role="arn:aws:iam::123456789012:role/r",
        Code={"ZipFile": zipped({"app.py": "def handler(event, context):\n    pass\n"})},
    )
    return str(made["FunctionArn"])


def topic_mapping(arn: str) -> list[EventSourceMapping]:
    cluster = "arn:aws:kafka:eu-central-1:123456789012:cluster/shop/1"
    settings: dict[str, Any] = {"source": cluster, "source_kind": "msk", "topic": "orders", "consumer_group": "mine"}
    return [
        EventSourceMapping(function=arn, starting_position="LATEST", **settings),
        EventSourceMapping(
            function=arn,
            starting_position="LATEST",
            access=[SourceAccess("SASL_SCRAM_512_AUTH", "arn:aws:secretsmanager:eu-central-1:1:secret:s-1")],
            batch_size=7,
            **settings,
        ),
    ]


def kafka_mapping(arn: str) -> list[EventSourceMapping]:
    access = [SourceAccess("BASIC_AUTH", "arn:aws:secretsmanager:eu-central-1:1:secret:s-1")]
    servers = ["broker.example:9092"]
    return [
        EventSourceMapping(
            function=arn,
            source_kind="kafka",
            bootstrap_servers=servers,
            topic="orders",
            starting_position="TRIM_HORIZON",
            access=access,
            enabled=enabled,
        )
        for enabled in (True, False)
    ]


def broker_mapping(arn: str) -> list[EventSourceMapping]:
    secrets = [f"arn:aws:secretsmanager:eu-central-1:1:secret:s-{number}" for number in range(2)]
    return [
        EventSourceMapping(
            function=arn,
            source="arn:aws:mq:eu-central-1:123456789012:broker:shop:b-1",
            source_kind="mq",
            queue="orders",
            virtual_host="/",
            access=[SourceAccess("BASIC_AUTH", secret)],
        )
        for secret in secrets
    ]


def documentdb_mapping(arn: str) -> list[EventSourceMapping]:
    return [
        EventSourceMapping(
            function=arn,
            source="arn:aws:rds:eu-central-1:123456789012:cluster:shop",
            source_kind="documentdb",
            database="shop",
            collection=collection,
            starting_position="LATEST",
            access=[SourceAccess("BASIC_AUTH", "arn:aws:secretsmanager:eu-central-1:1:secret:s-1")],
        )
        for collection in (None, "orders")
    ]


@pytest.mark.parametrize("make", [topic_mapping, kafka_mapping, broker_mapping, documentdb_mapping])
def test_a_mapping_lives_from_create_to_delete(
    make: Callable[[str], list[EventSourceMapping]], function: str, aws: AwsSession
) -> None:
    first, second = make(function)
    before, after = desired(first), desired(second)

    outputs = DRIVER.create(aws, before)
    made = record(before, outputs)
    found = DRIVER.find(aws, before)
    assert found is not None
    assert (DRIVER.read(aws, made), found.outputs) == (outputs, outputs)

    assert DRIVER.update(aws, after, made, changes(before, after)) == outputs
    DRIVER.delete(aws, record(after, outputs))
    assert DRIVER.read(aws, made) is None
