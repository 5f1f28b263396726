"""The process that holds the library's services (moto): the only place of the local AWS that imports it.

Run as a program with the number of a connected socket; imports nothing of lambdaform. One request at a time comes as
a frame (two lengths, JSON, body) and is answered by one. Services live in this process's memory, so a copy of the
process is a copy of their state: to keep a checkpoint the process forks, its copy serves on, and the original waits to
be forked again. Threads are not copied, so executions of state machines that are under way at that moment end there.

Between answers come notes of what such executions wait for (`data_waiting`): JSON with "told" in it.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import io
import json
import os
import signal
import socket
import struct
import sys
import threading
import time
import urllib.parse
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from lambdaform.local.data_waiting import Pace

LENGTHS = struct.Struct("!II")

# How a serving process says to the waiting ones, by its exit code, what to do after it.
DONE = 0
RESTORE = 10
RESET = 11

# Asked once before the first fork, so that no copy has to load them again; the others load when first used.
# Service, X-Amz-Target or None, form body.
_WARMED = (
    ("s3", None, ""),
    ("dynamodb", "DynamoDB_20120810.ListTables", ""),
    ("dynamodb", "DynamoDBStreams_20120810.ListStreams", ""),
    ("kinesis", "Kinesis_20131202.ListStreams", ""),
    ("logs", "Logs_20140328.DescribeLogGroups", ""),
    ("kms", "TrentService.ListKeys", ""),
    ("secretsmanager", "secretsmanager.ListSecrets", ""),
    ("iam", None, "Action=ListRoles&Version=2010-05-08"),
    ("sts", None, "Action=GetCallerIdentity&Version=2011-06-15"),
)
_STATE_MACHINES = "moto.stepfunctions.parser.models"
"""The module of the services that run state machines, called like those that only keep them."""
_PR_SET_PDEATHSIG = 1

_LOCKS = (type(threading.Lock()), type(threading.RLock()))

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def main(arguments: list[str]) -> None:
    """Serve on the socket of the given number until its other end closes."""
    channel = socket.socket(fileno=int(arguments[0]))
    seed = int(arguments[1]) if len(arguments) > 1 else None
    _die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the front, which ends this process by itself
    application = _load(seed)
    _keep(is_root=True)
    line = _Line(channel)
    line.send({"ready": True}, b"")
    _serve(line, application)


def _load(seed: int | None) -> Wsgi:
    from moto.core.config import default_user_config
    from moto.moto_api._internal import mock_random
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

    default_user_config["stepfunctions"] = {"execute_state_machine": True}
    application = cast(Wsgi, DomainDispatcherApplication(create_backend_app))
    for service, operation, form in _WARMED:
        headers = {
            "Authorization": f"AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/{service}/aws4_request, "
            "SignedHeaders=host, Signature=0",
            "Host": f"{service}.us-east-1.amazonaws.com",
            "Content-Type": "application/x-www-form-urlencoded" if form else "application/x-amz-json-1.0",
            **({} if operation is None else {"X-Amz-Target": operation}),
        }
        body = form or ("{}" if operation else "")
        meta = {"method": "POST" if body else "GET", "target": "/", "headers": headers}
        answer, content = _answer(application, meta, body.encode())
        if answer["status"] != 200:
            sys.stderr.write(f"lambdaform: warming up {service} answered {answer['status']}: {content[:200]!r}\n")
    import time_machine

    with time_machine.travel(0.0):
        pass  # loads what travelling needs
    if seed is not None:
        mock_random.seed(seed)
    _beside("data_corrections").install()
    return application


def _keep(*, is_root: bool) -> None:
    """Stay behind as the keeper of the present state; return in a copy that serves, and again in each later copy."""
    while True:
        pid = os.fork()
        if pid == 0:
            _die_with_parent()
            return
        _, status = os.waitpid(pid, 0)
        code = os.waitstatus_to_exitcode(status)
        if code == RESTORE or (code == RESET and is_root):
            continue
        os._exit(code if code >= 0 else 1)


def _serve(line: _Line, application: Wsgi) -> None:
    travel = _Travel()
    pace: Pace | None = None
    while True:
        frame = line.receive()
        if frame is None:
            os._exit(DONE)
        meta, body = frame
        # From here on also between requests: executions of state machines go on there.
        travel.to(meta.get("now"), speed=meta.get("speed", 0.0))
        match meta["do"]:
            case "request":
                if pace is None and "now" in meta and _is_of_state_machines(meta):
                    pace = _pace(line, travel, is_virtual=not meta["speed"])
                # Where the tasks of state machines find Lambda, queues and topics: at the front, like everybody.
                os.environ["MOTO_PORT"] = str(meta.get("port") or 0)
                line.send(*_answer(application, meta, body))
            case "wake":
                if pace is not None:
                    pace.wake(int(meta["wait"]))
                line.send({"ready": True}, b"")
            case "save":
                line.send(*_saved())
            case "load":
                line.send(_loaded(body), b"")
            case "checkpoint":
                line.hold()  # for ever in the keeper, whose threads have nothing to say any more
                _keep(is_root=False)
                line.begin_anew()
                if pace is not None:
                    pace.forget()
                _abort_executions()
                line.send({"ready": True}, b"")
            case "restore":
                line.hold()  # no thread of an execution is in the middle of a note
                os._exit(RESTORE)
            case "reset":
                line.hold()
                os._exit(RESET)
            case unknown:
                raise AssertionError(f"bug in lambdaform: the data services were asked to {unknown}")


def _is_of_state_machines(meta: dict[str, Any]) -> bool:
    headers: dict[str, str] = meta["headers"]
    return any(n.lower() == "x-amz-target" and v.startswith("AWSStepFunctions.") for n, v in headers.items())


def _pace(line: _Line, travel: _Travel, *, is_virtual: bool) -> Pace:
    """Let executions of state machines wait by the clock; loaded when first needed, as the library's part for them."""
    module = _beside("data_waiting")
    pace: Pace = module.Pace(line.tell, travel.catch_up, one_at_a_time=is_virtual)
    module.install(pace)
    return pace


