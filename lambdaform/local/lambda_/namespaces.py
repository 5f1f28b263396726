"""Lambda's file system, users and process tree around handlers, made of namespaces. Linux; root or user namespaces.

`build` turns the calling process into one that sees nothing but the system's own folders, read-only, the interpreter
at /var/lang and the runtime at /var/runtime. Each environment is a copy of that: `fork` makes its namespaces ahead of
any order, `settle` puts its code, layers and /tmp into place and gives up every privilege.

What a machine refuses is found out by trying it in a child (`probe`), part by part. Imported by the prepared parent of
the handler processes: standard library only.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lambdaform.local.lambda_ import kernel

BACK_DOOR = "/.lambdaform"
"""Where the server's private folder is; handlers do not see it."""
SHOWN = "shown.json"
"""The file in the private folder that says what else is shown: place to folder, such as other interpreters."""
LANG = "/var/lang"
UID, GID, USER = 993, 990, "sbx_user1051"
"""AWS's sandbox user."""
SANDBOX = "sandbox.localdomain sandbox"
"""The environment itself. https://docs.aws.amazon.com/lambda/latest/dg/telemetry-api.html#telemetry-api-destination"""
_SYSTEM = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "etc", "sys", "nix", "gnu")
"""What is shown of the machine. Everything else is not there: homes, projects, other programs' sockets and files."""
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
"""No /dev/shm, as in Lambda: https://aws.amazon.com/blogs/compute/parallel-processing-in-python-with-aws-lambda/"""

_LIFELINE = os.pipe()
"""Its writing end is open in this process alone, and in what was just forked from it."""

PARTS = ("pids", "users")
"""What a machine may refuse alone: a process tree of its own with its /proc, a namespace of users per environment."""


def interpreter() -> str:
    """Where this interpreter is in the file system `build` makes. Raises `OSError` when it is not in its own prefix."""
    inside = os.path.relpath(os.path.realpath(sys.executable), os.path.realpath(sys.base_prefix))
    if inside.startswith(".."):
        raise OSError(f"{sys.executable} is not in {sys.base_prefix}")
    return f"{LANG}/{inside}"


def variables() -> dict[str, str]:
    """The environment of an interpreter at /var/lang, which may have been built to look for its library elsewhere."""
    return {"LC_ALL": "C.UTF-8", "PATH": os.defpath, "LD_LIBRARY_PATH": f"{LANG}/lib"}


def probe(folder: Path) -> dict[str, str]:
    """Which parts this machine refuses, and why. The key "files" is there when nothing works at all."""
    refusal = _try([], folder)
    if refusal is not None:
        return {"files": refusal}
    tried = {part: _try([part], folder) for part in PARTS}
    return {part: why for part, why in tried.items() if why is not None}


def build(folder: Path) -> None:
    """Move this process into a file system of its own. Raises `OSError`."""
    uid, gid = os.getuid(), os.getgid()
    try:
        kernel.unshare(kernel.NEWNS)
    except PermissionError:  # not root, or root of a container that has given this away
        kernel.unshare(kernel.NEWNS | kernel.NEWUSER)
        kernel.map_user(UID, uid, GID, gid)
    kernel.mount("none", "/", None, kernel.REC | kernel.PRIVATE)
    root = folder / "root"
    root.mkdir(exist_ok=True)
    kernel.mount("tmpfs", str(root), "tmpfs", 0, "mode=755,size=1m")
    for name in _SYSTEM:
        _mirror(Path("/", name), root / name)
    for name in ("dev", "proc", "tmp", "opt", "mnt", "home", "var", "var/task", "var/lang", "var/runtime", "var/tmp"):
        (root / name).mkdir()
    (root / BACK_DOOR[1:]).mkdir()
    _make_devices(root / "dev")
    _make_users(folder, root / "etc")
    _make_hosts(folder, root / "etc")
    _show_name_servers(root)
    kernel.bind(os.path.realpath(sys.base_prefix), str(root / LANG[1:]))
    for place, prefix in json.loads((folder / SHOWN).read_text()).items():
        (root / place[1:]).mkdir(parents=True, exist_ok=True)
        kernel.bind(prefix, str(root / place[1:]))
    for entry in (folder / "runtime").iterdir():
        _mirror(Path(os.path.realpath(entry)), root / "var" / "runtime" / entry.name)
    kernel.seal(str(root))
    # Also where environments mount a /proc of their own: without this one in sight that would be refused.
    kernel.bind("/proc", str(root / "proc"))
    back_door = str(root / BACK_DOOR[1:])
    kernel.bind(str(folder), back_door)
    # What is mounted in it later reaches the environments that were made before.
    kernel.mount("none", back_door, None, kernel.SHARED)
    kernel.change_root(str(root))


