"""A version's settings: defaults, AWS's own checks after the model's, and the FunctionConfiguration of answers.

Pure functions. Limits are those of https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html; where
the model's maximum belongs to a special mode (memory, timeout, /tmp), the ordinary one is checked here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from lambdaform.local.lambda_.naming import LATEST, function_arn
from lambdaform.local.lambda_.values import Version
from lambdaform.local.ports import AwsFault, Json
from lambdaform.model.runtimes import RUNTIMES

LARGEST_ENVIRONMENT = 4096
LARGEST_TIMEOUT = 900
LARGEST_MEMORY = 10_240
LARGEST_SCRATCH = 10_240
SMALLEST_SCRATCH = 512
MOST_LAYERS = 5
LONGEST_NAME = 64

RESERVED_KEYS = frozenset(
    [
        "_HANDLER",
        "_X_AMZN_TRACE_ID",
        "AWS_DEFAULT_REGION",
        "AWS_REGION",
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_FUNCTION_VERSION",
        "AWS_LAMBDA_INITIALIZATION_TYPE",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_LAMBDA_RUNTIME_API",
        "LAMBDA_TASK_ROOT",
        "LAMBDA_RUNTIME_DIR",
        "AWS_LAMBDA_MAX_CONCURRENCY",
        "AWS_LAMBDA_METADATA_API",
        "AWS_LAMBDA_METADATA_TOKEN",
    ]
)
"""https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html"""

REMOVED_RUNTIMES = frozenset(
    [
        "nodejs",
        "nodejs4.3",
        "nodejs4.3-edge",
        "nodejs6.10",
        "nodejs8.10",
        "nodejs10.x",
        "nodejs12.x",
        "nodejs14.x",
        "python2.7",
        "python3.6",
        "python3.7",
        "ruby2.5",
        "ruby2.7",
        "dotnetcore1.0",
        "dotnetcore2.0",
        "dotnetcore2.1",
        "dotnetcore3.1",
        "go1.x",
        "provided",
        "java8",
    ]
)
"""Runtimes AWS stopped taking long ago. Younger deprecations move, so warning of them is left to the checks."""

SUPPORTED_RUNTIMES = [
    "nodejs22.x",
    "nodejs24.x",
    "nodejs20.x",
    "nodejs18.x",
    "nodejs16.x",
    "nodejs26.x",
    "java25",
    "java21",
    "java17",
    "java11",
    "java8.al2",
    "java17.al2023",
    "java11.al2023",
    "java8.al2023",
    "python3.15",
    "python3.14",
    "python3.13",
    "python3.12",
    "python3.11",
    "python3.10",
    "python3.9",
    "python3.8",
    "ruby4.0",
    "ruby3.4",
    "ruby3.3",
    "ruby3.2",
    "dotnet10",
    "dotnet8",
    "dotnet6",
    "provided.al2023",
    "provided.al2",
    "custom",
]

_COPIED = (
    "Runtime",
    "Role",
    "Handler",
    "Description",
    "Timeout",
    "MemorySize",
    "VpcConfig",
    "DeadLetterConfig",
    "Environment",
    "KMSKeyArn",
    "TracingConfig",
    "Layers",
    "FileSystemConfigs",
    "ImageConfig",
    "EphemeralStorage",
    "SnapStart",
    "LoggingConfig",
    "PackageType",
    "Architectures",
    "TenancyConfig",
    "DurableConfig",
    "CapacityProviderConfig",
)


_INNER_DEFAULTS: Mapping[str, Mapping[str, str]] = {
    "TracingConfig": {"Mode": "PassThrough"},
    "SnapStart": {"ApplyOn": "None"},
}
"""What holds when such a setting is not given, or given without its only member."""


def created(params: Mapping[str, Json], name: str) -> dict[str, Json]:
    """The settings of a new function. Raises `AwsFault` for what AWS refuses."""
    package = params.get("PackageType", "Zip")
    if package == "Image" and any(params.get(field) for field in ("Runtime", "Handler", "Layers")):
        _refuse(
            "Please don't provide Handler or Runtime or Layer when the intent is to create a function using an image."
        )
    if package == "Zip" and not (params.get("Runtime") and params.get("Handler")):
        _refuse("Runtime and Handler are mandatory parameters for functions created with deployment packages.")
    settings: dict[str, Json] = {
        "Description": "",
        "Timeout": 3,
        "MemorySize": 128,
        "PackageType": package,
        "Architectures": ["x86_64"],
        "EphemeralStorage": {"Size": 512},
        **_INNER_DEFAULTS,
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{name}"},
    }
    return _merged(settings, params, name)


def merged(settings: Mapping[str, Json], params: Mapping[str, Json], name: str) -> dict[str, Json]:
    """The settings after an update that carries only what changes. Raises `AwsFault` for what AWS refuses."""
    if "DurableConfig" in params and "DurableConfig" not in settings:
        # https://docs.aws.amazon.com/lambda/latest/dg/durable-configuration.html; the words are not AWS's.
        _refuse("Durable execution can only be enabled when a function is created, not for an existing function.")
    return _merged(settings, params, name)


def _merged(settings: Mapping[str, Json], params: Mapping[str, Json], name: str) -> dict[str, Json]:
    check(params)
    result = dict(settings) | {field: params[field] for field in _COPIED if field in params}
    for field, defaults in _INNER_DEFAULTS.items():
        if field in params:
            result[field] = {**defaults, **params[field]}
    if "Environment" in params and "Variables" not in params["Environment"]:
        result.pop("Environment")
    if not params.get("DeadLetterConfig", {"": 0}).get("TargetArn", True):
        result.pop("DeadLetterConfig", None)
    if "KMSKeyArn" in params and not params["KMSKeyArn"]:
        result.pop("KMSKeyArn")
    if "LoggingConfig" in params:
        result["LoggingConfig"] = _logging(settings.get("LoggingConfig", {}), params["LoggingConfig"], name)
    for emptied in ("Layers", "FileSystemConfigs"):
        if result.get(emptied) == []:
            result.pop(emptied)
    if result["PackageType"] != "Image" and result.pop("ImageConfig", None):
        # The rule is documented, the words are not AWS's.
        _refuse("Please don't provide ImageConfig when the intended function PackageType is Zip.")
    _check_snap_start(result)
    _check_file_systems(result, params)
    return result


def _check_file_systems(settings: Mapping[str, Json], params: Mapping[str, Json]) -> None:
    """They are reached through a VPC. https://docs.aws.amazon.com/lambda/latest/dg/configuration-filesystem.html"""
    systems: Sequence[Mapping[str, str]] = settings.get("FileSystemConfigs", ())
    if not systems or settings.get("VpcConfig", {}).get("SubnetIds"):
        return
    arn = systems[0]["Arn"]
    if "FileSystemConfigs" in params:
        _refuse(f"Function must be configured to execute in a VPC to reference access point {arn}.")
    if "VpcConfig" in params:
        _refuse(f"Function VPC configuration cannot be removed with access point {arn} referenced.")


