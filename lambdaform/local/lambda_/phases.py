"""The phases of an execution environment and the moves between them: one table, which refuses by default.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html. What is done in a phase is the
environment's business; here is what may follow what, and how long each may last.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Literal

import attrs

Phase = Literal["new", "init", "snapshot", "restore", "ready", "invoke", "reset", "shutdown", "ended"]
MOVES: Mapping[Phase, frozenset[Phase]] = {
    # An environment may be let go before anything has asked for it.
    "new": frozenset({"init", "restore", "shutdown"}),
    "init": frozenset({"ready", "snapshot", "reset", "shutdown"}),
    # Initialised for good: it serves nothing, others are restored from it.
    "snapshot": frozenset({"shutdown"}),
    "restore": frozenset({"ready", "reset", "shutdown"}),
    # Frozen: nothing in it runs until the next event.
    "ready": frozenset({"invoke", "reset", "shutdown"}),
    "invoke": frozenset({"ready", "reset", "shutdown"}),
    # Its processes are gone, its /tmp stays; INIT is run again inside of the next invocation.
    "reset": frozenset({"invoke", "shutdown"}),
    "shutdown": frozenset({"ended"}),
    "ended": frozenset(),
}
"""Every move there is."""

INIT_LIMIT = 10.0
"""Seconds the first initialisation may take on demand; the one repeated in an invocation has the function's timeout."""
_PREPARED_LIMIT, _LONGEST_LIMIT = 130.0, 900.0
RESTORE_LIMIT = 10.0
"""Seconds a restore may take, with the hooks that follow it."""
TERM_GRACE = 0.3
"""Seconds between a runtime's SIGTERM and the extensions' SHUTDOWN event."""
_KEPT = 20


@attrs.frozen
class Stay:
    """When an environment went into a phase."""

    phase: Phase
    since: float


class Phases:
    """The phase one environment is in, and those before it."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.current: Phase = "new"
        self.history: deque[Stay] = deque([Stay("new", now())], maxlen=_KEPT)
        """The last ones, oldest first."""

    def move(self, following: Phase) -> None:
        """Go into another phase. Raises `RuntimeError` when the table does not have that move."""
        if following not in MOVES[self.current]:
            raise RuntimeError(f"bug in lambdaform: an environment cannot go from {self.current} to {following}")
        self.current = following
        self.history.append(Stay(following, self._now()))


def init_limit(initialization: str, timeout: float) -> float:
    """Seconds the INIT phase may take: prepared environments have longer than those made for an event."""
    if initialization == "on-demand":
        return INIT_LIMIT
    return min(max(_PREPARED_LIMIT, timeout), _LONGEST_LIMIT)


def shutdown_budget(*, internal: int, external: int) -> float:
    """Seconds the SHUTDOWN phase lasts, by the extensions that are registered; without any, SIGKILL comes at once.

    https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html#runtimes-lifecycle-shutdown
    """
    if external:
        return 2.0
    return 0.5 if internal else 0.0


def gets_sigterm(*, internal: int, external: int) -> bool:
    """Whether the runtime is told with SIGTERM before it is killed: only where an extension is registered."""
    return internal + external > 0
