"""Streams as event sources.

https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest

from tests.conformance.facts import fact
from tests.local.conftest import Virtual, own, refusal, unique

KINESIS = "https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html"
BATCHES = "https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html"
DYNAMODB = "https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html"
BATCHING = f"{KINESIS.rpartition('/')[0]}/invocation-eventsourcemapping.html#invocation-eventsourcemapping-batching"
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


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("None", [["1", "2"]]),
        ("{}", [["1", "2"]]),
        ("[]", [["1", "2"]]),
        ("''", [["1", "2"]]),
        ("{'batchItemFailures': None}", [["1", "2"]]),
        ("{'batchItemFailures': [{'itemIdentifier': NUMBERS[-1]}]}", [["1", "2"], ["2"]]),
        ("{'batchItemFailures': [{'itemIdentifier': each} for each in reversed(NUMBERS)]}", [["1", "2"], ["1", "2"]]),
        ("{'batchItemFailures': [{'itemIdentifier': ''}]}", [["1", "2"], ["1", "2"]]),
        ("{'batchItemFailures': [{'itemIdentifier': None}]}", [["1", "2"], ["1", "2"]]),
        ("{'batchItemFailures': [{'itemIdentifier': 'unknown'}]}", [["1", "2"], ["1", "2"]]),
        ("{'batchItemFailures': [{'id': NUMBERS[0]}]}", [["1", "2"], ["1", "2"]]),
        ("1 / 0", [["1", "2"], ["1", "2"]]),
    ],
)
@fact("ReportBatchItemFailures", "which answers mean success, and which that all has failed", source=BATCHES)
def test_answers_about_a_stream(virtual: Virtual, answer: str, expected: list[list[str]]) -> None:
    name, arn = stream(virtual)
    put(virtual, name, "1", "2")
    source = (
        "def handler(event, context):\n"
        "    NUMBERS = [each['kinesis']['sequenceNumber'] for each in event['Records']]\n"
        f"    return {answer}\n"
    )
    settings = {"FunctionResponseTypes": ["ReportBatchItemFailures"], "MaximumRetryAttempts": 1}
    function, _ = mapped(virtual, source, arn, **settings)
    virtual.advance(10)

    assert batches(virtual, function) == expected


@fact(
    "BisectBatchOnFunctionError",
    "a partial response cuts the batch at the record that failed instead of halving it",
    source=BATCHES,
)
def test_a_partial_response_cuts_a_batch(virtual: Virtual) -> None:
    name, arn = stream(virtual)
    put(virtual, name, "1", "2", "3", "bad")
    source = (
        "import base64\n"
        "def handler(event, context):\n"
        "    bad = [e['kinesis']['sequenceNumber'] for e in event['Records'] if e['kinesis']['data'] == 'YmFk']\n"
        "    return {'batchItemFailures': [{'itemIdentifier': each} for each in bad]}\n"
    )
    settings = {"FunctionResponseTypes": ["ReportBatchItemFailures"], "BisectBatchOnFunctionError": True}
    function, _ = mapped(virtual, source, arn, MaximumRetryAttempts=0, **settings)
    virtual.advance(10)

    assert batches(virtual, function) == [["1", "2", "3", "bad"], ["bad"]]


@fact("batch", "ends before 6 MB of payload, the data in base64", source=BATCHING)
def test_a_batch_of_a_stream_has_at_most_six_megabytes(virtual: Virtual) -> None:
    name, arn = stream(virtual)
    put(virtual, name, *(str(number) * 1_000_000 for number in range(6)))
    function, _ = mapped(virtual, ECHO, arn)
    virtual.advance(5)

    found: list[dict[str, Any]] = own(virtual.aws, "GET", f"invocations?function={function}")[1]
    assert [len(each["event"]["Records"]) for each in found] == [4, 2]
    assert max(len(json.dumps(each["event"])) for each in found) <= 6 * 1024 * 1024


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


@fact("Enabled", "a mapping that was switched off goes on where it was", source=KINESIS)
@pytest.mark.parametrize("position", ["TRIM_HORIZON", "LATEST"])
def test_a_mapping_switched_on_again_goes_on_where_it_was(virtual: Virtual, position: str) -> None:
    name, arn = stream(virtual)
    function, uuid = mapped(virtual, ECHO, arn, StartingPosition=position)
    client = virtual.aws.client("lambda")
    put(virtual, name, "1")
    virtual.advance(2)
    client.update_event_source_mapping(UUID=uuid, Enabled=False)
    virtual.advance(1)
    put(virtual, name, "2")
    virtual.advance(2)
    client.update_event_source_mapping(UUID=uuid, Enabled=True)
    virtual.advance(2)

    assert batches(virtual, function) == [["1"], ["2"]]


@fact("UpdateEventSourceMapping", "while a batch is at work the next one of its shard waits for it", source=KINESIS)
def test_a_changed_mapping_waits_for_the_batch_at_work(virtual: Virtual) -> None:
    name, arn = stream(virtual)
    function, uuid = mapped(virtual, ECHO, arn)
    client = virtual.aws.client("lambda")
    own(
        virtual.aws,
        "POST",
        "faults",
        {"function": client.get_function_configuration(FunctionName=function)["FunctionArn"], "lasts": 2},
    )
    put(virtual, name, "1")
    virtual.advance(1)
    client.update_event_source_mapping(UUID=uuid, BatchSize=10)
    put(virtual, name, "2")
    virtual.advance(6)

    assert batches(virtual, function) == [["1"], ["2"]]


DESTINATIONS = "https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html"


@fact(
    "OnFailure",
    "a queue is told where the records are in the stream, and how the last attempt ended",
    source=DESTINATIONS,
)
def test_a_document_points_to_the_records_given_up(virtual: Virtual) -> None:
    name, arn = stream(virtual)
    _, kept = virtual.queue()
    put(virtual, name, "bad", "bad")
    settings = {"MaximumRetryAttempts": 1, "DestinationConfig": {"OnFailure": {"Destination": kept}}}
    function, _ = mapped(virtual, FAILS_ON_BAD, arn, **settings)
    virtual.advance(5)

    [record] = [json.loads(body) for body in virtual.messages(kept)]
    found = virtual.aws.client("lambda").get_function_configuration(FunctionName=function)["FunctionArn"]
    [first, last] = own(virtual.aws, "GET", f"invocations?function={function}")[1][-1]["event"]["Records"]
    assert set(record) == {"requestContext", "responseContext", "version", "timestamp", "KinesisBatchInfo"}
    assert {**record["requestContext"], "requestId": ""} == {
        "requestId": "",
        "functionArn": found,
        "condition": "RetryAttemptsExhausted",
        "approximateInvokeCount": 2,
    }
    response = {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"}
    assert record["responseContext"] == response
    batch = record["KinesisBatchInfo"]
    assert (batch["startSequenceNumber"], batch["endSequenceNumber"], batch["batchSize"]) == (
        first["kinesis"]["sequenceNumber"],
        last["kinesis"]["sequenceNumber"],
        2,
    )
    assert (batch["shardId"], batch["streamArn"]) == ("shardId-000000000000", arn)


@fact("OnFailure", "functionError is null when a partial response named the failure", source=DESTINATIONS)
def test_a_named_failure_is_no_function_error(virtual: Virtual) -> None:
    name, arn = stream(virtual)
    _, kept = virtual.queue()
    put(virtual, name, "1")
    source = (
        "def handler(event, context):\n"
        "    number = event['Records'][0]['kinesis']['sequenceNumber']\n"
        "    return {'batchItemFailures': [{'itemIdentifier': number}]}\n"
    )
    mapped(
        virtual,
        source,
        arn,
        MaximumRetryAttempts=0,
        FunctionResponseTypes=["ReportBatchItemFailures"],
        DestinationConfig={"OnFailure": {"Destination": kept}},
    )
    virtual.advance(2)

    [record] = [json.loads(body) for body in virtual.messages(kept)]
    assert record["responseContext"]["functionError"] is None


@fact("OnFailure", "a bucket gets the records too, under the mapping, the shard and the time", source=DESTINATIONS)
def test_a_bucket_gets_the_records(virtual: Virtual) -> None:
    name, arn = stream(virtual)
    s3, bucket = virtual.aws.client("s3"), unique("bucket")
    s3.create_bucket(Bucket=bucket)
    put(virtual, name, "bad")
    destination = {"OnFailure": {"Destination": f"arn:aws:s3:::{bucket}"}}
    _, uuid = mapped(virtual, FAILS_ON_BAD, arn, MaximumRetryAttempts=0, DestinationConfig=destination)
    virtual.advance(2)

    [key] = [each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    document = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    assert re.fullmatch(rf"aws/lambda/{uuid}/shardId-000000000000/\d{{4}}/\d\d/\d\d/[\dT.-]+-[0-9a-f-]{{36}}", key), key
    records = document["payload"]["Records"]
    assert [each["kinesis"]["data"] for each in records] == ["YmFk"]
