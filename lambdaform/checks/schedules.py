"""Schedules: cron, rate and at expressions that AWS can read, in a time zone that exists.

https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
"""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from lambdaform.checks.rules import Finding, rule
from lambdaform.model.problem import Severity

if TYPE_CHECKING:
    from lambdaform.checks.view import View
    from lambdaform.model.graph import Node

TYPES = "https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html"
RULES_PAGE = "https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html"
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_FIELDS: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("minutes", 0, 59, ()),
    ("hours", 0, 23, ()),
    ("day of month", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("day of week", 1, 7, _DAYS),
    ("year", 1970, 2199, ()),
)
_RATE = r"(\d+) (minute|minutes|hour|hours|day|days)"


def _expressions(view: View) -> Iterator[tuple[Node, str, str]]:
    for node in view.of("scheduler.schedule"):
        if isinstance(expression := node.props.get("expression"), str):
            yield node, "expression", expression
    for node in view.of("events.rule"):
        if isinstance(expression := node.props.get("schedule"), str):
            yield node, "schedule", expression


@lru_cache(maxsize=256)
def mistake_in(expression: str, *, rule: bool = False) -> str | None:
    """What is wrong with an expression; None when nothing is, or when it has none of the three forms at all."""
    form, _, rest = expression.partition("(")
    if not rest.endswith(")"):
        return None  # the limits speak of this
    inner = rest[:-1]
    match form:
        case "cron":
            return _cron(inner)
        case "rate":
            return _rate(inner, rule=rule)
        case "at":
            return _at(inner)
        case _:
            return None


def _rate(inner: str, *, rule: bool) -> str | None:
    match = re.fullmatch(_RATE, inner)
    if match is None:
        return "a rate is a whole number and minutes, hours or days: rate(5 minutes)"
    if int(match[1]) < 1:
        return "a rate is at least 1"
    # Scheduler documents both forms for any number; rules want the one that fits.
    if rule and (int(match[1]) == 1) == match[2].endswith("s"):
        return f"write rate({match[1]} {match[2].rstrip('s')}{'' if int(match[1]) == 1 else 's'})"
    return None


def _at(inner: str) -> str | None:
    if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", inner) is None:
        return "a time is written at(2027-01-31T08:00:00), without a zone"
    try:
        datetime.datetime.fromisoformat(inner)
    except ValueError:
        return "there is no such time"
    return None


def _cron(inner: str) -> str | None:
    fields = inner.split()
    if len(fields) != 6:
        return f"cron has six fields (minutes, hours, day of month, month, day of week, year), not {len(fields)}"
    for (name, low, high, names), text in zip(_FIELDS, fields, strict=True):
        for part in text.split(","):
            if not _is_part(part, name, low, high, names):
                letters = f", {names[0]}-{names[-1]}" if names else ""
                return f"{text} is no value for {name} ({low} to {high}{letters})"
    if (fields[2] == "?") == (fields[4] == "?"):
        return "exactly one of day of month and day of week must be ?"
    return None


def _is_part(part: str, name: str, low: int, high: int, names: tuple[str, ...]) -> bool:
    days = name.startswith("day")
    if part == "*":
        return True
    if part == "?":
        return days
    if name == "day of month" and re.fullmatch(r"L(-\d{1,2})?|LW|\d{1,2}W", part):
        return True
    if name == "day of week" and (part == "L" or re.fullmatch(r"([1-7]|[A-Z]{3})L", part)):
        return True
    if name == "day of week" and re.fullmatch(r"([1-7]|[A-Z]{3})#[1-5]", part):
        return True
    span, slash, step = part.partition("/")
    if slash and not (step.isdigit() and int(step) >= 1):
        return False
    if span == "*":
        return True
    ends = span.split("-")
    return len(ends) <= 2 and all(_number(end, low, high, names) for end in ends)


def _number(text: str, low: int, high: int, names: tuple[str, ...]) -> bool:
    return text.upper() in names or (text.isdigit() and low <= int(text) <= high)


@rule(
    "schedule-expression", Severity.ERROR, "A schedule is a cron, rate or at expression that AWS can read.", link=TYPES
)
def expression(view: View) -> Iterable[Finding]:
    """AWS's cron has six fields, one of which says `?`."""
    for node, prop, text in _expressions(view):
        what = mistake_in(text, rule=node.kind == "events.rule")
        if what is not None:
            yield Finding(
                node,
                f"cannot be read: {what}",
                prop,
                given=text,
                hint="write it like cron(0 3 * * ? *), rate(5 minutes) or at(2027-01-31T08:00:00)",
                link=TYPES if node.kind == "scheduler.schedule" else RULES_PAGE,
            )


@rule("schedule-past", Severity.WARNING, "A schedule still has a time to run at.", link=TYPES)
def past(view: View) -> Iterable[Finding]:
    """Single times that are over."""
    for node, prop, text in _expressions(view):
        if text.startswith("at(") and mistake_in(text) is None:
            day = datetime.date.fromisoformat(text[3:13])
            if day < view.facts.today - datetime.timedelta(days=1):  # a day's grace for any time zone
                yield Finding(node, "is over, so it never runs", prop, given=text, hint="take it out, or move it")


@lru_cache(maxsize=64)
def _zones_near(name: str) -> tuple[str, ...] | None:
    """The nearest names when there is no such zone; None when there is, or when this machine has no list of zones."""
    if os.path.isfile(f"/usr/share/zoneinfo/{name}"):  # noqa: PTH113 - as zoneinfo would find it, but for loading it
        return None
    import zoneinfo

    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        import difflib

        zones = zoneinfo.available_timezones()
        return tuple(difflib.get_close_matches(name, zones, n=1)) if zones else None
    return None


@rule("schedule-timezone", Severity.ERROR, "A schedule's time zone is one of the IANA names.", link=TYPES)
def timezone(view: View) -> Iterable[Finding]:
    """By the list of this machine."""
    for node in view.of("scheduler.schedule"):
        name = node.props.get("timezone", "UTC")
        if not isinstance(name, str) or name == "UTC":
            continue
        near = _zones_near(name)
        if near is not None:
            yield Finding(
                node,
                "is no time zone",
                "timezone",
                given=repr(name),
                allowed="a name such as Europe/Berlin",
                hint=f"did you mean {near[0]}?" if near else "use a name of the IANA list",
            )


RULES = (expression, past, timezone)
