"""Event patterns: what EventBridge, Lambda's filter criteria and SNS's filter policies match. Pure functions.

`check` says what is wrong with a pattern, `matches` compares one that passed with an event. What a service answers to
a wrong pattern is its own affair: they word it differently.
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, cast

Dialect = Literal["events", "lambda", "sns"]
Json = Any
Pattern = Mapping[str, Json]

_ALL = frozenset(
    ("prefix", "suffix", "equals-ignore-case", "anything-but", "numeric", "exists", "cidr", "wildcard"),
)
_OPERATORS: Mapping[Dialect, frozenset[str]] = {
    "events": _ALL,
    # https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html#filtering-syntax
    "lambda": _ALL - {"cidr", "wildcard"},
    # https://docs.aws.amazon.com/sns/latest/dg/string-value-matching.html
    "sns": _ALL,
}
_ANYTHING_BUT: Mapping[Dialect, frozenset[str]] = {
    "events": frozenset(("prefix", "suffix", "equals-ignore-case", "wildcard")),
    "lambda": frozenset(),
    "sns": frozenset(("prefix", "suffix", "wildcard")),
}
_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "=": lambda value, bound: value == bound,
    "<": lambda value, bound: value < bound,
    "<=": lambda value, bound: value <= bound,
    ">": lambda value, bound: value > bound,
    ">=": lambda value, bound: value >= bound,
}


class PatternError(ValueError):
    """A pattern no event can be compared with; says why in AWS's words where they are known."""


def parse(text: str, dialect: Dialect) -> Pattern:
    """The pattern a text holds; raises `PatternError`."""
    try:
        pattern = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PatternError("Filter is not valid JSON") from error
    check(pattern, dialect)
    return cast(Pattern, pattern)


_EMPTY = object()
"""What stands for a list with nothing in it."""


def check(pattern: Json, dialect: Dialect) -> None:
    """Raise `PatternError` when `pattern` is not one of this dialect."""
    if not isinstance(pattern, dict):
        raise PatternError("Filter is not an object")
    if not pattern:
        raise PatternError("Empty objects are not allowed")
    for key, value in cast(dict[str, Json], pattern).items():
        if key == "$or" and isinstance(value, list) and _is_or(cast(list[Json], value)):
            for branch in cast(list[Json], value):
                check(branch, dialect)
        elif isinstance(value, dict):
            check(value, dialect)
        elif isinstance(value, list):
            if not value:
                raise PatternError("Empty arrays are not allowed")
            for test in cast(list[Json], value):
                _check_test(test, dialect)
        else:
            raise PatternError(f'"{key}" must be an object or an array')


def matches(pattern: Pattern, event: Json) -> bool:
    """Whether an event has what the pattern asks for: every key, and of each key's list one test."""
    if isinstance(event, list):
        # Of a list of objects one has to match as a whole.
        return any(matches(pattern, {} if element is _EMPTY else element) for element in _elements(event))
    members = cast(Mapping[str, Json], event if isinstance(event, Mapping) else {})
    return all(_matches_key(key, value, members) for key, value in pattern.items())


def _is_or(branches: list[Json]) -> bool:
    """Whether a `$or` holds alternatives and is not simply a field of that name."""
    return len(branches) >= 2 and all(
        isinstance(branch, dict) and not set(cast(dict[str, Json], branch)) <= _ALL for branch in branches
    )


def _matches_key(key: str, wanted: Json, members: Mapping[str, Json]) -> bool:
    if isinstance(wanted, Mapping):
        return matches(cast(Pattern, wanted), members.get(key, {}))
    tests = cast(list[Json], wanted)
    if key == "$or" and _is_or(tests):
        return any(matches(branch, members) for branch in tests)
    values = list(_leaves(members[key])) if key in members else []
    return any(_passes(test, values) for test in tests)


def _leaves(value: Json) -> Iterable[Json]:
    """The plain values of a field; an object has none: patterns only look at leaves."""
    return [each for each in _elements(value) if each is not _EMPTY and not isinstance(each, Mapping)]


def _elements(value: Json) -> Iterable[Json]:
    """What is in a list, and in the lists in it, which may be nested as deeply as somebody likes; else the value."""
    left: list[Json] = [value]
    while left:
        each = left.pop()
        if not isinstance(each, list):
            yield each
        elif each:
            left.extend(reversed(cast(list[Json], each)))
        else:
            yield _EMPTY


def _passes(test: Json, values: list[Json]) -> bool:
    if isinstance(test, Mapping):
        [(operator, argument)] = cast(Mapping[str, Json], test).items()
        if operator == "exists":
            return bool(values) == argument
        return any(_OPERATIONS[operator](value, argument) for value in values)
    return any(_equal(value, test) for value in values)


def _equal(value: Json, wanted: Json) -> bool:
    """Equality of JSON: a number is not a truth value, and 300.0 is 300."""
    if isinstance(value, bool) or isinstance(wanted, bool) or value is None or wanted is None:
        return value is wanted
    if isinstance(value, int | float) and isinstance(wanted, int | float):
        return value == wanted
    return type(value) is type(wanted) and value == wanted


def _prefix(value: Json, argument: Json) -> bool:
    if isinstance(argument, Mapping):
        text = cast(str, argument["equals-ignore-case"])
        return isinstance(value, str) and value.lower().startswith(text.lower())
    return isinstance(value, str) and value.startswith(argument)


