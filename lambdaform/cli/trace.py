"""`trace`: the way of events through the running local AWS, and one of them once more."""

from __future__ import annotations

import json
from typing import Any

import click

from lambdaform.cli.context import Options, print_json
from lambdaform.cli.program import shared_options, take_shared


@click.command()
@shared_options
@click.argument("about", required=False)
@click.option("-n", "--last", default=20, show_default=True, metavar="NUMBER", help="How many events to show.")
@click.option("--replay", type=int, metavar="STEP", help="Invoke once more with the event of this invocation.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.pass_obj
def trace(options: Options, /, about: str | None, last: int, replay: int | None, as_json: bool, **given: Any) -> None:
    """Show what every event caused on the running local AWS: requests, invocations, messages, retries, dead letters.

    ABOUT is a step's number or the name of a function, queue or other resource; all without it.
    """
    from lambdaform.cli.running import running_local
    from lambdaform.render.traces import trace_text

    take_shared(options, given)
    running = running_local(options)
    if replay is not None:
        answer = running.request("POST", "/_lambdaform/replay", {"step": replay})
        if as_json:
            print_json({"version": 1, **answer})
        else:
            click.echo(json.dumps(answer["result"], indent=2, ensure_ascii=False))
        if answer["error"]:
            options.say(f"failed: {answer['error']}")
            raise click.exceptions.Exit(1)
        return
    steps = running.request("GET", "/_lambdaform/trace")
    if as_json:
        print_json({"version": 1, "steps": steps})
        return
    text = trace_text(steps, last=last, about=about)
    if text:
        click.echo(text)
    else:
        options.say("nothing has happened yet" if about is None else f"nothing that happened is about {about}")