def fork(parts: list[str]) -> tuple[int, int | None]:
    """Fork a process in namespaces of its own: its id, and that of the first one of its process tree, if it has one.

    When that first process ends, so does everything in the tree, whatever session it is in. Both are children of the
    caller, which must adopt orphans: only a process that then ends may go into a new tree, for without being root of
    the machine there is no way back out of it.
    """
    if "pids" not in parts:
        pid = os.fork()
        if pid == 0:
            _enter(parts)
        return pid, None
    read_end, write_end = os.pipe()
    ready, set_ready = os.pipe()  # ends when the one between is gone: a death signal asked for earlier would be its own
    between = os.fork()
    if between == 0:
        os.close(read_end)
        os.close(set_ready)
        kernel.unshare(kernel.NEWPID)
        first = hold(_LIFELINE[0])
        pid = os.fork()
        if pid == 0:
            os.close(write_end)
            os.read(ready, 1)
            os.close(ready)
            _enter(parts)
            return 0, None
        os.write(write_end, f"{pid} {first}".encode())
        os._exit(0)
    os.close(write_end)
    os.waitpid(between, 0)
    os.close(ready)
    os.close(set_ready)
    with os.fdopen(read_end, "rb") as told:
        found = os.read(told.fileno(), 64).split()
    if len(found) != 2:
        raise OSError("a process tree of its own could not be made")
    return int(found[0]), int(found[1])


def _enter(parts: list[str]) -> None:
    kernel.unshare(kernel.NEWNS | kernel.NEWIPC)
    kernel.mount("none", "/", None, kernel.SLAVE | kernel.REC)
    if "pids" in parts:
        kernel.mount("proc", "/proc", "proc", kernel.NOSUID | kernel.NODEV | kernel.NOEXEC)


def furnish(places: Mapping[str, Any]) -> None:
    """In the prepared parent: have the scratch folder of an environment, in the size it is to have."""
    place = Path(BACK_DOOR, places["tmp"])
    if not place.is_mount():
        options = f"mode=1777,size={places['tmp_size']}m"
        kernel.mount("tmpfs", str(place), "tmpfs", kernel.NOSUID | kernel.NODEV, options)


def settle(places: Mapping[str, Any], parts: list[str]) -> None:
    """In an environment: put code, layers and scratch folder into place, and become a user without privileges."""
    for target, key in (("/var/task", "code"), ("/opt", "opt"), ("/tmp", "tmp")):
        if places.get(key):
            kernel.bind(f"{BACK_DOOR}/{places[key]}", target)
            if key != "tmp":
                kernel.seal(target)
    kernel.unmount(BACK_DOOR)
    is_root = Path("/proc/self/uid_map").read_text().split()[1] == "0"
    if "pids" not in parts and not is_root:
        # The machine's /proc shows the variables of the user's other processes.
        kernel.mount("none", "/proc", "tmpfs", kernel.RDONLY)
        kernel.become_user(UID, GID, in_own_namespace=False)
    else:
        kernel.become_user(UID, GID, in_own_namespace="users" in parts)


