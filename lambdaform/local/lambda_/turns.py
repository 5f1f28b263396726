"""Waiting for an environment's processes: for what they come to, within a time and a memory limit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from lambdaform.local.lambda_.endings import Turn

_WATCH_AFTER = 0.01
_WATCH_EVERY = 0.005
_WATCH_LEAST = 0.05
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
        self._look_at = 0.0
        """Both on the loop's clock."""
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
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
        self._turn = self._loop.create_future()

    def resolve(self, turn: Turn, *, of: asyncio.Future[Turn] | None = None) -> None:
        """Say what it came to; the first word counts. With `of`, only that turn."""
        if self._turn is not None and not self._turn.done() and (of is None or of is self._turn):
            self._turn.set_result(turn)
            if self._then is not None:
                action, self._then = self._then, None
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
        now = self._loop.time()
        self._limit = now + limit
        self._look_at = now + max(min(limit, _WATCH_AFTER), 0.0)
        # A timer of the turn before goes on, if it is early enough: to set one takes longer than to be woken once.
        if self._timer is None or self._timer_at > self._look_at:
            if self._timer is not None:
                self._timer.cancel()
            self._look_later()
        return self._turn

    def _look_later(self) -> None:
        self._timer, self._timer_at = self._loop.call_at(self._look_at, self._watch), self._look_at

    def _watch(self) -> None:
        """Look at the clock, and at the memory held, every few milliseconds while something is at work."""
        self._timer = None
        if not self.is_open:
            return
        now = self._loop.time()
        if now >= self._limit:
            self.resolve("timeout")
            return
        if now >= self._look_at:
            held = self._memory()
            if held > self._most:
                self.resolve("out-of-memory")
                return
            pause = min(max((self._most - held) / _GROWTH, _WATCH_EVERY), _WATCH_LEAST)
            self._look_at = min(self._limit, now + pause)
        self._look_later()
