"""The prepared parent that execution environments are forked from. A program, not a module: run by its path.

    python -I -S zygote.py FD FOLDER auto|processes aws|own

FD is one end of a SEQPACKET socket to the server. It says `{"ready": true, "isolation": ..., "parts": ...}`, then gets
`{"spawn": id, "env": {...}, "cwd": ..., "path": [...]}` with the write end of the log pipe beside it, and answers
`{"spawned": id, "pid": n}` and, when a child ends, `{"exited": n, "status": wait status}`. FOLDER is the server's
private folder; its `runtime` holds what AWS's runtime ships: the runtime client and boto3.

An order may have `companions`: programs started beside the child, in its namespaces, with a log pipe each. The child
itself then waits for a byte from the pipe that comes behind its own log's, before it becomes what it was ordered to be.

With `aws` it imports all of AWS's runtime client but its C extension, which reads its address once, when it is
imported: the child imports that after the fork. With `own` it imports `bootstrap.py`. An order with `arguments` is for
a program, which the child turns into. Standard library and the runtime client only: what is imported here is in every
handler's process. One child is always forked ahead of its order, so that an order finds its namespaces made.

Where the system lets it, it lives in the file system of `namespaces.py` and starts itself again in it; every child
gets a copy of that. Otherwise children see the host's files.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import functools
import gc
import importlib
import json
import os
import resource
import select
import signal
import site
import socket
import struct
import sys
import time
import types
from pathlib import Path
from typing import Any, NoReturn

sys.path.insert(0, str(Path(__file__).parents[3]))
from lambdaform.local.lambda_ import copying, kernel, namespaces

AHEAD = 2
"""Children forked before there is an order for them."""
QUIET = 5
"""Milliseconds without an order after which that is done, so as not to be in the way of one."""
LINKED = ("libstdc++.so.6", "libm.so.6", "libgcc_s.so.1")
"""Libraries that AWS's C extension needs."""
MOST_DESCRIPTORS = 128
"""Descriptors that come with one order."""
LOG = 62
"""Where a Python runtime writes the records of its log, one frame each: another name of standard output."""
KEPT_FROM = 200
"""Where a child keeps its descriptors for companions, out of the way of 0, 1 and 2."""


def prepare(runtime: str, client: str) -> None:
    """Import the runtime client; AWS's without its C extension."""
    sys.path.append(runtime)
    if client == "own":
        importlib.import_module("lambdaform.local.lambda_.bootstrap")
        settle_down()
        return
    modules: dict[str, Any] = sys.modules
    modules["runtime_client"] = None  # makes the import fail, which the runtime client is ready for
    for name in ("bootstrap", "lambda_runtime_client", "lambda_runtime_hooks_runner"):
        importlib.import_module(f"awslambdaric.{name}")
    importlib.import_module("http.client")
    del modules["runtime_client"]
    # What the C extension is linked with: loading that takes most of the time of its import.
    for library in LINKED:
        with contextlib.suppress(OSError):
            ctypes.CDLL(library)
    # A handler that brings its own copy of what the runtime client uses gets its own.
    for name in [name for name in modules if name.partition(".")[0] == "simplejson"]:
        del modules[name]
    settle_down()


def settle_down() -> None:
    """Have what every interpreter has, and nothing that a child's collector would look at again."""
    site.setquit()
    site.setcopyright()
    site.sethelper()
    gc.collect()
    gc.freeze()


class Tree:
    """Processes that share their namespaces: one child, and companions if it has any."""

    def __init__(self, first: int | None) -> None:
        self.first = first
        """The first process of the tree, which ends everything in it."""
        self.members = 1


class Child:
    """A forked process, before and after it has got its order."""

    def __init__(self, pid: int, tree: Tree, channel: socket.socket | None) -> None:
        self.pid = pid
        self.tree = tree
        self.channel = channel
        self.descriptor = os.pidfd_open(pid)
        self.is_spare = True


