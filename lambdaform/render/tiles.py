"""What a tile of a picture is called and says: the words of each kind, and which of its settings are worth showing.

Values of environment variables, inputs and whole addresses never come into a tile: a picture is for everybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlsplit

import attrs

from lambdaform.model.graph import Node

Json = Any


@attrs.frozen
class Group:
    """A frame around tiles that belong to another stack."""

    title: str


@attrs.frozen
class Tile:
    """One box."""

    id: str
    name: str
    word: str
    """What it is: `function`."""
    family: str
    """What kind of thing, for its colour: `compute`, `messaging`, `data`, `time`, `edge`, `layer`."""
    lines: tuple[str, ...] = ()
    """Settings, a few words each."""
    group: str | None = None
    """The title of its group."""
    outside: bool = False
    """Whether this stack does not manage it."""


_WORDS = {
    "lambda.function": ("function", "compute"),
    "lambda.layer": ("layer", "layer"),
    "lambda.url": ("HTTPS", "edge"),
    "sqs.queue": ("queue", "messaging"),
    "sns.topic": ("topic", "messaging"),
    "events.bus": ("event bus", "messaging"),
    "kinesis.stream": ("stream", "messaging"),
    "msk.cluster": ("Kafka", "messaging"),
    "mq.broker": ("broker", "messaging"),
    "documentdb.cluster": ("DocumentDB", "data"),
    "dynamodb.table": ("table", "data"),
    "s3.bucket": ("bucket", "data"),
    "logs.group": ("log group", "data"),
    "scheduler.schedule": ("schedule", "time"),
    "events.rule": ("rule", "time"),
}
_SERVICES = {
    "lambda": "lambda.function",
    "sqs": "sqs.queue",
    "sns": "sns.topic",
    "events": "events.bus",
    "kinesis": "kinesis.stream",
    "dynamodb": "dynamodb.table",
    "s3": "s3.bucket",
    "kafka": "msk.cluster",
    "mq": "mq.broker",
    "rds": "documentdb.cluster",
}


def word_of(kind: str) -> tuple[str, str] | None:
    """What a kind is called in a picture, and its family; None for what is not drawn."""
    return _WORDS.get(kind)


def name_of(node: Node) -> str:
    """What stands in bold: the name, or for schedules and rules what they say."""
    if node.kind == "lambda.url":
        return "function URL"
    if node.kind not in ("scheduler.schedule", "events.rule"):
        return node.name
    moment = node.props.get("expression") or node.props.get("schedule")
    if isinstance(moment, str):
        return moment
    pattern = cast(Mapping[str, Json], node.props.get("pattern") or {})
    words = pattern.get("detail-type") or pattern.get("source")
    plain = [word for word in cast(list[Json], words) if isinstance(word, str)] if isinstance(words, list) else []
    return ", ".join(plain) or node.name


def details_of(node: Node, *, everything: bool) -> tuple[str, ...]:
    """Settings of a tile: those it cannot be understood without, or all that matter."""
    props = node.props
    lines: list[str] = []
    if node.kind == "scheduler.schedule" and isinstance(props.get("timezone"), str):
        lines.append(props["timezone"])
    if not everything:
        return tuple(lines)
    match node.kind:
        case "lambda.function":
            lines.append(_plain(props, "runtime", default=getattr(node.resource, "runtime", "")))
            lines.append(f"{_plain(props, 'memory', default=128)} MB, {duration(props.get('timeout', 3))}")
            if isinstance(props.get("reserved_concurrency"), int):
                lines.append(f"at most {props['reserved_concurrency']} at a time")
        case "sqs.queue":
            lines.append("FIFO" if props.get("fifo") else "")
            lines.append(f"hidden for {duration(props.get('visibility_timeout', 30))}")
            lines.append(f"kept for {duration(props.get('retention', 345_600))}")
        case "dynamodb.table":
            keys = [cast(Mapping[str, Json], props.get(key) or {}).get("name") for key in ("partition_key", "sort_key")]
            lines.append("key " + ", ".join(key for key in keys if isinstance(key, str)))
            lines.append("stream of changes" if props.get("stream") else "")
        case "lambda.url":
            lines.append("signed requests" if props.get("auth", "AWS_IAM") == "AWS_IAM" else "open to everybody")
        case "sns.topic":
            lines.append("FIFO" if props.get("fifo") else "")
        case _:
            pass
    return tuple(line for line in lines if line)


def mapping_label(props: Mapping[str, Json], detail: bool) -> str:
    """What stands on the arrow from a queue or stream to its function."""
    usual = 10 if props.get("source_kind", "sqs") == "sqs" else 100
    words = [f"batch {_plain(props, 'batch_size', default=usual)}"]
    if props.get("filters"):
        words.append("filtered")
    if detail and props.get("window"):
        words.append(f"within {duration(props['window'])}")
    if detail and props.get("partial_failures"):
        words.append("failed ones return")
    if detail and isinstance(props.get("max_concurrency"), int):
        words.append(f"at most {props['max_concurrency']} at a time")
    if isinstance(place := props.get("topic") or props.get("queue") or props.get("database"), str):
        words.insert(0, place)
    return ", ".join(words)


def elsewhere(kind: str, name: Json, group: Group | None) -> Tile | None:
    """The tile of something another stack, or nobody here, manages; of an ARN only the last part is shown."""
    word = _WORDS.get(kind)
    if word is None:
        return None
    shown = name.rsplit(":", 1)[-1].rsplit("/", 1)[-1] if isinstance(name, str) else word[0]
    owner = group.title if group is not None else "existing"
    return Tile(f"{owner} {kind}.{shown}", shown, *word, group=group.title if group else None, outside=True)


def outside(value: str) -> Tile | None:
    """The tile of an ARN or a subscriber's address; of an address only the host is shown, of a mailbox nothing."""
    if value.startswith("arn:") and value.count(":") >= 5:
        return elsewhere(_SERVICES.get(value.split(":")[2], ""), value, None)
    if value.startswith(("https://", "http://")):
        host = urlsplit(value).hostname or "web page"
        return Tile(f"web {host}", host, "HTTPS", "edge", outside=True)
    if "@" in value:
        return Tile("mail", "subscriber", "e-mail", "edge", outside=True)
    return None


def duration(seconds: Json) -> str:
    """Seconds in the largest unit that fits: `3 min`."""
    if not isinstance(seconds, int):
        return "(known later)"
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= size and seconds % size == 0:
            number = seconds // size
            return f"{number} {'day' if unit == 'days' and number == 1 else unit}"
    return f"{seconds} s"


def _plain(props: Mapping[str, Json], name: str, *, default: Json) -> str:
    value = props.get(name, default)
    return str(value) if isinstance(value, (str, int)) else "(known later)"
