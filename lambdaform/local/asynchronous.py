"""The queue behind asynchronous invocations: attempts, waits, dead letters, destinations.

`decide_after_attempt` and its like are pure; `AsynchronousQueue` waits and delivers.
https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any, Literal, cast

import attrs

from lambdaform.local.clock import Ids, iso
from lambdaform.local.delivery import Delivery, Parcel
from lambdaform.local.lambda_.metrics import Metrics, Unit
from lambdaform.local.ports import RECURSION, AwsFault, Clock, FunctionSettings, Invoker, Json, Outcome, Timer
from lambdaform.local.sqs.values import Attribute

FIRST_WAIT = 60.0
"""Seconds before the first retry after a function error; twice as long before the second."""

FIRST_THROTTLE_WAIT = 1.0
LAST_THROTTLE_WAIT = 300.0
"""After throttles and service errors the wait doubles from 1 second to 5 minutes."""

_PAUSE = 0.25
"""Seconds between attempts that are refused while the local AWS ends."""

MAX_ERROR_MESSAGE = 1_024
"""Characters of the error message a dead letter carries."""

Condition = Literal["Success", "RetriesExhausted", "EventAgeExceeded", "ZeroReservedConcurrency"]


@attrs.frozen(kw_only=True)
class AsyncEvent:
    """One event on its way: what was asked for, and what has happened to it."""

    request_id: str
    function: str
    region: str
    payload: bytes
    source: str
    trace: str | None
    tenant: str | None = None
    accepted_at: float
    attempts: int = 0
    """Invocations the function has seen."""
    refusals: int = 0
    """Throttles and service errors in a row."""
    last: Outcome | None = None
    """How the latest invocation the function has seen ended."""

    def after(self, outcome: Outcome) -> AsyncEvent:
        """The event with one more attempt, or one more refusal, behind it."""
        has_run = outcome.fault is None
        return attrs.evolve(
            self,
            attempts=self.attempts + has_run,
            refusals=0 if has_run else self.refusals + 1,
            last=outcome if has_run else self.last,
        )


@attrs.frozen
class RetryAt:
    """The event is tried again then."""

    when: float


@attrs.frozen
class End:
    """The event is over."""

    condition: Condition


def decide_before_attempt(settings: FunctionSettings) -> End | None:
    """Whether the event ends before it is tried: a function that is switched off never sees it."""
    return End("ZeroReservedConcurrency") if settings.reserved_concurrency == 0 else None


def decide_after_attempt(
    event: AsyncEvent, outcome: Outcome, settings: FunctionSettings, now: float, first_wait: float = FIRST_WAIT
) -> RetryAt | End:
    """What happens to an event whose invocation just ended; `event` counts that invocation already.

    Throttles and service errors retry until the event is too old; function errors also count attempts. An event whose
    next attempt would come too late ends at once.
    """
    if outcome.fault is None and outcome.function_error is None:
        return End("Success")
    if outcome.fault is not None and outcome.fault.code == RECURSION:
        return End("RetriesExhausted")
    if outcome.fault is not None:
        wait = min(LAST_THROTTLE_WAIT, FIRST_THROTTLE_WAIT * 2.0 ** min(event.refusals - 1, 30))
    else:
        if event.attempts > settings.maximum_retry_attempts:
            return End("RetriesExhausted")
        wait = first_wait * 2.0 ** (event.attempts - 1)
    if now + wait > event.accepted_at + settings.maximum_event_age:
        return End("EventAgeExceeded")
    return RetryAt(now + wait)


def destination_record(event: AsyncEvent, end: End, function_arn: str, now: float) -> dict[str, Json]:
    """The document OnSuccess and OnFailure destinations get."""
    record: dict[str, Json] = {
        "version": "1.0",
        "timestamp": iso(now),
        "requestContext": {
            "requestId": event.request_id,
            "functionArn": function_arn,
            "condition": end.condition,
            "approximateInvokeCount": event.attempts,
        },
        "requestPayload": _json(event.payload),
    }
    # What ended the event then is no answer: the function was switched off, whatever it said before.
    if event.last is not None and end.condition != "ZeroReservedConcurrency":
        context: dict[str, Json] = {"statusCode": 200, "executedVersion": event.last.executed_version}
        if event.last.function_error is not None:
            context["functionError"] = event.last.function_error
        record["responseContext"] = context
        record["responsePayload"] = _json(event.last.payload)
    return record


def dead_letter(event: AsyncEvent, end: End) -> Parcel:
    """The message a dead letter queue gets: the event as it was, and why in its attributes."""
    code, message = "200", ""
    if event.last is not None:
        answer = _json(event.last.payload)
        members = cast(Mapping[str, Any], answer if isinstance(answer, dict) else {})
        message = str(members.get("errorMessage") or "")
    if end.condition == "ZeroReservedConcurrency" or event.last is None:
        code, message = "429", "Rate Exceeded."
    attributes = {"RequestID": Attribute("String", event.request_id), "ErrorCode": Attribute("Number", code)}
    if message:
        attributes["ErrorMessage"] = Attribute("String", message[:MAX_ERROR_MESSAGE])
    return Parcel(event.payload.decode("utf-8", "replace"), attributes)


class AsynchronousQueue:
    """`AsyncQueue`: all events on their way. One per local AWS; `connect` comes before the first event."""

    def __init__(
        self,
        *,
        clock: Clock,
        ids: Ids,
        delivery: Delivery,
        metrics: Metrics | None = None,
        first_wait: float = FIRST_WAIT,
    ) -> None:
        self._metrics = metrics
        self._first_wait = first_wait
        self._clock = clock
        self._ids = ids
        self._delivery = delivery
        self._invoker: Invoker | None = None
        self._waiting: dict[str, tuple[AsyncEvent, float, Timer]] = {}
        self._trying: dict[str, AsyncEvent] = {}
        self._is_ending = False
        self._generation = 0

    def connect(self, invoker: Invoker) -> None:
        """Say who runs functions."""
        self._invoker = invoker

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
        event = AsyncEvent(
            request_id=self._ids.uuid(),
            function=settings.arn,
            region=region,
            payload=payload or b"{}",
            source=source,
            trace=trace,
            tenant=tenant,
            accepted_at=self._clock.now(),
        )
        self._try(event)
        return event.request_id

    def waiting(self) -> list[AsyncEvent]:
        """The events that wait for their next attempt."""
        return [event for event, _, _ in self._waiting.values()]

    def trying(self) -> list[AsyncEvent]:
        """The events whose function runs."""
        return list(self._trying.values())

    def unfinished(self) -> list[AsyncEvent]:
        """All events that have not come to their end."""
        return [*self._trying.values(), *self.waiting()]

    def end(self) -> None:
        """Let nothing wait any more, because the local AWS is about to end: what has to be retried is, at once."""
        self._is_ending = True
        for event, _, timer in list(self._waiting.values()):
            timer.cancel()
            self._waiting.pop(event.request_id)
            self._try(event)

    def _try(self, event: AsyncEvent) -> None:
        self._trying[event.request_id] = event
        self._clock.run(self._attempt(event, self._generation))

    async def _attempt(self, event: AsyncEvent, generation: int) -> None:
        """One attempt and what follows from it; settings are those of the moment, as in AWS."""
        invoker = self._connected()
        tried = event
        try:
            try:
                settings = invoker.settings(event.function, region=event.region)
            except AwsFault:
                # As in AWS the function's events go with it; here it is at least said.
                sys.stderr.write(f"lambdaform: event {event.request_id} is dropped: {event.function} is gone\n")
                return
            end = decide_before_attempt(settings)
            if end is None:
                age = (self._clock.now() - event.accepted_at) * 1000
                self._count(event, settings, ("AsyncEventAge", age, "Milliseconds"))
                outcome = await invoker.invoke(
                    event.function,
                    event.payload,
                    region=event.region,
                    request_id=event.request_id,
                    trace=event.trace,
                    tenant=event.tenant,
                )
                if generation != self._generation:
                    return  # the state this attempt belonged to is gone
                event = event.after(outcome)
                decision = decide_after_attempt(event, outcome, settings, self._clock.now(), self._first_wait)
                if isinstance(decision, RetryAt):
                    self._wait(event, decision.when)
                    return
                end = decision
            await self._end(event, end, settings)
        finally:
            # Unless it is tried again already, or belongs to a state that is gone.
            if self._trying.get(tried.request_id) is tried:
                del self._trying[tried.request_id]

    def _wait(self, event: AsyncEvent, when: float) -> None:
        def due() -> None:
            self._waiting.pop(event.request_id, None)
            self._try(event)

        if self._is_ending:
            when = self._clock.now() + (_PAUSE if event.refusals else 0.0)
        self._waiting[event.request_id] = (event, when, self._clock.call_at(when, due))

    async def _end(self, event: AsyncEvent, end: End, settings: FunctionSettings) -> None:
        """Deliver what an event's end brings: one destination record, and a dead letter when it failed."""
        is_success = end.condition == "Success"
        if not is_success:
            self._count(event, settings, ("AsyncEventsDropped", 1, "Count"))
        destination = settings.on_success if is_success else settings.on_failure
        if destination is not None:
            record = destination_record(event, end, settings.arn, self._clock.now())
            try:
                await self._delivery.deliver_record(
                    destination,
                    record,
                    function_arn=settings.arn,
                    key_prefix=f"aws/lambda/async/{settings.name}",
                    region=event.region,
                )
            except AwsFault as error:
                self._count(event, settings, ("DestinationDeliveryFailures", 1, "Count"))
                _lost(f"destination {destination}", event, error)
        if not is_success and settings.dead_letter_arn is not None:
            try:
                self._delivery.send(settings.dead_letter_arn, dead_letter(event, end), source=settings.arn)
            except AwsFault as error:
                self._count(event, settings, ("DeadLetterErrors", 1, "Count"))
                _lost(f"dead letter queue {settings.dead_letter_arn}", event, error)

    def _count(self, event: AsyncEvent, settings: FunctionSettings, *values: tuple[str, float, Unit]) -> None:
        if self._metrics is not None:
            qualifier = settings.arn.rpartition(":")[2]
            named = None if qualifier == "$LATEST" else qualifier
            self._metrics.count(self._clock.now(), event.region, settings.name, *values, qualifier=named)

    # State

    def checkpoint(self) -> object:
        """The events that wait, for `restore`; those being tried at the moment are not among them."""
        return [(event, when) for event, when, _ in self._waiting.values()]

    def kept(self) -> object:
        """As `checkpoint`, with the events being tried: a process that goes on from there tries them again."""
        now = self._clock.now()
        tried = [(event, now) for event in self._trying.values() if event.request_id not in self._waiting]
        return [*tried, *cast(list[tuple[AsyncEvent, float]], self.checkpoint())]

    def restore(self, state: object) -> None:
        """Let the events of the checkpoint wait again."""
        self.reset()
        for event, when in cast(list[tuple[AsyncEvent, float]], state):
            self._wait(event, when)

    def reset(self) -> None:
        """Forget all events; attempts under way end without a consequence."""
        self._generation += 1
        for _, _, timer in self._waiting.values():
            timer.cancel()
        self._waiting.clear()
        self._trying.clear()

    def _connected(self) -> Invoker:
        if self._invoker is None:
            raise AssertionError("bug in lambdaform: an event came before the asynchronous queue was connected")
        return self._invoker


def _lost(destination: str, event: AsyncEvent, error: AwsFault) -> None:
    # In AWS only a metric tells of it (DestinationDeliveryFailures, DeadLetterErrors); the event is gone.
    sys.stderr.write(f"lambdaform: {destination} refused event {event.request_id}: {error}\n")


def _json(payload: bytes) -> Json:
    """A payload as JSON; text that is none stays text."""
    try:
        return json.loads(payload) if payload else None
    except (ValueError, RecursionError):
        return payload.decode("utf-8", "replace")
