"""Events: queues, retries and schedules through the local AWS, on the system clock and on a virtual one."""

from __future__ import annotations

import asyncio
import http.client
import json
import statistics
import sys
import time
import zipfile
from io import BytesIO
from typing import Any, cast
from urllib.parse import quote, urlsplit

import boto3
import uvloop

from lambdaform.local.asynchronous import AsynchronousQueue
from lambdaform.local.clock import SeededIds, VirtualClock
from lambdaform.local.delivery import Delivery
from lambdaform.local.ports import FunctionSettings, Outcome
from lambdaform.local.process import LocalProcess, start

HERE = f"python{sys.version_info.major}.{sys.version_info.minor}"
"""The runtime that AWS's own runtime client is installed for."""
ROLE = "arn:aws:iam::123456789012:role/r"
SIGNED = "AWS4-HMAC-SHA256 Credential=local/20261120/us-east-1/sqs/aws4_request, SignedHeaders=a, Signature=b"
"""Says which service a request of a raw client is for; nobody checks the rest."""
ANSWERS = "def handler(event, context):\n    return None\n"
FAILS = "def handler(event, context):\n    raise ValueError('no')\n"


def client(local: LocalProcess, service: str) -> Any:
    """A boto3 client of the local AWS."""
    session = cast(Any, boto3).Session("local", "local", region_name="us-east-1")
    return session.client(service, endpoint_url=local.running.endpoint)


def function(local: LocalProcess, name: str, source: str) -> str:
    """Make a function; gives its ARN."""
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("m.py", source)
    awslambda = client(local, "lambda")
    made = awslambda.create_function(
        FunctionName=name, Runtime=HERE, Handler="m.handler", Role=ROLE, Code={"ZipFile": archive.getvalue()}
    )
    awslambda.get_waiter("function_active_v2").wait(FunctionName=name)
    return str(made["FunctionArn"])


def queue(local: LocalProcess, name: str) -> tuple[str, str]:
    """Make a queue; gives its URL and ARN."""
    sqs = client(local, "sqs")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    return url, sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def ran(local: LocalProcess, name: str) -> list[dict[str, Any]]:
    """The recorded invocations of a function."""
    return local.running.request("GET", f"/_lambdaform/invocations?function={quote(name)}")


def figure(name: str, value: float, unit: str, wanted: str) -> None:
    """One line of the table."""
    print(f"  {name:<62} {value:12,.1f} {unit:<8} {wanted}")


def events() -> None:
    """All of it."""
    print("Events")
    local = start()
    try:
        queued(local)
        door(local)
    finally:
        local.close()
    virtual = start(clock="virtual")
    try:
        day(virtual)
    finally:
        virtual.close()
    decisions()


def queued(local: LocalProcess) -> None:
    """From a queue to its function."""
    sqs = client(local, "sqs")
    arn = function(local, "reader", ANSWERS)
    url, source = queue(local, "jobs")
    client(local, "lambda").create_event_source_mapping(FunctionName=arn, EventSourceArn=source, BatchSize=10)
    waits: list[float] = []
    for number in range(40):
        sent = time.time()
        sqs.send_message(QueueUrl=url, MessageBody="x")
        while len(found := ran(local, "reader")) <= number:
            time.sleep(0.001)
        waits.append((found[-1]["started"] - sent) * 1000)
    figure("SQS send to handler start, mapping idle, p50", statistics.median(waits), "ms", "wanted: 5")

    arn = function(local, "crowd", ANSWERS)
    url, source = queue(local, "many")
    entries = [{"Id": str(number), "MessageBody": "x"} for number in range(10)]
    for _ in range(50):
        sqs.send_message_batch(QueueUrl=url, Entries=entries)
    began = time.perf_counter()
    client(local, "lambda").create_event_source_mapping(FunctionName=arn, EventSourceArn=source, BatchSize=10)
    while sum(len(each["event"]["Records"]) for each in ran(local, "crowd")) < 500:
        time.sleep(0.002)
    figure("500 messages in batches of 10, cold environments included", time.perf_counter() - began, "s", "wanted: 1")


