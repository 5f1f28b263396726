"""One execution environment: a handler process and what outlives it, through INIT, INVOKE, freeze and reset.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html. An environment belongs to one version of
one function and serves one event at a time. After a crash or timeout its process is gone while its /tmp and log stream
stay, and the next event initialises it again within that event's own time. Which environment serves which event is
the pool's business.
"""

from __future__ import annotations

import asyncio
import functools
import math
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Literal

import attrs

from lambdaform.local.faults import Strike
from lambdaform.local.http import Connection, Request
from lambdaform.local.lambda_ import platform_log
from lambdaform.local.lambda_.blueprint import Blueprint, LogWriter
from lambdaform.local.lambda_.company import Company
from lambdaform.local.lambda_.cpu import Shares
from lambdaform.local.lambda_.endings import (
    Answer,
    Ending,
    FailedInit,
    Hurried,
    Turn,
    answer_of,
    error_type_of,
    failure_of,
)
from lambdaform.local.lambda_.invocation import Invocation, Start
from lambdaform.local.lambda_.metadata import Metadata
from lambdaform.local.lambda_.phases import RESTORE_LIMIT, Phase, Phases, init_limit
from lambdaform.local.lambda_.processes import Process, Starter
from lambdaform.local.lambda_.runtime_api import Event, Reply, RuntimeApi
from lambdaform.local.lambda_.sandbox import Sandbox
from lambdaform.local.lambda_.snapshots import Copies
from lambdaform.local.lambda_.tail import Tail
from lambdaform.local.lambda_.telling import Teller
from lambdaform.local.lambda_.turns import Turns

