"""`Stack.local()`: a stack deployed to a local AWS, and what a test does with it.

One local AWS per clock and test process is started at first use and kept; a test begins with everything as it was
right after the deploy, which the local AWS restores from a checkpoint in milliseconds.
"""

from __future__ import annotations

import atexit
import http.client
import json
import os
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, Protocol, cast
from urllib.parse import quote, urlsplit

import attrs

from lambdaform.aws.session import AwsSession, connect
from lambdaform.engine.deployment import Deployment, errors_of, project_root
from lambdaform.engine.order import needed_stacks
from lambdaform.engine.plan import digest_of
from lambdaform.engine.state import State
from lambdaform.engine.store import FolderStore
from lambdaform.local.brokers import Brokers
from lambdaform.local.process import LocalProcess, start
from lambdaform.model.driver import Record
from lambdaform.model.graph import Graph
from lambdaform.model.problem import Invalid, LambdaformError
from lambdaform.model.resource import Resource
from lambdaform.packaging.packager import Packager

Json = Any
ClockKind = Literal["system", "virtual"]


class StackInstance(Protocol):
    """One stage of a stack."""

    stage: str
    region: str

    def graph(self) -> Graph: ...


@attrs.frozen
class Message:
    """A message in a queue, looked at without receiving it."""

    id: str
    body: str
    attributes: Mapping[str, str]
    receives: int
    """How often it was received so far."""

    def json(self) -> Json:
        """The body as JSON."""
        return json.loads(self.body)


@attrs.frozen
class Result:
    """How an invocation ended."""

    status: int
    payload: bytes
    error: str | None
    """`Unhandled` when the function failed."""
    log: str
    """The last 4 KB of its log."""

    def json(self) -> Json:
        """The answer as JSON."""
        return json.loads(self.payload)


@attrs.frozen
class Invocation:
    """One invocation that ran."""

    event: Json
    result: Json
    error: str | None
    """`Unhandled` when the function failed."""
    attempt: int
    """1 for the first delivery of the event, more for what was tried again."""
    cold: bool
    """Whether its environment was new."""
    logs: str
    """What it logged, with Lambda's own lines."""
    request_id: str
    version: str
    started: float
    """Seconds since 1970 on the local AWS's clock."""
    duration_ms: float
    """How long it really took."""


@attrs.frozen
class HttpAnswer:
    """What a function URL answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Json:
        """The body as JSON."""
        return json.loads(self.body)


@attrs.frozen
class Clock:
    """The clock of a local AWS."""

    _process: LocalProcess

    def now(self) -> float:
        """Seconds since 1970 on the local AWS's clock."""
        return float(self._process.running.request("GET", "/_lambdaform/clock")["now"])

    def advance(self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0) -> None:
        """Let so much time pass; everything that falls due happens, in order. Virtual clock only."""
        span = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds).total_seconds()
        self._process.running.request("POST", "/_lambdaform/clock", {"advance": span}, timeout=600)

    def run_until_idle(self) -> None:
        """Let time pass until nothing is left to happen but what repeats. Virtual clock only."""
        self._process.running.request("POST", "/_lambdaform/clock", {"run_until_idle": True}, timeout=600)