def door(local: LocalProcess) -> None:
    """Sends and receives through the HTTP door by a raw client."""
    url, _ = queue(local, "raw")
    parts = urlsplit(local.running.endpoint)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port)

    def call(operation: str, **params: Any) -> Any:
        headers = {
            "X-Amz-Target": f"AmazonSQS.{operation}",
            "Content-Type": "application/x-amz-json-1.0",
            "Authorization": SIGNED,
        }
        connection.request("POST", "/", json.dumps({"QueueUrl": url, **params}), headers)
        return json.loads(connection.getresponse().read())

    began = time.perf_counter()
    for _ in range(2000):
        call("SendMessage", MessageBody="x")
    figure("SQS sends through the door, raw client", 2000 / (time.perf_counter() - began), "/s", "wanted: 600")
    began, received = time.perf_counter(), 0
    while received < 2000:
        received += len(call("ReceiveMessage", MaxNumberOfMessages=10)["Messages"])
    figure("messages received in tens", received / (time.perf_counter() - began), "/s", "wanted: 3,000")


def day(local: LocalProcess) -> None:
    """24 hours of a schedule of one minute whose handler fails and is tried twice more."""
    arn = function(local, "failing", FAILS)
    client(local, "lambda").add_permission(
        FunctionName="failing", StatementId="e", Action="lambda:InvokeFunction", Principal="events.amazonaws.com"
    )
    rules = client(local, "events")
    rules.put_rule(Name="minute", ScheduleExpression="rate(1 minute)")
    rules.put_targets(Rule="minute", Targets=[{"Id": "1", "Arn": arn}])
    began = time.perf_counter()
    local.running.request("POST", "/_lambdaform/clock", {"advance": 86_400 + 240}, timeout=600)
    took = time.perf_counter() - began
    steps = local.running.request("GET", "/_lambdaform/trace")
    count = sum(step["what"] == "invocation" for step in steps)
    figure(f"virtual clock: 24 h of a failing 1-minute schedule ({count:,} runs)", took, "s", "wanted: 8")


class Nobody:
    """Lambda that answers at once: what is measured is the rules."""

    ran = 0

    async def invoke(self, function: str, payload: bytes, **_: Any) -> Outcome:
        """Every third attempt succeeds."""
        self.ran += 1
        return Outcome(200, b"null", "Unhandled" if self.ran % 3 else None, "$LATEST", "r")

    def accept(self, *_: Any, **__: Any) -> str:
        """Never called here."""
        raise NotImplementedError

    def settings(self, function: str, *, region: str) -> FunctionSettings:
        """The defaults."""
        return FunctionSettings(function, "f", ROLE, 3, None, None, 2, 21_600, None, None)


def decisions() -> None:
    """Asynchronous events under a virtual clock, without processes: none lost, none twice."""

    async def run() -> tuple[float, int]:
        clock, ids, nobody = VirtualClock(), SeededIds(), Nobody()
        queue = AsynchronousQueue(clock=clock, ids=ids, delivery=Delivery(clock=clock, ids=ids))
        queue.connect(cast(Any, nobody))
        settings = nobody.settings("arn:aws:lambda:r:1:function:f:$LATEST", region="r")
        began = time.perf_counter()
        for _ in range(100):
            for _ in range(1000):
                queue.put(settings, b"{}", region="r", source="s", trace=None)
            await clock.settle()
        await clock.run_until_idle(86_400)
        assert not queue.waiting()
        return time.perf_counter() - began, nobody.ran

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # the loop the local AWS runs on
        took, count = runner.run(run())
    figure(f"rules only: 100,000 events, {count:,} attempts", count / took, "/s", "wanted: 50,000")
