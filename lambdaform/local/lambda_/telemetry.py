"""The Telemetry API and the Logs API of one environment: subscriptions, and delivery to them over HTTP and TCP.

https://docs.aws.amazon.com/lambda/latest/dg/telemetry-api.html. Nobody waits for a delivery. It stands still while the
environment is frozen, as its receiver does. `sandbox.localdomain` is this machine: see `namespaces.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import Callable
from typing import Protocol

from lambdaform.local.http import Connection, Request, Response
from lambdaform.local.lambda_ import subscriptions
from lambdaform.local.lambda_.extensions import Extension, refusal
from lambdaform.local.lambda_.subscriptions import Api, Subscription
from lambdaform.local.lambda_.tail import Told
from lambdaform.local.ports import Json

PATHS: dict[str, Api] = {"/2022-07-01/telemetry": "telemetry", "/2020-08-15/logs": "logs"}
_MOST_BATCHES = 8
"""As many full batches may wait for a receiver that is slow; what comes then is dropped."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
"""Seconds between attempts to deliver, doubling. AWS says that there is such a back-off."""
_OK = Response(200, b'"OK"', [("Content-Type", "application/json")])


class Host(Protocol):
    """The environment as its telemetry needs it."""

    def identified(self, request: Request) -> Extension | Response:
        """Who sends a request; else the refusal."""
        ...

    def subscribed(self, subscription: Subscription) -> None:
        """Somebody has subscribed."""
        ...


class Telemetry:
    """All subscriptions of one start of an environment. `close` must be called in the end."""

    def __init__(self, host: Host, *, early: Callable[[], list[Told] | None], is_json: bool) -> None:
        self._host = host
        self._early = early
        """What was told since INIT began; None once it is over, and with it the time to subscribe."""
        self._is_json = is_json
        self._receivers: dict[str, Receiver] = {}

    def take(self, connection: Connection, request: Request) -> bool:
        """Answer a request; False when it is none of these APIs."""
        api = PATHS.get(request.path.rstrip("/"))
        if api is None or request.method != "PUT":
            return False
        connection.answer(self._subscribe(request, api))
        return True

    def tell(self, told: Told) -> None:
        """Hand on what an environment has told."""
        for receiver in self._receivers.values():
            for event in subscriptions.shape(told, receiver.subscription, is_json=self._is_json):
                receiver.take(event, told.at)

    def pause(self) -> None:
        """The environment is frozen."""
        for receiver in self._receivers.values():
            receiver.pause()

    def resume(self) -> None:
        """It goes on."""
        for receiver in self._receivers.values():
            receiver.resume()

    def flush(self) -> None:
        """Deliver what is buffered: something that tells has ended."""
        for receiver in self._receivers.values():
            receiver.flush()

    def close(self) -> None:
        """Deliver nothing more."""
        for receiver in self._receivers.values():
            receiver.close()

    def _subscribe(self, request: Request, api: Api) -> Response:
        extension = self._host.identified(request)
        if isinstance(extension, Response):
            return extension
        early = self._early()
        if early is None:
            kind = "Telemetry.SubscriptionClosed" if api == "telemetry" else "Logs.SubscriptionClosed"
            return refusal(kind, "Extensions can subscribe during initialization only")
        invalid = "ValidationError" if api == "telemetry" else "Logs.ValidationError"
        before = self._receivers.get(extension.name)
        if before is not None and before.subscription.api != api:
            other = "Telemetry" if before.subscription.api == "telemetry" else "Logs"
            return refusal(invalid, f"{extension.name} has subscribed to the {other} API", status=400)
        asked = subscriptions.read(request.body, api=api, extension=extension.name)
        if isinstance(asked, str):
            return refusal(invalid, asked, status=400)
        if before is not None and before.subscription == asked:
            return _OK
        if before is not None:
            before.close()
        receiver = self._receivers[extension.name] = Receiver(asked)
        for told in early:
            for event in subscriptions.shape(told, asked, is_json=self._is_json):
                receiver.take(event, told.at)
        self._host.subscribed(asked)
        return _OK


