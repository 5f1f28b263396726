"""The processors there are, and the share of one that goes with a function's memory.

Shares are Linux's control groups, where they can be made.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html. INIT has the whole processor, of which Lambda
promises nothing; from the first event on an environment has its share.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from pathlib import Path

MB_OF_ONE = 1769
"""MB of memory that come with one processor."""
PERIOD = 20_000
"""Microseconds in which a share is used up and given anew."""
_LEAST = 1_000  # what the kernel takes
_PREFIX = "lambdaform-"
_MOUNTS = Path("/proc/self/mountinfo")
_OWN = Path("/proc/self/cgroup")
_PATIENCE = 1.0


def quota_of(memory_size: int) -> int:
    """Microseconds of one processor in every period for so many MB."""
    return max(_LEAST, round(PERIOD * memory_size / MB_OF_ONE))


def processors() -> float:
    """How many processors this process may use, by its affinity and its control group's quota."""
    # Not every system can say what a process may run on.
    among = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        own, _ = _own_group()
    except OSError:
        return float(among)
    return min([float(among), *filter(None, map(quota_in, (own, *own.parents)))])


def quota_in(group: Path) -> float | None:
    """The processors that a control group may use, where it is limited."""
    try:
        if (group / "cpu.max").exists():
            quota, period = (group / "cpu.max").read_text().split()
        else:
            quota, period = ((group / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return int(quota) / int(period) if int(quota) > 0 else None
    except (OSError, ValueError):  # there is none, or "max"
        return None


class Shares:
    """The control groups of one local AWS. `close` in the end."""

    def __init__(self) -> None:
        """Raises `OSError` where the machine does not allow it."""
        own, self._is_unified = _own_group()
        _remove_abandoned(own)
        self._folder = own / f"{_PREFIX}{os.getpid()}"
        if self._is_unified:
            (own / "cgroup.subtree_control").write_text("+cpu")
        self._folder.mkdir()
        self._count = 0
        self._ended: list[Path] = []
        try:
            if self._is_unified:
                (self._folder / "cgroup.subtree_control").write_text("+cpu")
            self.limit([], MB_OF_ONE).close()
        except OSError:
            self.close()
            raise

    def limit(self, pids: Iterable[int], memory_size: int) -> Share:
        """Give processes, and what they will start, the share of so many MB. Raises `OSError`."""
        self._clear()
        self._count += 1
        group = self._folder / str(self._count)
        group.mkdir()
        quota = quota_of(memory_size)
        if self._is_unified:
            (group / "cpu.max").write_text(f"{quota} {PERIOD}")
        else:
            (group / "cpu.cfs_period_us").write_text(str(PERIOD))
            (group / "cpu.cfs_quota_us").write_text(str(quota))
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                (group / "cgroup.procs").write_text(str(pid))
        return Share(group, self._ended)

    def close(self) -> None:
        """Remove all groups; their processes must have been ended."""
        self._ended += [path for path in self._folder.iterdir() if path.is_dir() and path not in self._ended]
        deadline = time.monotonic() + _PATIENCE
        while self._ended and time.monotonic() < deadline:
            self._clear()
        with contextlib.suppress(OSError):
            self._folder.rmdir()

    def _clear(self) -> None:
        self._ended[:] = [path for path in self._ended if not _removed(path)]


class Share:
    """The group of one environment."""

    def __init__(self, group: Path, ended: list[Path]) -> None:
        self._group = group
        self._ended = ended

    def close(self) -> None:
        """Give it up; it goes once its processes have."""
        self._ended.append(self._group)


def _own_group() -> tuple[Path, bool]:
    """The folder of this process's control group, and whether it is one for all controllers. Raises `OSError`."""
    groups = dict[str, str]()
    for line in _OWN.read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        groups |= dict.fromkeys(controllers.split(","), path)
    for line in _MOUNTS.read_text().splitlines():
        before, _, after = line.partition(" - ")
        root, place = before.split()[3:5]
        kind, _, options = after.split(" ", 2)
        is_unified = kind == "cgroup2"
        if not is_unified and (kind != "cgroup" or "cpu" not in options.split(",")):
            continue
        path = groups.get("" if is_unified else "cpu")
        if path is None:
            continue
        folder = Path(place) / os.path.relpath(path, root)
        if is_unified and "cpu" not in (folder / "cgroup.controllers").read_text().split():
            continue
        return folder, is_unified
    raise OSError("there is no control group for the processor")


def _remove_abandoned(own: Path) -> None:
    """Remove the groups of local AWSs that were killed."""
    for folder in own.glob(f"{_PREFIX}*"):
        number = folder.name.removeprefix(_PREFIX)
        if number.isdigit() and not Path(f"/proc/{number}").exists():
            for group in [*(each for each in folder.iterdir() if each.is_dir()), folder]:
                _removed(group)


def _removed(group: Path) -> bool:
    try:
        group.rmdir()
    except FileNotFoundError:
        return True
    except OSError:  # its processes have not ended yet
        return False
    return True
