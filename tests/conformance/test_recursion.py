"""Recursive loops.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html
"""

from __future__ import annotations

import json
from typing import Any

from tests.conformance.facts import fact
from tests.local.conftest import Virtual, own

RECURSION = "https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html"
SENDS_AGAIN = (
    "import boto3, os\n"
    "sqs = boto3.client('sqs')\n"
    "def handler(event, context):\n"
    "    number = int(event['Records'][0]['body'])\n"
    "    if number < 20:\n"
    "        sqs.send_message(QueueUrl=os.environ['QUEUE'], MessageBody=str(number + 1))\n"
)
INVOKES_ITSELF = (
    "import boto3\n"
    "client = boto3.client('lambda')\n"
    "def handler(event, context):\n"
    "    client.invoke(FunctionName=context.function_name, InvocationType='Event', Payload=b'{}')\n"
)


def ran(virtual: Virtual, name: str) -> int:
    return len(own(virtual.aws, "GET", f"invocations?function={name}")[1])


def looping(virtual: Virtual, **settings: Any) -> tuple[str, str, str]:
    """A function that feeds the queue it reads: its name, the queue's URL, and its dead-letter queue's ARN."""
    _, dead = virtual.queue()
    redrive = json.dumps({"deadLetterTargetArn": dead, "maxReceiveCount": 2})
    url, arn = virtual.queue(VisibilityTimeout="30", RedrivePolicy=redrive)
    name = virtual.function(SENDS_AGAIN, Environment={"Variables": {"QUEUE": url}}, Timeout=10, **settings)
    client = virtual.aws.client("lambda")
    client.create_event_source_mapping(FunctionName=name, EventSourceArn=arn)
    virtual.advance(1)
    return name, url, dead


@fact(
    "RecursiveLoop Terminate",
    "a loop through a queue is stopped after 16 invocations; its message is a dead letter",
    source=RECURSION,
)
def test_a_loop_through_a_queue_is_stopped(virtual: Virtual) -> None:
    name, url, dead = looping(virtual)
    virtual.aws.client("sqs").send_message(QueueUrl=url, MessageBody="1")
    virtual.advance(300)

    assert ran(virtual, name) == 16
    assert virtual.messages(dead) == ["17"]


@fact(
    "RecursiveLoop Terminate",
    "a function that invokes itself is stopped; the event goes to its destination",
    source=RECURSION,
)
def test_a_function_that_invokes_itself_is_stopped(virtual: Virtual) -> None:
    name = virtual.function(INVOKES_ITSELF, Timeout=10)
    client = virtual.aws.client("lambda")
    _, kept = virtual.queue()
    client.put_function_event_invoke_config(FunctionName=name, DestinationConfig={"OnFailure": {"Destination": kept}})
    client.invoke(FunctionName=name, InvocationType="Event", Payload=b"{}")
    virtual.advance(600)

    assert ran(virtual, name) == 16
    assert len(virtual.messages(kept)) == 1


@fact("RecursiveLoop Allow", "lets a loop go on", source=RECURSION)
def test_a_loop_that_is_allowed_goes_on(virtual: Virtual) -> None:
    name, url, _ = looping(virtual)
    client = virtual.aws.client("lambda")
    client.put_function_recursion_config(FunctionName=name, RecursiveLoop="Allow")
    virtual.aws.client("sqs").send_message(QueueUrl=url, MessageBody="1")
    virtual.advance(300)

    assert ran(virtual, name) == 20
