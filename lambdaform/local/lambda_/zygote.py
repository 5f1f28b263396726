"""The prepared parent that execution environments are forked from. A program, not a module: run by its path.

    python -I -S zygote.py FD FOLDER auto|processes

FD is one end of a SEQPACKET socket to the server. It says `{"ready": true, "isolation": ...}`, then gets
`{"spawn": id, "env": {...}, "cwd": ..., "path": [...]}` with the write end of the log pipe beside it, and answers
`{"spawned": id, "pid": n}` and, when a child ends, `{"exited": n, "status": wait status}`. FOLDER is the server's
private folder; its `runtime` holds what AWS's runtime ships: the runtime client and boto3.

It imports all of the runtime client but its C extension, which reads its address once, when it is imported: the
child imports that after the fork. Standard library and the runtime client only: what is imported here is in every
handler's process.

Where the system lets it, it works in a mount namespace of its own, and every child in a copy of that: code is at
/var/task and layers at /opt, both read-only, and /tmp is the child's alone. Otherwise children see the host's files.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import resource
import select
import signal
import site
import socket
import sys
import time
import types
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """Ask the kernel to kill this process when its parent ends; leave at once when that has happened already."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


class Namespaces:
    """The file system as Lambda shows it, made of bind mounts. Linux; needs root or unprivileged user namespaces."""

    NEWNS, NEWUSER = 0x00020000, 0x10000000
    RDONLY, NOSUID, NODEV, REMOUNT, BIND, REC, PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
    DETACH = 2
    BACK_DOOR = "/.lambdaform"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._libc = ctypes.CDLL(None, use_errno=True)

    def refusal(self) -> str | None:
        """Why this cannot be done here; found out by trying it in a child."""
        client = self._folder / "runtime" / "awslambdaric"
        kept = [str(Path(place).resolve()) for place in (sys.executable, sys.base_prefix, __file__, client)]
        hidden = [place for place in kept if place.startswith(("/tmp/", "/opt/", "/var/task/", "/var/runtime/"))]
        if hidden:
            return f"{hidden[0]} would be out of sight"
        read_end, write_end = os.pipe()
        pid = os.fork()
        if pid == 0:
            said = b""
            try:
                self.enter()
                self.settle({"code": "runtime", "opt": None, "tmp": "runtime"})
            except OSError as error:
                said = str(error).encode()
            os.write(write_end, said)
            os._exit(0)
        os.close(write_end)
        with os.fdopen(read_end, "rb") as answer:
            text = answer.read().decode()
        _, status = os.waitpid(pid, 0)
        return text or (f"the trial ended with status {status}" if status else None)

    def enter(self) -> None:
        """Move this process into a file system of its own: the host's, with Lambda's places in it."""
        uid, gid = os.getuid(), os.getgid()
        self._check(self._libc.unshare(self.NEWNS | (0 if uid == 0 else self.NEWUSER)), "unshare")
        if uid != 0:
            for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
                Path(f"/proc/self/{name}").write_text(text)
        self._mount("none", "/", None, self.REC | self.PRIVATE)
        root = self._folder / "root"
        root.mkdir(exist_ok=True)
        self._mount("tmpfs", str(root), "tmpfs", 0)
        self._mirror(Path("/"), root, without=("tmp", "var", "opt"))
        for name in ("tmp", "var", "opt", self.BACK_DOOR[1:]):
            (root / name).mkdir()
        self._mirror(Path("/var"), root / "var", without=("task", "runtime"))
        for name in ("task", "runtime"):
            (root / "var" / name).mkdir()
        self._bind(self._folder, root / self.BACK_DOOR[1:])
        self._bind(self._folder / "runtime", root / "var" / "runtime")
        os.chroot(root)
        os.chdir("/")

    def settle(self, places: dict[str, Any]) -> None:
        """In a child: put its code, layers and scratch folder, given relative to the server's folder, into place."""
        self._check(self._libc.unshare(self.NEWNS), "unshare")
        for target, key in (("/var/task", "code"), ("/opt", "opt"), ("/tmp", "tmp")):
            if places.get(key):
                self._bind(Path(self.BACK_DOOR, places[key]), Path(target))
                if key != "tmp":
                    flags = self.REMOUNT | self.BIND | self.RDONLY | self.NOSUID | self.NODEV
                    self._mount("none", target, None, flags)
        self._check(self._libc.umount2(self.BACK_DOOR.encode(), self.DETACH), "umount")

    def _mirror(self, source: Path, target: Path, without: tuple[str, ...]) -> None:
        for entry in source.iterdir():
            place = target / entry.name
            if entry.name in without:
                continue
            if entry.is_symlink():
                place.symlink_to(entry.readlink())
            elif entry.is_dir():
                place.mkdir()
                self._bind(entry, place)

    def _bind(self, source: Path, target: Path) -> None:
        self._mount(str(source), str(target), None, self.BIND | self.REC)

    def _mount(self, source: str, target: str, kind: str | None, flags: int) -> None:
        done = self._libc.mount(source.encode(), target.encode(), kind and kind.encode(), ctypes.c_ulong(flags), None)
        self._check(done, f"mount {target}")

    def _check(self, result: int, what: str) -> None:
        if result != 0:
            raise OSError(f"{what}: {os.strerror(ctypes.get_errno())}")


