"""The processes of one execution environment and its private folder: started, frozen, measured and ended together.

What they are asked and what they answer is the environment's business.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from lambdaform.local.lambda_.blueprint import Blueprint
from lambdaform.local.lambda_.cpu import Share, Shares
from lambdaform.local.lambda_.extensions import HIDDEN
from lambdaform.local.lambda_.family import Family
from lambdaform.local.lambda_.output import Output
from lambdaform.local.lambda_.processes import Companion, Order, Process, Starter

TASK = "/var/task"
"""Where Lambda has the code."""


class Sandbox:
    """One at a time runs in it; its folder, with /tmp, outlives them. `remove` must be called in the end.

    At rest they are frozen after `linger` seconds of real time: what comes at once need not thaw them.
    """

    def __init__(
        self,
        blueprint: Blueprint,
        *,
        spawner: Starter,
        parent_folder: Path,
        take_line: Callable[[str], None],
        on_exit: Callable[[], None],
        take_extension_line: Callable[[str], None],
        on_extension_exit: Callable[[str, Process], None],
        shares: Shares | None = None,
        linger: float = 0.0,
    ) -> None:
        self.process: Process | None = None
        """The runtime's."""
        self.extensions: Mapping[str, Process | int] = {}
        """The external extensions by name; the error number of one that could not be started."""
        self._blueprint = blueprint
        self._spawner = spawner
        self._folder = Path(tempfile.mkdtemp(prefix="environment-", dir=parent_folder))
        self._private = str(parent_folder.parent)
        self._take_line = take_line
        self._on_exit = on_exit
        self._take_extension_line = take_extension_line
        self._on_extension_exit = on_extension_exit
        self._loop = asyncio.get_running_loop()
        self._outputs: list[Output] = []
        self._gate: int | None = None
        """The pipe end that holds the runtime back until extensions have registered."""
        self._family: Family | None = None
        self._shares = shares
        self._share: Share | None = None
        self._peak = 0
        self._is_frozen = False
        self._freezing: asyncio.Handle | None = None
        self._linger = linger

    @property
    def is_running(self) -> bool:
        """Whether there is a runtime that has not ended."""
        return self.process is not None and not self.process.exited.done()

    async def start(
        self,
        environ: Mapping[str, str],
        *,
        starter: Starter | None = None,
        channel: int | None = None,
        is_held: bool = False,
    ) -> None:
        """Start the runtime with these variables beside the blueprint's. Raises `OSError`.

        Another starter than the machine's makes it a copy of a snapshot; a snapshot gets the channel for that.
        Where there are extensions they are started, and the runtime goes on at `begin`. One that `is_held` goes on
        there as well, with the function's code.
        """
        blueprint = self._blueprint
        scratch = self._folder / "tmp"
        home = self._folder / "home"
        scratch.mkdir(exist_ok=True)
        home.mkdir(exist_ok=True)
        environ = {**blueprint.environ, **environ}
        if not blueprint.is_isolated:
            # An empty home hides the host's AWS configuration.
            environ |= {"HOME": str(home), "TMPDIR": str(scratch)}
        output = Output(self._take_line)
        outputs = self._outputs = [output]  # those of `drop` may be none by the time it is started
        gate: int | None = None
        companions: list[Companion] = []
        if is_held:
            gate, self._gate = os.pipe()
        if blueprint.extensions:
            shown = {key: value for key, value in environ.items() if key not in HIDDEN}
            gate, self._gate = os.pipe()
            for name in blueprint.extensions:
                outputs.append(Output(self._take_extension_line))
                companions.append(Companion(f"{blueprint.extensions_folder}/{name}", shown, outputs[-1].write_end))
        try:
            order = Order(
                environ=environ,
                folder=TASK if blueprint.is_isolated else str(blueprint.folder),
                path=blueprint.path,
                places={
                    "code": self._within(blueprint.folder),
                    "opt": self._within(blueprint.opt) if blueprint.opt is not None else None,
                    "tmp": self._within(scratch),
                },
                scratch=blueprint.scratch,
                interpreter=blueprint.interpreter,
                arguments=blueprint.launch.arguments,
                channel=channel,
                is_held=is_held,
            )
            process = self.process = await (starter or self._spawner).spawn(
                order, output.write_end, companions=companions, gate=gate
            )
        finally:
            for each in outputs:
                each.started()
            if gate is not None:
                os.close(gate)
        self.extensions = dict(zip(blueprint.extensions, process.companions, strict=True))
        self._family = Family(process, [each for each in process.companions if isinstance(each, Process)])
        process.exited.add_done_callback(lambda _: self._exited(process))
        for name, extension in self.extensions.items():
            if isinstance(extension, Process):
                exited = functools.partial(self._extension_exited, process, name, extension)
                extension.exited.add_done_callback(exited)

    def begin(self) -> None:
        """Let the runtime go on, which was held back."""
        if self._gate is not None:
            with contextlib.suppress(BrokenPipeError):  # it has ended already
                os.write(self._gate, b"!")
            os.close(self._gate)
            self._gate = None

    def hold_to_share(self) -> None:
        """Give everything that runs the share of the processor that goes with the memory, where that is wanted."""
        if self._shares is None or self._share is not None:
            return
        pids = [process.pid for process in self._running()]
        others = self._family.others() if self._family is not None else []
        with contextlib.suppress(OSError):  # a machine that allowed it at the start may run out of something
            self._share = self._shares.limit([*pids, *others], self._blueprint.memory_size)

    def drain(self) -> None:
        """Take every line written so far."""
        for output in self._outputs:
            output.flush()

    # Freezing

    def rest(self) -> None:
        """Freeze everything after this turn of the loop, so that the caller's answer goes out first."""
        if self._linger:
            self._freezing = self._loop.call_later(self._linger, self._freeze)
        else:
            self._freezing = self._loop.call_soon(self._freeze)

    def wake(self) -> None:
        """Let everything go on."""
        if self._freezing is not None:
            self._freezing.cancel()
            self._freezing = None
        if self._is_frozen and self.process is not None:
            self._is_frozen = False
            for process in self._running():
                process.signal(signal.SIGCONT)
            if self._family is not None:
                self._family.resume()

    def _freeze(self) -> None:
        self._freezing = None
        if self.process is not None:
            self._is_frozen = True
            for process in self._running():
                process.signal(signal.SIGSTOP)
            if self._family is not None:
                self._family.stop()

    # Memory

    def memory(self) -> int:
        """Bytes held now by everything that runs."""
        return self._family.memory() if self._family is not None else 0

    def measure(self) -> int:
        """The most memory seen so far, in whole MB."""
        if self._family is not None:
            self._family.memory()
            self._peak = max(self._peak, self._family.peak)
        if self.process is not None:
            self._peak = max(self._peak, self.process.peak)
        return min(math.ceil(self._peak / 1024 / 1024), self._blueprint.memory_size)

    # The end

    async def end_runtime(self, grace: float) -> None:
        """Ask the runtime to end, and kill it when it has not within `grace` seconds of real time."""
        process = self.process
        if process is not None and not process.exited.done():
            process.terminate()
            await asyncio.wait([process.exited], timeout=grace)
            process.kill()

    def kill_extension(self, name: str) -> None:
        """Kill an extension."""
        process = self.extensions.get(name)
        if isinstance(process, Process):
            process.kill()

    async def await_extensions(self, limit: float) -> None:
        """Wait until every extension has ended, at most `limit` seconds of real time."""
        exits = [each.exited for each in self.extensions.values() if isinstance(each, Process)]
        if exits:
            await asyncio.wait(exits, timeout=max(limit, 0.0))

    def kill(self) -> None:
        """Kill the runtime; that it has exited is told as always."""
        if self.process is not None:
            self.process.kill()

    def drop(self) -> None:
        """End everything that runs, at once. Harmless when nothing does."""
        if self._freezing is not None:
            self._freezing.cancel()
            self._freezing = None
        for process in self._running():
            process.kill()
        self.process, self.extensions = None, {}
        if self._gate is not None:
            os.close(self._gate)
            self._gate = None
        for output in self._outputs:
            output.close()
        self._outputs = []
        if self._family is not None:
            self._peak = max(self._peak, self._family.peak)
            self._family.close()
            self._family = None
        if self._share is not None:
            self._share.close()
            self._share = None
        self._is_frozen = False

    def remove(self) -> None:
        """End everything and remove what it has left."""
        self.drop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _exited(self, process: Process) -> None:
        if self.process is process:  # one that was dropped says nothing about the one that follows it
            self._on_exit()

    def _extension_exited(self, beside: Process, name: str, process: Process, _: asyncio.Future[int]) -> None:
        if self.process is beside:
            self._on_extension_exit(name, process)

    def _running(self) -> Iterable[Process]:
        if self.process is not None:
            yield self.process
        yield from (each for each in self.extensions.values() if isinstance(each, Process))

    def _within(self, folder: Path) -> str:
        """A folder relative to the private folder of the local AWS."""
        return os.path.relpath(folder, self._private)
