"""Runtimes.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html
"""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import subprocess
import zipfile
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import pytest

from lambdaform.local.lambda_.interpreters import dotnet, javas, node, pythons, ruby
from tests.conformance.facts import fact
from tests.local.conftest import ROLE, Aws, own, payload, refusal, start, stop, unique, zipped

PYTHON = "https://docs.aws.amazon.com/lambda/latest/dg/lambda-python.html"
NODE = "https://docs.aws.amazon.com/lambda/latest/dg/lambda-nodejs.html"
NODE_HANDLER = "https://docs.aws.amazon.com/lambda/latest/dg/nodejs-handler.html"
NODE_CONTEXT = "https://docs.aws.amazon.com/lambda/latest/dg/nodejs-context.html"
NODE_CLIENT = "https://github.com/aws/aws-lambda-nodejs-runtime-interface-client"
NODE_LOGS = "https://docs.aws.amazon.com/lambda/latest/dg/nodejs-logging.html"
RUBY = "https://docs.aws.amazon.com/lambda/latest/dg/ruby-handler.html"
RUBY_LAYERS = "https://docs.aws.amazon.com/lambda/latest/dg/ruby-layers.html"
JAVA = "https://docs.aws.amazon.com/lambda/latest/dg/lambda-java.html"
JAVA_LAYERS = "https://docs.aws.amazon.com/lambda/latest/dg/java-layers.html"
JAVA_OPTIONS = "https://docs.aws.amazon.com/lambda/latest/dg/java-customization.html"
DOTNET_HANDLER = "https://docs.aws.amazon.com/lambda/latest/dg/csharp-handler.html"
CUSTOM = "https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html"
needs_node = pytest.mark.skipif(node() is None, reason="no Node.js on this machine")
needs_ruby = pytest.mark.skipif(ruby() is None, reason="no Ruby on this machine")
needs_javac = pytest.mark.skipif(
    not javas() or shutil.which("javac") is None, reason="no Java on this machine, or no compiler for it"
)
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="the custom runtime of this test uses curl")
OTHERS = sorted(version for version in pythons() if version in ("3.12", "3.13", "3.14"))

ECHO = r"""#!/bin/sh
while true; do
  EVENT=$(curl -sS -D /tmp/head "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/next")
  ID=$(grep -i request-id /tmp/head | tr -d '[:space:]' | cut -d: -f2)
  URL="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/$ID/response"
  curl -sS -X POST "$URL" -d "{\"event\": $EVENT, \"env\": \"$AWS_EXECUTION_ENV\", \"handler\": \"$_HANDLER\"}" >&2
done
"""


def packed(files: Mapping[str, str], *, executable: bool = False) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (0o100755 if executable else 0o100644) << 16
            archive.writestr(entry, text)
    return data.getvalue()


def made(awslambda: Any, runtime: str, handler: str, code: bytes, **settings: Any) -> str:
    name = unique()
    settings = {"Timeout": 10, **settings}
    awslambda.create_function(
        FunctionName=name, Runtime=runtime, Handler=handler, Role=ROLE, Code={"ZipFile": code}, **settings
    )
    return name


def javascript(awslambda: Any, source: str, *, file: str = "index.js", runtime: str = "nodejs22.x", **more: Any) -> str:
    return made(awslambda, runtime, "index.handler", zipped({file: source}), **more)


def logged(answer: Mapping[str, Any]) -> str:
    return base64.b64decode(answer["LogResult"]).decode()