class Parent:
    """Forks on request and reports exits."""

    def __init__(self, control: socket.socket, parts: list[str] | None) -> None:
        self._control = control
        self._parts = parts
        """What of namespaces is there; `None` without any."""
        # Process descriptors, not SIGCHLD: that would come with every freeze and thaw of a child too.
        self._waiting = select.poll()
        self._waiting.register(control, select.POLLIN)
        self._children: dict[int, Child] = {}
        self._spares: list[Child] = []
        self._wasted = 0
        """Spares in a row that ended without an order."""

    def serve(self) -> dict[str, Any]:
        """Work until the server ends; returns in the children, with what they are to become."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's: it ends its children itself
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        while True:
            is_short = len(self._spares) < AHEAD and self._wasted < 3
            ready = [fd for fd, _ in self._waiting.poll(QUIET if is_short else None)]
            if not ready:
                order = self._fork()
                if order is not None:
                    return order
            for fd in ready:
                if fd in self._children:
                    self._reap(fd)
            if self._control.fileno() in ready:
                order = self._take()
                if order is not None:
                    return order

    def _take(self) -> dict[str, Any] | None:
        """Hand an order to a child; returns it in a child that was forked for it."""
        try:
            message, fds, _, _ = socket.recv_fds(self._control, 262144, MOST_DESCRIPTORS)
        except ConnectionResetError:
            message, fds = b"", []
        if not message:
            self._end()
        order = json.loads(message)
        try:
            if not self._spares:
                made = self._fork()
                if made is not None:
                    return made
            if self._parts is not None:
                namespaces.furnish(order["places"])
        except OSError as error:
            self._say({"failed": order["spawn"], "why": str(error)})
            for fd in fds:
                os.close(fd)
            return None
        child = self._spares.pop()
        child.is_spare = False
        self._wasted = 0
        told = {"spawned": order["spawn"], "pid": child.pid, "first": child.tree.first}
        assert child.channel is not None
        if not order.get("companions"):
            self._say(told)
        else:
            child.channel.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        with contextlib.suppress(OSError):  # when it has ended, that is told when it is reaped
            socket.send_fds(child.channel, [message], fds)
        for fd in fds:
            os.close(fd)
        if order.get("companions"):
            self._say({**told, "companions": self._meet(child.channel, child.tree, len(order["companions"]))})
        child.channel.close()
        return None

    def _meet(self, channel: socket.socket, tree: Tree, count: int) -> list[dict[str, int]]:
        """Wait until the companions of a child have become their programs; gives the id of each, or why it failed.

        They are children of this process, but only the kernel can say which: by the sender of a message.
        """
        met: list[dict[str, int]] = [{} for _ in range(count)]
        while True:
            message, ancillary, _, _ = channel.recvmsg(64, socket.CMSG_SPACE(12))
            if not message:  # every holder of the other end has closed it, most by becoming a program
                return met
            number, error = struct.unpack("ii", message)
            [(_, _, sender)] = ancillary
            pid: int = struct.unpack("iii", sender)[0]
            if error:
                met[number]["error"] = error
                continue
            met[number]["pid"] = pid
            companion = Child(pid, tree, None)
            companion.is_spare = False
            tree.members += 1
            self._children[companion.descriptor] = companion
            self._waiting.register(companion.descriptor, select.POLLIN)

    def _fork(self) -> dict[str, Any] | None:
        """Add a spare; returns in it, once it has got an order."""
        me = os.getpid()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            pid, first = (os.fork(), None) if self._parts is None else namespaces.fork(self._parts)
        except OSError:
            if os.getpid() != me:
                os._exit(1)  # never go on as a second one of the parent
            raise
        if pid == 0:
            kernel.die_with(me if self._parts is None or "pids" not in self._parts else None)
            return self._await_order(theirs)
        theirs.close()
        child = Child(pid, Tree(first), ours)
        self._children[child.descriptor] = child
        self._spares.append(child)
        self._waiting.register(child.descriptor, select.POLLIN)
        return None

    def _await_order(self, channel: socket.socket) -> dict[str, Any]:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.setsid()
        if self._parts is None or "pids" not in self._parts:
            kernel.adopt_orphans()  # they become the parent's when this one ends, which then knows whose they were
        self._control.detach()
        for child in self._children.values():
            if child.channel is not None:
                child.channel.detach()
        # Nothing of the parent's is left open: what follows is moved to the front first.
        os.dup2(channel.detach(), 0)
        os.closerange(1, 1 << 20)
        with socket.socket(fileno=0) as first:
            message, fds, _, _ = socket.recv_fds(first, 262144, MOST_DESCRIPTORS)
            if not message:
                os._exit(0)
            order: dict[str, Any] = json.loads(message)
            # The lowest numbers may be among those received: what is kept of them is moved out of the way first.
            wanted = (0, *fds[1:]) if order.get("companions") else fds[1:]
            kept = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, KEPT_FROM) for fd in wanted]
            os.dup2(fds[0], 2)
            os.dup2(2, 1)
            os.closerange(3, KEPT_FROM)
            os.closerange(KEPT_FROM + len(kept), 1 << 20)
        os.set_inheritable(os.open(os.devnull, os.O_RDONLY), True)  # the lowest free descriptor is 0
        order["kept"] = kept
        order["gate"] = kept.pop() if order.get("is_held") else None
        order["channel"] = kept[0] if kept and not order.get("companions") else None
        return order

    def _reap(self, fd: int) -> None:
        child = self._children.pop(fd)
        self._waiting.unregister(fd)
        os.close(fd)
        _, status, used = os.wait4(child.pid, 0)
        self._clear(child)
        if child.is_spare:
            assert child.channel is not None
            child.channel.close()
            self._spares.remove(child)
            self._wasted += 1
        else:
            self._say({"exited": child.pid, "status": status, "peak": used.ru_maxrss * 1024})

    def _clear(self, child: Child) -> None:
        """End what a child that has ended left behind, once its companions have ended too."""
        child.tree.members -= 1
        if child.tree.members:
            return
        if child.tree.first is not None:
            os.kill(child.tree.first, signal.SIGKILL)
            os.waitpid(child.tree.first, 0)
        else:
            known = {child.pid for child in self._children.values()}
            while strays := [pid for pid in children_of(os.getpid()) if pid not in known]:
                for pid in strays:  # whose own children come next
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)

    def _say(self, what: dict[str, Any]) -> None:
        try:
            self._control.send(json.dumps(what).encode())
        except OSError:
            self._end()

    def _end(self) -> None:
        """The server is gone: so is everything here."""
        for child in self._children.values():
            os.kill(child.pid, signal.SIGKILL)
        for child in list(self._children.values()):
            os.waitpid(child.pid, 0)
            del self._children[child.descriptor]
            self._clear(child)
        os._exit(0)


def children_of(pid: int) -> list[int]:
    """The direct children of a process."""
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:  # a kernel without that file
        found: list[int] = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                    found.append(int(entry.name))
            except OSError:
                continue  # it has ended meanwhile
        return found


def become(order: dict[str, Any], parts: list[str] | None, client: str) -> None:
    """Turn this fresh child into an execution environment and run the runtime client; never returns normally."""
    own = sys.modules.get("lambdaform.local.lambda_.bootstrap")
    limits = dict(order.get("limits", {}))
    if parts is not None:
        namespaces.settle(order["places"], parts)
    if parts is None or "users" not in parts:
        limits.pop("RLIMIT_NPROC", None)  # it would count what else this user runs
    forget_ours()
    environ = order["env"]
    os.environ.clear()
    os.environ.update(environ)
    time.tzset()
    for limit, (soft, hard) in limits.items():
        _, highest = resource.getrlimit(getattr(resource, limit))
        resource.setrlimit(getattr(resource, limit), (soft, hard if highest == -1 else min(hard, highest)))
    os.umask(0o022)
    if order.get("companions"):
        start_companions(order, in_tree=parts is not None and "pids" in parts)
    os.chdir(order["cwd"])
    if environ.get("AWS_EXECUTION_ENV", "").startswith("AWS_Lambda_python"):
        os.dup2(1, LOG, inheritable=bool(order.get("arguments")))
        os.environ["_LAMBDA_TELEMETRY_LOG_FD"] = str(LOG)  # the runtime client takes it out again
    if order.get("arguments"):
        execute(order["arguments"])
    sys.path[:] = order["path"]
    sys.argv[:] = ["/var/runtime/bootstrap.py"]
    sys.dont_write_bytecode = order.get("dont_write_bytecode", False)
    sys.modules["__main__"] = types.ModuleType("__main__")

    original = copying.Original(order["channel"], parts) if order["channel"] is not None else None
    if client == "own":
        assert own is not None
        await_go(order["gate"])
        own.main(functools.partial(await_copy, original) if original is not None else None)
        return
    runtime: Any = importlib.import_module("awslambdaric.lambda_runtime_client")
    bootstrap: Any = importlib.import_module("awslambdaric.bootstrap")
    if original is None:
        load_extension(runtime)
    # Made when its module was imported, before the runtime was known that decides how it writes text.
    runtime.BaseLambdaRuntimeClient.marshaller = runtime.LambdaMarshaller()
    if "AWS_LAMBDA_LOG_FORMAT" in environ or "AWS_LAMBDA_LOG_LEVEL" in environ:
        bootstrap = importlib.reload(bootstrap)  # it reads both once, when it is imported
    made = runtime.LambdaRuntimeClient if original is None else restoring(runtime, original)
    client_made = made(environ["AWS_LAMBDA_RUNTIME_API"], hears_signals(order))
    await_go(order["gate"])
    bootstrap.run(environ["_HANDLER"], client_made)


def await_go(gate: int | None) -> None:
    """Where this process has a gate, wait in front of it until it is let through."""
    if gate is not None:
        if not os.read(gate, 1):
            os._exit(0)  # nobody wants it any more
        os.close(gate)


def hears_signals(order: dict[str, Any]) -> bool:
    """Whether AWS's client waits for events in a thread, so that handlers of signals can run meanwhile.

    AWS's does so from Python 3.12 on. Here only where extensions make SIGTERM come: a thread for each event takes time.
    """
    if not order.get("companions"):
        return False
    config: Any = importlib.import_module("awslambdaric.lambda_config")
    return order["env"].get("AWS_EXECUTION_ENV") in config.LambdaConfigProvider.SUPPORTED_THREADPOLLING_ENVS


def load_extension(runtime: Any) -> None:
    """Let AWS's client have its C extension, which fixes the address it calls when it is imported."""
    extension: Any = importlib.import_module("runtime_client")
    extension.initialize_client(runtime._user_agent())
    runtime.runtime_client = extension


