"""The library's services (S3, DynamoDB, IAM and the rest) in a process of their own, started when first needed.

This side starts the process, passes requests on, calls operations for our own needs, and keeps and brings back
checkpoints. `data_child` is the other side. No rule of a service lives here.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import json
import os
import re
import socket
import subprocess
import sys
import urllib.parse
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import attrs

from lambdaform.local.clock import SystemClock, VirtualClock
from lambdaform.local.data_child import LENGTHS
from lambdaform.local.executions import Executions
from lambdaform.local.ports import ACCOUNT, AwsFault, Clock, Json
from lambdaform.model.problem import LambdaformError

_CHILD = Path(__file__).with_name("data_child.py")
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "SYSTEMROOT")

T = TypeVar("T")
_Frame = tuple[dict[str, Json], bytes]

Heard = Callable[[str], None]
"""Told the target of each request that was passed on, such as `DynamoDB_20120810.PutItem`."""


class OneByOne(Protocol):
    """Calls one operation by name, as `DataServices.call` does."""

    async def __call__(
        self, service: str, operation: str, params: Mapping[str, Json], *, region: str
    ) -> Mapping[str, Json]: ...


def child_environment(own: Mapping[str, str]) -> dict[str, str]:
    """The environment of the library's process: no credentials, no configuration, no way to real AWS by accident."""
    return {
        **{name: own[name] for name in _PASSED_ON if name in own},
        "HOME": "/nonexistent",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "MOTO_IAM_LOAD_MANAGED_POLICIES": "true",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": own.get("PYTHONDONTWRITEBYTECODE", ""),
    }


@attrs.define(eq=False)
class _Channel:
    """The running process and the two ways of its socket."""

    process: subprocess.Popen[bytes]
    ours: socket.socket
    writer: asyncio.StreamWriter | None = None
    reading: asyncio.Task[None] | None = None
    """Takes in whatever comes, until the process ends."""
    awaited: deque[asyncio.Future[_Frame]] = attrs.field(factory=deque[asyncio.Future[_Frame]])
    """The answers to requests under way, in the order in which they come."""


@attrs.frozen(eq=False)
class Saved:
    """What a file keeps of the library's services."""

    moto: str
    """The library's version, whose classes are in it."""
    content: bytes


