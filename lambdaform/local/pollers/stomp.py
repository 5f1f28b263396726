"""STOMP 1.2 as far as a consumer needs it: frames, a connection, receipts. Nothing of Lambda is known here.

The protocol is some lines of text, and what a consumer here must know no client library tells it in this event loop:
whether an acknowledgement was taken, and that a connection was lost rather than quietly made again.
https://stomp.github.io/stomp-specification-1.2.html
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
import time
from collections import deque
from collections.abc import Iterator, Mapping

import attrs

from lambdaform.local.pollers.patience import within
from lambdaform.local.pollers.reader import Trouble

_HEARTBEAT = 5_000
"""Milliseconds in which a server is asked to say something at least."""
_SILENCE = 3 * _HEARTBEAT / 1000
"""Seconds of real time without a word after which a server that promised one is gone."""
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_UNESCAPED = {r"\r": "\r", r"\n": "\n", r"\c": ":", r"\\": "\\"}
_ESCAPED = {plain: escaped for escaped, plain in _UNESCAPED.items()}
_PLAIN = frozenset({"CONNECT", "CONNECTED"})
"""Frames whose headers are not escaped: servers of version 1.0 are to understand them."""


@attrs.frozen
class Frame:
    """One frame; of a header that is repeated the first counts."""

    command: str
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str])
    body: bytes = b""

    def encoded(self) -> bytes:
        """As it goes over the wire."""
        is_plain = self.command in _PLAIN
        lines = [self.command]
        for name, value in self.headers.items():
            lines.append(f"{name}:{value}" if is_plain else f"{_escape(name)}:{_escape(value)}")
        return "\n".join([*lines, "", ""]).encode() + self.body + b"\0"


class Frames:
    """Puts frames together from what comes over the wire; heartbeats between them are passed over."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are whole now."""
        self._held += data
        while (frame := self._next()) is not None:
            yield frame

    def _next(self) -> Frame | None:
        del self._held[: len(self._held) - len(self._held.lstrip(b"\r\n"))]
        head = _END_OF_HEAD.search(self._held)
        if head is None:
            return None
        command, *lines = self._held[: head.start()].decode("utf-8", "replace").replace("\r\n", "\n").split("\n")
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            if command not in _PLAIN:
                name, value = _unescape(name), _unescape(value)
            headers.setdefault(name, value)
        length = headers.get("content-length", "")
        end = head.end() + int(length) if length.isdecimal() else self._held.find(b"\0", head.end())
        if end < 0 or len(self._held) <= end:
            return None
        body = bytes(self._held[head.end() : end])
        del self._held[: end + 1]
        return Frame(command, headers, body)


