"""Ranges, lengths, patterns and choices: whatever the marks on fields say, wherever the field is.

No limit is typed here: a mark on a field of any resource, or of a value inside one, is checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

import attrs

from lambdaform.checks.rules import Finding, rule
from lambdaform.model.graph import is_known
from lambdaform.model.marks import Field, Length, Limit, OneOf, Range, fields_of, grouped
from lambdaform.model.output import Output, Unreadable
from lambdaform.model.problem import Severity
from lambdaform.model.resource import Resource

if TYPE_CHECKING:
    from lambdaform.checks.view import View
    from lambdaform.model.graph import Node

Breach = tuple[str, Any, Limit]
"""Prop, value, and the limit it breaks."""


@lru_cache(maxsize=256)
def _limits(cls: type) -> Mapping[str, tuple[Limit, ...]]:
    """The limits of a class by prop; tags have a rule of their own, which counts lambdaform's as well."""
    return {name: field.limits for name, field in fields_of(cls).items() if field.limits and name != "tags"}


@lru_cache(maxsize=256)
def _shorthand(cls: type) -> tuple[Field, ...]:
    """The fields of a class that only expand, so that their values are not among a node's props."""
    return tuple(field for field in fields_of(cls).values() if field.expands and field.name != "code")


def _declared(value: object) -> type | None:
    """The class of a declared value that is no resource, such as `Cors`."""
    cls = cast(type, type(value))
    return cls if attrs.has(cls) and not isinstance(value, (Resource, Output)) else None


def _of_props(cls: type, resource: object, props: Mapping[str, Any], prefix: str = "") -> Iterable[Breach]:
    """Breaches among encoded props, and in the values inside them."""
    limits = _limits(cls)
    for name, value in props.items():
        if name in limits:
            for limit in limits[name]:
                if is_known(value) and not limit.accepts(value):
                    yield f"{prefix}{name}", value, limit
        if isinstance(value, dict):
            inner: object = getattr(resource, name, None)
            declared = _declared(inner)
            if declared is not None and is_known(cast(Any, value)):
                yield from _of_props(declared, inner, cast(dict[str, Any], value), f"{prefix}{name}.")


def _of_shorthand(view: View, resource: object, fields: Iterable[Field], prefix: str = "") -> Iterable[Breach]:
    """Breaches among values as they were written."""
    for field in fields:
        raw = getattr(resource, field.name)
        if raw is None or raw is field.default:
            continue
        value = view.plain(raw)
        if value is None or isinstance(value, (Unreadable, Resource)):
            continue
        for limit in field.limits:
            if not limit.accepts(value):
                yield f"{prefix}{field.name}", value, limit
        inner = _declared(value)
        if inner is not None:
            yield from _of_shorthand(view, value, fields_of(inner).values(), f"{prefix}{field.name}.")


def _breaches(view: View) -> Iterable[tuple[Node, Breach]]:
    for node in view.graph.nodes.values():
        cls = type(node.resource)
        for breach in _of_props(cls, node.resource, node.props):
            yield node, breach
        for breach in _of_shorthand(view, node.resource, _shorthand(cls)):
            yield node, breach


@rule("limits", Severity.ERROR, "Every setting is within the range, length, form or choice that AWS allows.")
def limits(view: View) -> Iterable[Finding]:
    """One finding for each value; what shorthand hands on to the resources it makes is told once, at the shorthand."""
    found = list(_breaches(view))
    told = {(node.address, repr(value), limit.words()) for node, (_, value, limit) in found}
    broken = {(node.address, prop) for node, (prop, _, _) in found}
    for node, (prop, value, limit) in found:
        parent = node.parent or ""
        if (parent, repr(value), limit.words()) not in told and (parent, prop) not in broken:
            what, hint = _words(limit, value)
            yield Finding(
                node, what, prop, given=_shown(limit, value), allowed=limit.words(), hint=hint, link=limit.source
            )


def _words(limit: Limit, value: Any) -> tuple[str, str]:
    """What is wrong, and what to change."""
    match limit:
        case Range(low, high) if isinstance(value, (int, float)):
            if value < low:
                return "is too small", f"raise it to at least {grouped(low)}"
            return "is too large", f"lower it to at most {grouped(high)}"
        case Length(low, high, unit) if hasattr(value, "__len__"):
            if len(value) < low:
                return ("is empty" if not value else "is too short"), f"give at least {grouped(low)}"
            return ("is too long" if unit == "characters" else "are too many"), f"keep at most {grouped(high)}"
        case OneOf(values):
            import difflib  # only mistakes need it

            near = difflib.get_close_matches(str(value).lower(), {str(v).lower(): v for v in values}, n=1)
            close = next((v for v in values if near and str(v).lower() == near[0]), None)
            return "is not a choice", f"did you mean {close}?" if close is not None else "use one of these"
        case _:
            return "does not have the right form", f"write {limit.words()}"


def _shown(limit: Limit, value: Any) -> str:
    if isinstance(limit, Length) and hasattr(value, "__len__"):
        return f"{grouped(len(value))} {limit.unit}"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return grouped(value) if isinstance(limit, Range) else str(value)
    return repr(value)


RULES = (limits,)
