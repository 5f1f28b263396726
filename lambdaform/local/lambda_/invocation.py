"""One event at work in an environment: when what of it happened, as its log and its telemetry tell."""

from __future__ import annotations

import time

import attrs

from lambdaform.local.lambda_.endings import Turn
from lambdaform.local.lambda_.platform_log import Span, SpanName
from lambdaform.local.lambda_.runtime_api import Event


@attrs.define(eq=False)
class Invocation:
    """Moments are of the monotonic clock; durations seconds of real time."""

    event: Event
    timeout: float
    at: float
    """When it began, in seconds since the epoch, on the local AWS's clock."""
    was_cold: bool
    begun: float = attrs.field(factory=time.monotonic)
    answering: float | None = None
    """When the first byte of the answer came."""
    answered: float | None = None
    """When all of it had come."""
    asked: float | None = None
    """When the runtime asked for its next event."""
    produced: int = 0
    """Bytes of the answer."""
    is_done: bool = False
    """Whether telemetry has been told that the runtime is done."""

    @property
    def left(self) -> float:
        """Seconds until it times out."""
        return self.timeout - (time.monotonic() - self.begun)

    def piece(self, size: int) -> None:
        """Note a part of the answer."""
        if self.answering is None:
            self.answering = time.monotonic()
        self.produced += size

    def took(self, turn: Turn) -> float:
        """How long the runtime took for an answer, or until it came to something else."""
        if turn == "timeout":
            return self.timeout
        is_answer = turn in ("ready", "too-large") and self.answered is not None
        return (self.answered if is_answer and self.answered is not None else time.monotonic()) - self.begun

    def overhead(self) -> Span | None:
        """What extensions have taken until now after the runtime was done."""
        if self.asked is None:
            return None
        return self._span("extensionOverhead", self.asked, time.monotonic())

    def spans(self) -> tuple[Span, ...]:
        """The parts of the runtime's time, as far as they are over."""
        found: list[Span] = []
        if self.answering is not None:
            found.append(self._span("responseLatency", self.begun, self.answering))
        if self.answering is not None and self.answered is not None:
            found.append(self._span("responseDuration", self.answering, self.answered))
        if self.answered is not None and self.asked is not None:
            found.append(self._span("runtimeOverhead", self.answered, self.asked))
        return tuple(found)

    def _span(self, name: SpanName, start: float, end: float) -> Span:
        return Span(name, self.at + (start - self.begun), (end - start) * 1000)
