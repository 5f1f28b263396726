"""A picture of an architecture as data: tiles and arrows, made from a graph.

It shows what flows, not what depends: sources feed functions, functions use resources, failures go where failures go.
Roles, policies, log groups, permissions, versions and the like belong to their function and are not drawn.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Any, cast

import attrs

from lambdaform.model.graph import Graph, Node, references_in
from lambdaform.model.resource import Grant, Resource
from lambdaform.resources.lambda_function import Function


class Look(enum.Enum):
    """How an arrow looks, which says what it means."""

    EVENT = "event"
    USE = "use"
    FAILURE = "failure"


@attrs.frozen
class Tile:
    """One box."""

    id: str
    name: str
    word: str
    """What it is: `function`."""
    family: str
    """What kind of thing, for its colour: `compute`, `messaging`, `data`, `time`, `edge`."""


@attrs.frozen
class Arrow:
    """One line from tile to tile."""

    tail: str
    head: str
    label: str
    look: Look


@attrs.frozen
class Picture:
    """Everything drawn."""

    title: str
    tiles: tuple[Tile, ...]
    arrows: tuple[Arrow, ...]


_FAMILIES = {
    "lambda.function": ("function", "compute"),
    "lambda.layer": ("layer", "layer"),
    "sqs.queue": ("queue", "messaging"),
    "sns.topic": ("topic", "messaging"),
    "events.bus": ("event bus", "messaging"),
    "kinesis.stream": ("stream", "messaging"),
    "dynamodb.table": ("table", "data"),
    "s3.bucket": ("bucket", "data"),
}
_OWN_TILES = {"scheduler.schedule": ("schedule", "time"), "events.rule": ("rule", "time")}


def picture_of(graph: Graph) -> Picture:
    """The picture of a graph; the same graph gives the same picture."""
    tiles: dict[str, Tile] = {}
    arrows: dict[tuple[str, str, str, Look], Arrow] = {}

    def tile(node: Node, word: str, family: str, name: str | None = None) -> None:
        tiles[node.address] = Tile(node.address, name or node.name, word, family)

    def arrow(tail: str | None, head: str | None, label: str, look: Look) -> None:
        if tail is not None and head is not None and tail in tiles and head in tiles:
            arrows.setdefault((tail, head, label, look), Arrow(tail, head, label, look))

    for node in graph.nodes.values():
        if node.kind in _FAMILIES:
            tile(node, *_FAMILIES[node.kind])
        elif node.kind in _OWN_TILES:
            tile(node, *_OWN_TILES[node.kind], name=_moment(node))
        elif node.kind == "lambda.url":
            tile(node, "HTTPS", "edge", name="function URL")
    for node in graph.nodes.values():
        _flows(node, graph, arrow)
    return Picture(f"{graph.stack} ({graph.stage})", tuple(tiles.values()), tuple(arrows.values()))


def _moment(node: Node) -> str:
    """What a schedule or rule says, short."""
    expression = node.props.get("expression") or node.props.get("schedule")
    if isinstance(expression, str):
        return expression
    pattern = node.props.get("pattern")
    if isinstance(pattern, dict):
        words = cast(dict[str, Any], pattern).get("detail-type") or cast(dict[str, Any], pattern).get("source")
        if isinstance(words, list) and words:
            return ", ".join(str(word) for word in cast(list[Any], words))
    return node.name


def _flows(node: Node, graph: Graph, arrow: Any) -> None:
    props = node.props
    match node.kind:
        case "lambda.event_source_mapping":
            batch = props.get("batch_size")
            arrow(_one(props.get("source"), graph), _one(props.get("function"), graph), _batch(batch), Look.EVENT)
            arrow(_one(props.get("function"), graph), _one(props.get("on_failure"), graph), "on failure", Look.FAILURE)
        case "lambda.url":
            arrow(node.address, _one(props.get("function"), graph), "", Look.EVENT)
        case "sns.subscription":
            arrow(_one(props.get("topic"), graph), _one(props.get("endpoint"), graph), "", Look.EVENT)
        case "s3.notification":
            events = ", ".join(props.get("events", [])) if isinstance(props.get("events"), list) else ""
            label = events.replace("s3:", "")
            arrow(_one(props.get("bucket"), graph), _one(props.get("target"), graph), label, Look.EVENT)
        case "events.rule" | "scheduler.schedule":
            arrow(_one(props.get("bus"), graph), node.address, "", Look.EVENT)
            for target in _all({key: props.get(key) for key in ("target", "targets")}, graph):
                arrow(node.address, target, "", Look.EVENT)
        case "sqs.queue":
            dead = cast(dict[str, Any], props.get("dead_letter") or {})
            receives = dead.get("max_receives", 5)
            arrow(node.address, _one(dead.get("queue"), graph), f"after {receives} receives", Look.FAILURE)
        case "lambda.event_invoke_config":
            function = _one(props.get("function"), graph)
            arrow(function, _one(props.get("on_failure"), graph), "on failure", Look.FAILURE)
            arrow(function, _one(props.get("on_success"), graph), "on success", Look.EVENT)
        case "lambda.function":
            arrow(node.address, _one(props.get("dead_letter"), graph), "dead letter", Look.FAILURE)
            for layer in _all(props.get("layers"), graph):
                arrow(layer, node.address, "", Look.USE)
            if isinstance(node.resource, Function):
                for grant in _grants(node.resource):
                    arrow(node.address, _address(grant.target, graph), grant.verb, Look.USE)
        case _:
            pass


def _batch(size: Any) -> str:
    return f"batch {size}" if isinstance(size, int) else ""


def _grants(function: Function) -> Iterable[Grant]:
    for use in function.uses.values():
        yield from use if isinstance(use, tuple) else (use,)
    yield from function.grants


def _address(resource: Resource | None, graph: Graph) -> str | None:
    return None if resource is None else graph.address_of(resource)


def _all(value: Any, graph: Graph) -> list[str]:
    """The tiles that a prop's references lead to; an alias or version stands for its function."""
    found: list[str] = []
    for key, content in references_in(value):
        if key != "@ref":
            continue
        node = graph.nodes.get(content[0])
        if node is not None and node.kind in ("lambda.alias", "lambda.version"):
            found.extend(_all(node.props.get("function"), graph))
        elif node is not None:
            found.append(node.address)
    return found


def _one(value: Any, graph: Graph) -> str | None:
    return next(iter(_all(value, graph)), None)
