"""Waiting for an environment's processes: for what they come to, within a time and a memory limit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from lambdaform.local.lambda_.endings import Turn

_WATCH_AFTER = 0.01
_WATCH_EVERY = 0.005
_WATCH_LEAST = 0.05
_TICK = 0.001
"""The loop's timers are as exact as that."""
_GROWTH = 4e9
"""Bytes a second that the processes of an environment can get hold of, at most: no need to look before they could have
used what they have left."""


class Turns:
    """One turn at a time is waited for. `memory` gives the bytes held now, of which there may be `most`."""

    def __init__(self, memory: Callable[[], int], most: int) -> None:
        self._memory = memory
        self._most = most
        self._loop = asyncio.get_running_loop()
        self._turn: asyncio.Future[Turn] | None = None
        self._limit = 0.0
        """On the loop's clock."""
        self._timer: asyncio.TimerHandle | None = None
        self._then: Callable[[Turn], None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether a turn is waited for."""
        return self._turn is not None and not self._turn.done()

    @property
    def current(self) -> asyncio.Future[Turn] | None:
        """The last one begun."""
        return self._turn

    def begin(self) -> None:
        """From now on what happens belongs to another turn."""
        if self._timer is not None or self._then is not None:
            self._stop()
        self._turn = self._loop.create_future()

    def resolve(self, turn: Turn, *, of: asyncio.Future[Turn] | None = None) -> None:
        """Say what it came to; the first word counts. With `of`, only that turn."""
        if self._turn is not None and not self._turn.done() and (of is None or of is self._turn):
            action = self._then
            self._stop()
            self._turn.set_result(turn)
            if action is not None:
                action(turn)

    async def wait(self, limit: float) -> Turn:
        """Wait for the turn under way, at most `limit` seconds of real time: handlers run in real time."""
        return await self._watched(limit)

    def then(self, limit: float, action: Callable[[Turn], None]) -> None:
        """Call `action` with what the turn under way comes to, in `limit` seconds at most, as soon as that is known."""
        turn = self._watched(limit)
        if turn.done():
            action(turn.result())
        else:
            self._then = action

    def _watched(self, limit: float) -> asyncio.Future[Turn]:
        assert self._turn is not None
        if not self._turn.done():
            self._limit = self._loop.time() + limit
            self._timer = self._loop.call_later(max(min(limit, _WATCH_AFTER), 0.0), self._watch)
        return self._turn

    def _watch(self) -> None:
        """Look at the clock, and at the memory held, every few milliseconds while something is at work."""
        if not self.is_open:  # whoever waited has gone
            return
        left = self._limit - self._loop.time()
        if left < _TICK:
            self.resolve("timeout")
            return
        held = self._memory()
        if held > self._most:
            self.resolve("out-of-memory")
            return
        pause = min(max((self._most - held) / _GROWTH, _WATCH_EVERY), _WATCH_LEAST)
        self._timer = self._loop.call_later(min(left, pause), self._watch)

    def _stop(self) -> None:
        self._then = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
