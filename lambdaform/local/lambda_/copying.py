"""What a snapshot is here: an initialised process that is copied for every environment restored from it.

It waits with everything in memory, as `restore/next` finds it, and forks on request. A copy has its own process tree
with the same ids, its own /tmp with the same files, its own log, and goes on where the wait was. Connections are cut,
as those of a snapshot are. What a fork cannot copy soundly makes a process no snapshot: its threads, processes, and
open files that copies would write to together; then environments are initialised anew.
https://docs.aws.amazon.com/lambda/latest/dg/snapstart.html

Runs in handler processes: standard library only.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import socket
import stat
import sys
from pathlib import Path
from typing import Any

from lambdaform.local.lambda_ import kernel, namespaces


class Original:
    """The process itself, and the copies it has made. CHANNEL is a SEQPACKET socket to the server.

    It says `{"copyable": true}` or why not, then gets `{"copy": id, "env": {...}, "tmp_size": MB}` with the write end
    of the log pipe beside it, and answers `{"copied": id}` with descriptors of the copy and of the first process of its
    tree, and, when it ends, `{"exited": id, "status": wait status, "peak": bytes}`.
    """

    def __init__(self, channel: int, parts: list[str] | None) -> None:
        self._channel = socket.socket(fileno=channel)
        self._parts = parts
        self._lifeline = (-1, -1)
        self._copies: dict[int, tuple[int, int, int]] = {}
        """By process descriptor: id of the order, process, first process of its tree."""

    def wait(self) -> None:
        """Returns in every copy, and at once in a process that cannot be copied."""
        why = self._flaw()
        if why is not None:
            self._say({"copyable": False, "why": why})
            self._channel.close()
            return
        for descriptor in _connections():
            _cut(descriptor)
        kernel.adopt_orphans()
        self._lifeline = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        self._say({"copyable": True})
        waiting = select.poll()
        waiting.register(self._channel, select.POLLIN)
        while True:
            for descriptor, _ in waiting.poll():
                if descriptor in self._copies:
                    waiting.unregister(descriptor)
                    self._reap(descriptor)
                    continue
                message, fds, _, _ = socket.recv_fds(self._channel, 65536, 1)
                if not message:
                    os._exit(0)  # and every copy with it
                made = self._copy(json.loads(message), fds[0])
                if made is None:
                    return
                if made >= 0:
                    waiting.register(made, select.POLLIN)

    def _flaw(self) -> str | None:
        """Why this process cannot be copied; None when it can."""
        if self._parts is None or any(part not in self._parts for part in namespaces.PARTS):
            return "this machine does not allow the namespaces that takes"
        if len(list(Path("/proc/self/task").iterdir())) > 1:
            return "its initialization left threads running"
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            return "its initialization left processes running"
        except ChildProcessError:
            pass
        if any(line.split()[1] == "rw-s" for line in Path("/proc/self/maps").read_text().splitlines()):
            return "its initialization left memory that is shared"
        for descriptor in _descriptors(self._channel.fileno()):
            kind = _kind(descriptor)
            if kind is not None:
                return f"its initialization left {kind} open"
        return None

    def _copy(self, order: dict[str, Any], log: int) -> int | None:
        """Make a copy, and return its descriptor; None in the copy itself, -1 when that cannot be."""
        loaded: Any = sys.modules.get("random")  # a fork would seed it anew, a restore does not
        state = loaded.getstate() if loaded else None
        made = self._fork(order)
        if made is None:
            os.setsid()
            os.dup2(log, 2)
            os.dup2(2, 1)
            os.close(log)
            self._channel.close()
            for descriptor in (*self._lifeline, *self._copies):
                os.close(descriptor)
            if loaded:
                loaded.setstate(state)
            os.environ.update(order["env"])
            _reopen()
            return None
        os.close(log)
        if made == (0, 0):
            self._say({"failed": order["copy"], "why": "a copy of the snapshot could not be made"})
            return -1
        descriptors = [os.pidfd_open(pid) for pid in made]
        self._copies[descriptors[0]] = (order["copy"], *made)
        socket.send_fds(self._channel, [json.dumps({"copied": order["copy"]}).encode()], descriptors)
        os.close(descriptors[1])
        return descriptors[0]

    def _fork(self, order: dict[str, Any]) -> tuple[int, int] | None:
        """The copy's process and the first one of its tree; zeros when that cannot be, None in the copy.

        Only a process that then ends may go into a new tree: see `namespaces.fork`. Without privileges, a namespace of
        users of its own allows it the others.
        """
        read_end, write_end = os.pipe()
        ready, set_ready = os.pipe()
        between = os.fork()
        if between == 0:
            try:
                os.close(read_end)
                os.close(set_ready)
                kernel.enter_user_namespace(namespaces.UID, namespaces.GID)
                kernel.unshare(kernel.NEWPID)
                first = namespaces.hold(self._lifeline[0])
                pid = os.fork()
                if pid == 0:
                    os.close(write_end)
                    os.read(ready, 1)  # until the one between has gone
                    os.close(ready)
                    _settle(order["tmp_size"])
                    return None
                os.write(write_end, f"{pid} {first}".encode())
                os._exit(0)
            except BaseException as error:  # noqa: BLE001 - it must never go on as a second one of the original
                os.write(2, f"snapshot: {error}\n".encode())
                os._exit(1)
        os.close(write_end)
        os.waitpid(between, 0)
        os.close(ready)
        os.close(set_ready)
        with os.fdopen(read_end, "rb") as told:
            found = told.read().split()
        return (int(found[0]), int(found[1])) if len(found) == 2 else (0, 0)

    def _reap(self, descriptor: int) -> None:
        number, pid, first = self._copies.pop(descriptor)
        os.close(descriptor)
        _, status, used = os.wait4(pid, 0)
        os.kill(first, signal.SIGKILL)
        os.waitpid(first, 0)
        self._say({"exited": number, "status": status, "peak": used.ru_maxrss * 1024})

    def _say(self, what: dict[str, Any]) -> None:
        try:
            self._channel.send(json.dumps(what).encode())
        except OSError:
            os._exit(0)


def _settle(size: int) -> None:
    """In a copy: its own mounts, with a /tmp that holds what the original's does, and no privilege."""
    kernel.unshare(kernel.NEWNS | kernel.NEWIPC)
    kernel.mount("none", "/", None, kernel.SLAVE | kernel.REC)
    kernel.mount("proc", "/proc", "proc", kernel.NOSUID | kernel.NODEV | kernel.NOEXEC)
    files = list(Path("/tmp").iterdir())
    old = os.open("/tmp", os.O_RDONLY | os.O_DIRECTORY)
    kernel.mount("tmpfs", "/tmp", "tmpfs", kernel.NOSUID | kernel.NODEV, f"mode=1777,size={size}m")
    if files:
        import shutil

        shutil.copytree(f"/proc/self/fd/{old}", "/tmp", symlinks=True, dirs_exist_ok=True)
    os.close(old)
    kernel.give_up_privileges()
    kernel.die_with(None)


