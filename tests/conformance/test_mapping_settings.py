"""Event source mappings: what is taken, shown and refused.

https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.facts import fact
from tests.local.conftest import Aws, Maker, Refusal, refusal, unique

API = "https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html"
QUEUES = "https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-parameters.html"
STREAMS = "https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-parameters.html"
TABLES = "https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-params.html"
ECHO = "def handler(event, context):\n    return None\n"


@pytest.fixture(scope="module")
def name(function: Maker) -> str:
    """A function."""
    return function(ECHO)


@pytest.fixture(scope="module")
def queue(aws: Aws) -> str:
    """The ARN of a queue."""
    sqs = aws.client("sqs")
    url = sqs.create_queue(QueueName=unique("queue"))["QueueUrl"]
    return str(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"])


@pytest.fixture(scope="module")
def fifo(aws: Aws) -> str:
    """The ARN of a FIFO queue."""
    sqs = aws.client("sqs")
    url = sqs.create_queue(QueueName=f"{unique('queue')}.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    return str(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"])


@pytest.fixture(scope="module")
def stream(aws: Aws) -> str:
    """The ARN of a stream."""
    kinesis, called = aws.client("kinesis"), unique("stream")
    kinesis.create_stream(StreamName=called, ShardCount=1)
    return str(kinesis.describe_stream(StreamName=called)["StreamDescription"]["StreamARN"])


@pytest.fixture(scope="module")
def table(aws: Aws) -> str:
    """The ARN of a table's stream."""
    made = aws.client("dynamodb").create_table(
        TableName=unique("table"),
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    )
    return str(made["TableDescription"]["LatestStreamArn"])


def refused(awslambda: Any, name: str, source: str | None, **settings: Any) -> Refusal:
    given = {"EventSourceArn": source} if source is not None else {}
    return refusal(awslambda.create_event_source_mapping, FunctionName=name, **given, **settings)


@fact("CreateEventSourceMapping", "shows a queue's settings with their defaults", source=QUEUES)
def test_a_mapping_of_a_queue_shows_its_defaults(awslambda: Any, function: Maker, queue: str) -> None:
    made = awslambda.create_event_source_mapping(FunctionName=function(ECHO), EventSourceArn=queue)

    assert made["ResponseMetadata"]["HTTPStatusCode"] == 202
    shown = {key: made[key] for key in ("BatchSize", "MaximumBatchingWindowInSeconds", "FunctionResponseTypes")}
    assert shown == {"BatchSize": 10, "MaximumBatchingWindowInSeconds": 0, "FunctionResponseTypes": []}
    assert made["EventSourceMappingArn"].endswith(f":event-source-mapping:{made['UUID']}")
    assert not {"StartingPosition", "ParallelizationFactor", "LastProcessingResult"} & made.keys()


@fact("CreateEventSourceMapping", "shows a stream's settings with their defaults", source=STREAMS)
def test_a_mapping_of_a_stream_shows_its_defaults(awslambda: Any, function: Maker, stream: str) -> None:
    made = awslambda.create_event_source_mapping(
        FunctionName=function(ECHO), EventSourceArn=stream, StartingPosition="LATEST"
    )

    defaults: dict[str, Any] = {
        "BatchSize": 100,
        "MaximumBatchingWindowInSeconds": 0,
        "BisectBatchOnFunctionError": False,
        "DestinationConfig": {"OnFailure": {}},
        "MaximumRecordAgeInSeconds": -1,
        "MaximumRetryAttempts": -1,
        "ParallelizationFactor": 1,
        "TumblingWindowInSeconds": 0,
        "StartingPosition": "LATEST",
    }
    assert {key: made[key] for key in defaults} == defaults


