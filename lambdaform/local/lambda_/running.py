"""Environments at work: which one serves an event, when another is made, and when one goes.

`Fleet` carries out the rules of `admission.py`. It knows versions by their blueprint's key and nothing of the control
plane.
"""

from __future__ import annotations

import asyncio
import functools
import uuid
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import attrs

from lambdaform.local.clock import VirtualClock
from lambdaform.local.faults import Strike
from lambdaform.local.lambda_.admission import (
    REQUESTS_PER_ENVIRONMENT,
    Bucket,
    Limits,
    Place,
    Reason,
    decide_admission,
)
from lambdaform.local.lambda_.anticipation import MOST
from lambdaform.local.lambda_.blueprint import Blueprint, LogWriter
from lambdaform.local.lambda_.busy_poll import BusyPoll
from lambdaform.local.lambda_.cpu import Shares
from lambdaform.local.lambda_.endings import Ending, FailedInit, Hurried, Turn
from lambdaform.local.lambda_.environment import Environment
from lambdaform.local.lambda_.invocation import Invocation
from lambdaform.local.lambda_.launching import Launch
from lambdaform.local.lambda_.pools import (
    FunctionUse,
    Pool,
    RegionUse,
    expired,
    first_idle,
    is_of_use,
    may_expire,
    taken_of,
)
from lambdaform.local.lambda_.processes import Spawner
from lambdaform.local.lambda_.runtime import Initialization
from lambdaform.local.lambda_.runtime_api import Event
from lambdaform.local.ports import Clock

LONGEST_SHUTDOWN = 2.5
"""Seconds that are waited at the end of the local AWS for extensions to end."""
LINGER = 0.002
"""Seconds of real time before an idle environment is frozen: events that come one after the other need not freeze and
thaw it each time. Under a virtual clock it is frozen at once, so that nothing goes on in it while time stands still."""
IDLE_LIFE = 600.0
"""Seconds an idle environment is kept; AWS promises nothing here and usually keeps them some minutes."""


def stream_name(now: float, *, name: str, version: str, is_shared_group: bool, unique: str) -> str:
    """The log stream of a new environment; it carries the function's name where the group is shared."""
    day = datetime.fromtimestamp(now, UTC).strftime("%Y/%m/%d")
    owner = name if is_shared_group else ""
    return f"{day}/{owner}[{version}]{unique}"


class Key(NamedTuple):
    """One generation of one version of one function: what environments may not be shared across.

    A tuple, as each invocation looks it up several times.
    """

    account: str
    region: str
    name: str
    version: str
    generation: str
    tenant: str = ""
    """Whose environments they are, where each tenant has its own."""


MOST_SNAPSHOTS = 10
"""Snapshots kept of versions that have no environment just now: each is a process. AWS keeps them for 14 days."""


class RestoreFailed(Exception):
    """An environment could not be restored from its version's snapshot."""

    def __init__(self, turn: Turn) -> None:
        super().__init__(f"the environment could not be restored: {turn}")
        self.turn: Turn = turn


@attrs.frozen
class Busy:
    """Environments at work."""

    function: int
    """Of one function."""
    provisioned: int
    """Those of them that are provisioned."""
    unreserved: int
    """On demand, of all functions of the Region without a reservation."""