def await_copy(original: copying.Original) -> None:
    """Wait until this process is a copy of the original one, with a log of its own."""
    with contextlib.suppress(OSError):  # the function's code may have closed it
        os.close(LOG)
    original.wait()
    os.dup2(1, LOG, inheritable=False)


def restoring(runtime: Any, original: copying.Original) -> Any:
    """AWS's client for a process that is a snapshot: it goes on in copies, which call an address of their own."""

    def restore_next(self: Any) -> None:
        await_copy(original)
        self.lambda_runtime_address = os.environ["AWS_LAMBDA_RUNTIME_API"]
        load_extension(runtime)
        runtime.LambdaRuntimeClient.restore_next(self)

    return type("Restored", (runtime.LambdaRuntimeClient,), {"restore_next": restore_next})


def start_companions(order: dict[str, Any], *, in_tree: bool) -> None:
    """Start the programs that go with this environment, then wait until this process may become what it is to be."""
    channel, gate, *logs = order["kept"]
    with socket.socket(fileno=channel) as told:
        for number, (companion, log) in enumerate(zip(order["companions"], logs, strict=True)):
            if kernel.fork_sibling() == 0:
                become_companion(companion, log, told, number, in_tree=in_tree)
            os.close(log)
    await_go(gate)


def become_companion(
    companion: dict[str, Any], log: int, told: socket.socket, number: int, *, in_tree: bool
) -> NoReturn:
    """Turn this fresh copy into a program, and say whether that worked."""
    try:
        os.setsid()
        kernel.die_with(None)
        if not in_tree:
            kernel.adopt_orphans()
        os.dup2(log, 1)
        os.dup2(log, 2)
        told.send(struct.pack("ii", number, 0))
        os.chdir("/")
        os.execve(companion["program"], [companion["program"]], companion["env"])
    except OSError as error:
        told.send(struct.pack("ii", number, error.errno or errno.EIO))
    finally:
        os._exit(127)


