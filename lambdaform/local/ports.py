"""The seams inside the local AWS: what its parts ask of each other.

Lambda itself (control plane, environments, invocation) and the event services (queues, topics, rules, schedules,
notifications, pollers, asynchronous invocation) are built apart and meet only here; `app.py` composes them.
No rule lives in this module.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, Protocol

import attrs

Json = Any  # JSON as the standard library reads it; every service narrows it at its own edge
ACCOUNT = "123456789012"
"""The account every caller of the local AWS is in, unless their access key is itself a 12-digit account number."""


RECURSION = "RecursiveInvocationException"
"""The code of what stops a loop of functions; trying again does not help."""


class AwsFault(Exception):
    """An error as an AWS service answers it: shaped for the wire by the protocol of the service that raised it."""

    def __init__(
        self,
        code: str,
        message: str | None,
        *,
        status: int = 400,
        type: Literal["User", "Service"] | None = "User",
        fields: Mapping[str, Json] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.type = type
        self.fields = dict(fields or {})
        self.headers = dict(headers or {})


@attrs.frozen
class Call:
    """One request to one operation of one service, parsed and checked by the service's model."""

    service: str
    operation: str
    params: Mapping[str, Json]
    region: str
    account: str
    request_id: str
    endpoint: str
    """The address this local AWS was called under, such as `http://127.0.0.1:4566`."""
    headers: Mapping[str, str]


Permits = Callable[[str, str, str], bool]
"""Whether a function (its ARN) lets a service (its principal) invoke it for a source (its ARN)."""


class Service(Protocol):
    """One AWS service of ours behind the door: `name` is botocore's service name."""

    name: str

    async def handle(self, call: Call) -> Mapping[str, Json]:
        """Answer one call with the members of the operation's output shape, or raise `AwsFault`."""
        ...


class Timer(Protocol):
    """Something that will happen; `cancel` makes it not happen. Cancelling twice is harmless."""

    def cancel(self) -> None: ...


class Cancellable(Protocol):
    """Something that goes on; `cancel` ends it. Cancelling twice is harmless."""

    def cancel(self) -> object: ...


class Clock(Protocol):
    """The one clock all waiting goes through (seconds since the epoch)."""

    def now(self) -> float: ...

    def call_at(self, when: float, action: Callable[[], None]) -> Timer:
        """Run `action` when `when` is due; equal times run in order of arrival."""
        ...

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` in the background. Under a virtual clock time stands still until it is done or sleeping."""
        ...

    def watch(self, look: Callable[[float], Awaitable[bool]]) -> Cancellable:
        """Look at something outside that no timer announces, for as many seconds of real time at most as it is told.

        Again and again in real time; under a virtual clock whenever it is moved.
        """
        ...

    async def sleep(self, seconds: float) -> None: ...

    def turn(self) -> AbstractAsyncContextManager[None]:
        """Around running a handler: under a virtual clock they run one at a time."""
        ...

    async def spend(self, seconds: float) -> None:
        """Let an invocation take so much longer than its handler really does."""
        ...


@attrs.frozen
class Outcome:
    """How one invocation ended, as Invoke answers it."""

    status: int
    payload: bytes
    function_error: str | None
    executed_version: str
    request_id: str
    fault: AwsFault | None = None
    """Set when the function did not run at all: throttled, missing, not ready."""


class Invoker(Protocol):
    """Lambda, as the event services see it."""

    async def invoke(
        self,
        function: str,
        payload: bytes,
        *,
        region: str,
        request_id: str | None = None,
        trace: str | None = None,
        tenant: str | None = None,
    ) -> Outcome:
        """Run a function once, synchronously; `function` is a (qualified) ARN or name. Never raises for a refusal."""
        ...

    def accept(self, function: str, payload: bytes, *, region: str, source: str, trace: str | None = None) -> str:
        """Put an event on the function's asynchronous queue; returns the request id. Raises `AwsFault`."""
        ...

    def settings(self, function: str, *, region: str) -> FunctionSettings:
        """What the asynchronous queue and the pollers need to know of a function. Raises `AwsFault` when missing."""
        ...


@attrs.frozen
class FunctionSettings:
    """The part of a function's configuration that event delivery depends on."""

    arn: str
    """Qualified with what was asked for, `$LATEST` when nothing was."""
    name: str
    role: str
    timeout: int
    reserved_concurrency: int | None
    dead_letter_arn: str | None
    maximum_retry_attempts: int
    maximum_event_age: int
    on_success: str | None
    on_failure: str | None


@attrs.frozen
class EventMapping:
    """An event source mapping as its poller reads it: the members of AWS's EventSourceMappingConfiguration."""

    uuid: str
    region: str
    account: str
    function_arn: str
    source_arn: str
    settings: Mapping[str, Json]


class Pollers(Protocol):
    """The pollers of all event source mappings. Lambda's control plane tells them what exists."""

    def validate(self, source_arn: str, settings: Mapping[str, Json], *, region: str) -> None:
        """Refuse, as AWS does, a source that is missing or settings it does not take. Raises `AwsFault`."""
        ...

    def start(self, mapping: EventMapping) -> None:
        """Poll by `mapping`, or by its new settings when it is already polled."""
        ...

    def stop(self, uuid: str) -> None:
        """Stop polling; where it was stays known."""
        ...

    def forget(self, uuid: str) -> None:
        """Stop polling for good."""
        ...

    def last_result(self, uuid: str) -> str | None:
        """`LastProcessingResult` as AWS words it, for the sources that have one."""
        ...


class AsyncQueue(Protocol):
    """The queue behind asynchronous invocations: attempts, waits, dead letters, destinations."""

    def put(
        self,
        settings: FunctionSettings,
        payload: bytes,
        *,
        region: str,
        source: str,
        trace: str | None,
        tenant: str | None = None,
    ) -> str:
        """Take an event; returns the request id that every attempt will carry."""
        ...


class DataServices(Protocol):
    """The library's services (S3, DynamoDB, IAM and the rest) in their own process."""

    async def request(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """Pass one HTTP request on as it is; returns status, headers, body."""
        ...

    async def call(
        self, service: str, operation: str, params: Mapping[str, Json], *, region: str
    ) -> Mapping[str, Json]:
        """Call one operation by name, for our own needs (read a stream, get an object). Raises `AwsFault`."""
        ...
