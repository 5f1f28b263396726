"""Step Functions.

State machines are the library's; their tasks reach functions, queues and topics here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.conformance.facts import fact
from tests.local.conftest import ROLE, Aws, Maker, Virtual, own, unique, until

STEP_FUNCTIONS = "https://docs.aws.amazon.com/step-functions/latest/dg/connect-lambda.html"
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


@fact(
    "Wait",
    "waits",
    here="partly",
    gap="by this machine's time, also under the virtual clock",
    source="https://docs.aws.amazon.com/step-functions/latest/dg/state-wait.html",
)
def test_a_state_waits_by_the_machines_time(virtual: Virtual) -> None:
    states = {
        "Wait": {"Type": "Wait", "Seconds": 1, "Next": "Done"},
        "Done": {"Type": "Pass", "End": True},
    }

    assert ended(virtual.aws, states, {})["status"] == "SUCCEEDED"
