"""Faults of functions.

Whatever a handler does, it gets the answer AWS gives, the next event is served, and nothing of it stays behind.
"""

from __future__ import annotations

import base64
import os
import re
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.facts import fact
from tests.conformance.test_execution_environment import answer, isolated, until
from tests.conformance.test_runtimes import made, packed
from tests.local.conftest import Aws, Maker, Virtual, environments, own, payload, start, stop
from tests.processes import below, command_line

__all__ = ["isolated"]

LIFECYCLE = "https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html"
ERRORS = "https://docs.aws.amazon.com/lambda/latest/dg/troubleshooting-invocation.html"
RUNTIME_API = "https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html"
LOGS = "https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html"

HALF = r"""#!/bin/sh
while true; do
  curl -sS -D /tmp/head "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/next" >&2
  ID=$(grep -i request-id /tmp/head | tr -d '[:space:]' | cut -d: -f2)
  URL="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/$ID/response"
  MODE='Lambda-Runtime-Function-Response-Mode: streaming'
  (printf half; sleep 1) | timeout -s KILL 0.2 curl -sS -H "$MODE" -T - -X POST "$URL" >&2
done
"""
LATE = r"""#!/bin/sh
while true; do
  curl -sS -D /tmp/head "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/next" >&2
  ID=$(grep -i request-id /tmp/head | tr -d '[:space:]' | cut -d: -f2)
  curl -sS -X POST "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/$ID/response" -d '"early"' >&2
  sleep 2
done
"""
TWICE = "import {imports}\ndef handler(event, context):\n    if event.get('well'):\n        return 'well'\n    {body}\n"


def faulty(imports: str, body: str) -> str:
    """A handler with a fault, but for an event that says otherwise."""
    return TWICE.format(imports=imports, body=body.replace("\n", "\n    "))


def served_after(awslambda: Any, name: str) -> Any:
    return answer(awslambda, name, b'{"well": true}')


@fact("exit", "a process that exits with 0 is an error all the same", source=ERRORS)
def test_exiting_without_an_answer_is_an_error(awslambda: Any, function: Maker) -> None:
    name = function(faulty("os", "os._exit(0)"))

    failed = awslambda.invoke(FunctionName=name)
    request_id = failed["ResponseMetadata"]["RequestId"]

    assert failed["FunctionError"] == "Unhandled"
    assert payload(failed) == {
        "errorType": "Runtime.ExitError",
        "errorMessage": f"RequestId: {request_id} Error: Runtime exited without providing a reason",
    }
    assert served_after(awslambda, name) == "well"


@fact("exit", "the signal that ended the process is named", source=ERRORS)
@pytest.mark.parametrize(("statement", "signal"), [("os.abort()", "aborted"), ("os.kill(os.getpid(), 9)", "killed")])
def test_the_signal_is_named(awslambda: Any, function: Maker, statement: str, signal: str) -> None:
    name = function(faulty("os", statement))

    assert answer(awslambda, name)["errorMessage"].endswith(f"Runtime exited with error: signal: {signal}")
    assert served_after(awslambda, name) == "well"


@pytest.mark.parametrize(
    "body",
    [
        "held = []\nwhile True:\n    held.append(bytearray(1 << 20))",
        "subprocess.run([sys.executable, '-c', 'held = [bytearray(1 << 20) for _ in iter(int, 1)]'])",
    ],
    ids=["itself", "in a process it starts"],
)
@fact("memory", "an environment above its size is ended; the report says Runtime.OutOfMemory", source=ERRORS)
def test_memory_of_all_processes_is_limited(awslambda: Any, function: Maker, body: str) -> None:
    name = function(faulty("subprocess, sys", body), Timeout=20)

    failed = awslambda.invoke(FunctionName=name, LogType="Tail")

    assert payload(failed)["errorMessage"].endswith("Runtime exited with error: signal: killed")
    assert "Error Type: Runtime.OutOfMemory" in base64.b64decode(failed["LogResult"]).decode()
    assert served_after(awslambda, name) == "well"


