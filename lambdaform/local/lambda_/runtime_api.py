"""The Runtime API of one handler process: what it may ask when, and what it is told.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html. One of these listens for each process, because AWS's
client fixes the address it calls when it is imported. What an answer means is for the environment to decide.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Literal, Protocol

import attrs

from lambdaform.local.http import Connection, Intake, Request, Response, Server

LARGEST_RESPONSE = 6_291_556
"""Bytes a function may answer: 6 MiB and 100. Recorded from the service, as its own message says."""

_MODE = "lambda-runtime-function-response-mode"
_PREFIX = "/2018-06-01/runtime/"
_ENDS = re.compile("[\r\n]")
_OK = Response(202, b'{"status":"OK"}\n', [("Content-Type", "application/json")])

State = Literal["init", "snapshot", "restore", "waiting", "busy", "answered", "failed"]
Ask = Literal["next", "response", "error", "init/error", "restore/next", "restore/error"]
MOVES: Mapping[tuple[State, Ask], State] = {
    ("init", "next"): "waiting",
    ("init", "init/error"): "failed",
    ("init", "restore/next"): "snapshot",
    ("restore", "next"): "waiting",
    ("restore", "restore/error"): "failed",
    ("answered", "next"): "waiting",
    ("waiting", "next"): "waiting",
    ("busy", "response"): "answered",
    ("busy", "error"): "answered",
}
"""Every move there is; anything else is refused with `InvalidStateTransition`."""


@attrs.frozen(eq=False)
class Event:
    """What `next` hands to the process."""

    request_id: str
    payload: bytes
    function_arn: str
    trace: str | None = None
    client_context: str | None = None
    """The context's JSON text, already out of its base64."""
    identity: str | None = None
    tenant: str | None = None
    sink: Callable[[bytes, str], None] | None = None
    """Gets the pieces of a streamed answer as they come, with their content type."""


@attrs.frozen(eq=False)
class Reply:
    """What the process posted for an event, or for its failed initialisation."""

    body: bytes
    error_type: str | None = None
    """Set when it was posted as an error."""
    is_too_large: bool = False
    content_type: str = "application/json"
    is_streamed: bool = False
    """Whether the body has come in pieces before."""


class Listener(Protocol):
    """Who is told what the process does."""

    def on_next(self) -> None:
        """The process is ready for an event."""
        ...

    def on_piece(self, data: bytes, content_type: str) -> None:
        """A piece of an answer that is streamed; `on_reply` follows at its end."""
        ...

    def on_reply(self, reply: Reply) -> None:
        """The process answered the event it has."""
        ...

    def on_init_error(self, reply: Reply) -> None:
        """The process could not initialise and is about to exit."""
        ...

    def on_restore_next(self) -> None:
        """The process is initialised and waits to be restored from its snapshot."""
        ...

    def on_restore_error(self, reply: Reply) -> None:
        """A hook that follows a restore failed, and the process is about to exit."""
        ...


class RuntimeApi:
    """One process's side of the API: a listening port and the state the process is in."""

    def __init__(self, listener: Listener, *, others: Callable[[Connection, Request], bool] | None = None) -> None:
        self._listener = listener
        self._others = others
        """Who takes requests that are none of this API: extensions call at the same address."""
        self._state: State = "init"
        self._server: Server | None = None
        self._parked: Connection | None = None
        self._request_id = ""
        self._reply_target = ""
        """Where the answer of the event at work is posted."""

    async def start(self) -> str:
        """Listen; returns `host:port` for AWS_LAMBDA_RUNTIME_API."""
        self._server = await Server.start(self._dispatch, intakes=self._intake_of, recalls=True)
        return self._server.address

    @property
    def is_waiting(self) -> bool:
        """Whether the process has asked for an event and not got one yet."""
        return self._state == "waiting"

    def deliver(self, event: Event, *, deadline_ms: int) -> None:
        """Hand an event to the process, which must be waiting for one. `deadline_ms` is since the epoch."""
        assert self._parked is not None
        assert self._state == "waiting"
        connection, self._parked = self._parked, None
        self._state = "busy"
        self._request_id = event.request_id
        self._reply_target = f"{_PREFIX}invocation/{event.request_id}/response"
        connection.answer_ok(
            # Without a content type AWS's client ends in a segmentation fault.
            "Content-Type: application/json\r\n"
            f"Lambda-Runtime-Aws-Request-Id: {event.request_id}\r\n"
            f"Lambda-Runtime-Deadline-Ms: {deadline_ms}\r\n"
            f"Lambda-Runtime-Invoked-Function-Arn: {event.function_arn}\r\n"
            f"{_fields(event)}",
            event.payload,
        )

    def restored(self) -> None:
        """Tell a process that waits for it that it has been restored."""
        if self._parked is not None and self._state == "snapshot":
            connection, self._parked = self._parked, None
            self._state = "restore"
            connection.answer(Response(200, b"", [("Content-Type", "application/json")]))

    def close(self) -> None:
        """Stop listening. Closing twice is harmless."""
        if self._server is not None:
            self._server.close()

    def _intake_of(self, connection: Connection, request: Request) -> Intake | None:
        """Who takes an answer that is streamed; other requests are read whole, also those that are refused."""
        if request.headers.get(_MODE) != "streaming":
            return None
        asked = _read(request)
        if asked is None or asked[0] != "response" or asked[1] != self._request_id:
            return None
        following = MOVES.get((self._state, "response"))
        if following is None:
            return None
        self._state = following
        return _Streaming(self._listener, connection, request.headers.get("content-type", "application/octet-stream"))

    def _dispatch(self, connection: Connection, request: Request) -> None:
        if request.target == self._reply_target and request.method == "POST":
            asked: tuple[Ask, str] | None = "response", self._request_id
        else:
            asked = _read(request)
        if asked is None:
            if self._others is None or not self._others(connection, request):
                text = f"no such call: {request.method} {request.path}"
                connection.answer(_refusal(404, "ResourceNotFound", text))
            return
        ask, request_id = asked
        if ask in ("response", "error") and request_id != self._request_id:
            connection.answer(_refusal(400, "InvalidRequestID", "Invalid request ID"))
            return
        if ask == "response" and request.headers.get(_MODE, "streaming") != "streaming":
            text = "Invalid function response mode"
            connection.answer(_refusal(400, "InvalidFunctionResponseMode", text))
            return
        following = MOVES.get((self._state, ask))
        if following is None:
            connection.answer(_refusal(403, "InvalidStateTransition", f"Transition from {self._state} by {ask}"))
            return
        self._state = following
        match ask:
            case "next":
                self._parked = connection
                self._listener.on_next()
            case "response" if len(request.body) > LARGEST_RESPONSE:
                text = f"Exceeded maximum allowed payload size ({LARGEST_RESPONSE} bytes)."
                connection.answer(_refusal(413, "RequestEntityTooLarge", text))
                self._listener.on_reply(Reply(b"", is_too_large=True))
            case "response":
                kind = request.headers.get("content-type", "application/json")
                self._listener.on_reply(Reply(request.body, content_type=kind))
                _acknowledge(connection)
            case "error":
                self._listener.on_reply(Reply(request.body, error_type=_error_type(request)))
                _acknowledge(connection)
            case "init/error":
                connection.answer(_OK)
                self._listener.on_init_error(Reply(request.body, error_type=_error_type(request)))
            case "restore/next":
                self._parked = connection
                self._listener.on_restore_next()
            case "restore/error":
                connection.answer(_OK)
                self._listener.on_restore_error(Reply(request.body, error_type=_error_type(request)))


