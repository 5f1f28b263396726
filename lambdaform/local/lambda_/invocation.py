"""One event at work in an environment: its answer, and when what of it happened, as log and telemetry tell."""

from __future__ import annotations

import time

import attrs

from lambdaform.local.lambda_.endings import Answer, Ending, Turn
from lambdaform.local.lambda_.platform_log import Report, Span, SpanName
from lambdaform.local.lambda_.runtime_api import LARGEST_RESPONSE, Event, Reply


@attrs.frozen
class Start:
    """How the process that serves was started, where that is part of what an invocation reports. Milliseconds."""

    init_duration: float | None = None
    restore_duration: float | None = None
    billed_restore: int = 0


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
    reply: Reply | None = None
    streamed: bytearray = attrs.field(factory=bytearray)
    """What came in pieces, as far as it is not too large for somebody who takes it whole."""
    is_done: bool = False
    """Whether telemetry has been told that the runtime is done."""

    @property
    def left(self) -> float:
        """Seconds until it times out."""
        return self.timeout - (time.monotonic() - self.begun)

    def piece(self, data: bytes, content_type: str) -> None:
        """Take a part of an answer that is streamed."""
        if self.answering is None:
            self.answering = time.monotonic()
        self.produced += len(data)
        if self.event.sink is not None:
            self.event.sink(data, content_type)
        if len(self.streamed) <= LARGEST_RESPONSE:  # what was streamed to the caller may be longer
            self.streamed += data

    def take(self, reply: Reply) -> Reply:
        """Take the answer; returns it whole."""
        self.answered = time.monotonic()
        if not reply.is_streamed:
            self.answering = self.answered
            self.produced = len(reply.body)
        elif reply.error_type is None:
            is_too_large = self.event.sink is None and len(self.streamed) > LARGEST_RESPONSE
            reply = attrs.evolve(reply, body=bytes(self.streamed), is_too_large=is_too_large)
        self.reply = reply
        return reply

    def report(self, answer: Answer, took: float, start: Start, *, memory_size: int, max_memory: int) -> Report:
        """Its figures, after so many seconds. Memory in MB."""
        return Report(
            request_id=self.event.request_id,
            duration=max(took * 1000, 0.01),
            memory_size=memory_size,
            max_memory=max_memory,
            init_duration=start.init_duration,
            restore_duration=start.restore_duration,
            billed_restore=start.billed_restore,
            status=answer.status,
            error_type=answer.error_type if answer.status == "error" else None,
            trace=self.event.trace,
        )

    def ending(self, answer: Answer, report: Report | None, *, log: str) -> Ending:
        """What it came to."""
        is_streamed = self.reply is not None and self.reply.is_streamed and self.event.sink is not None
        return Ending(
            payload=answer.payload,
            status=answer.status,
            is_error=answer.is_error,
            error_type=answer.error_type,
            is_streamed=is_streamed,
            log=log,
            report=report,
            was_cold=self.was_cold,
        )

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