def execute(arguments: list[str]) -> None:
    """Become a program. One that cannot be started ends as a shell's would."""
    try:
        os.execve(arguments[0], arguments, dict(os.environ))
    except OSError as error:
        os.write(2, f"fork/exec {arguments[0]}: {(error.strerror or str(error)).lower()}\n".encode())
        os._exit(127 if isinstance(error, FileNotFoundError) else 126)


def forget_ours() -> None:
    """Leave no module of lambdaform behind: a handler may bring some of these names itself."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "lambdaform"]:
        del sys.modules[name]


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    folder, mode, client = Path(sys.argv[2]), sys.argv[3], sys.argv[4]
    if mode == "auto":
        refused = namespaces.probe(folder)
        if "files" not in refused:
            begin_again(control, folder, refused, client)
        mode = f"processes ({refused['files']})"
        refused = {}
    elif mode == "processes":
        mode, refused = "processes (as asked for)", {}
    else:
        refused = json.loads(mode)
        mode = "namespaces"
    parts = [part for part in namespaces.PARTS if part not in refused] if mode == "namespaces" else None
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    kernel.adopt_orphans()
    prepare("/var/runtime" if parts is not None else str(folder / "runtime"), client)
    control.send(json.dumps({"ready": True, "isolation": mode, "refused": refused}).encode())
    become(Parent(control, parts).serve(), parts, client)


def begin_again(control: socket.socket, folder: Path, refused: dict[str, str], client: str) -> None:
    """Start this program once more, inside of Lambda's file system."""
    program = namespaces.interpreter()
    here = Path(__file__).relative_to(folder)
    namespaces.build(folder)
    os.set_inheritable(control.fileno(), True)
    arguments = ["-I", "-S", "-X", "utf8", f"{namespaces.BACK_DOOR}/{here}", str(control.fileno())]
    arguments += [namespaces.BACK_DOOR, json.dumps(refused), client]
    kernel.keep_privileges()
    os.execve(program, [program, *arguments], namespaces.variables())


if __name__ == "__main__":
    main()
