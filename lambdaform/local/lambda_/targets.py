"""What the name of a function stands for when it is invoked: the version that serves this time.

https://docs.aws.amazon.com/lambda/latest/dg/configuring-alias-routing.html
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import attrs

from lambdaform.local.lambda_.admission import Limits
from lambdaform.local.lambda_.naming import LATEST, Reference, is_version
from lambdaform.local.lambda_.plane import Plane, function_missing
from lambdaform.local.lambda_.running import Key
from lambdaform.local.lambda_.values import Alias, Function, Provisioned, Version
from lambdaform.local.ports import AwsFault


@attrs.frozen
class Target:
    """What a name stands for just now: an alias with weights may stand for another version next time."""

    function: Function
    version: Version
    arn: str
    """As the caller qualified it."""
    tenant: str | None = None
    """On whose behalf it is invoked."""

    @functools.cached_property
    def key(self) -> Key:
        """What its environments are kept under."""
        return key_of(self.function, self.version)._replace(tenant=self.tenant or "")

    @functools.cached_property
    def qualifier(self) -> str | None:
        """The caller's, where there was one."""
        return self.arn.removeprefix(self.function.arn).removeprefix(":") or None

    @functools.cached_property
    def limits(self) -> Limits:
        """What it may use, besides what the account has left."""
        function = self.function
        ready = sum(each.requested for each in _configs(function, self.version) if each.status == "READY")
        together = sum(each.requested for each in function.provisioned.values())
        return Limits(reserved=function.reserved_concurrency, provisioned=ready, function_provisioned=together)


def key_of(function: Function, version: Version) -> Key:
    """What the environments of a version are kept under."""
    return Key(function.account, function.region, function.name, version.number, version.generation)


def provisioned_of(function: Function, version: Version) -> int:
    """How many environments are to be kept ready of a version, for itself and for aliases of it together."""
    return sum(each.requested for each in _configs(function, version))


def _configs(function: Function, version: Version) -> Iterator[Provisioned]:
    for qualifier, config in function.provisioned.items():
        alias = function.aliases.get(qualifier)
        if (qualifier if alias is None else alias.version) == version.number:
            yield config


def find_target(plane: Plane, reference: Reference, *, tenant: str | None = None) -> Target:
    """The version that serves this time. Raises `AwsFault` when there is none."""
    function = plane.find(reference)
    qualifier = reference.qualifier
    if function is None:
        raise function_missing(f"{attrs.evolve(reference, qualifier=None).arn}:{qualifier or LATEST}")
    if qualifier is not None and qualifier != LATEST and not is_version(qualifier):
        alias = function.aliases.get(qualifier)
        if alias is None:
            raise function_missing(reference.arn)
        number = decide_version(alias, plane.ids.below)
    else:
        number = qualifier or LATEST
    version = function.version(number)
    if version is None:
        raise function_missing(reference.arn)
    return Target(function, version, reference.arn, tenant)


def check_tenant(target: Target) -> None:
    """Raise `AwsFault` when it is invoked without the tenant it needs, or with one it knows nothing of.

    https://docs.aws.amazon.com/lambda/latest/dg/tenant-isolation-troubleshooting.html
    """
    if target.version.is_per_tenant and target.tenant is None:
        text = "The invoked function is enabled with tenant isolation. Add a tenant ID to the request."
        raise AwsFault("InvalidParameterValueException", text)
    if target.tenant is not None and not target.version.is_per_tenant:
        text = "The invoked function is not enabled with tenant isolation. Remove the tenant ID from the request."
        raise AwsFault("InvalidParameterValueException", text)


def fixed_target(plane: Plane, reference: Reference) -> Target | None:
    """The version that always serves anybody, as long as the function is the same value; None without such a one."""
    function = plane.find(reference)
    alias = function.aliases.get(reference.qualifier) if function is not None and reference.qualifier else None
    try:
        target = find_target(plane, reference) if alias is None or not alias.weights else None
    except AwsFault:
        return None
    return target if target is not None and not target.version.is_per_tenant else None


def decide_version(alias: Alias, below: Callable[[int], int]) -> str:
    """The version an alias sends one invocation to."""
    for number, weight in alias.weights.items():
        if below(1_000_000) < weight * 1_000_000:
            return number
    return alias.version
