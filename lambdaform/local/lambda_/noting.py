"""What is noted of invocations: their step in the trace, their metrics and their record."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from lambdaform.local.lambda_.admission import Limits, Place
from lambdaform.local.lambda_.endings import UNHANDLED, Ending, error_of
from lambdaform.local.lambda_.metrics import Metrics, Unit
from lambdaform.local.lambda_.records import Record, Records
from lambdaform.local.lambda_.running import Busy
from lambdaform.local.lambda_.runtime_api import Event
from lambdaform.local.lambda_.targets import Target
from lambdaform.local.trace import Step, Trace


@attrs.define(eq=False)
class Run:
    """One run of a version, until it is noted."""

    target: Target
    event: Event
    segment: str
    started: float
    place: Place
    busy: Busy
    """What else was at work when it began."""
    attempt: int = 1
    is_hurried: bool = False
    step: Step | None = None
    """Its place in the trace, where it has one yet."""


class Notes:
    """Writes them down. `now` is the local AWS's clock."""

    def __init__(self, *, trace: Trace, metrics: Metrics, records: Records, now: Callable[[], float]) -> None:
        self._trace = trace
        self._metrics = metrics
        self._records = records
        self._now = now

    def attempt(self, request_id: str) -> int:
        """The number of the next attempt at a request, from 1."""
        return self._records.attempts(request_id) + 1

    def refused(self, target: Target, request_id: str, *, reason: str, metric: str) -> None:
        """One that did not run at all."""
        self._trace.add("refusal", target.arn, request_id=request_id, reason=reason)
        self.count(target, (metric, 1, "Count"))

    def step(self, run: Run) -> Step:
        """The step of a run in the trace."""
        if run.step is None:
            run.step = self._trace.add(
                "invocation",
                run.target.arn,
                key=run.segment,
                at=run.started,
                is_uncaused=run.is_hurried,  # where it is noted something else may be under way
                request_id=run.event.request_id,
                attempt=run.attempt,
            )
        return run.step

    def over(self, run: Run, ending: Ending) -> None:
        """Count an invocation that is over, and keep it."""
        assert ending.report is not None
        self.step(run).details["error"] = error_of(ending)
        function = run.target.function
        if function.reserved_concurrency is None and run.place == "on-demand":
            value = ("UnreservedConcurrentExecutions", run.busy.unreserved + 1.0, "Count")
            self._metrics.count(run.started, function.region, "", value)
        self._count(
            run.target,
            run.started,
            ("Invocations", 1, "Count"),
            ("Errors", int(ending.is_error), "Count"),
            ("Throttles", 0, "Count"),
            ("Duration", ending.report.duration, "Milliseconds"),
            ("ConcurrentExecutions", run.busy.function + 1, "Count"),
            *_of_provisioned(run.place, run.target.limits, run.busy.provisioned),
        )
        if ending.overhead is not None:
            self._count(run.target, run.started, ("PostRuntimeExtensionsDuration", ending.overhead, "Milliseconds"))
        self._records.add(
            Record(
                function=run.target.function.arn,
                version=run.target.version.number,
                request_id=run.event.request_id,
                event=run.event.payload,
                result=ending.payload,
                error=UNHANDLED if ending.is_error else None,
                attempt=run.attempt,
                is_cold=ending.was_cold,
                logs=ending.log,
                started=run.started,
                duration=ending.report.duration,
            )
        )

    def count(self, target: Target, *values: tuple[str, float, Unit]) -> None:
        """Count something of a function that happens now."""
        self._count(target, self._now(), *values)

    def _count(self, target: Target, at: float, *values: tuple[str, float, Unit]) -> None:
        function = target.function
        qualifier = target.qualifier
        alias = function.aliases.get(qualifier) if qualifier is not None else None
        version = target.version.number if alias is not None and alias.weights else None
        self._metrics.count(at, function.region, function.name, *values, qualifier=qualifier, version=version)


def _of_provisioned(place: Place, limits: Limits, busy: int) -> list[tuple[str, float, Unit]]:
    """What is counted of a version that has environments kept ready."""
    if not limits.provisioned:
        return []
    if place == "on-demand":
        return [("ProvisionedConcurrencySpilloverInvocations", 1, "Count")]
    return [
        ("ProvisionedConcurrencyInvocations", 1, "Count"),
        ("ProvisionedConcurrentExecutions", busy + 1, "Count"),
        ("ProvisionedConcurrencyUtilization", (busy + 1) / limits.provisioned, "Count"),
    ]
