"""What every operation of the control plane works with: the store, the clock, the neighbours, and finding things."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import attrs

from lambdaform.local.lambda_ import configuration
from lambdaform.local.lambda_.code import CodeStore
from lambdaform.local.lambda_.naming import LATEST, Reference, function_arn, is_version, refer
from lambdaform.local.lambda_.running import Fleet
from lambdaform.local.lambda_.store import Key, Store
from lambdaform.local.lambda_.values import Alias, Function, LayerVersion, Version
from lambdaform.local.ports import AsyncQueue, AwsFault, Call, Clock, DataServices, Json, Pollers


class Ids(Protocol):
    """Where ids come from: random ones, or ones that repeat."""

    def uuid(self) -> str: ...

    def hex(self, digits: int) -> str: ...

    def below(self, limit: int) -> int: ...


class Sources(Pollers, Protocol):
    """The pollers, and the one question about a source that takes a request to another process."""

    async def check_source(self, source_arn: str, *, region: str) -> None:
        """Refuse a stream that is missing. Raises `AwsFault`."""
        ...


@attrs.define(eq=False)
class Generations:
    """Counts the states that versions of functions have been in."""

    last: int = 0

    def next(self) -> str:
        """One that has not been."""
        self.last += 1
        return str(self.last)


@attrs.define(eq=False)
class Settled:
    """Tells of functions that have settled after a change, by their keys."""

    tell: Callable[[Key], None] = attrs.field(default=lambda _: None)


@attrs.frozen(eq=False)
class Plane:
    """The control plane's surroundings; one per local AWS."""

    store: Store
    codes: CodeStore
    fleet: Fleet
    clock: Clock
    ids: Ids
    data: DataServices
    pollers: Sources
    queue: AsyncQueue
    address: Callable[[], str]
    """Where this local AWS answers, such as `http://127.0.0.1:4566`."""
    settle_after: float = 0.0
    """Seconds a new or changed function stays Pending or InProgress, an event source mapping Creating, Updating and so
    on; 0 is until the next turn of the loop."""
    settled: Settled = attrs.field(factory=lambda: Settled(), init=False)
    generations: Generations = attrs.field(factory=Generations, init=False)

    def new_generation(self) -> str:
        """What tells one state of a version from every other there has been.

        Not one of `ids`: those repeat after a restore, and blueprints are remembered beyond it.
        """
        return self.generations.next()

    def refer(self, call: Call) -> Reference:
        """The function a call names. Raises `AwsFault`."""
        return refer(
            call.params["FunctionName"], call.params.get("Qualifier"), account=call.account, region=call.region
        )

    def function(self, call: Call) -> tuple[Function, str | None]:
        """The function a call names, and its qualifier if it has one. Raises `AwsFault` 404 with the ARN as asked."""
        reference = self.refer(call)
        function = self.find(reference)
        if function is None:
            raise function_missing(reference.arn)
        return function, reference.qualifier

    def version(self, call: Call) -> tuple[Function, Version, str | None]:
        """The version a call names, directly or through an alias. Raises `AwsFault`."""
        function, qualifier = self.function(call)
        version = self.resolve(function, qualifier)
        return function, version, qualifier

    def resolve(self, function: Function, qualifier: str | None) -> Version:
        """The version behind a qualifier; an alias means its main one. Raises `AwsFault` 404."""
        if qualifier is None or qualifier == LATEST:
            return function.latest
        number = qualifier
        if not is_version(qualifier):
            alias = function.aliases.get(qualifier)
            if alias is None:
                if qualifier.lower() == LATEST.lower():
                    raise function_missing(f"{function.arn}:{qualifier}")
                raise alias_missing(function, qualifier)
            number = alias.version
        version = function.version(number)
        if version is None:
            raise function_missing(f"{function.arn}:{qualifier}")
        return version

    def alias(self, function: Function, name: str) -> Alias:
        """An alias by name. Raises `AwsFault` 404."""
        alias = function.aliases.get(name)
        if alias is None:
            raise alias_missing(function, name)
        return alias

    def find(self, reference: Reference) -> Function | None:
        """A function, if it exists."""
        return self.store.functions.get((reference.account, reference.region, reference.name))

    def layer_version(self, arn: str, *, with_deleted: bool = False) -> LayerVersion | None:
        """A layer version by its ARN; deleted ones still work for the functions that use them."""
        *_, region, account, _kind, name, number = arn.split(":")
        layer = self.store.layers.get((account, region, name))
        if layer is None or not number.isdigit():
            return None
        found = layer.versions.get(int(number))
        return layer.deleted.get(int(number)) if found is None and with_deleted else found

    def layers_out(self, version: Version) -> Sequence[Mapping[str, Json]]:
        """The `Layers` of a FunctionConfiguration."""
        answer: list[Mapping[str, Json]] = []
        for arn in version.layers:
            layer = self.layer_version(arn, with_deleted=True)
            answer.append({"Arn": arn, "CodeSize": layer.code.size if layer is not None else 0})
        return answer

    def describe(
        self, function: Function, version: Version, *, qualifier: str | None = None, with_state: bool = True
    ) -> dict[str, Json]:
        """The FunctionConfiguration of a version."""
        return configuration.describe(
            function.account,
            function.region,
            function.name,
            version,
            layers=self.layers_out(version),
            qualifier=qualifier,
            with_state=with_state,
        )

    def revise(self, key: Key, change: Callable[[Function], Function]) -> None:
        """Do `change` to a function once it has settled."""

        def settle() -> None:
            self.store.change(key, change)
            self.settled.tell(key)

        self.once_settled(settle)

    def once_settled(self, action: Callable[[], None]) -> None:
        """Do something a turn of the loop from now, or `settle_after` seconds."""
        if self.settle_after > 0:
            self.clock.call_at(self.clock.now() + self.settle_after, action)
        else:
            asyncio.get_running_loop().call_soon(action)

    async def object(self, given: Mapping[str, Json], region: str) -> bytes:
        """The object an S3Bucket and S3Key name. Raises `AwsFault` as Lambda words S3's own."""
        params = {"Bucket": given["S3Bucket"], "Key": given["S3Key"]}
        if "S3ObjectVersion" in given:
            params["VersionId"] = given["S3ObjectVersion"]
        try:
            answer = await self.data.call("s3", "GetObject", params, region=region)
        except AwsFault as fault:
            text = f"Error occurred while GetObject. S3 Error Code: {fault.code}. S3 Error Message: {fault.message}"
            raise invalid(text) from fault
        return answer["Body"]

    def stamp(self) -> str:
        """Now, as LastModified shows it."""
        return configuration.stamp(self.clock.now())


