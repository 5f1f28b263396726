"""The kinds of event sources a mapping reads, and which settings each takes and begins with. Data and pure functions.

https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from lambdaform.local.ports import Json

Kind = Literal["sqs", "kinesis", "dynamodb"]

_SERVICES: Mapping[str, Kind] = {"sqs": "sqs", "kinesis": "kinesis", "dynamodb": "dynamodb"}
_EVERY = frozenset(
    {
        "BatchSize",
        "Enabled",
        "EventSourceArn",
        "FilterCriteria",
        "FunctionName",
        "FunctionResponseTypes",
        "KMSKeyArn",
        "MaximumBatchingWindowInSeconds",
        "MetricsConfig",
        "Tags",
        "UUID",
    }
)
_QUEUE = _EVERY | {"ScalingConfig", "ProvisionedPollerConfig"}
_STREAM = _EVERY | {
    "BisectBatchOnFunctionError",
    "DestinationConfig",
    "MaximumRecordAgeInSeconds",
    "MaximumRetryAttempts",
    "ParallelizationFactor",
    "StartingPosition",
    "StartingPositionTimestamp",
    "TumblingWindowInSeconds",
}
TAKES: Mapping[Kind, frozenset[str]] = {"sqs": _QUEUE, "kinesis": _STREAM, "dynamodb": _STREAM}
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
}
"""What a mapping shows when nothing was said."""

POLLERS: Mapping[Kind, tuple[int, int]] = {"sqs": (2, 10_000)}
"""Fewest and most provisioned pollers.
https://docs.aws.amazon.com/lambda/latest/api/API_ProvisionedPollerConfig.html"""
MOST_POLLERS_DEFAULT = 200


def kind_of(source_arn: str) -> Kind | None:
    """Which kind an ARN is of; None for what no mapping reads."""
    parts = source_arn.split(":")
    return _SERVICES.get(parts[2]) if len(parts) > 5 else None


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
