"""A handler process's standard output and error, read into log lines."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

_PIECE = 65536
_LONGEST = 262_144
"""Bytes of one log event; CloudWatch Logs takes no longer one, so a longer line is cut into several."""


class Output:
    """One pipe. Lines go to `take` as text with their line end, in order; `write_end` is for the process."""

    def __init__(self, take: Callable[[str], None]) -> None:
        self._take = take
        self._rest = b""
        self._read_end, self.write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC) if hasattr(os, "pipe2") else os.pipe()
        os.set_blocking(self._read_end, False)
        os.set_blocking(self.write_end, True)
        self._loop = asyncio.get_running_loop()
        self._is_open = True
        self._loop.add_reader(self._read_end, self.drain)

    def started(self) -> None:
        """The process has its end: ours of it is closed, so that the pipe ends when the process does."""
        os.close(self.write_end)

    def drain(self) -> None:
        """Read everything written so far, without waiting."""
        while self._is_open:
            try:
                data = os.read(self._read_end, _PIECE)
            except BlockingIOError:
                return
            if not data:
                self.close()
                return
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                self._emit(line + b"\n")
            while len(self._rest) > _LONGEST:
                self._emit(self._rest[:_LONGEST])
                self._rest = self._rest[_LONGEST:]

    def flush(self) -> None:
        """Read everything, and give out a last line that has no end yet."""
        self.drain()
        if self._rest:
            rest, self._rest = self._rest, b""
            self._emit(rest)

    def close(self) -> None:
        """Stop reading. Closing twice is harmless."""
        if self._is_open:
            self._is_open = False
            self._loop.remove_reader(self._read_end)
            os.close(self._read_end)
            if self._rest:
                rest, self._rest = self._rest, b""
                self._emit(rest)

    def _emit(self, line: bytes) -> None:
        self._take(line.decode("utf-8", "replace"))
