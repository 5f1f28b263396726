"""Environments made ahead: what was deployed or started last is likely to be started next.

AWS keeps machines ready and counts INIT from the moment a function's own code is loaded. Here the next environment of
the latest functions gets its folder, its Runtime API and its process, which waits in Lambda's file system for an event
before anything of the function's has run.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import attrs

from lambdaform.local.lambda_.blueprint import Blueprint
from lambdaform.local.lambda_.values import Function, Version
from lambdaform.local.ports import AwsFault

MOST = 8
"""Functions whose next environment is made ahead: each is a process."""
QUIET = 0.008
"""Seconds of real time since the last deployment or cold start: those come first."""


@attrs.frozen
class _Expected:
    """A version that may be started soon."""

    account: str
    region: str
    name: str
    version: str


class Anticipation:
    """One per local AWS whose clock is the system's: under a virtual one nothing may happen by itself."""

    def __init__(
        self,
        *,
        find: Callable[[tuple[str, str, str]], Function | None],
        blueprint: Callable[[Function, Version], Awaitable[Blueprint]],
        make: Callable[[Function, Version, Blueprint], Awaitable[None]],
        run: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._find = find
        self._blueprint = blueprint
        self._make = make
        self._run = run
        self._expected: OrderedDict[_Expected, None] = OrderedDict()
        """The newest at the end."""
        self._timer: asyncio.TimerHandle | None = None
        self._is_at_work = False
        self._is_closed = False

    def expect(self, account: str, region: str, name: str, version: str) -> None:
        """Have the next environment of a version made, when there is time."""
        if self._is_closed:
            return
        expected = _Expected(account, region, name, version)
        self._expected[expected] = None
        self._expected.move_to_end(expected)
        if len(self._expected) > MOST:
            self._expected.popitem(last=False)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(QUIET, self._begin)

    def close(self) -> None:
        """Make no more."""
        self._is_closed = True
        self._expected.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _begin(self) -> None:
        self._timer = None
        if not self._is_at_work:
            self._is_at_work = True
            self._run(self._go_on())

    async def _go_on(self) -> None:
        try:
            while self._expected and self._timer is None:
                expected, _ = self._expected.popitem()
                function, version = self._look_up(expected)
                if function is None or version is None or version.state != "Active" or version.has_snapshot:
                    continue
                with contextlib.suppress(AwsFault, OSError):  # whoever invokes it hears of that
                    blueprint = await self._blueprint(function, version)
                    _, now = self._look_up(expected)
                    if not self._is_closed and now is not None and now.generation == version.generation:
                        await self._make(function, version, blueprint)
        finally:
            self._is_at_work = False

    def _look_up(self, expected: _Expected) -> tuple[Function | None, Version | None]:
        function = self._find((expected.account, expected.region, expected.name))
        return function, function.version(expected.version) if function is not None else None
