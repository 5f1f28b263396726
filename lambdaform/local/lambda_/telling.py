"""What an environment tells of its phases, in its log and to whoever listens to its telemetry.

Whoever waits for an answer does not wait for the log: of invocations that are hurried the platform's lines are written
when a line follows them, or on `catch_up`, with the moments at which they were due.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from lambdaform.local.clock import iso
from lambdaform.local.lambda_ import platform_log
from lambdaform.local.lambda_.blueprint import Blueprint
from lambdaform.local.lambda_.endings import Status, Turn
from lambdaform.local.lambda_.invocation import Invocation
from lambdaform.local.lambda_.tail import Tail


@attrs.frozen(eq=False)
class _Over:
    """An invocation that is over and not told of yet."""

    invocation: Invocation
    is_begun: bool
    """Whether its beginning has been told."""
    turn: Turn
    report: platform_log.Report
    at: float
    """When it ended, in seconds since the epoch, on the local AWS's clock."""
    told: Callable[[str], None]
    """Gets its log."""


class Teller:
    """One per environment. Extensions can subscribe to telemetry from the beginning of INIT until its end is told."""

    def __init__(self, log: Tail, blueprint: Blueprint, *, stream: str, initialization: str) -> None:
        self._log = log
        self._blueprint = blueprint
        self._instance = stream[-32:]
        self._initialization = initialization
        self._phase: platform_log.InitPhase = "init"
        self._is_init_done = False
        self._over: list[_Over] = []
        """The oldest first."""
        self._begun: Invocation | None = None
        """The one at work, where its beginning is not told yet."""

    def init_begins(self, phase: platform_log.InitPhase) -> None:
        """INIT begins, or is repeated within an invocation."""
        blueprint = self._blueprint
        self._phase, self._is_init_done, self._log.early = phase, False, []
        self._log.platform(
            platform_log.init_start,
            runtime=blueprint.runtime,
            region=blueprint.region,
            name=blueprint.name,
            version=blueprint.version,
            kind=self._initialization,
            phase=phase,
            instance=self._instance,
            memory=blueprint.memory_size,
        )

    def init_is_done(self, status: Status = "success", error_type: str | None = None) -> None:
        """The runtime's part of INIT is over. Told once."""
        if not self._is_init_done:
            self._is_init_done = True
            self._log.platform(
                platform_log.init_runtime_done,
                phase=self._phase,
                status=status,
                error_type=error_type,
                kind=self._initialization,
            )

    def init_ends(self, status: Status, error_type: str | None, *, duration: float) -> None:
        """INIT is over, after so many milliseconds."""
        self.init_is_done(status, error_type)
        self._log.platform(
            platform_log.init_report,
            duration=duration,
            phase=self._phase,
            status=status,
            error_type=error_type,
            kind=self._initialization,
        )
        self._log.early = None

    def restore_begins(self) -> None:
        """It comes out of a snapshot from now on."""
        blueprint = self._blueprint
        self._log.early = []
        self._log.platform(
            platform_log.restore_start,
            runtime=blueprint.runtime,
            region=blueprint.region,
            name=blueprint.name,
            version=blueprint.version,
            instance=self._instance,
            memory=blueprint.memory_size,
        )

    def restore_ends(self, turn: Turn, *, duration: float) -> None:
        """It has, after so many milliseconds, or has not."""
        is_ready = turn == "ready"
        self._log.platform(
            platform_log.restore_report,
            duration=duration,
            status="success" if is_ready else "timeout" if turn == "timeout" else "error",
            # The hooks' own error is in the log before this line.
            error_type=None if is_ready or turn == "timeout" else "Runtime.ExitError",
        )
        self._log.early = None

    def function(self, text: str) -> None:
        """A line of the function's."""
        if self._over or self._begun is not None:
            self.catch_up()
        self._log.function(text)

    def begins(self, invocation: Invocation) -> None:
        """An invocation begins."""
        self._log.platform_at(
            invocation.at,
            platform_log.start,
            request_id=invocation.event.request_id,
            version=self._blueprint.version,
            function_arn=invocation.event.function_arn,
            trace=invocation.event.trace,
        )

    def begins_hurried(self, invocation: Invocation) -> None:
        """An invocation begins that is hurried; its log is a new one."""
        self._begun = invocation

    def ends_hurried(
        self, invocation: Invocation, turn: Turn, report: platform_log.Report, told: Callable[[str], None]
    ) -> None:
        """It is over. `told` gets its log once it is written."""
        self._over.append(_Over(invocation, self._begun is None, turn, report, self._log.now(), told))
        self._begun = None
        if self._log.is_detailed:
            self.catch_up()

    def catch_up(self) -> None:
        """Write what is due."""
        while self._over:
            each = self._over.pop(0)
            if not each.is_begun:
                self._log.clear()
                self.begins(each.invocation)
            self._ends(each.invocation, each.turn, each.report, each.at)
            each.told(self._log.text())
        begun, self._begun = self._begun, None
        if begun is not None:
            self._log.clear()
            self.begins(begun)

    def is_done(self, invocation: Invocation, status: Status = "success", error_type: str | None = None) -> None:
        """The runtime is done with an invocation. Told once, where anybody sees it."""
        if self._log.is_detailed and not invocation.is_done:
            invocation.is_done = True
            self._log.platform(
                platform_log.runtime_done,
                request_id=invocation.event.request_id,
                status=status,
                error_type=error_type,
                duration=invocation.took("timeout" if status == "timeout" else "exited") * 1000,
                produced=invocation.produced,
                spans=invocation.spans(),
                trace=invocation.event.trace,
            )

    def ends(self, invocation: Invocation, turn: Turn, report: platform_log.Report) -> None:
        """An invocation is over, extensions and all."""
        if self._begun is not None:
            self.catch_up()
        self._ends(invocation, turn, report, self._log.now())

    def _ends(self, invocation: Invocation, turn: Turn, report: platform_log.Report, at: float) -> None:
        self.is_done(invocation, report.status, report.error_type)
        if turn == "timeout":
            text = f"{invocation.event.request_id} Task timed out after {invocation.timeout:.2f} seconds"
            self._log.write(f"{iso(at)} {text}\n\n", at)
        self._log.platform_at(at, platform_log.end, report)
