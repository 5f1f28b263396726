"""Handler processes: started by the prepared parent where forking is possible, by a plain exec elsewhere.

What runs inside them is `zygote.py` or `bootstrap.py`; what they say to the server is `runtime_api.py`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol

import attrs

from lambdaform.local.lambda_ import interpreters, namespaces
from lambdaform.local.lambda_.shipped import SHIPPED
from lambdaform.local.ports import Json

HERE = Path(__file__).parent
LIMITS = {
    "RLIMIT_NOFILE": [1024, 1024],
    "RLIMIT_NPROC": [1024, 1024],
    "RLIMIT_MEMLOCK": [65536, 65536],
    "RLIMIT_STACK": [8388608, 8388608],
    "RLIMIT_CORE": [0, 0],
}
"""Soft and hard limits of a handler's process; cores are not kept here, whatever their size.

https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""


_GATE = "import os, sys\nos.read(int(sys.argv[1]), 1) or sys.exit()\nos.execv(sys.argv[2], sys.argv[2:])"
"""A program that waits for a byte before it becomes another one."""


@attrs.frozen
class Order:
    """What a handler process is to be."""

    environ: Mapping[str, str]
    folder: str
    """Working directory: the unpacked code."""
    path: Sequence[str]
    """The module search path, whole."""
    places: Mapping[str, str | None]
    """`code`, `opt` and `tmp`, relative to the private folder: what is mounted where namespaces are used."""
    scratch: int = 512
    """MB of /tmp."""
    interpreter: str | None = None
    """The Python to run under; the local AWS's own when None."""
    arguments: Sequence[str] = ()
    """A program to become, with its arguments, instead of running Python code."""
    is_held: bool = False
    """Whether it waits for the gate with everything done but loading the function's code."""
    channel: int | None = None
    """The end of a socket over which a process that is a snapshot is asked for copies; stays the caller's to close."""


@attrs.frozen
class Companion:
    """A program that runs beside the handler, in the same sandbox and before it."""

    program: str
    """Its path, as the handler sees it."""
    environ: Mapping[str, str]
    log: int
    """The pipe its output goes to."""


class Process:
    """A running handler process, leader of its own session. `exited` holds its wait status once it has ended."""

    def __init__(self, pid: int, first: int | None = None) -> None:
        self.pid = pid
        self.first = first
        """The first process of its tree, where it has one of its own: what loses its parent becomes this one's."""
        self.peak = 0
        """The most memory it held, in bytes; known when it has ended."""
        self.companions: Sequence[Process | int] = ()
        """What was started with it, in the order asked for; the error number of what could not be."""
        self.exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def signal(self, number: signal.Signals) -> None:
        """Signal the process and everything it started in its session. Harmless when it has ended."""
        if not self.exited.done():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def kill(self) -> None:
        """End the process and everything it started in its session, at once."""
        self.signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask the process itself to end. Harmless when it has ended."""
        if not self.exited.done():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(self.pid, signal.SIGTERM)

    def ended(self, status: int) -> None:
        """Note that the process has ended."""
        if not self.exited.done():
            # What it left behind in its session goes too.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
            self.exited.set_result(status)


class Starter(Protocol):
    """Starts one handler process at a time."""

    async def spawn(
        self, order: Order, log: int, *, companions: Sequence[Companion] = (), gate: int | None = None
    ) -> Process:
        """Start a process whose output goes to the pipe `log`, which stays the caller's to close. Raises `OSError`.

        With `companions`, which are started first, it begins when a byte comes from the pipe `gate`.
        """
        ...


class Spawner(Starter, Protocol):
    """Starts handler processes."""

    is_ours: bool
    """Whether the runtime client in the processes is our small one instead of AWS's."""
    can_hold: bool
    """Whether it takes orders that are held."""

    @property
    def isolation(self) -> str:
        """`namespaces` when code is at /var/task, layers at /opt, and /tmp private; else `processes` and why."""
        ...

    @property
    def refused(self) -> Mapping[str, str]:
        """The parts of isolation this machine does not allow, and why."""
        ...

    async def start(self) -> None:
        """Get ready. Starting twice is harmless."""
        ...

    async def close(self) -> None:
        """End everything that was started."""
        ...


