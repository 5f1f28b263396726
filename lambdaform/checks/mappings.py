"""Event source mappings: batches, windows, where streams begin, settings of the other kind of source.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventsourcemapping.html
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from lambdaform.checks.rules import Finding, rule
from lambdaform.model.problem import Severity

if TYPE_CHECKING:
    from lambdaform.checks.view import View
    from lambdaform.model.graph import Node

QUEUES = "https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-parameters.html"
KINESIS = "https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-parameters.html"
STREAMS = {
    "kinesis": KINESIS,
    "dynamodb": "https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-params.html",
}
KAFKA = ("msk", "kafka")
BROKERS = (*KAFKA, "mq", "documentdb")
STARTING = {
    **STREAMS,
    "msk": "https://docs.aws.amazon.com/lambda/latest/dg/with-msk-configure.html",
    "kafka": "https://docs.aws.amazon.com/lambda/latest/dg/with-kafka-configure.html",
    "documentdb": "https://docs.aws.amazon.com/lambda/latest/dg/with-documentdb.html",
}
"""What has a place to begin at."""
_TITLES = {
    "sqs": "a queue",
    "kinesis": "a stream",
    "dynamodb": "a stream",
    "msk": "a Kafka topic",
    "kafka": "a Kafka topic",
    "mq": "a queue of Amazon MQ",
    "documentdb": "a DocumentDB stream",
}
_LOGS = (*STREAMS, *KAFKA)
TAKEN_BY: Mapping[str, tuple[str, ...]] = {
    "starting_position": tuple(STARTING),
    "starting_timestamp": tuple(STARTING),
    "parallelization": tuple(STREAMS),
    "bisect_on_error": _LOGS,
    "max_record_age": _LOGS,
    "max_retries": _LOGS,
    "tumbling_window": tuple(STREAMS),
    "on_failure": _LOGS,
    "max_concurrency": ("sqs",),
    "min_pollers": ("sqs", *KAFKA),
    "max_pollers": ("sqs", *KAFKA),
    "partial_failures": ("sqs", *_LOGS),
    "filters": ("sqs", *_LOGS, "mq"),
    "topic": KAFKA,
    "consumer_group": KAFKA,
    "bootstrap_servers": ("kafka",),
    "queue": ("mq",),
    "virtual_host": ("mq",),
    "database": ("documentdb",),
    "collection": ("documentdb",),
    "full_document": ("documentdb",),
    "access": BROKERS,
}
"""Settings that not every kind of source has, and which do."""


def mappings(view: View, *services: str) -> Iterable[tuple[Node, str]]:
    """Event source mappings of these services (of all when none is named), each with its service."""
    for node in view.of("lambda.event_source_mapping"):
        service = node.props.get("source_kind", "sqs")
        if service in services or (not services and isinstance(service, str)):
            yield node, cast(str, service)


def _is_fifo(view: View, mapping: Node) -> bool:
    target = view.target(mapping.props.get("source"))
    return target is not None and target.fifo is True


@rule(
    "batch-window",
    Severity.ERROR,
    "A queue's batch of more than 10 messages has a window to collect it in.",
    link=QUEUES,
)
def batch_window(view: View) -> Iterable[Finding]:
    """AWS wants a window of at least a second."""
    for node, _ in mappings(view, "sqs"):
        size, window = node.props.get("batch_size"), node.props.get("window", 0)
        if isinstance(size, int) and size > 10 and window == 0 and not _is_fifo(view, node):
            yield Finding(
                node,
                "a batch of more than 10 messages needs a window to collect them in",
                "batch_size",
                given=f"{size:,}, without a window",
                allowed="at most 10, or a window of 1 to 300 s",
                hint="add window=1 or more, or lower batch_size to 10",
            )


@rule("batch-fifo", Severity.ERROR, "A FIFO queue's batch has at most 10 messages and no window.", link=QUEUES)
def batch_fifo(view: View) -> Iterable[Finding]:
    """Both are refused by AWS."""
    for node, _ in mappings(view, "sqs"):
        if not _is_fifo(view, node):
            continue
        size, window = node.props.get("batch_size"), node.props.get("window", 0)
        if isinstance(size, int) and size > 10:
            yield Finding(
                node,
                "a FIFO queue's batch is small",
                "batch_size",
                given=f"{size:,}",
                allowed="1 to 10",
                hint="lower it to 10",
            )
        if isinstance(window, int) and window > 0:
            yield Finding(
                node,
                "a FIFO queue has no batching window",
                "window",
                given=f"{window:,} s",
                allowed="0",
                hint="take it out",
            )


@rule(
    "mapping-settings",
    Severity.ERROR,
    "A mapping has settings of its own kind of source.",
    link=QUEUES,
)
def settings(view: View) -> Iterable[Finding]:
    """Which source takes which setting."""
    for node, service in mappings(view):
        for prop, value in node.props.items():
            kinds = TAKEN_BY.get(prop)
            if kinds is not None and service not in kinds and value not in (None, False, [], ()):
                yield Finding(
                    node,
                    f"{_TITLES.get(service, 'this source')} has no such setting",
                    prop,
                    given=_short(node.props[prop]),
                    hint=f"take {prop} out"
                    + ("; a queue's own dead_letter holds failed messages" if prop == "on_failure" else ""),
                    link=STREAMS.get(service, QUEUES),
                )


def _short(value: Any) -> str:
    return str(value) if isinstance(value, (str, int, float)) else "a value"


@rule("starting-position", Severity.ERROR, "A mapping of a stream or topic says where to begin.", link=KINESIS)
def starting_position(view: View) -> Iterable[Finding]:
    """And `AT_TIMESTAMP`, which DynamoDB's streams do not have, says when."""
    for node, service in mappings(view, *STARTING):
        position, timestamp = node.props.get("starting_position"), node.props.get("starting_timestamp")
        link = STARTING[service]
        if position is None:
            yield Finding(
                node,
                "is needed for a stream",
                "starting_position",
                allowed="LATEST, TRIM_HORIZON" + (", AT_TIMESTAMP" if service != "dynamodb" else ""),
                hint='add starting_position="LATEST", or "TRIM_HORIZON" for all that is still there',
                link=link,
            )
        elif position == "AT_TIMESTAMP" and service == "dynamodb":
            yield Finding(
                node,
                "a DynamoDB stream cannot begin at a time",
                "starting_position",
                given="AT_TIMESTAMP",
                allowed="LATEST, TRIM_HORIZON",
                hint="use TRIM_HORIZON and pass over older records",
                link=link,
            )
        elif position == "AT_TIMESTAMP" and timestamp is None:
            yield Finding(
                node,
                "needs a time",
                "starting_position",
                given="AT_TIMESTAMP",
                hint="add starting_timestamp=",
                link=link,
            )
        elif timestamp is not None and position in ("LATEST", "TRIM_HORIZON"):
            yield Finding(
                node,
                "is only for AT_TIMESTAMP",
                "starting_timestamp",
                given=f"starting_position is {position}",
                hint='take it out, or use starting_position="AT_TIMESTAMP"',
                link=link,
            )


