"""The kinds of event sources a mapping reads, and which settings each takes and begins with. Data and pure functions.

https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast

from lambdaform.local.ports import AwsFault, Json

Kind = Literal["sqs", "kinesis", "dynamodb", "msk", "kafka", "mq", "documentdb"]
"""`msk` is Kafka by the ARN of an Amazon MSK cluster, `kafka` by addresses of one's own."""

BROKERS: Mapping[Kind, str] = {
    "msk": "Amazon MSK",
    "kafka": "self-managed Apache Kafka",
    "mq": "Amazon MQ",
    "documentdb": "Amazon DocumentDB",
}
"""What the local AWS reads only where an address is given, by name."""

_SERVICES: Mapping[str, Kind] = {
    "sqs": "sqs",
    "kinesis": "kinesis",
    "dynamodb": "dynamodb",
    "kafka": "msk",
    "mq": "mq",
    "rds": "documentdb",
}
_EVERY = frozenset(
    {
        "BatchSize",
        "Enabled",
        "EventSourceArn",
        "FunctionName",
        "MaximumBatchingWindowInSeconds",
        "MetricsConfig",
        "Tags",
        "UUID",
    }
)
_FILTERED = frozenset({"FilterCriteria", "KMSKeyArn"})
_START = frozenset({"StartingPosition", "StartingPositionTimestamp"})
RETRIES = frozenset(
    {"BisectBatchOnFunctionError", "FunctionResponseTypes", "MaximumRecordAgeInSeconds", "MaximumRetryAttempts"}
)
"""What Kafka has with provisioned pollers only."""
_QUEUE = _EVERY | _FILTERED | {"FunctionResponseTypes", "ScalingConfig", "ProvisionedPollerConfig"}
_LOG = _EVERY | _FILTERED | _START | RETRIES | {"DestinationConfig"}
_STREAM = _LOG | {"ParallelizationFactor", "TumblingWindowInSeconds"}
_BROKER = _EVERY | {"SourceAccessConfigurations"}
_KAFKA = _LOG | _BROKER | {"LoggingConfig", "ProvisionedPollerConfig", "Topics"}
TAKES: Mapping[Kind, frozenset[str]] = {
    "sqs": _QUEUE,
    "kinesis": _STREAM,
    "dynamodb": _STREAM,
    "msk": _KAFKA | {"AmazonManagedKafkaEventSourceConfig"},
    "kafka": _KAFKA | {"SelfManagedEventSource", "SelfManagedKafkaEventSourceConfig"},
    "mq": _BROKER | _FILTERED | {"Queues"},
    "documentdb": _BROKER | _START | {"DocumentDBEventSourceConfig"},
}
"""The settings of each kind."""

_STREAM_DEFAULTS: Mapping[str, Json] = {
    "BatchSize": 100,
    "MaximumBatchingWindowInSeconds": 0,
    "BisectBatchOnFunctionError": False,
    "DestinationConfig": {"OnFailure": {}},
    "MaximumRecordAgeInSeconds": -1,
    "MaximumRetryAttempts": -1,
    "ParallelizationFactor": 1,
    "TumblingWindowInSeconds": 0,
    "FunctionResponseTypes": [],
}
DEFAULTS: Mapping[Kind, Mapping[str, Json]] = {
    "sqs": {"BatchSize": 10, "MaximumBatchingWindowInSeconds": 0, "FunctionResponseTypes": []},
    "kinesis": _STREAM_DEFAULTS,
    "dynamodb": _STREAM_DEFAULTS,
    # Their window is 500 ms when nothing is said, which whole seconds cannot show.
    "msk": {"BatchSize": 100, "DestinationConfig": {"OnFailure": {}}},
    "kafka": {"BatchSize": 100, "DestinationConfig": {"OnFailure": {}}},
    "mq": {"BatchSize": 100},
    "documentdb": {"BatchSize": 100},
}
"""What a mapping shows when nothing was said."""

POLLERS: Mapping[Kind, tuple[int, int]] = {"sqs": (2, 10_000), "msk": (1, 2_000), "kafka": (1, 2_000)}
"""Fewest and most provisioned pollers.
https://docs.aws.amazon.com/lambda/latest/api/API_ProvisionedPollerConfig.html"""
MOST_POLLERS_DEFAULT = 200


GROUPS: Mapping[Kind, str] = {
    "msk": "AmazonManagedKafkaEventSourceConfig",
    "kafka": "SelfManagedKafkaEventSourceConfig",
}
"""Where Kafka's consumer group is named; the mapping's own UUID names it when nothing is said."""


def kind_of(source_arn: str, settings: Mapping[str, Json]) -> Kind | None:
    """Which kind of source a mapping reads; None for what no mapping reads."""
    if not source_arn:
        return "kafka" if settings.get("SelfManagedEventSource") else None
    parts = source_arn.split(":")
    return _SERVICES.get(parts[2]) if len(parts) > 5 else None


def place_of(source_arn: str, settings: Mapping[str, Json]) -> tuple[object, ...]:
    """What exactly is read: there is one mapping of it for a function."""
    config = cast(Mapping[str, Any], settings.get("DocumentDBEventSourceConfig") or {})
    endpoints = cast(Mapping[str, Any], settings.get("SelfManagedEventSource") or {}).get("Endpoints", {})
    servers = tuple(sorted(endpoints.get("KAFKA_BOOTSTRAP_SERVERS", ())))
    names = tuple(settings.get("Topics") or settings.get("Queues") or ())
    return (source_arn, servers, names, config.get("DatabaseName"), config.get("CollectionName"))


def shown_group(kind: Kind, settings: Mapping[str, Json], uuid: str) -> Mapping[str, Json]:
    """Settings with the consumer group that a mapping of Kafka joins."""
    field = GROUPS.get(kind)
    return settings if field is None else {**settings, field: {"ConsumerGroupId": uuid, **settings.get(field, {})}}


def tidied(kind: Kind, settings: Mapping[str, Json]) -> Mapping[str, Json]:
    """Settings as a mapping shows them: without empty filters and scaling, with the pollers that are not named."""
    result = dict(settings)
    if "FilterCriteria" in result and not result["FilterCriteria"].get("Filters"):
        del result["FilterCriteria"]
    for field in ("ScalingConfig", "ProvisionedPollerConfig"):
        if field in result and not result[field]:
            del result[field]
    if "ProvisionedPollerConfig" in result and kind in POLLERS:
        fewest = {"MinimumPollers": POLLERS[kind][0], "MaximumPollers": MOST_POLLERS_DEFAULT}
        result["ProvisionedPollerConfig"] = {**fewest, **result["ProvisionedPollerConfig"]}
    return result


def check_change(kind: Kind, before: Mapping[str, Json], given: Mapping[str, Json]) -> None:
    """Refuse a change of what is fixed when a mapping is made. Raises `AwsFault`."""
    field = GROUPS.get(kind, "")
    for name, value in cast(Mapping[str, Json], given.get(field) or {}).items():
        if name in ("ConsumerGroupId", "ConsumptionMode") and value != before.get(field, {}).get(name, "Stream"):
            raise AwsFault("InvalidParameterValueException", f"{name} cannot be changed.")
    access = cast(list[Mapping[str, str]], given.get("SourceAccessConfigurations") or [])
    if any(each.get("Type") == "VIRTUAL_HOST" for each in access):
        raise AwsFault("InvalidParameterValueException", "VIRTUAL_HOST cannot be specified in an update.")
