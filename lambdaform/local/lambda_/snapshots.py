"""The snapshot of a version with SnapStart, as the server sees it: a process that is asked for copies of itself.

What goes on in that process is told in `copying.py`. Where it cannot be copied, there is a snapshot only in name:
environments are initialised anew, up to the moment at which they would have been restored.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lambdaform.local.lambda_.processes import Companion, Order, Process
from lambdaform.local.ports import Json

_OWN = ("AWS_LAMBDA_RUNTIME_API", "AWS_LAMBDA_METADATA_API", "AWS_LAMBDA_METADATA_TOKEN")
"""Variables that an environment has of its own, whatever it was copied from."""


class Copies:
    """The copies of one process. `close` must be called in the end; copies still at work are waited for."""

    def __init__(self, on_told: Callable[[], None]) -> None:
        self.flaw: str | None = "its runtime is a program of its own"
        """Why it cannot be copied; None when it can. `on_told` is called once it is known."""
        self._on_told = on_told
        self._ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        """The second end is for the process."""
        self._ours.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._ours.fileno(), self._read)
        self._number = 0
        self._orders: dict[int, asyncio.Future[Process]] = {}
        self._processes: dict[int, Process] = {}
        self._on_unused: Callable[[], None] | None = None
        self._is_closed = False

    async def spawn(
        self, order: Order, log: int, *, companions: Sequence[Companion] = (), gate: int | None = None
    ) -> Process:
        """Copy the process, as an environment's. Raises `OSError`."""
        assert not companions, "bug in lambdaform: a process with companions is no snapshot"
        self._number += 1
        answer: asyncio.Future[Process] = self._loop.create_future()
        self._orders[self._number] = answer
        environ = {name: order.environ[name] for name in _OWN}
        message = {"copy": self._number, "env": environ, "tmp_size": order.scratch}
        socket.send_fds(self._ours, [json.dumps(message).encode()], [log])
        return await answer

    def close(self, on_unused: Callable[[], None]) -> None:
        """Make no more copies; `on_unused` is called when the last one has ended, which may be now."""
        self._on_unused = on_unused
        self._end_unused()

    def _read(self) -> None:
        while not self._is_closed:
            try:
                data, fds, _, _ = socket.recv_fds(self._ours, 65536, 2)
            except BlockingIOError:
                return
            except OSError:
                data, fds = b"", []
            if not data:
                self._lost()
                return
            self._take(json.loads(data), fds)

    def _take(self, said: Mapping[str, Json], fds: list[int]) -> None:
        if "copyable" in said:
            self.flaw = said.get("why")
            self._on_told()
        elif "copied" in said:
            pid, first = (_number_of(descriptor) for descriptor in fds)
            process = self._processes[said["copied"]] = Process(pid, first)
            answer = self._orders.pop(said["copied"])
            if answer.done():
                process.kill()  # whoever asked has gone
            else:
                answer.set_result(process)
        elif "failed" in said:
            answer = self._orders.pop(said["failed"])
            if not answer.done():
                answer.set_exception(OSError(said["why"]))
        else:
            ended = self._processes.pop(said["exited"])
            ended.peak = said["peak"]
            ended.ended(said["status"])
        for descriptor in fds:
            os.close(descriptor)
        self._end_unused()

    def _lost(self) -> None:
        """The process has ended, and every copy with it."""
        self.flaw = self.flaw or "it has ended"
        self._shut()
        for answer in self._orders.values():
            if not answer.done():
                answer.set_exception(OSError("the snapshot's process has ended"))
        self._orders.clear()
        for process in self._processes.values():
            process.ended(signal.SIGKILL)
        self._processes.clear()
        self._end_unused()

    def _end_unused(self) -> None:
        if self._on_unused is not None and not self._processes and not self._orders:
            self._shut()
            done, self._on_unused = self._on_unused, None
            done()

    def _shut(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._loop.remove_reader(self._ours.fileno())
            self._ours.close()
            with contextlib.suppress(OSError):
                self.theirs.close()


def _number_of(descriptor: int) -> int:
    """The process a descriptor stands for, as this process numbers it: copies know only numbers of their own."""
    lines = Path(f"/proc/self/fdinfo/{descriptor}").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("Pid:")).split()[1])
