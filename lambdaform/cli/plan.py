"""`plan` and `diff`: what a deploy would change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lambdaform.cli.context import Options, checked, print_json
from lambdaform.cli.program import shared_options, take_shared


def _plan_options(command: Any) -> Any:
    for option in reversed(
        [
            click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout."),
            click.option("-o", "--out", type=click.Path(path_type=Path), help="Save the plan for `deploy FILE`."),
            click.option("--detailed-exitcode", is_flag=True, help="Exit with 2 when there are changes."),
            click.option("--target", multiple=True, metavar="NAME", help="Only this resource and what it needs."),
            click.option("--delete-data", is_flag=True, help="Delete what holds data and is declared no more."),
            click.option("--local", "is_local", is_flag=True, help="Against the running local AWS."),
        ]
    ):
        command = option(command)
    return command


def _run(options: Options, given: dict[str, Any], *, verbose: bool) -> None:
    from lambdaform.engine.plan import plan_document
    from lambdaform.render.text import plan_text

    take_shared(options, given)
    as_json: bool = given["as_json"]
    if given["is_local"]:
        from lambdaform.cli.running import local_deployment

        deployment, _ = local_deployment(options)
    else:
        deployment = options.deployment()
    packages = checked(options, deployment, as_json=as_json)
    plan, state = deployment.plan(packages, targets=frozenset(given["target"]), delete_data=given["delete_data"])
    options.made.append((plan, state))
    if as_json or given["out"] is not None:
        plan = deployment.pinned(plan, packages)
    if given["out"] is not None:
        from lambdaform.engine.saved import save_plan

        save_plan(plan, given["out"])
        options.say(f"plan saved to {given['out']}")
    if as_json:
        print_json(plan_document(plan))
    else:
        click.echo(plan_text(plan, verbose=verbose or options.verbose, profile=options.profile))
    if given["detailed_exitcode"] and not plan.is_empty:
        raise click.exceptions.Exit(2)


@click.command()
@shared_options
@_plan_options
@click.pass_obj
def plan(options: Options, /, **given: Any) -> None:
    """Show what a deploy would change, from the recorded state; nothing is called and no credentials are needed."""
    _run(options, given, verbose=False)


@click.command()
@shared_options
@_plan_options
@click.pass_obj
def diff(options: Options, /, **given: Any) -> None:
    """As plan, with every field of new resources."""
    _run(options, given, verbose=True)
