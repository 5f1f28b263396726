"""Topics of a real Kafka as event sources.

https://docs.aws.amazon.com/lambda/latest/dg/with-kafka.html
"""

from __future__ import annotations

import base64
import json
from collections.abc import Generator
from typing import Any

import attrs
import pytest

from tests.conformance.facts import fact
from tests.conformance.test_broker_mappings import SOURCES
from tests.conformance.test_mapping_metrics import counted, total
from tests.kafka import Kafka
from tests.local.conftest import Aws, Virtual, own, start, stop, unique, until

KAFKA = "https://docs.aws.amazon.com/lambda/latest/dg/with-kafka.html"
FILTERING = "https://docs.aws.amazon.com/lambda/latest/dg/kafka-filtering.html"
RETRIES = "https://docs.aws.amazon.com/lambda/latest/dg/kafka-retry-configurations.html"
FAILURE = "https://docs.aws.amazon.com/lambda/latest/dg/kafka-on-failure.html"
TOPICS = "https://docs.aws.amazon.com/lambda/latest/dg/kafka-on-failure-destination.html"
STARTING = "https://docs.aws.amazon.com/lambda/latest/dg/kafka-starting-positions.html"
METRICS = "https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html#event-source-mapping-metrics"
WINDOW = "https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventsourcemapping.html"
ECHO = "def handler(event, context):\n    return None\n"
VALUES = (
    "import base64\n"
    "def values(event):\n"
    "    return [base64.b64decode(each['value']).decode() for held in event['records'].values() for each in held]\n"
)
FAILS_ON_BAD = VALUES + "def handler(event, context):\n    assert 'bad' not in values(event)\n"
NAMES_BAD_ONES = (
    "import base64\n"
    "def handler(event, context):\n"
    "    return {'batchItemFailures': [\n"
    "        {'itemIdentifier': {'partition': lane, 'offset': each['offset']}}\n"
    "        for lane, held in event['records'].items() for each in held if base64.b64decode(each['value']) == b'bad'\n"
    "    ]}\n"
)
POLLERS = {"ProvisionedPollerConfig": {"MinimumPollers": 1}}


@pytest.fixture(scope="module")
def kafka() -> Kafka:
    return Kafka()


@attrs.frozen
class Reading:
    """A local AWS on a virtual clock that reads a Kafka."""

    virtual: Virtual
    kafka: Kafka

    def map(self, source: str, topic: str, **settings: Any) -> tuple[str, str]:
        """Map a topic to a function; gives the function's name and the mapping's id."""
        name = self.virtual.function(source)
        given = {**SOURCES["msk"], "Topics": [topic], "StartingPosition": "TRIM_HORIZON", **settings}
        made = self.virtual.aws.client("lambda").create_event_source_mapping(FunctionName=name, **given)
        self.virtual.advance(1)
        return name, str(made["UUID"])

    def seen(self, name: str) -> list[list[str]]:
        """The values of a function's invocations."""
        return [
            [base64.b64decode(each["value"]).decode() for held in found["event"]["records"].values() for each in held]
            for found in own(self.virtual.aws, "GET", f"invocations?function={name}")[1]
        ]

    def result(self, uuid: str) -> str:
        """The mapping's `LastProcessingResult`."""
        shown = self.virtual.aws.client("lambda").get_event_source_mapping(UUID=uuid)
        return str(shown["LastProcessingResult"])


