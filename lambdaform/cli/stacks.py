"""What the command line knows of a stack class: the seam towards `lambdaform.stack`, which is above it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from lambdaform.model.graph import Graph


class StackInstance(Protocol):
    """One stage of a stack."""

    stage: str
    region: str

    def graph(self) -> Graph: ...


class StackClass(Protocol):
    """A stack as the user wrote it."""

    account: str | None
    default_stage: str
    default_region: str | None
    tags: Mapping[str, str]
    __name__: str
    __doc__: str | None

    def __call__(self, stage: str | None = None, region: str | None = None) -> StackInstance: ...
    def stack_name(self) -> str: ...
    def source_file(self) -> Path: ...