@attrs.frozen
class Faults:
    """Faults a test declares; the next test begins without them.

    https://docs.aws.amazon.com/lambda/latest/dg/invocation-retries.html says what AWS makes of them.
    """

    _aws: LocalAws

    def throttle(self, function: Resource, *, times: int = 1) -> None:
        """Let the next invocations of a function be refused for want of concurrency."""
        self._strike(function, "throttle", times)

    def timeout(self, function: Resource, *, times: int = 1) -> None:
        """Let the next invocations of a function time out, without waiting and before the handler has the event."""
        self._strike(function, "timeout", times)

    def crash(self, function: Resource, *, times: int = 1) -> None:
        """Let the process of the next invocations be killed before the handler has the event."""
        self._strike(function, "crash", times)

    def out_of_memory(self, function: Resource, *, times: int = 1) -> None:
        """Let the next invocations of a function end for want of memory."""
        self._strike(function, "out-of-memory", times)

    def lasts(self, function: Resource, *, minutes: float = 0, seconds: float = 0) -> None:
        """Let invocations of a function take so long on the clock; longer than its timeout, they time out.

        Under a virtual clock this holds for what event sources deliver, not for what the test itself waits for.
        """
        self._declare(function=self._arn(function), lasts=minutes * 60 + seconds)

    def deliver_twice(self) -> None:
        """Let every delivery of a queue, stream or asynchronous event be made twice: AWS promises at least one."""
        self._declare(twice=True)

    def refuse(self, service: str, code: str, *, status: int = 400, times: int = 1) -> None:
        """Let the next calls of handlers to a service, such as `dynamodb`, be refused with an error code."""
        self._declare(service=service, code=code, status=status, times=times)

    def slow(self, service: str, *, seconds: float, times: int = -1) -> None:
        """Let calls of handlers to a service be answered so much later, in real time; all of them by default."""
        self._declare(service=service, delay=seconds, times=times)

    def clear(self) -> None:
        """Declare nothing any more."""
        self._declare(clear=True)

    def _strike(self, function: Resource, strike: str, times: int) -> None:
        self._declare(function=self._arn(function), strike=strike, times=times)

    def _arn(self, function: Resource) -> str:
        return str(self._aws.record(function).outputs["arn"])

    def _declare(self, **fault: Json) -> None:
        self._aws.request("POST", "/_lambdaform/faults", fault)