def _check_snap_start(settings: Mapping[str, Json]) -> None:
    """What SnapStart does not go with. https://docs.aws.amazon.com/lambda/latest/dg/snapstart.html"""
    if settings["SnapStart"]["ApplyOn"] != "PublishedVersions":
        return
    runtime = settings.get("Runtime", "")
    known = RUNTIMES.get(runtime)
    refused = [
        ("ContainerImage", settings["PackageType"] == "Image"),
        (runtime, settings["PackageType"] == "Zip" and known is not None and not known.snap_start),
        ("Amazon EFS", bool(settings.get("FileSystemConfigs"))),
        ("Tenant isolation", bool(settings.get("TenancyConfig"))),
        (f"EphemeralStorage above {SMALLEST_SCRATCH} MB", settings["EphemeralStorage"]["Size"] > SMALLEST_SCRATCH),
    ]
    for what, is_there in refused:
        if is_there:
            _refuse(f"{what} is not supported for SnapStart enabled functions.")


def _logging(before: Mapping[str, str], change: Mapping[str, str], name: str) -> dict[str, str]:
    """LoggingConfig's transitions: JSON fills in levels, Text drops them."""
    merged_config = {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{name}", **before, **change}
    if merged_config["LogFormat"] == "Text":
        if "ApplicationLogLevel" in change or "SystemLogLevel" in change:
            _refuse("Log Levels cannot be specified when LogFormat is set to Text.")
        return {key: merged_config[key] for key in ("LogFormat", "LogGroup")}
    return {"ApplicationLogLevel": "INFO", "SystemLogLevel": "INFO", **merged_config}


def check(params: Mapping[str, Json]) -> None:
    """AWS's checks on the settings of a request. Raises `AwsFault`."""
    too_much = [
        (value, field, limit)
        for value, field, limit in (
            (params.get("MemorySize"), "memorySize", LARGEST_MEMORY),
            (params.get("Timeout"), "timeout", LARGEST_TIMEOUT),
            (params.get("EphemeralStorage", {}).get("Size"), "ephemeralStorage.size", LARGEST_SCRATCH),
        )
        if value is not None and value > limit
    ]
    if too_much:
        plural = "error" if len(too_much) == 1 else "errors"
        text = "; ".join(
            f"Value '{value}' at '{field}' failed to satisfy constraint: "
            f"Member must have value less than or equal to {limit}"
            for value, field, limit in too_much
        )
        raise AwsFault("ValidationException", f"{len(too_much)} validation {plural} detected: {text}", type=None)
    _check_runtime(params.get("Runtime"))
    _check_environment(params.get("Environment", {}).get("Variables", {}))
    vpc = params.get("VpcConfig", {})
    if bool(vpc.get("SubnetIds")) != bool(vpc.get("SecurityGroupIds")):
        _refuse("SubnetIds and SecurityIds must coexist or be both empty list.")
    _check_dead_letters(params.get("DeadLetterConfig", {}).get("TargetArn") or None)
    if len(params.get("Layers", ())) > MOST_LAYERS:
        _refuse(f"Cannot reference more than {MOST_LAYERS} layers.")


def is_fifo(arn: str) -> bool:
    """Whether an ARN is that of a FIFO queue or topic, to which no asynchronous invocation is delivered."""
    return arn.split(":")[2:3] in (["sqs"], ["sns"]) and arn.endswith(".fifo")


def _check_dead_letters(arn: str | None) -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html#invocation-dlq"""
    if arn is not None and (arn.split(":")[2] not in ("sqs", "sns") or is_fifo(arn)):
        # The rule is documented, the words are not AWS's.
        _refuse(f"The dead letter target {arn} is invalid: it must be a standard SQS queue or a standard SNS topic.")


def _check_runtime(runtime: str | None) -> None:
    if runtime is None or runtime in SUPPORTED_RUNTIMES or runtime.startswith("arn:"):
        return
    if runtime in REMOVED_RUNTIMES:
        _refuse(
            f"The runtime parameter of {runtime} is no longer supported for creating or updating AWS Lambda functions. "
            "We recommend you use a supported runtime while creating or updating functions."
        )
    _refuse(
        f"Value {runtime} at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: "
        f"[{', '.join(SUPPORTED_RUNTIMES)}] or be a valid ARN"
    )


def _check_environment(variables: Mapping[str, str]) -> None:
    reserved = sorted(variables.keys() & RESERVED_KEYS)
    lead = (
        "Lambda was unable to configure your environment variables because the environment variables you have provided"
    )
    if reserved:
        _refuse(
            f"{lead} contains reserved keys that are currently not supported for modification. "
            f"Reserved keys used in this request: {', '.join(reserved)}"
        )
    measured = json.dumps(dict(variables), separators=(",", ":"), ensure_ascii=False)
    if variables and len(measured.encode()) > LARGEST_ENVIRONMENT:
        _refuse(f"{lead} exceeded the 4KB limit. String measured: {measured}")


def describe(
    account: str,
    region: str,
    name: str,
    version: Version,
    *,
    layers: Sequence[Mapping[str, Json]],
    qualifier: str | None = None,
    with_state: bool = True,
) -> dict[str, Any]:
    """The FunctionConfiguration of a version, with the members AWS sends and without the others.

    Lists leave out the state (`with_state`): AWS's do.
    """
    settings = version.settings
    arn = function_arn(account, region, name)
    if qualifier or version.number != LATEST:
        arn = f"{arn}:{qualifier or version.number}"
    answer: dict[str, Any] = {
        "FunctionName": name,
        "FunctionArn": arn,
        "Version": version.number,
        "LastModified": version.last_modified,
        "RevisionId": version.revision,
        "CodeSize": version.code.size,
        "CodeSha256": version.code.sha256,
    }
    answer |= {key: value for key, value in settings.items() if key not in ("Layers", "ImageConfig", "VpcConfig")}
    if layers:
        answer["Layers"] = list(layers)
    if "ImageConfig" in settings:
        answer["ImageConfigResponse"] = {"ImageConfig": settings["ImageConfig"]}
    vpc = settings.get("VpcConfig")
    if vpc is not None:
        answer["VpcConfig"] = {
            "SubnetIds": vpc.get("SubnetIds", []),
            "SecurityGroupIds": vpc.get("SecurityGroupIds", []),
            "VpcId": "vpc-local" if vpc.get("SubnetIds") else "",
            "Ipv6AllowedForDualStack": vpc.get("Ipv6AllowedForDualStack", False),
        }
    answer["SnapStart"] = {
        "ApplyOn": settings["SnapStart"]["ApplyOn"],
        "OptimizationStatus": "On" if version.has_snapshot else "Off",
    }
    if with_state:
        answer |= _state(version)
        if version.runtime and version.runtime != "custom":
            arn = f"arn:aws:lambda:{region}::runtime:{'0' * 64}"
            answer["RuntimeVersionConfig"] = {"RuntimeVersionArn": arn}
    return answer


def _state(version: Version) -> dict[str, str]:
    answer: dict[str, str] = {"State": version.state}
    if version.state == "Pending":
        answer |= {"StateReason": "The function is being created.", "StateReasonCode": "Creating"}
    if version.state == "Failed" and version.reason is not None and version.reason_code is not None:
        answer |= {"StateReason": version.reason, "StateReasonCode": version.reason_code}
    if version.update is not None:
        answer["LastUpdateStatus"] = version.update
        if version.update == "InProgress":
            # Recorded: an update in progress gives the reason of a creation.
            answer["LastUpdateStatusReason"] = "The function is being created."
            answer["LastUpdateStatusReasonCode"] = "Creating"
    return answer


def stamp(now: float) -> str:
    """A time as LastModified shows it."""
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "+0000")


def _refuse(text: str) -> None:
    raise AwsFault("InvalidParameterValueException", text)
