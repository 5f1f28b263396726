"""What a local AWS finishes before it ends, what it keeps in a folder, and how it goes on from there."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.local.conftest import Virtual, command, own, payload, start, stop, until
from tests.patience import PATIENCE

ANSWERS = "def handler(event, context):\n    return {'answer': event}\n"
FAILS = "def handler(event, context):\n    raise ValueError(event)\n"
FORWARDS = """\
import boto3, json, os, time
def handler(event, context):
    time.sleep(0.5)
    boto3.client("sqs").send_message(QueueUrl=os.environ["DONE"], MessageBody=json.dumps(event))
"""
WRITES_DOWN = """\
import os
def handler(event, context):
    with open(os.environ["NOTES"], "a") as file:
        file.write("x")
    raise ValueError
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a local AWS that has ended."""
    folder = tmp_path_factory.mktemp("saved")
    process, _ = start(folder, "--persist", str(folder / "kept"))
    stop(process)
    return folder / "kept"


def test_everything_that_was_made_is_there_again_after_a_restart(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    process, aws = start(tmp_path, "--persist", str(kept))
    name = Virtual(aws).function(ANSWERS)
    awslambda, s3, dynamodb = aws.client("lambda"), aws.client("s3"), aws.client("dynamodb")
    version = awslambda.publish_version(FunctionName=name)["Version"]
    awslambda.create_alias(FunctionName=name, Name="live", FunctionVersion=version)
    awslambda.invoke(FunctionName=name, Payload=b"1")
    _, queue = Virtual(aws).queue()
    aws.client("sqs").send_message(QueueUrl=queue_url(aws, queue), MessageBody="still here")
    s3.create_bucket(Bucket="kept-objects")
    s3.put_object(Bucket="kept-objects", Key="a/b", Body=b"content")
    dynamodb.create_table(
        TableName="kept",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    dynamodb.put_item(TableName="kept", Item={"id": {"S": "1"}})
    key = aws.client("kms").create_key(KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"]["KeyId"]
    secret = aws.client("kms").encrypt(KeyId=key, Plaintext=b"hidden", EncryptionAlgorithm="RSAES_OAEP_SHA_256")
    aws.client("ssm").put_parameter(Name="/kept", Value="parameter", Type="String")
    aws.client("events").put_rule(Name="kept", ScheduleExpression="rate(1 day)")
    topic = aws.client("sns").create_topic(Name="kept")["TopicArn"]
    before = own(aws, "GET", "health")[1]
    stop(process)

    process, aws = start(tmp_path, "--persist", str(kept))
    try:
        health = own(aws, "GET", "health")[1]
        assert (health["instance"], health["endpoint"]) == (before["instance"], before["endpoint"])
        assert payload(aws.client("lambda").invoke(FunctionName=f"{name}:live", Payload=b"2")) == {"answer": 2}
        assert Virtual(aws).messages(queue) == ["still here"]
        assert aws.client("s3").get_object(Bucket="kept-objects", Key="a/b")["Body"].read() == b"content"
        assert aws.client("dynamodb").scan(TableName="kept")["Items"] == [{"id": {"S": "1"}}]
        opened = aws.client("kms").decrypt(
            KeyId=key, CiphertextBlob=secret["CiphertextBlob"], EncryptionAlgorithm="RSAES_OAEP_SHA_256"
        )
        assert opened["Plaintext"] == b"hidden"
        assert aws.client("ssm").get_parameter(Name="/kept")["Parameter"]["Value"] == "parameter"
        assert aws.client("events").describe_rule(Name="kept")["ScheduleExpression"] == "rate(1 day)"
        assert [each["TopicArn"] for each in aws.client("sns").list_topics()["Topics"]] == [topic]
        logs = aws.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
        assert sum(each["message"].startswith("START") for each in logs) == 2
    finally:
        stop(process)


def test_code_changed_after_a_restart_is_the_code_that_runs(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    process, aws = start(tmp_path, "--persist", str(kept))
    name = Virtual(aws).function(ANSWERS)
    stop(process)

    process, aws = start(tmp_path, "--persist", str(kept))
    try:
        awslambda = aws.client("lambda")
        awslambda.invoke(FunctionName=name, Payload=b"1")
        awslambda.update_function_configuration(FunctionName=name, Environment={"Variables": {"CHANGED": "1"}})
        other = Virtual(aws).function("def handler(event, context):\n    return 'other'\n")
        answers = [payload(awslambda.invoke(FunctionName=each, Payload=b"1")) for each in (name, other)]
    finally:
        stop(process)

    assert answers == [{"answer": 1}, "other"]


def test_an_event_that_waits_for_its_retry_is_retried_after_the_restart(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    process, aws = start(tmp_path, "--clock", "virtual", "--persist", str(kept))
    virtual = Virtual(aws)
    _, letters = virtual.queue()
    name = virtual.function(FAILS, DeadLetterConfig={"TargetArn": letters})
    aws.client("lambda").invoke(FunctionName=name, InvocationType="Event", Payload=b'"poison"')
    virtual.advance(1)
    before = len(own(aws, "GET", f"invocations?function={name}")[1])
    stop(process)

    process, aws = start(tmp_path, "--clock", "virtual", "--persist", str(kept))
    try:
        virtual = Virtual(aws)
        virtual.advance(600)
        after = len(own(aws, "GET", f"invocations?function={name}")[1])
        messages = virtual.messages(letters)
    finally:
        stop(process)

    assert (before, after) == (1, 2)
    assert messages == ['"poison"']


def test_an_event_that_was_being_tried_is_tried_again_after_the_restart(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    process, aws = start(tmp_path, "--persist", str(kept))
    url, done = Virtual(aws).queue()
    name = Virtual(aws).function(FORWARDS, Timeout=10, Environment={"Variables": {"DONE": url}})
    aws.client("lambda").invoke(FunctionName=name, InvocationType="Event", Payload=b'{"n": 1}')
    stop(process)

    process, aws = start(tmp_path, "--persist", str(kept))
    try:
        aws.client("lambda").update_function_configuration(
            FunctionName=name, Environment={"Variables": {"DONE": queue_url(aws, done)}}
        )
        until(lambda: Virtual(aws).messages(done) != [])
        messages = Virtual(aws).messages(done)
    finally:
        stop(process)

    assert messages == ['{"n": 1}']


def test_at_the_end_events_are_finished_with_all_their_attempts(tmp_path: Path) -> None:
    process, aws = start(tmp_path, "--isolation", "processes", "--grace", "20")
    notes = tmp_path / "notes"
    name = Virtual(aws).function(WRITES_DOWN, Environment={"Variables": {"NOTES": str(notes)}})
    aws.client("lambda").invoke(FunctionName=name, InvocationType="Event", Payload=b"{}")

    stop(process)

    assert notes.read_text() == "xxx"


def test_events_that_cannot_be_finished_in_time_are_named(tmp_path: Path) -> None:
    process, aws = start(tmp_path, stderr=subprocess.PIPE)
    name = Virtual(aws).function("import time\ndef handler(event, context):\n    time.sleep(60)\n", Timeout=90)
    aws.client("lambda").invoke(FunctionName=name, InvocationType="Event", Payload=b"{}")

    process.terminate()
    _, said = process.communicate(timeout=PATIENCE)

    assert f"1 asynchronous event for {name}:$LATEST did not come to an end; --persist DIR" in said.decode()


def test_after_a_kill_it_goes_on_from_the_latest_save_and_says_so(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    process, aws = start(tmp_path, "--persist", str(kept))
    _, queue = Virtual(aws).queue()
    assert own(aws, "POST", "keep") == (200, {})
    Virtual(aws).queue()
    process.kill()
    process.wait(PATIENCE)

    process, aws = start(tmp_path, "--persist", str(kept), stderr=subprocess.PIPE)
    queues = aws.client("sqs").list_queues()["QueueUrls"]
    process.terminate()
    _, said = process.communicate(timeout=PATIENCE)

    assert [each.rpartition("/")[2] for each in queues] == [queue.rpartition(":")[2]]
    assert "the last run did not end by itself; what it did after" in said.decode()


def test_two_cannot_keep_their_state_in_one_folder(tmp_path: Path) -> None:
    process, _ = start(tmp_path, "--persist", str(tmp_path / "kept"))
    try:
        code, said = ends(tmp_path / "kept")
    finally:
        stop(process)

    assert code == 1
    assert "another local AWS keeps its state in" in said


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"lambdaform": "0.0.1"}, "was written by lambdaform 0.0.1"),
        ({"clock": "virtual"}, "was written under the virtual clock, and this is the system one"),
        ({"folder": "save-none"}, "is damaged (FileNotFoundError"),
        (None, "manifest.json is damaged"),
    ],
)
def test_a_state_that_cannot_be_used_is_refused_and_left_as_it_is(
    tmp_path: Path, saved: Path, change: dict[str, Any] | None, expected: str
) -> None:
    kept = tmp_path / "kept"
    shutil.copytree(saved, kept)
    manifest = kept / "manifest.json"
    manifest.write_text("{" if change is None else json.dumps(json.loads(manifest.read_text()) | change))
    before = sorted(path.name for path in kept.rglob("*"))

    code, said = ends(kept)

    assert code == 1
    assert expected in said
    assert sorted(path.name for path in kept.rglob("*")) == before


def test_a_damaged_state_of_the_services_is_refused(tmp_path: Path, saved: Path) -> None:
    kept = tmp_path / "kept"
    shutil.copytree(saved, kept)
    [services] = kept.glob("save-*/services.pickle")
    services.write_bytes(services.read_bytes()[:100])

    code, said = ends(kept)

    assert code == 1
    assert "the kept state of the services is damaged" in said
    assert "Traceback" not in said


def test_without_a_folder_nothing_can_be_kept(virtual: Virtual) -> None:
    status, answer = own(virtual.aws, "POST", "keep")

    assert status == 409
    assert "--persist" in answer["error"]


def ends(folder: Path) -> tuple[int, str]:
    """How a local AWS ends that cannot start with a folder."""
    done = subprocess.run(
        command("--persist", str(folder)), capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    return done.returncode, done.stderr


def queue_url(aws: Any, arn: str) -> str:
    return aws.client("sqs").get_queue_url(QueueName=arn.rpartition(":")[2])["QueueUrl"]