class Forking:
    """Forks from one prepared parent. Linux only: AWS ships the runtime client for nothing else."""

    is_ours = False
    can_hold = True

    def __init__(
        self, folder: Path, *, wanted: Literal["auto", "processes"] = "auto", interpreter: str | None = None
    ) -> None:
        self._interpreter = interpreter
        self.isolation = "processes"
        self.refused: Mapping[str, str] = {}
        self._folder = folder
        self._wanted = wanted
        self._parent: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._ready: asyncio.Future[None] | None = None
        self._number = 0
        self._orders: dict[int, asyncio.Future[Process]] = {}
        self._processes: dict[int, Process] = {}

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        if self._ready is None:
            self._ready = loop.create_future()
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            ours.setblocking(False)
            with theirs:
                self._parent = subprocess.Popen(
                    [
                        self._interpreter or sys.executable,
                        "-I",
                        "-S",
                        "-X",
                        "utf8",
                        str(self._program()),
                        str(theirs.fileno()),
                        str(self._folder),
                        self._wanted,
                        "aws" if self._interpreter is None else "own",
                    ],
                    env={"LC_ALL": "C.UTF-8", "PATH": os.defpath},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                )
            self._control = ours
            loop.add_reader(ours.fileno(), self._read)
        await asyncio.shield(self._ready)

    async def spawn(
        self, order: Order, log: int, *, companions: Sequence[Companion] = (), gate: int | None = None
    ) -> Process:
        await self.start()
        if self._control is None:
            raise OSError("the local AWS is ending")
        self._number += 1
        answer: asyncio.Future[Process] = asyncio.get_running_loop().create_future()
        self._orders[self._number] = answer
        message: dict[str, Json] = {
            "spawn": self._number,
            "env": dict(order.environ),
            "cwd": order.folder,
            "path": list(order.path),
            "places": {**order.places, "tmp_size": order.scratch},
            "limits": LIMITS,
            "arguments": list(order.arguments),
        }
        descriptors = [log]
        if companions:
            assert gate is not None
            message["companions"] = [{"program": each.program, "env": dict(each.environ)} for each in companions]
            descriptors += [gate, *(each.log for each in companions)]
        elif order.is_held:
            assert gate is not None
            message["is_held"] = True
            descriptors.append(gate)
        elif order.channel is not None and not order.arguments:
            descriptors.append(order.channel)
        socket.send_fds(self._control, [json.dumps(message).encode()], descriptors)
        return await answer

    def _program(self) -> Path:
        """The prepared parent's program, where it still finds it when it sees nothing of this machine's projects."""
        target = self._folder / "program" / HERE.relative_to(HERE.parents[2])
        target.mkdir(parents=True, exist_ok=True)
        if not (target / "zygote.py").exists():
            (self._folder / namespaces.SHOWN).write_text(json.dumps(dict(interpreters.shown())))
            for name in ("namespaces.py", "kernel.py", "bootstrap.py", "copying.py", "zygote.py"):
                shutil.copyfile(HERE / name, target / name)
        return target / "zygote.py"

    async def close(self) -> None:
        for process in list(self._processes.values()):
            process.kill()
        if self._control is not None:
            asyncio.get_running_loop().remove_reader(self._control.fileno())
            self._control.close()  # with it the parent ends, after everything it has started
            self._control = None
        if self._parent is not None:
            try:
                await asyncio.to_thread(self._parent.wait, 5)
            except subprocess.TimeoutExpired:
                self._parent.kill()
                self._parent.wait()

    def _read(self) -> None:
        while self._control is not None:
            try:
                message = self._control.recv(65536)
            except BlockingIOError:
                return
            except ConnectionResetError:
                message = b""
            if not message:
                self._lost()
                return
            self._take(json.loads(message))

    def _take(self, said: Mapping[str, Json]) -> None:
        if "ready" in said:
            self.isolation, self.refused = said["isolation"], said["refused"]
            if self._ready is not None and not self._ready.done():
                self._ready.set_result(None)
        elif "spawned" in said:
            process = self._processes[said["pid"]] = Process(said["pid"], said["first"])
            process.companions = [self._companion(each, process) for each in said.get("companions", ())]
            answer = self._orders.pop(said["spawned"])
            if answer.done():  # whoever asked has gone
                for each in (process, *process.companions):
                    if isinstance(each, Process):
                        each.kill()
            else:
                answer.set_result(process)
        elif "failed" in said:
            answer = self._orders.pop(said["failed"])
            if not answer.done():
                answer.set_exception(OSError(said["why"]))
        else:
            ended = self._processes.pop(int(said["exited"]), None)
            if ended is not None:
                ended.peak = said["peak"]
                ended.ended(said["status"])

    def _companion(self, said: Mapping[str, int], beside: Process) -> Process | int:
        if "pid" not in said:
            return errno.EIO
        process = self._processes[said["pid"]] = Process(said["pid"], beside.first)
        return said.get("error", process)

    def _lost(self) -> None:
        """The prepared parent is gone, and every process with it; the next spawn starts another."""
        failure = OSError("the parent of the handler processes ended; its reason is on standard error")
        if self._control is not None:
            asyncio.get_running_loop().remove_reader(self._control.fileno())
            self._control.close()
            self._control = None
        for answer in self._orders.values():
            if not answer.done():
                answer.set_exception(failure)
        self._orders.clear()
        for process in self._processes.values():
            process.ended(signal.SIGKILL)
        self._processes.clear()
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(failure)
        self._ready = None