def function_missing(arn: str) -> AwsFault:
    """404 for a function; `arn` as it was asked for."""
    return AwsFault("ResourceNotFoundException", f"Function not found: {arn}", status=404)


def alias_missing(function: Function, name: str) -> AwsFault:
    """404 for an alias, as reads and permission calls word it."""
    return AwsFault("ResourceNotFoundException", f"Cannot find alias arn: {function.arn}:{name}", status=404)


def resource_missing() -> AwsFault:
    """404 for what hangs on a function."""
    return AwsFault("ResourceNotFoundException", "The resource you requested does not exist.", status=404)


def invalid(text: str) -> AwsFault:
    """400 of the service's own checks."""
    return AwsFault("InvalidParameterValueException", text)


def conflict(text: str) -> AwsFault:
    """409."""
    return AwsFault("ResourceConflictException", text, status=409)


def check_revision(given: str | None, current: str, *, of: str = "GetFunction/GetAlias") -> None:
    """Raise `AwsFault` 412 when a request was made for another state of things."""
    if given is not None and given != current:
        text = (
            "The Revision Id provided does not match the latest Revision Id. "
            f"Call the {of} API to retrieve the latest Revision Id"
        )
        raise AwsFault("PreconditionFailedException", text, status=412)


def qualified(account: str, region: str, name: str, qualifier: str | None) -> str:
    """A function's ARN with its qualifier, if it has one."""
    arn = function_arn(account, region, name)
    return f"{arn}:{qualifier}" if qualifier else arn
