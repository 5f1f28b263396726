"""The HTTP server over real sockets: what it takes, what it refuses, and that it lives on."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import pytest

from lambdaform.local.http import Connection, Handler, Intakes, Request, Response, Server, answering


async def echo(request: Request) -> Response:
    """Say what was understood."""
    text = f"{request.method} {request.target} {len(request.body)} {request.headers.get('x-a', '-')}"
    return Response(200, text.encode(), [("Content-Type", "text/plain")])


def converse(handler: Handler, talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[bytes]]) -> bytes:
    """What a talk with a server brings."""

    async def run() -> bytes:
        server = await Server.start(answering(handler))
        reader, writer = await asyncio.open_connection(server.host, server.port)
        try:
            return await asyncio.wait_for(talk(reader, writer), 10)
        finally:
            writer.close()
            server.close()

    return asyncio.run(run())


def send(*pieces: bytes, handler: Handler = echo, end: bool = False) -> bytes:
    """Everything that comes back for some bytes sent, until the server hangs up; or the first of it, then the `end`."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        return await (reader.readuntil(b"\r\n\r\n") if end else reader.read())

    return converse(handler, talk)


def test_a_request_is_read_and_answered() -> None:
    answer = send(
        b"POST /a%2Fb?c=d HTTP/1.1\r\nHost: x\r\nX-A: 1\r\nX-A: 2\r\nContent-Length: 3\r\nConnection: close\r\n\r\nxyz"
    )

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\nPOST /a%2Fb?c=d 3 1, 2")


def test_requests_sent_ahead_are_answered_in_order() -> None:
    async def slow_first(request: Request) -> Response:
        for _ in range(20 if request.target == "/0" else 0):
            await asyncio.sleep(0)
        return Response(200, request.target.encode())

    ahead = b"".join(f"GET /{n} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for n in range(50))
    answer = send(ahead + b"GET /end HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", handler=slow_first)

    bodies = [part.partition(b"\r\n\r\n")[2] for part in answer.split(b"HTTP/1.1 200 OK")[1:]]
    assert bodies == [*(f"/{n}".encode() for n in range(50)), b"/end"]


def test_a_chunked_body_is_put_together() -> None:
    answer = send(
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n",
        b"2\r\nde\r\n0\r\n\r\n",
    )

    assert answer.endswith(b"POST / 5 -")


def test_a_client_that_asks_first_is_told_to_go_on() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(
            b"PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\n"
        )
        told = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"ok")
        return told + await reader.read()

    answer = converse(echo, talk)

    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")
    assert answer.endswith(b"PUT / 2 -")


def test_a_big_body_arrives_whole() -> None:
    body = b"x" * 20_000_000

    answer = send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 20000000\r\nConnection: close\r\n\r\n" + body)

    assert answer.endswith(b"POST / 20000000 -")


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: nonsense\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_malformed_requests_are_answered_400(garbage: bytes) -> None:
    assert send(garbage).startswith(b"HTTP/1.1 400 Bad Request\r\n")


@pytest.mark.parametrize("field", [b"", b"Expect: 100-continue\r\n"])
def test_a_body_that_is_announced_too_large_is_refused_before_it_is_sent(field: bytes) -> None:
    answer = send(b"POST / HTTP/1.1\r\nHost: x\r\n" + field + b"Content-Length: 536870913\r\n\r\nthe first of it")

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert answer.endswith(b"body larger than 536870912 bytes")


def test_a_request_that_is_at_work_is_answered_before_one_that_is_too_large() -> None:
    answer = send(
        b"GET /first HTTP/1.1\r\nHost: x\r\n\r\n"
        b"POST /second HTTP/1.1\r\nHost: x\r\nContent-Length: 600000000\r\nConnection: close\r\n\r\n",
        end=True,
    )

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_handler_that_fails_is_answered_500(capsys: pytest.CaptureFixture[str]) -> None:
    async def fails(request: Request) -> Response:
        raise RuntimeError("inner words")

    answer = send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", handler=fails)

    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"inner words" not in answer
    assert "inner words" in capsys.readouterr().err


def test_a_streamed_answer_goes_out_in_chunks() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"

    async def streams(request: Request) -> Response:
        return Response(200, pieces())

    answer = send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", handler=streams)

    assert b"Transfer-Encoding: chunked" in answer
    assert answer.endswith(b"\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")


