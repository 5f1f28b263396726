"""Converters for sizes and times: AWS's number, a readable string, or a `timedelta`.

What cannot be read becomes `Unreadable` instead of an exception, so that one run shows every mistake.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, TypeVar, cast

from lambdaform.model.output import ByStage, Output, Unreadable, lift

T = TypeVar("T")

Seconds = int | str | timedelta | Output[int] | ByStage[str] | ByStage[timedelta]
"""What a field for a time takes."""
Megabytes = int | str | Output[int] | ByStage[str]
"""What a field for a size takes."""

_TIME = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hour", "hours"), 3600),
    **dict.fromkeys(("d", "day", "days"), 86_400),
    **dict.fromkeys(("w", "week", "weeks"), 604_800),
}
_SIZE = {**dict.fromkeys(("mb", "mib"), 1), **dict.fromkeys(("gb", "gib"), 1024)}
_AMOUNT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]+)\s*")


def _amount(value: str, units: Mapping[str, int], expected: str) -> Any:
    total = 0.0
    end = 0
    for match in _AMOUNT.finditer(value):
        unit = units.get(match[2].lower())
        if match.start() != end or unit is None:
            return Unreadable(value, expected)
        total += float(match[1]) * unit
        end = match.end()
    if end != len(value) or not value:
        return Unreadable(value, expected)
    return int(total) if total == int(total) else Unreadable(value, expected + ", as a whole number")


def _seconds(value: Any) -> Any:
    expected = "a time such as 30, '30 s', '5 min', '1 h 30 min' or timedelta(minutes=5)"
    if isinstance(value, timedelta):
        total = value.total_seconds()
        return int(total) if total == int(total) else Unreadable(value, "whole seconds")
    if isinstance(value, str):
        return _amount(value, _TIME, expected)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return Unreadable(value, expected)


def _optional_seconds(value: Any) -> Any:
    return None if value is None else _seconds(value)


def _days(value: Any) -> Any:
    if isinstance(value, (str, timedelta)):
        total = _seconds(value)
        if isinstance(total, Unreadable):
            return Unreadable(value, "a number of days such as 14, '14 days' or '2 weeks'")
        return total // 86_400 if total % 86_400 == 0 else Unreadable(value, "whole days")
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    return Unreadable(value, "a number of days such as 14, '14 days' or '2 weeks'")


def _megabytes(value: Any) -> Any:
    expected = "a size such as 512, '512 MB' or '2 GB'"
    if isinstance(value, str):
        return _amount(value, _SIZE, expected)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return Unreadable(value, expected)


def seconds(value: Seconds) -> int | Output[int]:
    """Seconds from a number of seconds, a text such as "5 min" or a `timedelta`."""
    return lift(_seconds, value)


def optional_seconds(value: Seconds | None) -> int | Output[int] | None:
    """As `seconds`, or None for "not set"."""
    return lift(_optional_seconds, value)


def optional_days(value: Seconds | None) -> int | Output[int] | None:
    """Days from a number of days, a text such as "2 weeks" or a `timedelta`; None for "not set"."""
    return lift(_days, value)


def megabytes(value: Megabytes) -> int | Output[int]:
    """Megabytes from a number of megabytes or a text such as "2 GB"."""
    return lift(_megabytes, value)


MYPY = False
if MYPY:  # mypy cannot solve a generic converter; to it, a list field takes any list

    def items(value: Iterable[Any]) -> tuple[Any, ...]: ...  # pyright: ignore[reportRedeclaration]
else:

    def items(value: Iterable[T]) -> tuple[T, ...]:
        """A tuple of what was given, so that a declaration cannot change after it was made."""
        if isinstance(value, (list, tuple)):
            return tuple(cast("Iterable[T]", value))
        if isinstance(value, str) or not isinstance(cast(object, value), Iterable):
            return cast("tuple[T, ...]", value)  # a lone text is no list of letters: told with all other problems
        return tuple(value)
