"""What a stack says of itself, checked: its name, stage, region, account and tags."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from lambdaform.model.kinds import described
from lambdaform.model.problem import Problem, Severity
from lambdaform.model.source import Source

_NAME = ("a letter, then letters, digits, - or _", r"[A-Za-z][A-Za-z0-9_-]*")
FORMS: Mapping[str, tuple[str, str]] = {
    "name": _NAME,
    "stage": _NAME,
    "default_stage": _NAME,
    "default_region": ("a region's name, such as eu-west-1", r"[a-z]{2}(-[a-z]+)+-\d+"),
    "account": ("the 12 digits of an account's id, in quotes", r"\d{12}"),
}
"""Each setting that is a text, with its form in words and as a regular expression. Names are parts of file names."""


def problems_of(settings: Mapping[str, Any], stack: str, where: Callable[[str], Source | None]) -> Iterator[Problem]:
    """One problem for each setting that cannot be used; None is "not set". `where` finds the line of a setting."""
    for name, value in settings.items():
        if value is None:
            continue
        if name == "tags":
            fits, allowed = _are_tags(value), "a dict of texts to texts"
        else:
            allowed, form = FORMS[name]
            fits = isinstance(value, str) and re.fullmatch(form, value) is not None
        if not fits:
            yield Problem(
                "stack-setting",
                Severity.ERROR,
                f"{stack}.{name}",
                where(name),
                "is nothing that a stack can have here",
                given=described(value),
                allowed=allowed,
                hint=f"give {allowed}",
            )


def _are_tags(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return False
    return all(isinstance(each, str) for pair in cast(Mapping[Any, Any], value).items() for each in pair)
