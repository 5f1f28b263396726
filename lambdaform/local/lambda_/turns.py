"""Waiting for an environment's processes: for what they come to, within a time and a memory limit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from lambdaform.local.lambda_.endings import Turn

_WATCH_AFTER = 0.01
_WATCH_EVERY = 0.005


class Turns:
    """One turn at a time is waited for. `memory` gives the bytes held now, of which there may be `most`."""

    def __init__(self, memory: Callable[[], int], most: int) -> None:
        self._memory = memory
        self._most = most
        self._loop = asyncio.get_running_loop()
        self._turn: asyncio.Future[Turn] | None = None

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

    async def wait(self, limit: float) -> Turn:
        """Wait for the turn under way, at most `limit` seconds of real time: handlers run in real time."""
        assert self._turn is not None
        timer = self._loop.call_later(max(limit, 0.0), self.resolve, "timeout")
        watch = self._loop.call_later(_WATCH_AFTER, self._watch, self._turn)
        try:
            return await self._turn
        finally:
            timer.cancel()
            watch.cancel()

    def _watch(self, turn: asyncio.Future[Turn]) -> None:
        """Look at the memory held every few milliseconds while something is at work, and end it above its size."""
        if turn.done():
            return
        if self._memory() > self._most:
            self.resolve("out-of-memory")
            return
        self._loop.call_later(_WATCH_EVERY, self._watch, turn)