class _Streaming:
    """Takes an answer that is streamed; an error in mid-stream comes in its trailers."""

    def __init__(self, listener: Listener, connection: Connection, content_type: str) -> None:
        self._listener = listener
        self._connection = connection
        self._content_type = content_type

    def piece(self, data: bytes) -> None:
        self._listener.on_piece(data, self._content_type)

    def end(self, trailers: Mapping[str, str]) -> None:
        kind = trailers.get("lambda-runtime-function-error-type")
        body = b""
        if kind is not None:
            with contextlib.suppress(binascii.Error):
                body = base64.b64decode(trailers.get("lambda-runtime-function-error-body", ""))
        self._listener.on_reply(Reply(body, error_type=kind, content_type=self._content_type, is_streamed=True))
        _acknowledge(self._connection)


def _acknowledge(connection: Connection) -> None:
    """Answer a reply, after the turn of the loop in which whoever waits for the reply gets it: they come first."""
    asyncio.get_running_loop().call_soon(connection.answer, _OK)


def _fields(event: Event) -> str:
    """The header lines with values from outside, which must not begin lines of their own."""
    lines = f"Lambda-Runtime-Trace-Id: {_ENDS.sub(' ', event.trace)}\r\n" if event.trace else ""
    if event.client_context:
        lines += f"Lambda-Runtime-Client-Context: {_ENDS.sub(' ', event.client_context)}\r\n"
    if event.identity:
        lines += f"Lambda-Runtime-Cognito-Identity: {_ENDS.sub(' ', event.identity)}\r\n"
    if event.tenant:
        lines += f"Lambda-Runtime-Aws-Tenant-Id: {_ENDS.sub(' ', event.tenant)}\r\n"
    return lines


def _read(request: Request) -> tuple[Ask, str] | None:
    if not request.path.startswith(_PREFIX):
        return None
    rest = request.path[len(_PREFIX) :]
    if request.method == "GET" and rest == "invocation/next":
        return "next", ""
    if request.method == "GET" and rest == "restore/next":
        return "restore/next", ""
    if request.method != "POST":
        return None
    if rest == "init/error":
        return "init/error", ""
    if rest == "restore/error":
        return "restore/error", ""
    kind, _, tail = rest.partition("/")
    request_id, _, ask = tail.partition("/")
    if kind == "invocation" and ask == "response":
        return "response", request_id
    if kind == "invocation" and ask == "error":
        return "error", request_id
    return None


def _error_type(request: Request) -> str:
    """The error type the platform keeps: others than `Runtime.Xxx` and `Function.Xxx` are its own `Unknown`."""
    given = request.headers.get("lambda-runtime-function-error-type", "")
    if given.startswith(("Runtime.", "Function.")):
        return given
    return "Runtime.Unknown"


def _refusal(status: int, kind: str, text: str) -> Response:
    body = json.dumps({"errorMessage": text, "errorType": kind}).encode()
    return Response(status, body, [("Content-Type", "application/json")])
