"""A small HTTP/1.1 server: bytes in, `Request` values out, `Response` values back.

Every address of the local AWS is one of these: the door, and the Runtime API of each execution environment. It is a
bare asyncio protocol because it is the hot path of every invocation. It knows nothing of AWS.
"""

from __future__ import annotations

import asyncio
import re
import socket
import sys
import traceback
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Protocol, cast

import attrs
import httptools

LARGEST_BODY = 512 * 1024 * 1024
"""Bytes of one request's body that are taken into memory; more is answered 413."""

_TOO_LARGE = f"body larger than {LARGEST_BODY} bytes"
_REASONS = {status.value: status.phrase for status in HTTPStatus}
_WITHOUT_BODY = frozenset({204, 304})
_READ_AHEAD = 16
_RECALLED = 16
_PLAIN = re.compile(rb"(GET|POST) (/[!-~]*) HTTP/1\.1")
_MEANT = frozenset({"expect", "transfer-encoding", "connection", "upgrade"})
"""Headers that say how the rest of a request is to be read."""


@attrs.frozen(eq=False)
class Request:
    """One HTTP request, read whole."""

    method: str
    target: str
    """Path and query exactly as sent: nothing is percent-decoded here, because a router has to see encoded slashes."""
    headers: Mapping[str, str]
    """By lower-case name; repeated ones are joined by a comma (cookies by a semicolon)."""
    body: bytes = b""
    peer: str = "127.0.0.1"
    peer_port: int = 0
    """0 where it is not known."""

    @property
    def path(self) -> str:
        """The path as sent, still percent-encoded."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """The query string as sent, without its question mark."""
        return self.target.partition("?")[2]


@attrs.frozen(eq=False)
class Response:
    """One HTTP answer; a body that is an iterator goes out in chunks as it comes."""

    status: int = 200
    body: bytes | AsyncIterator[bytes] = b""
    headers: Sequence[tuple[str, str]] = ()


class Intake(Protocol):
    """Takes a request's body as it comes."""

    def piece(self, data: bytes) -> None:
        """The next piece."""
        ...

    def end(self, trailers: Mapping[str, str]) -> None:
        """All of it is there; from here on the request is to be answered."""
        ...


Handler = Callable[[Request], Awaitable[Response]]
Dispatch = Callable[["Connection", Request], None]
Intakes = Callable[["Connection", Request], Intake | None]
"""Decides by a request's head who takes its body; None for a request that is read whole first."""


