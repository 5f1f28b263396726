"""The processes of one execution environment: how much memory they hold, and stopping those that went their own way.

A handler's own process is signalled with its group. What it has started may have left that group, so it is looked for:
below the process, and below the first one of its tree, which gets what has lost its parent.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from lambdaform.local.lambda_.processes import Process

_PAGE = os.sysconf("SC_PAGE_SIZE")
_THOROUGH = 0.04
"""Seconds between looks for others beside the handler's own process, and more where looking takes long."""


class Family:
    """Watches one process, its companions, and what they started. `close` it in the end.

    Where there is no /proc, it sees nothing.
    """

    def __init__(self, process: Process, companions: Sequence[Process] = ()) -> None:
        self._process = process
        self._companions = companions
        self._memory = _open(process.pid, "statm")
        roots = [process.pid, *(each.pid for each in companions)]
        roots += [] if process.first is None else [process.first]
        self._children = [descriptor for pid in roots if (descriptor := _open(pid, f"task/{pid}/children")) is not None]
        self._stopped: list[int] = []
        self._look_again = 0.0
        self._others = 0
        self.peak = 0
        """The most memory seen so far, in bytes."""

    def memory(self) -> int:
        """Bytes held now; what others share with the handler's own process is counted once."""
        own = 0
        if self._memory is not None:
            with contextlib.suppress(OSError, IndexError):
                own = int(os.pread(self._memory, 128, 0).split()[1]) * _PAGE
        begun = time.monotonic()
        if begun >= self._look_again:
            self._others = sum(_private(pid) for pid in self.others())
            ended = time.monotonic()
            self._look_again = ended + max(_THOROUGH, 20 * (ended - begun))
        self.peak = max(self.peak, own + self._others)
        return own + self._others

    def others(self) -> list[int]:
        """Every process but the handler's own and the first one."""
        companions = [each.pid for each in self._companions if not each.exited.done()]
        if not any(_read(descriptor) for descriptor in self._children):
            return companions
        found = [*companions, *(each for pid in (self._process.pid, *companions) for each in _below(pid))]
        if self._process.first is not None:
            found += [pid for pid in _below(self._process.first) if pid not in found]
        return found

    def stop(self) -> None:
        """Stop those outside of the groups of the handler and its companions."""
        known = {self._process.pid, *(each.pid for each in self._companions)}
        for pid in self.others():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if os.getpgid(pid) not in known:
                    os.kill(pid, signal.SIGSTOP)
                    self._stopped.append(pid)

    def resume(self) -> None:
        """Let those go on."""
        for pid in self._stopped:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGCONT)
        self._stopped.clear()

    def close(self) -> None:
        """Look no more."""
        for descriptor in (self._memory, *self._children):
            if descriptor is not None:
                os.close(descriptor)
        self._memory = None
        self._children.clear()


def _open(pid: int, name: str) -> int | None:
    try:
        return os.open(f"/proc/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None


def _read(descriptor: int) -> bytes:
    try:
        return os.pread(descriptor, 65536, 0)
    except OSError:  # the process is gone
        return b""


def _below(pid: int) -> list[int]:
    """A process's descendants."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            found += [int(each) for each in (thread / "children").read_text().split()]
    return found + [each for child in found for each in _below(child)]


def _private(pid: int) -> int:
    """Bytes that nobody else has mapped."""
    total = 0
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_bytes().splitlines():
            if line.startswith(b"Private_"):
                total += int(line.split()[1]) * 1024
    return total
