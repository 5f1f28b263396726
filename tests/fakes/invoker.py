"""Lambda as the event services see it, with answers a test chooses."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import attrs

from lambdaform.local.ports import AwsFault, Clock, FunctionSettings, Outcome

FUNCTION = "arn:aws:lambda:eu-central-1:123456789012:function:worker"


def outcome(answer: Any = None, *, error: str | None = None, request_id: str = "request") -> Outcome:
    """An invocation that ran: its answer, or the error it ended with."""
    payload = {"errorMessage": error, "errorType": "Error"} if error is not None else answer
    return Outcome(
        status=200,
        payload=json.dumps(payload).encode(),
        function_error=None if error is None else "Unhandled",
        executed_version="$LATEST",
        request_id=request_id,
    )


def refusal(status: int = 429, code: str = "TooManyRequestsException", request_id: str = "request") -> Outcome:
    """An invocation that did not run."""
    fault = AwsFault(code, "Rate Exceeded.", status=status)
    return Outcome(status, b"", None, "", request_id, fault=fault)


@attrs.frozen
class Invocation:
    """One invocation the fake has seen."""

    at: float
    function: str
    event: Any
    request_id: str | None

    @property
    def bodies(self) -> list[str]:
        """The texts of an SQS event."""
        return [record["body"] for record in self.event["Records"]]


Answering = Callable[[Any], Outcome]


@attrs.define(eq=False)
class FakeInvoker:
    """Runs nothing: every invocation takes `duration` virtual seconds and is answered by `answering`.

    Harmless by default: everything succeeds and every function exists.
    """

    clock: Clock
    answering: Answering = attrs.field(default=lambda event: outcome())
    duration: float = 0.0
    settings_: FunctionSettings = attrs.field(
        factory=lambda: FunctionSettings(
            arn=f"{FUNCTION}:$LATEST",
            name="worker",
            role="arn:aws:iam::123456789012:role/worker",
            timeout=3,
            reserved_concurrency=None,
            dead_letter_arn=None,
            maximum_retry_attempts=2,
            maximum_event_age=21_600,
            on_success=None,
            on_failure=None,
        )
    )
    missing: set[str] = attrs.field(factory=set[str])
    troubles: int = 0
    """How many events are refused before one is taken."""
    seen: list[Invocation] = attrs.field(factory=list[Invocation])
    accepted: list[Invocation] = attrs.field(factory=list[Invocation])
    running: int = 0
    most_running: int = 0

    def set(self, **changes: Any) -> None:
        """Change the function's settings."""
        self.settings_ = attrs.evolve(self.settings_, **changes)

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
        """Answer as the test chose."""
        event = json.loads(payload)
        self.seen.append(Invocation(self.clock.now(), function, event, request_id))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        answer = self.answering(event)
        await self.clock.sleep(self.duration)
        self.running -= 1
        return answer

    def accept(self, function: str, payload: bytes, *, region: str, source: str, trace: str | None = None) -> str:
        """Note the event."""
        if function in self.missing:
            raise AwsFault("ResourceNotFoundException", f"Function not found: {function}", status=404)
        if self.troubles:
            self.troubles -= 1
            raise AwsFault("ServiceException", "An error occurred.", status=500, type="Service")
        self.accepted.append(Invocation(self.clock.now(), function, json.loads(payload), None))
        return f"request-{len(self.accepted)}"

    def settings(self, function: str, *, region: str) -> FunctionSettings:
        """The function's settings."""
        if function in self.missing:
            raise AwsFault("ResourceNotFoundException", f"Function not found: {function}", status=404)
        return self.settings_


def in_turn(*outcomes: Outcome) -> Answering:
    """Answers in this order; the last one stays."""
    left = list(outcomes)

    def answer(event: Any) -> Outcome:
        return left.pop(0) if len(left) > 1 else left[0]

    return answer
