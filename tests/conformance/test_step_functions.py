"""Step Functions.

State machines are the library's; their tasks reach functions, queues and topics here.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moto.stepfunctions import parser

from lambdaform.local.data_waiting import WAITING_MODULES
from tests.conformance.facts import fact
from tests.local.conftest import ROLE, Aws, Maker, Virtual, own, start, stop, unique, until

STEP_FUNCTIONS = "https://docs.aws.amazon.com/step-functions/latest/dg/connect-lambda.html"
WAIT = "https://docs.aws.amazon.com/step-functions/latest/dg/state-wait.html"
RETRY = "https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html"
ECHO = "def handler(event, context):\n    return {'got': event}\n"
FAILS_ONCE = """\
import os
count = 0
def handler(event, context):
    global count
    count += 1
    if count == 1:
        raise ValueError("first")
    return count
"""


def ended(aws: Aws, states: Mapping[str, Any], event: Any) -> Mapping[str, Any]:
    """How an execution of a machine ended that begins at its first state."""
    client = aws.client("stepfunctions")
    definition = {"StartAt": next(iter(states)), "States": states}
    machine = client.create_state_machine(name=unique("machine"), definition=json.dumps(definition), roleArn=ROLE)
    started = client.start_execution(stateMachineArn=machine["stateMachineArn"], input=json.dumps(event))

    def found() -> Mapping[str, Any]:
        return client.describe_execution(executionArn=started["executionArn"])

    until(lambda: found()["status"] != "RUNNING")
    return found()


def arn(awslambda: Any, name: str) -> str:
    return awslambda.get_function_configuration(FunctionName=name)["FunctionArn"]


@fact("Task", "a function by its ARN gets the state's input and gives its answer", source=STEP_FUNCTIONS)
def test_a_task_runs_a_function(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(ECHO)

    execution = ended(aws, {"Run": {"Type": "Task", "Resource": arn(awslambda, name), "End": True}}, {"n": 1})

    assert (execution["status"], json.loads(execution["output"])) == ("SUCCEEDED", {"got": {"n": 1}})


@fact("Task", "`lambda:invoke` wraps the answer in Payload with StatusCode and ExecutedVersion", source=STEP_FUNCTIONS)
def test_an_optimised_task_wraps_the_answer(aws: Aws, awslambda: Any, function: Maker) -> None:
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": {"FunctionName": arn(awslambda, function(ECHO)), "Payload.$": "$"},
        "End": True,
    }

    output = json.loads(ended(aws, {"Run": task}, {"n": 2})["output"])

    assert (output["Payload"], output["StatusCode"], output["ExecutedVersion"]) == ({"got": {"n": 2}}, 200, "$LATEST")


@fact("Retry", "runs a function that failed again", source=STEP_FUNCTIONS)
def test_a_failed_task_is_retried(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(FAILS_ONCE)
    task = {
        "Type": "Task",
        "Resource": arn(awslambda, name),
        "Retry": [{"ErrorEquals": ["ValueError"], "IntervalSeconds": 1, "MaxAttempts": 1}],
        "End": True,
    }

    execution = ended(aws, {"Run": task}, {})

    assert (execution["status"], execution["output"]) == ("SUCCEEDED", "2")
    assert len(own(aws, "GET", f"invocations?function={name}")[1]) == 2


@fact("Task", "a message to a queue reaches it", source=STEP_FUNCTIONS)
def test_a_task_sends_to_a_queue(aws: Aws) -> None:
    url, queue = Virtual(aws).queue()
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::sqs:sendMessage",
        "Parameters": {"QueueUrl": url, "MessageBody": "from a machine"},
        "End": True,
    }

    execution = ended(aws, {"Send": task}, {})

    assert execution["status"] == "SUCCEEDED"
    assert Virtual(aws).messages(queue) == ["from a machine"]


def started(aws: Aws, states: Mapping[str, Any], event: Any = None, **settings: Any) -> str:
    """The ARN of an execution of a machine that begins at its first state."""
    client = aws.client("stepfunctions")
    definition = {"StartAt": next(iter(states)), "States": states, **settings}
    machine = client.create_state_machine(name=unique("machine"), definition=json.dumps(definition), roleArn=ROLE)
    execution = client.start_execution(stateMachineArn=machine["stateMachineArn"], input=json.dumps(event or {}))
    return str(execution["executionArn"])


def described(aws: Aws, execution: str) -> Mapping[str, Any]:
    return aws.client("stepfunctions").describe_execution(executionArn=execution)


def status(aws: Aws, execution: str) -> str:
    return str(described(aws, execution)["status"])


def waiting(seconds: int) -> Mapping[str, Any]:
    """States that wait, and no more."""
    return {"Wait": {"Type": "Wait", "Seconds": seconds, "End": True}}


def sending(url: str, *waits: int) -> Mapping[str, Any]:
    """A branch that sends a message after each of some waits."""
    states: dict[str, Any] = {}
    for number, seconds in enumerate(waits):
        body = f"{waits} {number}"
        states[f"Wait{number}"] = {"Type": "Wait", "Seconds": seconds, "Next": f"Send{number}"}
        states[f"Send{number}"] = {
            "Type": "Task",
            "Resource": "arn:aws:states:::sqs:sendMessage",
            "Parameters": {"QueueUrl": url, "MessageBody": body},
            **({"End": True} if number == len(waits) - 1 else {"Next": f"Wait{number + 1}"}),
        }
    return {"StartAt": "Wait0", "States": states}


@fact("Wait", "`Seconds` pass on the clock before the next state", source=WAIT)
def test_a_wait_of_an_hour_ends_when_the_clock_gets_there(virtual: Virtual) -> None:
    execution = started(virtual.aws, waiting(3600))
    virtual.advance(3599)
    assert status(virtual.aws, execution) == "RUNNING"

    virtual.advance(1)

    found = described(virtual.aws, execution)
    assert found["status"] == "SUCCEEDED"
    assert (found["stopDate"] - found["startDate"]).total_seconds() == 3600


@fact("Wait", "until a `Timestamp`", source=WAIT)
def test_a_wait_until_a_moment_ends_then(virtual: Virtual) -> None:
    begin = described(virtual.aws, started(virtual.aws, waiting(0)))["startDate"]
    moment = (begin + datetime.timedelta(minutes=2)).astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    execution = started(virtual.aws, {"Wait": {"Type": "Wait", "Timestamp": moment, "End": True}})

    virtual.advance(110)
    assert status(virtual.aws, execution) == "RUNNING"
    virtual.advance(10)
    assert status(virtual.aws, execution) == "SUCCEEDED"


@fact("Retry", "`IntervalSeconds` and `BackoffRate` are on the clock", source=RETRY)
def test_retries_of_a_task_wait_by_the_clock(virtual: Virtual) -> None:
    name = virtual.function("def handler(event, context):\n    raise ValueError('no')\n")
    retry = {"ErrorEquals": ["ValueError"], "IntervalSeconds": 60, "BackoffRate": 2, "MaxAttempts": 2}
    resource = arn(virtual.aws.client("lambda"), name)
    execution = started(virtual.aws, {"Run": {"Type": "Task", "Resource": resource, "Retry": [retry], "End": True}})

    def invoked() -> int:
        return len(own(virtual.aws, "GET", f"invocations?function={name}")[1])

    counts = [invoked()]
    for seconds in (59, 1, 119, 1):
        virtual.advance(seconds)
        counts.append(invoked())

    assert counts == [1, 1, 2, 2, 3]
    assert status(virtual.aws, execution) == "FAILED"


@fact("TimeoutSeconds", "ends a machine or a task that takes longer", source=RETRY)
def test_timeouts_are_on_the_clock(virtual: Virtual) -> None:
    url, queue = virtual.queue()
    asks = {
        "Type": "Task",
        "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
        "Parameters": {"QueueUrl": url, "MessageBody.$": "$$.Task.Token"},
        "TimeoutSeconds": 600,
        "End": True,
    }
    whole = started(virtual.aws, waiting(3600), TimeoutSeconds=60)
    task = started(virtual.aws, {"Ask": asks})
    beats = started(virtual.aws, {"Ask": {**asks, "HeartbeatSeconds": 120}})
    assert len(virtual.messages(queue)) == 2

    seen = list[list[str]]()
    for seconds in (59, 1, 59, 1, 479, 1):
        virtual.advance(seconds)
        seen.append([status(virtual.aws, each) for each in (whole, beats, task)])

    running = "RUNNING"
    assert seen == [
        [running, running, running],
        ["TIMED_OUT", running, running],
        ["TIMED_OUT", running, running],
        ["TIMED_OUT", "FAILED", running],
        ["TIMED_OUT", "FAILED", running],
        ["TIMED_OUT", "FAILED", "FAILED"],
    ]
    assert described(virtual.aws, task)["error"] == "States.Timeout"


@fact("Task", "`.waitForTaskToken` goes on when somebody answers for it", source=STEP_FUNCTIONS)
def test_a_task_waits_for_an_answer(virtual: Virtual) -> None:
    url, queue = virtual.queue()
    asks = {
        "Type": "Task",
        "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
        "Parameters": {"QueueUrl": url, "MessageBody.$": "$$.Task.Token"},
        "TimeoutSeconds": 6000,
        "End": True,
    }
    execution = started(virtual.aws, {"Ask": asks})
    virtual.advance(60)

    [token] = virtual.messages(queue)
    virtual.aws.client("stepfunctions").send_task_success(taskToken=token, output='{"n": 1}')

    found = described(virtual.aws, execution)
    assert (found["status"], json.loads(found["output"])) == ("SUCCEEDED", {"n": 1})


@fact(
    "Parallel",
    "branches run side by side",
    source="https://docs.aws.amazon.com/step-functions/latest/dg/state-parallel.html",
)
def test_branches_take_one_course_at_all_times(virtual: Virtual) -> None:
    courses = list[list[str]]()
    for _ in range(3):
        url, queue = virtual.queue()
        branches = [sending(url, 20, 10), sending(url, 10, 20), sending(url, 30), sending(url, 10, 10, 10)]
        execution = started(virtual.aws, {"All": {"Type": "Parallel", "Branches": branches, "End": True}})
        virtual.advance(30)
        assert status(virtual.aws, execution) == "SUCCEEDED"
        courses.append(virtual.messages(queue))

    assert courses[0][:3] == ["(10, 20) 0", "(10, 10, 10) 0", "(20, 10) 0"]
    assert len(courses[0]) == 8
    assert courses[1:] == courses[:1] * 2


@fact(
    "Map",
    "runs its states for every item",
    source="https://docs.aws.amazon.com/step-functions/latest/dg/state-map.html",
)
def test_items_of_a_map_wait_side_by_side(virtual: Virtual) -> None:
    states = {"Wait": {"Type": "Wait", "SecondsPath": "$", "End": True}}
    each = {
        "Type": "Map",
        "ItemsPath": "$.items",
        "ItemProcessor": {"ProcessorConfig": {"Mode": "INLINE"}, "StartAt": "Wait", "States": states},
        "End": True,
    }
    execution = started(virtual.aws, {"Each": each}, {"items": [100, 300, 200]})

    virtual.advance(299)
    assert status(virtual.aws, execution) == "RUNNING"
    virtual.advance(1)
    assert json.loads(described(virtual.aws, execution)["output"]) == [100, 300, 200]


def test_what_a_task_starts_is_over_before_time_goes_on(virtual: Virtual) -> None:
    table = unique("table")
    virtual.aws.client("dynamodb").create_table(
        TableName=table,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    source = (
        "import boto3, os, time\n"
        "def handler(event, context):\n"
        f"    boto3.client('dynamodb').put_item(TableName='{table}', Item={{'id': {{'S': str(event['n'])}}}})\n"
        "    return event\n"
    )
    resource = arn(virtual.aws.client("lambda"), virtual.function(source, Timeout=30))
    states = {
        "Wait": {"Type": "Wait", "Seconds": 10, "Next": "Run"},
        "Run": {"Type": "Task", "Resource": resource, "Next": "Again"},
        "Again": {"Type": "Wait", "Seconds": 10, "End": True},
    }

    executions = [started(virtual.aws, states, {"n": n}) for n in range(3)]
    virtual.advance(20)

    assert {status(virtual.aws, each) for each in executions} == {"SUCCEEDED"}
    assert virtual.aws.client("dynamodb").scan(TableName=table)["Count"] == 3


@fact(
    "Executions",
    "go on, whatever else happens",
    here="partly",
    gap="those under way when a state is kept, such as before a test or by --persist, are ABORTED in it and say so",
    source=WAIT,
)
def test_an_execution_under_way_at_a_checkpoint_says_that_it_ended_there(virtual: Virtual) -> None:
    execution = started(virtual.aws, waiting(3600))
    own(virtual.aws, "POST", "checkpoint")

    found = described(virtual.aws, execution)
    assert (found["status"], found["error"]) == ("ABORTED", "Lambdaform.NotContinued")

    after = started(virtual.aws, waiting(60))
    virtual.advance(60)
    assert status(virtual.aws, after) == "SUCCEEDED"


def test_waits_are_shorter_by_the_speed(tmp_path: Path) -> None:
    process, aws = start(tmp_path, "--speed", "7200")

    execution = ended(aws, waiting(3600), {})
    stop(process)

    waited = (execution["stopDate"] - execution["startDate"]).total_seconds()
    assert execution["status"] == "SUCCEEDED"
    assert 3600 <= waited < 3600 + 7200 * 5


def test_machines_and_executions_are_kept(tmp_path: Path) -> None:
    options = ("--clock", "virtual", "--persist", str(tmp_path / "kept"))
    process, aws = start(tmp_path, *options)
    over = started(aws, {"Done": {"Type": "Pass", "End": True}})
    under_way = started(aws, waiting(3600))
    assert [status(aws, each) for each in (over, under_way)] == ["SUCCEEDED", "RUNNING"]
    stop(process)

    process, aws = start(tmp_path, *options)
    found = [status(aws, each) for each in (over, under_way)]
    again = ended(aws, waiting(0), {})
    stop(process)

    assert found == ["SUCCEEDED", "ABORTED"]
    assert again["status"] == "SUCCEEDED"


def test_a_task_may_wait_for_an_execution_that_it_starts(virtual: Virtual) -> None:
    client = virtual.aws.client("stepfunctions")
    definition = json.dumps({"StartAt": "Done", "States": {"Done": {"Type": "Pass", "End": True}}})
    inner = client.create_state_machine(name=unique("machine"), definition=definition, roleArn=ROLE)
    source = (
        "import boto3\n"
        "def handler(event, context):\n"
        "    client = boto3.client('stepfunctions')\n"
        f"    started = client.start_execution(stateMachineArn='{inner['stateMachineArn']}', input='{{}}')\n"
        "    while True:\n"
        "        status = client.describe_execution(executionArn=started['executionArn'])['status']\n"
        "        if status != 'RUNNING':\n"
        "            return status\n"
    )
    resource = arn(virtual.aws.client("lambda"), virtual.function(source, Timeout=60))

    execution = ended(virtual.aws, {"Run": {"Type": "Task", "Resource": resource, "End": True}}, {})

    assert (execution["status"], execution["output"].strip('"')) == ("SUCCEEDED", "SUCCEEDED")


def test_every_wait_of_the_librarys_executions_is_known() -> None:
    folder = Path(parser.__file__).parent
    found = set[str]()
    for path in folder.rglob("*.py"):
        if re.search(r"^(import|from) (threading|time)\b", path.read_text(), re.MULTILINE):
            found.add(".".join((parser.__name__, *path.relative_to(folder).with_suffix("").parts)))

    only_locks = {
        "backend.alias",
        "asl.eval.event.event_manager",
        "asl.component.state.exec.state_map.iteration.itemprocessor.map_run_record",
    }
    not_by_executions = {
        "provider",
        "backend.test_state.execution",
        "asl.component.test_state.program.test_state_program",
    }
    unused = {"asl.eval.count_down_latch"}
    apart = {"backend.execution_worker", "asl.component.state.wait.wait_function.wait_function"}
    known = only_locks | not_by_executions | unused | apart
    assert found == {*WAITING_MODULES, *(f"{parser.__name__}.{name}" for name in known)}
