"""What AWS refuses of an event source mapping's settings, whatever there is at the other end. Pure functions.

https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from lambdaform.local.event_sources import POLLERS, TAKES, Kind
from lambdaform.local.ports import AwsFault, Json


def check_settings(kind: Kind, arn: str, settings: Mapping[str, Json]) -> None:
    """Refuse settings that a kind of source does not take, or not together. Raises `AwsFault`."""
    for name, value in settings.items():
        if name not in TAKES[kind] and not _is_nothing(value):
            raise unsupported(name)
    _check_pollers(kind, settings)
    match kind:
        case "sqs":
            _check_queue(arn, settings)
        case "kinesis" | "dynamodb":
            _check_stream(kind, arn, settings)


def invalid(message: str) -> AwsFault:
    """400 of Lambda's own checks."""
    return AwsFault("InvalidParameterValueException", message)


def unsupported(name: str) -> AwsFault:
    """What a kind of source does not take."""
    return invalid(f"Unsupported {name} parameter for given event source mapping type.")


def _is_nothing(value: Json) -> bool:
    """Whether a setting says what holds without it."""
    return value in (None, False) or (isinstance(value, Mapping) and not any(cast(Mapping[str, Any], value).values()))


def _check_pollers(kind: Kind, settings: Mapping[str, Json]) -> None:
    config = cast(Mapping[str, int], settings.get("ProvisionedPollerConfig") or {})
    if not config or kind not in POLLERS:
        return
    if settings.get("ScalingConfig"):
        raise invalid("ScalingConfig and ProvisionedPollerConfig cannot be set at the same time.")
    least, most = POLLERS[kind]
    fewest, largest = config.get("MinimumPollers", least), config.get("MaximumPollers", most)
    # The ranges are AWS's, the words are not known.
    if fewest < least or largest < least:
        raise invalid(f"MinimumPollers and MaximumPollers must be at least {least} for this event source.")
    if largest > most:
        raise invalid(f"MaximumPollers must be at most {most} for this event source.")
    if largest < fewest:
        raise invalid("MaximumPollers must not be less than MinimumPollers.")


def _check_queue(arn: str, settings: Mapping[str, Json]) -> None:
    is_fifo = arn.endswith(".fifo")
    batch_size = int(settings.get("BatchSize") or 10)
    window = int(settings.get("MaximumBatchingWindowInSeconds") or 0)
    if is_fifo and window:
        raise invalid("Batching window is not supported for FIFO queues.")
    if batch_size > 10 and is_fifo:
        raise invalid("Maximum batch size for FIFO queues is 10.")
    if batch_size > 10 and not window:
        raise invalid("Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10")


def _check_stream(kind: Kind, arn: str, settings: Mapping[str, Json]) -> None:
    _check_start(settings)
    if settings["StartingPosition"] == "AT_TIMESTAMP" and kind == "dynamodb":
        raise invalid(f"Unsupported starting position for arn type: {arn}")
    if settings.get("TumblingWindowInSeconds") and int(settings.get("ParallelizationFactor") or 1) > 1:
        # That it is refused is known, AWS's words are not.
        raise invalid("ParallelizationFactor must be 1 when TumblingWindowInSeconds is set.")


def _check_start(settings: Mapping[str, Json]) -> None:
    if settings.get("StartingPosition") is None:
        raise invalid(
            "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: "
            "Member must not be null."
        )
