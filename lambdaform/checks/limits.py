"""Ranges, lengths, patterns and choices: whatever the marks on fields say, wherever the field is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, cast, get_args

import attrs

from lambdaform.checks.rules import Facts, Finding, Rule
from lambdaform.model.graph import Graph, Node, is_known
from lambdaform.model.marks import Field, Range, fields_of, grouped
from lambdaform.model.problem import Severity
from lambdaform.model.resource import Resource


@lru_cache(maxsize=256)
def _limited(cls: type) -> Mapping[str, Field]:
    """The fields of a class that have limits."""
    return {name: field for name, field in fields_of(cls).items() if field.limits}


@lru_cache(maxsize=256)
def _nested(cls: type) -> Mapping[str, type]:
    """The fields of a class that hold another declared value, such as `Cors`, with that value's class."""
    found: dict[str, type] = {}
    for attribute in attrs.fields(cls):
        for option in (attribute.type, *get_args(attribute.type)):
            if isinstance(option, type) and attrs.has(option) and not issubclass(option, Resource):
                found[attribute.name] = cast(type, option)
    return found


def _shown(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return grouped(value)
    if isinstance(value, (list, dict)):
        return str(len(cast(list[Any], value)))
    return repr(value)


def _breaches(cls: type, props: Mapping[str, Any], prefix: str) -> Iterable[tuple[str, Any, Any]]:
    limited = _limited(cls)
    for name, value in props.items():
        field = limited.get(name)
        if field is not None and is_known(value):
            for limit in field.limits:
                if not limit.accepts(value):
                    yield f"{prefix}{name}", value, limit
    for name, inner in _nested(cls).items():
        value = props.get(name)
        if isinstance(value, dict) and is_known(value):
            yield from _breaches(inner, cast(dict[str, Any], value), f"{prefix}{name}.")


def _find(graph: Graph, facts: Facts) -> Iterable[Finding]:
    for node in graph.nodes.values():
        for prop, value, limit in _breaches(type(node.resource), node.props, ""):
            yield Finding(
                node,
                "is out of range" if isinstance(limit, Range) else "is not allowed",
                prop,
                given=_shown(value),
                allowed=limit.words(),
                hint=_advice(limit, value),
                link=limit.source,
            )
        yield from _expanded(node)


def _expanded(node: Node) -> Iterable[Finding]:
    """Limits of values that only expand, such as `Reserved(...)`: they are not among the node's props."""
    for name, field in fields_of(type(node.resource)).items():
        if not field.expands:
            continue
        value = getattr(node.resource, name)
        if value is None or value is field.default:
            continue
        for limit in field.limits:
            if isinstance(value, (int, str)) and not limit.accepts(value):
                yield Finding(
                    node,
                    "is out of range",
                    name,
                    given=_shown(value),
                    allowed=limit.words(),
                    hint=_advice(limit, value),
                    link=limit.source,
                )
        cls = cast(type, type(value))
        if attrs.has(cls) and not isinstance(value, Resource):
            own = {each.name: getattr(value, each.name) for each in attrs.fields(cls) if each.init}
            for prop, inner, limit in _breaches(cls, own, f"{name}."):
                if inner is not None and isinstance(inner, (int, str, tuple, list)):
                    yield Finding(
                        node,
                        "is out of range",
                        prop,
                        given=_shown(inner),
                        allowed=limit.words(),
                        hint=_advice(limit, inner),
                        link=limit.source,
                    )


def _advice(limit: Any, value: Any) -> str:
    if isinstance(limit, Range) and isinstance(value, (int, float)):
        if value < limit.low:
            return f"raise it to at least {grouped(limit.low)}"
        return f"lower it to at most {grouped(limit.high)}"
    return f"use {limit.words()}"


RULES = (Rule("limits", Severity.ERROR, "Every setting is within the range, form or choice that AWS allows.", _find),)
