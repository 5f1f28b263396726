"""Streams as event sources.

https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html
"""

from __future__ import annotations

import base64
import json
from typing import Any

from tests.conformance.facts import fact
from tests.local.conftest import Virtual, own, refusal, unique

KINESIS = "https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html"
BATCHES = "https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html"
DYNAMODB = "https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html"
WINDOWS = "https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-windows.html"
ECHO = "def handler(event, context):\n    return None\n"
FAILS = "def handler(event, context):\n    raise ValueError('no')\n"
FAILS_ON_BAD = (
    "import base64\n"
    "def handler(event, context):\n"
    "    if any(base64.b64decode(each['kinesis']['data']) == b'bad' for each in event['Records']):\n"
    "        raise ValueError('bad')\n"
)


def stream(virtual: Virtual) -> tuple[str, str]:
    kinesis = virtual.aws.client("kinesis")
    name = unique("stream")
    kinesis.create_stream(StreamName=name, ShardCount=1)
    return name, kinesis.describe_stream(StreamName=name)["StreamDescription"]["StreamARN"]


def mapped(virtual: Virtual, source: str, arn: str, **settings: Any) -> tuple[str, str]:
    name = virtual.function(source)
    made = virtual.aws.client("lambda").create_event_source_mapping(
        FunctionName=name, EventSourceArn=arn, **{"StartingPosition": "TRIM_HORIZON", **settings}
    )
    virtual.advance(1)
    return name, str(made["UUID"])


def put(virtual: Virtual, name: str, *data: str) -> None:
    for each in data:
        virtual.aws.client("kinesis").put_record(StreamName=name, Data=each.encode(), PartitionKey="p")


def batches(virtual: Virtual, name: str) -> list[list[str]]:
    found: list[dict[str, Any]] = own(virtual.aws, "GET", f"invocations?function={name}")[1]
    return [[base64.b64decode(r["kinesis"]["data"]).decode() for r in each["event"]["Records"]] for each in found]


@fact("Kinesis", "records arrive in order, with data in base64", source=KINESIS)
def test_records_arrive_in_order(virtual: Virtual) -> None:
    name, arn = stream(virtual)
    function, _ = mapped(virtual, ECHO, arn)
    put(virtual, name, "1", "2", "3")
    virtual.advance(2)

    assert [data for batch in batches(virtual, function) for data in batch] == ["1", "2", "3"]


@fact("StartingPosition", "TRIM_HORIZON begins with what is there, LATEST with what comes", source=KINESIS)
def test_a_mapping_begins_where_it_is_told(virtual: Virtual) -> None:
    name, arn = stream(virtual)
    put(virtual, name, "old")
    everything, _ = mapped(virtual, ECHO, arn)
    latest, _ = mapped(virtual, ECHO, arn, StartingPosition="LATEST")
    put(virtual, name, "new")
    virtual.advance(2)

    assert [data for batch in batches(virtual, everything) for data in batch] == ["old", "new"]
    assert [data for batch in batches(virtual, latest) for data in batch] == ["new"]


