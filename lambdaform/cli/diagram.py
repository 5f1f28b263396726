"""`diagram`: the architecture as a picture."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from lambdaform.cli.context import Options
from lambdaform.cli.program import shared_options, take_shared
from lambdaform.model.problem import LambdaformError

FORMS = ("svg", "png", "dot", "mermaid")
_ENDINGS = {".svg": "svg", ".png": "png", ".dot": "dot", ".gv": "dot", ".mmd": "mermaid", ".mermaid": "mermaid"}


@click.command()
@shared_options
@click.option("-o", "--out", metavar="FILE", help="Where to; - is stdout. The stack's name and .svg when not given.")
@click.option("--format", "form", type=click.Choice(FORMS), help="What; told by the file's ending when not given.")
@click.option("--detail", is_flag=True, help="With the main settings in the tiles.")
@click.pass_obj
def diagram(options: Options, /, out: str | None, form: str | None, detail: bool, **given: Any) -> None:
    """Draw what feeds what, what uses what, and where failures go. Needs no program installed beside lambdaform."""
    from lambdaform.render.dot import dot_of
    from lambdaform.render.drawing import NoRenderer, draw
    from lambdaform.render.mermaid import mermaid_of
    from lambdaform.render.picture import picture_of

    take_shared(options, given)
    region = options.chosen_region() or "us-east-1"
    graph = options.stack(options.stage, region).graph()
    path = None if out == "-" else Path(out or f"{graph.stack}.{_ending(form)}")
    chosen = form or (_ENDINGS.get(path.suffix.lower()) if path is not None else "svg")
    if chosen is None:
        raise click.UsageError(f"{path} does not tell the format; give --format {', '.join(FORMS)}")
    picture = picture_of(graph, detail=detail)
    if chosen in ("mermaid", "dot"):
        content = (mermaid_of(picture) if chosen == "mermaid" else dot_of(picture)).encode()
    else:
        try:
            content = draw(dot_of(picture), chosen)
        except NoRenderer as error:
            if path is not None:
                instead = path.with_suffix(".dot")
                _write(instead, dot_of(picture).encode())
                error.message += f"; only {instead} was written"
            raise
    if path is None:
        sys.stdout.buffer.write(content)
        return
    _write(path, content)
    options.say(f"{path}: {len(picture.tiles)} tiles, {len(picture.arrows)} arrows")


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise LambdaformError(f"the picture cannot be written to {path}: {error.strerror or error}") from error


def _ending(form: str | None) -> str:
    return {None: "svg", "mermaid": "mmd"}.get(form, form or "svg")
