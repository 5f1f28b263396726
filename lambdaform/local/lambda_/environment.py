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
from typing import Any

import attrs

from lambdaform.local.faults import Strike
from lambdaform.local.lambda_ import platform_log
from lambdaform.local.lambda_.blueprint import Blueprint, LogWriter
from lambdaform.local.lambda_.cpu import Shares
from lambdaform.local.lambda_.endings import (
    Answer,
    Ending,
    FailedInit,
    Failure,
    Hurried,
    Turn,
    answer_of,
    error_type_of,
    failure_of,
)
from lambdaform.local.lambda_.invocation import Invocation, Start
from lambdaform.local.lambda_.phases import RESTORE_LIMIT, Phase, Phases, init_limit
from lambdaform.local.lambda_.processes import Starter
from lambdaform.local.lambda_.runtime import Initialization, Runtime
from lambdaform.local.lambda_.runtime_api import Event, Reply
from lambdaform.local.lambda_.snapshots import Copies
from lambdaform.local.lambda_.tail import Tail
from lambdaform.local.lambda_.telling import Teller
from lambdaform.local.lambda_.turns import Turns


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
        self._loop = asyncio.get_running_loop()
        self._turns = Turns(self._look, blueprint.memory_size * 1024 * 1024)
        self._runtime = Runtime(
            blueprint,
            listener=self,
            turns=self._turns,
            log=self._log,
            take_line=self._teller.function,
            spawner=spawner,
            parent_folder=parent_folder,
            stream=stream,
            initialization=initialization,
            shares=shares,
            linger=linger,
        )
        self._sandbox = self._runtime.sandbox
        self.gone: asyncio.Future[None] = self._loop.create_future()
        """Done when nothing of it is left after it was retired."""
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

    # What the Runtime API tells

    def on_next(self) -> None:
        if self._runtime.company is not None:
            self._is_settling = False
            if self._runtime.is_initialising:
                self._teller.init_is_done()
            elif self._invocation is not None:
                self._invocation.asked = time.monotonic()
                self._teller.is_done(self._invocation)
            self._runtime.check()
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
        elif self._runtime.api is not None:
            self._restored_at = time.monotonic()
            expire = functools.partial(self._turns.resolve, "timeout", of=self._turns.current)
            self._limiting = self._loop.call_later(self._restore_limit, expire)
            self._runtime.api.restored()

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
        return self._runtime.is_ready

    @property
    def is_at_hand(self) -> bool:
        """Whether nothing has to be waited for before the next event: a process waits for it, without extensions."""
        return self.phases.current == "ready" and not self._is_settling and self._runtime.is_alone

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
    def copies(self) -> Copies | None:
        """What environments are restored from, where this one is a snapshot."""
        return self._runtime.copies

    @property
    def is_retired(self) -> bool:
        """Whether it was told to end."""
        return self._is_retired

    async def prepare(self) -> None:
        """Have a process that waits, with nothing of the function's loaded yet, until `invoke` or `initialise`."""
        await self._runtime.prepare()
        if self._is_retired:
            self._drop_process()
            self._sandbox.remove()

    async def initialise(self) -> bool:
        """INIT ahead of any event, as provisioned concurrency does. False when it failed; the reason is in the log."""
        failure = await self._first_init()
        if failure is None and not self._is_retired:
            self._runtime.rest()
        return failure is None

    async def become_snapshot(self) -> Environment | FailedInit:
        """INIT with the hooks before a snapshot; from then on it serves nothing. What went wrong, if it did."""
        copies = self._runtime.copies = Copies(self._on_told)
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
        self._runtime.source = snapshot.copies
        self._enter("restore")
        self._teller.restore_begins()
        begun = time.monotonic()
        # Without a process to copy it initialises anew, which may take as long as for a snapshot.
        limit = init_limit(self.initialization, self.blueprint.timeout) + self._restore_limit
        try:
            turn = await self._start_process(limit)
        except OSError:
            if self._runtime.source is None:
                raise
            self._runtime.source = None
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
        again = not self.is_ready or self._failure is not None
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
        self._sandbox.wake()
        invocation = self._invocation = Invocation(event, timeout, now, False)
        self._reply = None
        self._turns.begin()
        self._runtime.deliver(event, deadline_ms=int((time.time() + timeout) * 1000))
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
        self._runtime.wake()

    def _begin(self, event: Event, timeout: float, was_cold: bool) -> Invocation:
        self._enter("invoke")
        invocation = self._invocation = Invocation(event, timeout, self._now(), was_cold)
        self._teller.begins(invocation)
        self._reply = None
        return invocation

    def _deliver(self, invocation: Invocation) -> None:
        """Hand the event to the process."""
        self._runtime.deliver(invocation.event, deadline_ms=int((time.time() + invocation.left) * 1000))

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
        self._is_retired = self._runtime.is_unwanted = True
        self._teller.catch_up()
        is_at_rest = self.phases.current == "ready" and not at_once
        self.phases.move("shutdown")
        if self.copies is not None:
            self.copies.close(self._remove)  # environments that came from it end before it does
        elif is_at_rest and self._runtime.company is not None and self._runtime.company.budget:
            self._work(self._retire_gently())
        else:
            self._remove()

    async def _retire_gently(self) -> None:
        try:
            await self._runtime.shut_down("SPINDOWN")
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
            self._teller.init_ends("error", error_type_of(turn, self._reply, self._failure), duration=duration)

    async def _start_process(self, limit: float) -> Turn:
        self._reply, self._is_settling = None, False
        return await self._runtime.start(limit)

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
        if self._runtime.company is not None:
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
            self._runtime.check()
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
            self._runtime.rest()
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
            extension=self._failure,
        )

    @property
    def _failure(self) -> Failure | None:
        """How an extension failed, if one did."""
        return self._runtime.company.failure if self._runtime.company is not None else None

    def _report(self, invocation: Invocation, answer: Answer, took: float) -> platform_log.Report:
        memory_size, max_memory = self.blueprint.memory_size, self._sandbox.measure()
        return invocation.report(answer, took, self._start, memory_size=memory_size, max_memory=max_memory)

    def _close(self, invocation: Invocation, turn: Turn, report: platform_log.Report) -> None:
        self._teller.ends(invocation, turn, report)
        self._start = Start()

    def _enter(self, phase: Phase) -> None:
        if not self._is_retired:  # what was under way then changes nothing any more
            self.phases.move(phase)

    async def _reset(self, turn: Turn) -> None:
        """End everything that runs after a failure; /tmp stays."""
        await self._runtime.shut_down("TIMEOUT" if turn == "timeout" else "FAILURE")
        self._drop_process()

    def _drop_process(self) -> None:
        self._runtime.drop()
        self._is_settling = False

    def _since(self, begun: float) -> float:
        return time.monotonic() - begun
