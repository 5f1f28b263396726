"""Invoke.

Invoking functions through boto3: answers, errors, limits, logs.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import threading
from typing import Any

import pytest

from tests.conformance.facts import fact
from tests.local.conftest import Aws, Maker, environments, payload, refusal, unique, zipped
from tests.processes import parent, state

ECHO = "def handler(event, context):\n    return event\n"


def log_of(answer: Any) -> str:
    return base64.b64decode(answer["LogResult"]).decode()


@fact(
    "Invoke",
    "answers what the handler returns, with the version that ran",
    source="https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html",
)
def test_a_function_answers_what_its_handler_returns(awslambda: Any, function: Maker) -> None:
    name = function(ECHO)

    answer = awslambda.invoke(FunctionName=name, Payload=b'{"a": [1, "\xc3\xa4"]}')

    assert payload(answer) == {"a": [1, "ä"]}
    assert (answer["StatusCode"], answer["ExecutedVersion"]) == (200, "$LATEST")
    assert "FunctionError" not in answer
    assert "LogResult" not in answer


@fact(
    "Payload",
    "an omitted one reaches the handler as `{}`",
    source="https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html",
)
def test_an_omitted_payload_reaches_the_handler_as_an_empty_object(awslambda: Any, function: Maker) -> None:
    assert payload(awslambda.invoke(FunctionName=function(ECHO))) == {}


@fact("Payload", "no result is `null`", source="https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html")
def test_no_result_is_null(awslambda: Any, function: Maker) -> None:
    answer = awslambda.invoke(FunctionName=function("def handler(event, context):\n    pass\n"))

    assert answer["Payload"].read() == b"null"


@fact(
    "FunctionError",
    "an exception answers 200 with its type, message and trace",
    source="https://docs.aws.amazon.com/lambda/latest/dg/python-exceptions.html",
)
def test_an_exception_answers_200_with_its_type_and_trace(awslambda: Any, function: Maker) -> None:
    name = function("def handler(event, context):\n    raise KeyError('gone')\n")

    answer = awslambda.invoke(FunctionName=name)

    body = payload(answer)
    assert (answer["StatusCode"], answer["FunctionError"]) == (200, "Unhandled")
    assert body["errorType"] == "KeyError"
    assert body["errorMessage"] == "'gone'"
    assert body["requestId"] == answer["ResponseMetadata"]["RequestId"]
    assert len(body["stackTrace"]) == 1
    assert "app.py\", line 2, in handler\n    raise KeyError('gone')\n" in body["stackTrace"][0]


@fact(
    "Init",
    "a failed import is reported by the first invocation",
    source="https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html",
)
@pytest.mark.parametrize(
    ("handler", "source", "kind", "message"),
    [
        ("nothere.handler", "", "Runtime.ImportModuleError", "Unable to import module 'nothere'"),
        ("app.nothere", "x = 1", "Runtime.HandlerNotFound", "Handler 'nothere' missing on module 'app'"),
        ("nodot", "x = 1", "Runtime.MalformedHandlerName", "Bad handler 'nodot'"),
        ("app.handler", "def handler(:\n", "Runtime.UserCodeSyntaxError", "Syntax error in module 'app'"),
        ("app.handler", "raise ValueError('at import')", "ValueError", "at import"),
    ],
)
def test_a_failed_import_is_reported_by_the_first_invocation(
    awslambda: Any, function: Maker, handler: str, source: str, kind: str, message: str
) -> None:
    name = function(source, Handler=handler)

    answer = awslambda.invoke(FunctionName=name, LogType="Tail")

    body = payload(answer)
    assert answer["FunctionError"] == "Unhandled"
    assert body["errorType"] == kind
    assert message in body["errorMessage"]
    assert body["requestId"] == ""
    log = log_of(answer)
    # A failing module import runs twice: once in INIT, once in the first invocation.
    assert log.count("INIT_REPORT") == 2
    assert "Phase: init\tStatus: error" in log
    assert "Phase: invoke\tStatus: error" in log


@fact(
    "Timeout",
    "ends the process; /tmp stays",
    source="https://docs.aws.amazon.com/lambda/latest/dg/configuration-timeout.html",
)
def test_a_timeout_kills_the_process_and_keeps_the_scratch_folder(awslambda: Any, function: Maker) -> None:
    source = (
        "import os, tempfile, time\nseen = []\n"
        "def handler(event, context):\n"
        "    mark = os.path.join(tempfile.gettempdir(), 'mark')\n"
        "    found = os.path.exists(mark)\n"
        "    open(mark, 'w').close()\n"
        "    seen.append(1)\n"
        "    time.sleep(event.get('sleep', 0))\n"
        "    return [len(seen), found]\n"
    )
    name = function(source, Timeout=1)
    awslambda.invoke(FunctionName=name)

    answer = awslambda.invoke(FunctionName=name, Payload=b'{"sleep": 30}', LogType="Tail")
    after = payload(awslambda.invoke(FunctionName=name))

    request_id = answer["ResponseMetadata"]["RequestId"]
    assert payload(answer) == {
        "errorType": "Sandbox.Timedout",
        "errorMessage": f"RequestId: {request_id} Error: Task timed out after 1.00 seconds",
    }
    assert "Status: timeout" in log_of(answer)
    assert after == [1, True]


@fact(
    "Runtime.ExitError",
    "a process that ends is answered with how it ended",
    source="https://docs.aws.amazon.com/lambda/latest/dg/troubleshooting-invocation.html",
)
@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("os._exit(0)", "Runtime exited without providing a reason"),
        ("os._exit(7)", "Runtime exited with error: exit status 7"),
        ("os.kill(os.getpid(), 9)", "Runtime exited with error: signal: killed"),
        ("sys.exit(3)", "Runtime exited with error: exit status 3"),
    ],
)
def test_a_process_that_ends_is_an_exit_error(awslambda: Any, function: Maker, statement: str, reason: str) -> None:
    name = function(f"import os, sys\ndef handler(event, context):\n    {statement}\n")

    answer = awslambda.invoke(FunctionName=name, LogType="Tail")

    request_id = answer["ResponseMetadata"]["RequestId"]
    assert payload(answer) == {
        "errorType": "Runtime.ExitError",
        "errorMessage": f"RequestId: {request_id} Error: {reason}",
    }
    assert "Status: error\tError Type: Runtime.ExitError" in log_of(answer)


@fact(
    "Payload",
    "a result above 6 MB is `Function.ResponseSizeTooLarge`",
    source="https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html",
)
def test_a_response_above_six_megabytes_is_refused(awslambda: Any, function: Maker) -> None:
    name = function("def handler(event, context):\n    return 'x' * event['size']\n")

    fits = awslambda.invoke(FunctionName=name, Payload=json.dumps({"size": 6_291_554}).encode())
    refused = awslambda.invoke(FunctionName=name, Payload=json.dumps({"size": 6_291_555}).encode())

    assert "FunctionError" not in fits
    assert payload(refused) == {
        "errorMessage": "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
        "errorType": "Function.ResponseSizeTooLarge",
    }


@fact(
    "concurrency",
    "events at the same time get an environment each",
    source="https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html",
)
def test_parallel_events_get_an_environment_each(awslambda: Any, function: Maker) -> None:
    name = function(
        "import time\ndef handler(event, context):\n    time.sleep(0.3)\n    return context.log_stream_name\n"
    )
    streams: list[str] = []

    threads = [
        threading.Thread(target=lambda: streams.append(payload(awslambda.invoke(FunctionName=name)))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(streams)) == 4


@fact(
    "update",
    "new code retires the old environments",
    source="https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html",
)
def test_new_code_retires_the_old_environments(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function("def handler(event, context):\n    return 1\n")
    awslambda.invoke(FunctionName=name)
    [old] = environments(aws, name)

    awslambda.update_function_code(
        FunctionName=name, ZipFile=zipped({"app.py": "def handler(event, context):\n    return 2\n"})
    )

    assert payload(awslambda.invoke(FunctionName=name)) == 2
    assert state(old["pid"]) is None


@fact(
    "LogType Tail",
    "answers the last 4 KB of the log of this invocation",
    source="https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html",
)
def test_the_log_tail_holds_everything_of_one_invocation(awslambda: Any, function: Maker) -> None:
    name = function(
        "import logging\nprint('loading')\ndef handler(event, context):\n    print('one')\n    logging.warning('two')\n"
    )

    cold = awslambda.invoke(FunctionName=name, LogType="Tail")
    warm = awslambda.invoke(FunctionName=name, LogType="Tail")

    request_id = warm["ResponseMetadata"]["RequestId"]
    lines = log_of(warm).splitlines()
    assert lines[0] == f"START RequestId: {request_id} Version: $LATEST"
    assert lines[1] == "one"
    assert lines[2].startswith("[WARNING]\t")
    assert lines[2].endswith(f"Z\t{request_id}\ttwo")
    assert lines[3] == f"END RequestId: {request_id}"
    assert lines[4].startswith(f"REPORT RequestId: {request_id}\tDuration: ")
    assert "Init Duration" not in lines[4]
    assert log_of(cold).startswith("INIT_START Runtime Version: python:3.11")
    assert "loading\n" in log_of(cold)
    assert "Init Duration: " in log_of(cold)


@fact(
    "log group",
    "START, END, REPORT and what was printed are in CloudWatch Logs",
    source="https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html",
)
def test_logs_are_in_cloudwatch(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function("def handler(event, context):\n    print('needle', event['n'])\n")
    for number in range(3):
        awslambda.invoke(FunctionName=name, Payload=json.dumps({"n": number}).encode())
    logs = aws.client("logs")

    streams = logs.describe_log_streams(logGroupName=f"/aws/lambda/{name}")["logStreams"]
    found = logs.filter_log_events(logGroupName=f"/aws/lambda/{name}", filterPattern="needle")["events"]

    assert len(streams) == 1
    assert "[$LATEST]" in streams[0]["logStreamName"]
    assert [event["message"] for event in found] == ["needle 0\n", "needle 1\n", "needle 2\n"]


@fact(
    "LogFormat JSON",
    "writes one object a line",
    source="https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-logformat.html",
)
def test_json_logging_is_one_object_a_line(awslambda: Any, function: Maker) -> None:
    source = (
        "import logging\ndef handler(event, context):\n    logging.getLogger().info('hello')\n    logging.debug('no')\n"
    )
    name = function(source, LoggingConfig={"LogFormat": "JSON"})

    answer = awslambda.invoke(FunctionName=name, LogType="Tail")

    lines = [json.loads(line) for line in log_of(answer).splitlines()]
    assert [line.get("type") for line in lines if "type" in line] == [
        "platform.initStart",
        "platform.start",
        "platform.report",
    ]
    assert [line["message"] for line in lines if "message" in line] == ["hello"]
    assert lines[-1]["record"]["status"] == "success"


@fact(
    "context",
    "tells name, version, ARN as called, request id, log stream, time left",
    source="https://docs.aws.amazon.com/lambda/latest/dg/python-context.html",
)
def test_the_context_tells_who_is_running(awslambda: Any, function: Maker) -> None:
    source = (
        "def handler(event, context):\n"
        "    return {'arn': context.invoked_function_arn, 'version': context.function_version,\n"
        "            'memory': context.memory_limit_in_mb, 'id': context.aws_request_id,\n"
        "            'left': context.get_remaining_time_in_millis(), 'custom': context.client_context.custom,\n"
        "            'group': context.log_group_name}\n"
    )
    name = function(source, MemorySize=256, Timeout=7)
    context = base64.b64encode(json.dumps({"custom": {"a": "b"}}).encode()).decode()

    answer = awslambda.invoke(FunctionName=f"{name}:$LATEST", ClientContext=context)

    found = payload(answer)
    assert found.pop("left") in range(5000, 7001)
    assert found == {
        "arn": f"arn:aws:lambda:us-east-1:123456789012:function:{name}:$LATEST",
        "version": "$LATEST",
        "memory": "256",
        "id": answer["ResponseMetadata"]["RequestId"],
        "custom": {"a": "b"},
        "group": f"/aws/lambda/{name}",
    }


@fact(
    "environment variables",
    "are Lambda's and the function's own",
    source="https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html",
)
def test_nothing_of_the_host_is_in_the_handlers_environment(aws: Aws, awslambda: Any, function: Maker) -> None:
    source = (
        "import os, sys\n"
        "def handler(event, context):\n"
        "    try:\n        import moto\n        found = True\n    except ImportError:\n        found = False\n"
        "    import boto3\n"
        "    return {'env': dict(os.environ), 'path': sys.path, 'moto': found,\n"
        "            'home': os.path.exists(os.path.expanduser('~/.aws')),\n"
        "            'ours': [m for m in sys.modules if m.startswith('lambdaform')]}\n"
    )
    name = function(source, Environment={"Variables": {"MINE": "1"}}, Timeout=20)

    found = payload(awslambda.invoke(FunctionName=name))

    environ = found["env"]
    assert environ["MINE"] == "1"
    assert environ["AWS_REGION"] == "us-east-1"
    assert environ["AWS_LAMBDA_FUNCTION_NAME"] == name
    assert environ["AWS_ENDPOINT_URL"] == aws.endpoint
    assert environ["AWS_LAMBDA_INITIALIZATION_TYPE"] == "on-demand"
    assert environ["_HANDLER"] == "app.handler"
    assert not [key for key in environ if key.endswith("OF_THE_HOST") or key == "PYTHONPATH_OF_HOST"]
    assert (found["moto"], found["ours"]) == (False, [])
    assert not found["home"]


@fact(
    "boto3",
    "is there, and calls without an endpoint reach the services",
    source="https://docs.aws.amazon.com/lambda/latest/dg/lambda-python.html",
)
def test_a_handler_calls_the_local_aws_with_plain_boto3(awslambda: Any, function: Maker) -> None:
    inner = function("def handler(event, context):\n    return {'inner': event}\n")
    outer = function(
        "import boto3, json\n"
        "def handler(event, context):\n"
        f"    answer = boto3.client('lambda').invoke(FunctionName='{inner}', Payload=json.dumps(event))\n"
        "    return json.load(answer['Payload'])\n",
        Timeout=20,
    )

    assert payload(awslambda.invoke(FunctionName=outer, Payload=b'{"a": 1}')) == {"inner": {"a": 1}}


@fact(
    "InvalidRequestContentException",
    "an event that is no JSON is refused",
    source="https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html",
)
@pytest.mark.parametrize("event", [b"{nope", b"NaN", b"[Infinity]", b'{"a": -Infinity}', b" NaN "])
@pytest.mark.parametrize("kind", ["RequestResponse", "Event"])
def test_an_event_that_is_no_json_is_refused(awslambda: Any, function: Maker, event: bytes, kind: str) -> None:
    name = function(ECHO)
    awslambda.invoke(FunctionName=name)  # from now on it is warm

    refused = refusal(awslambda.invoke, FunctionName=name, Payload=event, InvocationType=kind)

    assert (refused.code, refused.status) == ("InvalidRequestContentException", 400)
    assert "Could not parse request body into json: Could not parse payload into json: " in refused.message


@fact(
    "RequestTooLargeException",
    "an event above 6 MB is refused with 413",
    source="https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html",
)
def test_an_event_above_six_megabytes_is_refused(awslambda: Any, function: Maker) -> None:
    name = function("def handler(event, context):\n    return len(event)\n")
    largest = b'"' + b"x" * 6_291_454 + b'"'

    taken = payload(awslambda.invoke(FunctionName=name, Payload=largest))
    refused = refusal(awslambda.invoke, FunctionName=name, Payload=largest + b" ")

    assert taken == 6_291_454
    assert (refused.code, refused.status) == ("RequestTooLargeException", 413)
    assert refused.message == "Request must be smaller than 6291456 bytes for the InvokeFunction operation"


@fact(
    "ResourceNotFoundException",
    "names the function with its qualifier",
    source="https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html",
)
def test_a_missing_function_is_named_with_its_qualifier(awslambda: Any) -> None:
    name = unique("missing")
    refused = refusal(awslambda.invoke, FunctionName=name)

    assert refused.code == "ResourceNotFoundException"
    arn = f"arn:aws:lambda:us-east-1:123456789012:function:{name}:$LATEST"
    assert refused.message == f"Function not found: {arn}"
    assert refused.status == 404


@fact(
    "InvocationType DryRun",
    "answers 204 and runs nothing",
    source="https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html",
)
def test_a_dry_run_runs_nothing(awslambda: Any, function: Maker) -> None:
    name = function("raise SystemExit\n")

    answer = awslambda.invoke(FunctionName=name, InvocationType="DryRun")

    assert answer["StatusCode"] == 204


def test_a_stream_answers_chunks_and_completes(awslambda: Any, function: Maker) -> None:
    name = function(ECHO)

    events = list(awslambda.invoke_with_response_stream(FunctionName=name, Payload=b'{"a":1}')["EventStream"])

    assert json.loads(events[0]["PayloadChunk"]["Payload"]) == {"a": 1}
    assert events[-1] == {"InvokeComplete": {}}


@fact(
    "Layers",
    "are importable and yield to the function's own code",
    source="https://docs.aws.amazon.com/lambda/latest/dg/chapter-layers.html",
)
def test_a_layer_is_importable_and_yields_to_the_functions_own_code(awslambda: Any, function: Maker) -> None:
    layer = awslambda.publish_layer_version(
        LayerName=unique("layer"),
        Content={"ZipFile": zipped({"python/shared.py": "VALUE = 'layer'\n", "python/both.py": "VALUE = 'layer'\n"})},
    )["LayerVersionArn"]
    source = "import shared, both\ndef handler(event, context):\n    return [shared.VALUE, both.VALUE]\n"
    name = function("", files={"app.py": source, "both.py": "VALUE = 'own'\n"}, Layers=[layer])

    assert payload(awslambda.invoke(FunctionName=name)) == ["layer", "own"]


def test_the_server_survives_the_loss_of_the_handlers_parent(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function("def handler(event, context):\n    return 1\n")
    awslambda.invoke(FunctionName=name)
    [before] = environments(aws, name)
    first = parent(before["pid"])

    os.kill(first, signal.SIGKILL)
    while state(first) is not None:
        pass
    # An invocation that meets the loss itself is answered as a crash; the next one is served.
    answers = [awslambda.invoke(FunctionName=name) for _ in range(3)]

    assert "FunctionError" not in answers[-1]
    [after] = environments(aws, name)
    assert parent(after["pid"]) != first