class Connection(asyncio.Protocol):
    """One client's connection: requests are handed out one at a time, in order, however many were sent ahead.

    `dispatch` gets each request and must see to it that `answer` (or `begin`, `chunk`, `finish`) follows, now or later.
    """

    def __init__(
        self,
        dispatch: Dispatch,
        *,
        lost: Callable[[Connection], None] | None = None,
        intakes: Intakes | None = None,
        recalls: bool = False,
    ) -> None:
        self._dispatch = dispatch
        self._recalled: dict[bytes, tuple[Mapping[str, str], int]] | None = {} if recalls else None
        """Header lines of requests before, for clients that send the same ones again: what they say, and the length."""
        self._chunk: bytes | None = None
        """What a message began with, as long as all of it may be in there."""
        self._intakes = intakes
        self._intake: Intake | None = None
        self._lost = lost
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[tuple[Request, bool]] = deque()
        self._current: Request | None = None
        self._keep_alive = True
        self._chunked = False
        self._paused_reading = False
        self._writable: asyncio.Event | None = None
        self._peer = "127.0.0.1"
        self._peer_port = 0
        self._is_between = True
        """Whether no message has begun that has not been read whole."""
        self._target = bytearray()
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._body_size = 0

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's, so this cannot be narrowed by looking.
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple) and peer:
            host, port = cast("tuple[str, int]", peer[:2])
            self._peer, self._peer_port = host, port

    def data_received(self, data: bytes) -> None:
        if self._recalled is not None:
            if self._take_recalled(self._recalled, data):
                return
            self._chunk = data if self._is_between else None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._keep_alive = False  # no other protocol is spoken here: answer the request, then hang up
        except httptools.HttpParserError as error:
            self._refuse(400, f"malformed request: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._waiting.clear()
        if self._writable is not None:
            self._writable.set()
        if self._lost is not None:
            self._lost(self)

    def pause_writing(self) -> None:
        self._writable = asyncio.Event()

    def resume_writing(self) -> None:
        if self._writable is not None:
            self._writable.set()
            self._writable = None

    # What the parser calls

    def on_message_begin(self) -> None:
        self._is_between = False
        self._target = bytearray()
        self._headers = {}
        self._body = []
        self._body_size = 0

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        key = name.decode("latin-1").lower()
        text = value.decode("latin-1")
        before = self._headers.get(key)
        if before is None:
            self._headers[key] = text
        else:
            self._headers[key] = before + ("; " if key == "cookie" else ", ") + text

    def on_headers_complete(self) -> None:
        if not _MEANT.isdisjoint(self._headers):
            self._chunk = None
        announced = self._headers.get("content-length", "")
        is_first = self._current is None and not self._waiting  # else those before it are answered first
        if is_first and announced.isdecimal() and int(announced) > LARGEST_BODY:
            self._refuse(413, _TOO_LARGE)  # nobody needs to send it first
            return
        expects = self._headers.pop("expect", "")
        if expects.lower() == "100-continue" and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self._intakes is not None:
            request = self._request(b"")
            self._intake = self._intakes(self, request)
            if self._intake is not None:
                self._current = request
                self._headers = {}  # what follows are trailers

    def on_body(self, body: bytes) -> None:
        if self._intake is not None:
            self._intake.piece(body)
            return
        self._body_size += len(body)
        if self._body_size <= LARGEST_BODY:
            self._body.append(body)
        else:
            self._body.clear()

    def on_message_complete(self) -> None:
        self._is_between = True
        if self._body_size > LARGEST_BODY:
            self._refuse(413, _TOO_LARGE)
            return
        keep_alive = self._parser.should_keep_alive()
        if self._intake is not None:
            intake, self._intake = self._intake, None
            self._keep_alive, self._chunked = keep_alive, False
            intake.end(self._headers)
            return
        if self._recalled is not None and self._chunk is not None and keep_alive:
            self._recall_later(self._recalled, self._chunk)
        request = self._request(b"".join(self._body) if len(self._body) != 1 else self._body[0])
        if self._current is None and not self._waiting:
            self._hand_out(request, keep_alive)
        else:
            self._waiting.append((request, keep_alive))
            if len(self._waiting) > _READ_AHEAD and self._transport is not None and not self._paused_reading:
                self._paused_reading = True
                self._transport.pause_reading()

    def _request(self, body: bytes) -> Request:
        return Request(
            method=self._parser.get_method().decode("latin-1"),
            target=self._target.decode("latin-1"),
            headers=self._headers,
            body=body,
            peer=self._peer,
            peer_port=self._peer_port,
        )

    # What a dispatcher calls

    @property
    def is_open(self) -> bool:
        """Whether the client is still there."""
        return self._transport is not None and not self._transport.is_closing()

    def answer(self, response: Response) -> None:
        """Send a whole answer; the next request of this connection is handed out after it."""
        body = response.body
        if not isinstance(body, bytes):
            raise TypeError("a streamed answer goes through `begin`, `chunk` and `finish`")
        head = self._head(response.status, response.headers, length=len(body))
        if self._transport is not None:
            is_bare = response.status in _WITHOUT_BODY or (self._current is not None and self._current.method == "HEAD")
            self._transport.write(head if is_bare else head + body)
        self._done()

    def answer_ok(self, fields: str, body: bytes) -> None:
        """As `answer`, with status 200 and header lines in one text, each with its line end: the hot path's way.

        They must not name the length, and nothing in them may be of a client's making that could end a line.
        """
        if self._transport is not None:
            end = "" if self._keep_alive else "Connection: close\r\n"
            text = f"HTTP/1.1 200 OK\r\n{fields}Content-Length: {len(body)}\r\n{end}\r\n"
            self._transport.write(text.encode("utf-8", "surrogateescape") + body)
        if self._keep_alive and not self._waiting:
            self._current = None
        else:
            self._done()

    def begin(self, status: int, headers: Sequence[tuple[str, str]]) -> None:
        """Start an answer whose length is not known yet."""
        self._chunked = True
        if self._transport is not None:
            self._transport.write(self._head(status, headers, length=None))

    async def chunk(self, data: bytes) -> None:
        """Send a piece of the body; waits while the client is slow."""
        if self._transport is not None and data:
            self._transport.write(b"%x\r\n" % len(data) + data + b"\r\n")
        if self._writable is not None:
            await self._writable.wait()

    def finish(self) -> None:
        """End a chunked answer."""
        if self._transport is not None:
            self._transport.write(b"0\r\n\r\n")
        self._done()

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    # Private

    def _take_recalled(self, recalled: Mapping[bytes, tuple[Mapping[str, str], int]], data: bytes) -> bool:
        """Take a whole request whose header lines need not be read again; False, and nothing done, for any other."""
        line, end = data.find(b"\r\n"), data.find(b"\r\n\r\n")
        known = recalled.get(data[line:end]) if end > line else None
        if known is None or len(data) != end + 4 + known[1] or self._current is not None or not self._is_between:
            return False
        first = _PLAIN.fullmatch(data, 0, line)
        if first is None:
            return False
        request = Request(first[1].decode(), first[2].decode(), known[0], data[end + 4 :], self._peer, self._peer_port)
        intake = self._intakes(self, request) if self._intakes is not None else None
        if intake is None:
            self._hand_out(request, True)
            return True
        self._current, self._keep_alive, self._chunked = request, True, False
        intake.piece(request.body)
        intake.end({})
        return True

    def _recall_later(self, recalled: dict[bytes, tuple[Mapping[str, str], int]], data: bytes) -> None:
        line, end = data.find(b"\r\n"), data.find(b"\r\n\r\n")
        if end > line and len(data) == end + 4 + self._body_size and len(recalled) < _RECALLED:
            recalled[data[line:end]] = self._headers, self._body_size

    def _hand_out(self, request: Request, keep_alive: bool) -> None:
        self._current = request
        self._keep_alive = keep_alive
        self._chunked = False
        self._dispatch(self, request)

    def _head(self, status: int, headers: Sequence[tuple[str, str]], *, length: int | None) -> bytes:
        lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}"]
        has_length = False
        for name, value in headers:
            lowered = name.lower()
            if lowered == "content-length":
                # Only an answer to HEAD may name a length other than its body's.
                if self._current is None or self._current.method != "HEAD":
                    continue
                has_length = True
            elif lowered in ("transfer-encoding", "connection"):
                continue
            if "\n" in value or "\r" in value:  # a value from outside must not begin a header of its own
                value = value.replace("\r", " ").replace("\n", " ")
            lines.append(f"{name}: {value}")
        if length is None:
            lines.append("Transfer-Encoding: chunked")
        elif not has_length and status not in _WITHOUT_BODY:
            lines.append(f"Content-Length: {length}")
        if not self._keep_alive:
            lines.append("Connection: close")
        return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n"

    def _done(self) -> None:
        self._current = None
        if self._transport is None:
            return
        if not self._keep_alive:
            self._transport.close()
            return
        if self._waiting:
            request, keep_alive = self._waiting.popleft()
            if self._paused_reading and not self._waiting:
                self._paused_reading = False
                self._transport.resume_reading()
            # A fresh turn of the loop, so that a thousand requests sent ahead are not a thousand frames deep.
            self._current = request
            asyncio.get_running_loop().call_soon(self._hand_out, request, keep_alive)

    def _refuse(self, status: int, text: str) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._keep_alive = False
            if self._current is None:
                self._transport.write(self._head(status, [("Content-Type", "text/plain")], length=len(text)))
                self._transport.write(text.encode("utf-8", "replace"))
            self._transport.close()
        self._waiting.clear()


