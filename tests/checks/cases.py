"""For every rule: declarations that break it, and declarations that come close and do not."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from lambdaform.model.code import Code, PythonCode
from lambdaform.model.output import by_stage
from lambdaform.model.resource import Resource
from lambdaform.resources.dynamodb_table import Table
from lambdaform.resources.events_bus import EventBus
from lambdaform.resources.events_rule import EventRule
from lambdaform.resources.iam_role import Role
from lambdaform.resources.kinesis_stream import Stream
from lambdaform.resources.lambda_alias import Alias
from lambdaform.resources.lambda_event_source_mapping import EventSourceMapping
from lambdaform.resources.lambda_function import (
    FileSystem,
    Function,
    Logging,
    Provisioned,
    Reserved,
    RuntimeManagement,
    Vpc,
)
from lambdaform.resources.lambda_layer import Layer
from lambdaform.resources.lambda_permission import Permission
from lambdaform.resources.lambda_url import Cors, FunctionUrl
from lambdaform.resources.s3_bucket import Bucket
from lambdaform.resources.sns_topic import Topic
from lambdaform.resources.sqs_queue import DeadLetter, Queue
from lambdaform.triggers.event_rule import Rule
from lambdaform.triggers.schedule import Schedule
from tests.checks.declarations import ACCOUNT, HERE, THERE, function, package

Declaration = Mapping[str, Resource]


@attrs.frozen
class Case:
    """One way to break a rule, and a near miss."""

    rule: str
    what: str
    broken: Callable[[], Declaration]
    near: Callable[[], Declaration]
    facts: Mapping[str, Any] = attrs.field(factory=dict[str, Any])
    near_facts: Mapping[str, Any] | None = None
    """Where the near miss is one of facts."""


def one(handler: str = "app.handler", **settings: Any) -> Callable[[], Declaration]:
    """A stack of one function."""
    return lambda: {"worker": function(handler, **settings)}


def fed(queue: Queue, *, timeout: int = 3, **settings: Any) -> Declaration:
    """A function that reads a queue."""
    return {"inbox": queue, "worker": function(timeout=timeout, triggers=[queue.messages(**settings)])}


def streamed(**settings: Any) -> Declaration:
    """A function that reads a stream."""
    stream = Stream()
    return {"clicks": stream, "worker": function(triggers=[stream.records(**settings)])}


def mapped(kind: str, **settings: Any) -> Declaration:
    """A mapping written by hand."""
    worker = function()
    arns = {"sqs": f"arn:aws:sqs:{HERE}:q", "kinesis": f"arn:aws:kinesis:{HERE}:stream/s"}
    arns["dynamodb"] = f"arn:aws:dynamodb:{HERE}:table/t/stream/1"
    source = arns[kind]
    return {
        "worker": worker,
        "feed": EventSourceMapping(function=worker.arn, source=source, source_kind=kind, **settings),
    }


def dead_lettered(dead: Queue, **settings: Any) -> Declaration:
    """A queue with a dead-letter queue."""
    return {"dead": dead, "inbox": Queue(dead_letter=DeadLetter(dead), **settings)}


def read_with_receives(receives: int) -> Declaration:
    dead = Queue()
    return {"dead": dead, **fed(Queue(dead_letter=DeadLetter(dead, max_receives=receives)))}


def sent(**settings: Any) -> Declaration:
    """A function with a destination, and all there is to choose from."""
    return {"worker": function(**settings)}


def looped(verb: str) -> Declaration:
    queue = Queue(visibility_timeout=60)
    grant = queue.send() if verb == "send" else queue.purge()
    return {"inbox": queue, "worker": function(uses={"INBOX": grant}, triggers=[queue.messages()])}


def itself(name: str) -> Declaration:
    """A function whose alias is the destination of an asynchronous configuration of `name`."""
    from lambdaform.resources.lambda_event_invoke_config import EventInvokeConfig

    first, second = function(), function()
    target = first if name == "first" else second
    return {"first": first, "second": second, "config": EventInvokeConfig(function=first.arn, on_success=target.arn)}


def provisioned(executions: int, reserved: int) -> Callable[[], Declaration]:
    return one(alias="live", concurrency=Provisioned(executions, reserved))


def layered(function_settings: Mapping[str, Any], **settings: Any) -> Declaration:
    layer = Layer(PythonCode("lib"), **settings)
    return {"deps": layer, "worker": function(layers=[layer], **function_settings)}


def two_functions(first: str, second: str) -> Declaration:
    return {"first": function(name=first), "second": function(name=second)}


def shared_queue(same: bool) -> Declaration:
    queue, other = Queue(), Queue()
    return {
        "inbox": queue,
        "other": other,
        "first": function(triggers=[queue.messages()]),
        "second": function(triggers=[(queue if same else other).messages()]),
    }


def read_twice(twice: bool) -> Declaration:
    queue, other = Queue(), Queue()
    worker = function(triggers=[queue.messages()])
    again = EventSourceMapping(function=worker.arn, source=(queue if twice else other).arn)
    return {"inbox": queue, "other": other, "worker": worker, "again": again}


def permitted(**settings: Any) -> Declaration:
    worker = function()
    return {"worker": worker, "door": Permission(function=worker.arn, **settings)}


def dead_letter_unused(asynchronous: bool) -> Declaration:
    queue, dead, topic = Queue(), Queue(), Topic()
    triggers = [queue.messages(), *([topic.notifications()] if asynchronous else [])]
    return {"inbox": queue, "dead": dead, "news": topic, "worker": function(dead_letter=dead, triggers=triggers)}


def scheduled(expression: str, **settings: Any) -> Callable[[], Declaration]:
    return lambda: {
        "dead": (dead := Queue()),
        "worker": function(triggers=[Schedule(expression, **settings)], on_failure=dead),
    }


def ruled(schedule: str) -> Callable[[], Declaration]:
    return lambda: {"dead": (dead := Queue()), "tick": EventRule(schedule=schedule, targets=[dead])}


def url(**settings: Any) -> Callable[[], Declaration]:
    return one(function_url=FunctionUrl(**settings))


def existing_layer(region: str, name: str = "deps", version: str = ":3") -> str:
    return f"arn:aws:lambda:{region}:{ACCOUNT}:layer:{name}{version}"


def table_changes(**settings: Any) -> Declaration:
    table = Table(partition_key="id", stream="NEW_IMAGE")
    return {"orders": table, "worker": function(triggers=[table.changes(**settings)])}


NETWORK = Vpc(subnets=["subnet-1a"], security_groups=["sg-1a"])
FILES = FileSystem(access_point=f"arn:aws:elasticfilesystem:{HERE}:access-point/fsap-1", path="/mnt/a")
MEGABYTE = 1_048_576

CASES = (
    # limits: each kind of mark, on props, inside values, in shorthand, by stage
    Case("limits", "range of a prop", one(memory=64), one(memory=128)),
    Case("limits", "range, upper end", one(timeout=901), one(timeout=900)),
    Case("limits", "length of a text", one(description="x" * 257), one(description="x" * 256)),
    Case(
        "limits",
        "length of a list",
        one(layers=[existing_layer(HERE[:12], f"l{i}") for i in range(6)]),
        one(layers=[existing_layer(HERE[:12], f"l{i}") for i in range(5)]),
    ),
    Case("limits", "pattern of a name", one(name="a b"), one(name="a-b")),
    Case("limits", "choice", one(architecture="arm"), one(architecture="arm64")),
    Case("limits", "inside a value", one(vpc=Vpc(subnets=[], security_groups=["sg-1"])), one(vpc=NETWORK)),
    Case("limits", "inside shorthand", one(concurrency=Reserved(-1)), one(concurrency=Reserved(1))),
    Case("limits", "shorthand itself", one(alias="2024"), one(alias="v2024")),
    Case("limits", "one stage", one(memory=by_stage(128, dev=64)), one(memory=by_stage(128, prod=64))),
    Case("limits", "a nested value in a URL", url(cors=Cors(max_age=86_401)), url(cors=Cors(max_age=86_400))),
    Case(
        "limits",
        "what a trigger makes",
        lambda: fed(Queue(), max_concurrency=1),
        lambda: fed(Queue(), max_concurrency=2),
    ),
    Case("limits", "a dead letter's receives", lambda: read_with_receives(0), lambda: read_with_receives(1)),
    Case("limits", "retention that CloudWatch has", one(log_retention=2), one(log_retention=3)),
    # runtimes
    Case("runtime-unknown", "misspelt", one(runtime="pyton3.13"), one(runtime="python3.13")),
    Case("runtime-blocked", "creating", one(runtime="python3.9"), one(runtime="python3.12")),
    Case(
        "runtime-blocked",
        "dotnet8 on its day",
        one("A", runtime="dotnet8"),
        one("A", runtime="dotnet8"),
        {"today": datetime.date(2026, 12, 10)},
        {},
    ),
    Case("runtime-deprecated", "past its date", one("A", runtime="dotnet8"), one("A", runtime="dotnet10")),
    Case("handler-form", "Python without module", one("handler"), one("app.handler")),
    Case("handler-form", "Java method", one("a.B:c", runtime="java21"), one("a.B::c", runtime="java21")),
    Case(
        "code-runtime",
        "Python on Node.js",
        one(code=PythonCode("src"), runtime="nodejs22.x"),
        one(code=Code("src"), runtime="nodejs22.x"),
    ),
    Case(
        "runtime-architecture",
        "Amazon Linux 1",
        one(runtime="python3.7", architecture="arm64"),
        one(runtime="python3.8", architecture="arm64"),
    ),
    Case(
        "snap-start",
        "runtime",
        one("i.handler", runtime="nodejs22.x", snap_start=True, alias="live"),
        one(snap_start=True, alias="live"),
    ),
    Case(
        "snap-start",
        "with provisioned concurrency",
        one(snap_start=True, alias="live", concurrency=Provisioned(1)),
        one(snap_start=True, alias="live"),
    ),
    Case(
        "snap-start",
        "with a file system",
        one(snap_start=True, alias="live", file_system=FILES, vpc=NETWORK),
        one(snap_start=True, alias="live", vpc=NETWORK),
    ),
    Case(
        "snap-start",
        "with a large /tmp",
        one(snap_start=True, alias="live", ephemeral_storage=513),
        one(snap_start=True, alias="live", ephemeral_storage=512),
    ),
    Case("snap-start-unused", "no version", one(snap_start=True), one(snap_start=True, alias="live")),
    # environment: {"NAME":"..."} is 11 characters around the value
    Case(
        "environment-size",
        "one byte over",
        one(environment={"NAME": "x" * 4086}),
        one(environment={"NAME": "x" * 4085}),
    ),
    Case(
        "environment-size",
        "quotes are escaped",
        one(environment={"NAME": '"' * 2043}),
        one(environment={"NAME": '"' * 2042}),
    ),
    Case(
        "environment-reserved",
        "Lambda's own",
        one(environment={"AWS_REGION": "x"}),
        one(environment={"AWS_REGION2": "x"}),
    ),
    Case("environment-name", "one letter", one(environment={"A": "x"}), one(environment={"AB": "x"})),
    Case("environment-name", "an underscore first", one(environment={"_AB": "x"}), one(environment={"A_B": "x"})),
    # packages
    Case(
        "package-unzipped",
        "with its layer",
        lambda: layered({}),
        lambda: layered({}),
        {"packages": {"lambda.function.worker": package(200 * MEGABYTE), "lambda.layer.deps": package(51 * MEGABYTE)}},
        {"packages": {"lambda.function.worker": package(200 * MEGABYTE), "lambda.layer.deps": package(50 * MEGABYTE)}},
    ),
    Case(
        "package-layer",
        "alone",
        lambda: layered({}),
        lambda: layered({}),
        {"packages": {"lambda.layer.deps": package(251 * MEGABYTE)}},
        {"packages": {"lambda.layer.deps": package(250 * MEGABYTE)}},
    ),
    Case(
        "package-empty",
        "no files",
        one(),
        one(),
        {"packages": {"lambda.function.worker": attrs.evolve(package(), files=())}},
        {"packages": {"lambda.function.worker": package()}},
    ),
    # concurrency
    Case("provisioned-above-reserved", "more", provisioned(3, 2), provisioned(2, 2)),
    Case("reserved-floor", "of the default account", one(concurrency=Reserved(901)), one(concurrency=Reserved(900))),
    Case(
        "reserved-floor",
        "of a larger account",
        one(concurrency=Reserved(4_901)),
        one(concurrency=Reserved(4_900)),
        {"account_concurrency": 5_000},
    ),
    Case("reserved-zero", "switched off", one(concurrency=Reserved(0)), one(concurrency=Reserved(1))),
    Case(
        "mapping-above-reserved",
        "more",
        lambda: {"q": (q := Queue()), "w": function(concurrency=Reserved(4), triggers=[q.messages(max_concurrency=5)])},
        lambda: {"q": (q := Queue()), "w": function(concurrency=Reserved(5), triggers=[q.messages(max_concurrency=5)])},
    ),
    # queues
    Case(
        "queue-visibility",
        "shorter",
        lambda: fed(Queue(visibility_timeout=29), timeout=30),
        lambda: fed(Queue(visibility_timeout=30), timeout=30),
    ),
    Case(
        "queue-visibility",
        "of an existing queue",
        lambda: fed(Queue.existing(f"arn:aws:sqs:{HERE}:q", visibility_timeout=29), timeout=31),
        lambda: fed(Queue.existing(f"arn:aws:sqs:{HERE}:q"), timeout=31),
    ),
    Case(
        "queue-visibility-advice",
        "below six timeouts and the window",
        lambda: fed(Queue(visibility_timeout=184), timeout=30, window=5),
        lambda: fed(Queue(visibility_timeout=185), timeout=30, window=5),
    ),
    Case(
        "dead-letter-fifo",
        "mixed",
        lambda: dead_lettered(Queue(), fifo=True),
        lambda: dead_lettered(Queue(fifo=True), fifo=True),
    ),
    Case(
        "dead-letter-fifo",
        "the other way round",
        lambda: dead_lettered(Queue(fifo=True)),
        lambda: dead_lettered(Queue()),
    ),
    Case(
        "dead-letter-retention",
        "shorter",
        lambda: dead_lettered(Queue(retention="3 days")),
        lambda: dead_lettered(Queue(retention="4 days")),
    ),
    Case("dead-letter-receives", "few", lambda: read_with_receives(4), lambda: read_with_receives(5)),
    Case(
        "fifo-settings",
        "on a standard queue",
        lambda: {"q": Queue(content_based_deduplication=True)},
        lambda: {"q": Queue(content_based_deduplication=True, fifo=True)},
    ),
    Case(
        "fifo-name",
        "without its ending",
        lambda: {"q": Queue(name="jobs", fifo=True)},
        lambda: {"q": Queue(name="jobs.fifo", fifo=True)},
    ),
    Case(
        "fifo-name",
        "ending of a standard queue",
        lambda: {"q": Queue(name="jobs.fifo")},
        lambda: {"q": Queue(name="jobs")},
    ),
    # mappings
    Case("batch-window", "none", lambda: fed(Queue(), batch_size=11), lambda: fed(Queue(), batch_size=11, window=1)),
    Case("batch-window", "streams need none", lambda: fed(Queue(), batch_size=11), lambda: streamed(batch_size=11)),
    Case(
        "batch-fifo", "size", lambda: fed(Queue(fifo=True), batch_size=11), lambda: fed(Queue(fifo=True), batch_size=10)
    ),
    Case("batch-fifo", "window", lambda: fed(Queue(fifo=True), window=1), lambda: fed(Queue(), window=1)),
    Case(
        "mapping-settings",
        "a stream's on a queue",
        lambda: mapped("sqs", bisect_on_error=True),
        lambda: mapped("kinesis", starting_position="LATEST", bisect_on_error=True),
    ),
    Case(
        "mapping-settings",
        "a destination on a queue",
        lambda: mapped("sqs", on_failure=f"arn:aws:sqs:{HERE}:d"),
        lambda: mapped("kinesis", starting_position="LATEST", on_failure=f"arn:aws:sqs:{HERE}:d"),
    ),
    Case(
        "mapping-settings",
        "a queue's on a stream",
        lambda: mapped("kinesis", starting_position="LATEST", max_concurrency=5),
        lambda: mapped("sqs", max_concurrency=5),
    ),
    Case("starting-position", "missing", lambda: mapped("kinesis"), lambda: mapped("sqs")),
    Case(
        "starting-position",
        "a time for DynamoDB",
        lambda: table_changes(starting_position="AT_TIMESTAMP"),
        lambda: streamed(starting_position="AT_TIMESTAMP", starting_timestamp=1.0),
    ),
    Case(
        "starting-position",
        "without its time",
        lambda: streamed(starting_position="AT_TIMESTAMP"),
        lambda: streamed(starting_position="TRIM_HORIZON"),
    ),
    Case("starting-position", "a time without need", lambda: streamed(starting_timestamp=1.0), lambda: streamed()),
    Case(
        "tumbling-window",
        "several readers",
        lambda: streamed(tumbling_window=60, parallelization=2),
        lambda: streamed(tumbling_window=60, parallelization=1),
    ),
    Case("record-age", "in the hole", lambda: streamed(max_record_age=59), lambda: streamed(max_record_age=60)),
    Case(
        "filter-pattern",
        "no list",
        lambda: fed(Queue(), filters=[{"body": {"kind": "order"}}]),
        lambda: fed(Queue(), filters=[{"body": {"kind": ["order"]}}]),
    ),
    Case(
        "filter-key",
        "of another source",
        lambda: fed(Queue(), filters=[{"data": {"kind": ["order"]}}]),
        lambda: streamed(filters=[{"data": {"kind": ["order"]}}]),
    ),
    Case(
        "filter-count",
        "six",
        lambda: fed(Queue(), filters=[{"body": {"n": [n]}} for n in range(6)]),
        lambda: fed(Queue(), filters=[{"body": {"n": [n]}} for n in range(5)]),
    ),
    Case("mapping-twice", "the same source", lambda: read_twice(True), lambda: read_twice(False)),
    Case("queue-shared", "two functions", lambda: shared_queue(True), lambda: shared_queue(False)),
    Case(
        "source-region",
        "a queue",
        lambda: fed(Queue.existing(f"arn:aws:sqs:{THERE}:q")),
        lambda: fed(Queue.existing(f"arn:aws:sqs:{HERE}:q")),
    ),
    Case(
        "source-region",
        "a topic",
        lambda: {"w": function(triggers=[Topic.existing(f"arn:aws:sns:{THERE}:t").notifications()])},
        lambda: {"w": function(triggers=[Topic.existing(f"arn:aws:sns:{HERE}:t").notifications()])},
    ),
    Case(
        "source-region",
        "only once the region is known",
        lambda: fed(Queue.existing(f"arn:aws:sqs:{THERE}:q")),
        lambda: fed(Queue.existing(f"arn:aws:sqs:{THERE}:q")),
        {},
        {"region_is_known": False},
    ),
    # destinations
    Case(
        "destination-kind",
        "a bucket for successes",
        lambda: {"b": (b := Bucket()), **sent(on_success=b)},
        lambda: {"b": (b := Bucket()), **sent(on_failure=b)},
    ),
    Case(
        "destination-kind",
        "a FIFO queue",
        lambda: {"q": (q := Queue(fifo=True)), **sent(on_failure=q)},
        lambda: {"q": (q := Queue()), **sent(on_failure=q)},
    ),
    Case(
        "destination-kind",
        "by ARN",
        one(on_failure=f"arn:aws:kinesis:{HERE}:stream/s"),
        one(on_failure=f"arn:aws:sns:{HERE}:t"),
    ),
    Case("destination-itself", "by ARN", lambda: itself("first"), lambda: itself("second")),
    Case(
        "dead-letter-kind",
        "a bus",
        lambda: {"b": (b := EventBus()), **sent(dead_letter=b)},
        lambda: {"t": (t := Topic()), **sent(dead_letter=t)},
    ),
    Case(
        "dead-letter-kind",
        "a FIFO topic",
        one(dead_letter=f"arn:aws:sns:{HERE}:t.fifo"),
        one(dead_letter=f"arn:aws:sns:{HERE}:t"),
    ),
    Case(
        "stream-destination-kind",
        "a bus",
        lambda: streamed(on_failure=f"arn:aws:events:{HERE}:event-bus/b"),
        lambda: streamed(on_failure="arn:aws:s3:::b"),
    ),
    Case(
        "failures-lost",
        "of a schedule",
        one(triggers=[Schedule("rate(1 hour)")]),
        one(triggers=[Schedule("rate(1 hour)")], on_failure=f"arn:aws:sqs:{HERE}:d"),
    ),
    Case(
        "failures-lost",
        "of another function's destination",
        lambda: {"b": (b := function()), "a": function(on_success=b)},
        lambda: {"b": function(), "a": function()},
    ),
    Case(
        "failures-lost", "polled functions lose nothing", one(triggers=[Rule({"source": ["a"]})]), lambda: fed(Queue())
    ),
    Case("destination-unused", "only polled", lambda: dead_letter_unused(False), lambda: dead_letter_unused(True)),
    # loops
    Case("loop", "through a queue", lambda: looped("send"), lambda: looped("purge")),
    Case(
        "loop",
        "deletions do not meet creations",
        lambda: {"b": (b := Bucket()), "w": function(uses={"BU": b.write()}, triggers=[b.objects()])},
        lambda: {"b": (b := Bucket()), "w": function(uses={"BU": b.delete()}, triggers=[b.objects()])},
    ),
    Case(
        "loop",
        "wanted",
        lambda: looped("send"),
        lambda: {"q": (q := Queue()), "w": function(uses={"QU": q.send()}, triggers=[q.messages()], recursion="Allow")},
    ),
    Case("loop", "of two functions through a table and a topic", lambda: long_way(True), lambda: long_way(False)),
    # names
    Case("name-taken", "two functions", lambda: two_functions("a", "a"), lambda: two_functions("a", "b")),
    Case(
        "name-taken",
        "roles that differ in case",
        lambda: {"a": Role(name="Shop"), "b": Role(name="shop")},
        lambda: {"a": Queue(name="Shop"), "b": Queue(name="shop")},
    ),
    Case(
        "tags",
        "48 besides our three",
        one(tags={f"t{n}": "x" for n in range(48)}),
        one(tags={f"t{n}": "x" for n in range(47)}),
    ),
    Case("tags", "a long value", one(tags={"team": "x" * 257}), one(tags={"team": "x" * 256})),
    Case("tags", "AWS's own prefix", one(tags={"aws:team": "x"}), one(tags={"awsteam": "x"})),
    Case("region-form", "a zone", one(), one(), {"region": "eu-central-1a"}, {"region": "us-gov-west-1"}),
    Case("account-form", "a zero lost", one(), one(), {"account": "12345678901"}, {"account": "012345678901"}),
    Case("role-arn", "a name", one(role="worker"), one(role=f"arn:aws:iam::{ACCOUNT}:role/team/worker")),
    # layers
    Case(
        "layer-arn",
        "no version",
        one(layers=[existing_layer("eu-central-1", version="")]),
        one(layers=[existing_layer("eu-central-1")]),
    ),
    Case(
        "layer-twice",
        "two versions",
        one(layers=[existing_layer("eu-central-1"), existing_layer("eu-central-1", version=":4")]),
        one(layers=[existing_layer("eu-central-1"), existing_layer("eu-central-1", "other")]),
    ),
    Case(
        "layer-region",
        "another",
        one(layers=[existing_layer("us-west-2")]),
        one(layers=[existing_layer("eu-central-1")]),
    ),
    Case(
        "layer-runtime",
        "another Python",
        lambda: layered({"runtime": "python3.12"}),
        lambda: layered({"runtime": "python3.13"}),
    ),
    Case(
        "layer-architecture",
        "another processor",
        lambda: layered({"architecture": "arm64"}),
        lambda: layered({"architecture": "arm64"}, architecture="arm64"),
    ),
    # settings of one function
    Case(
        "log-levels",
        "text",
        one(logging=Logging(application_level="INFO")),
        one(logging=Logging(format="JSON", application_level="INFO")),
    ),
    Case("vpc-ids", "a name", one(vpc=Vpc(subnets=["private"], security_groups=["sg-1"])), one(vpc=NETWORK)),
    Case("file-system-network", "no network", one(file_system=FILES), one(file_system=FILES, vpc=NETWORK)),
    Case(
        "runtime-management",
        "no version",
        one(runtime_management=RuntimeManagement(update_on="Manual")),
        one(runtime_management=RuntimeManagement(update_on="FunctionUpdate")),
    ),
    Case(
        "cors-methods", "OPTIONS", url(cors=Cors(allow_methods=["OPTIONS"])), url(cors=Cors(allow_methods=["DELETE"]))
    ),
    Case(
        "cors-origins",
        "a slash at the end",
        url(cors=Cors(allow_origins=["https://a.example/"])),
        url(cors=Cors(allow_origins=["https://a.example:8443", "*"])),
    ),
    Case(
        "cors-credentials",
        "everybody",
        url(cors=Cors(allow_credentials=True, allow_origins=["*"])),
        url(cors=Cors(allow_credentials=True, allow_origins=["https://a.example"])),
    ),
    Case(
        "url-stream",
        "Python",
        url(stream=True),
        one("i.handler", runtime="nodejs22.x", function_url=FunctionUrl(stream=True)),
    ),
    Case(
        "permission-open",
        "no source",
        lambda: permitted(principal="events.amazonaws.com"),
        lambda: permitted(principal="events.amazonaws.com", source_arn=f"arn:aws:events:{HERE}:rule/r"),
    ),
    Case(
        "permission-open",
        "a bucket without account",
        lambda: permitted(principal="s3.amazonaws.com", source_arn="arn:aws:s3:::b"),
        lambda: permitted(principal="s3.amazonaws.com", source_arn="arn:aws:s3:::b", source_account=ACCOUNT),
    ),
    # schedules
    Case("schedule-expression", "five fields", scheduled("cron(0 3 * * *)"), scheduled("cron(0 3 * * ? *)")),
    Case("schedule-expression", "both days", scheduled("cron(0 3 1 * MON *)"), scheduled("cron(0 3 ? * MON *)")),
    Case(
        "schedule-expression", "hour 24", scheduled("cron(0 24 * * ? *)"), scheduled("cron(0/15 8-23 L * ? 2027-2030)")
    ),
    Case("schedule-expression", "a unit", scheduled("rate(5 seconds)"), scheduled("rate(5 minutes)")),
    Case(
        "schedule-expression",
        "a date that never is",
        scheduled("at(2027-02-30T00:00:00)"),
        scheduled("at(2027-02-28T00:00:00)"),
    ),
    Case("schedule-expression", "a rule's plural", ruled("rate(1 minutes)"), ruled("rate(1 minute)")),
    Case("schedule-past", "over", scheduled("at(2026-11-01T00:00:00)"), scheduled("at(2026-11-30T00:00:00)")),
    Case(
        "schedule-timezone",
        "misspelt",
        scheduled("rate(1 hour)", timezone="Europe/Berlim"),
        scheduled("rate(1 hour)", timezone="Europe/Berlin"),
    ),
)


def long_way(closed: bool) -> Declaration:
    """orders -> first -> news -> second -> orders, or not quite."""
    table, topic = Table(partition_key="id", stream="NEW_IMAGE"), Topic()
    first: Function = function(uses={"NEWS": topic.publish()}, triggers=[table.changes()])
    second = function(uses={"ORDERS": table.write() if closed else table.read()}, triggers=[topic.notifications()])
    return {
        "orders": table,
        "news": topic,
        "first": first,
        "second": second,
        "live": Alias(function=first, version="1", name="live"),
    }