def hold(lifeline: int) -> int:
    """Start the first process of a tree: it reads from a pipe on which nothing is ever written, and so ends with us.

    Not a copy of this interpreter, which would hold ten times the memory and take longer to make.
    """
    # Stays so in the program: what is left to it goes by itself.
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    actions = [
        (os.POSIX_SPAWN_DUP2, lifeline, 0),
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
    ]
    pid = os.posix_spawnp("cat", ["cat"], {"PATH": os.defpath}, file_actions=actions, setsid=True)
    signal.signal(signal.SIGCHLD, before)
    return pid


def _try(parts: list[str], folder: Path) -> str | None:
    """Why an environment of these parts cannot be made here: one is made in a child, up to a running interpreter."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            _rehearse(folder, parts, write_end)
        except (OSError, ValueError) as error:
            os.write(write_end, str(error).encode())
        finally:
            os._exit(1)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as answer:
        text = answer.read().decode("utf-8", "replace").strip()
    _, status = os.waitpid(pid, 0)
    return None if status == 0 else text[-200:] or f"the trial ended with status {status}"


def _rehearse(folder: Path, parts: list[str], errors: int) -> None:
    program = interpreter()
    kernel.adopt_orphans()
    build(folder)
    pid, first = fork(parts)
    if pid != 0:
        _, status = os.waitpid(pid, 0)
        if first is not None:
            os.kill(first, signal.SIGKILL)
            os.waitpid(first, 0)
        os._exit(1 if status else 0)
    settle({"code": "runtime", "opt": "runtime", "tmp": "runtime"}, parts)
    os.dup2(errors, 2)
    # It must find its libraries there, and be readable for a user who is not its owner.
    arguments = [program, "-I", "-S", "-c", "import ctypes, json, select, socket" if not parts else ""]
    os.execve(program, arguments, variables())


def _mirror(source: Path, target: Path) -> None:
    if source.is_symlink():
        target.symlink_to(source.readlink())
    elif source.is_dir():
        target.mkdir()
        kernel.bind(str(source), str(target))
    elif source.exists():
        target.touch()
        kernel.bind(str(source), str(target))


def _make_devices(folder: Path) -> None:
    for name in _DEVICES:
        _mirror(Path("/dev", name), folder / name)
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        (folder / name).symlink_to(f"/proc/self/fd{target}")


def _make_users(folder: Path, etc: Path) -> None:
    """Know the sandbox user by name and nobody of this machine but root."""
    lines = {
        "passwd": f"root:x:0:0:root:/root:/bin/bash\n{USER}:x:{UID}:{GID}::/home/{USER}:/sbin/nologin\n",
        "group": f"root:x:0:\n{USER}:x:{GID}:\n",
    }
    made = folder / "etc"
    made.mkdir(exist_ok=True)
    for name, text in lines.items():
        if (etc / name).exists():
            (made / name).write_text(text)
            (made / name).chmod(0o644)
            kernel.bind(str(made / name), str(etc / name))


def _make_hosts(folder: Path, etc: Path) -> None:
    """Know by the names that Lambda has for it where an extension listens for telemetry."""
    hosts = etc / "hosts"
    if hosts.is_file():
        made = folder / "etc" / "hosts"
        made.write_text(f"{hosts.read_text().rstrip()}\n127.0.0.1\t{SANDBOX}\n")
        made.chmod(0o644)
        kernel.bind(str(made), str(hosts))


def _show_name_servers(root: Path) -> None:
    """What /etc/resolv.conf links to often lies in /run."""
    real = Path(os.path.realpath("/etc/resolv.conf"))
    shown = root.joinpath(*real.parts[1:])
    if not real.is_relative_to("/etc") and real.is_file() and not shown.exists():
        shown.parent.mkdir(parents=True, exist_ok=True)
        kernel.bind(str(real.parent), str(shown.parent))
