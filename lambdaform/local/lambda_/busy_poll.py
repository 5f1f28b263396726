"""Staying awake for the next of several invocations that come one after the other.

A processor that goes to sleep and is woken for each of them takes longer for that than the local AWS takes for a warm
invocation, and has forgotten meanwhile what it had at hand. So while a client asks again at once, the loop looks for
its next request without sleeping: for a millisecond at most, and only while nothing is at work. Where the client has
no processor of its own meanwhile, there must be none of this.
"""

from __future__ import annotations

from collections.abc import Callable

LONGEST = 0.001
"""Seconds after an environment came to rest. What AWS's client does between an answer and its next request takes less
on most machines."""
LEAST_PROCESSORS = 2.0


class BusyPoll:
    """Keeps a loop awake by `call_soon`. Told by a `Fleet` what happens; `now` is a clock of real time, in seconds."""

    def __init__(self, *, call_soon: Callable[[Callable[[], None]], object], now: Callable[[], float]) -> None:
        self._call_soon = call_soon
        self._now = now
        self._rested = 0.0
        self._until = 0.0
        self._is_in_a_row = False
        """Whether the invocation at work came so soon after the one before that it was worth staying awake for it."""
        self._is_polling = False

    def begin(self) -> None:
        """An invocation has come: from here on the loop may sleep."""
        self._until = 0.0
        self._is_in_a_row = self._now() - self._rested < LONGEST

    def rest(self) -> None:
        """Its environment is at rest, and no other is at work."""
        self._rested = self._now()
        if self._is_in_a_row:
            self._is_in_a_row = False
            self._until = self._rested + LONGEST
            if not self._is_polling:
                self._is_polling = True
                self._call_soon(self._poll)

    def _poll(self) -> None:
        if self._now() < self._until:
            self._call_soon(self._poll)
        else:
            self._is_polling = False
