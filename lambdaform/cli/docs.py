"""`docs`: the stack as a page."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import click

from lambdaform.cli.context import Options
from lambdaform.cli.program import shared_options, take_shared
from lambdaform.model.problem import LambdaformError


@click.command()
@shared_options
@click.option("-o", "--out", metavar="FILE", default="-", help="Where to; stdout when not given.")
@click.pass_obj
def docs(options: Options, /, out: str, **given: Any) -> None:
    """Write the stack as a Markdown page: picture, functions with their rights, resources, outputs. No secrets."""
    from lambdaform.engine.deployment import project_root
    from lambdaform.render.stack_page import page_of

    take_shared(options, given)
    region = options.chosen_region() or "us-east-1"
    graph = options.stack(options.stage, region).graph()
    about = inspect.cleandoc(options.stack.__doc__ or "")
    page = page_of(graph, about=about, root=project_root(options.stack.source_file()))
    if out == "-":
        click.echo(page, nl=False)
        return
    path = Path(out)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise LambdaformError(f"the page cannot be written to {path}: {error.strerror or error}") from error
    options.say(f"{path}: {len(graph.nodes)} resources")
