"""Running functions: from a name and a payload to an outcome. Lambda as the event services see it (`ports.Invoker`)."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import NoReturn

import attrs

from lambdaform.local.clock import VirtualClock, report_bug
from lambdaform.local.faults import Faults
from lambdaform.local.lambda_.admission import (
    ACCOUNT_CONCURRENCY,
    REQUESTS_PER_ENVIRONMENT,
    Place,
    Rate,
    Reason,
)
from lambdaform.local.lambda_.blueprints import Blueprints
from lambdaform.local.lambda_.endings import UNHANDLED, Ending, Hurried, error_of
from lambdaform.local.lambda_.environment import Environment
from lambdaform.local.lambda_.metrics import Metrics
from lambdaform.local.lambda_.naming import LATEST, Reference, refer
from lambdaform.local.lambda_.noting import Notes, Run
from lambdaform.local.lambda_.permissions import decide_permitted
from lambdaform.local.lambda_.plane import Plane
from lambdaform.local.lambda_.records import Records
from lambdaform.local.lambda_.refusals import not_ready, recursive, refused, throttled, unrestored
from lambdaform.local.lambda_.running import Key, RestoreFailed
from lambdaform.local.lambda_.runtime_api import Event
from lambdaform.local.lambda_.targets import Target, check_tenant, find_target
from lambdaform.local.lambda_.values import AsyncConfig, Function
from lambdaform.local.ports import ACCOUNT, AwsFault, FunctionSettings, Outcome
from lambdaform.local.trace import Trace, child_header

LARGEST_EVENT = 1_048_576
"""Bytes of an asynchronous event."""
LARGEST_REQUEST = 6_291_456
"""Bytes of a synchronous event: 6 MiB. https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""
TAIL = 4096

MOST_IN_CHAIN = 16
"""Invocations of one function in a chain of events; the next is dropped.
https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html"""
_MOST_BEHIND, _LONGEST_BEHIND = 8, 0.01
"""Runs that were hurried of which not all is noted, and for how many seconds of real time: a few are noted in less time
together than each by itself."""
_RETRIES = 2
_EVENT_AGE = 21_600


@attrs.frozen(eq=False)
class Ran:
    """An invocation that ran or was refused, with the log it left."""

    outcome: Outcome
    log: str = ""
    is_streamed: bool = False
    """Whether the payload was handed on in pieces already."""
    rest: Awaitable[Ending] | None = None
    """Where extensions go on after the answer: what it comes to in the end."""

    async def whole_log(self) -> str:
        """The log with its closing lines, which are written when extensions are done.

        Whether AWS waits for them when a caller asks for the log is not documented; the REPORT line is in its answers.
        """
        return self.log if self.rest is None else (await asyncio.shield(self.rest)).log


