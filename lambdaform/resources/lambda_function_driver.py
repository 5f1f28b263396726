"""How functions are made and changed: code, configuration, and the settings that have calls of their own.

AWS refuses a change while another one is under way, so every change waits for the one before it.
https://docs.aws.amazon.com/lambda/latest/dg/functions-states.html
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from lambdaform.model.driver import Aws, AwsError, Desired, Found, Record, changed_tags, is_missing
from lambdaform.model.problem import LambdaformError

ZIP_LIMIT = 52_428_800
"""Bytes of a zip in a request; bigger ones go through a bucket."""

_PLAIN = {
    "handler": "Handler",
    "runtime": "Runtime",
    "role": "Role",
    "memory": "MemorySize",
    "timeout": "Timeout",
    "description": "Description",
    "kms_key": "KMSKeyArn",
}
_DEFAULTS: Mapping[str, Any] = {
    "runtime": None,
    "memory": 128,
    "timeout": 3,
    "description": "",
    "kms_key": "",
}
_CONFIGURATION = frozenset(
    {
        *_PLAIN,
        "ephemeral_storage",
        "environment",
        "layers",
        "vpc",
        "file_system",
        "dead_letter",
        "tracing",
        "logging",
        "snap_start",
    }
)


def configuration(desired: Desired, names: Iterable[str]) -> dict[str, Any]:
    """Members of CreateFunction and UpdateFunctionConfiguration; unset props go back to AWS's default."""
    request: dict[str, Any] = {}
    for name in names:
        value = desired.props.get(name)
        if name in _PLAIN:
            request[_PLAIN[name]] = _DEFAULTS.get(name) if value is None else value
        elif name == "ephemeral_storage":
            request["EphemeralStorage"] = {"Size": value or 512}
        elif name == "environment":
            request["Environment"] = {"Variables": value or {}}
        elif name == "layers":
            request["Layers"] = value or []
        elif name == "vpc":
            request["VpcConfig"] = _vpc(value)
        elif name == "file_system":
            request["FileSystemConfigs"] = (
                [{"Arn": value["access_point"], "LocalMountPath": value["path"]}] if value else []
            )
        elif name == "dead_letter":
            request["DeadLetterConfig"] = {"TargetArn": value or ""}
        elif name == "tracing":
            request["TracingConfig"] = {"Mode": value or "PassThrough"}
        elif name == "logging":
            request["LoggingConfig"] = _logging(value or {})
        elif name == "snap_start":
            request["SnapStart"] = {"ApplyOn": "PublishedVersions" if value else "None"}
    return request


def _vpc(value: Mapping[str, Any] | None) -> dict[str, Any]:
    if not value:
        return {"SubnetIds": [], "SecurityGroupIds": []}
    request = {"SubnetIds": value["subnets"], "SecurityGroupIds": value["security_groups"]}
    if value.get("ipv6"):
        request["Ipv6AllowedForDualStack"] = True
    return request


def _logging(value: Mapping[str, Any]) -> dict[str, Any]:
    request: dict[str, Any] = {"LogFormat": value.get("format", "Text")}
    for prop, member in (
        ("application_level", "ApplicationLogLevel"),
        ("system_level", "SystemLogLevel"),
        ("group", "LogGroup"),
    ):
        if value.get(prop) is not None:
            request[member] = value[prop]
    return request


