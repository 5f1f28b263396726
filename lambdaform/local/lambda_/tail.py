"""The log of an environment: what goes to its stream, of which the end is kept for whoever invoked it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from lambdaform.local.lambda_.blueprint import LogWriter

_KEPT = 256 * 1024


class Tail:
    """Writes on, and remembers what was written since it was cleared, the last 256 KB of it."""

    def __init__(self, writer: LogWriter) -> None:
        self._writer = writer
        self._lines: deque[str] = deque()
        self._size = 0

    def write(self, text: str) -> None:
        """Keep one log event."""
        self._writer.write(text)
        self._lines.append(text)
        self._size += len(text)
        while self._size > _KEPT and len(self._lines) > 1:
            self._size -= len(self._lines.popleft())

    def write_all(self, lines: Iterable[str]) -> None:
        """Keep several."""
        for line in lines:
            self.write(line)

    def clear(self) -> None:
        """Begin anew."""
        self._lines.clear()
        self._size = 0

    def text(self) -> str:
        """What is remembered."""
        return "".join(self._lines)