def test_an_answer_to_head_has_a_length_and_no_body() -> None:
    answer = send(b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

    assert b"Content-Length: 10\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


def test_a_line_break_in_a_header_does_not_split_the_answer() -> None:
    async def breaks(request: Request) -> Response:
        return Response(200, b"", [("X-A", "1\r\nX-B: 2")])

    answer = send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", handler=breaks)

    assert b"\r\nX-B:" not in answer


def test_an_upgrade_is_answered_as_a_plain_request() -> None:
    answer = send(b"GET /up HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")

    assert answer.endswith(b"GET /up 0 -")


def test_a_taken_port_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        async def start() -> None:
            await Server.start(answering(echo), port=port)

        with pytest.raises(OSError, match="Address already in use"):
            asyncio.run(start())


def conversation(*pieces: bytes) -> list[bytes]:
    """The bodies that come back for pieces sent one after the other to a server that recalls header lines."""

    async def run() -> list[bytes]:
        server = await Server.start(answering(echo), recalls=True)
        reader, writer = await asyncio.open_connection(server.host, server.port)
        found: list[bytes] = []
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                if not piece.endswith(b"..."):  # more of the same request follows
                    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
                    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                    found.append(await reader.readexactly(length))
                else:
                    await asyncio.sleep(0)
            return found
        finally:
            writer.close()
            server.close()

    return asyncio.run(run())


def recalling(*pieces: bytes, intakes: Intakes | None = None) -> tuple[list[Request], bytes]:
    """The requests that a connection which recalls header lines hands out for what it receives, and what it sends."""
    requests: list[Request] = []

    def dispatch(connection: Connection, request: Request) -> None:
        requests.append(request)
        connection.answer(Response(200, b""))

    connection, wire = Connection(dispatch, intakes=intakes, recalls=True), Wire()
    connection.connection_made(wire)
    for piece in pieces:
        connection.data_received(piece)
    return requests, bytes(wire.sent)


class Wire(asyncio.Transport):
    """Keeps what is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = bytearray()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += data

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        pass


class Taken:
    """Takes a body as it comes."""

    def __init__(self) -> None:
        self.body = b""
        self.is_whole = False

    def piece(self, data: bytes) -> None:
        self.body += data

    def end(self, trailers: Mapping[str, str]) -> None:
        self.is_whole = True


HEAD = b"POST /%d HTTP/1.1\r\nHost: x\r\nX-A: 1\r\nContent-Length: 6\r\n\r\n"


def test_header_lines_that_come_again_say_the_same() -> None:
    assert conversation(*(HEAD % number + b"abcdef" for number in range(4))) == [
        b"POST /0 6 1",
        b"POST /1 6 1",
        b"POST /2 6 1",
        b"POST /3 6 1",
    ]


def test_known_header_lines_in_front_of_a_body_in_pieces_or_of_two_requests_are_read_right() -> None:
    first = HEAD % 0 + b"abcdef"
    assert conversation(first, HEAD % 1 + b"...", b"def", first) == [b"POST /0 6 1", b"POST /1 6 1", b"POST /0 6 1"]
    assert conversation(first, HEAD % 1 + b"abcdef" + HEAD % 2 + b"abcdef")[-1] == b"POST /1 6 1"


def test_known_header_lines_of_a_malformed_request_do_not_make_it_whole() -> None:
    async def run() -> bytes:
        server = await Server.start(answering(echo), recalls=True)
        reader, writer = await asyncio.open_connection(server.host, server.port)
        try:
            writer.write(HEAD % 0 + b"abcdef")
            await reader.readuntil(b"POST /0 6 1")
            writer.write(HEAD.replace(b"HTTP/1.1", b"HTTP/9.9 x") % 1 + b"abcdef")
            return await asyncio.wait_for(reader.read(), 10)
        finally:
            writer.close()
            server.close()

    assert asyncio.run(run()).startswith(b"HTTP/1.1 400 ")


def test_header_lines_that_come_again_are_not_read_again() -> None:
    requests, _ = recalling(*(HEAD % number + b"abcdef" for number in range(3)))

    assert requests[1].headers is requests[2].headers


@pytest.mark.parametrize("field", [b"Expect: 100-continue", b"Connection: keep-alive", b"Connection: close"])
def test_header_lines_that_say_how_to_go_on_are_read_each_time(field: bytes) -> None:
    request = b"POST / HTTP/1.1\r\nHost: x\r\n" + field + b"\r\nContent-Length: 1\r\n\r\na"
    requests, sent = recalling(request, request)

    assert requests[0].headers is not requests[-1].headers or field.endswith(b"close")
    assert sent.count(b"100 Continue") == (2 if field.startswith(b"Expect") else 0)
    assert (b"Connection: close" in sent) == field.endswith(b"close")


def test_a_part_of_a_request_with_known_header_lines_is_not_taken_for_one() -> None:
    whole = b"POST / HTTP/1.1\r\nContent-Length: 33\r\n\r\n" + b"x" * 33
    requests, _ = recalling(whole, whole[:36], whole[36:])

    assert [each.body for each in requests] == [b"x" * 33] * 2


@pytest.mark.parametrize("first", [b"FOO! / HTTP/1.1", b"GET  HTTP/1.1", b"POST /a b HTTP/1.1"])
def test_known_header_lines_make_no_malformed_request_right(first: bytes) -> None:
    requests, sent = recalling(HEAD % 0 + b"abcdef", (HEAD % 1).replace(b"POST /1 HTTP/1.1", first) + b"abcdef")

    assert len(requests) == 1
    assert sent.count(b"HTTP/1.1 400 ") == 1


def test_a_body_that_is_taken_as_it_comes_is_so_with_known_header_lines_as_well() -> None:
    taken = Taken()
    requests, _ = recalling(
        HEAD % 0 + b"abcdef",
        HEAD % 1 + b"ghijkl",
        intakes=lambda connection, request: taken if request.target == "/1" else None,
    )

    assert [each.target for each in requests] == ["/0"]
    assert (taken.body, taken.is_whole) == (b"ghijkl", True)
