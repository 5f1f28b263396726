"""A handler process's standard output and error, read into log events.

What is written to it is text, of which a line is an event, and frames, of which each is an event, line breaks and all:
four bytes that say so, the length and the time of the message in four and eight, and the message. AWS's runtime clients
write log records so. Frames and text share the pipe, so that they stay in order. Whatever else looks like a frame costs
no more than a few line breaks: it ends at the latest when everything is read.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable

_PIECE = 65536
_LONGEST = 262_144
"""Bytes of one log event; CloudWatch Logs takes no longer one, so a longer line is cut into several."""
_FRAME = 16
"""Bytes of a frame before its message."""
_HEAD = re.compile(
    rb"\xa5(?:\Z|\x5a(?:\Z|\x00(?:\Z|[\x02\x03\x0a\x0b\x0e\x0f\x12\x13\x16\x17\x1a\x1b](?:.{12}|.{0,11}\Z))))",
    re.DOTALL,
)
"""What a frame begins with, or as much of it as has come. The fourth byte tells JSON from text, and the level."""


class Output:
    """One pipe. Events go to `take` as text, lines with their end, in order; `write_end` is for the process."""

    def __init__(self, take: Callable[[str], None]) -> None:
        self._take = take
        self._line = b""
        """A line that has no end yet."""
        self._head = b""
        """The beginning of what may become a frame."""
        self._message = bytearray()
        """Of a frame, what is there of its message."""
        self._missing = 0
        """Bytes of it that are still to come."""
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
            self._sort(data)

    def flush(self) -> None:
        """Read everything, and give out what has no end yet."""
        self.drain()
        self._give_rest()

    def close(self) -> None:
        """Stop reading. Closing twice is harmless."""
        if self._is_open:
            self._is_open = False
            self._loop.remove_reader(self._read_end)
            os.close(self._read_end)
            self._give_rest()

    def _sort(self, data: bytes) -> None:
        data, self._head = self._head + data, b""
        while data:
            if self._missing:
                data = self._add_to_message(data)
                continue
            found = _HEAD.search(data)
            if found is None:
                self._add_lines(data)
                return
            self._add_lines(data[: found.start()])
            head, data = found[0], data[found.end() :]
            if len(head) == _FRAME:
                self._missing = int.from_bytes(head[4:8], "big")
            else:
                self._head = head

    def _add_lines(self, text: bytes) -> None:
        *lines, self._line = (self._line + text).split(b"\n")
        for line in lines:
            self._emit(line + b"\n")
        while len(self._line) > _LONGEST:
            self._emit(self._line[:_LONGEST])
            self._line = self._line[_LONGEST:]

    def _add_to_message(self, data: bytes) -> bytes:
        """Returns what follows the message, which ends as a line does: the tail of a log is put together of both."""
        part = data[: min(self._missing, _LONGEST - len(self._message))]
        self._message += part
        self._missing -= len(part)
        if not self._missing or len(self._message) == _LONGEST:
            message, self._message = self._message, bytearray()
            self._emit(message if self._missing or message.endswith(b"\n") else message + b"\n")
        return data[len(part) :]

    def _give_rest(self) -> None:
        """Give out what has no end; what follows is not part of it."""
        rest = (self._message, self._line + self._head)
        self._message, self._missing = bytearray(), 0
        self._line = self._head = b""
        for each in rest:
            if each:
                self._emit(each)

    def _emit(self, event: bytes | bytearray) -> None:
        self._take(event.decode("utf-8", "replace"))
