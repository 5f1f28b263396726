"""Kafka, Amazon MQ and DocumentDB as event sources.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventsourcemapping.html
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.facts import fact
from tests.local.conftest import Virtual, own, refusal

API = "https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html"
MSK = "https://docs.aws.amazon.com/lambda/latest/dg/with-msk-configure.html"
KAFKA = "https://docs.aws.amazon.com/lambda/latest/dg/with-kafka-configure.html"
RETRIES = "https://docs.aws.amazon.com/lambda/latest/dg/kafka-retry-configurations.html"
ACCESS = "https://docs.aws.amazon.com/lambda/latest/api/API_SourceAccessConfiguration.html"
MQ = "https://docs.aws.amazon.com/lambda/latest/dg/with-mq.html"
DOCUMENTDB = "https://docs.aws.amazon.com/lambda/latest/dg/with-documentdb.html"
UNREAD = (
    "nothing is read where no address was given: the mapping is kept, shown, and said not to invoke its function. "
    "Topics of a real Kafka, queues of a real ActiveMQ or RabbitMQ and changes of a real MongoDB are read, see there"
)
ECHO = "def handler(event, context):\n    return None\n"
LEAD = "us-east-1:123456789012"
SECRET = f"arn:aws:secretsmanager:{LEAD}:secret:broker-AbCdEf"
LOGIN = [{"Type": "BASIC_AUTH", "URI": SECRET}]

SOURCES: dict[str, dict[str, Any]] = {
    "msk": {
        "EventSourceArn": f"arn:aws:kafka:{LEAD}:cluster/orders/3b1a6a5e-0b6c-4f0b-9a54-5c3ff8c0c5a1-2",
        "Topics": ["orders"],
        "StartingPosition": "LATEST",
    },
    "kafka": {
        "SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["broker.example:9092"]}},
        "SourceAccessConfigurations": LOGIN,
        "Topics": ["orders"],
        "StartingPosition": "TRIM_HORIZON",
    },
    "mq": {
        "EventSourceArn": f"arn:aws:mq:{LEAD}:broker:orders:b-9bcfa592-423a-4942-879d-eb284b418fc8",
        "Queues": ["orders"],
        "SourceAccessConfigurations": [*LOGIN, {"Type": "VIRTUAL_HOST", "URI": "/"}],
    },
    "documentdb": {
        "EventSourceArn": f"arn:aws:rds:{LEAD}:cluster:orders",
        "DocumentDBEventSourceConfig": {"DatabaseName": "shop", "CollectionName": "orders"},
        "SourceAccessConfigurations": LOGIN,
        "StartingPosition": "LATEST",
    },
}


def created(virtual: Virtual, **settings: Any) -> Any:
    return virtual.aws.client("lambda").create_event_source_mapping(FunctionName=virtual.function(ECHO), **settings)


def refused(virtual: Virtual, **settings: Any) -> str:
    call = virtual.aws.client("lambda").create_event_source_mapping
    found = refusal(call, FunctionName=virtual.function(ECHO), **settings)
    assert found.code == "InvalidParameterValueException"
    return found.message


def without(source: str, *names: str, **more: Any) -> dict[str, Any]:
    return {**{name: value for name, value in SOURCES[source].items() if name not in names}, **more}


@pytest.mark.parametrize("source", sorted(SOURCES))
@fact("EventSourceArn, SelfManagedEventSource", "batches invoke the function", here="partly", gap=UNREAD, source=API)
def test_a_mapping_is_kept_and_said_not_to_be_read(virtual: Virtual, source: str) -> None:
    made = created(virtual, **SOURCES[source])
    virtual.advance(1)
    shown = virtual.aws.client("lambda").get_event_source_mapping(UUID=made["UUID"])

    assert (made["State"], shown["State"], made["BatchSize"]) == ("Creating", "Enabled", 100)
    assert made["StateTransitionReason"] == "USER_INITIATED"
    assert {name: shown.get(name) for name in SOURCES[source]} == SOURCES[source]
    assert shown["LastProcessingResult"].startswith("PROBLEM: the local AWS does not read from")
    said = own(virtual.aws, "GET", "fidelity")[1]["resources"][made["UUID"]]
    assert any("nothing is read" in each["says"] for each in said)


@pytest.mark.parametrize(
    ("source", "missing", "says"),
    [
        ("msk", "Topics", "Required 'topics' parameter is missing."),
        ("msk", "StartingPosition", "'startingPosition' failed to satisfy constraint: Member must not be null"),
        ("kafka", "SourceAccessConfigurations", "Required 'sourceAccessConfigurations' parameter is missing."),
        ("kafka", "Topics", "Required 'topics' parameter is missing."),
        ("kafka", "SelfManagedEventSource", "Unrecognized event source."),
        ("mq", "Queues", "Required 'queues' parameter is missing."),
        ("mq", "SourceAccessConfigurations", "Required 'sourceAccessConfigurations' parameter is missing."),
        ("documentdb", "DocumentDBEventSourceConfig", "Required 'databaseName' parameter is missing."),
        ("documentdb", "SourceAccessConfigurations", "Required 'sourceAccessConfigurations' parameter is missing."),
        ("documentdb", "StartingPosition", "'startingPosition' failed to satisfy constraint"),
    ],
)
@fact("CreateEventSourceMapping", "names what each kind of broker needs", source=API)
def test_what_a_broker_needs_is_asked_for(virtual: Virtual, source: str, missing: str, says: str) -> None:
    assert says in refused(virtual, **without(source, missing))


@pytest.mark.parametrize(
    ("source", "settings"),
    [
        ("msk", {"Queues": ["orders"]}),
        ("msk", {"ParallelizationFactor": 2}),
        ("kafka", {"TumblingWindowInSeconds": 60}),
        ("kafka", {"ScalingConfig": {"MaximumConcurrency": 2}}),
        ("mq", {"StartingPosition": "LATEST"}),
        ("mq", {"DestinationConfig": {"OnFailure": {"Destination": SECRET}}}),
        ("documentdb", {"FilterCriteria": {"Filters": [{"Pattern": '{"a": [1]}'}]}}),
        ("documentdb", {"FunctionResponseTypes": ["ReportBatchItemFailures"]}),
    ],
)
@fact("CreateEventSourceMapping", "refuses settings of other kinds of sources", source=API)
def test_settings_of_other_sources_are_refused(virtual: Virtual, source: str, settings: dict[str, Any]) -> None:
    [name] = settings
    message = f"Unsupported {name} parameter for given event source mapping type."
    assert refused(virtual, **SOURCES[source], **settings) == message


@pytest.mark.parametrize(
    ("source", "access"),
    [
        ("msk", [{"Type": "BASIC_AUTH", "URI": SECRET}]),
        ("kafka", [{"Type": "VIRTUAL_HOST", "URI": "/"}]),
        ("kafka", [{"Type": "OAUTHBEARER_SCOPE", "URI": "read"}]),
        ("kafka", [{"Type": "IAM_OAUTHBEARER_AUTH"}]),
        ("mq", [*LOGIN, {"Type": "VPC_SUBNET", "URI": "subnet:subnet-1"}]),
        ("documentdb", [*LOGIN, {"Type": "VIRTUAL_HOST", "URI": "/"}]),
    ],
)
@fact("SourceAccessConfigurations", "each kind of broker has its own ways in", source=ACCESS)
def test_ways_in_of_other_brokers_are_refused(virtual: Virtual, source: str, access: list[dict[str, str]]) -> None:
    assert refused(virtual, **without(source, "SourceAccessConfigurations", SourceAccessConfigurations=access))


@pytest.mark.parametrize("source", ["msk", "kafka"])
@fact("ConsumerGroupId", "is the mapping's UUID when nothing is said, and cannot be changed", source=KAFKA)
def test_a_consumer_group_is_fixed(virtual: Virtual, source: str) -> None:
    field = "AmazonManagedKafkaEventSourceConfig" if source == "msk" else "SelfManagedKafkaEventSourceConfig"
    made = created(virtual, **SOURCES[source])
    named = created(virtual, **SOURCES[source], **{field: {"ConsumerGroupId": "mine"}})
    virtual.advance(1)
    update = virtual.aws.client("lambda").update_event_source_mapping
    changed = refusal(update, UUID=named["UUID"], **{field: {"ConsumerGroupId": "other"}})

    assert made[field]["ConsumerGroupId"] == made["UUID"]
    assert named[field]["ConsumerGroupId"] == "mine"
    assert changed.code == "InvalidParameterValueException"


@pytest.mark.parametrize(
    "settings",
    [
        {"MaximumRetryAttempts": 3},
        {"BisectBatchOnFunctionError": True},
        {"MaximumRecordAgeInSeconds": 60},
        {"FunctionResponseTypes": ["ReportBatchItemFailures"]},
        {"DestinationConfig": {"OnFailure": {"Destination": "kafka://failed"}}},
    ],
)
@fact("ProvisionedPollerConfig", "Kafka's retries, partial responses and Kafka destinations need it", source=RETRIES)
def test_retries_of_kafka_need_provisioned_pollers(virtual: Virtual, settings: dict[str, Any]) -> None:
    pollers = {"MinimumPollers": 1}

    assert refused(virtual, **SOURCES["msk"], **settings).startswith("Unsupported")
    made = created(virtual, **SOURCES["msk"], **settings, ProvisionedPollerConfig=pollers)
    assert made["ProvisionedPollerConfig"] == {"MinimumPollers": 1, "MaximumPollers": 200}


@fact("ProvisionedPollerConfig", "Kafka has 1 to 2,000 pollers", source=API)
def test_kafka_has_at_most_two_thousand_pollers(virtual: Virtual) -> None:
    assert "2000" in refused(virtual, **SOURCES["msk"], ProvisionedPollerConfig={"MaximumPollers": 2_001})


@fact("ConsumptionMode", "Queue has no starting position, no window, and no retries without end", source=API)
def test_share_groups_have_no_position(virtual: Virtual) -> None:
    mode = {"ConsumptionMode": "Queue"}
    config = {"SelfManagedKafkaEventSourceConfig": mode}

    assert "StartingPosition" in refused(virtual, **SOURCES["kafka"], **config)
    made = created(virtual, **without("kafka", "StartingPosition"), **config)
    assert made["SelfManagedKafkaEventSourceConfig"]["ConsumptionMode"] == "Queue"


@fact("VIRTUAL_HOST", "cannot be given in an update", source=ACCESS)
def test_a_virtual_host_is_fixed(virtual: Virtual) -> None:
    made = created(virtual, **SOURCES["mq"])
    virtual.advance(1)
    update = virtual.aws.client("lambda").update_event_source_mapping
    access = [*LOGIN, {"Type": "VIRTUAL_HOST", "URI": "/other"}]

    assert refusal(update, UUID=made["UUID"], SourceAccessConfigurations=access).status == 400


@fact("CreateEventSourceMapping", "one mapping of a topic for a function, others of other topics", source=MSK)
def test_a_topic_is_mapped_to_a_function_once(virtual: Virtual) -> None:
    client = virtual.aws.client("lambda")
    settings = {"FunctionName": virtual.function(ECHO), **SOURCES["msk"]}
    client.create_event_source_mapping(**settings)

    assert refusal(client.create_event_source_mapping, **settings).code == "ResourceConflictException"
    assert client.create_event_source_mapping(**{**settings, "Topics": ["other"]})["State"] == "Creating"