def prepare(runtime: str) -> None:
    """Import the runtime client without its C extension."""
    sys.path.append(runtime)
    modules: dict[str, Any] = sys.modules
    modules["runtime_client"] = None  # makes the import fail, which the runtime client is ready for
    for name in ("bootstrap", "lambda_runtime_client", "lambda_runtime_hooks_runner"):
        importlib.import_module(f"awslambdaric.{name}")
    importlib.import_module("http.client")
    del modules["runtime_client"]
    # A handler that brings its own copy of what the runtime client uses gets its own.
    for name in [name for name in modules if name.partition(".")[0] == "simplejson"]:
        del modules[name]
    site.setquit()
    site.setcopyright()
    site.sethelper()
    gc.collect()
    gc.freeze()


def serve(control: socket.socket, isolation: str) -> dict[str, Any]:
    """Fork on request and report exits; returns in the child, with what it is to become."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's: it ends its children itself
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    me = os.getpid()
    control.send(json.dumps({"ready": True, "isolation": isolation}).encode())
    # Process descriptors, not SIGCHLD: that would come with every freeze and thaw of a child too.
    waiting = select.poll()
    waiting.register(control, select.POLLIN)
    children: dict[int, int] = {}
    while True:
        ready = [fd for fd, _ in waiting.poll()]
        for fd in ready:
            if fd in children:
                _, status = os.waitpid(children[fd], 0)
                control.send(json.dumps({"exited": children.pop(fd), "status": status}).encode())
                waiting.unregister(fd)
                os.close(fd)
        if control.fileno() not in ready:
            continue
        try:
            message, fds, _, _ = socket.recv_fds(control, 262144, 4)
        except ConnectionResetError:
            message, fds = b"", []
        if not message:
            os._exit(0)  # the server is gone
        order = json.loads(message)
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.setsid()
            die_with(me)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(fds[0], 1)
            os.dup2(fds[0], 2)
            os.closerange(3, 1024)
            control.detach()
            return order
        for fd in fds:
            os.close(fd)
        descriptor = os.pidfd_open(pid)
        children[descriptor] = pid
        waiting.register(descriptor, select.POLLIN)
        control.send(json.dumps({"spawned": order["spawn"], "pid": pid}).encode())


def become(order: dict[str, Any], namespaces: Namespaces | None) -> None:
    """Turn this fresh child into an execution environment and run the runtime client; never returns normally."""
    if namespaces is not None:
        namespaces.settle(order["places"])
    environ = order["env"]
    os.environ.clear()
    os.environ.update(environ)
    time.tzset()
    for limit, (soft, hard) in order.get("limits", {}).items():
        resource.setrlimit(getattr(resource, limit), (soft, hard))
    os.umask(0o022)
    os.chdir(order["cwd"])
    sys.path[:] = order["path"]
    sys.argv[:] = ["/var/runtime/bootstrap.py"]
    sys.dont_write_bytecode = order.get("dont_write_bytecode", False)
    sys.modules["__main__"] = types.ModuleType("__main__")

    extension: Any = importlib.import_module("runtime_client")
    runtime: Any = importlib.import_module("awslambdaric.lambda_runtime_client")
    bootstrap: Any = importlib.import_module("awslambdaric.bootstrap")
    extension.initialize_client(runtime._user_agent())
    runtime.runtime_client = extension
    # Made when its module was imported, before the runtime was known that decides how it writes text.
    runtime.BaseLambdaRuntimeClient.marshaller = runtime.LambdaMarshaller()
    if "AWS_LAMBDA_LOG_FORMAT" in environ or "AWS_LAMBDA_LOG_LEVEL" in environ:
        bootstrap = importlib.reload(bootstrap)  # it reads both once, when it is imported
    bootstrap.run(environ["_HANDLER"], runtime.LambdaRuntimeClient(environ["AWS_LAMBDA_RUNTIME_API"]))


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    die_with(os.getppid())
    folder = Path(sys.argv[2])
    namespaces = Namespaces(folder)
    refusal = "as asked for" if sys.argv[3] == "processes" else namespaces.refusal()
    if refusal is None:
        namespaces.enter()
    prepare("/var/runtime" if refusal is None else str(folder / "runtime"))
    order = serve(control, "namespaces" if refusal is None else f"processes ({refusal})")
    become(order, namespaces if refusal is None else None)


if __name__ == "__main__":
    main()
