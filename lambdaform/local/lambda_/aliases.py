"""Aliases and their weights. https://docs.aws.amazon.com/lambda/latest/dg/configuration-aliases.html"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from lambdaform.local.lambda_.listing import listing
from lambdaform.local.lambda_.naming import LATEST
from lambdaform.local.lambda_.plane import Plane, check_revision, conflict, function_missing, invalid
from lambdaform.local.lambda_.targets import key_of, provisioned_of
from lambdaform.local.lambda_.values import Alias, Function
from lambdaform.local.ports import AwsFault, Call, Json


async def create_alias(plane: Plane, call: Call) -> Mapping[str, Json]:
    """Name a version."""
    function, _ = plane.function(call)
    name = call.params["Name"]
    if name in function.aliases:
        raise conflict(f"Alias already exists: {function.arn}:{name}")
    alias = Alias(
        name=name,
        version=call.params["FunctionVersion"],
        description=call.params.get("Description", ""),
        weights=_weights(call.params),
        revision=plane.ids.uuid(),
    )
    _check(function, alias)
    _put(plane, function, alias)
    return describe(function, alias)


async def get_alias(plane: Plane, call: Call) -> Mapping[str, Json]:
    """One alias."""
    function, _ = plane.function(call)
    return describe(function, plane.alias(function, call.params["Name"]))


async def list_aliases(plane: Plane, call: Call) -> Mapping[str, Json]:
    """A function's aliases, or those of one of its versions."""
    function, _ = plane.function(call)
    version = call.params.get("FunctionVersion")
    found: list[Json] = [
        describe(function, alias)
        for _, alias in sorted(function.aliases.items())
        if version is None or alias.version == version
    ]
    return listing(call, "Aliases", found)


async def update_alias(plane: Plane, call: Call) -> Mapping[str, Json]:
    """Point an alias elsewhere, or change its weights or description."""
    function, _ = plane.function(call)
    name = call.params["Name"]
    alias = function.aliases.get(name)
    if alias is None:
        raise AwsFault("ResourceNotFoundException", f"Alias not found: {function.arn}:{name}", status=404)
    check_revision(call.params.get("RevisionId"), alias.revision)
    changed = attrs.evolve(
        alias,
        version=call.params.get("FunctionVersion", alias.version),
        description=call.params.get("Description", alias.description),
        weights=_weights(call.params) if "RoutingConfig" in call.params else alias.weights,
        revision=plane.ids.uuid(),
    )
    _check(function, changed)
    _put(plane, function, changed)
    return describe(function, changed)


async def delete_alias(plane: Plane, call: Call) -> Mapping[str, Json]:
    """Delete an alias with what hangs on it; one that is missing is gone already."""
    function, _ = plane.function(call)
    name = call.params["Name"]
    if name in function.aliases:
        version = plane.resolve(function, name)
        rest = {key: alias for key, alias in function.aliases.items() if key != name}
        left = plane.store.put(attrs.evolve(function.without(name), aliases=rest))
        plane.fleet.keep(key_of(function, version), provisioned_of(left, version))
    return {}


def describe(function: Function, alias: Alias) -> dict[str, Json]:
    """The AliasConfiguration of an alias."""
    answer: dict[str, Json] = {
        "AliasArn": f"{function.arn}:{alias.name}",
        "Name": alias.name,
        "FunctionVersion": alias.version,
        "Description": alias.description,
        "RevisionId": alias.revision,
    }
    if alias.weights:
        answer["RoutingConfig"] = {"AdditionalVersionWeights": dict(alias.weights)}
    return answer


def _weights(params: Mapping[str, Json]) -> Mapping[str, float]:
    weights: Mapping[str, float] = params.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})
    return weights


def _check(function: Function, alias: Alias) -> None:
    """The rules for what an alias may point at. Raises `AwsFault`."""
    if function.version(alias.version) is None:
        raise function_missing(f"{function.arn}:{alias.version}")
    if len(alias.weights) > 1:
        raise invalid("Number of items in AdditionalVersionWeights cannot be greater than 1")
    for number in alias.weights:
        if number == LATEST or alias.version == LATEST:
            raise invalid("$LATEST is not supported for an alias pointing to more than 1 version")
        if number == alias.version:
            raise invalid(
                f"Invalid function version {number}. "
                f"Function version {number} is already included in routing configuration."
            )
        if function.version(number) is None:
            raise function_missing(f"{function.arn}:{number}")


def _put(plane: Plane, function: Function, alias: Alias) -> None:
    plane.store.put(attrs.evolve(function, aliases={**function.aliases, alias.name: alias}))