class Fleet:
    """All environments of one local AWS."""

    def __init__(
        self,
        *,
        clock: Clock,
        spawner: Spawner,
        folder: Path,
        writer: Callable[[Blueprint, Key, str], LogWriter],
        is_swept: bool = True,
        new_hex: Callable[[], str] = lambda: uuid.uuid4().hex,
        shares: Shares | None = None,
        busy_poll: BusyPoll | None = None,
    ) -> None:
        self._clock = clock
        self._spawner = spawner
        self._folder = folder
        self._writer = writer
        self._is_swept = is_swept
        self._new_hex = new_hex
        self._shares = shares
        self._busy_poll = busy_poll
        self._at_work = 0
        self._pools: dict[Key, Pool] = {}
        self._functions: defaultdict[tuple[str, str, str], FunctionUse] = defaultdict(FunctionUse)
        self._regions: defaultdict[tuple[str, str], RegionUse] = defaultdict(RegionUse)
        self._scaling: dict[tuple[str, str, str], Bucket] = {}
        self._sweeping = False
        self._next: dict[Key, Environment] = {}
        """Environments that were made ahead, the oldest first."""
        self.started: Callable[[Key], None] = lambda _: None
        """Told of each environment that is made because an event needs it."""
        folder.mkdir(parents=True, exist_ok=True)

    def admit(self, key: Key, limits: Limits, *, unreserved: int) -> Place | Reason:
        """Where another event for `key` may be served now; when it may, `serve` must follow at once.

        All functions without a reservation may use `unreserved` environments on demand together.
        """
        pool = self._pool(key)
        place = decide_admission(
            limits,
            on_demand=pool.function.on_demand,
            left=unreserved - pool.region.unreserved,
            has_ready=bool(limits.provisioned) and self._may_use_ready(pool, limits),
        )
        if place == "on-demand" and first_idle(pool, "on-demand") is None:
            return place if self._may_grow((key.account, key.region, key.name)) else "ConcurrentInvocationLimitExceeded"
        return place

    def _may_use_ready(self, pool: Pool, limits: Limits) -> bool:
        if first_idle(pool, "provisioned") is None:
            return False
        if isinstance(self._clock, VirtualClock):
            return True  # handlers take no time there, so that any number of requests comes in one second
        return pool.ready.take(self._clock.now(), REQUESTS_PER_ENVIRONMENT * limits.provisioned)

    def _may_grow(self, function: tuple[str, str, str]) -> bool:
        return self._scaling.setdefault(function, Bucket(at=self._clock.now())).take(self._clock.now())

    def busy(self, key: Key) -> Busy:
        """How much is at work now."""
        pool = self._pool(key)
        function = pool.function
        return Busy(function.on_demand + function.provisioned, function.provisioned, pool.region.unreserved)

    def _pool(self, key: Key) -> Pool:
        pool = self._pools.get(key)
        if pool is None:
            function = self._functions[(key.account, key.region, key.name)]
            pool = self._pools[key] = Pool(function, self._regions[(key.account, key.region)])
        return pool

    async def serve(
        self,
        key: Key,
        blueprint: Blueprint,
        event: Event,
        *,
        place: Place = "on-demand",
        is_reserved: bool,
        strike: Strike | None = None,
        lasts: float = 0.0,
    ) -> Ending:
        """Serve one admitted event in an idle environment, or in a new one. Raises `OSError` when none can be made.

        Where extensions go on after the answer, `rest` of what is returned is what it comes to in the end, without
        being waited for. A test may have declared a fault that strikes it, and how many seconds it `lasts` on the local
        AWS's clock.
        Raises `RestoreFailed` when it cannot be restored from its version's snapshot.
        """
        pool = self._pool(key)
        self._recycle(pool)
        environment = first_idle(pool, place)
        if environment is None:
            environment = self._next.pop(key, None) or self._make(key, blueprint)
            self.started(key)
        else:
            pool.idle.remove(environment)
        give_back = self._lend(pool, environment, place, is_reserved=is_reserved)
        try:
            async with self._clock.turn():
                if environment.is_to_be_restored:
                    await self._restore(pool, key, environment)
                ending = await environment.invoke(event, timeout=blueprint.timeout, strike=strike)
                if ending.rest is not None and not self._is_swept:
                    ending = await ending.rest  # under a virtual clock nothing else happens meanwhile
            if lasts:
                await self._clock.spend(lasts)
        except BaseException:
            environment.retire()
            give_back()
            raise
        if ending.rest is None:
            give_back()
            return ending
        whole: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self._clock.run(self._conclude(ending.rest, whole, environment, give_back))
        return attrs.evolve(ending, rest=whole)

    def at_hand(self, key: Key, limits: Limits, now: float, *, unreserved: int) -> Environment | None:
        """The environment that may serve an event on demand now, if it can do that without anything to wait for.

        `unreserved` as for `admit`.
        """
        pool = self._pools.get(key)
        if pool is None or not pool.idle:
            return None
        environment = pool.idle[-1]
        if not environment.is_at_hand or not may_expire(environment) or environment.idle_since <= now - IDLE_LIFE:
            return None
        used, left = pool.function.on_demand, unreserved - pool.region.unreserved
        place = decide_admission(limits, on_demand=used, left=left, has_ready=False)
        return environment if place == "on-demand" else None

    def hand(self, key: Key, environment: Environment, event: Event, *, timeout: float, now: float) -> Invocation:
        """Hand an event to the environment that is `at_hand`, before anything is noted; `start` must follow at once."""
        if self._busy_poll is not None:
            self._busy_poll.begin()
        self._pools[key].idle.remove(environment)
        try:
            return environment.hand(event, timeout=timeout, now=now)
        except BaseException:
            environment.retire()
            raise

    def start(
        self,
        key: Key,
        environment: Environment,
        invocation: Invocation,
        *,
        is_reserved: bool,
        hurried: Hurried,
    ) -> None:
        """As `serve` for who is hurried, in the environment that has been handed the event."""
        give_back = self._lend(self._pools[key], environment, "on-demand", is_reserved=is_reserved)

        def freed() -> None:
            give_back()
            hurried.freed()

        try:
            environment.start(invocation, Hurried(hurried.done, hurried.failed, freed, hurried.told))
        except BaseException:
            environment.retire()
            give_back()
            raise

    def _lend(self, pool: Pool, environment: Environment, place: Place, *, is_reserved: bool) -> Callable[[], None]:
        """Count an environment as busy until what is returned is called."""
        provisioned = int(place == "provisioned")
        unreserved = int(place == "on-demand" and not is_reserved)
        pool.function.count(1 - provisioned, provisioned)
        pool.region.unreserved += unreserved
        pool.busy.add(environment)
        self._at_work += 1
        return functools.partial(self._give_back, pool, environment, provisioned, unreserved)

    async def _conclude(
        self,
        rest: Awaitable[Ending],
        whole: asyncio.Future[Ending],
        environment: Environment,
        give_back: Callable[[], None],
    ) -> None:
        """Let the extensions of an environment get done: until then it is not free."""
        try:
            whole.set_result(await rest)
        except BaseException:
            environment.retire()
            whole.cancel()
            raise
        finally:
            give_back()

    def _give_back(self, pool: Pool, environment: Environment, provisioned: int, unreserved: int) -> None:
        if environment not in pool.busy:
            return
        pool.function.count(provisioned - 1, -provisioned)
        pool.region.unreserved -= unreserved
        is_surplus = not may_expire(environment) and pool.has_surplus
        pool.busy.discard(environment)
        self._at_work -= 1
        if pool.is_retired or environment.is_retired or is_surplus:
            environment.retire()
        else:
            pool.idle.append(environment)
            self._sweep_later()

    async def make_ahead(self, key: Key, blueprint: Blueprint) -> None:
        """Have what is needed for the next environment, as far as that can be without the function's code."""
        is_forked = self._spawner.can_hold and blueprint.launch == Launch()
        if key in self._next or not is_forked or blueprint.extensions:
            return
        environment = self._next[key] = self._make(key, blueprint)
        while len(self._next) > MOST:
            self._next.pop(next(iter(self._next))).retire(at_once=True)
        await environment.prepare()

    async def prepare(self, key: Key, blueprint: Blueprint, count: int) -> bool:
        """Have `count` environments initialised and idle, as provisioned concurrency; False when an INIT fails.

        Those there are of them stay, as far as so many are wanted; what is at work beyond that goes when it is done.
        Raises `OSError` when one cannot be made.
        """
        pool = self._pool(key)
        pool.wanted = count
        self._drop_surplus(pool)
        fresh = [self._make(key, blueprint, provisioned=True) for _ in range(count - pool.provisioned)]
        pool.initialising += len(fresh)
        tried = (environment.initialise() for environment in fresh)
        results = await asyncio.gather(*tried, return_exceptions=True)
        pool.initialising -= len(fresh)
        for environment, succeeded in zip(fresh, results, strict=True):
            if succeeded is True and not pool.is_retired:
                pool.idle.append(environment)
            else:
                environment.retire()
        self._drop_surplus(pool)  # another number may be wanted by now
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return all(results)

    def _drop_surplus(self, pool: Pool) -> None:
        for environment in [each for each in pool.idle if not may_expire(each)]:
            if pool.has_surplus:
                pool.idle.remove(environment)
                environment.retire()

    async def take_snapshot(self, key: Key, blueprint: Blueprint) -> FailedInit | None:
        """Initialise what environments of a version with SnapStart are restored from. What went wrong, if it did."""
        async with self._clock.turn():
            taken = await self._snapshot(self._pool(key), key, blueprint)
        return None if isinstance(taken, Environment) else taken

    async def _snapshot(self, pool: Pool, key: Key, blueprint: Blueprint) -> Environment | FailedInit:
        """The snapshot of a version: the one there is, or another where that has ended."""
        if pool.snapshot is not None and not is_of_use(pool.snapshot):
            pool.drop_snapshot()
        if pool.snapshot is None:
            pool.snapshot = asyncio.create_task(self._make(key, blueprint).become_snapshot())
        taken = await asyncio.shield(pool.snapshot)
        if isinstance(taken, Environment):
            taken.idle_since = self._clock.now()
            self._thin_out()
        return taken

    def _thin_out(self) -> None:
        """Forget snapshots that have not been used for longest; they are taken again when they are needed."""
        unused = [
            (taken.idle_since, number, pool)
            for number, pool in enumerate(self._pools.values())
            if not pool.busy and not pool.idle and (taken := taken_of(pool.snapshot)) is not None
        ]
        for *_, pool in sorted(unused)[: max(0, len(unused) - MOST_SNAPSHOTS)]:
            pool.drop_snapshot()

    async def _restore(self, pool: Pool, key: Key, environment: Environment) -> None:
        taken = await self._snapshot(pool, key, environment.blueprint)
        failure = await environment.restore(taken) if isinstance(taken, Environment) else taken.turn
        if failure is not None:
            raise RestoreFailed(failure)

    def keep(self, key: Key, count: int) -> None:
        """Keep so many at most of the environments made by `prepare`; those at work go when they are done."""
        pool = self._pools.get(key)
        if pool is not None:
            pool.wanted = count
            self._drop_surplus(pool)

    def keep_only(self, counts: Mapping[Key, int]) -> None:
        """Keep so many of each version, and none of others."""
        for key in list(self._pools):
            self.keep(key, counts.get(key, 0))

    def retire(self, is_stale: Callable[[Key], bool], *, at_once: bool = False) -> None:
        """End all environments whose key is stale: idle ones now, busy ones when their event is done.

        Extensions hear of it, where it is not to be `at_once`.
        """
        for key in [key for key in self._next if is_stale(key)]:
            self._next.pop(key).retire(at_once=True)
        for key in [key for key in self._pools if is_stale(key)]:
            pool = self._pools.pop(key)
            pool.is_retired = True
            pool.drop_snapshot()
            for environment in pool.idle:
                environment.retire(at_once=at_once)
            pool.idle.clear()

    def retire_used(self) -> None:
        """End every environment that has served anything: its globals and /tmp may remember it."""
        for pool in self._pools.values():
            for environment in [each for each in pool.idle if each.served]:
                pool.idle.remove(environment)
                environment.retire(at_once=True)
            if pool.busy:
                pool.is_retired = True
                pool.drop_snapshot()
        self._pools = {key: pool for key, pool in self._pools.items() if not pool.is_retired}

    async def close(self) -> None:
        """End everything; extensions get the time they have for that."""
        every = [each for _, each in self.environments()]
        for environment in self._next.values():
            environment.retire(at_once=True)
        self._next.clear()
        for pool in self._pools.values():
            pool.is_retired = True
            pool.drop_snapshot()
            for environment in (*pool.idle, *pool.busy):
                environment.retire()
            pool.idle.clear()
        self._pools.clear()
        ending = [each.gone for each in every if each.copies is None and not each.gone.done()]
        if ending:
            await asyncio.wait(ending, timeout=LONGEST_SHUTDOWN)

    def counts(self) -> dict[str, int]:
        """How many environments are idle and busy, and how many were made ahead."""
        return {
            "ahead": len(self._next),
            "idle": sum(len(pool.idle) for pool in self._pools.values()),
            "busy": sum(len(pool.busy) for pool in self._pools.values()),
        }

    def environments(self) -> list[tuple[Key, Environment]]:
        """Every environment there is, and the snapshots others are restored from."""
        return [
            (key, each)
            for key, pool in self._pools.items()
            for each in (taken_of(pool.snapshot), *pool.idle, *pool.busy)
            if each is not None
        ]

    def _make(self, key: Key, blueprint: Blueprint, *, provisioned: bool = False) -> Environment:
        initialization: Initialization = "snap-start" if blueprint.has_snapshot else "on-demand"
        stream = stream_name(
            self._clock.now(),
            name=key.name,
            version=key.version,
            is_shared_group=blueprint.log_group != f"/aws/lambda/{key.name}",
            unique=self._new_hex(),
        )
        return Environment(
            blueprint,
            spawner=self._spawner,
            log=self._writer(blueprint, key, stream),
            stream=stream,
            parent_folder=self._folder,
            now=self._clock.now,
            work=self._clock.run,
            rested=self._rested,
            initialization="provisioned-concurrency" if provisioned else initialization,
            shares=self._shares,
            linger=LINGER if self._is_swept else 0.0,
        )

    def _rested(self) -> None:
        if self._busy_poll is not None and not self._at_work:
            self._busy_poll.rest()

    def _sweep_later(self) -> None:
        """Set the one timer, if it is not set.

        A virtual clock that runs until nothing is left to happen must not wait for it, so there the environments
        are only looked at before they are used.
        """
        if self._is_swept and not self._sweeping:
            self._sweeping = True
            self._clock.call_at(self._clock.now() + IDLE_LIFE, self._sweep)

    def _sweep(self) -> None:
        self._sweeping = False
        for pool in self._pools.values():
            self._recycle(pool)
        self._pools = {key: pool for key, pool in self._pools.items() if pool.is_of_use}
        if any(may_expire(each) for pool in self._pools.values() for each in pool.idle):
            self._sweep_later()

    def _recycle(self, pool: Pool) -> None:
        for environment in expired(pool.idle, self._clock.now() - IDLE_LIFE):
            pool.idle.remove(environment)
            environment.retire()
