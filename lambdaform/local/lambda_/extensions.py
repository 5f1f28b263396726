"""The Extensions API of one environment: which extensions there are, what each may ask when, and what it is told.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html. External ones are programs of their own,
known by their file's name before they register; internal ones register from inside the runtime. What a failure means
for the environment is for it to decide.
"""

from __future__ import annotations

import errno
import json
import uuid
from collections.abc import Iterable, Mapping
from typing import Literal, Protocol, cast

import attrs

from lambdaform.local.http import Connection, Request, Response
from lambdaform.local.ports import Json

PREFIX = "/2020-01-01/extension/"
MOST = 10
"""Extensions of a function. https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""
HIDDEN = (
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_XRAY_CONTEXT_MISSING",
    "AWS_XRAY_DAEMON_ADDRESS",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
    "_AWS_XRAY_DAEMON_ADDRESS",
    "_AWS_XRAY_DAEMON_PORT",
    "_HANDLER",
)
"""The variables of the runtime that external extensions do not get."""

_EVENTS = ("INVOKE", "SHUTDOWN")
_IDENTIFIER = "Lambda-Extension-Identifier"
_OK = Response(202, b'{"status":"OK"}\n', [("Content-Type", "application/json")])

Reason = Literal["SPINDOWN", "TIMEOUT", "FAILURE"]
State = Literal["started", "registered", "ready", "running", "init-error", "exit-error", "launch-error", "ended"]
Ask = Literal["register", "event/next", "init/error", "exit/error"]
MOVES: Mapping[tuple[State, Ask], State] = {
    ("started", "register"): "registered",
    ("registered", "event/next"): "ready",
    ("ready", "event/next"): "ready",
    ("running", "event/next"): "ready",
    ("registered", "init/error"): "init-error",
    ("registered", "exit/error"): "exit-error",
    ("ready", "exit/error"): "exit-error",
    ("running", "exit/error"): "exit-error",
}
"""Every move an extension may make; anything else is refused with `Extension.InvalidExtensionState`."""
_SHOWN: Mapping[State, str] = {
    "started": "Started",
    "registered": "Registered",
    "ready": "Ready",
    "running": "Ready",
    "init-error": "InitError",
    "exit-error": "ExitError",
    "launch-error": "LaunchError",
    "ended": "Exited",
}


@attrs.define(eq=False)
class Extension:
    """One extension of a running environment."""

    name: str
    is_external: bool
    state: State = "started"
    identifier: str = attrs.field(factory=lambda: str(uuid.uuid4()))
    events: tuple[str, ...] = ()
    error_type: str | None = None
    """As it has said itself, or why it could not be started."""
    parked: Connection | None = None

    @property
    def shown(self) -> str:
        """Its state in the words of Lambda's log."""
        return _SHOWN[self.state]


class Listener(Protocol):
    """Who is told what extensions do."""

    def on_extension_next(self) -> None:
        """One has registered, or is ready for an event."""
        ...

    def on_extension_error(self, extension: Extension) -> None:
        """One has told of an error, after which it should exit."""
        ...


@attrs.frozen
class About:
    """What an extension learns of its function when it registers."""

    name: str
    version: str
    handler: str
    account: str