@fact("FunctionName", "may be an alias or a version, which is what the mapping feeds", source=API)
def test_a_mapping_may_feed_an_alias(awslambda: Any, function: Maker, queue: str) -> None:
    name = function(ECHO, Publish=True)
    arn = awslambda.create_alias(FunctionName=name, Name="live", FunctionVersion="1")["AliasArn"]
    made = awslambda.create_event_source_mapping(FunctionName=f"{name}:live", EventSourceArn=queue)

    assert made["FunctionArn"] == arn
    assert awslambda.list_event_source_mappings(FunctionName=arn)["EventSourceMappings"][0]["UUID"] == made["UUID"]


@fact("ListEventSourceMappings", "those of a function, of a source, or of both", source=API)
def test_mappings_are_listed_by_either_end(awslambda: Any, function: Maker, queue: str, stream: str) -> None:
    name = function(ECHO)
    uuids = [
        awslambda.create_event_source_mapping(FunctionName=name, EventSourceArn=source, **settings)["UUID"]
        for source, settings in ((queue, {}), (stream, {"StartingPosition": "LATEST"}))
    ]

    def listed(**by: str) -> set[str]:
        return {each["UUID"] for each in awslambda.list_event_source_mappings(**by)["EventSourceMappings"]}

    assert listed(FunctionName=name) == {*uuids}
    assert uuids[0] in listed(EventSourceArn=queue)
    assert listed(FunctionName=name, EventSourceArn=stream) == {uuids[1]}


@pytest.mark.parametrize("source", [None, "arn:aws:s3:::bucket"])
@fact("EventSourceArn", "refuses what is no source of events", source=API)
def test_what_is_no_source_is_refused(awslambda: Any, name: str, source: str | None) -> None:
    found = refused(awslambda, name, source)

    assert (found.code, found.message) == ("InvalidParameterValueException", "Unrecognized event source.")


@fact("FunctionName", "refuses a function that is not there", source=API)
def test_a_missing_function_is_refused(awslambda: Any, queue: str) -> None:
    found = refused(awslambda, unique("missing"), queue)

    assert (found.code, found.message) == ("InvalidParameterValueException", "Function does not exist")


@fact("UUID", "answers 404 to one it does not know", source=API)
def test_an_unknown_mapping_is_not_found(awslambda: Any) -> None:
    uuid = "00000000-0000-4000-8000-000000000000"
    calls = (
        awslambda.get_event_source_mapping,
        awslambda.update_event_source_mapping,
        awslambda.delete_event_source_mapping,
    )
    found = [refusal(call, UUID=uuid) for call in calls]

    assert {(each.code, each.status) for each in found} == {("ResourceNotFoundException", 404)}
    assert found[0].message == "The resource you requested does not exist."


@fact("EventSourceArn", "refuses a queue or stream that is not there", source=API)
def test_a_missing_source_is_refused(awslambda: Any, name: str, queue: str, stream: str) -> None:
    of_queue = refused(awslambda, name, f"{queue}-missing")
    of_stream = refused(awslambda, name, f"{stream}-missing", StartingPosition="LATEST")

    assert of_queue.message == (
        "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. "
        "SQS Error Message: The specified queue does not exist."
    )
    assert of_stream.message == f"Stream not found: {stream}-missing"


@fact("CreateEventSourceMapping", "refuses a second mapping between the same two ends", source=API)
def test_a_second_mapping_is_refused(awslambda: Any, function: Maker, queue: str, stream: str) -> None:
    name = function(ECHO)
    first = awslambda.create_event_source_mapping(FunctionName=name, EventSourceArn=queue)["UUID"]
    start = {"StartingPosition": "LATEST"}
    second = awslambda.create_event_source_mapping(FunctionName=name, EventSourceArn=stream, **start)["UUID"]
    of_queue, of_stream = refused(awslambda, name, queue), refused(awslambda, name, stream, **start)

    assert {(each.code, each.status) for each in (of_queue, of_stream)} == {("ResourceConflictException", 409)}
    assert of_queue.message == (
        f'An event source mapping with SQS arn (" {queue} ") and function (" {name} ") already exists. '
        f"Please update or delete the existing mapping with UUID {first}"
    )
    assert of_stream.message == (
        f'The event source arn (" {stream} ") and function (" {name} ") provided mapping already exists. '
        f"Please update or delete the existing mapping with UUID {second}"
    )


