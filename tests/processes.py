"""What the kernel tells of processes, to which a process that has just ended is nothing special."""

from __future__ import annotations

import contextlib
from pathlib import Path


def below(pid: int) -> list[int]:
    """A process's descendants, by the parent each names: the kernel's lists of children miss some now and then."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                children.setdefault(parent(int(folder.name)), []).append(int(folder.name))
    found = list(children.get(pid, ()))
    for each in found:
        found += children.get(each, ())
    return found


def state(pid: int) -> str | None:
    """The scheduler's letter for a process; None when there is none, or only what its parent has not read yet."""
    try:
        letter = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return None
    return None if letter == "Z" else letter


def parent(pid: int) -> int:
    """A live process's parent."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def command_line(pid: int) -> list[str]:
    """A process's command line; empty when there is none."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
    except OSError:
        return []
