"""The private folder of one local AWS: made at its start, gone at its end, and when it was killed, at the next start.

Whoever lives holds a lock on a file in its folder; a folder whose lock is free has been left behind.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

_PREFIX = "lambdaform-"
_LOCK = "lock"


class PrivateFolder:
    """A folder of one's own under the system's temporary one. `remove` it in the end."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def remove(self) -> None:
        """Remove it with everything in it."""
        remove(self.path)
        os.close(self._lock)


def remove_abandoned() -> None:
    """Remove what processes that were killed have left behind."""
    for lock in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/{_LOCK}"):
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            continue  # another user's, or just gone
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue  # its owner lives
        else:
            remove(lock.parent)
        finally:
            os.close(descriptor)


def remove(folder: Path) -> None:
    """Remove a folder whose unpacked code is read-only."""
    for parent, folders, _ in os.walk(folder):
        for name in folders:
            path = Path(parent, name)
            if not path.is_symlink():
                path.chmod(0o755)
    shutil.rmtree(folder, ignore_errors=True)
