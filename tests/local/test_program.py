"""The local AWS as a program: its own paths, its clock, its children, and that nothing ends it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.local.conftest import (
    ROLE,
    Aws,
    Maker,
    Virtual,
    command,
    own,
    payload,
    refusal,
    start,
    stop,
    unique,
    until,
    zipped,
)
from tests.patience import PATIENCE
from tests.processes import below, command_line, state

FAILS = "def handler(event, context):\n    raise ValueError(event)\n"
COUNTS = "n = 0\ndef handler(event, context):\n    global n\n    n += 1\n    return n\n"


def test_health_says_what_runs(aws: Aws) -> None:
    status, health = own(aws, "GET", "health")

    assert status == 200
    assert health["pid"] == aws.pid
    assert health["endpoint"] == aws.endpoint
    assert health["runtimes"]["python"].startswith(f"{sys.version_info.major}.{sys.version_info.minor}")
    assert health["isolation"].startswith(("namespaces", "processes"))


@pytest.mark.skipif(os.geteuid() != 0, reason="otherwise every test is without root's privileges")
def test_handlers_are_run_without_the_privileges_of_root(tmp_path: Path) -> None:
    cap_sys_admin, drop_from_bounding_set = 21, 24
    dropping = (
        f"import ctypes, os, sys; ctypes.CDLL(None).prctl({drop_from_bounding_set}, {cap_sys_admin}, 0, 0, 0);"
        " os.execv(sys.argv[1], sys.argv[1:])"
    )
    process, aws = start(tmp_path, by=[sys.executable, "-c", dropping])
    source = (
        "def handler(event, context):\n"
        "    return [line.split()[1] for line in open('/proc/self/status') if line.startswith('Cap')]\n"
    )
    try:
        name = Virtual(aws).function(source)
        capabilities = payload(aws.client("lambda").invoke(FunctionName=name))
        isolation = own(aws, "GET", "health")[1]["isolation"]
    finally:
        stop(process)

    if isolation == "namespaces":
        assert capabilities == ["0" * 16] * 5


def test_without_namespaces_code_and_scratch_lie_in_private_folders(tmp_path: Path) -> None:
    process, aws = start(tmp_path, "--isolation", "processes")
    source = (
        "import os, shared, tempfile\n"
        "def handler(event, context):\n"
        "    return [os.getcwd(), os.environ['LAMBDA_TASK_ROOT'], tempfile.gettempdir(), shared.VALUE]\n"
    )
    try:
        client = aws.client("lambda")
        layer = client.publish_layer_version(
            LayerName="shared", Content={"ZipFile": zipped({"python/shared.py": "VALUE = 1\n"})}
        )["LayerVersionArn"]
        name = Virtual(aws).function(source, Layers=[layer])
        folder, root, scratch, value = payload(client.invoke(FunctionName=name))
        _, fidelity = own(aws, "GET", f"fidelity?function={name}")
        health = own(aws, "GET", "health")[1]
    finally:
        stop(process)

    assert health["isolation"] == "processes (as asked for)"
    assert folder == root != "/var/task"
    assert scratch.startswith(str(Path(root).parents[1]))
    assert value == 1
    assert "/tmp" in {each["setting"] for each in next(iter(fidelity["functions"].values()))}
    assert not Path(root).exists()


@pytest.mark.parametrize("options", [("--speed", "600"), ("--retry-delay", "0.05")])
def test_retries_come_sooner_when_asked_for(tmp_path: Path, options: tuple[str, str]) -> None:
    process, aws = start(tmp_path, *options)
    try:
        _, letters = Virtual(aws).queue()
        name = Virtual(aws).function(FAILS, DeadLetterConfig={"TargetArn": letters})
        aws.client("lambda").invoke(FunctionName=name, InvocationType="Event", Payload=b'"x"')
        until(lambda: Virtual(aws).messages(letters) != [])
        attempts = len(own(aws, "GET", f"invocations?function={name}")[1])
    finally:
        stop(process)

    assert attempts == 3


def test_handlers_have_real_time_left_under_a_faster_clock(tmp_path: Path) -> None:
    process, aws = start(tmp_path, "--speed", "10000")
    try:
        code = "def handler(event, context):\n    return context.get_remaining_time_in_millis()\n"
        name = Virtual(aws).function(code, Timeout=5)
        left = [json.loads(aws.client("lambda").invoke(FunctionName=name)["Payload"].read()) for _ in range(2)]
    finally:
        stop(process)

    assert [0 < each <= 5000 for each in left] == [True, True], left


def test_environments_that_are_being_provisioned_while_idle_ones_go_are_used(tmp_path: Path) -> None:
    process, aws = start(tmp_path, "--speed", "1000")  # what is idle goes after 0.6 seconds
    kind = "    return os.environ['AWS_LAMBDA_INITIALIZATION_TYPE']\n"
    try:
        awslambda = aws.client("lambda")
        awslambda.invoke(FunctionName=Virtual(aws).function(f"import os\ndef handler(event, context):\n{kind}"))
        slow = f"import os, time\ntime.sleep(1.5)\ndef handler(event, context):\n{kind}"
        which = {"FunctionName": Virtual(aws).function(slow, Publish=True), "Qualifier": "1"}
        awslambda.put_provisioned_concurrency_config(ProvisionedConcurrentExecutions=1, **which)
        until(lambda: awslambda.get_provisioned_concurrency_config(**which)["Status"] == "READY")
        found = json.loads(awslambda.invoke(**which)["Payload"].read())
    finally:
        stop(process)

    assert found == "provisioned-concurrency"


def test_the_services_behind_the_door_see_the_faster_clock(tmp_path: Path) -> None:
    process, aws = start(tmp_path, "--speed", "10000")
    try:
        s3 = aws.client("s3")
        s3.create_bucket(Bucket="of-the-future")
        began = own(aws, "GET", "clock")[1]["now"]
        s3.put_object(Bucket="of-the-future", Key="k", Body=b"")
        modified = s3.head_object(Bucket="of-the-future", Key="k")["LastModified"].timestamp()
    finally:
        stop(process)

    assert modified >= int(began)


def test_a_virtual_clock_has_no_speed() -> None:
    done = subprocess.run(
        command("--clock", "virtual", "--speed", "2"), capture_output=True, text=True, timeout=PATIENCE, check=False
    )

    assert done.returncode == 2
    assert "a virtual clock moves when it is told to" in done.stderr


def test_a_poison_message_ends_in_the_dead_letter_queue(virtual: Virtual) -> None:
    _, dead = virtual.queue()
    redrive = json.dumps({"deadLetterTargetArn": dead, "maxReceiveCount": 3})
    url, inbox = virtual.queue(VisibilityTimeout="30", RedrivePolicy=redrive)
    name = virtual.function(FAILS)
    virtual.aws.client("lambda").create_event_source_mapping(FunctionName=name, EventSourceArn=inbox)
    virtual.aws.client("sqs").send_message(QueueUrl=url, MessageBody="poison")

    virtual.advance(300)

    assert virtual.messages(dead) == ["poison"]
    assert virtual.messages(inbox) == []
    assert len(own(virtual.aws, "GET", f"invocations?function={name}")[1]) == 3


def test_an_asynchronous_event_is_tried_three_times_and_told_to_its_destination(virtual: Virtual) -> None:
    _, failed = virtual.queue()
    name = virtual.function(FAILS)
    client = virtual.aws.client("lambda")
    client.put_function_event_invoke_config(FunctionName=name, DestinationConfig={"OnFailure": {"Destination": failed}})
    accepted = client.invoke(FunctionName=name, InvocationType="Event", Payload=b'{"a": 1}')

    virtual.advance(59)
    before = own(virtual.aws, "GET", f"invocations?function={name}")[1]
    virtual.advance(200)
    after = own(virtual.aws, "GET", f"invocations?function={name}")[1]

    assert accepted["StatusCode"] == 202
    assert "ExecutedVersion" not in accepted
    assert [each["attempt"] for each in before] == [1]
    assert [each["attempt"] for each in after] == [1, 2, 3]
    assert {each["request_id"] for each in after} == {accepted["ResponseMetadata"]["RequestId"]}
    record = json.loads(virtual.messages(failed)[0])
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["requestPayload"] == {"a": 1}


def test_an_environment_idle_for_long_is_not_used_again(virtual: Virtual) -> None:
    name = virtual.function(COUNTS)
    client = virtual.aws.client("lambda")
    warm = [payload(client.invoke(FunctionName=name)) for _ in range(2)]

    virtual.advance(3600)

    assert warm == [1, 2]
    assert payload(client.invoke(FunctionName=name)) == 1


def test_a_source_without_permission_does_not_reach_the_function(virtual: Virtual) -> None:
    name = virtual.function(COUNTS)
    arn = f"arn:aws:lambda:us-east-1:123456789012:function:{name}"
    sns = virtual.aws.client("sns")
    topic = sns.create_topic(Name=unique("topic"))["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=arn)

    sns.publish(TopicArn=topic, Message="lost")
    virtual.advance(1)
    without = own(virtual.aws, "GET", f"invocations?function={name}")[1]
    virtual.aws.client("lambda").add_permission(
        FunctionName=name,
        StatementId="sns",
        Action="lambda:InvokeFunction",
        Principal="sns.amazonaws.com",
        SourceArn=topic,
    )
    sns.publish(TopicArn=topic, Message="found")
    virtual.advance(1)
    events = [each["event"] for each in own(virtual.aws, "GET", f"invocations?function={name}")[1]]

    assert without == []
    assert "found" in [event["Records"][0]["Sns"]["Message"] for event in events]


def test_restoring_goes_back_to_the_checkpoint(tmp_path: Path) -> None:
    process, aws = start(tmp_path)
    try:
        kept = Virtual(aws)
        name = kept.function(COUNTS)
        url, arn = kept.queue()
        client, sqs, s3 = aws.client("lambda"), aws.client("sqs"), aws.client("s3")
        s3.create_bucket(Bucket="kept-bucket")
        own(aws, "POST", "checkpoint")
        client.invoke(FunctionName=name)
        client.update_function_configuration(FunctionName=name, Timeout=9)
        sqs.send_message(QueueUrl=url, MessageBody="x")
        s3.put_object(Bucket="kept-bucket", Key="k", Body=b"1")
        other = kept.function(COUNTS)

        status, _ = own(aws, "POST", "restore")

        assert status == 200
        assert client.get_function_configuration(FunctionName=name)["Timeout"] == 3
        assert refusal(client.get_function, FunctionName=other).status == 404
        assert kept.messages(arn) == []
        assert own(aws, "GET", "invocations") == (200, [])
        assert "Contents" not in s3.list_objects_v2(Bucket="kept-bucket")
        assert payload(client.invoke(FunctionName=name)) == 1
        own(aws, "POST", "reset")
        assert client.list_functions()["Functions"] == []
    finally:
        stop(process)


def test_restoring_takes_the_virtual_clock_and_its_ids_back_too(tmp_path: Path) -> None:
    process, aws = start(tmp_path, "--clock", "virtual")
    try:
        virtual = Virtual(aws)
        url, arn = virtual.queue(DelaySeconds="60")
        name = virtual.function(
            "import time\ndef handler(event, context):\n    time.sleep(0.01)\n    raise ValueError\n"
        )
        aws.client("lambda").create_event_source_mapping(FunctionName=name, EventSourceArn=arn)
        own(aws, "POST", "checkpoint")

        def course() -> list[Any]:
            aws.client("sqs").send_message(QueueUrl=url, MessageBody="late")
            aws.client("lambda").invoke(FunctionName=name, InvocationType="Event")
            virtual.advance(59)
            early = len(own(aws, "GET", f"invocations?function={name}")[1])
            virtual.advance(100)
            found = own(aws, "GET", f"invocations?function={name}")[1]
            return [own(aws, "GET", "clock"), early, [(each["request_id"], each["started"]) for each in found]]

        first = course()
        own(aws, "POST", "restore")
        second = course()
    finally:
        stop(process)

    assert first[1] == 1
    assert second == first


def test_a_function_made_anew_after_a_reset_runs_its_new_code(tmp_path: Path) -> None:
    process, aws = start(tmp_path, "--clock", "virtual")
    try:
        client, answers = aws.client("lambda"), list[int]()
        for answer in (1, 2):
            # Ids repeat from here, so that both functions look the same but for their code.
            own(aws, "POST", "reset")
            code = {"ZipFile": zipped({"app.py": f"def handler(event, context):\n    return {answer}\n"})}
            client.create_function(FunctionName="f", Runtime="python3.11", Handler="app.handler", Role=ROLE, Code=code)
            answers.append(payload(client.invoke(FunctionName="f")))
    finally:
        stop(process)

    assert answers == [1, 2]


def test_only_a_virtual_clock_can_be_moved(aws: Aws, virtual: Virtual) -> None:
    assert own(aws, "POST", "clock", {"advance": 1})[0] == 409
    assert own(virtual.aws, "POST", "clock", {"advance": -1})[0] == 400
    assert own(virtual.aws, "POST", "clock", {"advance": "soon"})[0] == 400
    assert own(virtual.aws, "GET", "clock")[1]["kind"] == "virtual"


def test_what_is_accepted_but_not_honoured_is_said(aws: Aws, function: Maker) -> None:
    name = function("", Runtime="nodejs22.x", TracingConfig={"Mode": "Active"})

    _, answer = own(aws, "GET", f"fidelity?function={name}")

    settings = {each["setting"] for each in next(iter(answer["functions"].values()))}
    assert {"TracingConfig", "Role"} <= settings


def test_code_from_a_bucket_runs_and_a_missing_object_is_worded_as_lambda_does(aws: Aws, awslambda: Any) -> None:
    s3 = aws.client("s3")
    bucket, name = unique("code"), unique()
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="code.zip", Body=zipped({"app.py": COUNTS}))
    settings = {"Runtime": "python3.13", "Handler": "app.handler", "Role": ROLE}

    awslambda.create_function(FunctionName=name, Code={"S3Bucket": bucket, "S3Key": "code.zip"}, **settings)
    missing = refusal(
        awslambda.create_function, FunctionName=unique(), Code={"S3Bucket": bucket, "S3Key": "nope"}, **settings
    )

    assert payload(awslambda.invoke(FunctionName=name)) == 1
    assert missing.message.startswith("Error occurred while GetObject. S3 Error Code: NoSuchKey. S3 Error Message: ")


@pytest.mark.parametrize(
    "garbage",
    [
        b"POST /2015-03-31/functions HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n{{{{{",
        b"PATCH /2015-03-31/functions/x HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /2015-03-31/functions/%zz/invocations HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: AmazonSQS.Nonsense\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: AmazonSQS.SendMessage\r\nContent-Length: 2\r\n\r\n[]",
        b"GET /_lambdaform/nothing HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /_lambdaform/code/..%2f..%2fetc%2fpasswd HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /_lambdaform/clock HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n{",
        b"GET /?X-Amz-Credential=nonsense HTTP/1.1\r\nHost: x.lambda-url.y.z\r\n\r\n",
        b"\x00\x01\x02\r\n\r\n",
    ],
)
def test_garbage_is_refused_and_the_program_lives_on(aws: Aws, garbage: bytes) -> None:
    parts = urlsplit(aws.endpoint)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=PATIENCE) as connection:
        connection.sendall(garbage)
        status = int(connection.recv(65536).split(b" ")[1])

    assert 400 <= status < 500
    assert own(aws, "GET", "health")[0] == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_everything_ends_with_the_program(tmp_path: Path, number: signal.Signals) -> None:
    process, aws = start(tmp_path)
    # A grandchild in a session of its own, which no death signal reaches.
    name = Virtual(aws).function(
        "import subprocess\n"
        "def handler(event, context):\n"
        "    subprocess.Popen(['sleep', '60'], start_new_session=True)\n"
    )
    aws.client("lambda").invoke(FunctionName=name)
    pids = below(aws.pid)
    assert any("sleep" in command_line(pid) for pid in pids)

    process.send_signal(number)
    process.wait(PATIENCE)

    # A death signal arrives a moment after the parent's end: wait for the processes themselves, not for a time.
    for pid in pids:
        while state(pid) is not None:
            pass


def test_a_taken_default_port_is_said_and_another_one_used() -> None:
    with socket.socket() as taken:
        try:
            taken.bind(("127.0.0.1", 4566))
            taken.listen()
        except OSError:
            pass  # something else has it: just as well
        process = subprocess.Popen(
            [sys.executable, "-m", "lambdaform.local"], stderr=subprocess.PIPE, text=True, env=dict(os.environ)
        )
        assert process.stderr is not None
        line = process.stderr.readline()
        process.terminate()
        process.wait(PATIENCE)
        process.stderr.close()

    assert "(port 4566 is taken)" in line
    assert "http://127.0.0.1:" in line
