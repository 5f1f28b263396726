"""Functions that set themselves off: through a queue, a topic, a bucket, a table, a stream, a bus, a log, a function.

AWS stops some of these loops after about 16 rounds, and lets others run up a bill.
https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, cast

import attrs

from lambdaform.checks.destinations import grants_of
from lambdaform.checks.rules import Finding, rule
from lambdaform.model.output import Text
from lambdaform.model.problem import Severity

if TYPE_CHECKING:
    from lambdaform.checks.view import View
    from lambdaform.model.graph import Node
    from lambdaform.model.resource import Resource

RECURSION = "https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html"
DEFAULT_BUS = "events.bus.default"
# What makes an event, how people say it, and which events of a bucket it makes.
_MAKES = (
    ("sqs:SendMessage", "sends to", ""),
    ("sns:Publish", "publishes to", ""),
    ("s3:PutObject", "writes to", "created"),
    ("s3:DeleteObject", "deletes from", "removed"),
    ("dynamodb:PutItem", "writes to", ""),
    ("dynamodb:UpdateItem", "writes to", ""),
    ("dynamodb:DeleteItem", "writes to", ""),
    ("dynamodb:BatchWriteItem", "writes to", ""),
    ("kinesis:PutRecord", "writes to", ""),
    ("kinesis:PutRecords", "writes to", ""),
    ("events:PutEvents", "puts events on", ""),
    ("lambda:InvokeFunction", "invokes", ""),
)
_DETECTED = ("sqs", "sns", "s3", "lambda")
"""Services whose loops AWS notices."""


@attrs.frozen(repr=False)
class Edge:
    """Events go from here to there."""

    to: str
    verb: str
    filtered: bool = False
    """Whether something stands between that may keep the events out."""


Edges = dict[str, list[Edge]]


def edges(view: View) -> Edges:
    """Who hands events to whom; a bucket's `created` and `removed` are two ends, since triggers are for one of them."""
    found: Edges = {}
    for start, edge in (*_from_functions(view), *_from_services(view)):
        found.setdefault(start, []).append(edge)
    return found


def _allows(allowed: str, action: str) -> bool:
    return allowed == action or ("*" in allowed and fnmatchcase(action, allowed))


def _from_functions(view: View) -> Iterator[tuple[str, Edge]]:
    for function in view.functions:
        for grant in grants_of(function):
            if grant.target is None:
                continue
            end = _end_of(view, grant.target)
            for action, verb, part in _MAKES:
                if end is not None and any(_allows(allowed, action) for allowed in grant.actions):
                    yield function.address, Edge(f"{end}#{part}" if part else end, verb)
        logging = cast(dict[str, Any], function.props.get("logging") or {})
        if (end := _end(view, logging.get("group"))) is not None:
            yield function.address, Edge(end, "logs to")
        if (end := _end(view, function.props.get("dead_letter"))) is not None:
            yield function.address, Edge(end, "sends dead letters to")
        for config in view.asynchronous_settings.get(function.address, ()):
            for prop in ("on_success", "on_failure"):
                if (end := _end(view, config.props.get(prop))) is not None:
                    yield function.address, Edge(end, "sends records to")


def _from_services(view: View) -> Iterator[tuple[str, Edge]]:
    for address, mappings in view.mappings.items():
        for mapping in mappings:
            if (start := _end(view, mapping.props.get("source"))) is not None:
                yield start, Edge(address, "triggers", "filters" in mapping.props)
            if (end := _end(view, mapping.props.get("on_failure"))) is not None:
                yield address, Edge(end, "sends discarded batches to")
    for node in view.of("sns.subscription"):
        yield from _between(view, node.props.get("topic"), node.props.get("endpoint"), "filter" in node.props)
    for node in view.of("logs.subscription_filter"):
        yield from _between(view, node.props.get("group"), node.props.get("to"), bool(node.props.get("pattern")))
    for node in view.of("s3.notification"):
        start, end = _end(view, node.props.get("bucket")), _end(view, node.props.get("target"))
        if start is not None and end is not None:
            narrow = "prefix" in node.props or "suffix" in node.props
            for part in _parts(node.props.get("events", ["s3:ObjectCreated:*"])):
                yield f"{start}#{part}", Edge(end, _verb(end), narrow)
    for node in view.of("events.rule"):
        yield from _of_rule(view, node)
    for node in view.of("sqs.queue"):
        dead = node.props.get("dead_letter")
        if isinstance(dead, dict) and (end := _end(view, cast(Any, dead).get("queue"))) is not None:
            yield node.address, Edge(end, "moves dead letters to")


def _of_rule(view: View, node: Node) -> Iterator[tuple[str, Edge]]:
    pattern = node.props.get("pattern")
    if not isinstance(pattern, dict):
        return
    sources = cast(dict[str, Any], pattern).get("source")
    if isinstance(sources, list) and all(str(each).startswith("aws.") for each in cast(list[Any], sources)):
        return  # only AWS itself can put events of these sources
    bus = node.props.get("bus")
    start = DEFAULT_BUS if bus in (None, "default") else _end(view, bus)
    for target in node.props.get("targets", ()):
        end = _end(view, target.get("to"))
        if start is not None and end is not None:
            yield start, Edge(end, _verb(end), True)


