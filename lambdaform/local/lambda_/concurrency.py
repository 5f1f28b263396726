"""Reserved and provisioned concurrency, and the account's figures.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html. Provisioned environments are really initialised.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Literal

import attrs

from lambdaform.local.lambda_ import aliases
from lambdaform.local.lambda_.admission import ACCOUNT_CONCURRENCY, UNRESERVED_MINIMUM
from lambdaform.local.lambda_.blueprints import Blueprints
from lambdaform.local.lambda_.code import LARGEST_UNZIPPED, LARGEST_UPLOAD
from lambdaform.local.lambda_.listing import listing
from lambdaform.local.lambda_.naming import LATEST, is_version
from lambdaform.local.lambda_.plane import Plane, invalid
from lambdaform.local.lambda_.running import Key
from lambdaform.local.lambda_.targets import key_of, provisioned_of
from lambdaform.local.lambda_.values import Function, Provisioned, Version
from lambdaform.local.ports import AwsFault, Call, Json

TOTAL_CODE = 300 * 1024 * 1024 * 1024


async def put_function_concurrency(plane: Plane, call: Call) -> Mapping[str, Json]:
    """Reserve concurrency: a floor and a ceiling; 0 switches a function off."""
    function = _unqualified(plane, call)
    wanted: int = call.params["ReservedConcurrentExecutions"]
    provisioned = sum(each.requested for each in function.provisioned.values())
    if wanted < provisioned:
        # The leading and the double spaces are AWS's own.
        raise invalid(
            f" ReservedConcurrentExecutions  {wanted} should not be lower than "
            f"function's total provisioned concurrency [{provisioned}]."
        )
    own = provisioned if function.reserved_concurrency is None else function.reserved_concurrency
    taken = plane.store.claimed(call.account, call.region) - own
    if ACCOUNT_CONCURRENCY - taken - wanted < UNRESERVED_MINIMUM and wanted > 0:
        raise invalid(
            "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution "
            f"below its minimum value of [{UNRESERVED_MINIMUM}]."
        )
    plane.store.put(attrs.evolve(function, reserved_concurrency=wanted))
    return {"ReservedConcurrentExecutions": wanted}


async def get_function_concurrency(plane: Plane, call: Call) -> Mapping[str, Json]:
    """What is reserved; nothing at all when nothing is."""
    function = _unqualified(plane, call)
    return {"ReservedConcurrentExecutions": function.reserved_concurrency}


async def delete_function_concurrency(plane: Plane, call: Call) -> Mapping[str, Json]:
    """Give the reservation back."""
    function = _unqualified(plane, call)
    plane.store.put(attrs.evolve(function, reserved_concurrency=None))
    return {}


async def put_provisioned_concurrency_config(plane: Plane, blueprints: Blueprints, call: Call) -> Mapping[str, Json]:
    """Keep environments initialised for a version or alias; they are ready a little later."""
    function, version, qualifier = _version(plane, call, "put")
    if version.has_snapshot:
        raise invalid("Provisioned Concurrency is not supported for SnapStart enabled functions.")
    if version.is_per_tenant:
        raise invalid("Provisioned Concurrency is not supported for functions with tenant isolation.")
    wanted: int = call.params["ProvisionedConcurrentExecutions"]
    _check_other(plane, function, qualifier)
    others = sum(each.requested for key, each in function.provisioned.items() if key != qualifier)
    if function.reserved_concurrency is not None and wanted + others > function.reserved_concurrency:
        raise invalid(
            "Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution for function"
        )
    held = function.provisioned.get(qualifier)
    free = ACCOUNT_CONCURRENCY - plane.store.claimed(call.account, call.region) + (held.requested if held else 0)
    if function.reserved_concurrency is None and wanted > free - UNRESERVED_MINIMUM:
        lead = "Specified ConcurrentExecutions for function"
        raise invalid(
            f"{lead} decreases account's UnreservedConcurrentExecution "
            f"below its minimum value of [{UNRESERVED_MINIMUM}]."
            if wanted <= free
            else f"{lead} is greater than account's unreserved concurrency [{free}]."
        )
    return _describe(_provision(plane, blueprints, function, qualifier, wanted))


async def get_provisioned_concurrency_config(plane: Plane, call: Call) -> Mapping[str, Json]:
    """What is kept ready for a version or alias."""
    function, _, qualifier = _version(plane, call, "get")
    config = function.provisioned.get(qualifier)
    if config is None:
        raise AwsFault(
            "ProvisionedConcurrencyConfigNotFoundException",
            "No Provisioned Concurrency Config found for this function",
            status=404,
        )
    return _describe(config)


async def delete_provisioned_concurrency_config(plane: Plane, call: Call) -> Mapping[str, Json]:
    """Stop keeping environments ready."""
    function, version, qualifier = _version(plane, call, "delete")
    rest = {key: value for key, value in function.provisioned.items() if key != qualifier}
    left = plane.store.put(attrs.evolve(function, provisioned=rest))
    plane.fleet.keep(key_of(function, version), provisioned_of(left, version))
    return {}


async def list_provisioned_concurrency_configs(plane: Plane, call: Call) -> Mapping[str, Json]:
    """All of a function's."""
    function, _ = plane.function(call)
    found: list[Json] = [
        {"FunctionArn": f"{function.arn}:{qualifier}", **_describe(config)}
        for qualifier, config in sorted(function.provisioned.items())
    ]
    return listing(call, "ProvisionedConcurrencyConfigs", found)


