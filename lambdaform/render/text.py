"""Plans and outcomes as text for terminals. Colour is always beside a word or a symbol, never instead."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

import click

from lambdaform.engine.plan import Action, Change, FieldChange, Plan
from lambdaform.engine.resolve import Unknown
from lambdaform.render.problems import counted

Json = Any

_COLOUR = {
    Action.CREATE: "green",
    Action.UPDATE: "yellow",
    Action.REPLACE: "magenta",
    Action.DELETE: "red",
    Action.KEEP: "cyan",
}
_LONGEST = 96


def value_text(value: Json) -> str:
    """A value on one line, shortened."""
    if isinstance(value, Unknown):
        return "(known after deploy)"
    if value is None:
        return "(not set)"
    if isinstance(value, str):
        text = json.dumps(value, ensure_ascii=False)
    else:
        text = json.dumps(_plain(value), ensure_ascii=False)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _plain(value: Json) -> Json:
    if isinstance(value, Unknown):
        return "(known after deploy)"
    if isinstance(value, dict):
        mapping = cast(dict[str, Json], value)
        if len(mapping) == 1 and next(iter(mapping)) in ("@secret", "@parameter"):
            kind, name = next(iter(mapping.items()))
            return f"({kind[1:]} {name[0] if isinstance(name, list) else name})"
        return {key: _plain(each) for key, each in mapping.items()}
    if isinstance(value, list):
        return [_plain(each) for each in cast(list[Json], value)]
    return value


def _rights(statements: Json) -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    for statement in cast(list[dict[str, Json]], statements or []):
        for action in cast(list[str], statement.get("Action", [])):
            for resource in cast(list[Json], statement.get("Resource", [])):
                of = resource.of if isinstance(resource, Unknown) else str(_plain(resource))
                found.add((action, of))
    return found


def rights_lines(old: Json, new: Json) -> list[str]:
    """Changes of an IAM policy in words."""
    before, after = _rights(old), _rights(new)
    lines: list[str] = []
    for words, colour, pairs in (("may now", "green", after - before), ("may no longer", "red", before - after)):
        by_resource: dict[str, list[str]] = {}
        for action, resource in sorted(pairs):
            by_resource.setdefault(resource, []).append(action)
        lines.extend(
            click.style(f"{words} {', '.join(actions)} on {resource.removeprefix('arn of ')}", fg=colour)
            for resource, actions in by_resource.items()
        )
    return lines


def _field_lines(change: Change, field: FieldChange) -> list[str]:
    if change.kind == "iam.role_policy" and field.name == "statements":
        return [f"      {line}" for line in rights_lines(field.old, field.new)]
    if field.sensitive:
        return [f"      {field.name}: (sensitive value changes)"]
    if field.files or field.name == "code":
        lines = [f"      code: {field.old or '(none)'} -> {field.new}"]
        shown = field.files[:12]
        lines += [
            "        " + click.style(f"{file.action.value} {file.path} ({file.action.word})", fg=_COLOUR[file.action])
            for file in shown
        ]
        if len(field.files) > len(shown):
            lines.append(f"        and {counted(len(field.files) - len(shown), 'more file')}")
        return lines
    if change.action is Action.CREATE:
        return [f"      {field.name}: {value_text(field.new)}"]
    old, new = field.old, field.new
    if _is_map(old) and _is_map(new):
        return [
            f"      {field.name}.{key}: {value_text(old.get(key))} -> {value_text(new.get(key))}"
            for key in dict.fromkeys([*old, *new])
            if old.get(key) != new.get(key)
        ]
    line = f"      {field.name}: {value_text(old)} -> {value_text(new)}"
    if field.replaces:
        line += click.style(f"   replaces it: {field.replaces}", fg=_COLOUR[Action.REPLACE])
    return [line]


def _is_map(value: Json) -> bool:
    """Whether a value is a mapping of settings, not a reference that stands for one value."""
    return isinstance(value, dict) and not ({"@secret", "@parameter"} & value.keys())


def change_text(change: Change, *, fields: bool = True) -> str:
    """One change: symbol, word, address, and its fields."""
    head = click.style(f"{change.action.value:>3} {change.action.word}", fg=_COLOUR[change.action], bold=True)
    line = f"{head} {change.address}"
    if change.reason:
        line += click.style(f"  ({change.reason})", dim=True)
    lines = [line]
    if fields and change.action is not Action.DELETE:
        for field in change.fields:
            lines.extend(_field_lines(change, field))
    return "\n".join(lines)


def plan_head(plan: Plan, *, verified: bool, profile: str | None = None) -> str:
    """Which stack, where, and how sure the account is."""
    key = plan.key
    if key.account is None:
        account = "account not known yet"
    else:
        account = f"account {key.account}" + ("" if verified else " (as recorded)")
    where = f"{key.stack}, stage {key.stage}, {key.region}, {account}"
    if profile:
        where += f", profile {profile}"
    if key.endpoint and key.endpoint.startswith("local-"):
        where += ", on the " + click.style("local AWS", fg="cyan", bold=True)
    elif key.endpoint:
        where += "\n" + click.style(f"Not AWS: {key.endpoint}", fg="cyan", bold=True)
    return where


def plan_text(plan: Plan, *, verified: bool = False, verbose: bool = False, profile: str | None = None) -> str:
    """A whole plan."""
    lines = [plan_head(plan, verified=verified, profile=profile), ""]
    for change in plan.changes:
        lines.append(change_text(change, fields=verbose or change.action is not Action.CREATE or _tells(change)))
    if plan.changes:
        lines.append("")
    lines.append(summary_text(plan))
    return "\n".join(lines)


def _tells(change: Change) -> bool:
    """Whether a new resource's fields are worth showing unasked: what it may do is."""
    return change.kind == "iam.role_policy"


def summary_text(plan: Plan) -> str:
    """How many of each."""
    if plan.is_empty and not plan.changes:
        return f"Nothing to do: {counted(plan.unchanged, 'resource')} as declared."
    counts = [f"{number} to {action.word}" for action in Action if (number := plan.count(action))]
    return f"{', '.join(counts)}, {plan.unchanged} unchanged."


def outputs_text(outputs: Mapping[str, Json]) -> str:
    """A stack's outputs, aligned."""
    width = max((len(name) for name in outputs), default=0)
    return "\n".join(f"  {name:<{width}}  {value}" for name, value in outputs.items())