def _beside(name: str) -> Any:
    """A module of ours, by its file: beside this one lie some that are called like those of the standard library."""
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _abort_executions() -> None:
    """Let executions of state machines end that were under way where this state was: their threads are not here."""
    parser = sys.modules.get(_STATE_MACHINES)
    if parser is None:
        return
    import datetime

    from moto.stepfunctions.parser.api import ExecutionStatus

    backends: Any = parser.stepfunctions_parser_backends
    regions = [region for account in backends.values() for region in account.values()]
    for execution in (each for region in regions for machine in region.state_machines for each in machine.executions):
        if execution.exec_status == ExecutionStatus.RUNNING:
            execution.exec_status = ExecutionStatus.ABORTED
            execution.stop_date = datetime.datetime.now(tz=datetime.UTC)
            execution.error = "Lambdaform.NotContinued"
            execution.cause = "it was under way when the state of the local AWS was kept, from which it does not go on"


def _answer(application: Wsgi, meta: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
    """Run one request through the library's WSGI application."""
    started = list[tuple[str, list[tuple[str, str]]]]()

    def start(
        status: str,
        headers: list[tuple[str, str]],
        _: tuple[type[BaseException], BaseException, TracebackType] | None = None,
    ) -> Callable[[bytes], object]:
        started.append((status, headers))
        return lambda data: None

    try:
        chunks = application(_environ(meta, body), start)
        content = b"".join(chunks)
        close = getattr(chunks, "close", None)
        if close is not None:
            close()
    except Exception as error:  # noqa: BLE001  one request the library cannot answer must not end the others
        missing: str | None = _beside("data_corrections").missing(error, meta["headers"])
        if missing is None:
            import traceback

            traceback.print_exc()
        status, kind = (500, "InternalFailure") if missing is None else (501, "NotImplemented")
        text = json.dumps({"__type": kind, "message": missing or f"{type(error).__name__}: {error}"})
        return {"status": status, "headers": [("content-type", "application/json")]}, text.encode()
    status, headers = started[-1]
    return {"status": int(status.split(" ", 1)[0]), "headers": headers}, content


def _environ(meta: dict[str, Any], body: bytes) -> dict[str, Any]:
    from moto.core.request import (
        PRESERVED_HEADER_NAMES_ENVIRON_KEY,
        environ_key_for_header,
        should_preserve_original_header_name,
    )

    path, _, query = str(meta["target"]).partition("?")
    headers: dict[str, str] = meta["headers"]
    names = {name.lower(): value for name, value in headers.items()}
    host, _, port = names.get("host", "127.0.0.1:80").partition(":")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": meta["method"],
        "SCRIPT_NAME": "",
        # WSGI wants the decoded path as Latin-1 text.
        "PATH_INFO": urllib.parse.unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "REQUEST_URI": meta["target"],
        "RAW_URI": meta["target"],
        "SERVER_NAME": host,
        "SERVER_PORT": port or "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "CONTENT_LENGTH": str(len(body)),
    }
    preserved = dict[str, str]()
    for name, value in headers.items():
        lowered = name.lower()
        if lowered == "content-type":
            environ["CONTENT_TYPE"] = value
        elif lowered in ("content-length", "transfer-encoding", "connection"):
            continue  # the body is here as a whole already
        elif "_" in name:
            # WSGI cannot tell X_Foo from X-Foo; the library keeps the spelling of S3's metadata by this.
            if should_preserve_original_header_name(name):
                key = environ_key_for_header(name)
                environ[key] = value
                preserved.setdefault(key, name)
        else:
            environ[f"HTTP_{name.upper().replace('-', '_')}"] = value
    environ[PRESERVED_HEADER_NAMES_ENVIRON_KEY] = preserved
    return environ


def _saved() -> tuple[dict[str, Any], bytes]:
    """The state, and by what it can be loaded: the library's own classes are in it."""
    from moto import __version__

    try:
        return {"moto": __version__}, _save()
    except Exception as error:  # noqa: BLE001  one service's state that cannot be kept must not end all services
        return {"error": f"{type(error).__name__}: {error}"}, b""


