"""What a target gets of an event: `Input`, `InputPath`, `InputTransformer`. Pure functions.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, cast

import attrs

from lambdaform.local.events.values import Event

_STEP = re.compile(r"\.([A-Za-z0-9_-]+)|\[(\d+)\]|\['([^']+)'\]|\[\"([^\"]+)\"\]|\.\*|\[\*\]")
_VARIABLE = re.compile(r"<([A-Za-z0-9_.-]+)>")


class PathError(ValueError):
    """A text that is no path into an event."""


@attrs.frozen
class RuleContext:
    """What the reserved variables of a template say beside the event."""

    rule_arn: str
    rule_name: str
    ingested: str


_MISSING: object = object()


def compact(value: Any) -> str:
    """JSON as EventBridge writes it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def steps_of(path: str) -> list[str | int]:
    """The steps of a path such as `$.detail.items[0]`; raises `PathError`."""
    if not path.startswith("$"):
        raise PathError(path)
    steps, place = list[str | int](), 1
    while place < len(path):
        match = _STEP.match(path, place)
        if match is None or not any(match.groups()):
            raise PathError(path)
        name, number, quoted, other = match.groups()
        steps.append(int(number) if number is not None else name or quoted or other)
        place = match.end()
    return steps


def look_up(path: str, event: Event) -> Any:
    """What an event has at a path; `None` when it has nothing there."""
    found = _find(path, event)
    return None if found is _MISSING else found


def _find(path: str, event: Event) -> Any:
    value: Any = event
    for step in steps_of(path):
        if isinstance(step, int):
            items = cast(list[Any], value) if isinstance(value, list) else []
            if step >= len(items):
                return _MISSING
            value = items[step]
        else:
            members = cast(Mapping[str, Any], value if isinstance(value, Mapping) else {})
            if step not in members:
                return _MISSING
            value = members[step]
    return value


def input_of(target: Mapping[str, Any], event: Event, context: RuleContext) -> str:
    """The text a target gets."""
    if (constant := target.get("Input")) is not None:
        return str(constant)
    if (path := target.get("InputPath")) is not None:
        return compact(look_up(str(path), event))
    if (transformer := target.get("InputTransformer")) is not None:
        return _fill(cast(Mapping[str, Any], transformer), event, context)
    return compact(event)


def _fill(transformer: Mapping[str, Any], event: Event, context: RuleContext) -> str:
    """A template with its variables replaced: as JSON where they stand alone, as text inside of quotes."""
    paths = cast(Mapping[str, str], transformer.get("InputPathsMap") or {})
    values: dict[str, Any] = {
        "aws.events.rule-arn": context.rule_arn,
        "aws.events.rule-name": context.rule_name,
        "aws.events.event.ingestion-time": context.ingested,
        "aws.events.event": {key: value for key, value in event.items() if key != "detail"},
        "aws.events.event.json": event,
        **{name: _find(path, event) for name, path in paths.items()},
    }
    template = str(transformer["InputTemplate"])
    parts, place = list[str](), 0
    for match in _VARIABLE.finditer(template):
        if match[1] not in values:
            continue
        before = template[place : match.start()]
        parts.append(before)
        parts.append(_shown(values[match[1]], is_quoted=_is_quoted(template[: match.start()])))
        place = match.end()
    return "".join((*parts, template[place:]))


def _shown(value: Any, *, is_quoted: bool) -> str:
    if value is _MISSING:
        # AWS: the variable does not appear in the output; outside of quotes that would be no JSON.
        return "" if is_quoted else "null"
    if not is_quoted:
        return compact(value)
    text = value if isinstance(value, str) else compact(value)
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _is_quoted(before: str) -> bool:
    """Whether a place in a template lies inside of a quoted text."""
    return len(re.findall(r'(?<!\\)"', before)) % 2 == 1


def check_target(target: Mapping[str, Any]) -> str | None:
    """What is wrong with a target's input settings, in AWS's words; None when nothing is."""
    given = [name for name in ("Input", "InputPath", "InputTransformer") if target.get(name) is not None]
    name = target["Id"]
    if len(given) > 1:
        return f"Only one of Input, InputPath, or InputTransformer must be provided for target {name}."
    if (path := target.get("InputPath")) is not None and not _is_path(str(path)):
        return f"Invalid InputPath for target {name}."
    if (constant := target.get("Input")) is not None and not _is_json(str(constant)):
        return f"JSON syntax error in input for target {name}"
    transformer = cast(Mapping[str, Any] | None, target.get("InputTransformer"))
    if transformer is None:
        return None
    paths = cast(Mapping[str, str], transformer.get("InputPathsMap") or {})
    if not all(_is_path(path) for path in paths.values()):
        return f"Invalid InputTransformer for target {name} : [Invalid jsonpath]"
    used = _VARIABLE.findall(str(transformer.get("InputTemplate") or ""))
    unknown = [variable for variable in used if variable not in paths and not variable.startswith("aws.events.")]
    if unknown:
        return f"InputTemplate for target {name} contains invalid placeholder {unknown[0]}."
    return None


def _is_path(path: str) -> bool:
    try:
        steps_of(path)
    except PathError:
        return False
    return True


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