class Connection:
    """A connection to one server, with what it has sent. Its end is for good: whoever used it opens another."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.messages: deque[Frame] = deque()
        """What has come and nobody has taken."""
        self._reader = reader
        self._writer = writer
        self._arrival = asyncio.Event()
        self._receipts: dict[str, asyncio.Future[None]] = {}
        self._receipt = 0
        self._greeting: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        self._trouble: str | None = None
        self._heard_at = time.monotonic()
        self._is_promised = False
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def open(
        cls, host: str, port: int, *, user: str | None, password: str | None, is_encrypted: bool
    ) -> Connection:
        """Connect and log in. Raises `OSError`, and `Trouble` for a refusal."""
        context = ssl.create_default_context() if is_encrypted else None
        connection = cls(*await asyncio.open_connection(host, port, ssl=context))
        headers = {"accept-version": "1.2", "host": host, "heart-beat": f"0,{_HEARTBEAT}"}
        if user is not None:
            headers |= {"login": user, "passcode": password or ""}
        try:
            connection._send(Frame("CONNECT", headers))
            greeting = await within(connection._greeting)
        except BaseException:
            await connection.close(is_polite=False)
            raise
        connection._is_promised = not greeting.headers.get("heart-beat", "0,0").startswith("0,")
        return connection

    def check(self) -> None:
        """Raises `Trouble` when the server is gone, or has ended the connection."""
        if self._trouble is None and self._is_promised and time.monotonic() - self._heard_at > _SILENCE:
            self._trouble = "the connection is silent"
        if self._trouble is not None:
            raise Trouble(self._trouble)

    async def subscribe(self, destination: str, headers: Mapping[str, str]) -> None:
        """Have the messages of a destination sent, each to be acknowledged by itself. Raises `Trouble`."""
        given = {"id": "0", "destination": destination, "ack": "client-individual", **headers}
        await self._told(Frame("SUBSCRIBE", given))

    async def settle(self, command: str, messages: list[str]) -> None:
        """Send `ACK` or `NACK` of messages by their `ack` header, and wait until it is taken. Raises `Trouble`."""
        for message in messages[:-1]:
            self._send(Frame(command, {"id": message}))
        if messages:
            await self._told(Frame(command, {"id": messages[-1]}))

    async def greet(self) -> None:
        """Hear whether the server is there. Raises `Trouble`."""
        # A transaction without anything in it is all that can be asked without doing something.
        self._send(Frame("BEGIN", {"transaction": "greeting"}))
        await self._told(Frame("ABORT", {"transaction": "greeting"}))

    async def arrives(self, patience: float) -> None:
        """Wait until there is a message, or the connection has ended; `patience` seconds of real time at most."""
        if self.messages or self._trouble is not None:
            return
        self._arrival.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._arrival.wait()

    async def close(self, *, is_polite: bool = True) -> None:
        """End the connection, saying so unless the server is gone."""
        if is_polite and self._trouble is None:
            with contextlib.suppress(Trouble):
                await self._told(Frame("DISCONNECT"))
        self._trouble = self._trouble or "the connection was closed"
        self._listening.cancel()
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    def _send(self, frame: Frame) -> None:
        self.check()
        self._writer.write(frame.encoded())

    async def _told(self, frame: Frame) -> None:
        """Send a frame, and wait until the server says that it is done."""
        self._receipt += 1
        name = str(self._receipt)
        self._receipts[name] = asyncio.get_running_loop().create_future()
        try:
            self._send(attrs.evolve(frame, headers={**frame.headers, "receipt": name}))
            await within(self._receipts[name])
        finally:
            del self._receipts[name]

    async def _listen(self) -> None:
        frames = Frames()
        try:
            while data := await self._reader.read(1 << 16):
                self._heard_at = time.monotonic()
                for frame in frames.feed(data):
                    self._take(frame)
            self._end("the connection is lost")
        except OSError:
            self._end("the connection is lost")

    def _take(self, frame: Frame) -> None:
        match frame.command:
            case "MESSAGE":
                self.messages.append(frame)
                self._arrival.set()
            case "RECEIPT":
                waiting = self._receipts.get(frame.headers.get("receipt-id", ""))
                if waiting is not None and not waiting.done():
                    waiting.set_result(None)
            case "CONNECTED" if not self._greeting.done():
                self._greeting.set_result(frame)
            case "ERROR":
                self._end(frame.headers.get("message") or "it refuses without a word")
            case _:
                pass

    def _end(self, trouble: str) -> None:
        self._trouble = self._trouble or trouble
        for waiting in (self._greeting, *self._receipts.values()):
            if not waiting.done():
                waiting.set_exception(Trouble(self._trouble))
        if self._greeting.done() and not self._greeting.cancelled():
            self._greeting.exception()  # whoever waited for it has been told, or has gone
        self._arrival.set()


def _escape(text: str) -> str:
    return re.sub(r"[\\:\r\n]", lambda found: _ESCAPED[found[0]], text)


def _unescape(text: str) -> str:
    return re.sub(r"\\[rnc\\]", lambda found: _UNESCAPED[found[0]], text)
