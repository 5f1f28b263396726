"""Which events a resource of a stack sends or a function of it gets, told from the declaration."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

from lambdaform.model.graph import Graph, Node, references_in
from lambdaform.model.problem import LambdaformError
from lambdaform.testing.events import OF_BROKER, OF_RESOURCE, sample_event

Json = Any
_CONNECTING = ("lambda.event_source_mapping", "sns.subscription", "s3.notification", "logs.subscription")
"""Kinds that connect a function with the resource whose events it gets."""
_SENDING = ("lambda.url", "events.rule", "scheduler.schedule")
"""Kinds that send events to a function themselves."""


def event_of(graph: Graph, node: Node, *, account: str, **fields: Json) -> Json:
    """A sample event that `node` sends, or that it gets when it is a function with one source.

    Raises `LambdaformError` when that is not one kind of event, and for a field its kind does not have.
    """
    if node.kind != "lambda.function":
        return _event(graph, node, account, fields)
    sources = list(sources_of(graph, node))
    if len(sources) != 1:
        names = ", ".join(source.name for source in sources)
        raise LambdaformError(
            f"{node.name} has {'no' if not sources else 'more than one'} source of events",
            hint=f"name one of {names}" if names else "it is only invoked directly, with any JSON",
        )
    return _event(graph, sources[0], account, fields)


def sources_of(graph: Graph, function: Node) -> Iterator[Node]:
    """The resources whose events a function gets, each once."""
    found: dict[str, Node] = {}
    for node in graph.nodes.values():
        if node.kind in _SENDING and function.address in node.needs:
            found[node.address] = node
        if node.props.get("source_kind") in OF_BROKER and function.address in node.needs:
            found[node.address] = node
        if node.kind in _CONNECTING and function.address in node.needs:
            for key, content in references_in(dict(node.props)):
                source = graph.nodes.get(content[0]) if key == "@ref" else None
                if source is not None and source.kind in OF_RESOURCE:
                    found[source.address] = source
    yield from found.values()


def node_called(graph: Graph, name: str) -> Node:
    """The resource of a name or address that sends or gets events. Raises `LambdaformError`."""
    able = [node for node in graph.nodes.values() if node.kind == "lambda.function" or node.kind in OF_RESOURCE]
    for node in able:
        if name == node.address:
            return node
    # What a user declared comes before what was derived from it under the same name.
    for node in sorted((node for node in able if node.name == name), key=lambda node: node.parent is not None):
        return node
    names = sorted({node.name for node in able if node.parent is None})
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
    raise LambdaformError(f"no resource called {name} sends or gets events", hint=hint)


def _event(graph: Graph, node: Node, account: str, fields: dict[str, Json]) -> Json:
    kind = OF_RESOURCE.get(node.kind)
    broker = str(node.props.get("source_kind"))
    if broker in OF_BROKER:
        host = {"virtual_host": node.props["virtual_host"]} if "virtual_host" in node.props else {}
        place, sends = str(node.props.get(OF_BROKER[broker], "sample")), "rabbitmq" if host else broker
        return sample_event(sends, region=graph.region, account=account, name=place, **{**host, **fields})
    if kind is None:
        raise LambdaformError(f"{node.address} sends no events", hint="name a queue, topic, bucket, table, ...")
    if node.kind == "events.rule" and "pattern" in node.props:
        fields = {**_matching(node.props["pattern"]), **fields}
    if node.kind == "events.rule" and "schedule" in node.props:
        kind = "schedule"
    name = (node.physical_name or node.name).replace("{account}", account)
    return sample_event(kind, region=graph.region, account=account, name=name, **fields)


def _matching(pattern: Json) -> dict[str, Json]:
    """Source and detail type that a rule's pattern lets through, where it names them plainly."""
    found: dict[str, Json] = {}
    for key, field in (("source", "source"), ("detail-type", "detail_type")):
        values = pattern.get(key) if isinstance(pattern, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        if isinstance(values, list) and values and isinstance(values[0], str):
            found[field] = values[0]
    return found
