"""Whether a pattern is one that Lambda or EventBridge takes: an object whose leaves are lists of values and operators.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

_NUMERIC = ("=", "<", "<=", ">", ">=")
OPERATORS = ("equals-ignore-case", "prefix", "suffix", "anything-but", "numeric", "exists")
"""What can stand in a list besides plain values. EventBridge has more, such as wildcards; Lambda lists none of them."""

BUS_OPERATORS = (*OPERATORS, "wildcard", "cidr")
"""The same of EventBridge's rules, which also take operators within some of them."""


def mistakes_in(pattern: Any, path: str = "", *, of_bus: bool = False) -> Iterable[tuple[str, str]]:
    """Path and description of each mistake; nothing when the pattern is valid. `of_bus` is for EventBridge's rules."""
    if not isinstance(pattern, Mapping):
        yield path, "a pattern is a mapping of keys"
        return
    keys = cast(Mapping[str, Any], pattern)
    if not keys:
        yield path, "a pattern without keys says nothing"
    for key, value in keys.items():
        inner = f"{path}.{key}" if path else key
        if key == "$or":
            yield from _alternatives(value, inner, of_bus)
        elif isinstance(value, Mapping):
            yield from mistakes_in(value, inner, of_bus=of_bus)
        elif isinstance(value, (list, tuple)):
            yield from _leaf(cast(list[Any], value), inner, of_bus)
        else:
            yield inner, f"a value stands in a list: [{_json(value)}]"


def _alternatives(value: Any, path: str, of_bus: bool) -> Iterable[tuple[str, str]]:
    if not isinstance(value, (list, tuple)) or len(cast(list[Any], value)) < 2:
        yield path, "$or takes a list of two or more patterns"
        return
    for number, each in enumerate(cast(list[Any], value)):
        yield from mistakes_in(each, f"{path}[{number}]", of_bus=of_bus)


def _leaf(values: list[Any], path: str, of_bus: bool) -> Iterable[tuple[str, str]]:
    if not values:
        yield path, "an empty list matches nothing"
    for value in values:
        if isinstance(value, Mapping):
            yield from _operator(cast(Mapping[str, Any], value), path, of_bus)
        elif isinstance(value, (list, tuple)):
            yield path, "a list cannot stand in a list"


def _operator(operator: Mapping[str, Any], path: str, of_bus: bool) -> Iterable[tuple[str, str]]:
    if len(operator) != 1:
        yield path, "an operator is a mapping with one key"
        return
    name, operand = next(iter(operator.items()))
    if of_bus and (name in ("wildcard", "cidr") or isinstance(operand, Mapping)):
        return  # operators within operators are for EventBridge to judge
    match name:
        case "prefix" | "suffix" | "equals-ignore-case":
            if not isinstance(operand, str):
                yield path, f"{name} takes a text"
        case "exists":
            if not isinstance(operand, bool):
                yield path, "exists takes true or false"
        case "numeric":
            yield from _numeric(operand, path)
        case "anything-but":
            values = cast(list[Any], operand) if isinstance(operand, (list, tuple)) else [operand]
            if not values or any(isinstance(each, (Mapping, list, tuple)) for each in values):
                yield path, "anything-but takes a value or a list of values"
        case _:
            import difflib  # only mistakes need it

            known, whose = (BUS_OPERATORS, "EventBridge's patterns") if of_bus else (OPERATORS, "Lambda's filters")
            near = difflib.get_close_matches(name, known, n=1)
            advice = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            yield path, f"there is no operator {name} in {whose}; {advice}"


def _numeric(operand: Any, path: str) -> Iterable[tuple[str, str]]:
    parts = cast(list[Any], operand) if isinstance(operand, (list, tuple)) else []
    pairs = list(zip(parts[::2], parts[1::2], strict=False))
    ordered = len(parts) in (2, 4) and all(
        sign in _NUMERIC and isinstance(number, (int, float)) and not isinstance(number, bool) for sign, number in pairs
    )
    if not ordered:
        yield path, 'numeric takes comparisons and numbers: [">", 0, "<=", 5]'


def _json(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)