class FunctionDriver:
    """Makes and changes functions."""

    exists = ("ResourceConflictException",)

    def create(self, aws: Aws, desired: Desired) -> Mapping[str, Any]:
        """CreateFunction, wait until it is active, then the settings that have calls of their own."""
        request = configuration(desired, [name for name in desired.props if name in _CONFIGURATION])
        request.setdefault("Runtime", desired.get("runtime", "python3.13"))
        if desired.get("code_signing"):
            request["CodeSigningConfigArn"] = desired.props["code_signing"]
        answer = aws.call(
            "lambda",
            "CreateFunction",
            FunctionName=desired.physical_name,
            Code=_code(desired),
            Architectures=[desired.get("architecture", "x86_64")],
            Tags=dict(desired.tags),
            **request,
        )
        self._ready(aws, desired.physical_name)
        self._own_calls(aws, desired, frozenset(desired.props) - {"code_signing"})
        return _outputs(answer, desired)

    def update(self, aws: Aws, desired: Desired, record: Record, changed: frozenset[str]) -> Mapping[str, Any]:
        """Configuration first, then code, each waited for; then the rest."""
        name = record.physical_name
        answer: Mapping[str, Any] | None = None
        settings = changed & _CONFIGURATION
        if settings:
            self._ready(aws, name)
            request = configuration(desired, sorted(settings))
            if "runtime" in settings and request["Runtime"] is None:
                request["Runtime"] = "python3.13"
            answer = aws.call("lambda", "UpdateFunctionConfiguration", FunctionName=name, **request)
            self._ready(aws, name)
        if changed & {"code", "architecture"}:
            self._ready(aws, name)
            answer = aws.call(
                "lambda",
                "UpdateFunctionCode",
                FunctionName=name,
                Architectures=[desired.get("architecture", "x86_64")],
                **_code(desired),
            )
            self._ready(aws, name)
        self._own_calls(aws, desired, changed)
        if "tags" in changed:
            put, removed = changed_tags(record.props.get("tags"), desired.props.get("tags"))
            if put:
                aws.call("lambda", "TagResource", Resource=record.outputs["arn"], Tags=put)
            if removed:
                aws.call("lambda", "UntagResource", Resource=record.outputs["arn"], TagKeys=removed)
        return _outputs(answer or {"FunctionArn": record.outputs["arn"]}, desired)

    def _own_calls(self, aws: Aws, desired: Desired, changed: frozenset[str]) -> None:
        name = desired.physical_name
        if "reserved_concurrency" in changed:
            reserved = desired.get("reserved_concurrency")
            if reserved is None:
                aws.call("lambda", "DeleteFunctionConcurrency", FunctionName=name)
            else:
                aws.call("lambda", "PutFunctionConcurrency", FunctionName=name, ReservedConcurrentExecutions=reserved)
        if "recursion" in changed:
            aws.call(
                "lambda",
                "PutFunctionRecursionConfig",
                FunctionName=name,
                RecursiveLoop=desired.get("recursion", "Terminate"),
            )
        if "runtime_management" in changed:
            management: Mapping[str, Any] = desired.get("runtime_management") or {}
            request: dict[str, Any] = {}
            if management.get("version_arn"):
                request["RuntimeVersionArn"] = management["version_arn"]
            aws.call(
                "lambda",
                "PutRuntimeManagementConfig",
                FunctionName=name,
                UpdateRuntimeOn=management.get("update_on", "Auto"),
                **request,
            )
        if "code_signing" in changed:
            signing = desired.get("code_signing")
            if signing:
                aws.call("lambda", "PutFunctionCodeSigningConfig", FunctionName=name, CodeSigningConfigArn=signing)
            else:
                aws.call("lambda", "DeleteFunctionCodeSigningConfig", FunctionName=name)

    def find(self, aws: Aws, desired: Desired) -> Found | None:
        """The function of that name and its tags."""
        try:
            answer = aws.call("lambda", "GetFunction", FunctionName=desired.physical_name)
        except AwsError as error:
            if is_missing(error):
                return None
            raise
        return Found(_outputs(answer["Configuration"], desired), answer.get("Tags", {}))

    def read(self, aws: Aws, record: Record) -> Mapping[str, Any] | None:
        """Its outputs while it exists."""
        try:
            aws.call("lambda", "GetFunctionConfiguration", FunctionName=record.physical_name)
        except AwsError as error:
            if is_missing(error):
                return None
            raise
        return record.outputs

    def delete(self, aws: Aws, record: Record) -> None:
        """DeleteFunction, with all its versions and aliases."""
        try:
            aws.call("lambda", "DeleteFunction", FunctionName=record.physical_name)
        except AwsError as error:
            if not is_missing(error):
                raise

    def _ready(self, aws: Aws, name: str) -> None:
        def look() -> Mapping[str, Any] | None:
            answer = aws.call("lambda", "GetFunctionConfiguration", FunctionName=name)
            state, update = answer.get("State", "Active"), answer.get("LastUpdateStatus", "Successful")
            if state == "Failed" or update == "Failed":
                reason = answer.get("StateReason") or answer.get("LastUpdateStatusReason") or "no reason given"
                raise LambdaformError(
                    f"AWS could not make the function {name} ready: {reason}",
                    hint="mend what the reason names, then deploy again",
                )
            return answer if state in ("Active", "Inactive") and update == "Successful" else None

        aws.wait_for(f"the function {name} to be ready", look)


def _code(desired: Desired) -> dict[str, Any]:
    package = desired.package
    if package is None or package.archive is None:
        raise AssertionError(f"{desired.address} came to its driver without an archive")
    if package.archive.stat().st_size > ZIP_LIMIT and desired.artifacts is not None:
        bucket, key = desired.artifacts(package)
        return {"S3Bucket": bucket, "S3Key": key}
    return {"ZipFile": package.archive.read_bytes()}


def _outputs(answer: Mapping[str, Any], desired: Desired) -> Mapping[str, Any]:
    import hashlib  # loads OpenSSL, and only a deployment needs it

    visible = {key: value for key, value in desired.props.items() if key not in ("tags", "reserved_concurrency")}
    package = desired.package.hash if desired.package else ""
    revision = hashlib.sha256((package + json.dumps(visible, sort_keys=True)).encode()).hexdigest()[:32]
    return {
        "arn": answer["FunctionArn"],
        "function_name": desired.physical_name,
        "role_arn": desired.props["role"],
        "revision": revision,
    }
