"""The log of an environment: what goes to its stream, of which the end is kept for whoever invoked it.

Who listens to its telemetry hears of the same, as events.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Concatenate, Literal, ParamSpec

import attrs

from lambdaform.local.lambda_.blueprint import LogWriter
from lambdaform.local.lambda_.platform_log import EVERYTHING, Style

_KEPT = 256 * 1024
_EARLY = 10_000
"""Events of INIT that are kept for those who begin to listen before it ends."""
Category = Literal["platform", "function", "extension"]
_Given = ParamSpec("_Given")


@attrs.frozen
class Told:
    """Something an environment has told."""

    category: Category
    at: float
    """Seconds since the epoch, on the local AWS's clock."""
    text: str
    """The line; of the platform, its JSON form."""


class Tail:
    """Writes on, and remembers what was written since it was cleared, the last 256 KB of it."""

    def __init__(self, writer: LogWriter, style: Style, now: Callable[[], float]) -> None:
        self._writer = writer
        self._style = style
        self.now = now
        self._lines: deque[str] = deque()
        self._size = 0
        self.listener: Callable[[Told], None] | None = None
        self.early: list[Told] | None = None
        """What was told since INIT began, until it ends."""

    @property
    def is_detailed(self) -> bool:
        """Whether somebody sees more of the platform than the lines in text."""
        return self.listener is not None or (self._style.format == "JSON" and self._style.system_level == "DEBUG")

    def write(self, text: str, at: float | None = None) -> None:
        """Keep one log event, of now or of a moment just past."""
        self._writer.write(text, at)
        self._lines.append(text)
        self._size += len(text)
        while self._size > _KEPT and len(self._lines) > 1:
            self._size -= len(self._lines.popleft())

    def function(self, text: str) -> None:
        """Keep a line of the function's."""
        self.write(text)
        if self.listener is not None or self.early is not None:
            self._tell(Told("function", self.now(), text))

    def extension(self, text: str) -> None:
        """Keep a line of an extension's."""
        self.write(text)
        self._tell(Told("extension", self.now(), text))

    def platform(
        self,
        make: Callable[Concatenate[Style, float, _Given], Iterator[str]],
        *given: _Given.args,
        **named: _Given.kwargs,
    ) -> None:
        """Keep the lines that one of the functions of `platform_log` makes."""
        self.platform_at(self.now(), make, *given, **named)

    def platform_at(
        self,
        at: float,
        make: Callable[Concatenate[Style, float, _Given], Iterator[str]],
        *given: _Given.args,
        **named: _Given.kwargs,
    ) -> None:
        """As `platform`, of a moment just past."""
        for line in make(self._style, at, *given, **named):
            self.write(line, at)
        if self.listener is not None or self.early is not None:
            for line in make(EVERYTHING, at, *given, **named):
                self._tell(Told("platform", at, line))

    def clear(self) -> None:
        """Begin anew."""
        self._lines.clear()
        self._size = 0

    def text(self) -> str:
        """What is remembered."""
        return "".join(self._lines)

    def _tell(self, told: Told) -> None:
        if self.early is not None and len(self.early) < _EARLY:
            self.early.append(told)
        if self.listener is not None:
            self.listener(told)
