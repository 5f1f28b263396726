"""A small runtime client, for systems and interpreters AWS's own is not installed for.

    python -S bootstrap.py SEARCH_PATH

A prepared parent imports it instead, and its children call `main`. Standard library and the public Runtime API only.
Answers, error bodies and log lines are those of AWS's client:
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import contextlib
import decimal
import http.client
import importlib
import io
import json
import logging
import os
import sys
import time
import traceback
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, cast

PREFIX = "/2018-06-01/runtime"
REQUEST: dict[str, str | None] = {"id": "", "tenant": None}
SHORT_TIME = "%Y-%m-%dT%H:%M:%SZ"
FRAME = bytes.fromhex("a55a0003")
"""What a record of the log begins with, before its length and its time in microseconds."""
WARNING = (
    "LAMBDA_WARNING: Unhandled exception. The most likely cause is an issue in the function code. However, in rare "
    "cases, a Lambda runtime update can cause unexpected function behavior. For functions using managed runtimes, "
    "runtime updates can be triggered by a function change, or can be applied automatically. To determine if the "
    "runtime has been updated, check the runtime version in the INIT_START log entry. If this error correlates with a "
    "change in the runtime version, you may be able to mitigate this error by temporarily rolling back to the previous "
    "runtime version. For more information, see https://docs.aws.amazon.com/lambda/latest/dg/runtimes-update.html\r"
)


class Failure(Exception):
    """What the runtime itself finds wrong, by AWS's name for it."""

    def __init__(self, kind: str, message: str, trace: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.kind, self.message, self.trace = kind, message, list(trace)


class Context:
    """What a handler gets as its second argument."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        environ = os.environ
        self.aws_request_id = headers["Lambda-Runtime-Aws-Request-Id"]
        self.invoked_function_arn = headers["Lambda-Runtime-Invoked-Function-Arn"]
        self.function_name = environ.get("AWS_LAMBDA_FUNCTION_NAME")
        self.function_version = environ.get("AWS_LAMBDA_FUNCTION_VERSION")
        self.memory_limit_in_mb = environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self.log_group_name = environ.get("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = environ.get("AWS_LAMBDA_LOG_STREAM_NAME")
        self.tenant_id = headers.get("Lambda-Runtime-Aws-Tenant-Id")
        self._deadline = int(headers["Lambda-Runtime-Deadline-Ms"])
        self.client_context = self._client(headers.get("Lambda-Runtime-Client-Context"))
        identity = json.loads(headers.get("Lambda-Runtime-Cognito-Identity") or "{}")
        self.identity = types.SimpleNamespace(
            cognito_identity_id=identity.get("cognitoIdentityId"),
            cognito_identity_pool_id=identity.get("cognitoIdentityPoolId"),
        )

    def _client(self, text: str | None) -> types.SimpleNamespace | None:
        if not text:
            return None
        try:
            given: dict[str, Any] = json.loads(text)
        except ValueError as error:
            message = f"Unable to parse Client Context JSON: {error}"
            raise Failure("Runtime.LambdaContextUnmarshalError", message) from None
        client: dict[str, Any] = given.get("client") or {}
        fields = types.SimpleNamespace(
            **{
                key: client.get(key)
                for key in ("installation_id", "app_title", "app_version_name", "app_version_code", "app_package_name")
            }
        )
        return types.SimpleNamespace(custom=given.get("custom"), env=given.get("env"), client=fields)

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the function times out, never negative."""
        return max(self._deadline - int(time.time() * 1000), 0)

    def log(self, message: object) -> None:
        """Write one event into the log, as it is."""
        for handler in logging.getLogger().handlers:
            if isinstance(handler, Records):
                handler.log.write(str(message))
                return
        sys.stdout.write(str(message))


def find_handler(name: str) -> Callable[[Any, Context], Any]:
    """The handler a setting such as `app.handler` names. Raises `Failure`."""
    module, dot, function = name.rpartition(".")
    if not dot:
        text = f"Bad handler '{name}': not enough values to unpack (expected 2, got 1)"
        raise Failure("Runtime.MalformedHandlerName", text)
    if module.split(".")[0] in sys.builtin_module_names:
        raise Failure("Runtime.BuiltInModuleConflict", f"Cannot use built-in module {module} as a handler module")
    try:
        loaded = importlib.import_module(module.replace("/", "."))
    except ImportError as error:
        raise Failure("Runtime.ImportModuleError", f"Unable to import module '{module}': {error}") from error
    except SyntaxError as error:
        trace = [f'  File "{error.filename}" Line {error.lineno}\n    {error.text}']
        raise Failure("Runtime.UserCodeSyntaxError", f"Syntax error in module '{module}': {error}", trace) from error
    try:
        handler: Callable[[Any, Context], Any] = getattr(loaded, function)
        return handler
    except AttributeError:
        text = f"Handler '{function}' missing on module '{module}'"
        raise Failure("Runtime.HandlerNotFound", text) from None


def describe(error: BaseException, request_id: str) -> dict[str, Any]:
    """An exception as the error object AWS's client posts; frames of this file are cut from its start."""
    if isinstance(error, Failure):
        kind, message, trace = error.kind, error.message, error.trace
    else:
        frames = traceback.extract_tb(error.__traceback__)
        while frames and frames[0].filename == __file__:
            frames.pop(0)
        kind, message, trace = (
            type(error).__name__,
            str(error),
            traceback.format_list([(f.filename, f.lineno or 0, f.name, f.line) for f in frames]),
        )
    return {"errorMessage": message, "errorType": kind, "requestId": request_id, "stackTrace": trace}


def to_json(value: Any) -> str:
    """JSON as AWS's client writes it. Raises `TypeError` or `ValueError` for what there is no JSON for.

    Decimals keep their digits, named tuples are objects, bytes are text.
    """
    # Runtimes before python3.12 escape what is not ASCII.
    is_escaped = os.environ.get("AWS_EXECUTION_ENV", "") in {f"AWS_Lambda_python3.{minor}" for minor in range(12)}
    simple = json.JSONEncoder(ensure_ascii=is_escaped).encode

    def key(name: Any) -> str:
        if type(name) is str:
            return simple(name)
        if isinstance(name, bytes):
            name = name.decode()
        if name is None or isinstance(name, (int, float)):
            name = simple(name)
        if not isinstance(name, str):
            raise TypeError(f"keys must be str, int, float, bool or None, not {type(name).__name__}")
        return simple(name)

    def written(value: Any, around: tuple[int, ...]) -> str:
        if type(value) is int:
            return repr(value)  # for speed alone
        if isinstance(value, bytes):
            value = value.decode()
        if value is None or isinstance(value, (str, int, float)):
            return simple(value)
        if isinstance(value, decimal.Decimal):
            return "NaN" if value.is_nan() else str(value)
        if id(value) in around:
            raise ValueError("Circular reference detected")
        around = (*around, id(value))
        if not isinstance(value, (list, type)) and callable(getattr(value, "_asdict", None)):
            value = value._asdict()
        if isinstance(value, (list, tuple)):
            entries = cast("Sequence[Any]", value)
            return "[" + ", ".join([written(each, around) for each in entries]) + "]"
        if isinstance(value, dict):
            fields = cast("dict[Any, Any]", value)
            return "{" + ", ".join([f"{key(name)}: {written(each, around)}" for name, each in fields.items()]) + "}"
        raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")

    return written(value, ())


class Log:
    """Where records go: each is one event, line breaks and all, by the descriptor that is there for them."""

    def __init__(self) -> None:
        self._descriptor: int | None = None
        named = os.environ.pop("_LAMBDA_TELEMETRY_LOG_FD", None)
        if named is not None:
            with contextlib.suppress(OSError, ValueError):  # a wrapper of the runtime may have closed it
                os.set_inheritable(int(named), False)
                self._descriptor = int(named)

    def write(self, text: str) -> None:
        """Write one event. On standard output, where there is no descriptor, its lines end with carriage returns."""
        if self._descriptor is None:
            sys.stdout.write(text.removesuffix("\n").replace("\n", "\r") + "\n")
            return
        message = text.encode()
        time_us = time.time_ns() // 1000
        data = FRAME + len(message).to_bytes(4, "big") + time_us.to_bytes(8, "big") + message
        while data:
            data = data[os.write(self._descriptor, data) :]

    def report(self, error: Mapping[str, Any]) -> None:
        """Write an error."""
        if os.environ.get("AWS_LAMBDA_LOG_FORMAT") == "JSON":
            now = time.strftime(SHORT_TIME, time.gmtime())
            self.write(to_json({"timestamp": now, "level": "ERROR", **error}))
            return
        kind, message = error["errorType"], error["errorMessage"]
        lines = [f"[ERROR] {kind}" + (f": {message}" if message else ""), "Traceback (most recent call last):"]
        for entry in error["stackTrace"]:
            for line in entry.splitlines():
                text = line.lstrip(" ")
                lines.append("\u00a0" * (len(line) - len(text)) + text)
        self.write("\n".join(lines))


class Records(logging.Handler):
    """Hands records on to the log. As with AWS's client, one that cannot be formatted fails where it is made."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self.log = log
        self.addFilter(self._stamp)

    def emit(self, record: logging.LogRecord) -> None:
        self.log.write(self.format(record))

    @staticmethod
    def _stamp(record: logging.LogRecord) -> bool:
        record.aws_request_id, record.tenant_id = REQUEST["id"], REQUEST["tenant"]
        return True


class JsonLines(logging.Formatter):
    """One JSON object a record, with whatever the record has been given beside it."""

    # `taskName`, which newer Pythons have, is not among those that AWS's client knows.
    KNOWN = {"aws_request_id", "tenant_id", *vars(logging.makeLogRecord({}))} - {"taskName"}

    def format(self, record: logging.LogRecord) -> str:
        message: Any = record.msg
        line: dict[str, Any] = {
            "timestamp": self.formatTime(record, SHORT_TIME),
            "level": logging.getLevelName(min(50, max(0, record.levelno)) // 10 * 10),
            "message": message if isinstance(message, dict) and not record.args else record.getMessage(),
            "logger": record.name,
            "stackTrace": None,
            "errorType": None,
            "errorMessage": None,
            "requestId": record.__dict__.get("aws_request_id"),
            "location": None,
        }
        raised: Any = record.exc_info
        if raised:
            kind, error, trace = raised
            line["stackTrace"] = traceback.format_tb(trace)
            line["errorType"], line["errorMessage"] = kind.__name__, str(error)
            line["location"] = f"{record.pathname}:{record.funcName}:{record.lineno}"
        if REQUEST["tenant"] is not None:
            line["tenantId"] = REQUEST["tenant"]
        line |= {key: value for key, value in vars(record).items() if key not in self.KNOWN and key not in line}
        shown = {key: value for key, value in line.items() if value is not None}
        return json.dumps(shown, ensure_ascii=False, default=str) + "\n"


def set_up_logging(log: Log) -> None:
    """Send records to the log in the layout of AWS's client."""
    logging.Formatter.converter = time.gmtime
    handler = Records(log)
    if os.environ.get("AWS_LAMBDA_LOG_FORMAT") == "JSON":
        handler.setFormatter(JsonLines())
    else:
        layout = "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n"
        handler.setFormatter(logging.Formatter(layout, "%Y-%m-%dT%H:%M:%S"))
    root = logging.getLogger()
    level = os.environ.get("AWS_LAMBDA_LOG_LEVEL", "").upper()
    if level:
        root.setLevel({"TRACE": "DEBUG", "FATAL": "CRITICAL"}.get(level, level))
    root.addHandler(handler)


def run_before_snapshot() -> None:
    """Run what was registered for the moment before a snapshot: the last one first."""
    hooks: Any = importlib.import_module("snapshot_restore_py")
    registered = hooks.get_before_snapshot()
    while registered:
        function, arguments, named = registered.pop()
        function(*arguments, **named)


def run_after_restore() -> None:
    """Run what was registered for the moment after a restore: the first one first."""
    hooks: Any = importlib.import_module("snapshot_restore_py")
    for function, arguments, named in hooks.get_after_restore():
        function(*arguments, **named)


def main(wait: Callable[[], None] | None = None) -> None:
    """Initialise, then serve events until the environment ends.

    A process that is a snapshot waits by `wait`, which returns in copies of it that are restored environments.
    """
    # Written through: what an event printed is in the log before its answer is posted.
    sys.stdout = io.TextIOWrapper(open(1, "wb", buffering=0, closefd=False), "utf-8", write_through=True)  # noqa: SIM115
    api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"], timeout=None)

    def fail(path: str, error: BaseException, kind: str, status: int) -> NoReturn:
        description = describe(error, "")
        log.report(description)
        post_error(path, description, kind)
        sys.exit(status)

    def call(
        method: str, path: str, body: bytes | str | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[dict[str, str], bytes]:
        api.request(method, PREFIX + path, body=body, headers=headers or {})
        answer = api.getresponse()
        return dict(answer.headers.items()), answer.read()

    def post_error(path: str, error: Mapping[str, Any], kind: str | None = None) -> None:
        call("POST", path, to_json(error).encode(), {"Lambda-Runtime-Function-Error-Type": kind or error["errorType"]})

    log = Log()
    set_up_logging(log)
    try:
        handler = find_handler(os.environ["_HANDLER"])
    except Exception as error:  # noqa: BLE001 - whatever importing raises is the function's failure
        logging.warning(WARNING)
        description = describe(error, "")
        log.report(description)
        post_error("/init/error", description)
        sys.exit(1)
    if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
        # As in AWS's client, whatever a hook raises ends the process, also what is no `Exception`.
        try:
            run_before_snapshot()
            if wait is not None:
                wait()
                api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"], timeout=None)
            call("GET", "/restore/next")
        except BaseException as error:  # noqa: BLE001
            fail("/init/error", error, "Runtime.BeforeSnapshotError", 64)
        try:
            run_after_restore()
        except BaseException as error:  # noqa: BLE001
            fail("/restore/error", error, "Runtime.AfterRestoreError", 65)
    while True:
        headers, event = call("GET", "/invocation/next")
        request_id = headers["Lambda-Runtime-Aws-Request-Id"]
        REQUEST["id"], REQUEST["tenant"] = request_id, headers.get("Lambda-Runtime-Aws-Tenant-Id")
        os.environ["_X_AMZN_TRACE_ID"] = headers.get("Lambda-Runtime-Trace-Id") or ""
        path = f"/invocation/{request_id}"
        try:
            context = Context(headers)
            try:
                event = json.loads(event)
            except ValueError as error:
                text = f"Unable to unmarshal input: {error}"
                raise Failure("Runtime.UnmarshalError", text) from None
            result = handler(event, context)
            kind = "application/json"
            if isinstance(result, bytes):
                body, kind = result, "application/unknown"
            else:
                try:
                    body = to_json(result).encode()
                except Exception as error:  # noqa: BLE001 - an object's own `_asdict` may raise anything
                    raise Failure("Runtime.MarshalError", f"Unable to marshal response: {error}") from None
        except Exception as error:  # noqa: BLE001 - whatever the handler raises is its answer
            description = describe(error, request_id)
            log.report(description)
            post_error(path + "/error", description)
        else:
            call("POST", path + "/response", body, {"Content-Type": kind})


if __name__ == "__main__":
    sys.path[:] = sys.argv[1].split(os.pathsep)
    sys.argv[:] = ["/var/runtime/bootstrap.py"]
    main()