def _suffix(value: Json, argument: Json) -> bool:
    if isinstance(argument, Mapping):
        text = cast(str, argument["equals-ignore-case"])
        return isinstance(value, str) and value.lower().endswith(text.lower())
    return isinstance(value, str) and value.endswith(argument)


def _equals_ignore_case(value: Json, argument: Json) -> bool:
    return isinstance(value, str) and value.lower() == argument.lower()


def _anything_but(value: Json, argument: Json) -> bool:
    if isinstance(argument, Mapping):
        [(operator, inner)] = cast(Mapping[str, Json], argument).items()
        refused = cast(list[Json], inner) if isinstance(inner, list) else [inner]
        return not any(_OPERATIONS[operator](value, each) for each in refused)
    refused = cast(list[Json], argument) if isinstance(argument, list) else [argument]
    return not any(_equal(value, each) for each in refused)


def _numeric(value: Json, argument: Json) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return all(_COMPARISONS[sign](value, bound) for sign, bound in zip(argument[::2], argument[1::2], strict=True))


def _cidr(value: Json, argument: Json) -> bool:
    try:
        return isinstance(value, str) and ipaddress.ip_address(value) in ipaddress.ip_network(argument, strict=False)
    except ValueError:
        return False


def _wildcard(value: Json, argument: Json) -> bool:
    """`*` is any text; `\\*` and `\\\\` are the characters themselves."""
    if not isinstance(value, str):
        return False
    parts = (
        ".*" if part == "*" else re.escape(part[1:] if part.startswith("\\") else part)
        for part in re.findall(r"\\[*\\]|.", argument, re.DOTALL)
    )
    return re.fullmatch("".join(parts), value, re.DOTALL) is not None


_OPERATIONS: Mapping[str, Callable[[Json, Json], bool]] = {
    "prefix": _prefix,
    "suffix": _suffix,
    "equals-ignore-case": _equals_ignore_case,
    "anything-but": _anything_but,
    "numeric": _numeric,
    "cidr": _cidr,
    "wildcard": _wildcard,
}


def _check_test(test: Json, dialect: Dialect) -> None:
    if isinstance(test, list):
        raise PatternError("Match value must be String, number, true, false, or null")
    if not isinstance(test, dict):
        return
    members = cast(dict[str, Json], test)
    if len(members) != 1:
        raise PatternError("Only one key allowed in match expression")
    [(operator, argument)] = members.items()
    if operator not in _OPERATORS[dialect]:
        raise PatternError(f"Unrecognized match type {operator}")
    match operator:
        case "prefix" | "suffix":
            is_folded = (
                isinstance(argument, dict)
                and list(cast(dict[str, Json], argument)) == ["equals-ignore-case"]
                and isinstance(argument["equals-ignore-case"], str)
                and dialect != "lambda"
            )
            if not isinstance(argument, str) and not is_folded:
                raise PatternError(f"{operator} match pattern must be a string")
        case "equals-ignore-case":
            if not isinstance(argument, str):
                raise PatternError("equals-ignore-case match pattern must be a string")
        case "wildcard":
            _check_wildcard(argument)
        case "exists":
            if not isinstance(argument, bool):
                raise PatternError("exists match pattern must be either true or false.")
        case "numeric":
            _check_numeric(argument)
        case "cidr":
            try:
                ipaddress.ip_network(argument, strict=False)
            except ValueError as error:
                raise PatternError(f"Malformed CIDR, one '/' required: {argument}") from error
        case _:
            _check_anything_but(argument, dialect)


def _check_wildcard(argument: Json) -> None:
    if not isinstance(argument, str):
        raise PatternError("wildcard match pattern must be a string")
    if "**" in argument.replace("\\*", ""):
        raise PatternError("Consecutive wildcard characters at pos 0")


def _check_numeric(argument: Json) -> None:
    if not isinstance(argument, list) or not argument or len(cast(list[Json], argument)) % 2:
        raise PatternError("Value of numeric must be an array of comparisons and numbers")
    parts = cast(list[Json], argument)
    for sign, bound in zip(parts[::2], parts[1::2], strict=True):
        if sign not in _COMPARISONS:
            raise PatternError(f"Unrecognized numeric range operator: {sign}")
        if isinstance(bound, bool) or not isinstance(bound, int | float):
            raise PatternError("Value of numeric range must be a number")


def _check_anything_but(argument: Json, dialect: Dialect) -> None:
    if isinstance(argument, dict):
        members = cast(dict[str, Json], argument)
        if len(members) != 1:
            raise PatternError("Only one key allowed in match expression")
        [(operator, inner)] = members.items()
        if operator not in _ANYTHING_BUT[dialect]:
            raise PatternError(f"Unsupported anything-but pattern: {operator}")
        texts = cast(list[Json], inner) if isinstance(inner, list) else [inner]
        if not texts or not all(isinstance(text, str) for text in texts):
            raise PatternError(f"{operator} match pattern must be a string")
        return
    values = cast(list[Json], argument) if isinstance(argument, list) else [argument]
    if not values or any(isinstance(value, dict | list) for value in values):
        raise PatternError("Inside anything but list, start|null|boolean is not supported.")
