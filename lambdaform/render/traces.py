"""The way of events as trees of text: what came from outside at the left, what it caused below it."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

Json = Any
Step = Mapping[str, Json]
"""A step as `/_lambdaform/trace` answers it."""


def trace_text(steps: Sequence[Step], *, last: int | None = None, about: str | None = None) -> str:
    """All trees, or the `last` ones, or those with a step whose subject or number is `about`."""
    known = {step["number"] for step in steps}
    below: dict[int, list[Step]] = {}
    roots: list[Step] = []
    for step in steps:
        first = next((cause for cause in step["causes"] if cause in known), None)
        if first is None:
            roots.append(step)
        else:
            below.setdefault(first, []).append(step)
    if about is not None:
        roots = [root for root in roots if any(_is_about(step, about) for step in _whole(root, below))]
    shown = roots if last is None else roots[-last:]
    lines = [line for root in shown for line in _tree(root, below)]
    if len(shown) < len(roots):
        lines.insert(0, f"({len(roots) - len(shown)} earlier ones are not shown)")
    return "\n".join(lines)


def step_text(step: Step) -> str:
    """One step on one line."""
    details: Mapping[str, Json] = step["details"]
    parts = [f"#{step['number']}", _time(step["at"]), step["what"], short(step["subject"])]
    for name, value in details.items():
        match name:
            case "attempt":
                parts.append(f"attempt {value}" if value > 1 else "")
            case "error":
                ending = f"{details['failed']} failed" if "failed" in details else "ok"
                parts.append(ending if value is None else f"failed: {value}")
            case "request_id" | "id" | "function" | "failed":
                pass
            case "reason":
                parts.append(f"refused: {value}")
            case _:
                parts.append(f"{name} {value}")
    if len(step["causes"]) > 1:
        parts.append(f"(with {', '.join(f'#{cause}' for cause in step['causes'][1:])})")
    return "  ".join(part for part in parts if part)


def short(subject: str) -> str:
    """An ARN as people speak of it: its last part; a request line as it is."""
    if not subject.startswith("arn:"):
        return subject
    if subject.startswith("arn:aws:s3:::"):
        return subject.removeprefix("arn:aws:s3:::")
    parts = subject.split(":")
    if parts[2] == "lambda":
        return ":".join(parts[6:]).removesuffix(":$LATEST")
    return parts[-1].partition("/stream/")[0].removeprefix("table/").removeprefix("schedule/").removeprefix("rule/")


def _is_about(step: Step, about: str) -> bool:
    subject = short(step["subject"])
    return about in (str(step["number"]), f"#{step['number']}", subject) or subject.endswith(f"-{about}")


def _whole(step: Step, below: Mapping[int, Sequence[Step]]) -> Iterator[Step]:
    waiting = [step]
    while waiting:
        each = waiting.pop()
        yield each
        waiting.extend(below.get(each["number"], ()))


def _tree(root: Step, below: Mapping[int, Sequence[Step]]) -> Iterable[str]:
    # A loop, not a recursion: a chain of events may be as long as it likes.
    waiting: list[tuple[Step, str, str]] = [(root, "", "")]
    while waiting:
        step, lead, beneath = waiting.pop()
        yield lead + step_text(step)
        children = below.get(step["number"], ())
        for position, child in reversed(list(enumerate(children))):
            is_last = position == len(children) - 1
            branch, rest = ("└─ ", "   ") if is_last else ("├─ ", "│  ")
            waiting.append((child, beneath + branch, beneath + rest))


def _time(at: float) -> str:
    moment = datetime.datetime.fromtimestamp(at, datetime.UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S.") + f"{moment.microsecond // 1000:03d}"