@rule(
    "tumbling-window",
    Severity.ERROR,
    "A tumbling window has one reader for each shard.",
    link="https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-windows.html",
)
def tumbling_window(view: View) -> Iterable[Finding]:
    """State goes from batch to batch of a shard, so batches cannot run beside each other."""
    for node, _ in mappings(view, *STREAMS):
        window, readers = node.props.get("tumbling_window"), node.props.get("parallelization")
        if isinstance(window, int) and window > 0 and isinstance(readers, int) and readers > 1:
            yield Finding(
                node,
                "a tumbling window handles one batch of a shard at a time",
                "parallelization",
                given=str(readers),
                allowed="1",
                hint="take parallelization out, or tumbling_window",
            )


@rule(
    "record-age", Severity.ERROR, "The greatest age of a stream's record is -1, or at least 60 seconds.", link=KINESIS
)
def record_age(view: View) -> Iterable[Finding]:
    """The range has a hole that a range cannot say."""
    for node, service in mappings(view, *STREAMS):
        age = node.props.get("max_record_age")
        if isinstance(age, int) and -1 < age < 60:
            yield Finding(
                node,
                "is too small",
                "max_record_age",
                given=f"{age} s",
                allowed="-1 for as long as the stream keeps records, or 60 to 604,800 s",
                hint="raise it to 60, or take it out",
                link=STREAMS[service],
            )


@rule("stream-blocks", Severity.WARNING, "A batch of a stream that keeps failing is given up some time.", link=KINESIS)
def stream_blocks(view: View) -> Iterable[Finding]:
    """By default a shard waits behind a failing batch until its records expire, a day or more."""
    for node, service in mappings(view, *STREAMS):
        if all(node.props.get(prop) in (None, -1) for prop in ("max_retries", "max_record_age")):
            yield Finding(
                node,
                "a batch that keeps failing blocks its shard until the records expire",
                given="neither max_retries nor max_record_age",
                hint="add max_retries=, and on_failure= to hear of what was given up",
                link=STREAMS[service],
            )


def _ends(view: View) -> dict[str, list[tuple[Node, str]]]:
    """A source to the mappings that read it, each with its function."""
    found: dict[str, list[tuple[Node, str]]] = {}
    for node, _ in mappings(view):
        target = view.target(node.props.get("source"))
        function = view.function_of(node.props.get("function"))
        source = None if target is None else target.node.address if target.node is not None else target.arn
        if source is not None and function is not None:
            found.setdefault(source, []).append((node, function.address))
    return found


@rule(
    "mapping-twice",
    Severity.ERROR,
    "A function reads a source once.",
    link="https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html",
)
def twice(view: View) -> Iterable[Finding]:
    """AWS answers that the mapping exists."""
    for source, ends in _ends(view).items():
        if len(ends) < 2:
            continue
        seen: dict[str, Node] = {}
        for node, _ in ends:
            key = json.dumps(node.props.get("function"))
            if key in seen:
                yield Finding(
                    node,
                    "the function reads this source twice",
                    "source",
                    given=source,
                    hint=f"keep one of the two; the other one is at {seen[key].resource.where}",
                )
            seen.setdefault(key, node)


@rule(
    "queue-shared",
    Severity.WARNING,
    "A queue is read by one function.",
    link="https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html",
)
def shared(view: View) -> Iterable[Finding]:
    """Each message goes to one reader; with filters, the one that does not want it deletes it."""
    for source, ends in _ends(view).items():
        node = ends[0][0]
        functions = sorted({view.graph.nodes[address].name for _, address in ends})
        if node.props.get("source_kind", "sqs") == "sqs" and len(functions) > 1:
            yield Finding(
                ends[-1][0],
                f"{' and '.join(functions)} read {source}, and each message reaches only one of them",
                "source",
                hint="give each function a queue of its own, both fed by a topic",
            )


RULES = (
    batch_window,
    batch_fifo,
    settings,
    starting_position,
    tumbling_window,
    record_age,
    stream_blocks,
    twice,
    shared,
)
