"""What AWS refuses of an event source mapping's settings, whatever there is at the other end. Pure functions.

https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from lambdaform.local.delivery import service_of
from lambdaform.local.event_sources import GROUPS, POLLERS, RETRIES, TAKES, Kind
from lambdaform.local.pollers.sources import seconds
from lambdaform.local.ports import AwsFault, Json

# https://docs.aws.amazon.com/lambda/latest/api/API_SourceAccessConfiguration.html
_MSK_ACCESS = frozenset({"SASL_SCRAM_512_AUTH", "CLIENT_CERTIFICATE_TLS_AUTH"})
_KAFKA_ACCESS = _MSK_ACCESS | {
    "BASIC_AUTH",
    "IAM_AUTH",
    "IAM_OAUTHBEARER_AUTH",
    "OAUTHBEARER_AUDIENCE",
    "OAUTHBEARER_AUTH",
    "OAUTHBEARER_IDENTITY_POOL",
    "OAUTHBEARER_LOGICAL_CLUSTER",
    "OAUTHBEARER_SCOPE",
    "SASL_SCRAM_256_AUTH",
    "SERVER_ROOT_CA_CERTIFICATE",
    "VPC_SECURITY_GROUP",
    "VPC_SUBNET",
}
_MQ_ACCESS = frozenset({"BASIC_AUTH", "VIRTUAL_HOST"})
_DOCUMENTDB_ACCESS = frozenset({"BASIC_AUTH"})
_ACCESS_WITH = {
    "OAUTHBEARER_SCOPE": {"OAUTHBEARER_AUTH"},
    "OAUTHBEARER_AUDIENCE": {"OAUTHBEARER_AUTH", "IAM_OAUTHBEARER_AUTH"},
    "OAUTHBEARER_LOGICAL_CLUSTER": {"OAUTHBEARER_AUTH"},
    "OAUTHBEARER_IDENTITY_POOL": {"OAUTHBEARER_AUTH"},
    "IAM_OAUTHBEARER_AUTH": {"OAUTHBEARER_AUDIENCE"},
}


def check_settings(kind: Kind, arn: str, settings: Mapping[str, Json], *, now: float) -> None:
    """Refuse settings that a kind of source does not take, or not together. Raises `AwsFault`."""
    for name, value in settings.items():
        if name not in TAKES[kind] and not _is_nothing(value):
            raise unsupported(name)
    _check_pollers(kind, settings)
    age = settings.get("MaximumRecordAgeInSeconds")
    if age is not None and -1 < age < 60:
        raise invalid("MaximumRecordAgeInSeconds must be -1, or at least 60.")  # the rule is AWS's, the words are not
    _check_destinations(kind, settings)
    match kind:
        case "sqs":
            _check_queue(arn, settings)
        case "kinesis" | "dynamodb":
            _check_stream(kind, arn, settings, now)
        case "msk" | "kafka":
            _check_kafka(kind, settings, now)
        case "mq":
            _check_named(settings, "Queues", "queues")
            _check_access(settings, _MQ_ACCESS, needs="BASIC_AUTH")
        case "documentdb":
            _check_start(settings, now)
            if not cast(Mapping[str, Any], settings.get("DocumentDBEventSourceConfig") or {}).get("DatabaseName"):
                raise _missing("databaseName")
            _check_access(settings, _DOCUMENTDB_ACCESS, needs="BASIC_AUTH")


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


def _check_destinations(kind: Kind, settings: Mapping[str, Json]) -> None:
    """There are some for what failed only, and of fewer kinds than those of asynchronous invocations.

    https://docs.aws.amazon.com/lambda/latest/api/API_OnFailure.html
    """
    config = cast(Mapping[str, Mapping[str, str]], settings.get("DestinationConfig") or {})
    if (config.get("OnSuccess") or {}).get("Destination"):
        raise unsupported("DestinationConfig")
    failed = (config.get("OnFailure") or {}).get("Destination", "")
    is_topic = failed.startswith("kafka://") and kind in GROUPS
    if failed and not is_topic and service_of(failed) not in ("sqs", "sns", "s3"):
        # The rule is AWS's, and so are the words, but of asynchronous invocations.
        shown = f"DestinationConfig(onSuccess=null, onFailure=OnFailure(destination={failed}))"
        raise invalid(f"The provided destination config {shown} is invalid.")


def _check_stream(kind: Kind, arn: str, settings: Mapping[str, Json], now: float) -> None:
    if settings.get("StartingPosition") == "AT_TIMESTAMP" and kind == "dynamodb":
        raise invalid(f"Unsupported starting position for arn type: {arn}")
    _check_start(settings, now)
    if settings.get("TumblingWindowInSeconds") and int(settings.get("ParallelizationFactor") or 1) > 1:
        # That it is refused is known, AWS's words are not.
        raise invalid("ParallelizationFactor must be 1 when TumblingWindowInSeconds is set.")


def _check_kafka(kind: Kind, settings: Mapping[str, Json], now: float) -> None:
    config = cast(Mapping[str, Any], settings.get(GROUPS[kind]) or {})
    if kind == "kafka":
        source = cast(Mapping[str, Any], settings["SelfManagedEventSource"])
        if not cast(Mapping[str, Any], source.get("Endpoints") or {}).get("KAFKA_BOOTSTRAP_SERVERS"):
            raise _missing("endpoints")
        if not settings.get("SourceAccessConfigurations"):
            raise _missing("sourceAccessConfigurations")
    _check_named(settings, "Topics", "topics")
    _check_access(settings, _MSK_ACCESS if kind == "msk" else _KAFKA_ACCESS)
    if config.get("ConsumptionMode") == "Queue":
        for name in ("StartingPosition", "StartingPositionTimestamp", "MaximumBatchingWindowInSeconds"):
            if settings.get(name) is not None:
                raise unsupported(name)
        if settings.get("MaximumRetryAttempts") == -1:
            raise unsupported("MaximumRetryAttempts")
    else:
        _check_start(settings, now)
    if not settings.get("ProvisionedPollerConfig"):
        for name in sorted(RETRIES):
            if not _is_nothing(settings.get(name)) and settings[name] != []:
                raise unsupported(name)
        destinations = cast(Mapping[str, Any], settings.get("DestinationConfig") or {})
        on_failure = cast(Mapping[str, str], destinations.get("OnFailure") or {})
        if on_failure.get("Destination", "").startswith("kafka://"):
            raise unsupported("DestinationConfig")


def _check_named(settings: Mapping[str, Json], member: str, name: str) -> None:
    if not settings.get(member):
        raise _missing(name)


def _check_access(settings: Mapping[str, Json], types: frozenset[str], *, needs: str | None = None) -> None:
    """Refuse ways in that a source does not have."""
    given = [
        str(each.get("Type"))
        for each in cast(Sequence[Mapping[str, Any]], settings.get("SourceAccessConfigurations") or ())
    ]
    for kind in given:
        if kind not in types:
            raise invalid(f"Unsupported source access type {kind} for given event source mapping type.")
    if needs is not None and needs not in given:
        raise _missing("sourceAccessConfigurations")
    for kind, needed in _ACCESS_WITH.items():
        if kind in given and not needed & {*given}:
            raise invalid(f"{kind} requires {' or '.join(sorted(needed))}.")


def _missing(name: str) -> AwsFault:
    return invalid(f"Required '{name}' parameter is missing.")


def _check_start(settings: Mapping[str, Json], now: float) -> None:
    if settings.get("StartingPosition") is None:
        raise invalid(
            "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: "
            "Member must not be null."
        )
    moment = settings.get("StartingPositionTimestamp")
    if moment is None and settings["StartingPosition"] == "AT_TIMESTAMP":
        raise invalid("Need to specify a timestamp")
    if moment is not None and seconds(moment) > now:
        raise invalid("StartingPositionTimestamp cannot be in the future.")  # the rule is AWS's, the words are not