@fact("Timeout", "ends what ignores SIGTERM too", source=LIFECYCLE)
def test_ignoring_signals_does_not_help(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(faulty("signal", "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True:\n    pass"), Timeout=1)

    assert answer(awslambda, name)["errorType"] == "Sandbox.Timedout"
    assert served_after(awslambda, name) == "well"


@fact("reset", "processes a handler has started end with it, whatever their session", source=LIFECYCLE)
def test_what_a_handler_started_ends_with_it(aws: Aws, awslambda: Any, function: Maker) -> None:
    body = (
        "subprocess.Popen(['sleep', '61'], start_new_session=True)\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        os.closerange(3, 64)\n        time.sleep(61)\n"
        "    os._exit(0)\n"
        "os._exit(1)"
    )
    name = function(faulty("os, subprocess, time", body))
    before = set(below(aws.pid))
    answer(awslambda, name)
    served_after(awslambda, name)
    held = {each["pid"] for each in environments(aws, name)}

    def is_clear() -> bool:
        # A spare and the first of its tree may be new; nothing that sleeps is.
        return not [pid for pid in set(below(aws.pid)) - before - held if "61" in command_line(pid)]

    until(is_clear)


@fact("Runtime API", "an answer for another request id is refused with InvalidRequestID", source=RUNTIME_API)
def test_a_wrong_request_id_is_refused(awslambda: Any, function: Maker) -> None:
    name = function(poster("nope"))

    assert answer(awslambda, name) == [400, "InvalidRequestID"]


@fact("Runtime API", "the first answer counts; a second one is refused", source=RUNTIME_API)
def test_the_first_answer_counts(awslambda: Any, function: Maker) -> None:
    name = function(poster("' + context.aws_request_id + '"))

    assert [answer(awslambda, name) for _ in range(2)] == [1, 1]


@fact("Runtime API", "an answer that breaks off is none", source=RUNTIME_API)
def test_half_an_answer_is_none(awslambda: Any, function: Maker) -> None:
    name = function(
        "import os, socket\n"
        "def handler(event, context):\n"
        "    host, _, port = os.environ['AWS_LAMBDA_RUNTIME_API'].partition(':')\n"
        "    line = f'POST /2018-06-01/runtime/invocation/{context.aws_request_id}/response HTTP/1.1'\n"
        "    with socket.create_connection((host, int(port))) as api:\n"
        "        api.sendall((line + '\\r\\nContent-Length: 100\\r\\n\\r\\n12').encode())\n"
        "    return 'whole'\n"
    )

    assert [answer(awslambda, name) for _ in range(2)] == ["whole", "whole"]


@fact(
    "Runtime API",
    "a streamed answer that breaks off is an error",
    here="partly",
    gap="AWS's name for it is not documented; here it is Runtime.TruncatedResponse",
    source=RUNTIME_API,
)
def test_half_a_streamed_answer_is_an_error(awslambda: Any) -> None:
    name = made(awslambda, "provided.al2023", "any.thing", packed({"bootstrap": HALF}, executable=True))

    found = [answer(awslambda, name) for _ in range(2)]

    assert [each["errorType"] for each in found] == ["Runtime.TruncatedResponse"] * 2
    assert found[0]["errorMessage"].endswith("Error: Runtime closed the connection before its response was complete")


@fact(
    "INVOKE",
    "lasts until the runtime asks for its next event, and so do Duration and the timeout",
    here="partly",
    gap="where no extension is registered it ends with the answer",
    source=LIFECYCLE,
)
def test_work_after_the_answer_is_not_part_of_the_invocation(awslambda: Any) -> None:
    name = made(awslambda, "provided.al2023", "any.thing", packed({"bootstrap": LATE}, executable=True))

    log = base64.b64decode(awslambda.invoke(FunctionName=name, LogType="Tail")["LogResult"]).decode()

    duration = re.search(r"\tDuration: ([0-9.]+) ms", log)
    assert duration is not None
    assert float(duration[1]) < 2000


@fact(
    "INIT",
    "one that ends in a segmentation fault is answered as a timeout, when the function's has passed",
    here="partly",
    gap="it is answered at once, with the signal",
    source=LIFECYCLE,
)
def test_a_segmentation_fault_of_init_is_named(awslambda: Any, function: Maker) -> None:
    name = function("import os\nos.kill(os.getpid(), 11)\n", Timeout=3)

    found = answer(awslambda, name)

    assert found["errorType"] == "Runtime.ExitError"
    assert found["errorMessage"].endswith("Runtime exited with error: signal: segmentation fault")


@fact("logs", "a line that is too long is cut, and what is no text does no harm", source=LOGS)
def test_much_and_strange_output_is_taken(awslambda: Any, function: Maker) -> None:
    name = function(
        "import os, sys\n"
        "def handler(event, context):\n"
        "    os.write(1, bytes(range(256)) + b'\\n')\n"
        "    for _ in range(16):\n        sys.stdout.write('x' * (1 << 20))\n"
        "    return 'printed'\n",
        Timeout=30,
    )

    assert [answer(awslambda, name) for _ in range(2)] == ["printed", "printed"]


@fact("output", "a handler that closes its output is served on", source=LIFECYCLE)
def test_closing_the_output_harms_nobody_else(awslambda: Any, function: Maker) -> None:
    name = function(faulty("os", "os.close(1)\nos.close(2)\nreturn 'closed'"))

    assert answer(awslambda, name) == "closed"


@fact("isolation", "a handler cannot end what is not its own", source=LIFECYCLE)
def test_killing_everything_reaches_nobody_else(isolated: None, awslambda: Any, function: Maker) -> None:
    name = function(
        "import os\n"
        "def handler(event, context):\n"
        "    try:\n        os.kill(-1, 9)\n"
        "    except ProcessLookupError:\n        return 'nobody else'\n"
    )

    assert [answer(awslambda, name) for _ in range(2)] == ["nobody else", "nobody else"]


@fact("endurance", "thousands of events leave nothing behind: no process, descriptor or folder", source=LIFECYCLE)
def test_many_events_leave_nothing_behind(tmp_path: Path) -> None:
    process, aws = start(tmp_path)
    client = aws.client("lambda")
    try:
        name = Virtual(aws).function(
            "import os\n"
            "def handler(event, context):\n"
            "    if event.get('exit'):\n        os._exit(1)\n"
            "    if event.get('fork') and os.fork() == 0:\n        os._exit(0)\n"
        )

        def run(events: int) -> None:
            for number in range(events):
                event = b'{"exit": 1}' if number % 20 == 0 else b'{"fork": 1}' if number % 7 == 0 else b"{}"
                client.invoke(FunctionName=name, Payload=event)["Payload"].read()
            client.update_function_configuration(FunctionName=name, Description=str(events))
            client.invoke(FunctionName=name, Payload=b"{}")["Payload"].read()
            until(lambda: own(aws, "GET", "health")[1]["environments"]["ahead"] == 1)  # the next one, which stays

        aws.client("s3").list_buckets()  # the library's process is there from now on
        run(40)
        # What is made ahead of any order may be there or not; what 15 ends or 40 forks left would be more than ten.
        most = [count + 10 for count in held(aws.pid, tmp_path)]
        run(300)

        until(lambda: all(now <= then for now, then in zip(held(aws.pid, tmp_path), most, strict=True)))
    finally:
        stop(process)


def held(pid: int, folder: Path) -> tuple[int, int, int]:
    """Open descriptors, descendants and environment folders of a local AWS."""
    descriptors = len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - counted, not used as paths
    return descriptors, len(below(pid)), len(list(folder.glob("lambdaform-*/environments/*")))


def poster(request_id: str) -> str:
    return (
        "import http.client, json, os\n"
        "def handler(event, context):\n"
        "    api = http.client.HTTPConnection(os.environ['AWS_LAMBDA_RUNTIME_API'])\n"
        f"    api.request('POST', '/2018-06-01/runtime/invocation/{request_id}/response', b'1')\n"
        "    told = api.getresponse()\n"
        "    return [told.status, json.loads(told.read()).get('errorType')]\n"
    )