async def update_alias(plane: Plane, blueprints: Blueprints, call: Call) -> Mapping[str, Json]:
    """Change an alias; environments provisioned for it follow it to the version it points at now."""
    function, _ = plane.function(call)
    name = call.params["Name"]
    before = plane.resolve(function, name) if name in function.aliases else None
    answer = await aliases.update_alias(plane, call)
    function, _ = plane.function(call)
    if before is not None and name in function.provisioned and plane.resolve(function, name) is not before:
        plane.fleet.keep(key_of(function, before), provisioned_of(function, before))
        _provision(plane, blueprints, function, name, function.provisioned[name].requested)
    return answer


def provision_all(plane: Plane, blueprints: Blueprints) -> None:
    """Initialise again what is provisioned: environments do not outlive a restored checkpoint."""
    kept: dict[Key, int] = {}
    for function in list(plane.store.functions.values()):
        for qualifier, config in function.provisioned.items():
            if config.status != "FAILED":
                try:
                    version = plane.resolve(function, qualifier)
                except AwsFault:
                    continue  # of a version that is gone: earlier releases left such ones behind
                kept[key_of(function, version)] = provisioned_of(function, version)
                plane.clock.run(_prepare(plane, blueprints, function, version, qualifier, config))
    plane.fleet.keep_only(kept)  # what came after the checkpoint has gone


async def get_account_settings(plane: Plane, call: Call) -> Mapping[str, Json]:
    """Limits and use of the account in this Region."""
    functions = list(plane.store.functions_in(call.account, call.region))
    used = sum(v.code.size for function in functions for v in (function.latest, *function.versions.values()))
    used += sum(
        version.code.size
        for key, layer in plane.store.layers.items()
        if key[:2] == (call.account, call.region)
        for version in layer.versions.values()
    )
    reserved = plane.store.reserved(call.account, call.region)
    return {
        "AccountLimit": {
            "TotalCodeSize": TOTAL_CODE,
            "CodeSizeUnzipped": LARGEST_UNZIPPED,
            "CodeSizeZipped": LARGEST_UPLOAD,
            "ConcurrentExecutions": ACCOUNT_CONCURRENCY,
            "UnreservedConcurrentExecutions": ACCOUNT_CONCURRENCY - reserved,
        },
        "AccountUsage": {"TotalCodeSize": used, "FunctionCount": len(functions)},
    }


def _provision(plane: Plane, blueprints: Blueprints, function: Function, qualifier: str, wanted: int) -> Provisioned:
    """Begin to keep environments ready."""
    config = Provisioned(wanted, "IN_PROGRESS", _stamp(plane))
    function = plane.store.put(attrs.evolve(function, provisioned={**function.provisioned, qualifier: config}))
    plane.clock.run(_prepare(plane, blueprints, function, plane.resolve(function, qualifier), qualifier, config))
    return config


async def _prepare(
    plane: Plane, blueprints: Blueprints, function: Function, version: Version, qualifier: str, config: Provisioned
) -> None:
    """Initialise the environments, then say how that went; a config replaced meanwhile is left alone."""
    status: Literal["READY", "FAILED"] = "FAILED"
    reason: str | None = "FUNCTION_ERROR_INIT_FAILURE"
    try:
        blueprint = await blueprints.of(function, version)
        wanted = provisioned_of(plane.store.functions.get(_place(function), function), version)
        if await plane.fleet.prepare(key_of(function, version), blueprint, wanted):
            status, reason = "READY", None
    except AwsFault as fault:
        reason = fault.message
    except OSError as error:  # the machine cannot make one more
        reason = error.strerror or str(error)

    def change(now: Function) -> Function:
        if now.provisioned.get(qualifier) is not config:
            return now
        done = Provisioned(config.requested, status, _stamp(plane), reason)
        return attrs.evolve(now, provisioned={**now.provisioned, qualifier: done})

    plane.store.change(_place(function), change)


def _place(function: Function) -> tuple[str, str, str]:
    return function.account, function.region, function.name


def _check_other(plane: Plane, function: Function, qualifier: str) -> None:
    """Refuse a version that an alias provisions already, or an alias of a version that is provisioned itself."""
    version = plane.resolve(function, qualifier)
    for other in function.provisioned:
        if other != qualifier and plane.resolve(function, other).number == version.number:
            raise invalid(
                "Version is pointed by a Provisioned Concurrency alias"
                if is_version(qualifier)
                else "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version"
            )


def _unqualified(plane: Plane, call: Call) -> Function:
    reference = plane.refer(call)
    if reference.qualifier is not None:
        raise invalid(
            "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. "
            "Please specify either a function name or an unqualified function ARN."
        )
    function, _ = plane.function(call)
    return function


def _version(plane: Plane, call: Call, verb: Literal["put", "get", "delete"]) -> tuple[Function, Version, str]:
    function, qualifier = plane.function(call)
    if qualifier is None or qualifier == LATEST:
        raise invalid(
            "Provisioned Concurrency Configs cannot be applied to unpublished function versions."
            if verb == "put"
            else "The function resource provided must be an alias or a published version."
        )
    return function, plane.resolve(function, qualifier), qualifier


def _describe(config: Provisioned) -> dict[str, Json]:
    ready = config.requested if config.status == "READY" else 0
    return {
        "RequestedProvisionedConcurrentExecutions": config.requested,
        "AvailableProvisionedConcurrentExecutions": ready,
        "AllocatedProvisionedConcurrentExecutions": ready,
        "Status": config.status,
        "StatusReason": config.reason,
        "LastModified": config.modified,
    }


def _stamp(plane: Plane) -> str:
    """Now, as LastModified shows it here: without milliseconds, other than that of a function."""
    return time.strftime("%Y-%m-%dT%H:%M:%S+0000", time.gmtime(plane.clock.now()))
