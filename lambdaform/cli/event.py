"""`event`: a sample event of a resource of the stack."""

from __future__ import annotations

import json
from typing import Any

import click

from lambdaform.cli.context import Options
from lambdaform.cli.program import shared_options, take_shared


@click.command()
@shared_options
@click.argument("name")
@click.option(
    "--set", "settings", multiple=True, metavar="FIELD=VALUE", help="Text, or JSON; such as body='{\"id\": 7}'."
)
@click.pass_obj
def event(options: Options, /, name: str, settings: tuple[str, ...], **given: Any) -> None:
    """Print a sample of the event that NAME sends, or gets when it is a function; nothing is called.

    NAME is a queue, topic, bucket, table, stream, rule, or a function with one source of events. Feed it to a
    function: `... event inbox | ... invoke worker --event - --local`.
    """
    from lambdaform.local.ports import ACCOUNT
    from lambdaform.testing.sources import event_of, node_called

    take_shared(options, given)
    options.region = options.chosen_region() or "us-east-1"
    deployment = options.deployment()
    node = node_called(deployment.graph, name)
    fields = dict(_field(text) for text in settings)
    account = options.stack.account or ACCOUNT
    click.echo(json.dumps(event_of(deployment.graph, node, account=account, **fields), indent=2, ensure_ascii=False))


def _field(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.BadParameter(f"{text!r} is not FIELD=VALUE", param_hint="--set")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