class Invoking:
    """Runs functions. One per local AWS."""

    def __init__(
        self, plane: Plane, blueprints: Blueprints, records: Records, *, faults: Faults, trace: Trace, metrics: Metrics
    ) -> None:
        self._plane = plane
        self._blueprints = blueprints
        self._faults = faults
        self._trace = trace
        self._notes = Notes(trace=trace, metrics=metrics, records=records, now=plane.clock.now)
        self._rates: dict[str | tuple[str, str], Rate] = {}
        self._hurried: dict[Run, Environment] = {}
        """Those at work that are hurried."""
        self._behind: set[Environment] = set()
        """Where some were at work of which not all is noted."""
        self._overdue = 0
        self._catching_up: asyncio.Handle | None = None
        self._is_virtual = isinstance(plane.clock, VirtualClock)

    # ports.Invoker

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
        """Run a function once, synchronously. Never raises for a refusal."""
        request_id = request_id or self._plane.ids.uuid()
        try:
            target = find_target(self._plane, self._refer(function, region), tenant=tenant)
            ran = await self.run(target, payload, request_id=request_id, trace=trace)
            if self._faults.delivers_twice and ran.outcome.function_error is None:
                with contextlib.suppress(AwsFault):  # how the copy of an event fares is nobody's outcome
                    await self.run(target, payload, request_id=request_id, trace=trace)
            return ran.outcome
        except AwsFault as fault:
            return refused(fault, request_id)

    def accept(self, function: str, payload: bytes, *, region: str, source: str, trace: str | None = None) -> str:
        """Put an event on the function's asynchronous queue; returns the request id. Raises `AwsFault`."""
        reference = self._refer(function, region)
        target = find_target(self._plane, reference)
        policy = target.function.policies.get(reference.qualifier or "")
        if not decide_permitted(policy, source, reference.account):
            raise AwsFault("AccessDeniedException", f"{source} is not permitted to invoke {target.arn}", status=403)
        return self.enqueue(target, payload, source=source, trace=trace)

    def permits(self, function: str, principal: str, source: str) -> bool:
        """Whether a function's policy lets a service invoke it for a source; False when it is missing."""
        parts = function.split(":")
        try:
            reference = self._refer(function, parts[3])
            target = find_target(self._plane, reference)
        except (AwsFault, IndexError):
            return False
        return decide_permitted(target.function.policies.get(reference.qualifier or ""), source, reference.account)

    def settings(self, function: str, *, region: str) -> FunctionSettings:
        """What the asynchronous queue and the pollers need to know of a function. Raises `AwsFault` when missing."""
        return self._settings(find_target(self._plane, self._refer(function, region)))

    # Invoke

    async def run(
        self,
        target: Target,
        payload: bytes,
        *,
        request_id: str,
        trace: str | None = None,
        client_context: str | None = None,
        sink: Callable[[bytes, str], None] | None = None,
        is_rated: bool = False,
    ) -> Ran:
        """Run a version once; `sink` gets the pieces of an answer that is streamed, with its content type.

        Requests from outside are `is_rated`: so many are let in within a second. Raises `AwsFault` when it does not run
        at all.
        """
        function, version = target.function, target.version
        check_tenant(target)
        if version.state in ("Pending", "Failed"):
            raise not_ready(version)
        blueprint = await self._blueprints.of(function, version)
        key = target.key
        if function.recursive_loop == "Terminate" and self._trace.repeats(function.arn) >= MOST_IN_CHAIN:
            self._notes.refused(target, request_id, reason="recursive loop", metric="RecursiveInvocationsDropped")
            raise recursive()
        strike = self._faults.take(function.arn)
        place = self._refused_by_rate(function, self._plane.clock.now()) if is_rated else None
        place = place or self._plane.fleet.admit(key, target.limits, unreserved=self._unreserved(function))
        if strike == "throttle":
            place = "ConcurrentInvocationLimitExceeded"
        if place != "provisioned" and place != "on-demand":
            self._notes.refused(target, request_id, reason=place, metric="Throttles")
            raise throttled(place)
        run = self._begin(
            target,
            payload,
            key=key,
            place=place,
            request_id=request_id,
            trace=trace,
            client_context=client_context,
            sink=sink,
        )
        lasts = self._faults.duration(function.arn)
        if lasts >= blueprint.timeout and strike is None:
            strike, lasts = "timeout", blueprint.timeout
        try:
            ending = await self._plane.fleet.serve(
                key,
                blueprint,
                run.event,
                place=place,
                is_reserved=function.reserved_concurrency is not None,
                strike=strike,
                lasts=lasts,
            )
        except RestoreFailed as failed:
            self._notes.step(run).details["error"] = str(failed)
            raise unrestored(failed) from failed
        return self._end(run, ending)

    def run_at_once(
        self,
        target: Target,
        payload: bytes,
        *,
        request_id: str,
        done: Callable[[Ending], None],
        failed: Callable[[Exception], None],
    ) -> bool:
        """As `run` for a request from outside, hurried: where nothing has to be waited for before the handler.

        `done` is called the moment it has answered, `failed` with what went wrong here, which is a bug. False, and
        nothing done, wherever something has to be waited for.
        """
        function, version = target.function, target.version
        blueprint = self._blueprints.known(version)
        if (
            blueprint is None
            or self._is_virtual
            or version.state in ("Pending", "Failed")
            or function.provisioned
            or self._faults.concern(function.arn)
        ):
            return False
        plane = self._plane
        fleet, key, started = plane.fleet, target.key, plane.clock.now()
        environment = fleet.at_hand(key, target.limits, started, unreserved=self._unreserved(function))
        # In this order, as asking for a rate counts.
        if environment is None or self._refused_by_rate(function, started) is not None:
            return False
        segment = plane.ids.hex(16)
        event = Event(request_id, payload or b"{}", target.arn, self._new_header(segment, started))
        # Its process wakes while the rest is done.
        invocation = fleet.hand(key, environment, event, timeout=blueprint.timeout, now=started)
        run = Run(target, event, segment, started, "on-demand", fleet.busy(key), is_hurried=True)
        self._hurried[run] = environment

        def freed() -> None:
            if self._hurried.pop(run, None) is not None:
                self._fall_behind(environment)

        def told(ending: Ending) -> None:
            try:
                self._notes.over(run, ending)
            except Exception as error:  # noqa: BLE001 - others are told of as well
                report_bug(error)

        try:
            fleet.start(
                key,
                environment,
                invocation,
                is_reserved=function.reserved_concurrency is not None,
                hurried=Hurried(done, failed, freed, told),
            )
        except BaseException:
            self._hurried.pop(run, None)
            raise
        return True

    def _fall_behind(self, environment: Environment) -> None:
        self._behind.add(environment)
        self._overdue += 1
        loop = asyncio.get_running_loop()
        if self._overdue == _MOST_BEHIND:
            loop.call_soon(self.catch_up)
        elif self._catching_up is None:
            self._catching_up = loop.call_later(_LONGEST_BEHIND, self.catch_up)

    def catch_up(self) -> None:
        """Note all there is to note of runs that were hurried: before anybody looks, and now and then."""
        if self._catching_up is not None:
            self._catching_up.cancel()
            self._catching_up = None
        behind, self._behind, self._overdue = self._behind, set(), 0
        for environment in behind:
            environment.catch_up()
        for run, environment in self._hurried.items():
            self._notes.step(run)
            environment.catch_up()

    def _begin(
        self,
        target: Target,
        payload: bytes,
        *,
        key: Key,
        place: Place,
        request_id: str,
        trace: str | None = None,
        client_context: str | None = None,
        sink: Callable[[bytes, str], None] | None = None,
    ) -> Run:
        """Note that an invocation begins that was admitted."""
        started = self._plane.clock.now()
        segment = self._plane.ids.hex(16)
        event = Event(
            request_id=request_id,
            payload=payload or b"{}",
            function_arn=target.arn,
            trace=child_header(trace, segment) if trace else self._new_header(segment, started),
            client_context=client_context,
            tenant=target.tenant,
            sink=sink,
        )
        run = Run(target, event, segment, started, place, self._plane.fleet.busy(key), self._notes.attempt(request_id))
        self._notes.step(run)
        return run

    def _end(self, run: Run, ending: Ending) -> Ran:
        """Note how it ended, now or as soon as that is known."""
        if ending.rest is None:
            self._notes.over(run, ending)
        else:
            self._plane.clock.run(self._note_later(run, ending.rest))
        self._notes.step(run).details["error"] = error_of(ending)
        return _ran(run, ending)

    async def _note_later(self, run: Run, rest: Awaitable[Ending]) -> None:
        self._notes.over(run, await rest)

    def _unreserved(self, function: Function) -> int:
        """What functions of its account and Region may use together on demand that have no reservation."""
        return ACCOUNT_CONCURRENCY - self._plane.store.claimed(function.account, function.region)

    def _refused_by_rate(self, function: Function, now: float) -> Reason | None:
        """Why a request is one too many in this second; there is no such thing where time stands still meanwhile."""
        if self._is_virtual:
            return None
        reserved = function.reserved_concurrency
        if reserved is not None:
            rate = self._rate(function.arn)
            allowed = rate.take(now, REQUESTS_PER_ENVIRONMENT * reserved) or reserved == 0
            return None if allowed else "ReservedFunctionInvocationRateLimitExceeded"
        rate = self._rate((function.account, function.region))
        allowed = rate.take(now, REQUESTS_PER_ENVIRONMENT * ACCOUNT_CONCURRENCY)
        return None if allowed else "FunctionInvocationRateLimitExceeded"

    def _rate(self, of: str | tuple[str, str]) -> Rate:
        rate = self._rates.get(of)
        if rate is None:
            rate = self._rates[of] = Rate()
        return rate

    def asked(self, request: str, *, function: str) -> None:
        """Note a request over HTTP, which causes what this task does from here on."""
        self._trace.caused_from_here(self._trace.add("request", request, function=function))

    def enqueue(self, target: Target, payload: bytes, *, source: str, trace: str | None) -> str:
        """Put an event on the asynchronous queue of a function. Raises `AwsFault` when it is not taken."""
        check_tenant(target)
        if len(payload) > LARGEST_EVENT:
            text = (
                f"{len(payload)} byte payload is too large for the Event invocation type (limit {LARGEST_EVENT} bytes)"
            )
            raise AwsFault("RequestTooLargeException", text, status=413)
        self._notes.count(target, ("AsyncEventsReceived", 1, "Count"))
        return self._plane.queue.put(
            self._settings(target),
            payload or b"{}",
            region=target.function.region,
            source=source,
            trace=trace or self._new_header(self._plane.ids.hex(16), self._plane.clock.now()),
            tenant=target.tenant,
        )

    def _refer(self, function: str, region: str) -> Reference:
        account = function.split(":")[4] if function.startswith("arn:") else ACCOUNT
        return refer(function, None, account=account, region=region)

    def _settings(self, target: Target) -> FunctionSettings:
        function = target.function
        qualifier = target.qualifier or LATEST
        config = function.async_configs.get(qualifier, AsyncConfig(None, None, None, None, 0.0))
        retries, age = config.maximum_retry_attempts, config.maximum_event_age
        return FunctionSettings(
            arn=f"{function.arn}:{qualifier}",
            name=function.name,
            role=target.version.role,
            timeout=target.version.timeout,
            reserved_concurrency=function.reserved_concurrency,
            # Recorded: the setting of $LATEST holds for every version.
            dead_letter_arn=function.latest.dead_letter_arn,
            maximum_retry_attempts=_RETRIES if retries is None else retries,
            maximum_event_age=_EVENT_AGE if age is None else age,
            on_success=config.on_success,
            on_failure=config.on_failure,
        )

    def _new_header(self, segment: str, now: float) -> str:
        """A trace header for what came without one."""
        return f"Root=1-{int(now):08x}-{self._plane.ids.hex(24)};Parent={segment};Sampled=0"


def _ran(run: Run, ending: Ending) -> Ran:
    error = UNHANDLED if ending.is_error else None
    outcome = Outcome(200, ending.payload, error, run.target.version.number, run.event.request_id)
    return Ran(outcome, ending.log, ending.is_streamed, ending.rest)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no value of JSON")  # other than Python thinks


_DECODER = json.JSONDecoder(parse_constant=_refuse)


def check_json(payload: bytes) -> None:
    """Raise `AwsFault` 400 when an event is not JSON."""
    if not payload:
        return
    try:
        text = payload.decode()
        if _DECODER.raw_decode(text)[1] == len(text):
            return
    except (ValueError, RecursionError):
        pass  # it may have white space around it or be in UTF-16; if not, this says what is wrong with it
    try:
        json.loads(payload, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        text = f"Could not parse request body into json: Could not parse payload into json: {error}"
        raise AwsFault("InvalidRequestContentException", text) from error


def tail(log: str) -> str:
    """The last 4 KB of a log, as LogResult carries it."""
    return base64.b64encode(log.encode()[-TAIL:]).decode()
