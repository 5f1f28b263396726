"""How an invocation ends: what its caller is answered, and what the platform calls it. Values and pure functions.

https://docs.aws.amazon.com/lambda/latest/dg/troubleshooting-invocation.html
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Literal, cast

import attrs

from lambdaform.local.lambda_ import platform_log
from lambdaform.local.lambda_.runtime_api import LARGEST_RESPONSE, Reply
from lambdaform.local.ports import Json

Turn = Literal[
    "ready",
    "snapshot",
    "init-error",
    "restore-error",
    "exited",
    "timeout",
    "out-of-memory",
    "too-large",
    "unstartable",
    "extension",
]
"""What a process came to while it was waited for."""
Status = Literal["success", "error", "timeout"]
"""`error` for whatever ended the process; a function's own error is a `success` of the platform."""

UNHANDLED = "Unhandled"
"""What a caller is told of a function that failed."""


@attrs.frozen
class Failure:
    """How an extension ended an environment."""

    error_type: str
    text: str


@attrs.frozen
class FailedInit:
    """An initialisation that failed."""

    turn: Turn
    said: str | None
    """What the process said of it, as one line."""


@attrs.frozen
class Answer:
    """What the caller gets, and what the REPORT line says."""

    payload: bytes
    status: Status
    error_type: str | None
    is_error: bool


@attrs.define(eq=False)
class Ending:
    """How one invocation ended, with what it logged."""

    payload: bytes
    status: Status
    is_error: bool
    error_type: str | None
    is_streamed: bool
    """Whether the payload was handed on in pieces, where somebody takes them."""
    log: str
    report: platform_log.Report | None
    """None where the environment is not done with it."""
    was_cold: bool
    overhead: float | None = None
    """Milliseconds that extensions took after the runtime was done, where there are any."""
    rest: Awaitable[Ending] | None = None
    """What is to be done before an environment with extensions is free; gives the same with its whole log."""


@attrs.frozen(eq=False)
class Hurried:
    """Who waits for an answer that comes before all else."""

    done: Callable[[Ending], None]
    """Gets the ending the moment it is known, as far as it is."""
    failed: Callable[[Exception], None]
    """Gets what went wrong here instead, which is a bug."""
    freed: Callable[[], None]
    """Called when the environment is free again."""
    told: Callable[[Ending], None]
    """Gets the whole ending when its log is written."""


def answer_of(
    turn: Turn,
    reply: Reply | None,
    *,
    request_id: str,
    timeout: float,
    exit_status: int | None,
    flaw: str | None,
    extension: Failure | None = None,
) -> Answer:
    """The answer of an invocation whose process came to `turn`.

    `exit_status` is the wait status of a process that has ended, `flaw` why there was none to start, `extension` what
    became of one that failed.
    """
    match turn:
        case "ready" if reply is not None:
            return Answer(reply.body, "success", reply.error_type, reply.error_type is not None)
        case "ready":  # a stream was begun and broken off: it asks for its next event without an answer
            text = "Runtime closed the connection before its response was complete"
            return _ended("Runtime.TruncatedResponse", request_id, text)
        case "init-error" if reply is not None:
            return Answer(reply.body, "error", reply.error_type, True)
        case "too-large":
            kind = "Function.ResponseSizeTooLarge"
            text = f"Response payload size exceeded maximum allowed payload size ({LARGEST_RESPONSE} bytes)."
            return Answer(_document({"errorMessage": text, "errorType": kind}), "success", kind, True)
        case "timeout":
            return _ended("Sandbox.Timedout", request_id, f"Task timed out after {timeout:.2f} seconds", "timeout")
        case "extension" if extension is not None:
            return _ended(extension.error_type, request_id, extension.text)
        case "unstartable":
            return _ended("Runtime.InvalidEntrypoint", request_id, str(flaw))
        case _:
            reason = "Runtime exited with error: signal: killed"
            if exit_status is not None and turn != "out-of-memory":
                reason = exit_reason(exit_status)
            return attrs.evolve(_ended("Runtime.ExitError", request_id, reason), error_type=error_type_of(turn, reply))


def error_type_of(turn: Turn, reply: Reply | None, extension: Failure | None = None) -> str:
    """What the platform's log calls the end of a process."""
    if turn == "extension" and extension is not None:
        return extension.error_type
    if turn == "init-error" and reply is not None and reply.error_type:
        return reply.error_type
    if turn == "unstartable":
        return "Runtime.InvalidEntrypoint"
    return "Runtime.OutOfMemory" if turn == "out-of-memory" else "Runtime.ExitError"


def failure_of(turn: Turn, reply: Reply | None) -> FailedInit:
    """A failed initialisation, with the error that the process posted if it did."""
    try:
        described: Json = json.loads(reply.body) if turn == "init-error" and reply is not None else None
    except (ValueError, RecursionError):
        described = None
    if not isinstance(described, dict):
        return FailedInit(turn, None)
    members = cast("dict[str, Json]", described)
    return FailedInit(turn, f"{members.get('errorType')}: {members.get('errorMessage')}")


def error_of(ending: Ending) -> str | None:
    """What went wrong, as one line; None when nothing did."""
    if not ending.is_error:
        return None
    try:
        described: Json = json.loads(ending.payload)
    except (ValueError, RecursionError):
        described = None
    if not isinstance(described, dict):
        return ending.error_type or UNHANDLED
    members = cast("dict[str, Json]", described)
    kind, text = members.get("errorType") or ending.error_type, members.get("errorMessage") or ""
    # The request id in a platform's message is told elsewhere.
    return f"{kind}: {str(text).partition(' Error: ')[2] or text}" if text else str(kind)


def describe_exit(status: int) -> str:
    """A wait status in the words of Lambda's `Extension.Crash`."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return f"signal: {(signal.strsignal(number) or str(number)).lower()}"
    code = os.waitstatus_to_exitcode(status)
    return f"exit status {code}" if code else "exit code 0"


def exit_reason(status: int) -> str:
    """A wait status in the words of Lambda's `Runtime.ExitError`."""
    if status == 0:
        return "Runtime exited without providing a reason"
    return f"Runtime exited with error: {describe_exit(status)}"


def _ended(kind: str, request_id: str, text: str, status: Status = "error") -> Answer:
    message = f"RequestId: {request_id} Error: {text}"
    return Answer(_document({"errorType": kind, "errorMessage": message}), status, kind, True)


def _document(body: dict[str, str]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()
