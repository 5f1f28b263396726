"""Every rule there is, found by name: adding a module with `RULES` adds its rules.

Also the ids of what is reported by others, so that `suppress` and the docs know every id a problem can have.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import attrs

from lambdaform.checks.rules import Rule

BUILDING: Mapping[str, str] = {
    "cycle": "Resources do not need each other in a circle.",
    "existing-arn": "An existing resource is named by its ARN.",
    "name-collides": "No two resources have one name.",
    "name-needed": "Triggers of one function that are alike are told apart by name.",
    "name-form": "Resources added in `build` have names that AWS's names can be made of.",
    "name-reserved": "No resource is called like something of Stack's own.",
    "build-fails": "`build` runs to its end.",
    "call-misread": "Calls name settings that there are, and give those that are needed.",
    "one-object-two-names": "A resource has one name in a stack.",
    "override-changes-kind": "A subclass overrides a resource with one of its kind.",
    "protocol-unknown": "A subscription's protocol is given, or can be told from its endpoint.",
    "provisioned-needs-alias": "Provisioned concurrency is for a version or alias.",
    "refers-to-itself": "No resource needs one of its own outputs.",
    "resource-not-made": "Attributes of a stack are resources, not classes, lists or dicts of them.",
    "resource-without-name": "Every resource that is used has a name in a stack.",
    "stack-setting": "A stack's name, stage, region, account and tags have their form.",
    "stream-off": "A table whose changes are read keeps a stream of them.",
    "suppress-unknown": "`suppress` names rules that exist.",
    "suppress-without-reason": "`suppress` says why.",
    "value-unreadable": "Times and sizes are written in a form that can be read.",
    "wrong-kind": "Every setting has a value of the kind it takes.",
    "variable-twice": "A variable is in `uses` or in `environment`, not in both.",
}
"""Id to summary of the errors found while a declaration is read, before any rule runs; none can be suppressed."""


@attrs.frozen(eq=False, repr=False)
class Entry:
    """A rule as the docs list it."""

    id: str
    severity: str
    summary: str
    link: str | None
    suppressible: bool


@lru_cache(maxsize=1)
def all_rules() -> tuple[Rule, ...]:
    """Every rule: the `RULES` of each module of this package, in the order of the modules' names."""
    found: list[Rule] = []
    for name in sorted(path.stem for path in Path(__file__).parent.glob("[!_]*.py")):
        found.extend(getattr(importlib.import_module(f"lambdaform.checks.{name}"), "RULES", ()))
    return tuple(found)


@lru_cache(maxsize=1)
def known_ids() -> tuple[str, ...]:
    """Every id a problem of a declaration can have."""
    return tuple(sorted({*BUILDING, *(rule.id for rule in all_rules())}))


def listing() -> tuple[Entry, ...]:
    """All rules by id, for the reference page."""
    entries = [Entry(r.id, r.severity.value, r.summary, r.link, r.suppressible) for r in all_rules()]
    entries.extend(Entry(id, "error", summary, None, False) for id, summary in BUILDING.items())
    return tuple(sorted(entries, key=lambda entry: entry.id))
