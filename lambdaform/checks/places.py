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
    if trigger is None and node.parent is not None:
        line = _keyword(where, names, inside=True)
        return Source(where.file, line) if line is not None else where
    return trigger.where if trigger is not None else where


def _keyword(source: Source, names: list[str], *, inside: bool = False) -> int | None:
    """The line of a keyword, such as `cors.max_age`, of the calls that begin on a line.

    With `inside`, of any call within them as well, when the keyword is there only once.
    """
    calls = _calls(source.file, _modified(source.file)).get(source.line, [])
    if inside:
        calls = [inner for call in calls for inner in _within(call)]
    found: int | None = None
    for name in names:
        values = {keyword.value for call in calls for keyword in call.keywords if keyword.arg == name}
        if not values or (inside and found is None and len(values) > 1):
            break
        value = min(values, key=lambda each: each.lineno)
        found = value.lineno
        calls = _within(value)
    return found


def _within(tree: ast.AST) -> list[ast.Call]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


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
