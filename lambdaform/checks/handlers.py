"""Handlers: there, of a kind that Lambda can call, in a file it can read."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

from lambdaform.checks.handler_code import Missing, find_handler
from lambdaform.checks.layers import layers_of
from lambdaform.checks.rules import Finding, Rule
from lambdaform.model.problem import Severity
from lambdaform.model.runtimes import DEFAULT, HANDLER_PAGE, RUNTIMES, Language

if TYPE_CHECKING:
    from lambdaform.checks.view import View
    from lambdaform.model.graph import Node


@lru_cache(maxsize=1)
def _found(view: View) -> tuple[tuple[Node, Language, Missing], ...]:
    """As `_look`, once for the rules that share it."""
    return tuple(_look(view))


def _look(view: View) -> Iterable[tuple[Node, Language, Missing]]:
    """What is wrong with each function's handler; functions with one handler in one package are looked at once."""
    seen: dict[tuple[str, str, str, bool], Missing | None] = {}
    for node in view.functions:
        package = view.facts.packages.get(node.address)
        handler, runtime = node.props.get("handler"), node.props.get("runtime", DEFAULT)
        known = RUNTIMES.get(runtime) if isinstance(runtime, str) else None
        if package is None or known is None or not isinstance(handler, str):
            continue
        has_layers = bool(list(layers_of(node)))
        key = (package.hash, handler, runtime, has_layers)
        if key not in seen:
            files = {file.path: file for file in package.files}
            missing = find_handler(
                known.language,
                handler,
                files,
                lambda path, address=node.address: view.facts.read(address, path),
                has_layers=has_layers,
                version=known.version,
            )
            if missing is None and known.language is Language.CUSTOM and "bootstrap" in files:
                missing = None if files["bootstrap"].executable else _not_executable()
            seen[key] = missing
        found = seen[key]
        if found is not None:
            yield node, known.language, found


def _not_executable() -> Missing:
    return Missing("handler-missing", "bootstrap is not executable", hint="chmod +x bootstrap")


def _rule(id: str, summary: str) -> Rule:
    def find(view: View) -> Iterable[Finding]:
        for node, language, missing in _found(view):
            if missing.rule != id:
                continue
            what = missing.what
            if missing.file and node.build is not None and (folder := node.build.code.folder()) is not None:
                what += f" ({folder / missing.file}:{missing.line})"
            yield Finding(
                node,
                what,
                "handler",
                given=missing.given,
                allowed=missing.allowed,
                hint=missing.hint,
                link=HANDLER_PAGE[language],
            )

    return Rule(id, Severity.ERROR, summary, find, HANDLER_PAGE[Language.PYTHON])


RULES = (
    _rule("handler-missing", "A function's handler is in its code."),
    _rule("handler-async", "A Python handler is no coroutine."),
    _rule("handler-syntax", "The file of a Python handler is valid Python."),
)