class LocalAws:
    """A deployed stack, in a test's hands. Resources are named by the stack's own attributes: `Orders.inbox`."""

    def __init__(self, graph: Graph, state: State, session: AwsSession, process: LocalProcess) -> None:
        self._graph = graph
        self._state = state
        self._session = session
        self._process = process
        self.clock = Clock(process)
        self.faults = Faults(self)

    @property
    def endpoint(self) -> str:
        """The address of the local AWS, for any AWS client."""
        return self._process.running.endpoint

    @property
    def outputs(self) -> Mapping[str, Json]:
        """The stack's outputs."""
        return dict(self._state.outputs)

    def record(self, resource: Resource) -> Record:
        """What is deployed for a resource. Raises `LambdaformError` when this stack does not manage it."""
        address = self._graph.address_of(resource)
        if address is None or address not in self._state.records:
            raise LambdaformError(
                f"this stack has no such {resource.title}", hint="use an attribute of the stack class"
            )
        return self._state.records[address]

    def request(self, method: str, path: str, document: Json = None) -> Json:
        """One of the local AWS's own paths, such as `/_lambdaform/health`."""
        return self._process.running.request(method, path, document)

    def call(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        """Any call to the local AWS: `aws.call("s3", "ListObjectsV2", Bucket=...)`."""
        return self._session.call(service, operation, **params)

    def invoke(self, function: Resource, event: Json = None) -> Result:
        """Invoke a function, by its alias where it has one as its triggers do, and wait for its answer."""
        answer = self.call(
            "lambda",
            "Invoke",
            FunctionName=self._state.invoked_arn(self.record(function)),
            Payload=json.dumps({} if event is None else event).encode(),
            LogType="Tail",
        )
        import base64

        log = base64.b64decode(answer.get("LogResult", "")).decode(errors="replace")
        return Result(answer["StatusCode"], answer["Payload"].read(), answer.get("FunctionError"), log)

    def invoke_async(self, function: Resource, event: Json = None) -> None:
        """Put an event on a function's asynchronous queue."""
        self.call(
            "lambda",
            "Invoke",
            FunctionName=self._state.invoked_arn(self.record(function)),
            Payload=json.dumps({} if event is None else event).encode(),
            InvocationType="Event",
        )

    def send(self, queue: Resource, body: Json, *, group: str | None = None, deduplication: str | None = None) -> str:
        """Send a message: a text as it is, anything else as JSON. Gives its id."""
        request: dict[str, Any] = {"MessageBody": body if isinstance(body, str) else json.dumps(body)}
        if group is not None:
            request["MessageGroupId"] = group
        if deduplication is not None:
            request["MessageDeduplicationId"] = deduplication
        return self.call("sqs", "SendMessage", QueueUrl=self.record(queue).outputs["url"], **request)["MessageId"]

    def messages(self, queue: Resource) -> list[Message]:
        """Everything in a queue, hidden messages included, without receiving any."""
        arn = quote(self.record(queue).outputs["arn"], safe="")
        found = self._process.running.request("GET", f"/_lambdaform/messages?queue={arn}")
        return [
            Message(each["id"], each["body"], each.get("attributes", {}), each.get("receives", 0))
            for each in cast(list[dict[str, Any]], found)
        ]

    def publish(self, topic: Resource, message: Json, *, attributes: Mapping[str, str] | None = None) -> None:
        """Publish to a topic: a text as it is, anything else as JSON."""
        request: dict[str, Any] = {}
        if attributes:
            request["MessageAttributes"] = {
                name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
            }
        text = message if isinstance(message, str) else json.dumps(message)
        self.call("sns", "Publish", TopicArn=self.record(topic).outputs["arn"], Message=text, **request)

    def put_object(self, bucket: Resource, key: str, body: bytes | str) -> None:
        """Put an object into a bucket."""
        content = body.encode() if isinstance(body, str) else body
        self.call("s3", "PutObject", Bucket=self.record(bucket).outputs["bucket_name"], Key=key, Body=content)

    def put_item(self, table: Resource, item: Mapping[str, Json]) -> None:
        """Put an item into a table; plain values are given DynamoDB's types."""
        from boto3.dynamodb.types import TypeSerializer

        write = cast(Any, TypeSerializer()).serialize
        typed = {name: write(value) for name, value in item.items()}
        self.call("dynamodb", "PutItem", TableName=self.record(table).outputs["table_name"], Item=typed)

    def items(self, table: Resource) -> list[dict[str, Json]]:
        """All items of a table, as plain values."""
        from boto3.dynamodb.types import TypeDeserializer

        read = cast(Any, TypeDeserializer()).deserialize
        answer = self.call("dynamodb", "Scan", TableName=self.record(table).outputs["table_name"])
        return [{name: read(value) for name, value in item.items()} for item in answer.get("Items", [])]

    def put_event(self, source: str, detail_type: str, detail: Json, *, bus: str = "default") -> None:
        """Put an event on an event bus."""
        entry = {"Source": source, "DetailType": detail_type, "Detail": json.dumps(detail), "EventBusName": bus}
        self.call("events", "PutEvents", Entries=[entry])

    def http(
        self,
        function: Resource,
        method: str = "GET",
        path: str = "/",
        *,
        body: Json = None,
        headers: Mapping[str, str] | None = None,
    ) -> HttpAnswer:
        """Call a function's URL: a text or bytes body as it is, anything else as JSON."""
        address = self._graph.address_of(function) or ""
        record = self._state.records.get(address.replace("lambda.function.", "lambda.url."))
        if record is None:
            raise LambdaformError("this function has no function URL", hint="give it function_url=FunctionUrl(...)")
        url = urlsplit(str(record.outputs["url"]))
        sent = dict(headers or {})
        if body is not None and not isinstance(body, (str, bytes)):
            body = json.dumps(body)
            sent.setdefault("Content-Type", "application/json")
        local = urlsplit(self.endpoint)
        connection = http.client.HTTPConnection(local.hostname or "127.0.0.1", local.port, timeout=60)
        try:
            sent.setdefault("Host", url.netloc)
            connection.request(method, url.path.rstrip("/") + path, body, sent)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        return HttpAnswer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, content)

    def event(self, resource: Resource, **fields: Json) -> Json:
        """A sample event that a resource sends, or that a function with one source gets.

        What can be said of it depends on its kind: `aws.event(Orders.inbox, body={"id": 7})`,
        `aws.event(Orders.api, method="GET", path="/orders")`, `aws.event(Orders.orders, new={"id": "7"})`. Raises
        `LambdaformError` for a field its kind does not have.
        """
        from lambdaform.testing.sources import event_of

        address = self._graph.address_of(resource)
        if address is None:
            raise LambdaformError(
                f"this stack has no such {resource.title}", hint="use an attribute of the stack class"
            )
        return event_of(self._graph, self._graph.nodes[address], account=self._session.account, **fields)

    def invocations(self, function: Resource) -> list[Invocation]:
        """The invocations of a function since the test began, oldest first."""
        name = quote(self.record(function).outputs["function_name"], safe="")
        found: list[dict[str, Json]] = self.request("GET", f"/_lambdaform/invocations?function={name}")
        return [Invocation(**{key: value for key, value in each.items() if key != "function"}) for each in found]

    def trace(self) -> str:
        """The way of every event since the test began, as trees of text: the same test gives the same text."""
        from lambdaform.render.traces import trace_text

        return trace_text(self.request("GET", "/_lambdaform/trace"))