def records(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a function that logs JSON has logged itself."""
    return [each for line in logged(answer).splitlines() if "level" in (each := json.loads(line))]


@pytest.mark.parametrize("version", OTHERS)
@fact(
    "python3.12 to python3.14",
    "each runs under its own version of Python",
    here="partly",
    gap="where it is installed, else under the version of the local AWS, as said at start",
    source=PYTHON,
)
def test_a_function_runs_under_its_own_python_with_boto3(awslambda: Any, version: str) -> None:
    source = (
        "import sys, boto3\n"
        "def handler(event, context):\n"
        "    buckets = boto3.client('s3').list_buckets()['ResponseMetadata']['HTTPStatusCode']\n"
        "    return ['%d.%d' % sys.version_info[:2], buckets, context.function_version]\n"
    )
    name = made(awslambda, f"python{version}", "app.handler", zipped({"app.py": source}), Timeout=30)

    assert payload(awslambda.invoke(FunctionName=name)) == [version, 200, "$LATEST"]


@needs_node
@fact("nodejs", "asynchronous handlers of CommonJS modules", source=NODE)
def test_an_asynchronous_javascript_handler_answers(awslambda: Any) -> None:
    name = javascript(
        awslambda,
        "exports.handler = async (event, context) => ({ event, name: context.functionName,"
        " left: context.getRemainingTimeInMillis() > 0, cwd: process.cwd() })",
    )

    answer = payload(awslambda.invoke(FunctionName=name, Payload=b'{"x": 1}'))

    assert answer == {"event": {"x": 1}, "name": name, "left": True, "cwd": "/var/task"}


@needs_node
@fact("nodejs", "ES modules, and handlers that call back before Node.js 24", source=NODE)
def test_an_es_module_may_call_back(awslambda: Any) -> None:
    source = "export const handler = (event, context, callback) => { setTimeout(() => callback(null, 7), 5) }"
    name = javascript(awslambda, source, file="index.mjs")

    assert payload(awslambda.invoke(FunctionName=name)) == 7


@needs_node
@fact("nodejs", "handlers that take a callback are refused from Node.js 24 on", source=NODE)
def test_callbacks_are_gone_in_node_24(awslambda: Any) -> None:
    name = javascript(
        awslambda, "exports.handler = (event, context, callback) => callback(null, 1)", runtime="nodejs24.x"
    )

    assert payload(awslambda.invoke(FunctionName=name))["errorType"] == "Runtime.CallbackHandlerDeprecated"


def busy(call: str) -> str:
    """A handler that calls back while more than its time is left to do."""
    return f"exports.handler = (event, context, callback) => {{ setTimeout(() => {{}}, 60000); {call} }}"


@needs_node
@fact("nodejs", "what context.succeed, fail and done are called with, or an error, is answered at once", source=NODE)
@pytest.mark.parametrize(
    ("call", "answered"),
    [
        ("context.succeed(7)", 7),
        ("context.done(null, 7)", 7),
        ("context.fail('no')", "no"),
        ("context.fail()", "handled"),
        ("context.done('no')", "no"),
        ("callback('no')", "no"),
        ("context.callbackWaitsForEmptyEventLoop = false; callback(null, 7)", 7),
    ],
)
def test_calling_back_answers_at_once(awslambda: Any, call: str, answered: Any) -> None:
    answer = payload(awslambda.invoke(FunctionName=javascript(awslambda, busy(call))))

    assert (answer if answered == 7 else answer["errorMessage"]) == answered


@needs_node
@fact("callbackWaitsForEmptyEventLoop", "the answer of callback waits for what is left to do", source=NODE_CONTEXT)
def test_a_callbacks_answer_waits_for_what_is_left_to_do(awslambda: Any) -> None:
    source = (
        "exports.handler = (event, context, callback) => {"
        " const seen = []; callback(null, seen); setTimeout(() => seen.push('late'), 20) }"
    )

    assert payload(awslambda.invoke(FunctionName=javascript(awslambda, source))) == ["late"]


@needs_node
@fact("nodejs", "of several calls back the first one counts", source=NODE_CLIENT)
@pytest.mark.parametrize(
    "body",
    [
        "context.succeed(1); context.fail('x'); callback(null, 2)",
        "callback(null, 1); context.succeed(2); throw new Error('x')",
        "callback(null, 1); return Promise.resolve(2)",
    ],
)
def test_the_first_call_back_counts(awslambda: Any, body: str) -> None:
    name = javascript(awslambda, f"exports.handler = (event, context, callback) => {{ {body} }}")

    assert [payload(awslambda.invoke(FunctionName=name)) for _ in range(2)] == [1, 1]


@needs_node
@fact("nodejs", "an async handler with nothing left to do that never settles is Runtime.NodeJsExit", source=NODE_CLIENT)
def test_a_promise_that_never_settles_is_an_error_and_the_process_goes_on(awslambda: Any) -> None:
    name = javascript(
        awslambda,
        "let count = 0; exports.handler = async (event) => event.ok ? ++count : await new Promise(() => count++)",
    )

    answer = awslambda.invoke(FunctionName=name, LogType="Tail")
    following = payload(awslambda.invoke(FunctionName=name, Payload=b'{"ok": true}'))

    error = payload(answer)
    assert error["errorType"] == "Runtime.NodeJsExit"
    assert "most commonly caused by a Promise that was never settled" in error["errorMessage"]
    assert error["trace"][0] == f"Runtime.NodeJsExit: {error['errorMessage']}"
    assert '\tERROR\tInvoke Error \t{"errorType":"Runtime.NodeJsExit"' in logged(answer)
    assert following == 2


@needs_node
@fact("nodejs", "a handler that is not async and has nothing left to do answers null", source=NODE_CLIENT)
@pytest.mark.parametrize("body", ["", "return new Promise(() => {})"])
def test_a_handler_that_never_calls_back_answers_null(awslambda: Any, body: str) -> None:
    name = javascript(awslambda, f"exports.handler = (event, context, callback) => {{ {body} }}")

    answer = awslambda.invoke(FunctionName=name)

    assert (answer.get("FunctionError"), payload(answer)) == (None, None)


@needs_node
@fact(
    "nodejs",
    "from Node.js 24 on, what a handler returns is its answer, whether or not it is async",
    source=NODE_HANDLER,
)
def test_a_synchronous_handler_answers_in_node_24(awslambda: Any) -> None:
    source = "exports.handler = (event, context) => { setTimeout(() => {}, 60000); return Object.keys(context).length }"

    assert payload(awslambda.invoke(FunctionName=javascript(awslambda, source, runtime="nodejs24.x"))) > 0


@needs_node
@fact("nodejs", "from Node.js 24 on, a promise that never settles ends the process", source=NODE_CLIENT)
def test_a_promise_that_never_settles_ends_the_process_in_node_24(awslambda: Any) -> None:
    name = javascript(awslambda, "exports.handler = async () => new Promise(() => {})", runtime="nodejs24.x")

    assert payload(awslambda.invoke(FunctionName=name))["errorType"] == "Runtime.ExitError"


@needs_node
@fact("nodejs", "a result that is no JSON fails, by a type of its own from Node.js 24 on", source=NODE_CLIENT)
@pytest.mark.parametrize(("runtime", "kind"), [("nodejs22.x", "Error"), ("nodejs24.x", "Runtime.JSONStringifyError")])
@pytest.mark.parametrize("body", ["return 1n", "const a = {}; a.a = a; return a"], ids=["bigint", "circular"])
def test_a_javascript_result_that_is_no_json_fails(awslambda: Any, body: str, runtime: str, kind: str) -> None:
    name = javascript(awslambda, f"exports.handler = async () => {{ {body} }}", runtime=runtime)

    answer = awslambda.invoke(FunctionName=name, LogType="Tail")
    error = payload(answer)

    assert (error["errorType"], error["errorMessage"]) == (kind, "Unable to stringify response body")
    assert "\tInvoke Error \t{" in logged(answer)


@needs_node
@fact("nodejs", "what an ES module imports in vain is told by Node.js's own error", source=NODE_CLIENT)
def test_a_missing_import_is_told_by_nodes_own_error(awslambda: Any) -> None:
    name = javascript(awslambda, "import 'nothing-like-this'; export const handler = async () => 1", file="index.mjs")

    answer = awslambda.invoke(FunctionName=name, LogType="Tail")
    error = payload(answer)

    told = "Cannot find package 'nothing-like-this' imported from /var/task/index.mjs"
    assert (error["errorType"], error["errorMessage"]) == ("Error", told)
    assert '"code":"ERR_MODULE_NOT_FOUND"' in logged(answer)


@needs_node
@fact("nodejs", "what a handler throws is answered with errorType, errorMessage, trace", source=NODE)
def test_what_javascript_throws_is_the_answer(awslambda: Any) -> None:
    name = javascript(awslambda, "exports.handler = async () => { throw new TypeError('bad') }")

    answer = awslambda.invoke(FunctionName=name, LogType="Tail")
    error = payload(answer)

    assert answer["FunctionError"] == "Unhandled"
    assert (error["errorType"], error["errorMessage"], error["trace"][0]) == ("TypeError", "bad", "TypeError: bad")
    assert set(error) == {"errorType", "errorMessage", "trace"}
    assert "\tERROR\tInvoke Error \t{" in logged(answer)


@needs_node
@fact("nodejs", "a handler that is missing fails the initialisation by AWS's name for it", source=NODE)
@pytest.mark.parametrize(
    ("handler", "kind"),
    [
        ("index.nothing", "Runtime.HandlerNotFound"),
        ("nothing.handler", "Runtime.ImportModuleError"),
        ("index", "Runtime.MalformedHandlerName"),
    ],
)
def test_a_missing_javascript_handler_is_named(awslambda: Any, handler: str, kind: str) -> None:
    name = made(awslambda, "nodejs22.x", handler, zipped({"index.js": "exports.handler = 1"}))

    assert payload(awslambda.invoke(FunctionName=name))["errorType"] == kind


@needs_node
@fact("nodejs", "a promise that nobody handles ends the process", source=NODE)
def test_an_unhandled_rejection_ends_the_process(awslambda: Any) -> None:
    name = javascript(
        awslambda,
        "exports.handler = async () => { Promise.reject(new Error('x'));"
        " await new Promise((done) => setTimeout(done, 500)) }",
    )

    assert payload(awslambda.invoke(FunctionName=name))["errorType"] == "Runtime.UnhandledPromiseRejection"


@needs_node
@fact("nodejs", "console lines carry time, request id and level; a message is one event", source=NODE_LOGS)
def test_console_lines_are_tabbed(awslambda: Any) -> None:
    name = javascript(awslambda, "exports.handler = async () => { console.warn('a\\nb', { c: 1 }) }")

    answer = awslambda.invoke(FunctionName=name, LogType="Tail")

    [line] = [line for line in logged(answer).split("\n") if "\tWARN\t" in line]
    assert line.split("\t")[1] == answer["ResponseMetadata"]["RequestId"]
    assert line.split("\t")[3] == "a\rb { c: 1 }"


@needs_node
@fact("nodejs", "JSON logging writes objects, at or above the level set", source=NODE_LOGS)
def test_console_lines_are_json_where_the_function_asks_for_it(awslambda: Any) -> None:
    name = javascript(
        awslambda,
        "exports.handler = async () => { console.info('no'); console.error('yes', 1) }",
        LoggingConfig={"LogFormat": "JSON", "ApplicationLogLevel": "WARN"},
    )

    lines = [
        json.loads(line) for line in logged(awslambda.invoke(FunctionName=name, LogType="Tail")).splitlines() if line
    ]

    [own] = [line for line in lines if "level" in line]
    assert (own["level"], own["message"]) == ("ERROR", "yes 1")


@needs_node
@fact("nodejs", "JSON logging keeps the kind of what is logged alone", source=NODE_LOGS)
@pytest.mark.parametrize(
    ("value", "message"),
    [("7", 7), ("null", None), ("'a'", "a"), ("[true]", [True]), ("{ a: { b: 1 } }", {"a": {"b": 1}})],
)
def test_a_value_logged_alone_keeps_its_kind(awslambda: Any, value: str, message: Any) -> None:
    source = f"exports.handler = async () => {{ console.log({value}) }}"
    name = javascript(awslambda, source, LoggingConfig={"LogFormat": "JSON"})

    [record] = records(awslambda.invoke(FunctionName=name, LogType="Tail"))

    assert record["message"] == message


@needs_node
@fact("nodejs", "JSON logging spells errors out, alone, in objects and beside other values", source=NODE_LOGS)
def test_errors_are_spelled_out_in_json(awslambda: Any) -> None:
    source = (
        "class Broken extends TypeError {}\n"
        "exports.handler = async () => {\n"
        "  const error = Object.assign(new Broken('bad'), { code: 'E1' });\n"
        "  console.error(error); console.error({ error }); console.error('a', error);\n"
        "  const round = {}; round.round = round; console.error(round);\n"
        "}\n"
    )
    name = javascript(awslambda, source, LoggingConfig={"LogFormat": "JSON"})

    alone, inside, beside, circular = records(awslambda.invoke(FunctionName=name, LogType="Tail"))

    error = alone["message"]
    assert (error["errorType"], error["errorMessage"], error["code"]) == ("Broken", "bad", "E1")
    assert error["stackTrace"][1].startswith("    at exports.handler (/var/task/index.js:3:")
    assert inside["message"] == {"error": error}
    assert beside["message"].startswith("a Broken")
    assert {key: beside[key] for key in ("errorType", "errorMessage")} == {"errorType": "Broken", "errorMessage": "bad"}
    assert circular["message"].startswith("<ref *1>")


@needs_node
@fact("TenancyConfig", "context and JSON log lines of nodejs have the tenant", source=NODE_CLIENT)
def test_javascript_has_the_tenant_in_context_and_log(awslambda: Any) -> None:
    name = javascript(
        awslambda,
        "exports.handler = async (event, context) => { console.log('x'); return context.tenantId }",
        LoggingConfig={"LogFormat": "JSON"},
        TenancyConfig={"TenantIsolationMode": "PER_TENANT"},
    )

    answer = awslambda.invoke(FunctionName=name, TenantId="blue", LogType="Tail")

    assert payload(answer) == "blue"
    assert [each["tenantId"] for each in records(answer)] == ["blue"]


@needs_node
@fact("nodejs", "errors that fail an event are logged with properties of their own, such as code", source=NODE_CLIENT)
@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("throw error", "Invoke Error"),
        (
            "setImmediate(() => { throw error }); await new Promise((done) => setTimeout(done, 5000))",
            "Uncaught Exception",
        ),
    ],
    ids=["thrown", "uncaught"],
)
def test_errors_are_logged_with_their_own_properties(awslambda: Any, body: str, what: str) -> None:
    source = (
        "exports.handler = async () => {"
        f" const error = Object.assign(new Error('bad'), {{ code: 'E1', more: {{ a: 1 }} }}); {body} }}"
    )

    text = awslambda.invoke(FunctionName=javascript(awslambda, source), LogType="Tail")
    lines = awslambda.invoke(
        FunctionName=javascript(awslambda, source, LoggingConfig={"LogFormat": "JSON"}), LogType="Tail"
    )

    [found] = re.findall(rf"\tERROR\t{what} \t(.*)", logged(text))
    error = json.loads(found)
    assert (list(error), error["more"]) == (["errorType", "errorMessage", "code", "more", "stack"], {"a": 1})
    [record] = records(lines)
    assert (record["message"]["code"], record["message"]["more"]) == ("E1", {"a": 1})
    assert set(payload(text)) == {"errorType", "errorMessage", "trace"}


@needs_node
@fact("nodejs", "a promise that nobody handles is logged with the reason it was rejected for", source=NODE_CLIENT)
def test_an_unhandled_rejection_is_logged_with_its_reason(awslambda: Any) -> None:
    name = javascript(
        awslambda,
        "exports.handler = async () => { Promise.reject(Object.assign(new Error('x'), { code: 'E1' }));"
        " await new Promise((done) => setTimeout(done, 5000)) }",
    )

    log = logged(awslambda.invoke(FunctionName=name, LogType="Tail"))

    [found] = re.findall(r"\tERROR\tUnhandled Promise Rejection \t(.*)", log)
    reason = json.loads(found)["reason"]
    assert (reason["errorType"], reason["errorMessage"], reason["code"]) == ("Error", "x", "E1")


@needs_node
@fact("nodejs", "modules in a layer's nodejs/node_modules are found", source=NODE)
def test_a_layers_modules_are_found(awslambda: Any) -> None:
    layer = awslambda.publish_layer_version(
        LayerName=unique(), Content={"ZipFile": zipped({"nodejs/node_modules/shared/index.js": "module.exports = 42"})}
    )["LayerVersionArn"]
    common = javascript(awslambda, "exports.handler = async () => require('shared')", Layers=[layer])
    source = "import shared from 'shared'; export const handler = async () => shared"
    module = javascript(awslambda, source, file="index.mjs", Layers=[layer])

    assert payload(awslambda.invoke(FunctionName=common)) == 42
    assert payload(awslambda.invoke(FunctionName=module)) == 42


@needs_node
@fact(
    "AWS SDK for JavaScript",
    "version 3 is there without being packaged",
    here="partly",
    gap="only from the folder that LAMBDAFORM_NODE_MODULES names",
    source=NODE,
)
def test_the_javascript_sdk_is_not_shipped(awslambda: Any) -> None:
    name = javascript(awslambda, "require('@aws-sdk/client-s3'); exports.handler = async () => 1")

    answer = payload(awslambda.invoke(FunctionName=name))

    assert answer == 1 or answer["errorType"] == "Runtime.ImportModuleError"


@fact(
    "AWS_LAMBDA_EXEC_WRAPPER",
    "the program it names starts the runtime, in an environment of its making",
    source="https://docs.aws.amazon.com/lambda/latest/dg/runtimes-modify.html",
)
@pytest.mark.parametrize("runtime", ["python3.11", *(f"python{version}" for version in OTHERS[:1])])
def test_a_wrapper_starts_the_runtime(awslambda: Any, runtime: str) -> None:
    code = packed(
        {
            "wrapper": '#!/bin/sh\nexport GREETING="hello from $AWS_LAMBDA_EXEC_WRAPPER"\nexec "$@"\n',
            "app.py": "import os\ndef handler(event, context):\n    return os.environ['GREETING']\n",
        },
        executable=True,
    )
    environment = {"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/var/task/wrapper"}}
    name = made(awslambda, runtime, "app.handler", code, Environment=environment)

    assert payload(awslambda.invoke(FunctionName=name)) == "hello from /var/task/wrapper"


@fact(
    "AWS_LAMBDA_EXEC_WRAPPER",
    "one that is missing ends the runtime with status 127",
    source="https://docs.aws.amazon.com/lambda/latest/dg/runtimes-modify.html",
)
def test_a_missing_wrapper_ends_the_runtime(awslambda: Any) -> None:
    environment = {"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/nothing"}}
    name = made(awslambda, "python3.11", "app.handler", zipped({"app.py": ""}), Environment=environment)

    error = payload(awslambda.invoke(FunctionName=name))

    assert error["errorType"] == "Runtime.ExitError"
    assert error["errorMessage"].endswith("Runtime exited with error: exit status 127")


@needs_curl
@fact("provided.al2023", "the package's bootstrap is started and speaks the Runtime API", source=CUSTOM)
def test_a_bootstrap_serves_events(awslambda: Any) -> None:
    name = made(awslambda, "provided.al2023", "any.thing", packed({"bootstrap": ECHO}, executable=True))

    answers = [payload(awslambda.invoke(FunctionName=name, Payload=b'{"n": 1}')) for _ in range(2)]

    assert answers == [{"event": {"n": 1}, "env": "", "handler": "any.thing"}] * 2


@needs_curl
@fact("provided.al2023", "a bootstrap in a layer serves functions that bring none", source=CUSTOM)
def test_a_bootstrap_may_be_in_a_layer(awslambda: Any) -> None:
    layer = awslambda.publish_layer_version(
        LayerName=unique(), Content={"ZipFile": packed({"bootstrap": ECHO}, executable=True)}
    )["LayerVersionArn"]
    name = made(awslambda, "provided.al2023", "x", zipped({"data": "1"}), Layers=[layer])

    assert payload(awslambda.invoke(FunctionName=name, Payload=b"3"))["event"] == 3


@fact("provided.al2023", "without an executable bootstrap the answer is Runtime.InvalidEntrypoint", source=CUSTOM)
@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("data", "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]"),
        ("bootstrap", "fork/exec /var/task/bootstrap: permission denied"),
    ],
)
def test_a_bootstrap_that_cannot_start_is_said(awslambda: Any, file: str, told: str) -> None:
    name = made(awslambda, "provided.al2023", "x", zipped({file: "#!/bin/sh"}))

    answer = awslambda.invoke(FunctionName=name)
    error = payload(answer)

    assert answer["FunctionError"] == "Unhandled"
    assert error["errorType"] == "Runtime.InvalidEntrypoint"
    assert error["errorMessage"] == f"RequestId: {answer['ResponseMetadata']['RequestId']} Error: {told}"


def in_ruby(awslambda: Any, source: str, *, handler: str = "app.handler", **more: Any) -> str:
    return made(awslambda, "ruby3.4", handler, zipped({"app.rb": source}), **more)


@needs_ruby
@fact(
    "ruby",
    "handlers are methods that take event: and context:",
    here="partly",
    gap="under the ruby that is installed, whichever version, and a client of our own",
    source=RUBY,
)
def test_a_ruby_handler_answers(awslambda: Any) -> None:
    name = in_ruby(
        awslambda,
        "def handler(event:, context:)\n"
        "  { event: event, name: context.function_name, left: context.get_remaining_time_in_millis.positive?,\n"
        "    stream: context.log_stream_name == ENV['AWS_LAMBDA_LOG_STREAM_NAME'], cwd: Dir.pwd }\n"
        "end\n",
    )

    answers = [payload(awslambda.invoke(FunctionName=name, Payload=b'{"x": 1}')) for _ in range(2)]

    assert answers == [{"event": {"x": 1}, "name": name, "left": True, "stream": True, "cwd": "/var/task"}] * 2


@needs_ruby
@fact("ruby", "a handler may be a method of a class, and answer with a stream", source=RUBY)
def test_a_ruby_handler_may_be_in_a_class(awslambda: Any) -> None:
    source = (
        "module Shop\n  class Api\n    def self.run(event:, context:)\n      StringIO.new('raw')\n    end\n  end\nend\n"
    )
    name = in_ruby(awslambda, source, handler="app.Shop::Api.run")

    assert awslambda.invoke(FunctionName=name)["Payload"].read() == b"raw"


@needs_ruby
@fact(
    "ruby",
    "what a handler raises is answered with errorMessage, errorType, stackTrace",
    source="https://docs.aws.amazon.com/lambda/latest/dg/ruby-exceptions.html",
)
@pytest.mark.parametrize(
    ("source", "kind", "message"),
    [
        ("def handler(event:, context:)\n  raise 'bad'\nend\n", "Function<RuntimeError>", "bad"),
        ("def handler(event:, context:)\n  exit 3\nend\n", "Function<SystemExit>", "exit"),
        ("raise ArgumentError, 'no'\n", "Init<ArgumentError>", "no"),
    ],
    ids=["handler", "exit", "init"],
)
def test_what_ruby_raises_is_the_answer(awslambda: Any, source: str, kind: str, message: str) -> None:
    name = in_ruby(awslambda, source)

    answer = awslambda.invoke(FunctionName=name, LogType="Tail")
    error = payload(answer)

    assert answer["FunctionError"] == "Unhandled"
    assert (error["errorType"], error["errorMessage"]) == (kind, message)
    assert error["stackTrace"][0].startswith("/var/task/app.rb:")
    assert f'"errorType": "{kind}"' in logged(answer)


@needs_ruby
@fact("ruby", "a handler that is missing fails by the name of Ruby's own error", source=RUBY)
@pytest.mark.parametrize(
    ("handler", "kind"),
    [("app.nothing", "Function<NoMethodError>"), ("none.handler", "Init<LoadError>"), ("app", "Init<ArgumentError>")],
)
def test_a_missing_ruby_handler_is_named(awslambda: Any, handler: str, kind: str) -> None:
    name = in_ruby(awslambda, "def handler(event:, context:)\nend\n", handler=handler)

    assert payload(awslambda.invoke(FunctionName=name))["errorType"] == kind


@needs_ruby
@fact(
    "ruby",
    "lines of a Logger carry the request id, and are objects where the function asks for JSON",
    source="https://docs.aws.amazon.com/lambda/latest/dg/ruby-logging.html",
)
def test_lines_of_rubys_logger_carry_the_request(awslambda: Any) -> None:
    source = (
        "require 'logger'\n"
        "LOGGER = Logger.new($stdout)\n"
        "def handler(event:, context:)\n  LOGGER.info('hidden')\n  LOGGER.warn('shown')\nend\n"
    )
    plain = in_ruby(awslambda, source)
    objects = in_ruby(awslambda, source, LoggingConfig={"LogFormat": "JSON", "ApplicationLogLevel": "WARN"})

    answer = awslambda.invoke(FunctionName=plain, LogType="Tail")
    found = [json.loads(line) for line in logged(awslambda.invoke(FunctionName=objects, LogType="Tail")).splitlines()]

    request = answer["ResponseMetadata"]["RequestId"]
    assert re.search(rf"^W, \[\S+ #\d+\]  WARN {request} -- : shown$", logged(answer), re.MULTILINE)
    assert [each["message"] for each in found if "level" in each] == ["shown"]


@needs_ruby
@fact("ruby", "gems in a layer's ruby/gems and files in its ruby/lib are found", source=RUBY_LAYERS)
def test_a_layers_gems_are_found(awslambda: Any) -> None:
    files = {
        "ruby/gems/3.4.0/specifications/shared-1.0.gemspec": "Gem::Specification.new do |s|\n  s.name = 'shared'\n"
        "  s.version = '1.0'\n  s.summary = 's'\n  s.authors = ['a']\n  s.require_paths = ['lib']\nend\n",
        "ruby/gems/3.4.0/gems/shared-1.0/lib/shared.rb": "SHARED = 42\n",
        "ruby/lib/plain.rb": "PLAIN = 43\n",
    }
    layer = awslambda.publish_layer_version(LayerName=unique(), Content={"ZipFile": zipped(files)})["LayerVersionArn"]
    source = "require 'shared'\nrequire 'plain'\ndef handler(event:, context:)\n  [SHARED, PLAIN]\nend\n"
    name = in_ruby(awslambda, source, Layers=[layer])

    assert payload(awslambda.invoke(FunctionName=name)) == [42, 43]


@needs_ruby
@fact(
    "AWS SDK for Ruby",
    "version 3 is there without being packaged",
    here="not",
    gap="only where it is packaged, or in a layer",
    source="https://docs.aws.amazon.com/lambda/latest/dg/lambda-ruby.html",
)
def test_the_ruby_sdk_is_not_shipped(awslambda: Any) -> None:
    name = in_ruby(awslambda, "require 'aws-sdk-s3'\ndef handler(event:, context:)\nend\n")

    assert payload(awslambda.invoke(FunctionName=name))["errorType"] == "Init<LoadError>"


STAND_IN = """
package com.amazonaws.services.lambda.runtime.api.client;

import java.io.OutputStream;
import java.lang.management.ManagementFactory;
import java.net.HttpURLConnection;
import java.net.URL;
import java.nio.charset.StandardCharsets;

/** In the place of AWS's client, which these tests cannot have: calls a static method of text to text. */
public class AWSLambda {
    public static void main(String[] arguments) throws Exception {
        String runtime = "http://" + System.getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/";
        String api = runtime + "invocation/";
        String[] named = arguments[0].split("::");
        var handler = Class.forName(named[0]).getMethod(named[1], String.class);
        if (System.getenv("AWS_LAMBDA_INITIALIZATION_TYPE").equals("snap-start")) {
            System.out.println("before");
            new URL(runtime + "restore/next").openConnection().getInputStream().readAllBytes();
            System.out.println("after");
        }
        while (true) {
            var next = (HttpURLConnection) new URL(api + "next").openConnection();
            String event = new String(next.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            String id = next.getHeaderField("Lambda-Runtime-Aws-Request-Id");
            String flags = String.join(" ", ManagementFactory.getRuntimeMXBean().getInputArguments());
            String answer = "{\\"answer\\": " + handler.invoke(null, event) + ", \\"flags\\": \\"" + flags
                + "\\", \\"heap\\": " + Runtime.getRuntime().maxMemory() + "}";
            var post = (HttpURLConnection) new URL(api + id + "/response").openConnection();
            post.setDoOutput(true);
            try (OutputStream body = post.getOutputStream()) {
                body.write(answer.getBytes(StandardCharsets.UTF_8));
            }
            post.getInputStream().readAllBytes();
        }
    }
}
"""
WORKER = """
package shop;

public class Worker {
    public static String handle(String event) {
        return "[" + event + ", \\"" + System.getenv("AWS_EXECUTION_ENV") + "\\"]";
    }
}
"""


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, bytes]:
    """The class files of the stand-in for AWS's client and of a handler, by their paths."""
    folder = tmp_path_factory.mktemp("java")
    for name, source in (("AWSLambda", STAND_IN), ("Worker", WORKER)):
        (folder / f"{name}.java").write_text(source)
    command = ["javac", "--release", "11", "-d", str(folder / "out"), *(str(each) for each in folder.glob("*.java"))]
    subprocess.run(command, check=True, capture_output=True)
    return {str(each.relative_to(folder / "out")): each.read_bytes() for each in (folder / "out").rglob("*.class")}


def archived(files: Mapping[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()


@needs_javac
@fact(
    "java",
    "AWS's runtime client runs the classes of the package and the archives in its lib/",
    here="partly",
    gap="the client must be in the package, a layer or the folder that LAMBDAFORM_JAVA_CLIENT names; it runs under the "
    "Java that is installed; tried with a stand-in for AWS's client",
    source=JAVA,
)
def test_java_runs_under_the_client_in_its_package(awslambda: Any, classes: Mapping[str, bytes]) -> None:
    client, handler = (archived({n: c for n, c in classes.items() if word in n}) for word in ("AWSLambda", "Worker"))
    code = archived({"lib/client.jar": client, "lib/worker.jar": handler})
    name = made(awslambda, "java17", "shop.Worker::handle", code, MemorySize=512)

    answers = [payload(awslambda.invoke(FunctionName=name, Payload=b'{"n": 1}')) for _ in range(2)]

    assert [each["answer"] for each in answers] == [[{"n": 1}, "AWS_Lambda_java17"]] * 2
    assert "-XX:+UseSerialGC -XX:+TieredCompilation -XX:TieredStopAtLevel=1" in answers[0]["flags"]
    assert answers[0]["heap"] < 512 * 1024 * 1024


@needs_javac
@fact("java", "archives in a layer's java/lib are on the class path", source=JAVA_LAYERS)
def test_java_runs_under_the_client_in_a_layer(awslambda: Any, classes: Mapping[str, bytes]) -> None:
    client = archived({name: content for name, content in classes.items() if "AWSLambda" in name})
    layer = awslambda.publish_layer_version(
        LayerName=unique(), Content={"ZipFile": archived({"java/lib/client.jar": client})}
    )["LayerVersionArn"]
    code = archived({name: content for name, content in classes.items() if "Worker" in name})
    name = made(awslambda, "java21", "shop.Worker::handle", code, Layers=[layer], MemorySize=512)

    assert payload(awslambda.invoke(FunctionName=name, Payload=b"7"))["answer"] == [7, "AWS_Lambda_java21"]


@needs_javac
@fact("JAVA_TOOL_OPTIONS", "adds options to the JVM's, and takes the place of Lambda's own", source=JAVA_OPTIONS)
def test_java_takes_options_from_its_environment(awslambda: Any, classes: Mapping[str, bytes]) -> None:
    options = "-XX:+UseParallelGC -XX:MaxHeapSize=64m -Dcolour=blue"
    environment = {"Variables": {"JAVA_TOOL_OPTIONS": options}}
    name = made(awslambda, "java17", "shop.Worker::handle", archived(classes), Environment=environment, MemorySize=512)

    answer = payload(awslambda.invoke(FunctionName=name, Payload=b"7"))

    assert "-Dcolour=blue" in answer["flags"]
    assert "Serial" not in answer["flags"]
    assert answer["heap"] <= 64 * 1024 * 1024


@needs_javac
@fact(
    "java",
    "published versions may start from a snapshot, as SnapStart",
    here="partly",
    gap="each environment initialises anew, hooks included; tried with a stand-in for AWS's client",
    source="https://docs.aws.amazon.com/lambda/latest/dg/snapstart.html",
)
def test_java_versions_with_snapstart_initialise_anew(awslambda: Any, classes: Mapping[str, bytes]) -> None:
    name = made(
        awslambda,
        "java21",
        "shop.Worker::handle",
        archived(classes),
        SnapStart={"ApplyOn": "PublishedVersions"},
        Publish=True,
        MemorySize=512,
    )
    awslambda.get_waiter("published_version_active").wait(
        FunctionName=name, Qualifier="1", WaiterConfig={"Delay": 1, "MaxAttempts": 20}
    )

    answer = awslambda.invoke(FunctionName=name, Qualifier="1", Payload=b"7", LogType="Tail")

    assert payload(answer)["answer"] == [7, "AWS_Lambda_java21"]
    assert "Restore Duration: " in logged(answer)


@fact(
    "java",
    "AWS's runtimes bring their client along",
    here="not",
    gap="without it, invoking answers 501 and says what is missing and where to put it",
    source=JAVA,
)
def test_java_without_its_client_says_what_is_missing(awslambda: Any) -> None:
    name = made(awslambda, "java21", "x.Y::z", zipped({"a": "b"}))

    refused = refusal(awslambda.invoke, FunctionName=name)

    assert (refused.status, refused.code) == (501, "NotImplemented")
    assert "java21 needs" in refused.message


DOTNET = r"""#!/bin/sh
# In the place of .NET, which these tests cannot have: answers with what it was started with.
while true; do
  EVENT=$(curl -sS -D /tmp/head "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/next")
  ID=$(grep -i request-id /tmp/head | tr -d '[:space:]' | cut -d: -f2)
  URL="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/$ID/response"
  SAID="{\"event\": $EVENT, \"started\": \"$*\", \"env\": \"$AWS_EXECUTION_ENV\", \"root\": \"$DOTNET_ROOT\"}"
  curl -sS -X POST "$URL" -d "$SAID" >&2
done
"""
PUBLISHED = {"Shop.dll": "x", "Shop.deps.json": "{}", "Shop.runtimeconfig.json": "{}"}
CLIENT = "Amazon.Lambda.RuntimeSupport.dll"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a stand-in for .NET 8."""
    folder = tmp_path_factory.mktemp("dotnet")
    folder.chmod(0o755)  # a handler is another user
    (folder / "shared" / "Microsoft.NETCore.App" / "8.0.0").mkdir(parents=True)
    (folder / "dotnet").write_text(DOTNET)
    (folder / "dotnet").chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def dotnet8(host: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[Any]:
    """The Lambda of a local AWS that finds the stand-in, and AWS's client in a folder."""
    client = tmp_path_factory.mktemp("client") / "net8.0"
    client.mkdir()
    (client / CLIENT).write_text("x")
    variables = ("env", f"DOTNET_ROOT={host}", f"LAMBDAFORM_DOTNET_CLIENT={client.parent}")
    process, aws = start(tmp_path_factory.mktemp("aws"), by=variables)
    yield aws.client("lambda")
    stop(process)


@needs_curl
@fact(
    "dotnet",
    "AWS's runtime client loads the assembly of a handler Assembly::Namespace.Class::Method",
    here="partly",
    gap="the client, as a program, must be in the package, a layer or the folder that LAMBDAFORM_DOTNET_CLIENT names; "
    "it runs under the .NET that is installed; these tests have a stand-in for .NET and the client",
    source=DOTNET_HANDLER,
)
def test_an_assembly_is_loaded_by_the_client(dotnet8: Any) -> None:
    name = made(dotnet8, "dotnet8", "Shop::Shop.Worker::Handle", zipped(PUBLISHED))

    answers = [payload(dotnet8.invoke(FunctionName=name, Payload=b'{"n": 1}')) for _ in range(2)]

    command = "exec --depsfile /var/task/Shop.deps.json --runtimeconfig /var/task/Shop.runtimeconfig.json"
    client = f"/var/runtime/dotnet/net8.0/{CLIENT} Shop::Shop.Worker::Handle"
    env, root = "AWS_Lambda_dotnet8", "/var/lang-dotnet8"
    assert answers == [{"event": {"n": 1}, "started": f"{command} {client}", "env": env, "root": root}] * 2


@needs_curl
@fact(
    "dotnet",
    "a handler that is the name of an executable assembly starts it",
    here="partly",
    gap="under the .NET that is installed; these tests have a stand-in for it",
    source=DOTNET_HANDLER,
)
def test_an_executable_assembly_is_started(dotnet8: Any) -> None:
    name = made(dotnet8, "dotnet8", "Shop", zipped(PUBLISHED))

    assert payload(dotnet8.invoke(FunctionName=name, Payload=b"1"))["started"] == "exec /var/task/Shop.dll"


@needs_curl
@fact(
    "dotnet",
    "a program compiled ahead of time is started by its name",
    source="https://docs.aws.amazon.com/lambda/latest/dg/dotnet-native-aot.html",
)
def test_a_native_program_is_started_without_dotnet(awslambda: Any) -> None:
    name = made(awslambda, "dotnet10", "shop", packed({"shop": ECHO}, executable=True))

    answer = payload(awslambda.invoke(FunctionName=name, Payload=b"[1]"))

    assert answer == {"event": [1], "env": "AWS_Lambda_dotnet10", "handler": "shop"}


@fact(
    "dotnet",
    "a package without what the handler names ends the runtime with a status of its own",
    source="https://github.com/aws/aws-lambda-dotnet/blob/master/Libraries/src/Amazon.Lambda.RuntimeSupport/bootstrap-al2023.sh",
)
@pytest.mark.parametrize(("handler", "status"), [("Other", 104), ("Other::Shop.Worker::Handle", 105)])
def test_a_package_that_was_not_published_ends_the_runtime(dotnet8: Any, handler: str, status: int) -> None:
    name = made(dotnet8, "dotnet8", handler, zipped({"Shop.dll": "x"}))

    answer = dotnet8.invoke(FunctionName=name, LogType="Tail")

    assert payload(answer)["errorMessage"].endswith(f"Runtime exited with error: exit status {status}")
    assert "Error: the package has no" in logged(answer)


@fact(
    "dotnet",
    "AWS's runtimes bring .NET and their client along",
    here="not",
    gap="without them, invoking an assembly answers 501 and says what is missing and where to put it",
    source="https://docs.aws.amazon.com/lambda/latest/dg/lambda-csharp.html",
)
def test_dotnet_without_its_client_says_what_is_missing(host: Path, tmp_path: Path) -> None:
    process, aws = start(tmp_path, by=("env", f"DOTNET_ROOT={host}"))
    awslambda = aws.client("lambda")
    name = made(awslambda, "dotnet8", "Shop::Shop.Worker::Handle", zipped(PUBLISHED))

    refused = refusal(awslambda.invoke, FunctionName=name)
    stop(process)

    assert (refused.status, refused.code) == (501, "NotImplemented")
    assert "dotnet8 needs AWS's runtime client" in refused.message


@pytest.mark.skipif(dotnet(10) is not None, reason="this machine has .NET 10 or newer")
@pytest.mark.parametrize("handler", ["Shop", "Shop::Shop.Worker::Handle"])
def test_a_dotnet_that_is_too_old_is_said(dotnet8: Any, handler: str) -> None:
    name = made(dotnet8, "dotnet10", handler, zipped(PUBLISHED))

    refused = refusal(dotnet8.invoke, FunctionName=name)

    assert (refused.status, refused.code) == (501, "NotImplemented")
    assert "dotnet10 needs .NET 10 or newer" in refused.message
    assert "has .NET 8 at most" in refused.message


@fact(
    "PackageType",
    "functions are made of container images",
    here="not",
    gap="they are deployed and checked; invoking answers 501",
    source="https://docs.aws.amazon.com/lambda/latest/dg/images-create.html",
)
def test_a_container_image_that_is_not_run_here_says_so(awslambda: Any) -> None:
    name = unique()
    awslambda.create_function(
        FunctionName=name,
        Role=ROLE,
        PackageType="Image",
        Code={"ImageUri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/shop:1"},
    )

    refused = refusal(awslambda.invoke, FunctionName=name)

    assert (refused.status, refused.code) == (501, "NotImplemented")
    assert "not container images" in refused.message


@fact(
    "Runtime",
    "new functions of a runtime past its date are refused",
    here="partly",
    gap="they are made and run, and it is said which AWS would refuse",
    source="https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html",
)
def test_a_runtime_past_its_date_is_said(aws: Aws, awslambda: Any) -> None:
    name = made(awslambda, "python3.8", "app.handler", zipped({"app.py": ""}))

    _, said = own(aws, "GET", f"fidelity?function={name}")

    [differences] = said["functions"].values()
    assert "AWS makes no new functions of python3.8 since 2026-06-01" in {each["says"] for each in differences}
