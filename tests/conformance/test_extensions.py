"""Extensions.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html
"""

from __future__ import annotations

import base64
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.conformance.facts import fact
from tests.local.conftest import Aws, Maker, environments, payload
from tests.local.programs import LISTEN, REGISTER, archive, extensions, layer, lines, said, until

API = "https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html"
LIFECYCLE = "https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html"
LIMITS = "https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"
FORMATS = "https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-logformat.html"
SAMPLES = "https://github.com/aws-samples/aws-lambda-extensions"
METRICS = "https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html"

HANDLER = "def handler(event, context):\n    return 1\n"
INTERNAL = r"""
import http.client, json, os, threading
def call(method, path, body=None, headers={}):
    connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    connection.request(method, "/2020-01-01/extension/" + path, body and json.dumps(body), headers)
    answer = connection.getresponse()
    return answer.status, answer.headers, json.loads(answer.read() or b"null")
def register(name, *events):
    return call("POST", "register", {"events": events}, {"Lambda-Extension-Name": name})
def listen(identifier, seen):
    while True:
        seen.append(call("GET", "event/next", None, {"Lambda-Extension-Identifier": identifier})[2])
"""
"""What a handler needs to register extensions itself."""


def invoked(awslambda: Any, name: str) -> Any:
    return payload(awslambda.invoke(FunctionName=name))


def settled(aws: Aws, name: str) -> None:
    """Wait until no environment of a function is at work any more."""
    until(lambda: all(each["phases"][-1]["phase"] in ("ready", "reset") for each in environments(aws, name)))


def reasons(aws: Aws, name: str) -> list[str]:
    """Why extensions were told to end."""
    return [each["shutdownReason"] for each in said(aws, name, "event") if each["eventType"] == "SHUTDOWN"]


def retire(awslambda: Any, name: str) -> None:
    """Have a function's environments ended, as by every change of its configuration."""
    awslambda.update_function_configuration(FunctionName=name, Description=str(time.monotonic()))


# INIT


@fact(
    "external extensions", "each file in /opt/extensions runs as a process of its own, before the runtime", source=API
)
def test_an_extension_starts_before_the_runtime(aws: Aws, awslambda: Any, function: Maker) -> None:
    started = "say(started=NAME)\n" + LISTEN
    name = function(
        "print('runtime')\n" + HANDLER, Layers=extensions(aws, first=started, second=started, third=started)
    )
    invoked(awslambda, name)

    assert sorted(said(aws, name, "started")) == ["first", "second", "third"]
    written = lines(aws, name)
    assert written.index("runtime\n") > max(number for number, line in enumerate(written) if "started" in line)


