"""The extensions that go with one start of a runtime: whether all are ready, what went wrong, and how they are ended.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html#runtimes-extensions-api-lifecycle
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from typing import Literal

from lambdaform.local.http import Connection, Request, Response
from lambdaform.local.lambda_ import platform_log
from lambdaform.local.lambda_.blueprint import Blueprint
from lambdaform.local.lambda_.endings import Failure, Turn, describe_exit
from lambdaform.local.lambda_.extensions import PREFIX, About, Extension, Extensions, Reason, State
from lambdaform.local.lambda_.phases import TERM_GRACE, gets_sigterm, shutdown_budget
from lambdaform.local.lambda_.processes import Process
from lambdaform.local.lambda_.runtime_api import Event
from lambdaform.local.lambda_.sandbox import Sandbox
from lambdaform.local.lambda_.subscriptions import Subscription
from lambdaform.local.lambda_.tail import Tail
from lambdaform.local.lambda_.telemetry import PATHS, Telemetry
from lambdaform.local.lambda_.turns import Turns


class Company:
    """One per start. `on_change` is called when `state` may have changed."""

    def __init__(self, blueprint: Blueprint, log: Tail, on_change: Callable[[], None]) -> None:
        _, _, _, _, account, *_ = blueprint.arn.split(":")
        about = About(blueprint.name, blueprint.version, blueprint.handler, account)
        self._extensions = Extensions(about, blueprint.extensions, self)
        self._folder = blueprint.extensions_folder
        self._log = log
        self._telemetry = Telemetry(self, early=lambda: log.early, is_json=blueprint.log_style.format == "JSON")
        self._on_change = on_change
        self._is_ending = False
        self.failure: Failure | None = None
        """What ends the environment."""

    @staticmethod
    def is_asked_by(request: Request) -> bool:
        """Whether a request is for an extension's API."""
        return request.path.startswith((PREFIX, *PATHS))

    def take(self, connection: Connection, request: Request) -> bool:
        """Answer a request of an extension, or park it; False when it is no such request."""
        return self._extensions.take(connection, request) or self._telemetry.take(connection, request)

    # What extensions do

    def identified(self, request: Request) -> Extension | Response:
        return self._extensions.identified(request)

    def subscribed(self, subscription: Subscription) -> None:
        self._log.listener = self._telemetry.tell
        self._log.platform(
            platform_log.subscription,
            name=subscription.extension,
            api=subscription.api,
            types=subscription.types,
        )

    def on_extension_next(self) -> None:
        self._on_change()

    def on_extension_error(self, extension: Extension) -> None:
        # It is about to exit, and its exit is part of the message.
        asyncio.get_running_loop().call_later(TERM_GRACE, self._fail, _kind(extension.state), describe_exit(0))

    # INIT

    async def assemble(self, sandbox: Sandbox, turns: Turns, limit: float) -> Turn:
        """Have external ones register before the runtime starts, and wait until everybody is ready."""
        begun = time.monotonic()
        for name, process in sandbox.extensions.items():
            if not isinstance(process, Process):
                self._extensions.launch_failed(name, process)
                reason = os.strerror(process).lower()
                self._fail("Extension.LaunchError", f"fork/exec {self._folder}/{name}: {reason}")
        turn = await turns.wait(limit)
        if turn == "ready":
            turns.begin()
            self._extensions.is_runtime_started = True
            sandbox.begin()
            self._on_change()
            turn = await turns.wait(limit - (time.monotonic() - begun))
        return turn

    def close(self) -> None:
        """INIT is over: nobody else may register."""
        self._extensions.is_closed = True

    def tell(self) -> None:
        """Say in the log what became of each in INIT."""
        for each in self._extensions.all():
            self._log.platform(
                platform_log.extension,
                name=each.name,
                state=each.shown,
                events=each.events,
                error_type=each.error_type,
            )

    # INVOKE

    @property
    def is_empty(self) -> bool:
        """Whether nobody has registered."""
        return not self._extensions.all()

    def state(self, *, is_runtime_waiting: bool) -> Literal["ready", "extension"] | None:
        """What everybody together has come to, if anything: the next part of INIT, or the end of it or of INVOKE."""
        if self.failure is not None:
            return "extension"
        if not self._extensions.is_runtime_started:
            return "ready" if self._extensions.are_registered else None
        return "ready" if is_runtime_waiting and self._extensions.are_ready else None

    def invoke(self, event: Event, *, deadline_ms: int) -> None:
        """Tell of an invocation."""
        self._extensions.invoke(
            request_id=event.request_id, function_arn=event.function_arn, deadline_ms=deadline_ms, trace=event.trace
        )

    def pause(self) -> None:
        """Everything is frozen."""
        self._telemetry.pause()

    def resume(self) -> None:
        """It goes on."""
        self._telemetry.resume()

    # SHUTDOWN

    def exited(self, name: str, process: Process) -> None:
        """Note that the process of an extension has ended, which ends the environment unless it is ending anyway."""
        extension = self._extensions.ended(name)
        self._fail(_kind(extension.state), describe_exit(process.exited.result()))

    @property
    def budget(self) -> float:
        """Seconds the SHUTDOWN phase may last."""
        internal, external = self._extensions.counts
        return shutdown_budget(internal=internal, external=external)

    async def shut_down(self, sandbox: Sandbox, reason: Reason) -> None:
        """The SHUTDOWN phase, up to where everything that still runs is killed: first the runtime, then extensions."""
        self._is_ending = True
        internal, external = self._extensions.counts
        deadline = time.monotonic() + self.budget
        sandbox.wake()
        self._telemetry.resume()
        self._telemetry.flush()
        if gets_sigterm(internal=internal, external=external):
            await sandbox.end_runtime(TERM_GRACE if external else self.budget)
            self._telemetry.flush()
        deadline_ms = int((time.time() + deadline - time.monotonic()) * 1000)
        for each in self._extensions.shut_down(reason, deadline_ms=deadline_ms):
            sandbox.kill_extension(each.name)
        await sandbox.await_extensions(deadline - time.monotonic())
        sandbox.drain()

    def end(self) -> None:
        """Everything is over."""
        self._telemetry.close()
        self._log.listener = None

    def _fail(self, kind: str, text: str) -> None:
        if self.failure is None and not self._is_ending:
            self.failure = Failure(kind, text)
            self._on_change()


def _kind(state: State) -> str:
    """What the end of an extension is called, by the state it was in."""
    match state:
        case "init-error":
            return "Extension.InitError"
        case "exit-error":
            return "Extension.ExitError"
        case _:
            return "Extension.Crash"
