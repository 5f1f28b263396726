"""Faults a test declares: what happens to a function's next invocations, and to the calls its handlers make.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-retries.html says what AWS makes of each; here is only which
invocation is struck. Nothing in here decides by chance.
"""

from __future__ import annotations

from collections import deque
from typing import Literal, get_args

import attrs

Strike = Literal["throttle", "timeout", "crash", "out-of-memory"]
STRIKES: tuple[Strike, ...] = get_args(Strike)


@attrs.define(eq=False)
class _Struck:
    strike: Strike
    times: int


@attrs.define(eq=False)
class Trouble:
    """How calls of handlers to one service end: later than usual, or refused."""

    service: str
    code: str | None
    """The error they are refused with; None when they are only late."""
    status: int
    delay: float
    """Seconds of real time before they are passed on or refused."""
    times: int
    """How many calls; -1 for all."""


class Faults:
    """The faults declared for one local AWS; a new test begins with none."""

    def __init__(self) -> None:
        self._struck: dict[str, deque[_Struck]] = {}
        self._durations: dict[str, float] = {}
        self._troubles: list[Trouble] = []
        self.delivers_twice = False
        """Whether every delivery of an event service is made twice: AWS promises at least one."""

    def strike(self, function: str, strike: Strike, times: int) -> None:
        """Let the next `times` invocations of a function (by its ARN) end so, after those declared before."""
        self._struck.setdefault(function, deque()).append(_Struck(strike, times))

    def concern(self, function: str) -> bool:
        """Whether anything is declared of a function's invocations."""
        return function in self._durations or bool(self._struck.get(function))

    def take(self, function: str) -> Strike | None:
        """What strikes the invocation that begins now."""
        held = self._struck.get(function)
        if not held:
            return None
        first = held[0]
        first.times -= 1
        if first.times <= 0:
            held.popleft()
        return first.strike

    def lasts(self, function: str, seconds: float) -> None:
        """Let invocations of a function take so long on the local AWS's clock."""
        self._durations[function] = seconds

    def duration(self, function: str) -> float:
        """How long an invocation takes on the local AWS's clock, besides what its handler really takes."""
        return self._durations.get(function, 0.0)

    def trouble(self, trouble: Trouble) -> None:
        """Trouble the calls of handlers to a service."""
        self._troubles.append(trouble)

    @property
    def is_troubled(self) -> bool:
        """Whether any service is."""
        return bool(self._troubles)

    def troubled(self, service: str) -> Trouble | None:
        """The trouble a handler's call meets, which is then one less."""
        for trouble in self._troubles:
            if trouble.service == service and trouble.times:
                trouble.times -= trouble.times > 0
                return trouble
        return None

    def clear(self) -> None:
        """Declare nothing any more."""
        self._struck.clear()
        self._durations.clear()
        self._troubles.clear()
        self.delivers_twice = False
