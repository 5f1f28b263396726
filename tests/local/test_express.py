"""What is the same for warm functions, whose invocations go straight to their environment, as for all others."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.local.conftest import (
    Aws,
    Maker,
    environments,
    own,
    payload,
    refusal,
    unique,
    until,
    zipped,
)
from tests.patience import PATIENCE

ECHO = "def handler(event, context):\n    return event\n"
FAILS = "def handler(event, context):\n    raise ValueError(event)\n"
USUAL = {"X-Amz-Log-Type": "None"}
"""Says what is so anyhow, and has a request go the usual way."""


def post(aws: Aws, name: str, body: bytes, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """One request to invoke a function."""
    parts = urlsplit(aws.endpoint)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE)
    connection.request("POST", f"/2015-03-31/functions/{name}/invocations", body, headers)
    answer = connection.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read()
    connection.close()
    return found


def records(aws: Aws, name: str) -> list[dict[str, Any]]:
    """The invocations of a function."""
    return own(aws, "GET", f"invocations?function={name}")[1]


@pytest.mark.parametrize(
    ("source", "body"),
    [(ECHO, b'{"a": [1, null, "\xc3\xa9"]}'), (ECHO, b' "text" '), (ECHO, b""), (ECHO, b"{}"), (FAILS, b'"x"')],
)
def test_an_answer_is_the_same_on_both_ways(aws: Aws, function: Maker, source: str, body: bytes) -> None:
    name = function(source)
    post(aws, name, body)
    status, headers, found = post(aws, name, body)
    usual_status, usual_headers, usual_found = post(aws, name, body, **USUAL)

    ids = headers["x-amzn-RequestId"].encode(), usual_headers["x-amzn-RequestId"].encode()
    assert (status, found.replace(*ids)) == (usual_status, usual_found)
    ours = {"x-amzn-RequestId", "Date"}
    assert list(headers) == list(usual_headers)
    assert {k: v for k, v in headers.items() if k not in ours} == {
        k: v for k, v in usual_headers.items() if k not in ours
    }


@pytest.mark.parametrize("source", [ECHO, FAILS])
def test_what_is_noted_is_the_same_on_both_ways(aws: Aws, function: Maker, source: str) -> None:
    name = function(source)
    for _ in range(2):
        post(aws, name, b'{"a": 1}')
    post(aws, name, b'{"a": 1}', **USUAL)

    _, quick, usual = records(aws, name)
    differing = {"request_id", "started", "duration_ms", "logs", "result"}
    assert {k: v for k, v in quick.items() if k not in differing} == {
        k: v for k, v in usual.items() if k not in differing
    }
    for each in (quick, usual):
        starts = [line.partition(" ")[0] for line in each["logs"].splitlines()]
        assert [start for start in starts if start in ("START", "END", "REPORT")] == ["START", "END", "REPORT"]
        assert each["logs"].count(each["request_id"]) >= 3


@pytest.mark.parametrize("body", [b"{", b"1 2", b"\xff", b'{"a": 1} x'])
def test_what_is_no_json_is_refused_by_a_warm_function_too(
    aws: Aws, awslambda: Any, function: Maker, body: bytes
) -> None:
    name = function(ECHO)
    post(aws, name, b"1")

    assert refusal(awslambda.invoke, FunctionName=name, Payload=body).code == "InvalidRequestContentException"
    assert len(records(aws, name)) == 1


def test_invocations_one_after_the_other_have_one_environment(aws: Aws, function: Maker) -> None:
    name = function("import os\ndef handler(event, context):\n    return os.getpid()\n")
    for _ in range(200):
        status, _, _ = post(aws, name, b"{}")
        assert status == 200

    assert len(environments(aws, name)) == 1
    assert len({each["result"] for each in records(aws, name)}) == 1


def test_a_warm_function_times_out(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function("import time\ndef handler(event, context):\n    time.sleep(event)\n    return 1\n", Timeout=1)
    assert payload(awslambda.invoke(FunctionName=name, Payload=b"0")) == 1
    late = payload(awslambda.invoke(FunctionName=name, Payload=b"5"))

    assert late["errorType"] == "Sandbox.Timedout"
    assert "Task timed out after 1.00 seconds" in records(aws, name)[-1]["logs"]
    assert payload(awslambda.invoke(FunctionName=name, Payload=b"0")) == 1


def test_a_warm_function_may_end_in_the_middle_of_it(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function("import os\ndef handler(event, context):\n    event and os._exit(3)\n    return 1\n")
    assert payload(awslambda.invoke(FunctionName=name, Payload=b"0")) == 1
    ended = awslambda.invoke(FunctionName=name, Payload=b"1")

    assert ended["FunctionError"] == "Unhandled"
    assert payload(ended)["errorType"] == "Runtime.ExitError"
    assert payload(awslambda.invoke(FunctionName=name, Payload=b"0")) == 1


def test_a_warm_function_runs_out_of_memory(awslambda: Any, function: Maker) -> None:
    name = function(
        "import time\nkept = []\ndef handler(event, context):\n"
        "    if event:\n        kept.append(b'x' * 200_000_000)\n        time.sleep(30)\n    return 1\n",
        Timeout=40,
    )
    assert payload(awslambda.invoke(FunctionName=name, Payload=b"0")) == 1

    assert payload(awslambda.invoke(FunctionName=name, Payload=b"1"))["errorType"] == "Runtime.ExitError"


def test_new_code_serves_the_next_request_of_a_warm_function(awslambda: Any, function: Maker) -> None:
    name = function("def handler(event, context):\n    return 1\n")
    assert [payload(awslambda.invoke(FunctionName=name)) for _ in range(2)] == [1, 1]
    code = zipped({"app.py": "def handler(event, context):\n    return 2\n"})
    awslambda.update_function_code(FunctionName=name, ZipFile=code)

    assert [payload(awslambda.invoke(FunctionName=name)) for _ in range(2)] == [2, 2]


def test_an_alias_that_is_moved_serves_its_new_version(awslambda: Any, function: Maker) -> None:
    name = function("def handler(event, context):\n    return context.function_version\n")
    for number in ("1", "2"):
        assert awslambda.publish_version(FunctionName=name, Description=number)["Version"] == number
        awslambda.update_function_configuration(FunctionName=name, Description=number)
    awslambda.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    before = [payload(awslambda.invoke(FunctionName=name, Qualifier="live")) for _ in range(2)]
    awslambda.update_alias(FunctionName=name, Name="live", FunctionVersion="2")

    assert before == ["1", "1"]
    assert [payload(awslambda.invoke(FunctionName=name, Qualifier="live")) for _ in range(2)] == ["2", "2"]


def test_a_warm_function_without_concurrency_is_throttled(awslambda: Any, function: Maker) -> None:
    name = function(ECHO)
    awslambda.invoke(FunctionName=name)
    awslambda.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)

    assert refusal(awslambda.invoke, FunctionName=name).code == "TooManyRequestsException"
    awslambda.delete_function_concurrency(FunctionName=name)
    assert awslambda.invoke(FunctionName=name)["StatusCode"] == 200


def test_a_deleted_function_is_gone_for_who_knew_it(awslambda: Any, function: Maker) -> None:
    name = function(ECHO)
    for _ in range(2):
        awslambda.invoke(FunctionName=name)
    awslambda.delete_function(FunctionName=name)

    assert refusal(awslambda.invoke, FunctionName=name).code == "ResourceNotFoundException"


def test_a_name_stands_for_the_caller_s_own_function(aws: Aws, function: Maker) -> None:
    name = function(ECHO)
    for _ in range(2):
        aws.client("lambda").invoke(FunctionName=name)
    elsewhere, other = aws.client("lambda", region="eu-west-1"), aws.client("lambda", key="210987654321")

    for client in (elsewhere, other):
        assert refusal(client.invoke, FunctionName=name).code == "ResourceNotFoundException"


def ahead(aws: Aws) -> int:
    """How many environments are made ahead."""
    return own(aws, "GET", "health")[1]["environments"]["ahead"]


def test_the_next_environment_is_made_ahead_and_runs_nothing_of_the_function_s(aws: Aws, function: Maker) -> None:
    marker = unique("marker")
    name = function(f"print('{marker}')\ndef handler(event, context):\n    return 1\n")
    until(lambda: ahead(aws) > 0)

    assert environments(aws, name) == []
    post(aws, name, b"{}")
    [record] = records(aws, name)
    assert record["cold"]
    [made] = environments(aws, name)
    assert [each["phase"] for each in made["phases"]] == ["new", "init", "ready", "invoke", "ready"]


def test_what_was_made_ahead_of_a_change_does_not_serve(aws: Aws, awslambda: Any, function: Maker) -> None:
    source = "import os\ndef handler(event, context):\n    return os.environ['WORD']\n"
    name = function(source, Environment={"Variables": {"WORD": "old"}})
    until(lambda: ahead(aws) > 0)
    awslambda.update_function_configuration(FunctionName=name, Environment={"Variables": {"WORD": "new"}})

    assert payload(awslambda.invoke(FunctionName=name)) == "new"


@pytest.mark.parametrize("source", ["import missing\n", "def handler(event, context:\n"])
def test_code_that_cannot_be_loaded_is_told_by_what_was_made_ahead(
    aws: Aws, awslambda: Any, function: Maker, source: str
) -> None:
    name = function(source)
    until(lambda: ahead(aws) > 0)
    answer = awslambda.invoke(FunctionName=name)

    assert answer["FunctionError"] == "Unhandled"
    assert payload(answer)["errorType"].startswith("Runtime.")


DEEP = b"[" * 100_000 + b"]" * 100_000


def test_an_event_that_is_nested_too_deeply_is_refused_on_both_ways(aws: Aws, function: Maker) -> None:
    name = function(ECHO)
    post(aws, name, b"1")
    quick, usual = post(aws, name, DEEP), post(aws, name, DEEP, **USUAL)

    assert quick[0] == usual[0] == 400
    assert quick[1]["x-amzn-ErrorType"] == usual[1]["x-amzn-ErrorType"] == "InvalidRequestContentException"


def test_an_error_that_is_nested_too_deeply_is_answered_and_keeps_no_environment(aws: Aws, function: Maker) -> None:
    source = (
        "import os, urllib.request\n"
        "def handler(event, context):\n"
        "    if not event:\n        return 1\n"
        "    place = f\"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2018-06-01/runtime/invocation/\"\n"
        "    place += context.aws_request_id + '/error'\n"
        "    urllib.request.urlopen(urllib.request.Request(place, b'[' * 100_000, method='POST')).read()\n"
        "    os._exit(0)\n"
    )
    name = function(source)
    post(aws, name, b"0")
    for headers in ({}, USUAL):
        status, answer, _ = post(aws, name, b"1", **headers)
        assert status == 200
        assert answer["X-Amz-Function-Error"] == "Unhandled"
        post(aws, name, b"0")

    assert own(aws, "GET", "health")[1]["environments"]["busy"] == 0


def test_a_caller_is_known_by_the_whole_signature(aws: Aws, function: Maker) -> None:
    name = function("def handler(event, context):\n    return context.invoked_function_arn\n")
    scopes = [("123456789012", "us-east-1"), ("210987654321", "eu-west-1")]
    answers: list[int] = []
    for _ in range(2):
        for key, region in scopes:
            scope = f"Credential={key}/20260101/{region}/lambda/aws4_request"
            signature = f"AWS4-HMAC-SHA256 SignedHeaders=host, {scope}, Signature=0"
            answers.append(post(aws, name, b"{}", Authorization=signature)[0])

    assert answers == [200, 404, 200, 404]


def test_a_report_has_the_memory_of_its_own_invocation(aws: Aws, function: Maker) -> None:
    name = function(
        "kept = []\ndef handler(event, context):\n"
        "    kept.append(bytearray(b'x') * 20_000_000)\n"
        "    lines = open('/proc/self/status').read().splitlines()\n"
        "    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith('VmRSS'))\n",
        MemorySize=512,
    )
    for _ in range(6):
        post(aws, name, b"{}")

    for each in records(aws, name):
        reported = int(each["logs"].partition("Max Memory Used: ")[2].partition(" ")[0])
        assert reported >= each["result"] - 2


def events(aws: Aws, name: str) -> list[dict[str, Any]]:
    """The log of a function."""
    logs = aws.client("logs")
    return logs.filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]


def test_who_looks_finds_the_log_of_every_answer_before(aws: Aws, function: Maker) -> None:
    name = function("def handler(event, context):\n    if event % 3 == 1:\n        print('line', event)\n")
    for number in range(1, 14):
        post(aws, name, str(number).encode())
        found = [each["message"].split()[0] for each in events(aws, name)]
        assert found.count("REPORT") == number

    expected = ["INIT_START"]
    for number in range(1, 14):
        expected += ["START", *(["line"] if number % 3 == 1 else []), "END", "REPORT"]
    written = events(aws, name)
    assert [each["message"].split()[0] for each in written] == expected
    moments = [each["timestamp"] for each in written]
    assert moments == sorted(moments)
    assert len(records(aws, name)) == 13


def test_the_log_of_an_answer_is_written_without_anybody_looking(aws: Aws, awslambda: Any, function: Maker) -> None:
    """The server is not asked for anything before the lines have come through a subscription."""
    ear = socket.create_server(("127.0.0.1", 0))
    ear.settimeout(20)
    told = function(
        "import base64, gzip, json, socket\n"
        "def handler(event, context):\n"
        "    data = json.loads(gzip.decompress(base64.b64decode(event['awslogs']['data'])))\n"
        f"    with socket.create_connection(('127.0.0.1', {ear.getsockname()[1]})) as mouth:\n"
        "        mouth.sendall(''.join(each['message'] for each in data['logEvents']).encode())\n"
    )
    name = function(ECHO)
    post(aws, name, b"{}")
    arn = awslambda.get_function(FunctionName=told)["Configuration"]["FunctionArn"]
    awslambda.add_permission(
        FunctionName=told, StatementId="logs", Action="lambda:InvokeFunction", Principal="logs.amazonaws.com"
    )
    aws.client("logs").put_subscription_filter(
        logGroupName=f"/aws/lambda/{name}", filterName="all", filterPattern="REPORT", destinationArn=arn
    )
    _, headers, _ = post(aws, name, b"{}")

    with ear, ear.accept()[0] as heard:
        said = heard.makefile("rb").read().decode()
    assert f"REPORT RequestId: {headers['x-amzn-RequestId']}" in said


def test_an_answer_that_comes_just_when_others_are_noted_is_noted_as_well(aws: Aws, function: Maker) -> None:
    name = function(
        "import time\n"
        "def handler(event, context):\n"
        "    end = time.monotonic() + event / 1e6\n"
        "    while time.monotonic() < end:\n"
        "        pass\n"
    )
    post(aws, name, b"0")

    # What is due waits for 10 ms: the second answer of some of these pairs comes at their very end.
    for number in range(100):
        answers = [post(aws, name, str(8000 + 20 * number).encode())[1]["x-amzn-RequestId"] for _ in range(2)]
        assert {each["request_id"] for each in records(aws, name)[-2:]} == set(answers)


def test_a_function_at_work_has_begun_in_its_log_and_causes_what_it_sends(aws: Aws, function: Maker) -> None:
    queue = aws.client("sqs").create_queue(QueueName=unique("queue"))["QueueUrl"]
    name = function(
        "import boto3\n"
        "def handler(event, context):\n"
        "    found = boto3.client('logs').filter_log_events(logGroupName=context.log_group_name)['events']\n"
        f"    boto3.client('sqs').send_message(QueueUrl='{queue}', MessageBody='x')\n"
        "    return [each['message'] for each in found]\n",
        Timeout=30,
    )
    post(aws, name, b"{}")
    _, headers, body = post(aws, name, b"{}")

    request_id = headers["x-amzn-RequestId"]
    assert json.loads(body)[-1].startswith(f"START RequestId: {request_id}")
    steps: list[dict[str, Any]] = own(aws, "GET", "trace")[1]
    [invocation] = [each for each in steps if each["details"].get("request_id") == request_id]
    sent = [each for each in steps if each["what"] == "message" and queue.rpartition("/")[2] in each["subject"]]
    assert invocation["causes"] == []
    assert sent[-1]["causes"] == [invocation["number"]]