@attrs.define
class _Held:
    """A local AWS kept by this test process, and what its checkpoint holds."""

    process: LocalProcess
    session: AwsSession
    folder: tempfile.TemporaryDirectory[str]
    digest: str = ""
    state: State | None = None


class _Pool:
    """The local AWSes of this test process, by clock, region, and the brokers they read."""

    def __init__(self) -> None:
        self._held: dict[tuple[int, str, str, tuple[tuple[str, str], ...]], _Held] = {}
        atexit.register(self.close)

    def get(self, clock: ClockKind, region: str, brokers: Mapping[str, str]) -> _Held:
        """The one for this clock; started now when there is none (a forked test process gets its own)."""
        key = (os.getpid(), clock, region, tuple(sorted(brokers.items())))
        held = self._held.get(key)
        if held is None or held.process.popen.poll() is not None:
            process = start(clock=clock, region=region, brokers=brokers)
            session = connect(region=region, endpoint=process.running.endpoint, local=True)
            folder = tempfile.TemporaryDirectory(prefix="lambdaform-test-")
            held = self._held[key] = _Held(process, session, folder)
        return held

    def close(self) -> None:
        """End them all."""
        for (pid, *_), held in self._held.items():
            if pid == os.getpid():
                held.process.close()
                held.folder.cleanup()
        self._held.clear()


_POOL = _Pool()
OPENED: list[LocalAws] = []
"""The local AWSes a test has opened, for the report of its failure; whoever runs tests empties it."""


@contextmanager
def local_aws(
    stack: StackInstance, *, clock: ClockKind, root: Path, brokers: Mapping[str, str] | None = None
) -> Generator[LocalAws]:
    """The stack, freshly deployed to a local AWS, after the stacks it needs.

    Raises `Invalid` when the declaration has errors, `LambdaformError` when what `brokers` holds is no address.
    """
    addresses = {} if brokers is None else dict(brokers)
    Brokers.of(addresses)
    held = _POOL.get(clock, stack.region, addresses)
    running = held.process.running

    def instance(each: Any) -> StackInstance:
        return stack if each is type(stack) else each(stack.stage, stack.region)

    deployments = [
        Deployment(
            instance(each).graph(),
            project_root(root),
            endpoint=f"local-{running.instance}",
            store=FolderStore(Path(held.folder.name) / "state"),
            packager=Packager(project_root(root) / ".lambdaform" / "cache"),
        )
        for each in needed_stacks(type(stack), lambda each: instance(each).graph())
    ]
    packed = [deployment.packages() for deployment in deployments]
    digest = " ".join(
        digest_of(deployment.graph.nodes, {address: package.hash for address, package in packages.items()})
        for deployment, (packages, _) in zip(deployments, packed, strict=True)
    )
    if held.digest == digest and held.state is not None:
        running.request("POST", "/_lambdaform/restore")
    else:
        held.digest, held.state = "", None
        running.request("POST", "/_lambdaform/reset")
        account = held.session.account
        for deployment, (packages, found) in zip(deployments, packed, strict=True):
            problems = errors_of(deployment.check(packages, found))
            if problems:
                raise Invalid(problems)
            deployment.store.remove(deployment.key(account))
            plan, _ = deployment.plan(packages, account=account)
            held.state = deployment.apply(plan, packages, held.session)
        running.request("POST", "/_lambdaform/checkpoint")
        held.digest = digest
    assert held.state is not None
    aws = LocalAws(deployments[-1].graph, held.state, held.session, held.process)
    OPENED.append(aws)
    yield aws
