"""The system calls the sandbox needs and Python has no names for. Linux only; standard library only.

Imported by the prepared parent of the handler processes, so nothing of lambdaform may be imported here.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
from pathlib import Path

NEWNS, NEWUSER, NEWPID, NEWIPC = 0x00020000, 0x10000000, 0x20000000, 0x08000000
"""Namespaces: mounts, users, processes, System V shared memory."""
RDONLY, NOSUID, NODEV, NOEXEC, REMOUNT, BIND, REC = 1, 2, 4, 8, 32, 4096, 16384
PRIVATE, SLAVE, SHARED = 1 << 18, 1 << 19, 1 << 20
DETACH = 2

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_CAPBSET_DROP = 1, 4, 24
_PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 36, 38
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 47, 2
_CAPABILITIES = struct.pack("II", 0x20080522, 0)  # of this process, in the newest layout
_SYS_MOUNT_SETATTR = 442  # the same number on every architecture
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_SYS_CLONE = {"x86_64": 56, "aarch64": 220}
_CLONE_PARENT = 0x00008000
_AT_RECURSIVE = 0x8000
_LIBC = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(kinds: int) -> None:
    """Leave namespaces for new ones; for processes, that is the next child."""
    _check(_LIBC.unshare(kinds), "unshare")


def setns(descriptor: int, kind: int) -> None:
    """Go into the namespace an open file stands for."""
    _check(_LIBC.setns(descriptor, kind), "setns")


def mount(source: str, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    """Mount a file system, or change a mount."""
    encoded = [None if text is None else text.encode() for text in (source, target, kind)]
    done = _LIBC.mount(*encoded, ctypes.c_ulong(flags), options and options.encode())
    _check(done, f"mount {target}")


def bind(source: str, target: str) -> None:
    """Show a file or folder, with what is mounted below it, at a second place."""
    mount(source, target, None, BIND | REC)


def unmount(target: str) -> None:
    """Take a mount away from sight at once; it ends when its last user does."""
    _check(_LIBC.umount2(target.encode(), DETACH), f"umount {target}")


def seal(target: str) -> None:
    """Make a mount and everything below it read-only. Linux 5.12."""
    attributes = struct.pack("QQQQ", RDONLY | NOSUID, 0, 0, 0)
    done = _LIBC.syscall(_SYS_MOUNT_SETATTR, -100, target.encode(), _AT_RECURSIVE, attributes, len(attributes))
    _check(done, f"mount_setattr {target}")


def change_root(folder: str) -> None:
    """Make a mounted folder the root, and take the old root out of sight."""
    number = _SYS_PIVOT_ROOT.get(os.uname().machine)
    if number is None:
        raise OSError(f"pivot_root is not known for {os.uname().machine}")
    os.chdir(folder)
    _check(_LIBC.syscall(number, b".", b"."), "pivot_root")
    unmount(".")
    os.chdir("/")


def die_with(parent: int | None) -> None:
    """Be killed when the parent ends; leave at once when that has happened already.

    `None` is a parent outside of this process's namespace, whose id cannot be seen.
    """
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if parent is not None and os.getppid() != parent:
        os._exit(1)


def fork_sibling() -> int:
    """Fork a process in the same namespaces whose parent is this one's own parent; 0 in the copy.

    The copy must become a program at once: nobody has told its interpreter that it is another process now.
    """
    number = _SYS_CLONE.get(os.uname().machine)
    if number is None:
        raise OSError(f"clone is not known for {os.uname().machine}")
    flags = ctypes.c_ulong(_CLONE_PARENT | signal.SIGCHLD)
    pid: int = _LIBC.syscall(number, flags, None, None, None, None)
    _check(pid, "clone")
    return pid


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends."""
    _check(_LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl")


def become_user(uid: int, gid: int, *, in_own_namespace: bool) -> None:
    """From root to a user without any privilege; in a namespace of users of its own if wanted.

    There the limit on processes counts those of this environment alone.
    """
    if os.geteuid() != uid:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    # Changing user takes both away: whose files in /proc these are, and the death signal.
    _LIBC.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
    if in_own_namespace:
        unshare(NEWUSER)
        map_user(uid, uid, gid, gid)
    give_up_privileges()
    _LIBC.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def enter_user_namespace(uid: int, gid: int) -> None:
    """Go into a new namespace of users as the same one, which allows the other namespaces."""
    unshare(NEWUSER)
    _LIBC.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)  # whose files in /proc these are
    map_user(uid, uid, gid, gid)


def map_user(uid: int, outer_uid: int, gid: int, outer_gid: int) -> None:
    """Say who the one user of this new namespace is outside of it."""
    maps = (("setgroups", "deny"), ("uid_map", f"{uid} {outer_uid} 1"), ("gid_map", f"{gid} {outer_gid} 1"))
    for name, text in maps:
        Path("/proc/self", name).write_text(text)


def keep_privileges() -> None:
    """Have a program that this process turns into keep its capabilities: without this, only root's keeps them."""
    data = ctypes.create_string_buffer(24)
    _check(_LIBC.capget(_CAPABILITIES, data), "capget")
    effective, permitted, _, effective_high, permitted_high, _ = struct.unpack("IIIIII", data.raw)
    both = (effective, permitted, permitted, effective_high, permitted_high, permitted_high)
    _check(_LIBC.capset(_CAPABILITIES, struct.pack("IIIIII", *both)), "capset")
    for number in range(64):
        if (permitted | permitted_high << 32) >> number & 1:
            _LIBC.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, number, 0, 0)


def give_up_privileges() -> None:
    """Drop every capability for good."""
    for number in range(64):
        if _LIBC.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0) != 0:
            break
    _check(_LIBC.capset(_CAPABILITIES, struct.pack("IIIIII", 0, 0, 0, 0, 0, 0)), "capset")
    _LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