def answering(handler: Handler) -> Dispatch:
    """A dispatcher that runs each request through a coroutine; what the coroutine raises is answered 500.

    A client that hangs up does not stop the work: an invocation runs on without its caller, as in AWS.
    """
    tasks: set[asyncio.Task[None]] = set()

    async def run(connection: Connection, request: Request) -> None:
        try:
            response = await handler(request)
        except Exception as error:  # noqa: BLE001 - nothing a request does may end the process
            print_failure(error, request)
            response = Response(500, b'{"message": "internal failure of the local AWS; see its standard error"}')
        if isinstance(response.body, bytes):
            connection.answer(response)
            return
        connection.begin(response.status, response.headers)
        try:
            async for piece in response.body:
                await connection.chunk(piece)
        except Exception as error:  # noqa: BLE001 - the head is out: all that is left is to cut the stream short
            print_failure(error, request)
            connection.close()
        else:
            connection.finish()

    def dispatch(connection: Connection, request: Request) -> None:
        task = asyncio.get_running_loop().create_task(run(connection, request))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    return dispatch


def print_failure(error: BaseException, request: Request) -> None:
    """Say on standard error that a request hit a bug of ours."""
    sys.stderr.write(f"bug in lambdaform: {request.method} {request.target} failed\n")
    traceback.print_exception(error, file=sys.stderr)


class Server:
    """A listening address. `port` is the real one where 0 was asked for."""

    def __init__(self, host: str, port: int, server: asyncio.Server, connections: set[Connection]) -> None:
        self.host = host
        self.port = port
        self._server = server
        self._connections = connections

    @classmethod
    async def start(
        cls,
        dispatch: Dispatch,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        intakes: Intakes | None = None,
        recalls: bool = False,
    ) -> Server:
        """Listen on `host`:`port`. Raises `OSError` when the port is taken.

        Of clients that send the same header lines again and again it `recalls` them.
        """
        connections: set[Connection] = set()

        def make() -> Connection:
            connection = Connection(dispatch, lost=connections.discard, intakes=intakes, recalls=recalls)
            connections.add(connection)
            return connection

        listener = socket.create_server((host, port), backlog=512, family=_family(host))
        listener.setblocking(False)
        server = await asyncio.get_running_loop().create_server(make, sock=listener)
        return cls(host, int(listener.getsockname()[1]), server, connections)

    @property
    def address(self) -> str:
        """`host:port`."""
        return f"{self.host}:{self.port}"

    def close(self) -> None:
        """Stop listening and hang up on everybody. Closing twice is harmless."""
        self._server.close()
        for connection in list(self._connections):
            connection.close()


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
