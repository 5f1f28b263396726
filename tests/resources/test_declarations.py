"""Promises about every kind: documented, within its own limits, named as AWS takes it."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import attrs
import pytest

from lambdaform.model.marks import Pattern, fields_of
from lambdaform.model.naming import physical_name
from lambdaform.model.output import OutputField
from lambdaform.model.resource import Resource
from lambdaform.resources import catalog

KINDS = catalog.kinds()


def outputs_of(cls: type[Resource]) -> dict[str, OutputField[Any]]:
    return {name: value for name, value in vars(cls).items() if isinstance(value, OutputField)}


def undocumented(module: str) -> list[str]:
    """Fields of attrs classes that have no sentence under them."""
    found: list[str] = []
    tree = ast.parse(Path(inspect.getfile(importlib.import_module(module))).read_text(encoding="utf-8"))
    for cls in (node for node in tree.body if isinstance(node, ast.ClassDef) and node.decorator_list):
        if ast.get_docstring(cls) is None:
            found.append(cls.name)
        for statement, after in zip(cls.body, [*cls.body[1:], None], strict=True):
            if not isinstance(statement, ast.AnnAssign) or "ClassVar" in ast.unparse(statement.annotation):
                continue
            text = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else None
            if not isinstance(text, str) or not text.rstrip().endswith("."):
                found.append(f"{cls.name}.{ast.unparse(statement.target)}")
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_has_a_sentence(kind: str) -> None:
    assert undocumented(catalog.module_of(kind)) == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_says_what_it_is_and_gives(kind: str) -> None:
    cls = catalog.class_of(kind)
    outputs = outputs_of(cls)

    assert cls.title
    assert cls.__doc__
    assert outputs
    assert [name for name, output in outputs.items() if not output.doc.endswith(".")] == []
    assert cls.reference in outputs
    assert cls.replacement in ("create first", "delete first")


@pytest.mark.parametrize("kind", KINDS)
def test_every_default_lies_within_its_own_limits(kind: str) -> None:
    module = importlib.import_module(catalog.module_of(kind))
    classes = [
        value for value in vars(module).values() if isinstance(value, type) and value.__module__ == module.__name__
    ]
    outside = [
        f"{cls.__name__}.{field.name}: {field.default!r} is not {limit.words()}"
        for cls in classes
        if attrs.has(cls)
        for field in fields_of(cls).values()
        for limit in field.limits
        if field.default is not None and field.default is not attrs.NOTHING and not limit.accepts(field.default)
    ]

    assert outside == []


@pytest.mark.parametrize("kind", KINDS)
def test_what_can_be_tagged_takes_tags(kind: str) -> None:
    cls = catalog.class_of(kind)

    assert cls.taggable == ("tags" in fields_of(cls))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if catalog.class_of(kind).naming is not None])
def test_a_name_of_ours_is_one_that_aws_takes(kind: str) -> None:
    cls = catalog.class_of(kind)
    naming = cls.naming
    assert naming is not None
    field = fields_of(cls).get("name")
    patterns = [limit for limit in field.limits if isinstance(limit, Pattern)] if field else []

    for stack, stage, name in (
        ("Orders", "dev", "inbox"),
        ("Big_Shop.Orders", "p-1", "worker.shard_1"),
        ("S", "d", "n" * 300),
    ):
        for generation in (0, 2):
            made = physical_name(naming, stack, stage, name, "ap-southeast-2", generation=generation)
            real = made.replace("{account}", "123456789012")
            assert len(real) <= naming.limit
            assert re.fullmatch(rf"[{naming.allowed}]+", real)
            assert all(pattern.accepts(real) for pattern in patterns), real


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "existing" in vars(catalog.class_of(kind))])
def test_the_outputs_of_an_existing_thing_are_outputs_of_its_kind(kind: str) -> None:
    cls = catalog.class_of(kind)
    arn = "arn:aws:service:eu-central-1:123456789012:thing:some/name:7"

    assert set(cls.outputs_of_arn(arn)) <= set(outputs_of(cls))
