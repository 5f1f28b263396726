"""For every rule about what feeds functions and where their results go: what breaks it, and near misses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lambdaform.resources.dynamodb_table import Table
from lambdaform.resources.events_bus import EventBus
from lambdaform.resources.events_rule import EventRule
from lambdaform.resources.kinesis_stream import Stream
from lambdaform.resources.lambda_alias import Alias
from lambdaform.resources.lambda_event_source_mapping import EventSourceMapping
from lambdaform.resources.lambda_function import Function, Logging
from lambdaform.resources.logs_group import LogGroup
from lambdaform.resources.s3_bucket import Bucket
from lambdaform.resources.s3_notification import BucketNotification
from lambdaform.resources.sns_topic import Topic
from lambdaform.resources.sqs_queue import DeadLetter, Queue
from lambdaform.triggers.event_rule import Rule
from lambdaform.triggers.kafka_topic import KafkaTopic
from lambdaform.triggers.mq_queue import MqQueue
from lambdaform.triggers.msk_topic import MskTopic
from lambdaform.triggers.schedule import Schedule
from tests.checks.cases import Case, Declaration, fed, one, read_with_receives
from tests.checks.declarations import HERE, THERE, function


def streamed(**settings: Any) -> Declaration:
    """A function that reads a stream."""
    stream = Stream()
    return {"clicks": stream, "worker": function(triggers=[stream.records(**settings)])}


def mapped(kind: str, **settings: Any) -> Declaration:
    """A mapping written by hand."""
    worker = function()
    arns = {"sqs": f"arn:aws:sqs:{HERE}:q", "kinesis": f"arn:aws:kinesis:{HERE}:stream/s"}
    arns["dynamodb"] = f"arn:aws:dynamodb:{HERE}:table/t/stream/1"
    given: dict[str, Any] = {"source": arns.get(kind), **settings}
    return {"worker": worker, "feed": EventSourceMapping(function=worker.arn, source_kind=kind, **given)}


BROKER = f"arn:aws:mq:{HERE}:broker:shop:b-1"
CLUSTER = f"arn:aws:kafka:{HERE}:cluster/shop/1"
SECRET = f"arn:aws:secretsmanager:{HERE}:secret:broker-AbCdEf"


def topical(**settings: Any) -> Declaration:
    """A function that reads a topic of Amazon MSK."""
    return {"worker": function(triggers=[MskTopic("orders", cluster=CLUSTER, **settings)])}


def brokered(timeout: int) -> Declaration:
    """A function that reads a broker's queue."""
    return {"worker": function(timeout=timeout, triggers=[MqQueue("orders", broker=BROKER, secret=SECRET)])}


def dead_lettered(dead: Queue, **settings: Any) -> Declaration:
    """A queue with a dead-letter queue."""
    return {"dead": dead, "inbox": Queue(dead_letter=DeadLetter(dead), **settings)}


def logged(*, own: bool) -> Declaration:
    """A function that gets the lines of a log group, which may be its own."""
    lines, other = LogGroup(), LogGroup()
    logging = Logging(group=lines if own else other)
    return {"lines": lines, "other": other, "worker": function(logging=logging, triggers=[lines.lines()])}


def hearing(times: int) -> Declaration:
    """So many subscriptions of one log group."""
    lines = LogGroup()
    triggers = [lines.lines("ERROR", name=f"t{number}") for number in range(times)]
    return {"lines": lines, "worker": function(triggers=triggers)}


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


def table_changes(**settings: Any) -> Declaration:
    table = Table(partition_key="id", stream="NEW_IMAGE")
    return {"orders": table, "worker": function(triggers=[table.changes(**settings)])}


def subscribed(*, fifo: bool) -> Declaration:
    """A topic with a function."""
    topic = Topic(fifo=fifo)
    return {"news": topic, "worker": function(triggers=[topic.notifications()])}


def forwarded(fifo_topic: bool, fifo_queue: bool) -> Declaration:
    """A topic with a queue."""
    topic, queue = Topic(fifo=fifo_topic), Queue(fifo=fifo_queue)
    return {"news": topic, "inbox": queue, "feed": topic.to(queue)}


def notified(*, fifo: bool) -> Declaration:
    """A bucket with a queue."""
    bucket, queue = Bucket(), Queue(fifo=fifo)
    entry = BucketNotification(bucket=bucket.bucket_name, target=queue, target_kind="queue")
    return {"files": bucket, "inbox": queue, "entry": entry}


def overlapping(first: Mapping[str, Any], second: Mapping[str, Any]) -> Declaration:
    """A bucket with two functions."""
    bucket = Bucket()
    return {
        "files": bucket,
        "first": function(triggers=[bucket.objects(**first)]),
        "second": function(triggers=[bucket.objects(**second)]),
    }


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