class Extensions:
    """The extensions of one start of an environment, and the API they call."""

    def __init__(self, about: About, external: Iterable[str], listener: Listener) -> None:
        self._about = about
        self._listener = listener
        self._all = {name: Extension(name, is_external=True) for name in external}
        self._shutdown: dict[str, Json] | None = None
        self.is_runtime_started = not self._all
        """From then on internal ones may register."""
        self.is_closed = False
        """Whether INIT is over, and with it the time to register."""

    # What the environment asks

    @property
    def are_registered(self) -> bool:
        """Whether every external one has registered."""
        return all(each.state != "started" for each in self._all.values())

    @property
    def are_ready(self) -> bool:
        """Whether every one has asked for its next event."""
        return all(each.state == "ready" for each in self._all.values())

    @property
    def counts(self) -> tuple[int, int]:
        """How many are registered: internal and external ones."""
        registered = [each for each in self._all.values() if each.state not in ("started", "launch-error", "ended")]
        external = sum(each.is_external for each in registered)
        return len(registered) - external, external

    def all(self) -> tuple[Extension, ...]:
        """Every one there is."""
        return tuple(self._all.values())

    def identified(self, request: Request) -> Extension | Response:
        """Who sends a request, by its identifier; else the refusal."""
        given = request.headers.get(_IDENTIFIER.lower(), "")
        if not given:
            return refusal("Extension.MissingExtensionIdentifier", f"Missing {_IDENTIFIER} header")
        try:
            uuid.UUID(given)
        except ValueError:
            return refusal("Extension.InvalidExtensionIdentifier", f"Invalid {_IDENTIFIER}")
        for each in self._all.values():
            if each.identifier == given and each.state != "started":
                return each
        return refusal("Extension.UnknownExtensionIdentifier", f"Unknown extension {given}")

    # What happens to them

    def launch_failed(self, name: str, error: int) -> None:
        """Note that one could not be started."""
        extension = self._all[name]
        extension.state = "launch-error"
        extension.error_type = "PermissionDenied" if error == errno.EACCES else "UnknownError"

    def ended(self, name: str) -> Extension:
        """Note that the process of one has ended; what it said of an error before stays."""
        extension = self._all[name]
        if extension.state not in ("init-error", "exit-error", "launch-error"):
            extension.state = "ended"
        return extension

    def invoke(self, *, request_id: str, function_arn: str, deadline_ms: int, trace: str | None) -> None:
        """Tell those that want to know of an invocation."""
        event = {
            "eventType": "INVOKE",
            "deadlineMs": deadline_ms,
            "requestId": request_id,
            "invokedFunctionArn": function_arn,
            "tracing": {"type": "X-Amzn-Trace-Id", "value": trace or ""},
        }
        for each in self._all.values():
            if each.state == "ready" and "INVOKE" in each.events:
                each.state = "running"
                _tell(each, event)

    def shut_down(self, reason: Reason, *, deadline_ms: int) -> list[Extension]:
        """Tell those that want to know of the end; returns the external ones that do not."""
        self._shutdown = {"eventType": "SHUTDOWN", "shutdownReason": reason, "deadlineMs": deadline_ms}
        for each in self._all.values():
            if each.state == "ready" and "SHUTDOWN" in each.events:
                _tell(each, self._shutdown)
        return [each for each in self._all.values() if each.is_external and "SHUTDOWN" not in each.events]

    # The API

    def take(self, connection: Connection, request: Request) -> bool:
        """Answer a request, or park it; False when it is none of this API."""
        if not request.path.startswith(PREFIX):
            return False
        match request.method, request.path[len(PREFIX) :]:
            case "POST", "register":
                connection.answer(self._register(request))
                self._listener.on_extension_next()
            case "GET", "event/next":
                self._next(connection, request)
            case "POST", "init/error" | "exit/error" as ask:
                self._fail(connection, request, ask)
            case _:
                return False
        return True

    def _register(self, request: Request) -> Response:
        if self.is_closed:
            return refusal("Extension.RegistrationClosed", "Extensions can register during initialization only")
        name = request.headers.get("lambda-extension-name", "")
        if not name:
            return refusal("Extension.InvalidExtensionName", "Empty extension name")
        extension = self._all.get(name)
        if extension is None and not self.is_runtime_started:
            return refusal("Extension.InvalidExtensionName", f"No extension of the name {name} was started")
        if sum(each.state != "started" for each in self._all.values()) >= MOST:
            return refusal("Extension.TooManyExtensions", f"Extension limit ({MOST}) reached")
        extension = extension or Extension(name, is_external=False)
        if extension.state != "started":
            return refusal("Extension.InvalidExtensionState", f"{name} has registered already")
        events = _events(request.body)
        if events is None:
            return refusal("InvalidRequestFormat", "the body is no JSON object with a list of events", status=400)
        unknown = [each for each in events if each not in _EVENTS]
        if unknown:
            return refusal("Extension.InvalidEventType", f"Invalid event type: {unknown[0]}")
        if not extension.is_external and "SHUTDOWN" in events:
            return refusal("Extension.InvalidEventType", "Internal extensions cannot register for SHUTDOWN")
        extension.events = events
        extension.state = MOVES[extension.state, "register"]
        self._all[name] = extension
        about = self._about
        answer = {"functionName": about.name, "functionVersion": about.version, "handler": about.handler}
        features = request.headers.get("lambda-extension-accept-feature", "")
        if "accountId" in [each.strip() for each in features.split(",")]:
            answer["accountId"] = about.account
        headers = [("Content-Type", "application/json"), (_IDENTIFIER, extension.identifier)]
        return Response(200, json.dumps(answer).encode(), headers)

    def _next(self, connection: Connection, request: Request) -> None:
        extension = self._moved(request, "event/next")
        if isinstance(extension, Response):
            connection.answer(extension)
            return
        extension.parked = connection
        if self._shutdown is not None and "SHUTDOWN" in extension.events:
            _tell(extension, self._shutdown)
        else:
            self._listener.on_extension_next()

    def _fail(self, connection: Connection, request: Request, ask: Literal["init/error", "exit/error"]) -> None:
        kind = request.headers.get("lambda-extension-function-error-type", "")
        extension = self.identified(request)
        if not kind and not isinstance(extension, Response):
            extension = refusal("Extension.MissingHeader", "Missing Lambda-Extension-Function-Error-Type header")
        if not isinstance(extension, Response):
            extension = self._moved(request, ask)
        if isinstance(extension, Response):
            connection.answer(extension)
            return
        extension.error_type = kind
        connection.answer(_OK)
        self._listener.on_extension_error(extension)

    def _moved(self, request: Request, ask: Ask) -> Extension | Response:
        """Who sends a request, in the state it leads to; else the refusal."""
        extension = self.identified(request)
        if isinstance(extension, Response):
            return extension
        following = MOVES.get((extension.state, ask))
        if following is None:
            return refusal("Extension.InvalidExtensionState", f"Transition from {extension.shown} by {ask}")
        extension.state = following
        return extension


def refusal(kind: str, text: str, *, status: int = 403) -> Response:
    """How a call is refused."""
    body = json.dumps({"errorMessage": text, "errorType": kind}).encode()
    return Response(status, body, [("Content-Type", "application/json")])


def _tell(extension: Extension, event: Mapping[str, Json]) -> None:
    connection, extension.parked = extension.parked, None
    if connection is not None:
        headers = [
            ("Content-Type", "application/json"),
            (_IDENTIFIER, extension.identifier),
            ("Lambda-Extension-Event-Identifier", str(uuid.uuid4())),
        ]
        connection.answer(Response(200, json.dumps(event).encode(), headers))


def _events(body: bytes) -> tuple[str, ...] | None:
    """The events a registration asks for; None when it cannot be read."""
    try:
        given: Json = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        return None
    wanted: Json = cast("dict[str, Json]", given).get("events", []) if isinstance(given, dict) else None
    if not isinstance(wanted, list) or not all(isinstance(each, str) for each in cast("list[Json]", wanted)):
        return None
    return tuple(dict.fromkeys(cast("list[str]", wanted)))