@fact("StartingPosition", "is required for streams", source=STREAMS)
def test_a_stream_needs_a_starting_position(awslambda: Any, name: str, stream: str) -> None:
    assert refused(awslambda, name, stream).message == (
        "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: "
        "Member must not be null."
    )


@fact("StartingPosition", "AT_TIMESTAMP is not for the stream of a table", source=TABLES)
def test_the_stream_of_a_table_has_no_timestamp(awslambda: Any, name: str, table: str) -> None:
    found = refused(awslambda, name, table, StartingPosition="AT_TIMESTAMP", StartingPositionTimestamp=1.0)

    assert found.message == f"Unsupported starting position for arn type: {table}"


@pytest.mark.parametrize(
    "settings",
    [
        {"StartingPosition": "LATEST"},
        {"ParallelizationFactor": 2},
        {"BisectBatchOnFunctionError": True},
        {"MaximumRecordAgeInSeconds": 60},
        {"MaximumRetryAttempts": 1},
        {"TumblingWindowInSeconds": 60},
        {"DestinationConfig": {"OnFailure": {"Destination": "arn:aws:sqs:us-east-1:123456789012:q"}}},
    ],
)
@fact("CreateEventSourceMapping", "refuses a stream's settings for a queue", source=QUEUES)
def test_settings_of_streams_are_refused_for_queues(
    awslambda: Any, name: str, queue: str, settings: dict[str, Any]
) -> None:
    [setting] = settings
    message = f"Unsupported {setting} parameter for given event source mapping type."

    assert refused(awslambda, name, queue, **settings).message == message


@pytest.mark.parametrize(
    "settings", [{"ScalingConfig": {"MaximumConcurrency": 2}}, {"ProvisionedPollerConfig": {"MinimumPollers": 2}}]
)
@fact("CreateEventSourceMapping", "refuses a queue's settings for a stream", source=STREAMS)
def test_settings_of_queues_are_refused_for_streams(
    awslambda: Any, name: str, stream: str, settings: dict[str, Any]
) -> None:
    [setting] = settings
    message = f"Unsupported {setting} parameter for given event source mapping type."

    assert refused(awslambda, name, stream, StartingPosition="LATEST", **settings).message == message


@fact("BatchSize", "above 10 a queue needs a window; a FIFO queue has neither", source=QUEUES)
def test_large_batches_of_queues_need_a_window(awslambda: Any, name: str, queue: str, fifo: str) -> None:
    assert refused(awslambda, name, queue, BatchSize=11).message == (
        "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10"
    )
    assert refused(awslambda, name, fifo, BatchSize=11).code == "InvalidParameterValueException"
    assert refused(awslambda, name, fifo, MaximumBatchingWindowInSeconds=1).code == "InvalidParameterValueException"


@pytest.mark.parametrize(
    "settings",
    [
        {"BatchSize": 0},
        {"BatchSize": 10_001},
        {"MaximumBatchingWindowInSeconds": 301},
        {"ParallelizationFactor": 11},
        {"MaximumRecordAgeInSeconds": 604_801},
        {"MaximumRetryAttempts": 10_001},
        {"TumblingWindowInSeconds": 901},
        {"StartingPosition": "FIRST"},
    ],
)
@fact("CreateEventSourceMapping", "refuses numbers out of their range", source=API)
def test_numbers_out_of_range_are_refused(awslambda: Any, name: str, stream: str, settings: dict[str, Any]) -> None:
    assert refused(awslambda, name, stream, **{"StartingPosition": "LATEST", **settings}).code == "ValidationException"


@fact("MaximumRecordAgeInSeconds", "is -1, or 60 and more", source=STREAMS)
def test_small_ages_are_refused(awslambda: Any, name: str, stream: str) -> None:
    settings = {"StartingPosition": "LATEST", "MaximumRecordAgeInSeconds": 59}

    assert refused(awslambda, name, stream, **settings).code == "InvalidParameterValueException"