class Parents:
    """One prepared parent for each Python that functions ask for; the local AWS's own is there from the start.

    AWS's runtime client is installed for the local AWS's own Python alone: under the others it is ours that runs.
    """

    is_ours = False
    can_hold = True

    def __init__(self, folder: Path, *, wanted: Literal["auto", "processes"] = "auto") -> None:
        self._folder = folder
        self._wanted: Literal["auto", "processes"] = wanted
        self._own = Forking(folder, wanted=wanted)
        self._others: dict[str, Forking] = {}
        self._compiling: list[subprocess.Popen[bytes]] = []

    @property
    def isolation(self) -> str:
        """As the own parent found it."""
        return self._own.isolation

    @property
    def refused(self) -> Mapping[str, str]:
        """As the own parent found it."""
        return self._own.refused

    async def start(self) -> None:
        await self._own.start()

    async def spawn(
        self, order: Order, log: int, *, companions: Sequence[Companion] = (), gate: int | None = None
    ) -> Process:
        parent = self._own
        if order.interpreter is not None:
            await self._own.start()  # first alone: it writes what all of them read
            found = self._others.get(order.interpreter)
            if found is None:
                found = Forking(self._folder, wanted=self._wanted, interpreter=order.interpreter)
                self._others[order.interpreter] = found
                self._compile(order.interpreter)
            parent = found
        return await parent.spawn(order, log, companions=companions, gate=gate)

    async def close(self) -> None:
        for compiling in self._compiling:
            compiling.kill()
            compiling.wait()
        await asyncio.gather(self._own.close(), *(other.close() for other in self._others.values()))

    def _compile(self, interpreter: str) -> None:
        """Have boto3's bytecode for another Python beside our own: handlers cannot write it, and importing it without
        takes them half a second each time. Where that place cannot be written, nothing happens."""
        runtime = self._folder / "runtime"
        folders = [str((runtime / name).resolve()) for name in SHIPPED if (runtime / name).is_dir()]
        self._compiling.append(
            subprocess.Popen(
                [interpreter, "-I", "-m", "compileall", "-q", *folders],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )


class Executing:
    """Starts each process afresh with our small runtime client, where AWS's is missing or a fork is unsafe."""

    is_ours = True
    can_hold = False
    isolation = "processes"
    refused: Mapping[str, str] = {}

    def __init__(self) -> None:
        self._processes: set[Process] = set()
        self._waits: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        return

    async def spawn(
        self, order: Order, log: int, *, companions: Sequence[Companion] = (), gate: int | None = None
    ) -> Process:
        started: list[Process | int] = []
        for each in companions:
            try:
                started.append(await self._execute([each.program], each.environ, "/", each.log))
            except OSError as error:
                started.append(error.errno or errno.EIO)
        program = order.interpreter or sys.executable
        client = [program, "-S", str(HERE / "bootstrap.py"), os.pathsep.join(order.path)]
        arguments = list(order.arguments or client)
        if gate is not None:
            arguments = [sys.executable, "-I", "-S", "-c", _GATE, str(gate), *arguments]
        environ, shared = dict(order.environ), [gate] if gate is not None else []
        if environ.get("AWS_EXECUTION_ENV", "").startswith("AWS_Lambda_python"):
            environ["_LAMBDA_TELEMETRY_LOG_FD"] = str(log)  # where a record of the log is a frame, not lines
            shared.append(log)
        process = await self._execute(arguments, environ, order.folder, log, shared)
        process.companions = started
        return process

    async def _execute(
        self, arguments: Sequence[str], environ: Mapping[str, str], folder: str, log: int, shared: Sequence[int] = ()
    ) -> Process:
        child = await asyncio.create_subprocess_exec(
            *arguments,
            env=dict(environ),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=shared,
        )
        process = Process(child.pid)
        self._processes.add(process)
        wait = asyncio.get_running_loop().create_task(self._wait(child, process))
        self._waits.add(wait)
        wait.add_done_callback(self._waits.discard)
        return process

    async def close(self) -> None:
        for process in list(self._processes):
            process.kill()
        if self._waits:
            await asyncio.wait(set(self._waits))

    async def _wait(self, child: asyncio.subprocess.Process, process: Process) -> None:
        code = await child.wait()
        self._processes.discard(process)
        process.ended(code << 8 if code >= 0 else -code)
