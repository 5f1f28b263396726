"""Problems as text for terminals. Colour is always beside a word, never instead."""

from __future__ import annotations

from collections.abc import Iterable

import click

from lambdaform.model.problem import Problem, Severity

_SEVERITY = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}


def counted(number: int, noun: str) -> str:
    """`1 change`, `2 changes`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def problem_text(problem: Problem) -> str:
    """One problem: where, what with the value given and what is allowed, what to change."""
    severity = click.style(problem.severity.value, fg=_SEVERITY[problem.severity], bold=True)
    place = f"{problem.where}  " if problem.where is not None else ""
    head = f"{place}{click.style(problem.address, bold=True)}"
    what = problem.what
    if problem.allowed:
        what += f": must be {problem.allowed}"
    if problem.given is not None:
        what += f", got {problem.given}"
    lines = [head, f"    {severity} [{problem.rule}] {what}"]
    if problem.hint:
        lines.append(f"    {problem.hint}")
    if problem.link:
        lines.append("    " + click.style(problem.link, dim=True))
    return "\n".join(lines)


def problems_text(problems: Iterable[Problem]) -> str:
    """All problems, and how many of each severity."""
    found = list(problems)
    blocks = [problem_text(problem) for problem in found]
    counts = [
        counted(number, severity.value)
        for severity in Severity
        if (number := sum(problem.severity is severity for problem in found))
    ]
    return "\n\n".join([*blocks, ", ".join(counts)])
