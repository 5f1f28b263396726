"""What executions of state machines wait for, on the clock. The executions are the library's, in its own process.

That process tells what they do (`data_waiting`); this side sets timers and says when the time has come. Under a virtual
clock time stands still as long as an execution runs, as with all other work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from lambdaform.local.clock import VirtualClock
from lambdaform.local.ports import Clock, Json, Timer

Wake = Callable[[int], Awaitable[None]]
"""Tells the process that the time a wait is for has come."""


class Executions:
    """One per process of the library's services."""

    def __init__(self, clock: Clock, wake: Wake) -> None:
        self._clock = clock
        self._wake = wake
        self._timers: dict[int, Timer] = {}
        self._rest = asyncio.Event()

    def told(self, note: Mapping[str, Json]) -> None:
        """Take note of what an execution does, in the order in which it does it."""
        match note["told"]:
            case "runs":
                if isinstance(self._clock, VirtualClock):
                    self._rest = asyncio.Event()
                    self._clock.run(self._hold(self._rest))
            case "rests":
                self._rest.set()
            case "waits":
                number = int(note["wait"])
                due = self._clock.now() + float(note["seconds"])
                self._timers[number] = self._clock.call_at(due, lambda: self._due(number))
            case "waits no longer":
                timer = self._timers.pop(int(note["wait"]), None)
                if timer is not None:
                    timer.cancel()
            case unknown:
                raise AssertionError(f"bug in lambdaform: the data services told of {unknown}")

    def forget(self) -> None:
        """There are no executions any more: their process has gone, or is at another state."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._rest.set()

    def _due(self, number: int) -> None:
        del self._timers[number]
        self._clock.run(self._wake_up(number))

    async def _wake_up(self, number: int) -> None:
        await self._wake(number)

    async def _hold(self, rest: asyncio.Event) -> None:
        """Work of the clock that lasts as long as executions run."""
        await rest.wait()
