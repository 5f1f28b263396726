"""One execution environment: a handler process and what outlives it, through INIT, INVOKE, freeze and reset.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html. An environment belongs to one version of
one function and serves one event at a time. After a crash or timeout its process is gone while its /tmp and log stream
stay, and the next event initialises it again within that event's own time. Which environment serves which event is
the pool's business.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import attrs

from lambdaform.local.faults import Strike
from lambdaform.local.http import Connection, Request
from lambdaform.local.lambda_ import platform_log
from lambdaform.local.lambda_.blueprint import Blueprint, LogWriter
from lambdaform.local.lambda_.company import Company
from lambdaform.local.lambda_.cpu import Shares
from lambdaform.local.lambda_.endings import Answer, Ending, FailedInit, Turn, answer_of, error_type_of, failure_of
from lambdaform.local.lambda_.phases import RESTORE_LIMIT, Phase, Phases, init_limit
from lambdaform.local.lambda_.processes import Process, Starter
from lambdaform.local.lambda_.runtime_api import LARGEST_RESPONSE, Event, Reply, RuntimeApi
from lambdaform.local.lambda_.sandbox import Sandbox
from lambdaform.local.lambda_.snapshots import Copies
from lambdaform.local.lambda_.tail import Tail

Initialization = Literal["on-demand", "provisioned-concurrency", "snap-start"]
"""The values of AWS_LAMBDA_INITIALIZATION_TYPE that there are here."""
_WATCH_AFTER = 0.01
_WATCH_EVERY = 0.005


class Environment:
    """See the module. `retire` must be called in the end."""

    def __init__(
        self,
        blueprint: Blueprint,
        *,
        spawner: Starter,
        log: LogWriter,
        stream: str,
        parent_folder: Path,
        now: Callable[[], float],
        work: Callable[[Coroutine[Any, Any, None]], None],
        initialization: Initialization = "on-demand",
        restore_limit: float = RESTORE_LIMIT,
        shares: Shares | None = None,
    ) -> None:
        self.blueprint = blueprint
        self.stream = stream
        self.initialization = initialization
        self.served = 0
        self.idle_since = now()
        self.phases = Phases(now)
        self._log = Tail(log)
        self._now = now
        self._work = work
        self._sandbox = Sandbox(
            blueprint,
            spawner=spawner,
            parent_folder=parent_folder,
            take_line=self._log.write,
            on_exit=self._exited,
            take_extension_line=self._log.write,
            shares=shares,
            on_extension_exit=self._extension_exited,
        )
        self._loop = asyncio.get_running_loop()
        self._api: RuntimeApi | None = None
        self._company: Company | None = None
        """The extensions, where there are any."""
        self._is_initialising = False
        self._asked_at = 0.0
        """When the runtime asked for its next event."""
        self.gone: asyncio.Future[None] = self._loop.create_future()
        """Done when nothing of it is left after it was retired."""
        self._turn: asyncio.Future[Turn] | None = None
        self._reply: Reply | None = None
        self._replied_at = 0.0
        self._is_settling = False
        """Whether the process has answered and not asked for the next event yet."""
        self._is_retired = False
        self._is_fresh = True
        self._sink: Callable[[bytes, str], None] | None = None
        self._streamed = bytearray()
        self._init_duration: float | None = None
        self._restore_duration: float | None = None
        self._billed_restore = 0
        self._restored_at = 0.0
        self._restore_limit = restore_limit
        self._limiting: asyncio.TimerHandle | None = None
        self.copies: Copies | None = None
        """What environments are restored from, where this one is a snapshot."""
        self._source: Copies | None = None
        """What this one is restored from, where it is."""

    # What the Runtime API tells

    def on_next(self) -> None:
        if self._company is not None:
            self._is_settling = False
            self._asked_at = time.monotonic()
            self._check()
            return
        is_waited_for = self._turn is not None and not self._turn.done()
        if self._is_settling and not is_waited_for:
            self._sandbox.rest()
        self._is_settling = False
        self._resolve("ready")

    def on_piece(self, data: bytes, content_type: str) -> None:
        if self._sink is not None:
            self._sink(data, content_type)
        if len(self._streamed) <= LARGEST_RESPONSE:  # what was streamed to the caller may be longer
            self._streamed += data

    def on_reply(self, reply: Reply) -> None:
        self._replied_at = time.monotonic()
        if reply.is_streamed and reply.error_type is None:
            is_too_large = self._sink is None and len(self._streamed) > LARGEST_RESPONSE
            reply = attrs.evolve(reply, body=bytes(self._streamed), is_too_large=is_too_large)
        self._reply = reply
        # As in Lambda the caller has its answer now; the process asks for the next event a moment later.
        self._is_settling = True
        self._resolve("too-large" if reply.is_too_large else "ready")

    def on_init_error(self, reply: Reply) -> None:
        self._reply = reply
        self._resolve("init-error")

    def on_restore_next(self) -> None:
        if self.copies is not None:
            self._resolve("snapshot")
        elif self._api is not None:
            self._restored_at = time.monotonic()
            self._limiting = self._loop.call_later(self._restore_limit, self._expire, self._turn)
            self._api.restored()

    def on_restore_error(self, reply: Reply) -> None:
        self._reply = reply
        self._resolve("restore-error")

    def _on_told(self) -> None:
        if self.copies is not None and self.copies.flaw is None:
            self._resolve("snapshot")

    # What the pool asks

    @property
    def is_ready(self) -> bool:
        """Whether a process is initialised and waiting."""
        return self._sandbox.is_running

    @property
    def is_to_be_restored(self) -> bool:
        """Whether it comes out of a snapshot and has not done so yet."""
        return self._is_fresh and self.initialization == "snap-start"

    @property
    def pid(self) -> int | None:
        """The handler's process, while there is one."""
        process = self._sandbox.process
        return process.pid if process is not None and self.is_ready else None

    @property
    def is_retired(self) -> bool:
        """Whether it was told to end."""
        return self._is_retired

    async def initialise(self) -> bool:
        """INIT ahead of any event, as provisioned concurrency does. False when it failed; the reason is in the log."""
        failure = await self._first_init()
        if failure is None and not self._is_retired:
            self._sandbox.rest()
        return failure is None

    async def become_snapshot(self) -> Environment | FailedInit:
        """INIT with the hooks before a snapshot; from then on it serves nothing. What went wrong, if it did."""
        copies = self.copies = Copies(self._on_told)
        failure = await self._first_init()
        if failure is not None:
            self.retire()
            return failure_of(failure, self._reply)
        if copies.flaw is not None:
            if self.blueprint.extensions:
                copies.flaw = "extensions run beside it"
            self._drop_process()  # of no use any more
        return self

    async def restore(self, snapshot: Environment) -> Turn | None:
        """Come out of a snapshot, with the hooks after it, instead of INIT. Returns what went wrong."""
        self._is_fresh = False
        self._source = snapshot.copies
        self._enter("restore")
        blueprint = self.blueprint
        self._log.write_all(
            platform_log.restore_start(
                blueprint.log_style,
                self._now(),
                runtime=blueprint.runtime,
                region=blueprint.region,
                name=blueprint.name,
                version=blueprint.version,
            )
        )
        begun = time.monotonic()
        # Without a process to copy it initialises anew, which may take as long as for a snapshot.
        limit = init_limit(self.initialization, blueprint.timeout) + self._restore_limit
        try:
            turn = await self._start_process(limit)
        except OSError:
            if self._source is None:
                raise
            self._source = None
            turn = await self._start_process(limit)
        duration = self._since(begun) * 1000
        if self._limiting is not None:
            self._limiting.cancel()
        self._sandbox.drain()
        is_ready = turn == "ready"
        self._log.write_all(
            platform_log.restore_report(
                blueprint.log_style,
                self._now(),
                duration=duration,
                status="success" if is_ready else "timeout" if turn == "timeout" else "error",
                # The hooks' own error is in the log before this line.
                error_type=None if is_ready or turn == "timeout" else "Runtime.ExitError",
            )
        )
        if not is_ready:
            return turn
        self._restore_duration = duration
        self._billed_restore = math.ceil(self._since(self._restored_at or begun) * 1000)
        self._enter("ready")
        return None

    async def invoke(self, event: Event, *, timeout: float, strike: Strike | None = None) -> Ending:
        """Serve one event. Always ends within the initialisation limit and `timeout` (seconds).

        What is struck by a declared fault ends so before the handler has seen the event.
        """
        self._log.clear()
        self._sandbox.wake()
        if self._is_settling and self.is_ready:
            self._turn = self._loop.create_future()
            if await self._wait(timeout) != "ready":
                self._drop_process()
        was_cold = self.served == 0 and self._is_fresh
        self.served += 1
        again = not self._sandbox.is_running or (self._company is not None and self._company.failure is not None)
        if again and self._is_fresh:
            again = await self._first_init() is not None
        self._enter("invoke")
        begun = time.monotonic()
        self._log.write_all(
            platform_log.start(
                self.blueprint.log_style,
                self._now(),
                request_id=event.request_id,
                version=self.blueprint.version,
                function_arn=event.function_arn,
            )
        )
        self._reply = None
        self._sink = event.sink
        self._streamed.clear()
        if again:
            failed = await self._second_init(event, timeout)
            if failed is not None:
                return self._end(event, failed, begun, timeout, was_cold=was_cold)
        assert self._api is not None
        self._turn = self._loop.create_future()
        if not self._sandbox.is_running:
            self._resolve("exited")
        elif strike is not None:
            begun -= self._strike(strike, timeout)
        else:
            deadline_ms = int(time.time() * 1000 + (timeout - self._since(begun)) * 1000)
            self._sandbox.hold_to_share()
            if self._company is not None:
                self._company.invoke(event, deadline_ms=deadline_ms)
            self._api.deliver(event, deadline_ms=deadline_ms)
        turn = await self._wait(timeout - self._since(begun))
        return self._end(event, turn, begun, timeout, was_cold=was_cold)

    def _strike(self, strike: Strike, timeout: float) -> float:
        """Let a declared fault happen; gives the seconds it would have taken."""
        match strike:
            case "timeout":
                self._resolve("timeout")
                return timeout
            case "out-of-memory":
                self._resolve("out-of-memory")
            case _:
                self._sandbox.kill()
        return 0.0

    def retire(self) -> None:
        """End the process and remove what it left. Nothing is served after this; twice is harmless.

        Where it is at rest and has extensions, they have their time to end in the background; else it is all over at
        once, as in Lambda, where no signal but SIGKILL comes without extensions.
        """
        if self._is_retired:
            return
        self._is_retired = True
        is_at_rest = self.phases.current == "ready"
        self.phases.move("shutdown")
        if self.copies is not None:
            self.copies.close(self._remove)  # environments that came from it end before it does
        elif is_at_rest and self._company is not None and self._company.budget:
            self._work(self._retire_gently(self._company))
        else:
            self._remove()

    async def _retire_gently(self, company: Company) -> None:
        try:
            await company.shut_down(self._sandbox, "SPINDOWN")
        finally:
            self._remove()

    def _remove(self) -> None:
        self._drop_process()
        self._sandbox.remove()
        self.phases.move("ended")
        if not self.gone.done():
            self.gone.set_result(None)

    # INIT

    async def _first_init(self) -> Turn | None:
        """The INIT phase; returns what went wrong, which is then repeated inside the first invocation."""
        self._is_fresh = False
        self._enter("init")
        blueprint = self.blueprint
        self._log.write_all(
            platform_log.init_start(
                blueprint.log_style,
                self._now(),
                runtime=blueprint.runtime,
                region=blueprint.region,
                name=blueprint.name,
                version=blueprint.version,
                kind=self.initialization,
            )
        )
        begun = time.monotonic()
        turn = await self._start_process(init_limit(self.initialization, blueprint.timeout))
        duration = self._since(begun) * 1000
        if turn == "ready" and self.copies is None:
            self._init_duration = duration
            self._enter("ready")
            return None
        self._report_init("init", turn, duration)
        if turn in ("ready", "snapshot"):
            self._enter("snapshot")
            return None
        await self._reset(turn)
        self._enter("reset")
        return turn

    async def _second_init(self, event: Event, timeout: float) -> Turn | None:
        begun = time.monotonic()
        turn = await self._start_process(timeout)
        if turn == "ready":
            return None
        self._report_init("invoke", turn, self._since(begun) * 1000)
        return turn

    def _report_init(self, phase: str, turn: Turn, duration: float) -> None:
        self._sandbox.drain()
        is_done = turn in ("ready", "snapshot")
        failure = self._company.failure if self._company is not None else None
        kind = None if is_done or turn == "timeout" else error_type_of(turn, self._reply, failure)
        self._log.write_all(
            platform_log.init_report(
                self.blueprint.log_style,
                self._now(),
                duration=duration,
                phase=phase,
                status="success" if is_done else "timeout" if turn == "timeout" else "error",
                error_type=kind,
                kind=self.initialization,
            )
        )

    async def _start_process(self, limit: float) -> Turn:
        """Start a process and wait until it asks for its first event, fails, or `limit` seconds have passed."""
        self._drop_process()
        blueprint = self.blueprint
        if blueprint.launch.flaw is not None:
            self._resolve("unstartable")
            return "unstartable"
        self._reply = None
        self._turn = self._loop.create_future()
        self._is_initialising = True
        if blueprint.extensions:
            self._company = Company(blueprint, self._check)
        self._api = RuntimeApi(self, others=self._take)
        environ: dict[str, str] = {
            "AWS_LAMBDA_INITIALIZATION_TYPE": self.initialization,
            "AWS_LAMBDA_RUNTIME_API": await self._api.start(),
        }
        if self.initialization != "snap-start":  # a snapshot cannot know in which environments it will be restored
            environ["AWS_LAMBDA_LOG_STREAM_NAME"] = self.stream
        if self.copies is not None:
            # What runs beside the runtime cannot be copied with it.
            channel = self.copies.theirs.fileno() if not blueprint.extensions else None
            await self._sandbox.start(environ, channel=channel)
            self.copies.theirs.close()
        else:
            source = self._source if self._source is not None and self._source.flaw is None else None
            await self._sandbox.start(environ, starter=source)
        if self._is_retired:
            self._sandbox.kill()
        turn = await (self._wait(limit) if self._company is None else self._assemble(self._company, limit))
        self._is_initialising = False
        if self._company is not None:
            self._company.close()
            self._sandbox.drain()
            self._log.write_all(self._company.lines(blueprint.log_style, self._now()))
            if self._company.is_empty:
                self._company = None
        return turn

    async def _assemble(self, company: Company, limit: float) -> Turn:
        """Have external extensions register before the runtime starts, and wait until all of them are ready."""
        begun = time.monotonic()
        company.started(self._sandbox)
        turn = await self._wait(limit)
        if turn == "ready":
            self._turn = self._loop.create_future()
            company.begin()
            self._sandbox.begin()
            self._check()
            turn = await self._wait(limit - self._since(begun))
        return turn

    def _take(self, connection: Connection, request: Request) -> bool:
        """Answer what an extension asks. Internal ones are known of only when they register."""
        company = self._company
        if company is None:
            if not Company.is_asked_by(request):
                return False
            company = Company(self.blueprint, self._check)
            if self._is_initialising:
                self._company = company
            else:
                company.close()
        return company.take(connection, request)

    # INVOKE

    def _end(self, event: Event, turn: Turn, begun: float, timeout: float, *, was_cold: bool) -> Ending:
        """Turn what happened into the invocation's answer, write the closing log lines, and rest or reset.

        Where there are extensions all but the answer follows when they are done.
        """
        self._sandbox.drain()
        took = (self._replied_at if turn in ("ready", "too-large") else time.monotonic()) - begun
        took = timeout if turn == "timeout" else took
        if turn == "exited" and self._reply is not None and self._reply.error_type is None:
            turn = "ready"  # it answered and left: the answer counts
        answer = self._answer(turn, event, timeout)
        if self._company is not None:
            ending = self._ending(answer, self._report(event, answer, took), was_cold=was_cold)
            return attrs.evolve(ending, rest=self._finish(self._company, event, turn, ending, begun, timeout))
        self._close(event, turn, report := self._report(event, answer, took), timeout)
        if turn != "ready" or not self.is_ready:
            self._drop_process()
            self._enter("reset")
        else:
            self._enter("ready")
        self.idle_since = self._now()
        return self._ending(answer, report, was_cold=was_cold)

    async def _finish(
        self, company: Company, event: Event, turn: Turn, ending: Ending, begun: float, timeout: float
    ) -> Ending:
        """Let the runtime and its extensions get done, within the invocation's time, and close the invocation.

        What goes wrong from here on is in the log alone: the caller has its answer.
        """
        answer = Answer(ending.payload, ending.status, ending.error_type, ending.is_error)
        is_whole = turn == "ready"
        if turn in ("ready", "too-large"):
            self._turn = self._loop.create_future()
            self._check()
            if not self.is_ready:
                self._resolve("exited")
            following = await self._wait(timeout - self._since(begun))
            is_whole = is_whole and following == "ready"
            if following not in ("ready", "exited"):
                turn = following
                failed = self._answer(turn, event, timeout)
                answer = attrs.evolve(answer, status=failed.status, error_type=failed.error_type, is_error=True)
        overhead = self._since(self._asked_at) * 1000 if is_whole else None
        self._sandbox.drain()
        took = timeout if turn == "timeout" else self._since(begun)
        self._close(event, turn, report := self._report(event, answer, took), timeout)
        if is_whole:
            self._sandbox.rest()
            self._enter("ready")
        else:
            await self._reset(turn)
            self._enter("reset")
        self.idle_since = self._now()
        return attrs.evolve(self._ending(answer, report, was_cold=ending.was_cold), overhead=overhead)

    def _answer(self, turn: Turn, event: Event, timeout: float) -> Answer:
        process = self._sandbox.process
        return answer_of(
            turn,
            self._reply,
            request_id=event.request_id,
            timeout=timeout,
            exit_status=process.exited.result() if process is not None and process.exited.done() else None,
            flaw=self.blueprint.launch.flaw,
            extension=self._company.failure if self._company is not None else None,
        )

    def _report(self, event: Event, answer: Answer, took: float) -> platform_log.Report:
        return platform_log.Report(
            request_id=event.request_id,
            duration=max(took * 1000, 0.01),
            memory_size=self.blueprint.memory_size,
            max_memory=self._sandbox.measure(),
            init_duration=self._init_duration,
            restore_duration=self._restore_duration,
            billed_restore=self._billed_restore,
            status=answer.status,
            error_type=answer.error_type if answer.status == "error" else None,
        )

    def _close(self, event: Event, turn: Turn, report: platform_log.Report, timeout: float) -> None:
        """Write the lines that close an invocation."""
        if turn == "timeout":
            self._log.write(f"{_stamp(self._now())} {event.request_id} Task timed out after {timeout:.2f} seconds\n\n")
        self._log.write_all(platform_log.end(self.blueprint.log_style, self._now(), report))
        self._init_duration = self._restore_duration = None
        self._billed_restore = 0

    def _ending(self, answer: Answer, report: platform_log.Report, *, was_cold: bool) -> Ending:
        reply = self._reply
        return Ending(
            payload=answer.payload,
            status=answer.status,
            is_error=answer.is_error,
            error_type=answer.error_type,
            is_streamed=reply is not None and reply.is_streamed and self._sink is not None,
            log=self._log.text(),
            report=report,
            was_cold=was_cold,
        )

    # Waiting

    async def _wait(self, limit: float) -> Turn:
        """Wait for the turn under way, at most `limit` seconds of real time: handlers run in real time."""
        assert self._turn is not None
        timer = self._loop.call_later(max(limit, 0.0), self._resolve, "timeout")
        watch = self._loop.call_later(_WATCH_AFTER, self._watch, self._turn)
        try:
            return await self._turn
        finally:
            timer.cancel()
            watch.cancel()

    def _exited(self) -> None:
        self._resolve("exited")

    def _extension_exited(self, name: str, process: Process) -> None:
        if self._company is not None:
            self._company.exited(name, process)

    def _check(self) -> None:
        """Go on when the runtime and all extensions are ready, or something went wrong with one of them."""
        if self._company is not None and self._api is not None:
            state = self._company.state(is_runtime_waiting=self._api.is_waiting)
            if state is not None:
                self._resolve(state)

    def _resolve(self, turn: Turn) -> None:
        if self._turn is not None and not self._turn.done():
            self._turn.set_result(turn)

    def _expire(self, turn: asyncio.Future[Turn] | None) -> None:
        if turn is not None and turn is self._turn:
            self._resolve("timeout")

    def _watch(self, turn: asyncio.Future[Turn]) -> None:
        """Look at the process's memory every few milliseconds while it works, and end it above its size."""
        if turn.done():
            return
        if self._sandbox.memory() > self.blueprint.memory_size * 1024 * 1024:
            self._resolve("out-of-memory")
            return
        self._loop.call_later(_WATCH_EVERY, self._watch, turn)

    def _enter(self, phase: Phase) -> None:
        if not self._is_retired:  # what was under way then changes nothing any more
            self.phases.move(phase)

    async def _reset(self, turn: Turn) -> None:
        """End everything that runs after a failure; /tmp stays."""
        if self._company is not None and self._company.budget:
            await self._company.shut_down(self._sandbox, "TIMEOUT" if turn == "timeout" else "FAILURE")
        self._drop_process()

    def _drop_process(self) -> None:
        self._company = None
        self._sandbox.drop()
        if self._api is not None:
            self._api.close()
            self._api = None
        self._is_settling = False

    def _since(self, begun: float) -> float:
        return time.monotonic() - begun


def _stamp(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