def _between(view: View, source: Any, end: Any, filtered: bool) -> Iterator[tuple[str, Edge]]:
    first, last = _end(view, source), _end(view, end)
    if first is not None and last is not None:
        yield first, Edge(last, _verb(last), filtered)


def _verb(end: str) -> str:
    return "triggers" if end.startswith("lambda.") else "hands on to"


def _parts(events: Any) -> set[str]:
    names = [str(each) for each in cast(list[Any], events)] if isinstance(events, list) else []
    return {part for part in ("created", "removed") for name in names if f"Object{part.title()}" in name}


def _end(view: View, value: Any) -> str | None:
    """What a prop leads to, as an end of edges."""
    function = view.function_of(value)
    if function is not None:
        return function.address
    match value:
        case {"@existing": [_, {"@text": [str() as template, _]}, _]} if template.endswith("event-bus/default"):
            return DEFAULT_BUS
        case {"@existing": [_, str() as arn, _]}:
            return arn
        case {"@ref": [str() as address, _]}:
            return address
        case str():
            return value
        case _:
            return None


def _end_of(view: View, resource: Resource) -> str | None:
    """What a grant is about, as an end of edges."""
    address = view.address_of(resource)
    if address is None:
        arn = resource.existing_arn
        return DEFAULT_BUS if isinstance(arn, Text) and arn.template.endswith("event-bus/default") else None
    node = view.graph.nodes.get(address)
    function = view.function_of({"@ref": [address, "arn"]}) if node is not None else None
    return function.address if function is not None else address


def _circles(found: Edges) -> Iterator[list[str]]:
    """Groups of ends that all reach each other (Tarjan's algorithm with a stack of its own, so depth is no matter)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    path: list[str] = []
    on_path: set[str] = set()
    for start in found:
        if start in index:
            continue
        work: list[tuple[str, Iterator[Edge]]] = [(start, iter(found.get(start, ())))]
        index[start] = low[start] = len(index)
        path.append(start)
        on_path.add(start)
        while work:
            at, rest = work[-1]
            for edge in rest:
                if edge.to not in index:
                    index[edge.to] = low[edge.to] = len(index)
                    path.append(edge.to)
                    on_path.add(edge.to)
                    work.append((edge.to, iter(found.get(edge.to, ()))))
                    break
                if edge.to in on_path:
                    low[at] = min(low[at], index[edge.to])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[at])
                if low[at] == index[at]:
                    group = path[path.index(at) :]
                    del path[path.index(at) :]
                    on_path.difference_update(group)
                    if len(group) > 1 or any(edge.to == at for edge in found.get(at, ())):
                        yield group


def _way_round(found: Edges, start: str, within: set[str]) -> list[tuple[str, Edge]]:
    """The shortest way from an end back to itself, as (from, edge)."""
    came: dict[str, tuple[str, Edge]] = {}
    todo = deque([start])
    while todo:
        at = todo.popleft()
        for edge in found.get(at, ()):
            if edge.to not in within or edge.to in came:
                continue
            came[edge.to] = (at, edge)
            if edge.to == start:
                todo.clear()
                break
            todo.append(edge.to)
    way = [came[start]]
    while way[0][0] != start:
        way.insert(0, came[way[0][0]])
    return way


@rule("loop", Severity.WARNING, "No function sets itself off, directly or through others.", link=RECURSION)
def loop(view: View) -> Iterable[Finding]:
    """One finding for each group of functions and sources; a note where a filter may break the circle."""
    found = edges(view)
    for group in _circles(found):
        nodes = [view.graph.nodes[end] for end in sorted(group) if end in view.graph.nodes]
        functions = [node for node in nodes if node.kind == "lambda.function"]
        if not functions or any(node.props.get("recursion") == "Allow" for node in functions):
            continue  # declared as wanted
        way = _way_round(found, functions[0].address, set(group))
        noticed = all(end.split(".")[0].split(":")[-1] in _DETECTED for end, _ in way)
        limit = "AWS stops it after about 16 rounds" if noticed else "AWS does not notice this kind of loop"
        yield Finding(
            functions[0],
            f"may set itself off without end: {_told(view, way)}; {limit}",
            hint='write to another place than is read from, or say that it is meant: recursion="Allow"',
            severity=Severity.NOTE if any(edge.filtered for _, edge in way) else None,
        )


def _told(view: View, way: list[tuple[str, Edge]]) -> str:
    steps = [f"{_name(view, way[0][0])} {way[0][1].verb} {_name(view, way[0][1].to)}"]
    steps.extend(f"which {edge.verb} {_name(view, edge.to)}" for _, edge in way[1:])
    return ", ".join(steps)


def _name(view: View, end: str) -> str:
    node = view.graph.nodes.get(end.partition("#")[0])
    if node is None:
        return "the default event bus" if end == DEFAULT_BUS else end.partition("#")[0]
    return node.name


RULES = (loop,)
