"""What runs in one execution environment: the runtime and the extensions beside it, from one start to the next.

A start opens a Runtime API of its own, at whose address everything in the environment asks, and ends when everybody has
asked for the first event. What that comes to, and what events come to, is for the environment to decide.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from lambdaform.local.http import Connection, Request
from lambdaform.local.lambda_.blueprint import Blueprint
from lambdaform.local.lambda_.company import Company
from lambdaform.local.lambda_.cpu import Shares
from lambdaform.local.lambda_.endings import Turn
from lambdaform.local.lambda_.metadata import Metadata
from lambdaform.local.lambda_.processes import Process, Starter
from lambdaform.local.lambda_.runtime_api import Event, Listener, RuntimeApi
from lambdaform.local.lambda_.sandbox import Sandbox
from lambdaform.local.lambda_.snapshots import Copies
from lambdaform.local.lambda_.tail import Tail
from lambdaform.local.lambda_.turns import Turns

Initialization = Literal["on-demand", "provisioned-concurrency", "snap-start"]
"""The values of AWS_LAMBDA_INITIALIZATION_TYPE that there are here."""


class Runtime:
    """See the module. The `listener` is told what the runtime's process says, `turns` what everything comes to."""

    def __init__(
        self,
        blueprint: Blueprint,
        *,
        listener: Listener,
        turns: Turns,
        log: Tail,
        take_line: Callable[[str], None],
        spawner: Starter,
        parent_folder: Path,
        stream: str,
        initialization: Initialization,
        shares: Shares | None,
        linger: float,
    ) -> None:
        self.sandbox = Sandbox(
            blueprint,
            spawner=spawner,
            parent_folder=parent_folder,
            take_line=take_line,
            on_exit=lambda: turns.resolve("exited"),
            take_extension_line=log.extension,
            shares=shares,
            linger=linger,
            on_extension_exit=self._extension_exited,
        )
        self.api: RuntimeApi | None = None
        self.company: Company | None = None
        """The extensions, where there are any."""
        self.is_initialising = False
        self.is_unwanted = False
        """Whether what starts is to end at once."""
        self.copies: Copies | None = None
        """Who is to copy the process, where it is a snapshot."""
        self.source: Copies | None = None
        """What it is a copy of, where it is one."""
        self._blueprint = blueprint
        self._listener = listener
        self._turns = turns
        self._log = log
        self._stream = stream
        self._initialization = initialization
        self._metadata = Metadata(blueprint.environ["AWS_REGION"])
        self._preparation: asyncio.Future[None] | None = None
        """Done when the process that was made ahead is there, or could not be started."""

    @property
    def is_ready(self) -> bool:
        """Whether a process is there that has been started for good."""
        return self.sandbox.is_running and self._preparation is None

    @property
    def is_alone(self) -> bool:
        """Whether it is ready, and nothing runs beside it."""
        process = self.sandbox.process
        return self.company is None and self._preparation is None and process is not None and not process.exited.done()

    async def prepare(self) -> None:
        """Have a process that waits, with nothing of the function's loaded yet, until `start`."""
        preparation = self._preparation = asyncio.get_running_loop().create_future()
        try:
            await self._launch(is_held=True)
        except OSError:
            self.drop()  # who needs it tries again, and hears why not
        finally:
            preparation.set_result(None)

    async def start(self, limit: float) -> Turn:
        """Start a process and wait until it asks for its first event, fails, or `limit` seconds have passed.

        Raises `OSError` when none can be started.
        """
        preparation, self._preparation = self._preparation, None
        if preparation is not None:
            await asyncio.shield(preparation)
        is_prepared = preparation is not None and self.sandbox.is_running
        if not is_prepared:
            self.drop()
        blueprint = self._blueprint
        if blueprint.launch.flaw is not None:
            self._turns.resolve("unstartable")
            return "unstartable"
        self._turns.begin()
        self.is_initialising = True
        if blueprint.extensions:
            self.company = Company(blueprint, self._log, self.check)
        if is_prepared:
            self.sandbox.begin()
        else:
            await self._launch()
        if self.is_unwanted:
            self.sandbox.kill()
        company = self.company
        turn = await (company.assemble(self.sandbox, self._turns, limit) if company else self._turns.wait(limit))
        self.is_initialising = False
        if self.company is not None:
            self.company.close()
            self.sandbox.drain()
            self.company.tell()
            if self.company.is_empty:
                self.company = None
        return turn

    async def _launch(self, *, is_held: bool = False) -> None:
        """Start a process, which waits with the function's code where it `is_held`. Raises `OSError`."""
        self.api = RuntimeApi(self._listener, others=self._take)
        address = await self.api.start()
        environ: dict[str, str] = {
            "AWS_LAMBDA_INITIALIZATION_TYPE": self._initialization,
            "AWS_LAMBDA_RUNTIME_API": address,
            "AWS_LAMBDA_METADATA_API": address,
            "AWS_LAMBDA_METADATA_TOKEN": self._metadata.token,
        }
        if self._initialization != "snap-start":  # a snapshot cannot know in which environments it will be restored
            environ["AWS_LAMBDA_LOG_STREAM_NAME"] = self._stream
        if self.copies is not None:
            # What runs beside the runtime cannot be copied with it.
            channel = self.copies.theirs.fileno() if not self._blueprint.extensions else None
            await self.sandbox.start(environ, channel=channel)
            self.copies.theirs.close()
        else:
            source = self.source if self.source is not None and self.source.flaw is None else None
            await self.sandbox.start(environ, starter=source, is_held=is_held)

    def _take(self, connection: Connection, request: Request) -> bool:
        """Answer what is asked beside the Runtime API. Internal extensions are known of only when they register."""
        if self._metadata.take(connection, request):
            return True
        company = self.company
        if company is None:
            if not Company.is_asked_by(request):
                return False
            company = Company(self._blueprint, self._log, self.check)
            if self.is_initialising:
                self.company = company
            else:
                company.close()
        return company.take(connection, request)

    def deliver(self, event: Event, *, deadline_ms: int) -> None:
        """Hand an event to the runtime, and tell the extensions of it."""
        assert self.api is not None
        self.sandbox.hold_to_share()
        if self.company is not None:
            self.company.invoke(event, deadline_ms=deadline_ms)
        self.api.deliver(event, deadline_ms=deadline_ms)

    def check(self) -> None:
        """Go on when the runtime and all extensions are ready, or something went wrong with one of them."""
        if self.company is not None and self.api is not None:
            state = self.company.state(is_runtime_waiting=self.api.is_waiting)
            if state is not None:
                self._turns.resolve(state)

    def wake(self) -> None:
        """Let everything go on that was frozen."""
        self.sandbox.wake()
        if self.company is not None:
            self.company.resume()

    def rest(self) -> None:
        """Freeze everything."""
        if self.company is not None:
            self.company.pause()
        self.sandbox.rest()

    async def shut_down(self, reason: Literal["SPINDOWN", "TIMEOUT", "FAILURE"]) -> None:
        """Let extensions end within the time they have for that, where there are any."""
        if self.company is not None and self.company.budget:
            await self.company.shut_down(self.sandbox, reason)

    def drop(self) -> None:
        """End everything that runs; the environment's folder stays."""
        if self.company is not None:
            self.company.end()
            self.company = None
        self.sandbox.drop()
        if self.api is not None:
            self.api.close()
            self.api = None

    def _extension_exited(self, name: str, process: Process) -> None:
        if self.company is not None:
            self.company.exited(name, process)
