"""Encoded props in words, for pages that everybody may read: references and secrets by their names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from lambdaform.model.graph import REFERENCES, Graph, Node
from lambdaform.model.marks import Range, fields_of, grouped
from lambdaform.render.tiles import duration, outside

Json = Any

HIDDEN = frozenset({"input", "environment"})
"""Settings whose content is the user's own business; pages say only that they are set."""


def settings_of(node: Node, graph: Graph, *, without: frozenset[str] = frozenset()) -> dict[str, str]:
    """What is set to other than its default, in words, with the units of the marks."""
    fields = fields_of(type(node.resource))
    found: dict[str, str] = {}
    for name, value in node.props.items():
        field = fields.get(name)
        if name in without:
            continue
        if field is not None and field.sensitive:
            found[name] = "(set)"
            continue
        unit = next((limit.unit for limit in field.limits if isinstance(limit, Range)), "") if field else ""
        found[name] = _measured(value, unit) if isinstance(value, int) and unit else words_of(value, graph, key=name)
    return found


def words_of(value: Json, graph: Graph, *, key: str = "", naming_output: bool = False) -> str:
    """One encoded value; `naming_output` says which output of a resource it is even where it is the usual one."""
    if key in HIDDEN:
        return "(set)"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return grouped(value)
    if isinstance(value, str):
        tile = None if value.startswith("arn:") else outside(value)  # an address may hold a token or a person's name
        return f"{tile.word} {tile.name}" if tile is not None else value
    if isinstance(value, list):
        return ", ".join(words_of(each, graph, naming_output=naming_output) for each in cast(list[Json], value))
    if not isinstance(value, dict):
        return str(value)
    mapping = cast(dict[str, Json], value)
    if len(mapping) == 1 and next(iter(mapping)) in REFERENCES:
        return _reference(*next(iter(mapping.items())), graph, naming_output)
    return ", ".join(
        f"{name}: {words_of(each, graph, key=name)}" for name, each in mapping.items() if each not in (None, [], {})
    )


def _measured(value: int, unit: str) -> str:
    if isinstance(value, bool) or value < 0:
        return str(value)
    return duration(value) if unit == "s" else f"{grouped(value)} {unit}"


def _reference(key: str, content: Json, graph: Graph, naming_output: bool) -> str:
    match key:
        case "@ref":
            node = graph.nodes.get(content[0])
            name = f"{node.resource.title} {node.name}" if node is not None else str(content[0])
            return _of(content[1], name, naming_output)
        case "@stack":
            name = str(content[1]).split(".", 2)[-1]
            return _of(content[2], f"{name} of the stack {content[0]}", naming_output)
        case "@existing":
            arn = words_of(content[1], graph)
            return _of(content[2], arn, naming_output)
        case "@text":
            parts = [words_of(part, graph, naming_output=naming_output) for part in content[1]]
            between = str(content[0]).split("{}")
            return "".join(text + part for text, part in zip(between, [*parts, ""], strict=True))
        case "@secret":
            return f"secret {content[0]}" + (f", its {content[1]}" if content[1] else "")
        case "@parameter":
            return f"parameter {content}"
        case _:
            return f"the {content} deployed to"


def _of(output: str, what: str, naming_output: bool) -> str:
    return f"{output.replace('_', ' ')} of {what}" if naming_output or output != "arn" else what


def rights_of(function: Node, graph: Graph, verbs: Mapping[frozenset[str], str]) -> list[str]:
    """What a function's role may do, in words with the exact actions.

    `verbs` tells what sets of actions are for. A statement that holds several of them does all of that.
    """
    role = cast(Mapping[str, Json], function.props.get("role") or {})
    if not isinstance(role, dict) or "@ref" not in role:
        return [f"whatever its role may: {words_of(role, graph)}"] if role else []
    found: list[str] = []
    for policy in graph.of_kind("iam.role_policy"):
        of = policy.props.get("role")
        if not isinstance(of, dict) or cast(Any, of).get("@ref", [None])[0] != cast(Any, role)["@ref"][0]:
            continue
        for statement in cast(list[dict[str, Json]], policy.props.get("statements", [])):
            actions = [str(action) for action in statement.get("Action", [])]
            targets = list(dict.fromkeys(_target(each, graph) for each in statement.get("Resource", [])))
            held = [known for known in verbs if known <= set(actions)]
            largest = [verbs[known] for known in held if not any(known < other for other in held)]
            verb = " and ".join(dict.fromkeys(largest))
            condition = " under a condition" if "Condition" in statement else ""
            what = f"{verb}: " if verb else ""
            found.append(f"{what}{', '.join(targets)}{condition} ({', '.join(actions)})")
    return found


def _target(resource: Json, graph: Graph) -> str:
    """A resource of a statement: what is inside a thing (`{}/*`) counts as the thing."""
    if isinstance(resource, dict) and "@text" in resource:
        template, parts = cast(dict[str, Json], resource)["@text"]
        if template.startswith("{}") and len(parts) == 1:
            return words_of(parts[0], graph)
        if template.startswith("arn:"):
            return words_of(resource, graph).rsplit(":", 1)[-1]
    text = words_of(resource, graph)
    return "everything" if text == "*" else text
