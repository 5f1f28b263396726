"""Streams as event sources: windows and expiry.

https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-windows.html
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from tests.conformance.facts import fact
from tests.conformance.test_stream_mappings import ECHO, FAILS_ON_BAD, KINESIS, batches, mapped, put, stream
from tests.local.conftest import Virtual, own, refusal, start, stop, unique

WINDOWS = "https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-windows.html"
TABLES = "https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-windows.html"


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Generator[Virtual]:
    """A local AWS of one's own: what other tests left behind would be tried again over hours."""
    process, aws = start(tmp_path_factory.mktemp("quiet"), "--clock", "virtual")
    yield Virtual(aws)
    stop(process)


COUNTS = (
    "def handler(event, context):\n"
    "    return {'state': {'count': event['state'].get('count', 0) + len(event['Records'])}}\n"
)


def begin_window(quiet: Virtual) -> None:
    """Let time pass until a window of 900 seconds has just begun."""
    quiet.advance(900 - own(quiet.aws, "GET", "clock")[1]["now"] % 900)


def windows(quiet: Virtual, name: str) -> list[tuple[int, int, bool]]:
    """Records, what had been counted before, and whether it was the end, by invocation."""
    found: list[dict[str, Any]] = own(quiet.aws, "GET", f"invocations?function={name}")[1]
    events = [each["event"] for each in found]
    return [(len(e["Records"]), e["state"].get("count", 0), e["isFinalInvokeForWindow"]) for e in events]


@fact(
    "TumblingWindowInSeconds",
    "state is handed on from batch to batch, and to a final invocation without records when the window is over",
    source=WINDOWS,
)
def test_state_is_handed_on_over_a_window(quiet: Virtual) -> None:
    name, arn = stream(quiet)
    function, _ = mapped(quiet, COUNTS, arn, TumblingWindowInSeconds=900)
    begin_window(quiet)
    put(quiet, name, "1", "2")
    quiet.advance(2)
    put(quiet, name, "3")
    quiet.advance(900)

    assert windows(quiet, function)[-1] == (0, 3, True)
    assert [is_final for *_, is_final in windows(quiet, function)].count(True) == 1
    [*_, invocation] = own(quiet.aws, "GET", f"invocations?function={function}")[1]
    assert set(invocation["event"]) == {
        "Records",
        "window",
        "state",
        "shardId",
        "eventSourceARN",
        "isFinalInvokeForWindow",
        "isWindowTerminatedEarly",
    }


@fact("TumblingWindowInSeconds", "an answer without a state is a failure", source=WINDOWS)
def test_an_answer_without_a_state_is_a_failure(quiet: Virtual) -> None:
    name, arn = stream(quiet)
    function, uuid = mapped(quiet, ECHO, arn, TumblingWindowInSeconds=900, MaximumRetryAttempts=1)
    begin_window(quiet)
    put(quiet, name, "1")
    quiet.advance(10)

    assert len(batches(quiet, function)) == 2
    mapping = quiet.aws.client("lambda").get_event_source_mapping(UUID=uuid)
    assert mapping["LastProcessingResult"] == "PROBLEM: Function call failed"


@fact("TumblingWindowInSeconds", "ends its window early when the state is above 1 MB, and goes on anew", source=WINDOWS)
def test_a_large_state_ends_its_window_early(quiet: Virtual) -> None:
    name, arn = stream(quiet)
    source = "def handler(event, context):\n    return {'state': {'text': 'x' * (1 << 20)}}\n"
    function, _ = mapped(quiet, source, arn, TumblingWindowInSeconds=900)
    begin_window(quiet)
    put(quiet, name, "1")
    quiet.advance(2)

    found: list[dict[str, Any]] = own(quiet.aws, "GET", f"invocations?function={function}")[1]
    assert [each["event"]["isWindowTerminatedEarly"] for each in found] == [False, True]
    assert [len(each["event"]["Records"]) for each in found] == [1, 0]


@fact("TumblingWindowInSeconds", "has one reader for each shard", source=WINDOWS)
def test_a_window_has_one_reader(quiet: Virtual) -> None:
    _, arn = stream(quiet)
    refused = refusal(
        quiet.aws.client("lambda").create_event_source_mapping,
        FunctionName=quiet.function(ECHO),
        EventSourceArn=arn,
        StartingPosition="LATEST",
        TumblingWindowInSeconds=60,
        ParallelizationFactor=2,
    )

    assert refused.code == "InvalidParameterValueException"


@fact("TumblingWindowInSeconds", "streams of tables have windows as well", source=TABLES)
def test_the_stream_of_a_table_has_windows(quiet: Virtual) -> None:
    dynamodb, table = quiet.aws.client("dynamodb"), unique("table")
    dynamodb.create_table(
        TableName=table,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    )
    arn = dynamodb.describe_table(TableName=table)["Table"]["LatestStreamArn"]
    function, _ = mapped(quiet, COUNTS, arn, TumblingWindowInSeconds=900)
    begin_window(quiet)
    for key in ("a", "b"):
        dynamodb.put_item(TableName=table, Item={"id": {"S": key}})
        quiet.advance(1)
    quiet.advance(900)

    assert windows(quiet, function) == [(1, 0, False), (1, 1, False), (0, 2, True)]


@fact("failure", "without limits a batch blocks its shard until its records expire in the stream", source=KINESIS)
def test_records_that_expire_let_the_shard_go_on(quiet: Virtual) -> None:
    name, arn = stream(quiet)
    put(quiet, name, "bad")
    quiet.advance(86_000)
    put(quiet, name, "good")
    function, _ = mapped(quiet, FAILS_ON_BAD, arn, BatchSize=1)
    quiet.advance(300)
    before = batches(quiet, function)
    quiet.advance(200)

    assert {data for batch in before for data in batch} == {"bad"}
    assert batches(quiet, function)[-1] == ["good"]
