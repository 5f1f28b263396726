"""What Python says of a call to lambdaform with names it does not take, in the words of every other problem.

A stack's file stops at such a line before anything could look at it, so there is one of these at a time.
"""

from __future__ import annotations

import difflib
import inspect
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from lambdaform.model.problem import Problem, Severity
from lambdaform.model.source import Source

RULE = "call-misread"
_CALL = re.compile(r"(?P<name>[\w.]+)\(\) (?P<what>.+)", re.DOTALL)
_UNKNOWN = re.compile(r"got an unexpected keyword argument '(\w+)'")
_MISSING = re.compile(r"missing \d+ required (?:positional|keyword-only) arguments?: (.+)")
_TWICE = re.compile(r"got multiple values for argument '(\w+)'")
_TOO_MANY = re.compile(r"takes .+ positional arguments? .*but (\d+) .*(?:was|were) given")
_PACKAGE = str(Path(__file__).parent.parent)
_SHOWN = 12


def problem_of(error: BaseException) -> Problem | None:
    """The problem that a `TypeError` from a call to lambdaform stands for; None for any other error."""
    where = line_of(error.__traceback__) if type(error) is TypeError else None
    match = _CALL.fullmatch(str(error)) if where is not None else None
    if match is None:
        return None
    call = match["name"].removesuffix(".__init__")
    names = _names(match["name"])
    if names is None:
        return None
    said = _said(call, match["what"], names)
    if said is None:
        return None
    what, hint = said
    return Problem(RULE, Severity.ERROR, call, where, what, hint=hint)


def _said(call: str, what: str, names: Sequence[str]) -> tuple[str, str] | None:
    """What is wrong, and what to change."""
    if unknown := _UNKNOWN.match(what):
        near = difflib.get_close_matches(unknown[1], names, 1)
        return f"takes no {unknown[1]}", f"write {near[0]}" if near else f"it takes {_listed(names)}"
    if missing := _MISSING.match(what):
        wanted = missing[1].replace("'", "")
        return f"was not given {wanted}", f"give {wanted}"
    if twice := _TWICE.match(what):
        return f"was given {twice[1]} twice, by its place and by its name", f"leave one {twice[1]} out"
    if _TOO_MANY.match(what):
        return "was given more values without a name than it takes", "name the settings: " + call + "(..., name=value)"
    return None


def line_of(trace: TracebackType | None) -> Source | None:
    """The user's line that failed; None where it failed inside of lambdaform, which is a bug."""
    last = None
    while trace is not None:
        last, trace = trace, trace.tb_next
    if last is None or last.tb_frame.f_code.co_filename.startswith((_PACKAGE, "<attrs generated")):
        return None
    return Source(str(Path(last.tb_frame.f_code.co_filename).absolute()), last.tb_lineno)


def _names(qualified: str) -> list[str] | None:
    """What a callable of lambdaform takes; None when the name is none of lambdaform's."""
    first, *rest = qualified.split(".")
    for name, module in list(sys.modules.items()):
        found = vars(module).get(first) if name.partition(".")[0] == "lambdaform" else None
        if not str(getattr(found, "__module__", "")).startswith("lambdaform."):
            continue
        for part in rest:
            found = getattr(found, part, None)
        if callable(found):
            return [each for each in inspect.signature(found).parameters if each not in ("self", "cls")]
    return None


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