@fact("external extensions", "they share /tmp, user, files and processes with the function", source=API)
def test_an_extension_is_in_the_functions_sandbox(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(
        "import os\n"
        "def handler(event, context):\n"
        "    place = os.path.join(os.environ.get('TMPDIR', '/tmp'), 'from-extension')\n"
        "    os.kill(int(open(place).read()), 0)\n    return os.getuid()\n",
        Layers=extensions(
            aws,
            one="place = os.path.join(os.environ.get('TMPDIR', '/tmp'), 'from-extension')\n"
            "open(place, 'w').write(str(os.getpid()))\n"
            "say(uid=os.getuid(), code=os.listdir('/var/task') if os.getuid() == 993 else ['app.py'])\n" + LISTEN,
        ),
    )

    uid = invoked(awslambda, name)

    assert said(aws, name, "uid") == [uid]
    assert said(aws, name, "code") == [["app.py"]]


@fact("external extensions", "they do not see the variables that are for the runtime alone", source=API)
def test_the_variables_of_the_runtime_are_hidden(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(
        "import os\ndef handler(event, context):\n    return dict(os.environ)\n",
        Environment={"Variables": {"MINE": "x"}},
        Layers=extensions(aws, one="say(environ=dict(os.environ))\n" + LISTEN),
    )

    of_runtime = invoked(awslambda, name)

    [environ] = said(aws, name, "environ")
    assert environ["MINE"] == "x"
    assert environ["AWS_LAMBDA_FUNCTION_NAME"] == name
    assert {key for key in of_runtime if key not in environ} - {"_X_AMZN_TRACE_ID"} == {
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_XRAY_CONTEXT_MISSING",
        "AWS_XRAY_DAEMON_ADDRESS",
        "LAMBDA_RUNTIME_DIR",
        "LAMBDA_TASK_ROOT",
        "_AWS_XRAY_DAEMON_ADDRESS",
        "_AWS_XRAY_DAEMON_PORT",
        "_HANDLER",
    }


@fact("Register", "answers the function's name, version and handler, and an identifier", source=API)
def test_registering_tells_of_the_function(aws: Aws, awslambda: Any, function: Maker) -> None:
    source = 'status, headers, body = register("INVOKE")\nID = headers["Lambda-Extension-Identifier"]\n'
    name = function(
        HANDLER, Layers=extensions(aws, one=source + "say(status=status, length=len(ID), body=body)\nfollowing(ID)\n")
    )
    invoked(awslambda, name)

    assert said(aws, name, "status") == [200]
    assert said(aws, name, "length") == [36]
    assert said(aws, name, "body") == [
        {"functionName": name, "functionVersion": "$LATEST", "handler": "app.handler"},
    ]


@fact("Register", "Lambda-Extension-Accept-Feature: accountId adds the account", source=API)
def test_registering_tells_the_account_on_request(aws: Aws, awslambda: Any, function: Maker) -> None:
    source = (
        '_, headers, body = register("INVOKE", Lambda_Extension_Accept_Feature="accountId")\n'
        'say(account=body["accountId"])\nfollowing(headers["Lambda-Extension-Identifier"])\n'
    )
    name = function(HANDLER, Layers=extensions(aws, one=source))
    invoked(awslambda, name)

    assert said(aws, name, "account") == ["123456789012"]


@fact("Register", "the name must be the file's: 403 otherwise", source=API)
def test_an_extension_must_register_under_its_own_name(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(
        HANDLER,
        Layers=extensions(
            aws,
            one="for given in ('other', ''):\n    status, _, body = register('INVOKE', name=given)\n"
            "    say(refused=[status, body['errorType']])\n" + LISTEN,
        ),
    )
    invoked(awslambda, name)

    assert said(aws, name, "refused") == [[403, "Extension.InvalidExtensionName"]] * 2


@fact("Register", "only INVOKE and SHUTDOWN can be asked for, in JSON", source=API)
def test_what_is_registered_for_is_checked(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(
        HANDLER,
        Layers=extensions(
            aws,
            one="status, _, body = register('SLEEP')\nsay(refused=[status, body['errorType']])\n"
            "status, _, body = call('POST', '/2020-01-01/extension/register', [1], Lambda_Extension_Name=NAME)\n"
            "say(refused=[status, body['errorType']])\n" + LISTEN,
        ),
    )
    invoked(awslambda, name)

    assert said(aws, name, "refused") == [[403, "Extension.InvalidEventType"], [400, "InvalidRequestFormat"]]


@fact("Next", "needs the identifier of a registered extension: 403 otherwise", source=API)
def test_an_unknown_identifier_is_refused(aws: Aws, awslambda: Any, function: Maker) -> None:
    unknown = "00000000-0000-4000-8000-000000000000"
    name = function(
        HANDLER,
        Layers=extensions(
            aws,
            one="def attempt(**headers):\n"
            "    status, _, body = call('GET', '/2020-01-01/extension/event/next', **headers)\n"
            "    say(refused=[status, body['errorType']])\n"
            f"attempt()\nattempt(Lambda_Extension_Identifier='no')\nattempt(Lambda_Extension_Identifier='{unknown}')\n"
            + LISTEN,
        ),
    )
    invoked(awslambda, name)

    kinds = ["MissingExtensionIdentifier", "InvalidExtensionIdentifier", "UnknownExtensionIdentifier"]
    assert said(aws, name, "refused") == [[403, f"Extension.{kind}"] for kind in kinds]


@fact("INIT", "it ends when the runtime and every extension have asked for their next event", source=LIFECYCLE)
def test_initialisation_waits_for_every_extension(aws: Aws, awslambda: Any, function: Maker) -> None:
    slow = REGISTER + "time.sleep(0.4)\nfor event in listen(ID):\n    pass\n"
    name = function(HANDLER, Layers=extensions(aws, slow=slow, fast=LISTEN))
    began = time.monotonic()
    invoked(awslambda, name)

    assert time.monotonic() - began > 0.4
    settled(aws, name)
    [report] = [line for line in lines(aws, name) if line.startswith("REPORT")]
    assert float(report.split("Init Duration: ")[1].split()[0]) > 400


@fact("EXTENSION", "at the end of INIT the log tells of each extension its state and events", source=API)
def test_the_log_tells_of_each_extension(aws: Aws, awslambda: Any, function: Maker) -> None:
    quiet = "ID = register()[1]['Lambda-Extension-Identifier']\nfollowing(ID)\n"
    name = function(HANDLER, Layers=extensions(aws, one=LISTEN, quiet=quiet))
    invoked(awslambda, name)

    written = lines(aws, name)
    told = [line for line in written if line.startswith("EXTENSION")]
    assert told == [
        "EXTENSION\tName: one\tState: Ready\tEvents: [INVOKE, SHUTDOWN]\n",
        "EXTENSION\tName: quiet\tState: Ready\tEvents: []\n",
    ]
    [start] = [number for number, line in enumerate(written) if line.startswith("START")]
    assert written.index(told[-1]) < start


@fact("EXTENSION", "platform.extension is its form in JSON logs", source=FORMATS)
def test_the_json_log_tells_of_each_extension(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(HANDLER, LoggingConfig={"LogFormat": "JSON"}, Layers=extensions(aws, one=LISTEN))
    invoked(awslambda, name)

    told = [json.loads(line) for line in lines(aws, name) if "platform.extension" in line]
    assert [each["record"] for each in told] == [{"name": "one", "state": "Ready", "events": ["INVOKE", "SHUTDOWN"]}]


@fact("extension logs", "what an extension prints goes to the function's log stream", source=API)
def test_what_an_extension_prints_is_in_the_functions_log(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(HANDLER, Layers=extensions(aws, one="print('from the extension', flush=True)\n" + LISTEN))
    invoked(awslambda, name)

    assert "from the extension\n" in lines(aws, name)


# Failures of INIT


def failed(awslambda: Any, name: str) -> Any:
    answer = awslambda.invoke(FunctionName=name)
    assert answer["FunctionError"] == "Unhandled"
    return payload(answer)


@fact(
    "Extension.Crash",
    "an extension that ends in INIT fails it; again in the invocation, which fails too",
    source=LIFECYCLE,
)
def test_an_extension_that_crashes_fails_the_invocation(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(HANDLER, Layers=extensions(aws, one="sys.exit(3)\n"))

    body = failed(awslambda, name)

    assert body["errorType"] == "Extension.Crash"
    assert body["errorMessage"].startswith("RequestId: ")
    assert body["errorMessage"].endswith(" Error: exit status 3")
    settled(aws, name)
    reports = [line for line in lines(aws, name) if line.startswith("INIT_REPORT")]
    assert [line.split("\t", 1)[1] for line in reports] == [
        "Phase: init\tStatus: error\tError Type: Extension.Crash\n",
        "Phase: invoke\tStatus: error\tError Type: Extension.Crash\n",
    ]
    [report] = [line for line in lines(aws, name) if line.startswith("REPORT")]
    assert "Status: error\tError Type: Extension.Crash" in report


@fact("INIT", "repeated within the invocation it has the function's timeout, extensions included", source=LIFECYCLE)
def test_an_extension_that_never_registers_times_out(aws: Aws, awslambda: Any, function: Maker) -> None:
    silent = (
        "place = os.path.join(os.environ.get('TMPDIR', '/tmp'), 'second')\n"
        "if not os.path.exists(place):\n    open(place, 'w').close()\n    sys.exit(1)\n"
        "time.sleep(60)\n"
    )
    name = function(HANDLER, Timeout=1, Layers=extensions(aws, silent=silent))

    body = failed(awslambda, name)

    assert body["errorType"] == "Sandbox.Timedout"
    settled(aws, name)
    written = lines(aws, name)
    assert "EXTENSION\tName: silent\tState: Started\tEvents: []\n" in written
    assert [line for line in written if line.startswith("INIT_REPORT")][-1].endswith("Phase: invoke\tStatus: timeout\n")


@fact("Extension.InitError", "an extension that posts init/error fails INIT by that name", source=API)
def test_an_extension_reports_that_it_cannot_initialise(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(
        HANDLER,
        Layers=extensions(
            aws, one=REGISTER + "status, _, body = fail('init', ID, 'Fatal.ConnectFailed')\nsay(a=status)\n"
        ),
    )

    body = failed(awslambda, name)

    assert body["errorType"] == "Extension.InitError"
    assert body["errorMessage"].endswith(" Error: exit code 0")
    assert set(said(aws, name, "a")) == {202}
    told = "EXTENSION\tName: one\tState: InitError\tEvents: [INVOKE, SHUTDOWN]\tError Type: Fatal.ConnectFailed\n"
    assert told in lines(aws, name)


@fact("init/error, exit/error", "Lambda-Extension-Function-Error-Type is required", source=API)
def test_an_error_needs_a_type(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(
        HANDLER,
        Layers=extensions(
            aws,
            one=REGISTER + "status, _, body = call('POST', '/2020-01-01/extension/init/error', {},"
            " Lambda_Extension_Identifier=ID)\nsay(refused=[status, body['errorType']])\nfollowing(ID)\n",
        ),
    )
    invoked(awslambda, name)

    assert said(aws, name, "refused") == [[403, "Extension.MissingHeader"]]


@fact("Extension.LaunchError", "a file that cannot be executed fails INIT", source=SAMPLES)
def test_a_file_that_cannot_be_executed_fails_the_invocation(aws: Aws, awslambda: Any, function: Maker) -> None:
    arn = layer(aws, {"extensions/plain": "#!/bin/sh\n"}, mode=0o644)
    name = function(HANDLER, Layers=[arn])

    body = failed(awslambda, name)

    assert body["errorType"] == "Extension.LaunchError"
    assert body["errorMessage"].endswith("/extensions/plain: permission denied")
    assert "EXTENSION\tName: plain\tState: LaunchError\tEvents: []\tError Type: PermissionDenied\n" in lines(aws, name)


@fact("INIT", "a runtime that fails to initialise ends extensions with FAILURE", source=LIFECYCLE)
def test_extensions_are_ended_when_the_runtime_cannot_initialise(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function("raise ValueError('no')\n", Layers=extensions(aws, one=LISTEN))

    body = failed(awslambda, name)

    assert body["errorType"] == "ValueError"
    until(lambda: reasons(aws, name) == ["FAILURE", "FAILURE"])


# INVOKE


@fact("INVOKE event", "tells the request, the function, the deadline and the trace", source=API)
def test_an_extension_is_told_of_an_invocation(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(
        "def handler(event, context):\n    return [context.aws_request_id, context.get_remaining_time_in_millis()]\n",
        Timeout=20,
        Layers=extensions(aws, one=LISTEN),
    )
    request_id, _ = invoked(awslambda, name)

    [event] = until(lambda: said(aws, name, "event"))
    assert set(event) == {"eventType", "deadlineMs", "requestId", "invokedFunctionArn", "tracing"}
    assert (event["eventType"], event["requestId"]) == ("INVOKE", request_id)
    assert event["invokedFunctionArn"] == f"arn:aws:lambda:us-east-1:123456789012:function:{name}"
    assert 0 < event["deadlineMs"] / 1000 - time.time() <= 20
    assert event["tracing"]["type"] == "X-Amzn-Trace-Id"
    assert event["tracing"]["value"].startswith("Root=1-")


@fact(
    "INVOKE", "the answer goes out before extensions are done; until then the environment is not free", source=LIFECYCLE
)
def test_the_caller_does_not_wait_for_extensions(aws: Aws, awslambda: Any, function: Maker) -> None:
    slow = REGISTER + "for event in listen(ID):\n    time.sleep(2.5)\n"
    name = function(HANDLER, Layers=extensions(aws, one=slow))
    invoked(awslambda, name)
    settled(aws, name)
    began = time.monotonic()
    invoked(awslambda, name)
    took = time.monotonic() - began

    [made] = environments(aws, name)
    assert took < 2
    assert made["phases"][-1]["phase"] == "invoke"
    invoked(awslambda, name)
    assert len(environments(aws, name)) == 2


@fact("REPORT", "Duration is the time of runtime and extensions together", source=LIFECYCLE)
def test_the_duration_covers_extensions(aws: Aws, awslambda: Any, function: Maker) -> None:
    slow = REGISTER + "for event in listen(ID):\n    time.sleep(0.3)\n"
    name = function(HANDLER, Layers=extensions(aws, one=slow))
    invoked(awslambda, name)
    [report] = until(lambda: [line for line in lines(aws, name) if line.startswith("REPORT")])

    assert float(report.split("Duration: ")[1].split()[0]) > 300


@fact("PostRuntimeExtensionsDuration", "the time extensions take after the runtime is done", source=METRICS)
def test_the_time_after_the_runtime_is_counted(aws: Aws, awslambda: Any, function: Maker) -> None:
    slow = REGISTER + "for event in listen(ID):\n    time.sleep(0.3)\n"
    name = function(HANDLER, Layers=extensions(aws, one=slow))
    invoked(awslambda, name)
    settled(aws, name)
    now = datetime.now(UTC)
    found = aws.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/Lambda",
        MetricName="PostRuntimeExtensionsDuration",
        Dimensions=[{"Name": "FunctionName", "Value": name}],
        StartTime=now - timedelta(minutes=5),
        EndTime=now + timedelta(minutes=5),
        Period=3600,
        Statistics=["Maximum"],
    )["Datapoints"]

    assert 250 < found[0]["Maximum"] < 2000


@fact("LogType Tail", "the tail holds the REPORT line", source=LIFECYCLE)
def test_the_tail_of_the_log_waits_for_extensions(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(HANDLER, Layers=extensions(aws, one=LISTEN))

    answer = awslambda.invoke(FunctionName=name, LogType="Tail")

    assert "REPORT RequestId" in base64.b64decode(answer["LogResult"]).decode()


@fact("INVOKE", "an extension that has not registered for it is not told and not waited for", source=API)
def test_an_extension_may_ignore_invocations(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(
        HANDLER,
        Layers=extensions(
            aws, one="ID = register('SHUTDOWN')[1]['Lambda-Extension-Identifier']\nfor event in listen(ID):\n    pass\n"
        ),
    )
    for _ in range(2):
        invoked(awslambda, name)
        settled(aws, name)
    retire(awslambda, name)

    events = until(lambda: said(aws, name, "event"))
    assert [each["eventType"] for each in events] == ["SHUTDOWN"]


@fact("freeze", "between invocations extensions stand still too", source=LIFECYCLE)
def test_extensions_are_frozen_between_invocations(aws: Aws, awslambda: Any, function: Maker) -> None:
    ticking = (
        "import threading\nticks = [0]\n"
        "def tick():\n    while True:\n        ticks[0] += 1\n        time.sleep(0.001)\n"
        "threading.Thread(target=tick, daemon=True).start()\n" + REGISTER + "for event in listen(ID):\n"
        "    say(before=ticks[0])\n    time.sleep(0.05)\n    say(after=ticks[0])\n"
    )
    name = function(HANDLER, Layers=extensions(aws, one=ticking))
    invoked(awslambda, name)
    settled(aws, name)
    time.sleep(0.3)
    invoked(awslambda, name)
    settled(aws, name)

    _, before = said(aws, name, "before")
    after, _ = said(aws, name, "after")
    assert before - after < 30


@fact(
    "Timeout",
    "it covers extensions: the invocation is logged as timed out, its caller has the answer",
    source=LIFECYCLE,
)
def test_extensions_count_towards_the_timeout(aws: Aws, awslambda: Any, function: Maker) -> None:
    stuck = REGISTER + "for event in listen(ID):\n    time.sleep(60)\n"
    name = function(HANDLER, Timeout=1, Layers=extensions(aws, one=stuck))

    assert invoked(awslambda, name) == 1

    [report] = until(lambda: [line for line in lines(aws, name) if line.startswith("REPORT")])
    assert "Duration: 1000.00 ms" in report
    assert "Status: timeout" in report


@fact(
    "SHUTDOWN",
    "after a timeout the reason is TIMEOUT; extension and runtime start anew with the next event",
    source=API,
)
def test_a_timeout_resets_extensions_too(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(
        "import time\ndef handler(event, context):\n    time.sleep(event.get('wait', 0))\n    return 1\n",
        Timeout=1,
        Layers=extensions(aws, one="say(started=os.getpid())\n" + LISTEN),
    )
    answer = awslambda.invoke(FunctionName=name, Payload=b'{"wait": 5}')
    until(lambda: reasons(aws, name) == ["TIMEOUT"])
    settled(aws, name)

    assert payload(answer)["errorType"] == "Sandbox.Timedout"
    assert invoked(awslambda, name) == 1
    assert len(said(aws, name, "started")) == 2
    assert len(environments(aws, name)) == 1


@fact("SHUTDOWN", "after a crash of the runtime the reason is FAILURE", source=API)
def test_a_crash_resets_extensions_too(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function("import os\ndef handler(event, context):\n    os._exit(1)\n", Layers=extensions(aws, one=LISTEN))

    body = failed(awslambda, name)

    assert body["errorType"] == "Runtime.ExitError"
    until(lambda: reasons(aws, name) == ["FAILURE"])


@fact("Extension.ExitError", "an extension that posts exit/error ends the environment", source=API)
def test_an_extension_reports_that_it_cannot_go_on(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(
        HANDLER,
        Layers=extensions(aws, one=REGISTER + "following(ID)\nfail('exit', ID, 'Fatal.Lost')\n"),
    )
    invoked(awslambda, name)

    [report] = until(lambda: [line for line in lines(aws, name) if line.startswith("REPORT")])
    assert "Status: error\tError Type: Extension.ExitError" in report


@fact(
    "Extension.Crash",
    "an extension that ends during an invocation fails it while the runtime is at work",
    source=LIFECYCLE,
)
def test_a_crash_during_an_invocation_fails_it(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(
        "import time\ndef handler(event, context):\n    time.sleep(5)\n",
        Timeout=10,
        Layers=extensions(aws, one=REGISTER + "following(ID)\nos.abort()\n"),
    )

    body = failed(awslambda, name)

    assert body["errorType"] == "Extension.Crash"
    assert body["errorMessage"].endswith(" Error: signal: aborted")


@fact("MemorySize", "it holds for extensions and function together", source=API)
def test_extensions_count_towards_the_memory(aws: Aws, awslambda: Any, function: Maker) -> None:
    large = REGISTER + "for event in listen(ID):\n    held = bytearray(200 * 1024 * 1024)\n    time.sleep(5)\n"
    name = function(HANDLER, MemorySize=128, Timeout=10, Layers=extensions(aws, one=large))
    awslambda.invoke(FunctionName=name)
    [report] = until(lambda: [line for line in lines(aws, name) if line.startswith("REPORT")])

    assert "Error Type: Runtime.OutOfMemory" in report


@fact("external extensions", "beside every runtime, custom ones too", source=API)
def test_extensions_go_with_a_custom_runtime(aws: Aws, awslambda: Any, function: Maker) -> None:
    bootstrap = (
        "#!/usr/bin/env -S python3 -IS\nimport http.client, os\n"
        "while True:\n"
        "    connection = http.client.HTTPConnection(os.environ['AWS_LAMBDA_RUNTIME_API'])\n"
        "    connection.request('GET', '/2018-06-01/runtime/invocation/next')\n"
        "    answer = connection.getresponse()\n    answer.read()\n"
        "    request = answer.headers['Lambda-Runtime-Aws-Request-Id']\n"
        "    connection.request('POST', f'/2018-06-01/runtime/invocation/{request}/response', b'7')\n"
        "    connection.getresponse().read()\n"
    )
    code = {"ZipFile": archive({"bootstrap": bootstrap})}
    name = function("", Runtime="provided.al2023", Code=code, Layers=extensions(aws, one=LISTEN))

    assert invoked(awslambda, name) == 7
    until(lambda: [each["eventType"] for each in said(aws, name, "event")] == ["INVOKE"])


# SHUTDOWN


@fact("SHUTDOWN", "first the runtime gets SIGTERM, then extensions the event, reason SPINDOWN", source=API)
def test_the_end_begins_with_the_runtime(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(
        "import signal, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('runtime told', flush=True), sys.exit(0)))\n" + HANDLER,
        Runtime="python3.13",
        Layers=extensions(aws, one=LISTEN),
    )
    invoked(awslambda, name)
    settled(aws, name)
    retire(awslambda, name)
    until(lambda: reasons(aws, name) == ["SPINDOWN"])

    written = lines(aws, name)
    [event] = [each for each in said(aws, name, "event") if each["eventType"] == "SHUTDOWN"]
    [told] = [number for number, line in enumerate(written) if "SPINDOWN" in line]
    assert written.index("runtime told\n") < told
    assert set(event) == {"eventType", "shutdownReason", "deadlineMs"}
    assert event["deadlineMs"] / 1000 - time.time() < 2


@fact(
    "SHUTDOWN",
    "with external extensions the phase lasts 2,000 ms, of which the event's deadline tells",
    source=LIFECYCLE,
)
def test_an_extension_is_told_how_long_it_has(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(
        HANDLER,
        Layers=extensions(
            aws,
            one=REGISTER + "following(ID)\nevent = following(ID)\nsay(left=event['deadlineMs'] - time.time() * 1000)\n",
        ),
    )
    invoked(awslambda, name)
    settled(aws, name)
    retire(awslambda, name)

    [left] = until(lambda: said(aws, name, "left"))
    assert 1000 < left <= 2000


@fact("SHUTDOWN", "an extension that has not registered for it is killed without notice", source=API)
def test_an_extension_may_ignore_the_end(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(
        HANDLER,
        Layers=extensions(
            aws,
            one="import signal\nsignal.signal(signal.SIGTERM, lambda *_: say(heard='SIGTERM'))\n"
            "ID = register('INVOKE')[1]['Lambda-Extension-Identifier']\nfor event in listen(ID):\n    pass\n",
        ),
    )
    invoked(awslambda, name)
    settled(aws, name)
    [made] = environments(aws, name)
    retire(awslambda, name)
    until(lambda: not Path(f"/proc/{made['pid']}").exists())

    assert reasons(aws, name) == said(aws, name, "heard") == []


# Internal extensions


@fact("internal extensions", "the runtime's process registers them itself; they are told of invocations", source=API)
def test_an_internal_extension_is_told_of_invocations(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(
        INTERNAL + "_, headers, _ = register('inside', 'INVOKE')\nseen = []\n"
        "threading.Thread(target=listen, args=(headers['Lambda-Extension-Identifier'], seen), daemon=True).start()\n"
        "import time\n"
        "def handler(event, context):\n"
        "    while not [each for each in seen if each['requestId'] == context.aws_request_id]:\n"
        "        time.sleep(0.001)\n"
        "    return [each['eventType'] for each in seen]\n"
    )

    assert invoked(awslambda, name) == ["INVOKE"]
    settled(aws, name)
    assert invoked(awslambda, name) == ["INVOKE", "INVOKE"]


@fact("internal extensions", "they cannot register for SHUTDOWN", source=API)
def test_an_internal_extension_hears_nothing_of_the_end(awslambda: Any, function: Maker) -> None:
    name = function(
        INTERNAL + "status, _, body = register('inside', 'INVOKE', 'SHUTDOWN')\n"
        "def handler(event, context):\n    return [status, body['errorType']]\n"
    )

    assert invoked(awslambda, name) == [403, "Extension.InvalidEventType"]


@fact("Register", "only during INIT: 403 afterwards", source=API)
def test_nobody_registers_after_initialisation(awslambda: Any, function: Maker) -> None:
    name = function(
        INTERNAL + "def handler(event, context):\n"
        "    status, _, body = register('late', 'INVOKE')\n    return [status, body['errorType']]\n"
    )

    assert invoked(awslambda, name) == [403, "Extension.RegistrationClosed"]


@fact("Extensions", "ten at most: 403 Extension.TooManyExtensions", source=LIMITS)
def test_an_eleventh_extension_is_refused(awslambda: Any, function: Maker) -> None:
    name = function(
        INTERNAL + "found = [register(f'inside-{number}', 'INVOKE') for number in range(11)]\n"
        "for _, headers, _ in found[:10]:\n"
        "    identifier = headers['Lambda-Extension-Identifier']\n"
        "    threading.Thread(target=listen, args=(identifier, []), daemon=True).start()\n"
        "def handler(event, context):\n    return [status for status, _, _ in found] + [found[10][2]['errorType']]\n"
    )

    assert invoked(awslambda, name) == [200] * 10 + [403, "Extension.TooManyExtensions"]


@fact("SHUTDOWN", "with internal extensions alone the runtime has 500 ms after SIGTERM", source=LIFECYCLE)
def test_an_internal_extension_gives_the_runtime_time(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(
        INTERNAL + "_, headers, _ = register('inside', 'INVOKE')\n"
        "threading.Thread(target=listen, args=(headers['Lambda-Extension-Identifier'], []), daemon=True).start()\n"
        "import signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "def count():\n"
        "    before = time.monotonic()\n"
        "    while True:\n"
        "        time.sleep(0.02)\n"
        "        before, gap = time.monotonic(), time.monotonic() - before\n"
        "        print('alive', flush=True)\n"
        "def handler(event, context):\n"
        "    threading.Thread(target=count, daemon=True).start()\n"
    )
    invoked(awslambda, name)
    settled(aws, name)
    before = lines(aws, name).count("alive\n")
    began = time.monotonic()
    retire(awslambda, name)
    until(lambda: lines(aws, name).count("alive\n") > before + 10)

    time.sleep(max(0.0, 0.8 - (time.monotonic() - began)))
    assert lines(aws, name).count("alive\n") < before + 40


@fact(
    "SHUTDOWN",
    "with internal extensions alone the runtime gets SIGTERM too",
    here="partly",
    gap="handlers of Python see it only beside external extensions, where AWS's client waits for events in a thread",
    source=LIFECYCLE,
)
def test_a_runtime_with_internal_extensions_gets_the_signal(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(
        INTERNAL + "_, headers, _ = register('inside', 'INVOKE')\n"
        "threading.Thread(target=listen, args=(headers['Lambda-Extension-Identifier'], []), daemon=True).start()\n"
        "import signal\n"
        "told, tell = os.pipe()\nos.set_blocking(tell, False)\n"
        "signal.set_wakeup_fd(tell)\nsignal.signal(signal.SIGTERM, lambda *_: None)\n"
        "def wait():\n    print('signal', os.read(told, 1)[0], flush=True)\n"
        "threading.Thread(target=wait, daemon=True).start()\n" + HANDLER
    )
    invoked(awslambda, name)
    settled(aws, name)
    retire(awslambda, name)

    until(lambda: "signal 15\n" in lines(aws, name))
