"""What caused what: the way of every event through the local AWS, as steps that know their causes.

A step is a request, an invocation, a message, a delivery. What is under way knows its causes by a context variable,
which background work and timers inherit; a handler's own calls are known by the trace header their SDK sends along, a
message by its id. Steps hold nothing that differs from run to run: no measured time, no memory, no log.
"""

from __future__ import annotations

import contextvars
import re
from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Literal

import attrs

from lambdaform.local.ports import Json

MOST_STEPS = 50_000
What = Literal[
    "request",
    "invocation",
    "message",
    "dead-letter",
    "object",
    "event",
    "schedule",
    "records",
    "log-lines",
    "refusal",
]
_PARENT = re.compile(r"(?:^|;)\s*Parent=([0-9a-f]{16})")
_causes: contextvars.ContextVar[tuple[int, ...]] = contextvars.ContextVar("lambdaform_causes", default=())


@attrs.define(eq=False)
class Step:
    """One thing that happened."""

    number: int
    """In the order in which steps were noted: that of `at`, but for what was noted some milliseconds later."""
    causes: tuple[int, ...]
    """The numbers of the steps that brought it about; none for what came from outside."""
    what: What
    subject: str
    """Whose it was: the ARN of a function, queue, bus, or a request line."""
    at: float
    """Seconds since the epoch, on the local AWS's clock."""
    details: dict[str, Json]


class Trace:
    """The latest steps of one local AWS."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._steps: deque[Step] = deque(maxlen=MOST_STEPS)
        self._numbers = 0
        self._known: OrderedDict[str, int] = OrderedDict()

    def add(
        self,
        what: What,
        subject: str,
        *,
        key: str | None = None,
        after: str | None = None,
        at: float | None = None,
        is_uncaused: bool = False,
        **details: Json,
    ) -> Step:
        """Note a step, caused by what is under way here, or by the step of the key `after`, or by none.

        `key` is what `after` and `caused_by` will know it by. It is of now, or of `at`, a moment past.
        """
        self._numbers += 1
        causes = () if is_uncaused else _causes.get() if after is None else self._numbers_of(after)
        step = Step(self._numbers, causes, what, subject, self._now() if at is None else at, details)
        self._steps.append(step)
        if key is not None:
            self._known[key] = step.number
            if len(self._known) > MOST_STEPS:
                self._known.popitem(last=False)
        return step

    def amend(self, request_id: str, **details: Json) -> None:
        """Say more of the latest invocation of a request, once it is known."""
        for step in reversed(self._steps):
            if step.what == "invocation" and step.details.get("request_id") == request_id:
                step.details.update(details)
                return

    @contextmanager
    def under(self, step: Step) -> Generator[None]:
        """What happens inside is caused by `step`."""
        token = _causes.set((step.number,))
        try:
            yield
        finally:
            _causes.reset(token)

    def caused_by(self, *keys: str) -> None:
        """What happens from here on, in this task, is caused by the steps of these keys, as far as they are known."""
        _causes.set(self._numbers_of(*keys))

    def caused_from_here(self, step: Step) -> None:
        """What happens from here on, in this task, is caused by `step`."""
        _causes.set((step.number,))

    def caused_by_header(self, header: str) -> None:
        """What happens from here on, in this task, is caused by the invocation a trace header names as its parent."""
        found = _PARENT.search(header)
        if found is not None:
            self.caused_by(found[1])

    def _numbers_of(self, *keys: str) -> tuple[int, ...]:
        return tuple(number for key in keys if (number := self._known.get(key)) is not None)

    def repeats(self, subject: str) -> int:
        """How many invocations of a function (by its unqualified ARN) the chain holds that leads here."""
        count, numbers = 0, _causes.get()
        while numbers and self._steps and numbers[0] >= self._steps[0].number:
            step = self._steps[numbers[0] - self._steps[0].number]
            if step.what == "invocation" and (step.subject == subject or step.subject.startswith(f"{subject}:")):
                count += 1
            numbers = step.causes
        return count

    def knows(self, key: str) -> bool:
        """Whether a step of that key is known."""
        return key in self._known

    def steps(self, after: int = 0) -> Iterator[Step]:
        """The steps later than number `after`, in order."""
        return (step for step in self._steps if step.number > after)

    def find(self, number: int) -> Step | None:
        """A step by its number, while it is kept."""
        return next((step for step in self._steps if step.number == number), None)

    def clear(self) -> None:
        """Forget all; numbers begin anew."""
        self._steps.clear()
        self._known.clear()
        self._numbers = 0


def child_header(header: str, segment: str) -> str:
    """A trace header with `segment` as its parent: what a function is given of the header it was invoked with."""
    parts = [part for part in header.split(";") if not part.strip().startswith("Parent=")]
    return ";".join([*parts[:1], f"Parent={segment}", *parts[1:]])