CASES = (
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
    Case(
        "mapping-settings",
        "a topic on a queue",
        lambda: mapped("sqs", topic="orders"),
        lambda: topical(),
    ),
    Case(
        "mapping-settings",
        "windows for Kafka",
        lambda: mapped("msk", source=CLUSTER, topic="t", starting_position="LATEST", tumbling_window=60),
        lambda: streamed(tumbling_window=60),
    ),
    Case(
        "mapping-settings",
        "filters for DocumentDB",
        lambda: mapped("documentdb", filters=[{"a": [1]}]),
        lambda: mapped("mq", filters=[{"data": [1]}]),
    ),
    Case("source-missing", "no queue", lambda: mapped("sqs", source=None), lambda: mapped("sqs")),
    Case(
        "source-missing",
        "no topic",
        lambda: mapped("msk", source=CLUSTER, starting_position="LATEST"),
        lambda: topical(),
    ),
    Case(
        "source-missing",
        "no way in",
        lambda: {"worker": function(triggers=[KafkaTopic("orders", servers=["b.example:9092"])])},
        lambda: {"worker": function(triggers=[KafkaTopic("orders", servers=["b.example:9092"], secret=SECRET)])},
    ),
    Case(
        "poller-numbers",
        "one for a queue",
        lambda: fed(Queue(), min_pollers=1),
        lambda: topical(min_pollers=1),
    ),
    Case(
        "poller-numbers",
        "too many for Kafka",
        lambda: topical(max_pollers=2_001),
        lambda: fed(Queue(), max_pollers=2_001),
    ),
    Case(
        "poller-numbers",
        "the wrong way round",
        lambda: fed(Queue(), min_pollers=5, max_pollers=4),
        lambda: fed(Queue(), min_pollers=5, max_pollers=5),
    ),
    Case(
        "poller-numbers",
        "and a greatest concurrency",
        lambda: fed(Queue(), min_pollers=5, max_concurrency=10),
        lambda: fed(Queue(), max_concurrency=10),
    ),
    Case(
        "kafka-retries",
        "without pollers",
        lambda: topical(max_retries=2),
        lambda: topical(max_retries=2, min_pollers=1),
    ),
    Case("broker-timeout", "15 minutes", lambda: brokered(900), lambda: brokered(840)),
    Case(
        "starting-position",
        "a time for Kafka",
        lambda: topical(starting_position="AT_TIMESTAMP"),
        lambda: topical(starting_position="AT_TIMESTAMP", starting_timestamp=1.0),
    ),
    Case(
        "filter-key",
        "of Kafka",
        lambda: topical(filters=[{"data": {"kind": ["order"]}}]),
        lambda: topical(filters=[{"value": {"kind": ["order"]}}]),
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
    Case("loop", "through its log", lambda: logged(own=True), lambda: logged(own=False)),
    Case("log-filters", "three", lambda: hearing(3), lambda: hearing(2)),
    Case("loop", "of two functions through a table and a topic", lambda: long_way(True), lambda: long_way(False)),
    Case(
        "event-pattern",
        "a value outside of a list",
        lambda: {"w": function(triggers=[Rule({"source": "shop"})])},
        lambda: {"w": function(triggers=[Rule({"source": ["shop"], "detail": {"id": [{"wildcard": "a*"}]}})])},
    ),
    Case(
        "event-pattern",
        "an operator that is none",
        lambda: {"w": function(triggers=[Rule({"source": [{"starts-with": "shop"}]})])},
        lambda: {"w": function(triggers=[Rule({"source": [{"prefix": {"equals-ignore-case": "shop"}}]})])},
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
    # deliveries
    Case("subscription-fifo", "a function", lambda: subscribed(fifo=True), lambda: subscribed(fifo=False)),
    Case(
        "subscription-fifo",
        "a FIFO queue of a standard topic",
        lambda: forwarded(False, True),
        lambda: forwarded(True, True),
    ),
    Case("notification-fifo", "a queue", lambda: notified(fifo=True), lambda: notified(fifo=False)),
    Case(
        "rule-fifo",
        "a queue",
        lambda: {"q": (q := Queue(fifo=True)), "r": EventRule(pattern={"source": ["a"]}, targets=[q])},
        lambda: {"q": (q := Queue()), "r": EventRule(pattern={"source": ["a"]}, targets=[q])},
    ),
    Case(
        "notification-overlap",
        "prefixes",
        lambda: overlapping({"prefix": "a/"}, {"prefix": "a/b/"}),
        lambda: overlapping({"prefix": "a/"}, {"prefix": "b/"}),
    ),
    Case(
        "notification-overlap",
        "events",
        lambda: overlapping({}, {"events": ["s3:ObjectCreated:Put"]}),
        lambda: overlapping({}, {"events": ["s3:ObjectRemoved:*"]}),
    ),
    Case(
        "notification-overlap",
        "suffixes tell apart",
        lambda: overlapping({"prefix": "a/"}, {"suffix": ".png"}),
        lambda: overlapping({"prefix": "a/", "suffix": ".jpg"}, {"suffix": ".png"}),
    ),
    Case("stream-blocks", "AWS's defaults", lambda: streamed(), lambda: streamed(max_retries=3)),
)
