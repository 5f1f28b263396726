"""Where in the user's files something was written."""

from __future__ import annotations

import sys
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path

import attrs

from lambdaform.model.value import Value

# File to whether it is lambdaform's own: thousands of declarations ask the same few files.
_OURS: dict[str, bool] = {}
_PACKAGE = str(Path(__file__).parent.parent) + "/"


@attrs.frozen(eq=False, repr=False)
class Source(Value):
    """A line of a file."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.shown_file()}:{self.line}"

    def shown_file(self) -> str:
        """The file as people write it: relative to the working directory when it lies below it."""
        try:
            return str(Path(self.file).relative_to(Path.cwd()))
        except ValueError:
            return self.file

    @property
    def folder(self) -> Path:
        """The folder that relative paths written on this line start from."""
        return Path(self.file).parent


expanding: ContextVar[Source | None] = ContextVar("lambdaform_expanding", default=None)
"""The line whose shorthand is being expanded: what that makes is written there, wherever the code is that makes it."""


def caller() -> Source:
    """The line of user code that is calling into lambdaform right now."""
    shorthand = expanding.get()
    if shorthand is not None:
        return shorthand
    frame = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
    ours = _OURS
    while frame is not None:
        file = frame.f_code.co_filename
        is_ours = ours.get(file)
        if is_ours is None:
            is_ours = ours[file] = file.startswith((_PACKAGE, "<attrs generated"))
        if not is_ours:
            return Source(_absolute(file), frame.f_lineno)
        frame = frame.f_back
    return Source("<unknown>", 0)


@lru_cache(maxsize=256)
def _absolute(file: str) -> str:
    # The main script's code carries the path as it was typed.
    return str(Path(file).absolute()) if not file.startswith("<") else file
