"""`lambdaform init`: a new project that works."""

from __future__ import annotations

import re
from pathlib import Path

import click

from lambdaform.model.problem import LambdaformError


@click.command()
@click.argument("folder", default=".", type=click.Path(path_type=Path, file_okay=False))
@click.option("--name", help="What the project is called; the folder's name when not given.")
def init(folder: Path, name: str | None) -> None:
    """Write a new project into FOLDER: a stack, two handlers, their tests."""
    from importlib.metadata import version

    from lambdaform.render.project import project_files, write_project

    chosen = name or folder.absolute().name
    if not re.match(r"[A-Za-z][A-Za-z0-9 _-]*$", chosen):
        raise LambdaformError(
            f"{chosen!r} is no name for a project", hint="give --name with letters, digits and dashes"
        )
    files = project_files(chosen.replace(" ", "-"), version("lambdaform"))
    write_project(folder, files)
    for path in files:
        click.echo(folder / path)
    click.echo(f"\nNext:  cd {folder} && python stacks/app.py local", err=True)
