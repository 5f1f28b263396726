"""The clocks all waiting of the local AWS goes through, and the ids it hands out.

`SystemClock` is the real time on the running event loop; `VirtualClock` only moves when told to. Nothing else in
`lambdaform.local` sleeps, sets timers, or reads the time for a rule. No rule of a service lives here.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import datetime
import heapq
import itertools
import random
import sys
import time
import traceback
import types
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from typing import Any, Protocol, cast

import attrs

EPOCH = 1_795_000_000.0
"""Where a virtual clock starts when nothing else is said: 2026-11-18T11:06:40Z."""


def iso(moment: float) -> str:
    """A time as AWS's event documents show it: UTC with milliseconds."""
    text = datetime.datetime.fromtimestamp(moment, datetime.UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


Look = Callable[[float], Awaitable[bool]]
"""A look at something outside that no timer announces, such as a broker: it waits up to so many seconds of real time
for the first thing, none for what is there now, takes what there is, and says whether there was anything."""


class Ids(Protocol):
    """Where request ids, message ids and receipt handles come from."""

    def uuid(self) -> str:
        """A version 4 UUID in lower case."""
        ...

    def hex(self, digits: int) -> str:
        """That many hexadecimal digits."""
        ...

    def below(self, limit: int) -> int:
        """A number from 0 to `limit` - 1."""
        ...


class SeededIds:
    """Ids that repeat: the same seed gives the same ids in the same order."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)

    def uuid(self) -> str:
        # What `uuid.UUID(int=..., version=4)` says, in a fifth of the time: every request has one.
        bits = self._random.getrandbits(128) & ~(0xF000 << 64 | 0xC000 << 48) | 0x4000 << 64 | 0x8000 << 48
        digits = f"{bits:032x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    def hex(self, digits: int) -> str:
        return f"{self._random.getrandbits(4 * digits):0{digits}x}"

    def below(self, limit: int) -> int:
        return self._random.randrange(limit)

    def checkpoint(self) -> object:
        """Where the sequence is, for `restore`."""
        return self._random.getstate()

    def restore(self, state: object) -> None:
        """Go on from where the sequence was: what follows repeats."""
        self._random.setstate(cast(tuple[Any, ...], state))


class RandomIds(SeededIds):
    """Ids nobody can foresee, seeded by the operating system."""

    def __init__(self) -> None:
        super().__init__(seed=random.SystemRandom().getrandbits(128))


def report_bug(error: BaseException) -> None:
    """Say on stderr that background work failed in a way that no rule foresees."""
    sys.stderr.write("lambdaform: bug in background work of the local AWS\n")
    traceback.print_exception(error, file=sys.stderr)


class _Nothing(contextlib.AbstractAsyncContextManager[None]):
    """Nothing to be done around something, at no cost: it is around every invocation."""

    async def __aenter__(self) -> None:
        return

    async def __aexit__(self, *_: object) -> None:
        return


_NOTHING = _Nothing()


class SystemClock:
    """The real time, or one that runs so many times faster from the start. One per process, within one event loop."""

    def __init__(self, on_bug: Callable[[BaseException], None] = report_bug, *, speed: float = 1.0) -> None:
        self.speed = speed
        self._started = time.time()
        self._ahead = 0.0
        self.is_real = speed == 1.0
        """Whether it shows the time that everybody else's clocks show."""
        self._on_bug = on_bug
        self._works: set[asyncio.Task[None]] = set()

    def now(self) -> float:
        """Seconds since the epoch."""
        if self.is_real:
            return time.time()
        return self._started + self._ahead + (time.time() - self._started) * self.speed

    def not_before(self, moment: float) -> None:
        """Go on from a time that an earlier, faster clock had reached."""
        self._ahead += max(0.0, moment - self.now())
        self.is_real = self.speed == 1.0 and not self._ahead

    def call_at(self, when: float, action: Callable[[], None]) -> asyncio.TimerHandle:
        """Run `action` at `when`, or as soon as possible when that is over."""
        loop = asyncio.get_running_loop()
        return loop.call_at(loop.time() + max(0.0, when - self.now()) / self.speed, self._guarded, action)

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` in the background; an exception that leaves it is reported as a bug."""
        task = asyncio.get_running_loop().create_task(work)
        self._works.add(task)  # the loop itself keeps only weak references to its tasks
        task.add_done_callback(self._ended)

    def watch(self, look: Look) -> asyncio.Task[None]:
        """Look again and again, until cancelled."""
        task = asyncio.get_running_loop().create_task(self._watching(look))
        self._works.add(task)
        task.add_done_callback(self._ended)
        return task

    async def _watching(self, look: Look) -> None:
        while True:
            began = time.monotonic()
            # Also after a look that found something at once, others have their turn.
            pause = 0.0 if await look(_PATIENCE) else _FRUITLESS - (time.monotonic() - began)
            await asyncio.sleep(max(0.0, pause))

    async def sleep(self, seconds: float) -> None:
        """Wait that many seconds; not at all when there are none."""
        await asyncio.sleep(max(0.0, seconds) / self.speed)

    def parked(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Around waiting for other work or a timer; only a virtual clock needs to know."""
        return _NOTHING

    def turn(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Around running a handler; only under a virtual clock they run one at a time."""
        return _NOTHING

    async def spend(self, seconds: float) -> None:
        """Let an invocation take so much longer."""
        await self.sleep(seconds)

    async def close(self) -> None:
        """Cancel what still runs and wait for it."""
        works = list(self._works)
        for work in works:
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._works.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_bug(error)

    def _guarded(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:  # noqa: BLE001  a timer's bug must not end the loop's own handler
            self._on_bug(error)


@attrs.define(eq=False)
class _Due:
    """A timer of the virtual clock."""

    when: float
    action: Callable[[], None] | None
    context: contextvars.Context = attrs.field(factory=contextvars.copy_context)
    """That of whoever set it, as with timers of an event loop."""

    def cancel(self) -> None:
        self.action = None


@attrs.define(eq=False)
class _Watch:
    """Something outside that a virtual clock looks at when it is moved."""

    look: Look
    watches: list[_Watch]

    def cancel(self) -> None:
        with contextlib.suppress(ValueError):
            self.watches.remove(self)


@attrs.define(eq=False)
class _Work:
    """One piece of background work and how many of its waits are for the clock."""

    waiting: int = 0
    is_over: bool = False


_work: contextvars.ContextVar[_Work | None] = contextvars.ContextVar("lambdaform_work", default=None)


class VirtualClock:
    """A clock that moves only when told to, and never past anything that is still being worked on.

    Work started with `run` holds the time until it is done, sleeping, or parked. Timers run by due time, then by
    arrival, so the same program gives the same order. One per local AWS; used from within one event loop.
    """

    def __init__(self, start: float = EPOCH, on_bug: Callable[[BaseException], None] = report_bug) -> None:
        self._now = start
        self._on_bug = on_bug
        self._arrivals = itertools.count()
        self._timers: list[tuple[float, int, _Due]] = []
        """By time, then by arrival."""
        self._works: dict[asyncio.Task[None], _Work] = {}
        self._watches: list[_Watch] = []
        self._busy = 0
        """How many of them hold the time."""
        self._changed: asyncio.Event | None = None
        self._turn = asyncio.Lock()

    def now(self) -> float:
        """Seconds since the epoch, virtually."""
        return self._now

    def call_at(self, when: float, action: Callable[[], None]) -> _Due:
        """Run `action` when the clock gets to `when`; what is due already runs at the next settling or advancing."""
        due = _Due(when, action)
        heapq.heappush(self._timers, (when, next(self._arrivals), due))
        return due

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` in the background; time stands still until it is done, sleeping, or parked."""
        state = _Work()
        context = contextvars.copy_context()
        context.run(_work.set, state)
        task = asyncio.get_running_loop().create_task(work, context=context)
        self._works[task] = state
        self._busy += 1
        task.add_done_callback(self._ended)

    def watch(self, look: Look) -> _Watch:
        """Look now, and then before and after the clock is moved: what is outside does not know this time."""
        watch = _Watch(look, self._watches)
        self._watches.append(watch)

        async def first() -> None:
            await look(0.0)

        self.run(first())
        return watch

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has been moved by that many seconds; not at all when there are none."""
        if seconds <= 0:
            return
        state = _work.get()
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def wake() -> None:
            # From the moment it is due the work counts as busy, not only when the event loop gets to it.
            self._resume(state)
            if not woken.done():
                woken.set_result(None)

        timer = self.call_at(self._now + seconds, wake)
        self._wait(state)
        try:
            await woken
        except asyncio.CancelledError:
            if timer.action is not None and not woken.done():
                self._resume(state)
            timer.cancel()
            raise

    @contextlib.asynccontextmanager
    async def parked(self) -> AsyncGenerator[None]:
        """Around waiting for something that only other work or the passing of time can bring."""
        state = _work.get()
        self._wait(state)
        try:
            yield
        finally:
            self._resume(state)

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncGenerator[None]:
        """Around running a handler: background work takes turns, in the order in which it comes here.

        What a client asks for itself runs at once: it may be a handler, which its own turn would wait for.
        """
        if _work.get() is None:
            yield
            return
        async with self._turn:
            yield

    async def spend(self, seconds: float) -> None:
        """Let an invocation take so much longer; one a client waits for would wait for its own client."""
        if _work.get() is not None:
            await self.sleep(seconds)

    async def calm(self, limit: float) -> bool:
        """Do all that is due now before a client's next request is looked at, so that the same test takes one course.

        Waits for background work for `limit` seconds of real time at most, as it may itself wait for the client.
        Returns whether there is none left.
        """
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline:
            try:
                async with asyncio.timeout(deadline - time.monotonic()):
                    await self._quiet()
            except TimeoutError:
                return False
            if not self._run_due():
                return True
        return False

    async def settle(self) -> None:
        """Run everything that is due now, and wait for all work that does not itself wait for the clock."""
        while True:
            await self._quiet()
            if not self._run_due():
                return

    async def advance(self, seconds: float) -> None:
        """Move the clock by that many seconds, stopping at every timer on the way to let its work finish."""
        target = self._now + seconds
        await self._take_in()
        while True:
            await self.settle()
            following = self._next_due()
            if following is None or following > target:
                break
            self._now = max(self._now, following)
        self._now = target
        await self._take_in()

    async def run_until_idle(self, limit: float) -> float:
        """Move the clock from timer to timer until there is none left, or `limit` seconds have passed.

        Returns the seconds that passed.
        """
        start = self._now
        await self._take_in()
        while True:
            await self.settle()
            following = self._next_due()
            if following is None:
                await self._take_in()
                following = self._next_due()
            if following is None:
                return self._now - start
            if following > start + limit:
                self._now = start + limit
                return limit
            self._now = max(self._now, following)

    async def _take_in(self) -> None:
        """Settle, and take what is outside, until there is no more of it."""
        await self.settle()
        while any([await watch.look(0.0) for watch in list(self._watches)]):
            await self.settle()

    async def rewind(self, to: float) -> None:
        """Be at another time, with nothing under way: all work is cancelled and all timers are forgotten."""
        await self.close()
        self._now = to

    async def close(self) -> None:
        """Cancel what still runs, forget all timers, look at nothing any more."""
        self._timers.clear()
        self._watches.clear()
        works = list(self._works)
        for work in works:
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)

    def _next_due(self) -> float | None:
        while self._timers and self._timers[0][2].action is None:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def _run_due(self) -> bool:
        """Run the first timer that is due; False when there is none."""
        due = self._next_due()
        if due is None or due > self._now:
            return False
        _, _, timer = heapq.heappop(self._timers)
        try:
            if timer.action is not None:
                timer.context.run(timer.action)
        except Exception as error:  # noqa: BLE001  one timer's bug must not keep the others from running
            self._on_bug(error)
        return True

    async def _quiet(self) -> None:
        """Wait until no work is busy, looked at again after the event loop has run what was ready."""
        rounds = 0
        while rounds < _ROUNDS:
            if self._busy:
                rounds = 0
                if self._changed is None or self._changed.is_set():
                    self._changed = asyncio.Event()
                await self._changed.wait()
            else:
                rounds += 1
                await _one_round()

    def _wait(self, work: _Work | None) -> None:
        if work is not None and not work.is_over:
            work.waiting += 1
            if work.waiting == 1:
                self._one_less()

    def _resume(self, work: _Work | None) -> None:
        if work is not None and not work.is_over:
            work.waiting -= 1
            if work.waiting == 0:
                self._busy += 1

    def _one_less(self) -> None:
        self._busy -= 1
        if not self._busy and self._changed is not None:
            self._changed.set()

    def _ended(self, task: asyncio.Task[None]) -> None:
        work = self._works.pop(task)
        work.is_over = True  # what of it still waits holds nothing any more
        if work.waiting == 0:
            self._one_less()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_bug(error)


@types.coroutine
def _one_round() -> Generator[None]:
    """Let the event loop run what is ready: `asyncio.sleep(0)` without what that looks at first."""
    yield


_PATIENCE = 1.0
"""Seconds of real time that a look waits for something to come."""
_FRUITLESS = 0.1
"""Seconds of real time that a look takes at least when nothing came."""
_ROUNDS = 4
"""How often quiet is looked at: a future that is set wakes its waiter one round of the event loop later."""
