"""Settings that are only kept and handed back: recursion, runtime management, scaling of managed instances."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from lambdaform.local.lambda_.naming import LATEST
from lambdaform.local.lambda_.plane import Plane, invalid, qualified
from lambdaform.local.lambda_.values import Function
from lambdaform.local.ports import Call, Json

_LATEST_PUBLISHED = "$LATEST.PUBLISHED"
"""The version of managed instances that follows the newest published one; here there is nothing behind it."""


async def get_function_recursion_config(plane: Plane, call: Call) -> Mapping[str, Json]:
    """Whether loops are stopped."""
    function, _ = plane.function(call)
    return {"RecursiveLoop": function.recursive_loop}


async def put_function_recursion_config(plane: Plane, call: Call) -> Mapping[str, Json]:
    """Set whether loops are stopped."""
    function, _ = plane.function(call)
    plane.store.put(attrs.evolve(function, recursive_loop=call.params["RecursiveLoop"]))
    return {"RecursiveLoop": call.params["RecursiveLoop"]}


async def get_runtime_management_config(plane: Plane, call: Call) -> Mapping[str, Json]:
    """When a version's runtime is updated."""
    function, version, qualifier = plane.version(call)
    config = function.runtime_management.get(version.number, {"UpdateRuntimeOn": "Auto"})
    return {**config, "FunctionArn": qualified(call.account, call.region, function.name, qualifier or LATEST)}


async def put_runtime_management_config(plane: Plane, call: Call) -> Mapping[str, Json]:
    """Set when a version's runtime is updated."""
    function, version, qualifier = plane.version(call)
    mode, arn = call.params["UpdateRuntimeOn"], call.params.get("RuntimeVersionArn")
    if (mode == "Manual") != (arn is not None):
        raise invalid(
            f"RuntimeVersionArn is required for the Manual update mode and refused for others; the mode is {mode}."
        )
    config = {"UpdateRuntimeOn": mode, **({"RuntimeVersionArn": arn} if arn else {})}
    changed = {**function.runtime_management, version.number: config}
    plane.store.put(attrs.evolve(function, runtime_management=changed))
    return {**config, "FunctionArn": qualified(call.account, call.region, function.name, qualifier or LATEST)}


async def get_function_scaling_config(plane: Plane, call: Call) -> Mapping[str, Json]:
    """The bounds for managed instances."""
    function, qualifier = _scaled(plane, call)
    config = function.scaling.get(qualifier or LATEST)
    arn = qualified(call.account, call.region, function.name, qualifier)
    return {"FunctionArn": arn, "AppliedFunctionScalingConfig": config, "RequestedFunctionScalingConfig": config}


async def put_function_scaling_config(plane: Plane, call: Call) -> Mapping[str, Json]:
    """Set the bounds for managed instances."""
    function, qualifier = _scaled(plane, call)
    config: Mapping[str, int] = call.params.get("FunctionScalingConfig", {})
    plane.store.put(attrs.evolve(function, scaling={**function.scaling, qualifier or LATEST: config}))
    return {"FunctionState": function.latest.state}


def _scaled(plane: Plane, call: Call) -> tuple[Function, str | None]:
    """The function whose bounds a call is about, and the qualifier, which there is. Raises `AwsFault`."""
    function, qualifier = plane.function(call)
    if qualifier != _LATEST_PUBLISHED:
        plane.resolve(function, qualifier)
    return function, qualifier