class Receiver:
    """Buffers the events of one subscription and delivers them in batches."""

    def __init__(self, subscription: Subscription) -> None:
        self.subscription = subscription
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._at = 0.0
        self._dropped = self._dropped_size = 0
        self._timer: asyncio.TimerHandle | None = None
        self._left = 0.0
        """Seconds of the timer that were left when everything was frozen."""
        self._is_due = False
        self._delivering: asyncio.Task[None] | None = None
        self._awake = asyncio.Event()
        self._awake.set()
        self._stream: asyncio.StreamWriter | None = None

    def take(self, event: dict[str, Json], at: float) -> None:
        """Buffer an event; it is dropped where too much waits already."""
        data = json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")
        wanted = self.subscription
        if self._size > _MOST_BATCHES * wanted.max_bytes or len(self._waiting) >= _MOST_BATCHES * wanted.max_items:
            self._dropped += 1
            self._dropped_size += len(data)
            return
        self._at = at
        self._waiting.append(data)
        self._size += len(data)
        if self._size >= wanted.max_bytes or len(self._waiting) >= wanted.max_items:
            self.flush()
        elif self._timer is None and self._delivering is None:
            self._set_timer(wanted.timeout_ms / 1000)

    def flush(self) -> None:
        """Deliver what there is, soon."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._left = 0.0
        if self._waiting and self._delivering is None:
            self._delivering = self._loop.create_task(self._deliver())

    def pause(self) -> None:
        """Stand still."""
        self._awake.clear()
        if self._timer is not None:
            self._left = max(self._timer.when() - self._loop.time(), 0.0)
            self._timer.cancel()
            self._timer = None

    def resume(self) -> None:
        """Go on."""
        self._awake.set()
        if self._waiting and self._delivering is None and self._timer is None:
            self._set_timer(self._left)

    def close(self) -> None:
        """Deliver nothing more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._delivering is not None:
            self._delivering.cancel()
        self._hang_up()

    def _set_timer(self, seconds: float) -> None:
        if self._awake.is_set():
            self._timer = self._loop.call_later(seconds, self.flush)
        else:
            self._left = seconds

    async def _deliver(self) -> None:
        """Deliver batch by batch until nothing waits. What cannot be delivered is tried again and again."""
        pause = _FIRST_PAUSE
        while self._waiting:
            batch = self._batch()
            await self._awake.wait()
            try:
                await (self._post(batch) if self.subscription.protocol == "HTTP" else self._write(batch))
            except (OSError, ValueError, EOFError):
                self._hang_up()
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
                continue
            pause = _FIRST_PAUSE
            for data in batch:
                self._waiting.popleft()
                self._size -= len(data)
            if self._dropped and "platform" in self.subscription.types:
                event = subscriptions.dropped(self._at, records=self._dropped, size=self._dropped_size)
                self._dropped = self._dropped_size = 0
                self.take(event, self._at)
        self._delivering = None

    def _batch(self) -> list[bytes]:
        found: list[bytes] = []
        size = 0
        for data in self._waiting:
            if len(found) >= self.subscription.max_items or size >= self.subscription.max_bytes:
                break
            found.append(data)
            size += len(data)
        return found

    async def _post(self, batch: list[bytes]) -> None:
        """One request for one batch. Raises `OSError`, `ValueError` or `EOFError` when it was not taken."""
        wanted = self.subscription
        body = b"[" + b",".join(batch) + b"]"
        reader, writer = await asyncio.open_connection("127.0.0.1", wanted.port)
        try:
            head = (
                f"{wanted.method} {wanted.path} HTTP/1.1\r\nHost: sandbox.localdomain:{wanted.port}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            )
            writer.write(head.encode() + body)
            await writer.drain()
            status = int((await reader.readuntil(b"\r\n")).split()[1])
        except IndexError as error:
            raise ValueError("no answer in HTTP") from error
        finally:
            writer.close()
        if not 200 <= status < 300:
            raise ValueError(f"answered {status}")

    async def _write(self, batch: list[bytes]) -> None:
        """One line for each event. Raises `OSError` when there is nobody to take it."""
        if self._stream is None or self._stream.is_closing():
            _, self._stream = await asyncio.open_connection("127.0.0.1", self.subscription.port)
        self._stream.write(b"".join(data + b"\n" for data in batch))
        await self._stream.drain()

    def _hang_up(self) -> None:
        if self._stream is not None:
            with contextlib.suppress(OSError):
                self._stream.close()
            self._stream = None
