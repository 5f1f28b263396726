"""The prepared parent that execution environments are forked from. A program, not a module: run by its path.

    python -I -S zygote.py FD RUNTIME_DIR

FD is one end of a SEQPACKET socket to the server. It gets `{"spawn": id, "env": {...}, "cwd": ..., "path": [...]}`
with the write end of the log pipe beside it, and answers `{"spawned": id, "pid": n}` and, when a child ends,
`{"exited": n, "status": wait status}`. RUNTIME_DIR holds what AWS's runtime ships: the runtime client and boto3.

It imports all of the runtime client but its C extension, which reads its address once, when it is imported: the
child imports that after the fork. Standard library and the runtime client only: what is imported here is in every
handler's process.
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
from typing import Any

PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """Ask the kernel to kill this process when its parent ends; leave at once when that has happened already."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


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


def serve(control: socket.socket) -> dict[str, Any]:
    """Fork on request and report exits; returns in the child, with what it is to become."""
    wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, _ignore)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's: it ends its children itself
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    me = os.getpid()
    control.send(b'{"ready": true}')
    while True:
        ready, _, _ = select.select([control.fileno(), wake_read], [], [])
        if wake_read in ready:
            os.read(wake_read, 4096)
            reap(control)
        if control.fileno() not in ready:
            continue
        message, fds, _, _ = socket.recv_fds(control, 262144, 4)
        if not message:
            sys.exit(0)
        order = json.loads(message)
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
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
        control.send(json.dumps({"spawned": order["spawn"], "pid": pid}).encode())


def _ignore(number: int, frame: object) -> None:
    """A handler in Python makes the signal wake the wait below; nothing else is to be done in it."""


def reap(control: socket.socket) -> None:
    """Report every child that has ended."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        control.send(json.dumps({"exited": pid, "status": status}).encode())


def become(order: dict[str, Any]) -> None:
    """Turn this fresh child into an execution environment and run the runtime client; never returns normally."""
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
    if "AWS_LAMBDA_LOG_FORMAT" in environ or "AWS_LAMBDA_LOG_LEVEL" in environ:
        bootstrap = importlib.reload(bootstrap)  # it reads both once, when it is imported
    bootstrap.run(environ["_HANDLER"], runtime.LambdaRuntimeClient(environ["AWS_LAMBDA_RUNTIME_API"]))


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    die_with(os.getppid())
    prepare(sys.argv[2])
    become(serve(control))


if __name__ == "__main__":
    main()
