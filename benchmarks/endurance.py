"""What thousands of invocations leave behind in the local AWS: before and after, side by side.

python benchmarks/run.py endurance
"""

from __future__ import annotations

import http.client
import json
import os
import time
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import attrs
from events import SIGNED, client, function, queue

EVENTS = 10_000
ASYNCHRONOUS = 100_000
AT_ONCE = 100
ANSWERS = "def handler(event, context):\n    return event\n"
HANDLER = """
import os
def handler(event, context):
    if event.get("exit"):
        os._exit(1)
    if event.get("fork") and os.fork() == 0:
        os._exit(0)
    print(event)
"""


@attrs.frozen
class Held:
    """What the local AWS holds at one moment."""

    descriptors: int
    processes: int
    folders: int
    memory: float
    """MB."""


def hold(pid: int, folder: Path) -> Held:
    """Look at a process."""
    return Held(
        descriptors=sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()),
        processes=len(below(pid)),
        folders=sum(1 for _ in folder.iterdir()),
        memory=int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6,
    )


def below(pid: int) -> list[int]:
    """A process's descendants."""
    try:
        found = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return found + [each for child in found for each in below(child)]


def endurance() -> None:
    """Invoke, crash and fork many times, and count. Linux only: it reads /proc."""
    import boto3

    from lambdaform.local.process import start

    local = start()
    try:
        client: Any = cast(Any, boto3.Session("local", "local", region_name="us-east-1")).client(
            "lambda", endpoint_url=local.running.endpoint
        )
        archive = BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("m.py", HANDLER)
        client.create_function(
            FunctionName="f",
            Runtime="python3.13",
            Handler="m.handler",
            Role="arn:aws:iam::123456789012:role/r",
            Code={"ZipFile": archive.getvalue()},
        )
        folder = private_folder(local.running.pid)

        def run(events: int) -> None:
            for number in range(events):
                event = b'{"exit": 1}' if number % 50 == 0 else b'{"fork": 1}' if number % 7 == 0 else b"{}"
                client.invoke(FunctionName="f", Payload=event)["Payload"].read()
            client.update_function_configuration(FunctionName="f", Description=str(events))
            client.invoke(FunctionName="f", Payload=b"{}")["Payload"].read()

        run(500)
        before = hold(local.running.pid, folder / "environments")
        run(EVENTS)
        after = hold(local.running.pid, folder / "environments")
    finally:
        local.close()
    print(f"Endurance: {EVENTS:,} invocations, every 50th ends its process, every 7th forks")
    show(before, after)
    asynchronous()


def show(before: Held, after: Held) -> None:
    """One line for each thing held."""
    for name, value in attrs.asdict(before).items():
        print(f"  {name:<52} before {value:8.1f}   after {getattr(after, name):8.1f}")


def asynchronous() -> None:
    """Events through the asynchronous queue, each with a record to a queue: counted one by one, none lost, none twice.

    What the local AWS keeps of the past (records, trace, logs) is bounded, so memory is compared once that is full.
    """
    from lambdaform.local.process import start

    local = start()
    try:
        arn = function(local, "echo", ANSWERS)
        url, records = queue(local, "records")
        client(local, "lambda").put_function_event_invoke_config(
            FunctionName=arn, DestinationConfig={"OnSuccess": {"Destination": records}}
        )
        parts = urlsplit(local.running.endpoint)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
        folder = private_folder(local.running.pid) / "environments"

        def call(path: str, body: bytes, **headers: str) -> bytes:
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
            assert answer.status in (200, 202), content
            return content

        def receive() -> list[int]:
            """Take what there is of the queue; gives the numbers of the events."""
            sqs = {"Content-Type": "application/x-amz-json-1.0", "Authorization": SIGNED}
            asked = json.dumps({"QueueUrl": url, "MaxNumberOfMessages": 10}).encode()
            found = json.loads(call("/", asked, **{"X-Amz-Target": "AmazonSQS.ReceiveMessage"}, **sqs))
            messages = found.get("Messages", [])
            if messages:
                entries = [{"Id": m["MessageId"], "ReceiptHandle": m["ReceiptHandle"]} for m in messages]
                gone = json.dumps({"QueueUrl": url, "Entries": entries}).encode()
                call("/", gone, **{"X-Amz-Target": "AmazonSQS.DeleteMessageBatch"}, **sqs)
            return [json.loads(message["Body"])["requestPayload"] for message in messages]

        def run(first: int, count: int) -> None:
            for begin in range(first, first + count, AT_ONCE):
                wanted = range(begin, begin + AT_ONCE)
                for number in wanted:
                    path = "/2015-03-31/functions/echo/invocations"
                    call(path, str(number).encode(), **{"X-Amz-Invocation-Type": "Event"})
                found: list[int] = []
                while len(found) < AT_ONCE:
                    found += receive()
                assert sorted(found) == list(wanted), "an event was lost, or ended twice"

        began = time.perf_counter()
        run(0, ASYNCHRONOUS // 2)
        before = hold(local.running.pid, folder)
        run(ASYNCHRONOUS // 2, ASYNCHRONOUS // 2)
        after = hold(local.running.pid, folder)
        took = time.perf_counter() - began
    finally:
        local.close()
    print(
        f"Endurance: {ASYNCHRONOUS:,} asynchronous events with a record each, {ASYNCHRONOUS / took:,.0f}/s, none lost"
    )
    show(before, after)


def private_folder(pid: int) -> Path:
    """The folder a local AWS holds a lock in."""
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        target = entry.readlink()
        if target.name == "lock" and target.parent.name.startswith("lambdaform-"):
            return target.parent
    raise LookupError(f"process {pid} has no private folder")
