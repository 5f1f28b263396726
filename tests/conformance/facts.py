"""Marks a test as showing one fact about AWS. The fidelity table of the docs is made from these marks.

    @fact("Timeout", "an event that takes longer is ended and its environment reset", source="https://docs.aws...")
    def test_...

The table's sections are the modules, titled by the first line of their docstrings.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeVar

import attrs

Here = Literal["honoured", "partly", "not"]
Test = TypeVar("Test", bound=Callable[..., object])


@attrs.frozen
class Fact:
    """What AWS does, and how far the local AWS does it too."""

    subject: str
    """The setting or behaviour, in AWS's words."""
    says: str
    """What AWS does."""
    here: Here
    gap: str
    """What is different here; empty when nothing is."""
    source: str
    """Where AWS says so."""
    module: str
    test: str


FACTS: list[Fact] = []


def fact(
    subject: str, says: str, *, here: Here = "honoured", gap: str = "", source: str = ""
) -> Callable[[Test], Test]:
    """Say which fact a test shows. A fact that is not wholly honoured states its gap, and its test shows that."""
    if (here == "honoured") != (gap == ""):
        raise ValueError(f"{subject}: a gap is stated exactly where something is missing")

    def mark(test: Test) -> Test:
        FACTS.append(Fact(subject, says, here, gap, source, test.__module__, test.__name__))
        return test

    return mark


def collected() -> Mapping[str, Sequence[Fact]]:
    """All facts, by the title of their module, in the order of the files."""
    found: dict[str, Sequence[Fact]] = {}
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        name = f"tests.conformance.{path.stem}"
        module = importlib.import_module(name)
        title = (inspect.getdoc(module) or path.stem).splitlines()[0].rstrip(".")
        # Keyed by test: a module pytest has imported under the same name is marked twice.
        held = {(each.test, each.subject, each.says): each for each in FACTS if each.module == name}
        found[title] = list(held.values())
    return found
