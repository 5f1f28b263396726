"""A plan as data: what would happen to each resource, field by field, and why."""

from __future__ import annotations

import enum
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import attrs

from lambdaform.engine.resolve import Unknown
from lambdaform.engine.state import StateKey
from lambdaform.model.driver import Record
from lambdaform.model.graph import Node

Json = Any


class Action(enum.Enum):
    """What happens to one resource; the value is the symbol people see, always with its word beside it."""

    CREATE = "+"
    UPDATE = "~"
    REPLACE = "-/+"
    DELETE = "-"
    KEEP = "="

    @property
    def word(self) -> str:
        """The action as a word."""
        return _WORDS[self]


_WORDS = {
    Action.CREATE: "create",
    Action.UPDATE: "update",
    Action.REPLACE: "replace",
    Action.DELETE: "delete",
    Action.KEEP: "keep",
}


@attrs.frozen
class FileChange:
    """One file of a package that differs."""

    path: str
    action: Action


@attrs.frozen
class FieldChange:
    """One prop that differs. `new` may hold `Unknown` values."""

    name: str
    old: Json
    new: Json
    replaces: str | None = None
    """Why this change makes a new resource; None when it can be made in place."""
    sensitive: bool = False
    files: tuple[FileChange, ...] = ()
    """For code: which files."""


@attrs.frozen
class Change:
    """What would happen to one resource."""

    address: str
    kind: str
    action: Action
    fields: tuple[FieldChange, ...] = ()
    node: Node | None = attrs.field(default=None, repr=False)
    """The declaration; None for what is declared no more."""
    record: Record | None = attrs.field(default=None, repr=False)
    """What is deployed; None for what is new."""
    delete_first: bool = False
    """For a replacement: whether the old one goes before the new one comes."""
    group: str = "records"
    """Where in the state the record of a delete stands."""
    reason: str = ""
    """Why, in words, where the fields do not say it."""


@attrs.frozen
class Plan:
    """Everything that would happen, on which base."""

    key: StateKey
    lineage: str | None
    """Of the state it was made on; None when nothing was deployed."""
    serial: int
    changes: tuple[Change, ...]
    unchanged: int
    digest: str | None = None
    """Of the declaration it was made from, code included; only saved plans need it."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing would happen."""
        return not any(change.action is not Action.KEEP for change in self.changes)

    def count(self, action: Action) -> int:
        """How many changes of one kind there are."""
        return sum(change.action is action for change in self.changes)


def digest_of(nodes: Mapping[str, Node], packages: Mapping[str, str]) -> str:
    """A hash of a declaration with its code: two equal ones come to the same plan on the same state."""
    content = [[node.address, node.props, packages.get(node.address)] for node in nodes.values()]
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def shown(value: Json) -> Json:
    """A value as documents show it: unknown parts as text."""
    if isinstance(value, Unknown):
        return {"known after deploy": value.of}
    if isinstance(value, dict):
        return {key: shown(each) for key, each in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, list):
        return [shown(each) for each in value]  # pyright: ignore[reportUnknownVariableType]
    return value


def change_document(change: Change) -> dict[str, Json]:
    """A change as `--json` shows it; keys are only ever added."""
    document: dict[str, Json] = {
        "address": change.address,
        "kind": change.kind,
        "action": change.action.word,
        "fields": [
            {
                "name": field.name,
                "old": "(sensitive)" if field.sensitive else shown(field.old),
                "new": "(sensitive)" if field.sensitive else shown(field.new),
                "replaces": field.replaces,
                **(
                    {"files": [{"path": file.path, "action": file.action.word} for file in field.files]}
                    if field.files
                    else {}
                ),
            }
            for field in change.fields
        ],
        "reason": change.reason or None,
    }
    source = change.node.resource.where if change.node else None
    document["file"] = source.shown_file() if source else None
    document["line"] = source.line if source else None
    return document


def plan_document(plan: Plan) -> dict[str, Json]:
    """A plan as `--json` shows it."""
    return {
        "version": 1,
        "stack": plan.key.stack,
        "stage": plan.key.stage,
        "region": plan.key.region,
        "account": plan.key.account,
        "endpoint": plan.key.endpoint,
        "lineage": plan.lineage,
        "serial": plan.serial,
        "digest": plan.digest,
        "changes": [change_document(change) for change in plan.changes],
        "summary": {action.word: plan.count(action) for action in Action} | {"unchanged": plan.unchanged},
    }