def _save() -> bytes:
    """The state of every service that was used, in one piece: services refer to each other."""
    import cloudpickle
    from moto.core import base_backend

    whole: Any = cloudpickle
    general: type[Any] = whole.Pickler

    class Pickler(general):
        """Knows what the general one does not: OpenSSL's keys in KMS and Cognito, the dictionaries of SSM, locks."""

        def reducer_override(self, obj: Any) -> Any:
            from cryptography.hazmat.primitives import serialization
            from cryptography.hazmat.primitives.asymmetric import ec, rsa

            if isinstance(obj, (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey)):
                text = obj.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.PKCS8,
                    serialization.NoEncryption(),
                )
                return _private_key, (text,)
            if isinstance(obj, _LOCKS):
                return (threading.RLock if isinstance(obj, _LOCKS[1]) else threading.Lock), ()
            if type(obj).__module__ == "data_waiting":  # what an execution waited for
                return threading.Event, ()
            if isinstance(obj, defaultdict) and type(cast(object, obj)) is not defaultdict:
                # Python would call the class as a defaultdict is called; one with an `__init__` of its own is not.
                own = cast("defaultdict[Any, Any]", obj)
                state = (vars(own), {"default_factory": own.default_factory})
                return _without_init, (type(own),), state, None, iter(own.items())
            return super().reducer_override(obj)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]

    all_services: Any = base_backend.BackendDict
    held = {
        _name_of(services): {account: dict(regions.items()) for account, regions in services.items()}
        for services in all_services._instances
    }
    stream = io.BytesIO()
    Pickler(stream).dump(held)
    return stream.getvalue()


def _name_of(services: Any) -> str:
    """What tells the backends of one service from all others, also from those of the same name."""
    module = str(services.backend.__module__)
    return module if module == _STATE_MACHINES else str(services.service_name)


def _loaded(data: bytes) -> dict[str, Any]:
    """Take over a state; says so, or why it could not be read."""
    try:
        _load_state(data)
    except Exception as error:  # noqa: BLE001  what is damaged raises whatever it likes
        return {"error": f"{type(error).__name__}: {error}"}
    return {"ready": True}


def _private_key(text: bytes) -> Any:
    from cryptography.hazmat.primitives import serialization

    return serialization.load_pem_private_key(text, None)


def _without_init(kind: Any) -> Any:
    return kind.__new__(kind)


def _load_state(data: bytes) -> None:
    import pickle

    from moto.backends import get_backend

    held: dict[str, dict[str, dict[str, Any]]] = pickle.loads(data)  # written by `_save` into the user's own folder
    for name, accounts in held.items():
        if name == _STATE_MACHINES:
            services: dict[str, dict[str, Any]] = importlib.import_module(name).stepfunctions_parser_backends
        else:
            services = cast(Any, get_backend)(name)
        for account, regions in accounts.items():
            services[account].update(regions)
    _abort_executions()


class _Travel:
    """Lets the library see the local AWS's time, as it was told last; the real time when it was told none."""

    def __init__(self) -> None:
        self._traveller: Any = None
        self._told = 0.0
        self._at = 0.0
        self._speed = 0.0

    def to(self, now: float | None, *, speed: float) -> None:
        """Be at a time that goes on at some speed, or stands still."""
        if now is None:
            return
        self._told, self._at, self._speed = now, time.monotonic(), speed
        if self._traveller is None:
            import time_machine

            self._traveller = time_machine.travel(now, tick=False).start()
        else:
            self._traveller.move_to(now)

    def catch_up(self) -> None:
        """See what time it is by now, where time goes on by itself."""
        if self._traveller is not None and self._speed:
            self._traveller.move_to(self._told + (time.monotonic() - self._at) * self._speed)


class _Line:
    """The socket to the local AWS: one frame at a time, whichever thread sends it."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._sending = threading.Lock()

    def send(self, meta: dict[str, Any], body: bytes) -> None:
        text = json.dumps(meta).encode()
        with self._sending:
            self._channel.sendall(LENGTHS.pack(len(text), len(body)) + text + body)

    def tell(self, note: dict[str, Any]) -> None:
        """Send a note that nobody asked for."""
        self.send(note, b"")

    def hold(self) -> None:
        """Let no thread send any more; waits for one that does."""
        self._sending.acquire()

    def begin_anew(self) -> None:
        """Send again, in a copy of the process that was made while holding."""
        self._sending = threading.Lock()

    def receive(self) -> tuple[dict[str, Any], bytes] | None:
        """The next frame, and not a byte more: another copy of this process may read what follows."""
        lengths = self._exactly(LENGTHS.size)
        if lengths is None:
            return None
        size, rest = LENGTHS.unpack(lengths)
        text, body = self._exactly(size), self._exactly(rest)
        return None if text is None or body is None else (json.loads(text), body)

    def _exactly(self, size: int) -> bytes | None:
        parts = bytearray()
        while len(parts) < size:
            try:
                part = self._channel.recv(size - len(parts))
            except ConnectionResetError:  # the local AWS ended before it had read everything
                part = b""
            if not part:
                return None
            parts += part
        return bytes(parts)


def _die_with_parent() -> None:
    """Ask Linux to end this process with the one that made it; elsewhere the closed socket does."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1:])