@pytest.fixture(scope="module")
def reading(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Generator[Reading]:
    options = ("--clock", "virtual", "--broker", f"msk=kafka://{kafka.address}")
    process, aws = start(tmp_path_factory.mktemp("reading"), *options)
    yield Reading(Virtual(aws), kafka)
    stop(process)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Generator[Aws]:
    process, aws = start(tmp_path_factory.mktemp("real"))
    yield aws
    stop(process)


@fact("EventSourceArn", "a batch of a topic's records invokes the function, by topic and partition", source=KAFKA)
def test_the_event_holds_the_records_by_topic_and_partition(reading: Reading) -> None:
    topic = unique("orders")
    reading.kafka.send(topic, '{"id": 1}', partition=1, key="k", headers=[("kind", b"\x01\xff")])
    reading.kafka.send(topic, None, partition=2)
    name, uuid = reading.map(ECHO, topic)
    [found] = own(reading.virtual.aws, "GET", f"invocations?function={name}")[1]
    [first], [second] = found["event"]["records"][f"{topic}-1"], found["event"]["records"][f"{topic}-2"]

    assert {key: value for key, value in found["event"].items() if key != "records"} == {
        "eventSource": "aws:kafka",
        "eventSourceArn": SOURCES["msk"]["EventSourceArn"],
        "bootstrapServers": reading.kafka.address,
    }
    assert abs(first.pop("timestamp") - second.pop("timestamp")) < 60_000
    assert first == {
        "topic": topic,
        "partition": 1,
        "offset": 0,
        "timestampType": "CREATE_TIME",
        "key": base64.b64encode(b"k").decode(),
        "value": base64.b64encode(b'{"id": 1}').decode(),
        "headers": [{"kind": [1, 255]}],
    }
    assert second == {"topic": topic, "partition": 2, "offset": 0, "timestampType": "CREATE_TIME", "headers": []}
    assert reading.result(uuid) == "OK"
    assert reading.kafka.committed(uuid, topic) == {0: 0, 1: 1, 2: 1, 3: 0}


@fact("SelfManagedEventSource", "a Kafka of one's own is read; on loopback no address is asked for", source=KAFKA)
def test_a_kafka_on_loopback_is_read_in_real_time(real: Aws, kafka: Kafka) -> None:
    topic, virtual = unique("orders"), Virtual(real)
    name = virtual.function(ECHO)
    servers = {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": [kafka.address]}}
    kafka.send(topic, "before")
    virtual.aws.client("lambda").create_event_source_mapping(
        FunctionName=name, **{**SOURCES["kafka"], "SelfManagedEventSource": servers, "Topics": [topic]}
    )
    until(lambda: bool(own(real, "GET", f"invocations?function={name}")[1]))
    [found] = own(real, "GET", f"invocations?function={name}")[1]

    assert (found["event"]["eventSource"], found["event"]["bootstrapServers"]) == ("SelfManagedKafka", kafka.address)
    assert "eventSourceArn" not in found["event"]


@fact("StartingPosition", "LATEST begins with what is written after the mapping was made", source=STARTING)
def test_latest_begins_with_what_comes_after_the_mapping(reading: Reading) -> None:
    topic = unique("orders")
    reading.kafka.send(topic, "before")
    name, _ = reading.map(ECHO, topic, StartingPosition="LATEST")
    reading.kafka.send(topic, "after")
    reading.virtual.advance(1)

    assert reading.seen(name) == [["after"]]


@fact("StartingPosition", "AT_TIMESTAMP begins at the end when nothing is as late", source=STARTING)
def test_a_timestamp_after_the_last_record_begins_at_the_end(reading: Reading) -> None:
    topic = unique("orders")
    reading.kafka.send(topic, "before", timestamp=1_000_000_000_000)
    start = {"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": 1_500_000_000}
    name, _ = reading.map(ECHO, topic, **start)
    reading.kafka.send(topic, "after")
    reading.virtual.advance(1)

    assert reading.seen(name) == [["after"]]


@fact("ConsumerGroupId", "a group goes on where it committed, whichever mapping comes", source=KAFKA)
def test_a_group_goes_on_where_it_was(reading: Reading) -> None:
    topic, client = unique("orders"), reading.virtual.aws.client("lambda")
    group = {"AmazonManagedKafkaEventSourceConfig": {"ConsumerGroupId": unique("group")}}
    reading.kafka.send(topic, "a")
    _, uuid = reading.map(ECHO, topic, **group)
    client.delete_event_source_mapping(UUID=uuid)
    reading.virtual.advance(1)
    reading.kafka.send(topic, "b")
    name, _ = reading.map(ECHO, topic, **group)

    assert reading.seen(name) == [["b"]]


@fact("BatchSize, MaximumBatchingWindowInSeconds", "500 ms without a window; a full batch goes at once", source=WINDOW)
def test_records_are_handed_over_in_batches(reading: Reading) -> None:
    topic = unique("orders")
    reading.kafka.send(topic, "a", "b", "c")
    name, _ = reading.map(ECHO, topic, BatchSize=2)

    assert reading.seen(name) == [["a", "b"], ["c"]]


@fact(
    "FilterCriteria", "filters look into the value; what is filtered out is committed with the rest", source=FILTERING
)
def test_filters_look_into_the_value(reading: Reading) -> None:
    topic = unique("orders")
    reading.kafka.send(topic, '{"kind": "a"}', '{"kind": "b"}', "text")
    pattern = json.dumps({"value": {"kind": ["a"]}})
    name, uuid = reading.map(ECHO, topic, FilterCriteria={"Filters": [{"Pattern": pattern}]})

    assert reading.seen(name) == [['{"kind": "a"}', "text"]]
    assert reading.kafka.committed(uuid, topic)[0] == 3


@fact("MaximumRetryAttempts", "a failing batch is tried again without end, and holds up its partitions", source=RETRIES)
def test_a_failing_batch_holds_up_its_partition_and_no_other(reading: Reading) -> None:
    topic = unique("orders")
    reading.kafka.send(topic, "bad")
    name, uuid = reading.map(FAILS_ON_BAD, topic)
    reading.kafka.send(topic, "later")
    reading.kafka.send(topic, "other", partition=1)
    reading.virtual.advance(10)
    seen = reading.seen(name)

    assert {*map(tuple, seen)} == {("bad",), ("other",)}
    assert seen.count(["bad"]) > 2
    assert reading.kafka.committed(uuid, topic) == {0: 0, 1: 1, 2: 0, 3: 0}


@fact("FunctionResponseTypes", "what a partial response names by partition and offset is tried again", source=RETRIES)
def test_a_partial_response_names_partitions_and_offsets(reading: Reading) -> None:
    topic = unique("orders")
    reading.kafka.send(topic, "a", "bad", "c")
    reading.kafka.send(topic, "d", partition=1)
    settings = {"FunctionResponseTypes": ["ReportBatchItemFailures"], "MaximumRetryAttempts": 1}
    name, uuid = reading.map(NAMES_BAD_ONES, topic, **settings, **POLLERS)
    reading.virtual.advance(10)
    first, again = reading.seen(name)

    assert sorted(first) == ["a", "bad", "c", "d"]
    assert again == ["bad", "c"]
    assert reading.kafka.committed(uuid, topic) == {0: 3, 1: 1, 2: 0, 3: 0}


@fact("DestinationConfig.OnFailure", "queues hear where the records of a batch given up are", source=FAILURE)
def test_a_queue_hears_where_the_records_are(reading: Reading) -> None:
    topic = unique("orders")
    _, dead = reading.virtual.queue()
    reading.kafka.send(topic, "bad", "b")
    destination = {"DestinationConfig": {"OnFailure": {"Destination": dead}}}
    name, _ = reading.map(FAILS_ON_BAD, topic, MaximumRetryAttempts=1, **destination, **POLLERS)
    reading.virtual.advance(10)
    [document] = map(json.loads, reading.virtual.messages(dead))
    [(lane, info)] = document["KafkaBatchInfo"]["recordsInfo"].items()

    assert len(reading.seen(name)) == 2
    assert document["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert document["requestContext"]["approximateInvokeCount"] == 2
    assert document["KafkaBatchInfo"]["batchSize"] == 2
    assert document["KafkaBatchInfo"]["payloadSize"] > 100
    assert (lane, info["firstRecordOffset"], info["lastRecordOffset"]) == (f"{topic}-0", "0", "1")
    assert "payload" not in document


@fact("DestinationConfig.OnFailure", "buckets get the event as well", source=FAILURE)
def test_a_bucket_gets_the_event(reading: Reading) -> None:
    topic, bucket, s3 = unique("orders"), unique("bucket"), reading.virtual.aws.client("s3")
    s3.create_bucket(Bucket=bucket)
    reading.kafka.send(topic, "bad")
    destination = {"DestinationConfig": {"OnFailure": {"Destination": f"arn:aws:s3:::{bucket}"}}}
    reading.map(FAILS_ON_BAD, topic, MaximumRetryAttempts=0, **destination, **POLLERS)
    [found] = s3.list_objects_v2(Bucket=bucket)["Contents"]
    document = json.loads(s3.get_object(Bucket=bucket, Key=found["Key"])["Body"].read())

    assert list(json.loads(document["payload"])["records"]) == [f"{topic}-0"]


@fact(
    "DestinationConfig.OnFailure", "another topic gets each record with what went wrong, under its key", source=TOPICS
)
def test_another_topic_gets_each_record(reading: Reading) -> None:
    topic, failed = unique("orders"), unique("failed")
    reading.kafka.send(failed, "{}")
    reading.kafka.send(topic, "bad", key="k")
    destination = {"DestinationConfig": {"OnFailure": {"Destination": f"kafka://{failed}"}}}
    reading.map(FAILS_ON_BAD, topic, MaximumRetryAttempts=0, **destination, **POLLERS)
    [document] = [found for key, found in reading.kafka.documents(failed, 2) if key == b"k"]

    assert document["requestContext"]["condition"] == "RetriesExhausted"
    assert document["KafkaBatchInfo"]["recordInfo"]["offset"] == "0"
    assert list(document["payload"]["records"]) == [f"{topic}-0"]


@fact("MetricsConfig", "EventCount and KafkaMetrics count what is read, committed and left", source=METRICS)
def test_events_and_lag_are_counted(reading: Reading) -> None:
    topic = unique("orders")
    reading.kafka.send(topic, "a", "b")
    metrics = {"MetricsConfig": {"Metrics": ["EventCount", "KafkaMetrics"]}}
    name, uuid = reading.map(ECHO, topic, **metrics)

    assert counted(reading.virtual, uuid, "Polled", "Invoked", "Committed") == {
        "Polled": 2,
        "Invoked": 2,
        "Committed": 2,
    }
    assert total(reading.virtual, "SumOffsetLag", statistic="Maximum", EventSourceMappingUUID=uuid) == 2
    assert total(reading.virtual, "OffsetLag", statistic="Maximum", FunctionName=name) == 2


@fact("LastProcessingResult", "says why a broker cannot be read", source=KAFKA)
def test_a_broker_that_does_not_answer_is_said(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("nobody")
    url = "msk=kafka://me:hush@127.0.0.1:9"
    process, aws = start(folder, "--clock", "virtual", "--broker", url)
    try:
        found = Reading(Virtual(aws), Kafka())
        _, uuid = found.map(ECHO, "orders")
        result = found.result(uuid)
        alive = own(aws, "GET", "health")[0]
    finally:
        stop(process)

    assert result.startswith("PROBLEM: cannot connect to kafka://127.0.0.1:9")
    assert "hush" not in result
    assert alive == 200


@fact(
    "SourceAccessConfigurations, SchemaRegistryConfig",
    "log in with a secret; look up schemas",
    here="not",
    gap="the address of the option says how to log in; records come as they were written. Both are said",
    source=KAFKA,
)
def test_ways_in_that_are_not_used_are_said(reading: Reading) -> None:
    access = [{"Type": "SASL_SCRAM_512_AUTH", "URI": "arn:aws:secretsmanager:us-east-1:123456789012:secret:a-AbCdEf"}]
    _, uuid = reading.map(ECHO, unique("orders"), SourceAccessConfigurations=access)
    said = own(reading.virtual.aws, "GET", "fidelity")[1]["resources"][uuid]

    assert [each["says"] for each in said] == ["not used: the broker's address says how to log in"]
