"""Metrics of event source mappings.

https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
"""

from __future__ import annotations

import datetime
import json
from typing import Any

from tests.conformance.facts import fact
from tests.local.conftest import Virtual, unique

METRICS = "https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html#event-source-mapping-metrics"
FAILS_ON_BAD = "def handler(event, context):\n    assert not any('bad' in str(each) for each in event['Records'])\n"
NAMES_BAD_ONES = (
    "def handler(event, context):\n"
    "    bad = [each['messageId'] for each in event['Records'] if 'bad' in each['body']]\n"
    "    return {'batchItemFailures': [{'itemIdentifier': each} for each in bad]}\n"
)
FAILS_ON_YMFK = (  # the data of a record is base64
    "def handler(event, context):\n    assert not any(each['kinesis']['data'] == 'YmFk' for each in event['Records'])\n"
)
COUNTS = {"Metrics": ["EventCount"]}


def total(virtual: Virtual, metric: str, *, statistic: str = "Sum", **dimensions: str) -> float:
    answer = virtual.aws.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/Lambda",
        MetricName=metric,
        Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
        StartTime=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
        EndTime=datetime.datetime(2028, 1, 1, tzinfo=datetime.UTC),
        Period=100_000_000,
        Statistics=[statistic],
    )
    return sum(point[statistic] for point in answer["Datapoints"])


def counted(virtual: Virtual, uuid: str, *metrics: str) -> dict[str, float]:
    return {metric: total(virtual, f"{metric}EventCount", EventSourceMappingUUID=uuid) for metric in metrics}


def mapped(virtual: Virtual, source: str, arn: str, **settings: Any) -> tuple[str, str]:
    name = virtual.function(source)
    made = virtual.aws.client("lambda").create_event_source_mapping(FunctionName=name, EventSourceArn=arn, **settings)
    virtual.advance(1)
    return name, str(made["UUID"])


def stream(virtual: Virtual, *data: bytes) -> str:
    kinesis, name = virtual.aws.client("kinesis"), unique("stream")
    kinesis.create_stream(StreamName=name, ShardCount=1)
    for each in data:
        kinesis.put_record(StreamName=name, Data=each, PartitionKey="p")
    return str(kinesis.describe_stream(StreamName=name)["StreamDescription"]["StreamARN"])


@fact(
    "EventCount",
    "of a queue: what was polled, filtered out, sent to the function, failed there or by a partial response, deleted",
    source=METRICS,
)
def test_messages_are_counted(virtual: Virtual) -> None:
    url, arn = virtual.queue(VisibilityTimeout="30")
    pattern = {"Pattern": json.dumps({"body": {"kind": ["good", "bad"]}})}
    _, uuid = mapped(
        virtual,
        NAMES_BAD_ONES,
        arn,
        MetricsConfig=COUNTS,
        FilterCriteria={"Filters": [pattern]},
        FunctionResponseTypes=["ReportBatchItemFailures"],
    )
    for kind in ("good", "bad", "other"):
        virtual.aws.client("sqs").send_message(QueueUrl=url, MessageBody=json.dumps({"kind": kind}))
    virtual.advance(29)

    assert counted(virtual, uuid, "Polled", "FilteredOut", "Invoked", "FailedInvoke", "Deleted") == {
        "Polled": 3,
        "FilteredOut": 1,
        "Invoked": 2,
        "FailedInvoke": 1,
        "Deleted": 1,
    }


@fact("EventCount", "of a stream: what was dropped without a destination, each attempt counting anew", source=METRICS)
def test_records_are_counted(virtual: Virtual) -> None:
    arn = stream(virtual, b"good", b"bad")
    _, uuid = mapped(
        virtual,
        FAILS_ON_YMFK,
        arn,
        MetricsConfig=COUNTS,
        StartingPosition="TRIM_HORIZON",
        BatchSize=1,
        MaximumRetryAttempts=1,
    )
    virtual.advance(10)

    metrics = ("Polled", "Invoked", "FailedInvoke", "Dropped", "OnFailureDestinationDelivered")
    assert counted(virtual, uuid, *metrics) == {
        "Polled": 2,
        "Invoked": 3,
        "FailedInvoke": 2,
        "Dropped": 1,
        "OnFailureDestinationDelivered": 0,
    }


@fact("EventCount", "what was handed to an on-failure destination is not dropped", source=METRICS)
def test_records_handed_on_are_counted_as_such(virtual: Virtual) -> None:
    arn = stream(virtual, b"bad", b"bad")
    _, uuid = mapped(
        virtual,
        FAILS_ON_YMFK,
        arn,
        MetricsConfig=COUNTS,
        StartingPosition="TRIM_HORIZON",
        MaximumRetryAttempts=0,
        DestinationConfig={"OnFailure": {"Destination": virtual.queue()[1]}},
    )
    virtual.advance(5)

    metrics = ("Dropped", "OnFailureDestinationDelivered")
    assert counted(virtual, uuid, *metrics) == {"Dropped": 0, "OnFailureDestinationDelivered": 2}


@fact("MetricsConfig", "nothing is counted by mapping where it is not asked for", source=METRICS)
def test_nothing_is_counted_without_being_asked_for(virtual: Virtual) -> None:
    _, uuid = mapped(virtual, FAILS_ON_BAD, stream(virtual, b"good"), StartingPosition="TRIM_HORIZON")

    assert counted(virtual, uuid, "Polled", "Invoked") == {"Polled": 0, "Invoked": 0}


@fact("IteratorAge", "is the age of a batch's last record when it is sent to the function", source=METRICS)
def test_the_age_of_records_is_told(virtual: Virtual) -> None:
    arn = stream(virtual, b"good")
    virtual.advance(100)
    name, _ = mapped(virtual, FAILS_ON_BAD, arn, StartingPosition="TRIM_HORIZON")

    age = total(virtual, "IteratorAge", statistic="Maximum", FunctionName=name)
    assert 100_000 <= age < 103_000


@fact("DestinationDeliveryFailures", "counts what an on-failure destination did not take", source=METRICS)
def test_what_a_destination_does_not_take_is_counted(virtual: Virtual) -> None:
    url, gone = virtual.queue()
    name, _ = mapped(
        virtual,
        FAILS_ON_YMFK,
        stream(virtual),
        StartingPosition="TRIM_HORIZON",
        MaximumRetryAttempts=0,
        DestinationConfig={"OnFailure": {"Destination": gone}},
    )
    virtual.aws.client("sqs").delete_queue(QueueUrl=url)
    found = virtual.aws.client("lambda").list_event_source_mappings(FunctionName=name)["EventSourceMappings"]
    stream_name = found[0]["EventSourceArn"].rsplit("/")[-1]
    virtual.aws.client("kinesis").put_record(StreamName=stream_name, Data=b"bad", PartitionKey="p")
    virtual.advance(5)

    assert total(virtual, "DestinationDeliveryFailures", FunctionName=name) == 1


@fact("ProvisionedPollers", "is how many pollers of a mapping in provisioned mode are at work", source=METRICS)
def test_provisioned_pollers_are_told(virtual: Virtual) -> None:
    url, arn = virtual.queue()
    _, uuid = mapped(virtual, FAILS_ON_BAD, arn, ProvisionedPollerConfig={"MinimumPollers": 3})
    virtual.aws.client("sqs").send_message(QueueUrl=url, MessageBody="good")
    virtual.advance(1)

    assert total(virtual, "ProvisionedPollers", statistic="Maximum", EventSourceMappingUUID=uuid) == 3