@fact(
    "failure", "blocks its shard until MaximumRetryAttempts; then the records are told of to OnFailure", source=KINESIS
)
def test_a_failing_batch_blocks_its_shard_until_given_up(virtual: Virtual) -> None:
    name, arn = stream(virtual)
    _, kept = virtual.queue()
    function, _ = mapped(
        virtual,
        FAILS_ON_BAD,
        arn,
        BatchSize=1,
        MaximumRetryAttempts=1,
        DestinationConfig={"OnFailure": {"Destination": kept}},
    )
    put(virtual, name, "bad", "good")
    virtual.advance(120)

    [record] = [json.loads(body) for body in virtual.messages(kept)]
    assert batches(virtual, function) == [["bad"], ["bad"], ["good"]]
    assert record["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert record["KinesisBatchInfo"]["batchSize"] == 1
    assert record["KinesisBatchInfo"]["streamArn"] == arn


@fact("BisectBatchOnFunctionError", "halves a failing batch until the bad record stands alone", source=KINESIS)
def test_a_failing_batch_is_halved(virtual: Virtual) -> None:
    name, arn = stream(virtual)
    put(virtual, name, "1", "2", "bad", "4")
    function, _ = mapped(virtual, FAILS_ON_BAD, arn, BisectBatchOnFunctionError=True, MaximumRetryAttempts=3)
    virtual.advance(600)

    found = batches(virtual, function)
    assert found[0] == ["1", "2", "bad", "4"]
    assert ["1", "2"] in found
    assert ["bad"] in found
    assert ["4"] in found


@fact("ReportBatchItemFailures", "goes on from the lowest sequence number that failed", source=BATCHES)
def test_a_named_failure_goes_on_from_there(virtual: Virtual) -> None:
    name, arn = stream(virtual)
    put(virtual, name, "1", "2", "3")
    source = (
        "seen = 0\n"
        "def handler(event, context):\n"
        "    global seen\n"
        "    seen += 1\n"
        "    if seen == 1:\n"
        "        number = event['Records'][1]['kinesis']['sequenceNumber']\n"
        "        return {'batchItemFailures': [{'itemIdentifier': number}]}\n"
    )
    function, _ = mapped(virtual, source, arn, FunctionResponseTypes=["ReportBatchItemFailures"])
    virtual.advance(60)

    assert batches(virtual, function) == [["1", "2", "3"], ["2", "3"]]


@fact("MaximumRecordAgeInSeconds", "gives up records that are too old", source=KINESIS)
def test_old_records_are_given_up(virtual: Virtual) -> None:
    name, arn = stream(virtual)
    _, kept = virtual.queue()
    mapped(virtual, FAILS, arn, MaximumRecordAgeInSeconds=60, DestinationConfig={"OnFailure": {"Destination": kept}})
    put(virtual, name, "1")
    virtual.advance(300)

    [record] = [json.loads(body) for body in virtual.messages(kept)]
    assert record["requestContext"]["condition"] == "RecordAgeExceeded"


@fact("DynamoDB streams", "changes arrive as the stream's view shows them, filtered by FilterCriteria", source=DYNAMODB)
def test_changes_of_a_table_arrive_filtered(virtual: Virtual) -> None:
    dynamodb = virtual.aws.client("dynamodb")
    table = unique("table")
    dynamodb.create_table(
        TableName=table,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
    arn = dynamodb.describe_table(TableName=table)["Table"]["LatestStreamArn"]
    pattern = {"Pattern": json.dumps({"eventName": ["INSERT"], "dynamodb": {"Keys": {"id": {"S": ["a"]}}}})}
    function, _ = mapped(virtual, ECHO, arn, FilterCriteria={"Filters": [pattern]})
    for key in ("a", "b"):
        dynamodb.put_item(TableName=table, Item={"id": {"S": key}})
    virtual.advance(2)

    found: list[dict[str, Any]] = own(virtual.aws, "GET", f"invocations?function={function}")[1]
    [record] = [record for each in found for record in each["event"]["Records"]]
    assert (record["eventName"], record["eventSource"]) == ("INSERT", "aws:dynamodb")
    assert record["dynamodb"]["NewImage"] == {"id": {"S": "a"}}
    assert record["eventSourceARN"] == arn


@fact("ParallelizationFactor", "batches of several partition keys at a time, each key in order", source=KINESIS)
def test_a_failing_key_does_not_hold_up_the_others(virtual: Virtual) -> None:
    name, arn = stream(virtual)
    function, _ = mapped(virtual, FAILS_ON_BAD, arn, BatchSize=1, ParallelizationFactor=10)
    kinesis = virtual.aws.client("kinesis")
    for key, data in (("a", "bad"), ("a", "after bad"), ("b", "1"), ("b", "2")):
        kinesis.put_record(StreamName=name, Data=data.encode(), PartitionKey=key)
    virtual.advance(30)

    found = [data for batch in batches(virtual, function) for data in batch]
    assert [data for data in found if data in "12"] == ["1", "2"]
    assert found.count("bad") > 1
    assert "after bad" not in found


COUNTS = (
    "def handler(event, context):\n"
    "    return {'state': {'count': event['state'].get('count', 0) + len(event['Records'])}}\n"
)


def begin_window(virtual: Virtual) -> None:
    """Let time pass until a window of 900 seconds has just begun."""
    virtual.advance(900 - own(virtual.aws, "GET", "clock")[1]["now"] % 900)


def windows(virtual: Virtual, name: str) -> list[tuple[int, int, bool]]:
    """Records, what had been counted before, and whether it was the end, by invocation."""
    found: list[dict[str, Any]] = own(virtual.aws, "GET", f"invocations?function={name}")[1]
    events = [each["event"] for each in found]
    return [(len(e["Records"]), e["state"].get("count", 0), e["isFinalInvokeForWindow"]) for e in events]


@fact(
    "TumblingWindowInSeconds",
    "state is handed on from batch to batch, and to a final invocation without records when the window is over",
    source=WINDOWS,
)
def test_state_is_handed_on_over_a_window(virtual: Virtual) -> None:
    name, arn = stream(virtual)
    function, _ = mapped(virtual, COUNTS, arn, TumblingWindowInSeconds=900)
    begin_window(virtual)
    put(virtual, name, "1", "2")
    virtual.advance(2)
    put(virtual, name, "3")
    virtual.advance(900)

    assert windows(virtual, function)[-1] == (0, 3, True)
    assert [is_final for *_, is_final in windows(virtual, function)].count(True) == 1
    [*_, invocation] = own(virtual.aws, "GET", f"invocations?function={function}")[1]
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
def test_an_answer_without_a_state_is_a_failure(virtual: Virtual) -> None:
    name, arn = stream(virtual)
    function, uuid = mapped(virtual, ECHO, arn, TumblingWindowInSeconds=900, MaximumRetryAttempts=1)
    begin_window(virtual)
    put(virtual, name, "1")
    virtual.advance(10)

    assert len(batches(virtual, function)) == 2
    mapping = virtual.aws.client("lambda").get_event_source_mapping(UUID=uuid)
    assert mapping["LastProcessingResult"] == "PROBLEM: Function call failed"


@fact("TumblingWindowInSeconds", "ends its window early when the state is above 1 MB, and goes on anew", source=WINDOWS)
def test_a_large_state_ends_its_window_early(virtual: Virtual) -> None:
    name, arn = stream(virtual)
    source = "def handler(event, context):\n    return {'state': {'text': 'x' * (1 << 20)}}\n"
    function, _ = mapped(virtual, source, arn, TumblingWindowInSeconds=900)
    begin_window(virtual)
    put(virtual, name, "1")
    virtual.advance(2)

    found: list[dict[str, Any]] = own(virtual.aws, "GET", f"invocations?function={function}")[1]
    assert [each["event"]["isWindowTerminatedEarly"] for each in found] == [False, True]
    assert [len(each["event"]["Records"]) for each in found] == [1, 0]


@fact("TumblingWindowInSeconds", "has one reader for each shard", source=WINDOWS)
def test_a_window_has_one_reader(virtual: Virtual) -> None:
    _, arn = stream(virtual)
    refused = refusal(
        virtual.aws.client("lambda").create_event_source_mapping,
        FunctionName=virtual.function(ECHO),
        EventSourceArn=arn,
        StartingPosition="LATEST",
        TumblingWindowInSeconds=60,
        ParallelizationFactor=2,
    )

    assert refused.code == "InvalidParameterValueException"


@fact(
    "SplitShard",
    "a shard's children are read after it",
    here="partly",
    gap="so they are, but the library goes on writing to the shard that was split",
    source="https://docs.aws.amazon.com/streams/latest/dev/kinesis-using-sdk-java-after-resharding.html",
)
def test_records_of_a_stream_with_split_shards_arrive_in_order(virtual: Virtual) -> None:
    kinesis = virtual.aws.client("kinesis")
    name, arn = stream(virtual)
    function, _ = mapped(virtual, ECHO, arn)
    put(virtual, name, "before")
    kinesis.split_shard(StreamName=name, ShardToSplit="shardId-000000000000", NewStartingHashKey=str(2**127))
    virtual.advance(2)
    put(virtual, name, "after")
    virtual.advance(2)

    assert [data for batch in batches(virtual, function) for data in batch] == ["before", "after"]


CONSUMERS = "https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-create.html"


@fact("EventSourceArn", "a consumer of a stream is handed records at once; they carry its ARN", source=CONSUMERS)
def test_a_consumer_is_handed_records_at_once(virtual: Virtual) -> None:
    kinesis = virtual.aws.client("kinesis")
    name, arn = stream(virtual)
    consumer = kinesis.register_stream_consumer(StreamARN=arn, ConsumerName="mine")["Consumer"]["ConsumerARN"]
    function, _ = mapped(virtual, ECHO, consumer)
    put(virtual, name, "1")
    virtual.advance(0)
    put(virtual, name, "2")
    virtual.advance(0)

    assert batches(virtual, function) == [["1"], ["2"]]
    [first, _] = own(virtual.aws, "GET", f"invocations?function={function}")[1]
    assert first["event"]["Records"][0]["eventSourceARN"] == consumer


@fact("CreateEventSourceMapping", "refuses a consumer that is not there", source=CONSUMERS)
def test_a_missing_consumer_is_refused(virtual: Virtual) -> None:
    _, arn = stream(virtual)
    refused = refusal(
        virtual.aws.client("lambda").create_event_source_mapping,
        FunctionName=virtual.function(ECHO),
        EventSourceArn=f"{arn}/consumer/mine:1",
        StartingPosition="LATEST",
    )

    assert refused.code == "InvalidParameterValueException"


@fact("polling", "a shard of a Kinesis stream is read once a second", source=KINESIS)
def test_a_shard_is_read_once_a_second(virtual: Virtual) -> None:
    name, arn = stream(virtual)
    function, _ = mapped(virtual, ECHO, arn)
    for number in range(8):
        put(virtual, name, str(number))
        virtual.advance(0.25)

    assert 2 <= len(batches(virtual, function)) <= 3


@fact("failure", "without limits a batch blocks its shard until its records expire in the stream", source=KINESIS)
def test_records_that_expire_let_the_shard_go_on(virtual: Virtual) -> None:
    name, arn = stream(virtual)
    put(virtual, name, "bad")
    virtual.advance(86_000)
    put(virtual, name, "good")
    function, _ = mapped(virtual, FAILS_ON_BAD, arn, BatchSize=1)
    virtual.advance(300)
    before = batches(virtual, function)
    virtual.advance(200)

    assert {data for batch in before for data in batch} == {"bad"}
    assert batches(virtual, function)[-1] == ["good"]
