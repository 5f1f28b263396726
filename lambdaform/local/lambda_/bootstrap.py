"""A small runtime client, for systems and interpreters AWS's own is not installed for.

    python -S bootstrap.py SEARCH_PATH

A prepared parent imports it instead, and its children call `main`. Standard library and the public Runtime API only.
Answers, error bodies and log lines are those of AWS's client:
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

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
from typing import Any, NoReturn

PREFIX = "/2018-06-01/runtime"
REQUEST = {"id": ""}


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


def plain(value: Any) -> Any:
    """A value JSON does not know as one it does: decimals are numbers."""
    if isinstance(value, decimal.Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def emit(line: str) -> None:
    """Write one line of the log."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def report(error: Mapping[str, Any]) -> None:
    """Log an error as one event: carriage returns between its lines, as AWS's client does."""
    kind, message = error["errorType"], error["errorMessage"]
    if os.environ.get("AWS_LAMBDA_LOG_FORMAT") == "JSON":
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        emit(json.dumps({"timestamp": now, "level": "ERROR", **error}))
        return
    lines = [f"[ERROR] {kind}" + (f": {message}" if message else ""), "Traceback (most recent call last):"]
    for entry in error["stackTrace"]:
        for line in entry.splitlines():
            text = line.lstrip(" ")
            lines.append("\u00a0" * (len(line) - len(text)) + text)
    emit("\r".join(lines))


class JsonLines(logging.Formatter):
    """One JSON object a record."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname,
            "message": record.getMessage(),
            "logger": record.name,
            "requestId": REQUEST["id"],
        }
        return json.dumps(line)


class TextLines(logging.Formatter):
    """Level, time, request id and message, separated by tabs."""

    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        record.aws_request_id = REQUEST["id"]
        return super().format(record)


def set_up_logging() -> None:
    """Send records to standard output in the layout of AWS's client."""
    handler = logging.StreamHandler(sys.stdout)
    if os.environ.get("AWS_LAMBDA_LOG_FORMAT") == "JSON":
        handler.setFormatter(JsonLines())
    else:
        layout = "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s"
        handler.setFormatter(TextLines(layout, "%Y-%m-%dT%H:%M:%S"))
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
        report(description)
        post_error(path, description, kind)
        sys.exit(status)

    def call(
        method: str, path: str, body: bytes | str | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[dict[str, str], bytes]:
        api.request(method, PREFIX + path, body=body, headers=headers or {})
        answer = api.getresponse()
        return dict(answer.headers.items()), answer.read()

    def post_error(path: str, error: Mapping[str, Any], kind: str | None = None) -> None:
        call("POST", path, json.dumps(error), {"Lambda-Runtime-Function-Error-Type": kind or error["errorType"]})

    set_up_logging()
    # Runtimes before python3.12 escape what is not ASCII.
    is_escaped = os.environ.get("AWS_EXECUTION_ENV", "") in {f"AWS_Lambda_python3.{minor}" for minor in range(12)}
    try:
        handler = find_handler(os.environ["_HANDLER"])
    except Exception as error:  # noqa: BLE001 - whatever importing raises is the function's failure
        description = describe(error, "")
        report(description)
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
        REQUEST["id"] = headers["Lambda-Runtime-Aws-Request-Id"]
        os.environ["_X_AMZN_TRACE_ID"] = headers.get("Lambda-Runtime-Trace-Id") or ""
        path = f"/invocation/{REQUEST['id']}"
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
                    body = json.dumps(result, ensure_ascii=is_escaped, default=plain).encode()
                except (TypeError, ValueError) as error:
                    raise Failure("Runtime.MarshalError", f"Unable to marshal response: {error}") from None
        except Exception as error:  # noqa: BLE001 - whatever the handler raises is its answer
            description = describe(error, REQUEST["id"])
            report(description)
            post_error(path + "/error", description)
        else:
            call("POST", path + "/response", body, {"Content-Type": kind})


if __name__ == "__main__":
    sys.path[:] = sys.argv[1].split(os.pathsep)
    sys.argv[:] = ["/var/runtime/bootstrap.py"]
    main()
