"""`lambdaform init`: a new project that works."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click

from lambdaform.model.problem import LambdaformError

_NEXT = """\
  python stacks/app.py validate   # what is declared, checked
  python stacks/app.py local      # run it here; Ctrl-C ends it
  python -m pytest                # test it"""


@click.command()
@click.argument("folder", default=".", type=click.Path(path_type=Path, file_okay=False))
@click.option("--name", metavar="NAME", help="What the project is called; the folder's name when not given.")
def init(folder: Path, name: str | None) -> None:
    """Write a new project into FOLDER: a stack, two handlers, their tests."""
    from importlib.metadata import version

    from lambdaform.render.project import project_files, write_project

    chosen = name if name is not None else folder.absolute().name
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9 _-]*", chosen):
        raise LambdaformError(
            f"{chosen!r} is no name for a project", hint="give --name with letters, digits and dashes"
        )
    files = project_files(chosen.replace(" ", "-"), version("lambdaform"))
    write_project(folder, files)
    for path in files:
        click.echo(folder / path)
    there = "" if folder == Path() else f"  cd {shlex.quote(str(folder))}\n"
    click.echo(f"\nNext:\n{there}{_NEXT}", err=True)
