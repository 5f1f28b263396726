"""The environments of one version: which are idle, which is used next, and which have been idle for too long."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import attrs

from lambdaform.local.lambda_.admission import Place, Rate
from lambdaform.local.lambda_.endings import FailedInit
from lambdaform.local.lambda_.environment import Environment


@attrs.define(eq=False)
class FunctionUse:
    """Environments of one function that are at work."""

    on_demand: int = 0
    provisioned: int = 0

    def count(self, on_demand: int, provisioned: int) -> None:
        """So many more, or fewer."""
        self.on_demand += on_demand
        self.provisioned += provisioned


@attrs.define(eq=False)
class RegionUse:
    """Environments that are at work on demand, of all functions of a Region without a reservation."""

    unreserved: int = 0


@attrs.define(eq=False)
class Pool:
    """See the module."""

    function: FunctionUse
    region: RegionUse
    idle: list[Environment] = attrs.field(factory=list[Environment])
    """The one used last is at the end and is used next: the others may grow old."""
    busy: set[Environment] = attrs.field(factory=set[Environment])
    ready: Rate = attrs.field(factory=Rate)
    """Counts what its provisioned environments take."""
    wanted: int = 0
    """Provisioned environments that are to be kept."""
    initialising: int = 0
    """Of those, how many are not there yet."""
    is_retired: bool = False
    snapshot: asyncio.Task[Environment | FailedInit] | None = None
    """What new environments are restored from, or is just being made; a failure when its INIT failed."""

    @property
    def provisioned(self) -> int:
        """How many provisioned environments there are."""
        return sum(not may_expire(each) for each in (*self.idle, *self.busy))

    @property
    def has_surplus(self) -> bool:
        """Whether there are more of those than are to be kept."""
        return self.provisioned > self.wanted

    @property
    def is_of_use(self) -> bool:
        """Whether there is anything in it, or about to be."""
        return bool(self.idle or self.busy or self.initialising or self.snapshot)

    def drop_snapshot(self) -> None:
        """Forget the snapshot; the next environment needs another."""
        task, self.snapshot = self.snapshot, None
        if task is not None:
            task.add_done_callback(retire_result)


def first_idle(pool: Pool, place: Place) -> Environment | None:
    """The idle environment that serves next: the one of its place that was used last."""
    is_provisioned = place == "provisioned"
    for environment in reversed(pool.idle):
        if (environment.initialization == "provisioned-concurrency") == is_provisioned:
            return environment
    return None


def expired(idle: Sequence[Environment], oldest: float) -> list[Environment]:
    """The environments idle since before `oldest`; provisioned ones stay."""
    return [each for each in idle if may_expire(each) and each.idle_since <= oldest]


def may_expire(environment: Environment) -> bool:
    """Whether it may go when it is idle: provisioned ones stay."""
    return environment.initialization != "provisioned-concurrency"


def is_of_use(snapshot: asyncio.Task[Environment | FailedInit]) -> bool:
    """Whether environments can be restored from a snapshot, or will be as soon as it is made."""
    if not snapshot.done():
        return True
    taken = taken_of(snapshot)
    return taken is not None and not taken.is_retired


def taken_of(snapshot: asyncio.Task[Environment | FailedInit] | None) -> Environment | None:
    """The snapshot that was made, if one was."""
    if snapshot is None or not snapshot.done() or snapshot.cancelled() or snapshot.exception() is not None:
        return None
    taken = snapshot.result()
    return taken if isinstance(taken, Environment) else None


def retire_result(snapshot: asyncio.Task[Environment | FailedInit]) -> None:
    """End a snapshot that nobody will use."""
    taken = taken_of(snapshot)
    if taken is not None:
        taken.retire()
