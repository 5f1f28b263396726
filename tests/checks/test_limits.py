"""Promises about marks on every kind: defaults are within them, and every marked field is looked at."""

from __future__ import annotations

import importlib
from typing import cast

import attrs
import pytest

from lambdaform.model.marks import fields_of
from lambdaform.model.resource import Resource
from lambdaform.resources.catalog import class_of, kinds


def declared() -> list[type]:
    """Every kind, and every value class a kind's module declares."""
    found: list[type] = []
    for kind in kinds():
        cls = class_of(kind)
        for value in vars(importlib.import_module(cls.__module__)).values():
            if isinstance(value, type) and attrs.has(value) and value.__module__ == cls.__module__:
                found.append(cast(type, value))
    return found


@pytest.mark.parametrize("cls", declared(), ids=lambda cls: cls.__name__)
def test_defaults_are_within_their_limits(cls: type) -> None:
    # The checks look at nothing that was left at its default, so this is where defaults are checked.
    for field in fields_of(cls).values():
        if field.default is attrs.NOTHING or field.default is None:
            continue
        for limit in field.limits:
            assert limit.accepts(field.default), f"{cls.__name__}.{field.name}"


@pytest.mark.parametrize("kind", kinds())
def test_every_taggable_kind_has_tags_that_the_rule_counts(kind: str) -> None:
    cls: type[Resource] = class_of(kind)

    assert not cls.taggable or "tags" in fields_of(cls) or kind == "lambda.layer"
