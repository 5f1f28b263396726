"""Marks on fields: one source for limits, the diff, the docs and editors.

A mark stands in a field's `Annotated` type. Checks read ranges and patterns, the planner reads `Replaces`, everything
that prints reads `Sensitive`, the reference pages read all of them. Marks are never compared or printed, so their
classes have no methods for it: all of them are made at the start of every command.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, get_args, get_origin

import attrs

QUOTAS = "https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"
"""AWS's page of Lambda's quotas, the source of most ranges."""


def grouped(number: float) -> str:
    """A number as people read it: 10,240."""
    return f"{number:,}"


@attrs.frozen(eq=False, repr=False)
class Range:
    """The field is a number from `low` to `high`, in `unit`."""

    low: int
    high: int
    unit: str = ""
    source: str | None = None

    def words(self) -> str:
        """What is allowed, for people."""
        return f"{grouped(self.low)} to {grouped(self.high)}{' ' + self.unit if self.unit else ''}"

    def accepts(self, value: Any) -> bool:
        """Whether a known value is allowed."""
        return isinstance(value, (int, float)) and not isinstance(value, bool) and self.low <= value <= self.high


@attrs.frozen(eq=False, repr=False)
class Length:
    """The field is a text or a list with `low` to `high` characters or items."""

    low: int
    high: int
    unit: str = "characters"
    source: str | None = None

    def words(self) -> str:
        """What is allowed, for people."""
        return f"{grouped(self.low)} to {grouped(self.high)} {self.unit}"

    def accepts(self, value: Any) -> bool:
        """Whether a known value is allowed."""
        return hasattr(value, "__len__") and self.low <= len(value) <= self.high


@attrs.frozen(eq=False, repr=False)
class Pattern:
    """The field is a text of this form; `form` says it in words."""

    regex: str
    form: str
    source: str | None = None

    def words(self) -> str:
        """What is allowed, for people."""
        return self.form

    def accepts(self, value: Any) -> bool:
        """Whether a known value is allowed."""
        return isinstance(value, str) and re.fullmatch(self.regex, value) is not None


@attrs.frozen(eq=False, repr=False)
class OneOf:
    """The field is one of these values."""

    values: tuple[str | int, ...]
    source: str | None = None

    def words(self) -> str:
        """What is allowed, for people."""
        return ", ".join(str(value) for value in self.values)

    def accepts(self, value: Any) -> bool:
        """Whether a known value is allowed."""
        return value in self.values


@attrs.frozen(eq=False, repr=False)
class Replaces:
    """AWS cannot change this on a living resource: a change makes a new one. `why` is shown in the plan."""

    why: str = "AWS cannot change it on an existing resource"


@attrs.frozen(eq=False, repr=False)
class Sensitive:
    """The value never reaches state, plan, logs or diagrams; only whether it changed is known, by a salted hash."""


@attrs.frozen(eq=False, repr=False)
class Expands:
    """The field is shorthand: it becomes resources of its own and is not sent with this one."""


Limit = Range | Length | Pattern | OneOf


@attrs.frozen(eq=False, repr=False)
class Field:
    """A field of a resource kind with its marks, as everything that reads declarations sees it."""

    name: str
    default: Any
    limits: tuple[Limit, ...]
    replaces: Replaces | None
    sensitive: bool
    expands: bool


def _marks_of(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) is Annotated:
        return tuple(get_args(annotation)[1:])
    return ()


@lru_cache(maxsize=256)
def fields_of(cls: type) -> Mapping[str, Field]:
    """The declared fields of a resource (or value) class by name, without the ones lambdaform fills in itself."""
    found: dict[str, Field] = {}
    for attribute in attrs.fields(cls):
        if not attribute.init or attribute.name == "suppress":  # what a declaration says to lambdaform alone
            continue
        if isinstance(attribute.type, str) and "Annotated" in attribute.type:
            raise TypeError(
                f"{cls.__name__}.{attribute.name}: annotations must be evaluated; drop the __future__ import"
            )
        marks = _marks_of(attribute.type)
        default: Any = attribute.default
        if isinstance(default, attrs.Factory):  # pyright: ignore[reportArgumentType]
            default = default.factory()
        found[attribute.name] = Field(
            name=attribute.name,
            default=default,
            limits=tuple(mark for mark in marks if isinstance(mark, (Range, Length, Pattern, OneOf))),
            replaces=next((mark for mark in marks if isinstance(mark, Replaces)), None),
            sensitive=any(isinstance(mark, Sensitive) for mark in marks),
            expands=any(isinstance(mark, Expands) for mark in marks),
        )
    return found
