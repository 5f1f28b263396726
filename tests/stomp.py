"""A broker that speaks STOMP 1.2 on loopback, with the ways of ActiveMQ: a dead-letter queue gets what is refused.

Of the protocol's frames it reads and writes for itself, so that nothing is taken for right because both ends do it.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

import attrs

T = TypeVar("T")
DEAD = "ActiveMQ.DLQ"
LOGIN = ("me", "hush")


@attrs.frozen
class Message:
    """A message in a queue."""

    body: bytes
    headers: Mapping[str, str]


@attrs.define(eq=False)
class _Session:
    """One client, with what it was sent and has not settled."""

    writer: asyncio.StreamWriter
    queue: str = ""
    most: int = 0
    held: dict[str, Message] = attrs.field(factory=dict[str, Message])


class StompBroker:
    """A server in a thread of its own, until `close`."""

    def __init__(self) -> None:
        self._queues: dict[str, list[Message]] = {}
        self._sessions: list[_Session] = []
        self._numbers = itertools.count(1)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._do(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]

    @property
    def address(self) -> str:
        """Where it is, with the login that it takes."""
        return f"stomp://{LOGIN[0]}:{LOGIN[1]}@127.0.0.1:{self.port}"

    def send(self, queue: str, *bodies: str | bytes, **headers: str) -> None:
        """Put messages into a queue: text, or bytes with their length."""

        async def put() -> None:
            for body in bodies:
                number = next(self._numbers)
                given = {"message-id": f"ID:test-{number}", "timestamp": str(int(time.time() * 1000)), "priority": "4"}
                if isinstance(body, bytes):
                    given["content-length"] = str(len(body))
                content = body if isinstance(body, bytes) else body.encode()
                named = {name.replace("_", "-"): value for name, value in headers.items()}
                self._queues.setdefault(queue, []).append(Message(content, {**given, **named}))
            self._hand_out()

        self._do(put())

    def bodies(self, queue: str) -> list[bytes]:
        """What is in a queue, with what was handed out and not acknowledged."""

        async def look() -> list[bytes]:
            held = [each for session in self._sessions if session.queue == queue for each in session.held.values()]
            return [message.body for message in (*held, *self._queues.get(queue, []))]

        return self._do(look())

    def cut(self) -> None:
        """Lose every client."""

        async def leave() -> None:
            for session in list(self._sessions):
                session.writer.close()

        self._do(leave())

    def close(self) -> None:
        """Stop serving."""
        self.cut()
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = _Session(writer)
        self._sessions.append(session)
        try:
            while True:
                raw = await reader.readuntil(b"\0")
                self._take(session, raw[:-1].lstrip(b"\r\n"))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._sessions.remove(session)
            back = [
                attrs.evolve(each, headers={**each.headers, "redelivered": "true"}) for each in session.held.values()
            ]
            self._queues.setdefault(session.queue, [])[:0] = back
            self._hand_out()
            writer.close()

    def _take(self, session: _Session, raw: bytes) -> None:
        head = raw.partition(b"\n\n")[0].decode()
        command, *lines = head.splitlines()
        headers = dict(line.split(":", 1) for line in lines)
        match command:
            case "CONNECT" if (headers.get("login"), headers.get("passcode")) != LOGIN:
                self._write(session, "ERROR", {"message": "User name [...] or password is invalid."})
                session.writer.close()
            case "CONNECT":
                self._write(session, "CONNECTED", {"version": "1.2", "heart-beat": "0,0"})
            case "SUBSCRIBE":
                session.queue = headers["destination"].removeprefix("/queue/")
                session.most = int(headers["activemq.prefetchSize"])
            case "ACK":
                del session.held[headers["id"]]
            case "NACK":
                self._queues.setdefault(DEAD, []).append(session.held.pop(headers["id"]))
            case _:
                pass
        if "receipt" in headers:
            self._write(session, "RECEIPT", {"receipt-id": headers["receipt"]})
        self._hand_out()

    def _hand_out(self) -> None:
        for session in self._sessions:
            waiting = self._queues.get(session.queue, [])
            while waiting and len(session.held) < session.most:
                message, name = waiting.pop(0), f"ack-{next(self._numbers)}"
                session.held[name] = message
                place = {"destination": f"/queue/{session.queue}", "subscription": "0", "ack": name}
                self._write(session, "MESSAGE", {**place, **message.headers}, message.body)

    def _write(self, session: _Session, command: str, headers: Mapping[str, str], body: bytes = b"") -> None:
        def escaped(text: str) -> str:
            return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace(":", "\\c")

        lines = [f"{escaped(name)}:{escaped(value)}" for name, value in headers.items()]
        session.writer.write("\n".join([command, *lines, "", ""]).encode() + body + b"\0\n")
