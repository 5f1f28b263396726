"""How the process of a runtime is started: forked from the prepared parent, or as a program of its own. Pure functions.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html. Programs are found beforehand; what is missing is
said in words a user can act on.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import attrs

from lambdaform.local.lambda_.interpreters import Interpreter

PYTHON, NODE, CUSTOM = "python", "nodejs", "provided"


@attrs.frozen
class Launch:
    """What is started."""

    arguments: tuple[str, ...] = ()
    """The program and its arguments; nothing for a fork of the prepared parent."""
    flaw: str | None = None
    """Why there is nothing to start, in the words of `Runtime.InvalidEntrypoint`."""


def language_of(runtime: str) -> str | None:
    """The language of a runtime that can be run here; None for the others."""
    return next((language for language in (PYTHON, NODE, CUSTOM) if runtime.startswith(language)), None)


def of_python(runtime: str, *, own: str, found: Mapping[str, Interpreter]) -> Interpreter | None:
    """The interpreter to start for a Python runtime; None for the prepared parent's own.

    That is also the one for a version that is not installed: the nearest is the one at hand.
    """
    return None if runtime == own else found.get(runtime.removeprefix(PYTHON))


def wrapped(launch: Launch, wrapper: str | None, *, python: tuple[str, ...]) -> Launch:
    """A launch by way of the program that `AWS_LAMBDA_EXEC_WRAPPER` names, which gets the command as its arguments.

    `python` is the command of a runtime that is otherwise forked. Custom runtimes have no wrapper.
    https://docs.aws.amazon.com/lambda/latest/dg/runtimes-modify.html
    """
    return launch if not wrapper else Launch((wrapper, *(launch.arguments or python)))


def bootstrap(task: str, opt: str, code: Path, layers: Path | None) -> Launch:
    """The program of a custom runtime: in the package, else in a layer. The first two are what the handler sees."""
    seen = [f"{task}/bootstrap", f"{opt}/bootstrap"]
    for place, folder in zip(seen, (code, layers), strict=True):
        path = folder / "bootstrap" if folder is not None else None
        if path is None or not path.is_file():
            continue
        if not os.access(path, os.X_OK) or not path.stat().st_mode & 0o111:
            return Launch(flaw=f"fork/exec {place}: permission denied")
        return Launch((place,))
    return Launch(flaw=f"Couldn't find valid bootstrap(s): [{' '.join(seen)}]")
