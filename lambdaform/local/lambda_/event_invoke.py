"""Event invoke configs: retries and destinations of asynchronous invocations.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-configuring.html
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from lambdaform.local.lambda_.configuration import is_fifo
from lambdaform.local.lambda_.listing import listing
from lambdaform.local.lambda_.naming import LATEST, is_version, refer
from lambdaform.local.lambda_.plane import Plane, invalid
from lambdaform.local.lambda_.values import AsyncConfig, Function
from lambdaform.local.ports import AwsFault, Call, Json

_SERVICES = ("sqs", "sns", "lambda", "events")


async def put_function_event_invoke_config(plane: Plane, call: Call) -> Mapping[str, Json]:
    """Set everything anew."""
    if not call.params.keys() & {"MaximumRetryAttempts", "MaximumEventAgeInSeconds", "DestinationConfig"}:
        raise invalid("You must specify at least one of error handling or destination setting.")
    function, qualifier = _target(plane, call)
    config = _changed(plane, function, AsyncConfig(None, None, None, None, 0.0), call)
    return _put(plane, function, qualifier, config)


async def update_function_event_invoke_config(plane: Plane, call: Call) -> Mapping[str, Json]:
    """Change what is given."""
    if not call.params.keys() & {"MaximumRetryAttempts", "MaximumEventAgeInSeconds", "DestinationConfig"}:
        raise invalid("You must specify at least one of error handling or destination setting.")
    function, qualifier = _target(plane, call)
    config = function.async_configs.get(qualifier)
    if config is None:
        raise _none(f"{function.arn}:{qualifier}")
    return _put(plane, function, qualifier, _changed(plane, function, config, call))


async def get_function_event_invoke_config(plane: Plane, call: Call) -> Mapping[str, Json]:
    """The config of a function, version or alias."""
    function, qualifier, config = _existing(plane, call)
    return describe(function, qualifier, config)


async def delete_function_event_invoke_config(plane: Plane, call: Call) -> Mapping[str, Json]:
    """Back to the defaults."""
    function, qualifier, _ = _existing(plane, call)
    rest = {key: value for key, value in function.async_configs.items() if key != qualifier}
    plane.store.put(attrs.evolve(function, async_configs=rest))
    return {}


async def list_function_event_invoke_configs(plane: Plane, call: Call) -> Mapping[str, Json]:
    """All configs of a function."""
    reference = plane.refer(call)
    function = plane.find(reference)
    if function is None:
        raise AwsFault("ResourceNotFoundException", "The function doesn't exist.", status=404)
    found: list[Json] = [describe(function, each, config) for each, config in sorted(function.async_configs.items())]
    return listing(call, "FunctionEventInvokeConfigs", found)


def describe(function: Function, qualifier: str, config: AsyncConfig) -> dict[str, Json]:
    """The FunctionEventInvokeConfig; both destinations are always there, empty when unset."""
    return {
        "LastModified": config.modified,
        "FunctionArn": f"{function.arn}:{qualifier}",
        "MaximumRetryAttempts": config.maximum_retry_attempts,
        "MaximumEventAgeInSeconds": config.maximum_event_age,
        "DestinationConfig": {
            "OnSuccess": {"Destination": config.on_success} if config.on_success else {},
            "OnFailure": {"Destination": config.on_failure} if config.on_failure else {},
        },
    }


def _target(plane: Plane, call: Call) -> tuple[Function, str]:
    reference = plane.refer(call)
    function = plane.find(reference)
    qualifier = reference.qualifier or LATEST
    known = function is not None and (
        function.version(qualifier) is not None if is_version(qualifier) else qualifier in (LATEST, *function.aliases)
    )
    if function is None or not known:
        raise AwsFault("ResourceNotFoundException", "The function doesn't exist.", status=404)
    return function, qualifier


def _existing(plane: Plane, call: Call) -> tuple[Function, str, AsyncConfig]:
    reference = plane.refer(call)
    qualifier = reference.qualifier or LATEST
    function = plane.find(reference)
    config = function.async_configs.get(qualifier) if function is not None else None
    if function is None or config is None:
        raise _none(f"{attrs.evolve(reference, qualifier=None).arn}:{qualifier}")
    return function, qualifier, config


def _none(arn: str) -> AwsFault:
    text = f"The function {arn} doesn't have an EventInvokeConfig"
    return AwsFault("ResourceNotFoundException", text, status=404)


def _changed(plane: Plane, function: Function, config: AsyncConfig, call: Call) -> AsyncConfig:
    params = call.params
    on_success, on_failure = config.on_success, config.on_failure
    if "DestinationConfig" in params:
        destinations: Mapping[str, Mapping[str, str]] = params["DestinationConfig"]
        if "OnSuccess" in destinations:
            on_success = destinations["OnSuccess"].get("Destination") or None
            _check(plane, function, on_success, "onSuccess", params["DestinationConfig"])
        if "OnFailure" in destinations:
            on_failure = destinations["OnFailure"].get("Destination") or None
            _check(plane, function, on_failure, "onFailure", params["DestinationConfig"])
    return AsyncConfig(
        maximum_retry_attempts=params.get("MaximumRetryAttempts", config.maximum_retry_attempts),
        maximum_event_age=params.get("MaximumEventAgeInSeconds", config.maximum_event_age),
        on_success=on_success,
        on_failure=on_failure,
        modified=plane.clock.now(),
    )


def _check(plane: Plane, function: Function, arn: str | None, field: str, given: Mapping[str, Json]) -> None:
    """The rules for a destination. Raises `AwsFault`."""
    if arn is None:
        return
    parts = arn.split(":")
    service = parts[2] if len(parts) > 5 else ""
    if service not in _SERVICES and not (service == "s3" and field == "onFailure"):
        shown = ", ".join(
            f"{name}={kind}(destination={given[kind]['Destination']})" if given.get(kind) else f"{name}=null"
            for name, kind in (("onSuccess", "OnSuccess"), ("onFailure", "OnFailure"))
        )
        raise invalid(f"The provided destination config DestinationConfig({shown}) is invalid.")
    if is_fifo(arn):
        # That it is refused is documented, the words are those of other destinations that are none.
        raise invalid(f"The destination ARN {arn} is invalid.")
    if service == "lambda":
        if arn == function.arn or arn.startswith(f"{function.arn}:"):
            raise invalid("You can't specify the function as a destination for itself.")
        target = refer(arn, None, account=parts[4], region=parts[3])
        if plane.find(target) is None:
            raise invalid(f"The destination ARN {arn} is invalid.")


def _put(plane: Plane, function: Function, qualifier: str, config: AsyncConfig) -> dict[str, Json]:
    plane.store.put(attrs.evolve(function, async_configs={**function.async_configs, qualifier: config}))
    return describe(function, qualifier, config)
