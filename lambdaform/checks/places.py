"""The line of the user's file that a problem is about: the keyword's own where it can be found.

Files are read only when there is a problem to show, and once for each state of a file, however many problems it has.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from lambdaform.model.source import Source

if TYPE_CHECKING:
    from lambdaform.checks.view import View
    from lambdaform.model.graph import Node


def place_of(view: View, node: Node, prop: str) -> Source:
    """The line of a prop; of the trigger or the resource it is written in when it has no keyword there."""
    where = node.resource.where
    if not prop:
        return where
    names = [part.partition("[")[0] for part in prop.split(".")]
    trigger = view.trigger_of(node)
    for source in (where, trigger.where) if trigger is not None else (where,):
        line = _keyword(source, names)
        if line is not None:
            return Source(source.file, line)
    return trigger.where if trigger is not None else where


def _keyword(source: Source, names: list[str]) -> int | None:
    """The line of a keyword, such as `cors.max_age`, in the calls that begin on a line, or inside them."""
    calls = _calls(source.file, _modified(source.file)).get(source.line, ())
    found: int | None = None
    for name in names:
        value = next((keyword.value for call in calls for keyword in call.keywords if keyword.arg == name), None)
        if value is None:
            break
        found = value.lineno
        calls = [inner for inner in ast.walk(value) if isinstance(inner, ast.Call)]
    return found


def _modified(file: str) -> int:
    try:
        return Path(file).stat().st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=64)
def _calls(file: str, modified: int) -> Mapping[int, list[ast.Call]]:
    """Line to the calls that begin there; `modified` makes a changed file a new question."""
    try:
        module = ast.parse(Path(file).read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return {}
    found: dict[int, list[ast.Call]] = {}
    for node in ast.walk(module):
        if isinstance(node, ast.Call):
            found.setdefault(node.lineno, []).append(node)
    return found
