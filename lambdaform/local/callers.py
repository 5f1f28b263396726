"""Whose connection it is: that of a process below a given one, such as a handler, or of somebody else's.

Told from the kernel's table of connections, so of connections on this machine only, and only where there is `/proc`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc")


def is_below(ancestor: int, port: int) -> bool | None:
    """Whether the end of a connection that has this port is held by a process below `ancestor`.

    None where it cannot be told. The ancestor itself does not count.
    """
    inode = _inode(port)
    if inode is None:
        return None
    is_sure = True
    for pid in _descendants(ancestor):
        try:
            for descriptor in (_PROC / str(pid) / "fd").iterdir():
                if _target(descriptor) == f"socket:[{inode}]":
                    return True
        except FileNotFoundError:
            continue  # it has ended
        except OSError:
            is_sure = False
    return False if is_sure else None


def _inode(port: int) -> str | None:
    """The socket of an established connection whose own end has this port."""
    ending = f":{port:04X}"
    for table in ("tcp", "tcp6"):
        try:
            lines = (_PROC / "net" / table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[1].endswith(ending) and fields[3] == "01":
                return fields[9]
    return None


def _descendants(ancestor: int) -> Iterator[int]:
    children: dict[int, list[int]] = {}
    for folder in _PROC.iterdir():
        if folder.name.isdigit():
            try:
                parent = int((folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[1])
            except (OSError, IndexError, ValueError):
                continue
            children.setdefault(parent, []).append(int(folder.name))
    found = list(children.get(ancestor, ()))
    while found:
        pid = found.pop()
        yield pid
        found += children.get(pid, ())


def _target(descriptor: Path) -> str | None:
    try:
        return str(descriptor.readlink())
    except OSError:
        return None  # closed meanwhile