def _descriptors(*but: int) -> list[int]:
    """What is open beside the standard streams."""
    found: list[int] = []
    for entry in list(Path("/proc/self/fd").iterdir()):
        descriptor = int(entry.name)
        try:
            os.fstat(descriptor)
        except OSError:  # it was for looking
            continue
        if descriptor > 2 and descriptor not in but:
            found.append(descriptor)
    return found


def _kind(descriptor: int) -> str | None:
    """What an open file is that copies cannot each have; None when they can."""
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        is_read = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
        return None if is_read else "a file for writing"
    if stat.S_ISDIR(mode) or stat.S_ISCHR(mode):
        return None
    if stat.S_ISSOCK(mode):
        return None if _is_connection(descriptor) else "a socket"
    return "a pipe" if stat.S_ISFIFO(mode) else "an event loop"


def _is_connection(descriptor: int) -> bool:
    """Whether a socket is a connection over a network."""
    with socket.socket(fileno=os.dup(descriptor)) as opened:
        is_stream = opened.family in (socket.AF_INET, socket.AF_INET6) and opened.type == socket.SOCK_STREAM
        return is_stream and not opened.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)


def _connections() -> list[int]:
    return [each for each in _descriptors() if stat.S_ISSOCK(os.fstat(each).st_mode) and _is_connection(each)]


def _cut(descriptor: int) -> None:
    """Put a socket that is not connected into the place of one that is."""
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    with socket.socket(fileno=os.dup(descriptor)) as opened:
        family = opened.family
    with socket.socket(family, socket.SOCK_STREAM) as unconnected:
        os.dup2(unconnected.fileno(), descriptor, inheritable=False)
    fcntl.fcntl(descriptor, fcntl.F_SETFL, flags)


def _reopen() -> None:
    """In a copy: files that are read have their own position, as it was."""
    for descriptor in _descriptors():
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            position = os.lseek(descriptor, 0, os.SEEK_CUR)
            inheritable = os.get_inheritable(descriptor)
            again = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY)
            os.lseek(again, position, os.SEEK_SET)
            os.dup2(again, descriptor, inheritable)
            os.close(again)