Initialization = Literal["on-demand", "provisioned-concurrency", "snap-start"]
"""The values of AWS_LAMBDA_INITIALIZATION_TYPE that there are here."""


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
        rested: Callable[[], None] = lambda: None,
        initialization: Initialization = "on-demand",
        restore_limit: float = RESTORE_LIMIT,
        shares: Shares | None = None,
        linger: float = 0.0,
    ) -> None:
        self.blueprint = blueprint
        self.stream = stream
        self.initialization = initialization
        self.served = 0
        self.idle_since = now()
        self.phases = Phases(now)
        self._log = Tail(log, blueprint.log_style, now)
        self._teller = Teller(self._log, blueprint, stream=stream, initialization=initialization)
        self._now = now
        self._work = work
        self._rested = rested
        """Told when its process has asked for its next event."""
        self._sandbox = Sandbox(
            blueprint,
            spawner=spawner,
            parent_folder=parent_folder,
            take_line=self._teller.function,
            on_exit=self._exited,
            take_extension_line=self._log.extension,
            shares=shares,
            linger=linger,
            on_extension_exit=self._extension_exited,
        )
        self._loop = asyncio.get_running_loop()
        self._api: RuntimeApi | None = None
        self._metadata = Metadata(blueprint.environ["AWS_REGION"])
        self._company: Company | None = None
        """The extensions, where there are any."""
        self._is_initialising = False
        self.gone: asyncio.Future[None] = self._loop.create_future()
        """Done when nothing of it is left after it was retired."""
        self._turns = Turns(self._look, blueprint.memory_size * 1024 * 1024)
        self._invocation: Invocation | None = None
        """The one at work, or the last."""
        self._reply: Reply | None = None
        self._is_settling = False
        """Whether the process has answered and not asked for the next event yet."""
        self._is_retired = False
        self._is_fresh = True
        self._start = Start()
        self._restored_at = 0.0
        self._restore_limit = restore_limit
        self._limiting: asyncio.TimerHandle | None = None
        self._preparation: asyncio.Future[None] | None = None
        """Done when the process that was made ahead is there, or could not be started."""
        self.copies: Copies | None = None
        """What environments are restored from, where this one is a snapshot."""
        self._source: Copies | None = None
        """What this one is restored from, where it is."""

    # What the Runtime API tells

    def on_next(self) -> None:
        if self._company is not None:
            self._is_settling = False
            if self._is_initialising:
                self._teller.init_is_done()
            elif self._invocation is not None:
                self._invocation.asked = time.monotonic()
                self._teller.is_done(self._invocation)
            self._check()
            return
        if self._is_settling and not self._turns.is_open:
            self._sandbox.rest()
            self._rested()
        self._is_settling = False
        self._turns.resolve("ready")

    def on_piece(self, data: bytes, content_type: str) -> None:
        if self._invocation is not None:
            self._invocation.piece(data, content_type)

    def on_reply(self, reply: Reply) -> None:
        if self._invocation is not None:
            reply = self._invocation.take(reply)
        self._reply = reply
        # As in Lambda the caller has its answer now; the process asks for the next event a moment later.
        self._is_settling = True
        self._turns.resolve("too-large" if reply.is_too_large else "ready")

    def on_init_error(self, reply: Reply) -> None:
        self._reply = reply
        self._turns.resolve("init-error")

    def on_restore_next(self) -> None:
        if self.copies is not None:
            self._turns.resolve("snapshot")
        elif self._api is not None:
            self._restored_at = time.monotonic()
            expire = functools.partial(self._turns.resolve, "timeout", of=self._turns.current)
            self._limiting = self._loop.call_later(self._restore_limit, expire)
            self._api.restored()

    def on_restore_error(self, reply: Reply) -> None:
        self._reply = reply
        self._turns.resolve("restore-error")

    def _on_told(self) -> None:
        if self.copies is not None and self.copies.flaw is None:
            self._turns.resolve("snapshot")

    # What the pool asks

    @property
    def is_ready(self) -> bool:
        """Whether a process is initialised and waiting."""
        return self._sandbox.is_running and self._preparation is None

    @property
    def is_at_hand(self) -> bool:
        """Whether nothing has to be waited for before the next event: a process waits for it, without extensions."""
        process = self._sandbox.process
        return (
            self.phases.current == "ready"
            and not self._is_settling
            and self._company is None
            and self._preparation is None
            and process is not None
            and not process.exited.done()
        )

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

    async def prepare(self) -> None:
        """Have a process that waits, with nothing of the function's loaded yet, until `invoke` or `initialise`."""
        preparation = self._preparation = self._loop.create_future()
        try:
            await self._launch(is_held=True)
        except OSError:
            self._drop_process()  # who needs it tries again, and hears why not
        finally:
            preparation.set_result(None)
        if self._is_retired:
            self._drop_process()
            self._sandbox.remove()

    async def initialise(self) -> bool:
        """INIT ahead of any event, as provisioned concurrency does. False when it failed; the reason is in the log."""
        failure = await self._first_init()
        if failure is None and not self._is_retired:
            self._rest()
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
        self._teller.restore_begins()
        begun = time.monotonic()
        # Without a process to copy it initialises anew, which may take as long as for a snapshot.
        limit = init_limit(self.initialization, self.blueprint.timeout) + self._restore_limit
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
        self._teller.restore_ends(turn, duration=duration)
        if turn != "ready":
            return turn
        billed = math.ceil(self._since(self._restored_at or begun) * 1000)
        self._start = Start(restore_duration=duration, billed_restore=billed)
        self._enter("ready")
        return None

    async def invoke(self, event: Event, *, timeout: float, strike: Strike | None = None) -> Ending:
        """Serve one event. Always ends within the initialisation limit and `timeout` (seconds).

        What is struck by a declared fault ends so before the handler has seen the event.
        """
        self._wake()
        if self._is_settling and self.is_ready:
            self._turns.begin()
            if await self._turns.wait(timeout) != "ready":
                self._drop_process()
        was_cold = self.served == 0 and self._is_fresh
        self.served += 1
        again = not self.is_ready or (self._company is not None and self._company.failure is not None)
        if again and self._is_fresh:
            again = await self._first_init() is not None
        invocation = self._begin(event, timeout, was_cold)
        if again:
            failed = await self._second_init(timeout)
            if failed is not None:
                return self._end(invocation, failed)
        self._turns.begin()
        if not self._sandbox.is_running:
            self._turns.resolve("exited")
        elif strike is not None:
            self._strike(strike, invocation)
        else:
            self._deliver(invocation)
        turn = await self._turns.wait(invocation.left)
        return self._end(invocation, turn)

    def hand(self, event: Event, *, timeout: float, now: float) -> Invocation:
        """Where `is_at_hand`, hand an event over for who is hurried, before anything is noted: `start` must follow.

        `now` is on the local AWS's clock.
        """
        assert self._api is not None
        self._sandbox.wake()
        invocation = self._invocation = Invocation(event, timeout, now, False)
        self._reply = None
        self._turns.begin()
        self._sandbox.hold_to_share()
        self._api.deliver(event, deadline_ms=int((time.time() + timeout) * 1000))
        return invocation

    def start(self, invocation: Invocation, hurried: Hurried) -> None:
        """Wait as `invoke` for what was handed over; `catch_up` sees to it that the log is written."""
        self.served += 1
        self._enter("invoke")
        self._teller.begins_hurried(invocation)
        self._turns.then(invocation.timeout, functools.partial(self._came, invocation, hurried))

    def _came(self, invocation: Invocation, hurried: Hurried, turn: Turn) -> None:
        try:
            if turn == "ready" and self.is_ready:
                answer = self._answer(invocation, turn)
                self._loop.call_soon(self._put_down, invocation, answer, hurried)
                ending = invocation.ending(answer, None, log="")
            else:
                ending = self._end(invocation, turn)
                hurried.freed()
                hurried.told(ending)
        except Exception as error:  # noqa: BLE001 - whoever waits for an answer gets one
            self.retire(at_once=True)
            hurried.freed()
            hurried.failed(error)
            return
        try:
            hurried.done(ending)
        except Exception as error:  # noqa: BLE001 - the environment is none the worse for it
            hurried.failed(error)

    def _put_down(self, invocation: Invocation, answer: Answer, hurried: Hurried) -> None:
        """Be free again after an answer that is on its way."""

        def told(log: str) -> None:
            hurried.told(invocation.ending(answer, report, log=log))

        try:
            self._sandbox.drain()
            report = self._report(invocation, answer, invocation.took("ready"))
            self._teller.ends_hurried(invocation, "ready", report, told)
            self._start = Start()
            if self.is_ready:
                self._enter("ready")
            else:
                self._drop_process()
                self._enter("reset")
            self.idle_since = self._now()
        finally:
            hurried.freed()

    def catch_up(self) -> None:
        """Write what of the log is due of those who were hurried."""
        self._teller.catch_up()

    def _look(self) -> int:
        """The bytes held; asked for every few milliseconds while an event is at work, which is when a log is due."""
        self._teller.catch_up()
        return self._sandbox.memory()

    def _wake(self) -> None:
        self._teller.catch_up()
        self._log.clear()
        self._sandbox.wake()
        if self._company is not None:
            self._company.resume()

    def _begin(self, event: Event, timeout: float, was_cold: bool) -> Invocation:
        self._enter("invoke")
        invocation = self._invocation = Invocation(event, timeout, self._now(), was_cold)
        self._teller.begins(invocation)
        self._reply = None
        return invocation

    def _deliver(self, invocation: Invocation) -> None:
        """Hand the event to the process."""
        assert self._api is not None
        deadline_ms = int((time.time() + invocation.left) * 1000)
        self._sandbox.hold_to_share()
        if self._company is not None:
            self._company.invoke(invocation.event, deadline_ms=deadline_ms)
        self._api.deliver(invocation.event, deadline_ms=deadline_ms)

    def _strike(self, strike: Strike, invocation: Invocation) -> None:
        """Let a declared fault happen."""
        if strike == "timeout":
            invocation.begun -= invocation.timeout  # as long as it would have taken
        if strike == "timeout" or strike == "out-of-memory":
            self._turns.resolve(strike)
        else:
            self._sandbox.kill()

    def retire(self, *, at_once: bool = False) -> None:
        """End the process and remove what it left. Nothing is served after this; twice is harmless.

        Where it is at rest and has extensions, they have their time to end in the background, if it is not to be
        `at_once`; else it is all over now, as in Lambda, where no signal but SIGKILL comes without extensions.
        """
        if self._is_retired:
            return
        self._is_retired = True
        self._teller.catch_up()
        is_at_rest = self.phases.current == "ready" and not at_once
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
        self._teller.init_begins("init")
        begun = time.monotonic()
        turn = await self._start_process(init_limit(self.initialization, blueprint.timeout))
        duration = self._since(begun) * 1000
        self._report_init(turn, duration)
        if turn == "ready" and self.copies is None:
            self._start = Start(init_duration=duration)
            self._enter("ready")
            return None
        if turn in ("ready", "snapshot"):
            self._enter("snapshot")
            return None
        await self._reset(turn)
        self._enter("reset")
        return turn

    async def _second_init(self, timeout: float) -> Turn | None:
        """INIT once more, within an invocation; returns what went wrong."""
        begun = time.monotonic()
        self._teller.init_begins("invoke")
        turn = await self._start_process(timeout)
        self._report_init(turn, self._since(begun) * 1000)
        return None if turn == "ready" else turn

    def _report_init(self, turn: Turn, duration: float) -> None:
        self._sandbox.drain()
        if turn in ("ready", "snapshot", "timeout"):
            self._teller.init_ends("timeout" if turn == "timeout" else "success", None, duration=duration)
        else:
            failure = self._company.failure if self._company is not None else None
            self._teller.init_ends("error", error_type_of(turn, self._reply, failure), duration=duration)

    async def _start_process(self, limit: float) -> Turn:
        """Start a process and wait until it asks for its first event, fails, or `limit` seconds have passed."""
        preparation, self._preparation = self._preparation, None
        if preparation is not None:
            await asyncio.shield(preparation)
        is_prepared = preparation is not None and self._sandbox.is_running
        if not is_prepared:
            self._drop_process()
        blueprint = self.blueprint
        if blueprint.launch.flaw is not None:
            self._turns.resolve("unstartable")
            return "unstartable"
        self._reply = None
        self._turns.begin()
        self._is_initialising = True
        if blueprint.extensions:
            self._company = Company(blueprint, self._log, self._check)
        if is_prepared:
            self._sandbox.begin()
        else:
            await self._launch()
        if self._is_retired:
            self._sandbox.kill()
        company = self._company
        turn = await (company.assemble(self._sandbox, self._turns, limit) if company else self._turns.wait(limit))
        self._is_initialising = False
        if self._company is not None:
            self._company.close()
            self._sandbox.drain()
            self._company.tell()
            if self._company.is_empty:
                self._company = None
        return turn

    async def _launch(self, *, is_held: bool = False) -> None:
        """Start a process, which waits with the function's code where it `is_held`. Raises `OSError`."""
        self._api = RuntimeApi(self, others=self._take)
        address = await self._api.start()
        environ: dict[str, str] = {
            "AWS_LAMBDA_INITIALIZATION_TYPE": self.initialization,
            "AWS_LAMBDA_RUNTIME_API": address,
            "AWS_LAMBDA_METADATA_API": address,
            "AWS_LAMBDA_METADATA_TOKEN": self._metadata.token,
        }
        if self.initialization != "snap-start":  # a snapshot cannot know in which environments it will be restored
            environ["AWS_LAMBDA_LOG_STREAM_NAME"] = self.stream
        if self.copies is not None:
            # What runs beside the runtime cannot be copied with it.
            channel = self.copies.theirs.fileno() if not self.blueprint.extensions else None
            await self._sandbox.start(environ, channel=channel)
            self.copies.theirs.close()
        else:
            source = self._source if self._source is not None and self._source.flaw is None else None
            await self._sandbox.start(environ, starter=source, is_held=is_held)

    def _take(self, connection: Connection, request: Request) -> bool:
        """Answer what is asked beside the Runtime API. Internal extensions are known of only when they register."""
        if self._metadata.take(connection, request):
            return True
        company = self._company
        if company is None:
            if not Company.is_asked_by(request):
                return False
            company = Company(self.blueprint, self._log, self._check)
            if self._is_initialising:
                self._company = company
            else:
                company.close()
        return company.take(connection, request)

    # INVOKE

    def _end(self, invocation: Invocation, turn: Turn) -> Ending:
        """Turn what happened into the invocation's answer, write the closing log lines, and rest or reset.

        Where there are extensions all but the answer follows when they are done.
        """
        self._sandbox.drain()
        took = invocation.took(turn)
        if turn == "exited" and self._reply is not None and self._reply.error_type is None:
            turn = "ready"  # it answered and left: the answer counts
        answer = self._answer(invocation, turn)
        report = self._report(invocation, answer, took)
        if self._company is not None:
            ending = invocation.ending(answer, report, log=self._log.text())
            return attrs.evolve(ending, rest=self._finish(invocation, turn, answer))
        self._close(invocation, turn, report)
        if turn != "ready" or not self.is_ready:
            self._drop_process()
            self._enter("reset")
        else:
            self._enter("ready")
        self.idle_since = self._now()
        return invocation.ending(answer, report, log=self._log.text())

    async def _finish(self, invocation: Invocation, turn: Turn, answer: Answer) -> Ending:
        """Let the runtime and its extensions get done, within the invocation's time, and close the invocation.

        What goes wrong from here on is in the log alone: the caller has its answer.
        """
        is_whole = turn == "ready"
        if turn in ("ready", "too-large"):
            self._turns.begin()
            self._check()
            if not self.is_ready:
                self._turns.resolve("exited")
            following = await self._turns.wait(invocation.left)
            is_whole = is_whole and following == "ready"
            if following not in ("ready", "exited"):
                turn = following
                failed = self._answer(invocation, turn)
                answer = attrs.evolve(answer, status=failed.status, error_type=failed.error_type, is_error=True)
        overhead = invocation.overhead()
        self._sandbox.drain()
        took = invocation.timeout if turn == "timeout" else self._since(invocation.begun)
        report = self._report(invocation, answer, took)
        self._close(invocation, turn, attrs.evolve(report, spans=(overhead,) if overhead is not None else ()))
        if is_whole:
            self._rest()
            self._enter("ready")
        else:
            await self._reset(turn)
            self._enter("reset")
        self.idle_since = self._now()
        ending = invocation.ending(answer, report, log=self._log.text())
        return attrs.evolve(ending, overhead=overhead.duration if overhead is not None else None)

    def _answer(self, invocation: Invocation, turn: Turn) -> Answer:
        process = self._sandbox.process
        return answer_of(
            turn,
            self._reply,
            request_id=invocation.event.request_id,
            timeout=invocation.timeout,
            exit_status=process.exited.result() if process is not None and process.exited.done() else None,
            flaw=self.blueprint.launch.flaw,
            extension=self._company.failure if self._company is not None else None,
        )

    def _report(self, invocation: Invocation, answer: Answer, took: float) -> platform_log.Report:
        memory_size, max_memory = self.blueprint.memory_size, self._sandbox.measure()
        return invocation.report(answer, took, self._start, memory_size=memory_size, max_memory=max_memory)

    def _close(self, invocation: Invocation, turn: Turn, report: platform_log.Report) -> None:
        self._teller.ends(invocation, turn, report)
        self._start = Start()

    def _exited(self) -> None:
        self._turns.resolve("exited")

    def _extension_exited(self, name: str, process: Process) -> None:
        if self._company is not None:
            self._company.exited(name, process)

    def _check(self) -> None:
        """Go on when the runtime and all extensions are ready, or something went wrong with one of them."""
        if self._company is not None and self._api is not None:
            state = self._company.state(is_runtime_waiting=self._api.is_waiting)
            if state is not None:
                self._turns.resolve(state)

    def _enter(self, phase: Phase) -> None:
        if not self._is_retired:  # what was under way then changes nothing any more
            self.phases.move(phase)

    async def _reset(self, turn: Turn) -> None:
        """End everything that runs after a failure; /tmp stays."""
        if self._company is not None and self._company.budget:
            await self._company.shut_down(self._sandbox, "TIMEOUT" if turn == "timeout" else "FAILURE")
        self._drop_process()

    def _rest(self) -> None:
        if self._company is not None:
            self._company.pause()
        self._sandbox.rest()

    def _drop_process(self) -> None:
        if self._company is not None:
            self._company.end()
            self._company = None
        self._sandbox.drop()
        if self._api is not None:
            self._api.close()
            self._api = None
        self._is_settling = False

    def _since(self, begun: float) -> float:
        return time.monotonic() - begun