class MotoServices:
    """`DataServices` by moto. One process, one request at a time, in the order they came.

    The process sees the clock's time where that is not the machine's; with a virtual clock its random ids come from
    `seed`. `port` is where the whole local AWS listens: services behind the door call others through it.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        seed: int | None = None,
        executable: str = sys.executable,
        port: Callable[[], int] = lambda: 0,
    ) -> None:
        self._clock = clock
        self._port = port
        self._virtual = clock if isinstance(clock, VirtualClock) else None
        self._seed = 0 if seed is None and self._virtual is not None else seed
        self._executable = executable
        self._channel: _Channel | None = None
        self._turn = asyncio.Lock()
        self._calls: dict[str, _Calls] = {}
        self._listeners: list[Heard] = []
        self._executions = None if clock is None else Executions(clock, self._wake)

    def prepare(self) -> None:
        """Start the process in the background, if it is not running; returns at once."""
        if self._channel is None:
            ours, theirs = socket.socketpair()
            arguments = [str(theirs.fileno()), *([] if self._seed is None else [str(self._seed)])]
            process = subprocess.Popen(
                # -P: beside the program lie modules of ours that are called like some of the standard library.
                [self._executable, "-P", str(_CHILD), *arguments],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=child_environment(os.environ),
            )
            theirs.close()
            self._channel = _Channel(process, ours)

    def listen(self, heard: Heard) -> None:
        """Hear of every request passed on to a service that names its operations in `X-Amz-Target`, once answered."""
        self._listeners.append(heard)

    async def request(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """Pass one HTTP request on as it is; returns status, headers, body."""
        meta: dict[str, Json] = {"do": "request", "method": method, "target": target, "headers": dict(headers)}
        answer, content = await self._exchange(meta, body)
        operation = next((value for name, value in headers.items() if name.lower() == "x-amz-target"), None)
        if operation is not None:
            for heard in list(self._listeners):
                heard(operation)
        return int(answer["status"]), [(name, value) for name, value in answer["headers"]], content

    async def call(
        self, service: str, operation: str, params: Mapping[str, Json], *, region: str
    ) -> Mapping[str, Json]:
        """Call one operation by name; returns the members of its output shape, raises `AwsFault`."""
        calls = self._calls_of(service)
        method, target, headers, body = calls.request(operation, params, region)
        status, answered, content = await self.request(method, target, headers, body)
        return calls.answer(operation, status, answered, content)

    async def together(self, work: Callable[[OneByOne], Awaitable[T]]) -> T:
        """Let `work` make several calls between which no other request comes; it must make no other ones."""
        async with self._turn:
            return await work(self._call_in_turn)

    async def _call_in_turn(
        self, service: str, operation: str, params: Mapping[str, Json], *, region: str
    ) -> Mapping[str, Json]:
        calls = self._calls_of(service)
        method, target, headers, body = calls.request(operation, params, region)
        meta: dict[str, Json] = {"do": "request", "method": method, "target": target, "headers": headers}
        answer, content = await asyncio.shield(self._exchange_now(meta, body))
        answered = [(str(name), str(value)) for name, value in answer["headers"]]
        return calls.answer(operation, int(answer["status"]), answered, content)

    def _calls_of(self, service: str) -> _Calls:
        calls = self._calls.get(service)
        if calls is None:
            calls = self._calls[service] = _Calls(service)
        return calls

    async def checkpoint(self) -> None:
        """Keep the present state as the one `restore` returns to. Every checkpoint costs a waiting process."""
        await self._exchange({"do": "checkpoint"}, b"")
        self._forget_executions()

    async def restore(self) -> None:
        """Return to the latest checkpoint, or to nothing without one."""
        if self._channel is not None:
            await self._exchange({"do": "restore"}, b"")
            self._forget_executions()

    async def reset(self) -> None:
        """Forget everything, checkpoints too."""
        if self._channel is not None:
            await self._exchange({"do": "reset"}, b"")
            self._forget_executions()

    async def save(self) -> Saved:
        """The state of all services as bytes, for `load` in another process. Raises `LambdaformError`."""
        try:
            meta, content = await self._exchange({"do": "save"}, b"")
        except AwsFault as fault:
            raise LambdaformError(f"the state of the local AWS cannot be kept: {fault.message}") from fault
        if "error" in meta:
            raise LambdaformError(
                f"the state of the local AWS cannot be kept, a service's data cannot be written ({meta['error']})",
                hint="what was kept before is still there",
            )
        return Saved(str(meta["moto"]), content)

    async def load(self, saved: Saved) -> None:
        """Take over a saved state. Raises `LambdaformError`."""
        try:
            meta, _ = await self._exchange({"do": "load"}, saved.content)
        except AwsFault as fault:
            raise LambdaformError(f"the kept state cannot be read: {fault.message}") from fault
        if "error" in meta:
            raise LambdaformError(
                f"the kept state of the services is damaged ({meta['error']})",
                hint="nothing was changed; delete the folder to begin anew, or name another one with --persist",
            )

    async def close(self) -> None:
        """End the process."""
        channel, self._channel = self._channel, None
        self._forget_executions()
        if channel is not None:
            if channel.reading is not None:
                channel.reading.cancel()
            if channel.writer is not None:
                channel.writer.close()
            channel.ours.close()
            channel.process.kill()  # its copies end with it
            channel.process.wait()

    async def _wake(self, wait: int) -> None:
        """Tell an execution of a state machine that the time it waits for has come."""
        if self._channel is not None:
            await self._exchange({"do": "wake", "wait": wait}, b"")

    def _forget_executions(self) -> None:
        if self._executions is not None:
            self._executions.forget()

    async def _exchange(self, meta: dict[str, Json], body: bytes) -> tuple[dict[str, Json], bytes]:
        # A caller that goes away must not leave half a frame behind for the next one.
        return await asyncio.shield(self._exchange_in_turn(meta, body))

    async def _exchange_in_turn(self, meta: dict[str, Json], body: bytes) -> tuple[dict[str, Json], bytes]:
        async with self._turn:
            return await self._exchange_now(meta, body)

    async def _exchange_now(self, meta: dict[str, Json], body: bytes) -> _Frame:
        self.prepare()
        channel = self._channel
        assert channel is not None
        if channel.writer is None:
            reader, channel.writer = await asyncio.open_connection(sock=channel.ours)
            ready = self._awaited(channel)
            # What comes without having been asked for is nobody's doing.
            work = self._read(channel, reader)
            channel.reading = asyncio.get_running_loop().create_task(work, context=contextvars.Context())
            await self._answer(channel, ready)
        meta["port"] = self._port()
        if self._virtual is not None:
            meta |= {"now": self._virtual.now(), "speed": 0.0}
        elif isinstance(self._clock, SystemClock) and not self._clock.is_real:
            meta |= {"now": self._clock.now(), "speed": self._clock.speed}
        text = json.dumps(meta).encode()
        awaited = self._awaited(channel)
        channel.writer.write(LENGTHS.pack(len(text), len(body)) + text + body)
        return await self._answer(channel, awaited)

    def _awaited(self, channel: _Channel) -> asyncio.Future[_Frame]:
        """The next answer. What waits for it may go away: it comes all the same, and is nobody else's."""
        awaited: asyncio.Future[_Frame] = asyncio.get_running_loop().create_future()
        channel.awaited.append(awaited)
        return awaited

    async def _answer(self, channel: _Channel, awaited: asyncio.Future[_Frame]) -> _Frame:
        assert channel.reading is not None
        await asyncio.wait((awaited, channel.reading), return_when=asyncio.FIRST_COMPLETED)
        if awaited.done():
            return awaited.result()
        await self.close()
        raise AwsFault(
            "ServiceUnavailable",
            "the process of the library's services ended unexpectedly, and their state with it",
            status=503,
            type="Service",
        )

    async def _read(self, channel: _Channel, reader: asyncio.StreamReader) -> None:
        """Take answers, and the notes between them, in the order in which they come; return when there are no more."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                size, rest = LENGTHS.unpack(await reader.readexactly(LENGTHS.size))
                meta, content = json.loads(await reader.readexactly(size)), await reader.readexactly(rest)
                if "told" in meta:
                    if self._executions is not None:
                        self._executions.told(meta)
                else:
                    channel.awaited.popleft().set_result((meta, content))


class _Calls:
    """How operations of one service become requests, and answers become values: by botocore's own model."""

    def __init__(self, service: str) -> None:
        import botocore.parsers
        import botocore.serialize
        import botocore.session

        # Without its own event hooks, retries or signing: botocore only knows the shapes here.
        sessions: Any = botocore.session
        self._model: Any = sessions.get_session().get_service_model(service)
        protocol: str = self._model.resolved_protocol
        serializers: Any = botocore.serialize
        parsers: Any = botocore.parsers
        self._serializer: Any = serializers.create_serializer(protocol, include_validation=False)
        self._parser: Any = parsers.create_parser(protocol)

    def request(
        self, operation: str, params: Mapping[str, Json], region: str
    ) -> tuple[str, str, dict[str, str], bytes]:
        """Method, target, headers and body of a call."""
        given = dict(params)
        bucket: str | None = given.get("Bucket") if self._model.service_name == "s3" else None
        made: dict[str, Any] = self._serializer.serialize_to_request(given, self._model.operation_model(operation))
        target = str(made["url_path"])
        if bucket is not None and not target.startswith(f"/{bucket}"):
            target = f"/{bucket}{'' if target == '/' else target}"
        query = made.get("query_string")
        if query:
            joiner = "&" if "?" in target else "?"
            target += joiner + (query if isinstance(query, str) else urllib.parse.urlencode(query, doseq=True))
        body: Any = made.get("body") or b""
        if isinstance(body, Mapping):
            body = urllib.parse.urlencode(cast(Mapping[str, str], body), doseq=True)
        headers = {str(name): str(value) for name, value in made.get("headers", {}).items()}
        name = str(self._model.signing_name)
        headers |= {
            "Host": f"{self._model.endpoint_prefix}.{region}.amazonaws.com",
            # The library reads service and region from the signature; nobody checks it.
            "Authorization": f"AWS4-HMAC-SHA256 Credential=local/20260101/{region}/{name}/aws4_request, "
            "SignedHeaders=host, Signature=0",
            "x-moto-account-id": ACCOUNT,
        }
        return str(made["method"]), target, headers, body.encode() if isinstance(body, str) else bytes(body)

    def answer(self, operation: str, status: int, headers: list[tuple[str, str]], body: bytes) -> Mapping[str, Json]:
        """The members of an answer; raises `AwsFault`."""
        shape = self._model.operation_model(operation).output_shape
        response: dict[str, Any] = {
            "status_code": status,
            "headers": _Headers(headers),
            "body": body,
            "context": {"operation_name": operation},
        }
        if status < 300 and shape is not None and _has_streaming_payload(shape):
            name = str(shape.serialization["payload"])
            return {name: body, **{_member(key): value for key, value in headers}}
        parsed: dict[str, Any] = self._parser.parse(response, shape)
        if status >= 300 or "Error" in parsed:
            error = cast(dict[str, str], parsed.get("Error") or {})
            raise AwsFault(str(error.get("Code") or status), error.get("Message"), status=status)
        parsed.pop("ResponseMetadata", None)
        return parsed


class _Headers(dict[str, str]):
    """Headers found whatever their case, as botocore's parsers want them."""

    def __init__(self, headers: list[tuple[str, str]]) -> None:
        super().__init__({name.lower(): value for name, value in headers})

    def get(self, key: str, default: Any = None) -> Any:  # type: ignore[override]
        return super().get(key.lower(), default)

    def __getitem__(self, key: str) -> str:
        return super().__getitem__(key.lower())

    def __contains__(self, key: object) -> bool:
        return super().__contains__(str(key).lower())


def _has_streaming_payload(shape: Any) -> bool:
    name = shape.serialization.get("payload")
    return bool(name) and bool(shape.members[name].serialization.get("streaming"))


def _member(header: str) -> str:
    return re.sub(r"[^A-Za-z0-9]", "", header)
