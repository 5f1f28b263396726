"""`deploy`: make AWS, or an endpoint that stands in for it, as declared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from lambdaform.cli.context import Options, chain, checked, confirm, print_line
from lambdaform.cli.interrupts import stopping
from lambdaform.cli.program import shared_options, take_shared

if TYPE_CHECKING:
    from lambdaform.engine.deployment import Deployment
    from lambdaform.engine.plan import Plan
    from lambdaform.engine.state import State
    from lambdaform.model.driver import Aws


@click.command()
@shared_options
@click.argument("plan_file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.option("-y", "--yes", "--auto-approve", "yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="NDJSON on stdout: plan, steps, outcome.")
@click.option("--local", "is_local", is_flag=True, help="To the running local AWS.")
@click.option("--target", multiple=True, metavar="NAME", help="Only this resource and what it needs.")
@click.option("--parallelism", default=10, show_default=True, type=click.IntRange(1, 64), help="Steps at a time.")
@click.option("--lock-timeout", default=0.0, metavar="SECONDS", help="Wait so long for another run.")
@click.option("--outputs-file", type=click.Path(path_type=Path), help="Write the outputs to a JSON file.")
@click.option("--delete-data", is_flag=True, help="Delete what holds data and is declared no more.")
@click.pass_obj
def deploy(options: Options, /, plan_file: Path | None, outputs_file: Path | None, **given: Any) -> None:
    """Make it as declared: shows the plan, asks, and applies it. With a saved plan, exactly that one.

    What holds data (tables, buckets, streams, queues) and is declared no more is kept unless --delete-data is given;
    where a change would replace it, nothing is deployed.
    """
    take_shared(options, given)
    outputs: dict[str, Any] = {}
    stacks = chain(options)
    if plan_file is not None or given["target"]:
        stacks = stacks[-1:]  # both mean this stack alone
    for number, stack in enumerate(stacks, 1):
        following = {each.stack_name() for each in stacks[number:]}
        outputs = _deploy(attrs.evolve(options, stack=stack), plan_file, given, following)
    if outputs_file is not None:
        outputs_file.write_text(json.dumps(outputs, indent=2) + "\n", encoding="utf-8")
    if given["as_json"]:
        print_line({"event": "deployed", "outputs": outputs})
    elif outputs:
        from lambdaform.render.text import outputs_text

        click.echo(outputs_text(outputs))


def _deploy(options: Options, plan_file: Path | None, given: dict[str, Any], following: set[str]) -> dict[str, Any]:
    """One stack, before the `following` ones; gives its outputs."""
    from lambdaform.aws.session import RealPauses, connect

    is_local: bool = given["is_local"]
    if is_local:
        from lambdaform.cli.running import local_deployment

        deployment, endpoint = local_deployment(options)
    else:
        endpoint = options.endpoint()
        deployment = options.deployment()
    as_json: bool = given["as_json"]
    packages = checked(options, deployment, as_json=as_json)
    with stopping() as stop:
        aws = connect(
            region=deployment.graph.region,
            profile=options.profile,
            endpoint=endpoint,
            local=is_local,
            pauses=RealPauses(stop),
            pool=given["parallelism"] + 6,
        )
        account = deployment.guard(aws)
        with deployment.store.lock(deployment.key(account), timeout=given["lock_timeout"]):
            plan, _ = deployment.plan(
                packages, account=account, targets=frozenset(given["target"]), delete_data=given["delete_data"]
            )
            plan = attrs.evolve(plan, key=deployment.key(account))
            if plan_file is not None:
                from lambdaform.engine.saved import load_plan, require_same

                require_same(load_plan(plan_file), deployment.pinned(plan, packages))
            show_plan(options, plan, as_json=as_json)
            if not plan.changes:
                state = deployment.store.find(plan.key)
            else:
                deployment.require_unused(plan, following=following)
                if not given["delete_data"]:
                    deployment.require_no_loss(plan, aws)
                if not is_local:
                    confirm_plan(plan, yes=given["yes"] or plan_file is not None, as_json=as_json)
                state = apply(options, deployment, plan, packages, aws, given, stop)
    return dict(state.outputs) if state is not None else {}


def show_plan(options: Options, plan: Plan, *, as_json: bool) -> None:
    """The plan, on stderr: what is deployed is said there, and outputs are the data."""
    from lambdaform.engine.plan import plan_document
    from lambdaform.render.text import plan_text

    if as_json:
        print_line({"version": 1, "event": "plan", "plan": plan_document(plan)})
    else:
        options.say(plan_text(plan, verified=True, verbose=options.verbose, profile=options.profile))


def confirm_plan(plan: Plan, *, yes: bool, as_json: bool) -> None:
    """Ask for a yes; for the loss of data, for the stack's name."""
    from lambdaform.cli.context import can_ask
    from lambdaform.engine.plan import Action
    from lambdaform.resources.catalog import class_of

    losing = [
        change.address
        for change in plan.changes
        if change.action in (Action.DELETE, Action.REPLACE) and class_of(change.kind).holds_data and change.record
    ]
    if losing and not yes and not as_json and can_ask():
        click.echo(f"This loses the data in {', '.join(losing)}.", err=True)
        name = click.prompt(f"Type {plan.key.stack} to go on", err=True)
        if name != plan.key.stack:
            raise click.Abort
        return
    confirm("Apply this plan?", yes=yes, as_json=as_json)


def apply(
    options: Options,
    deployment: Deployment,
    plan: Plan,
    packages: Any,
    aws: Aws,
    given: dict[str, Any],
    stop: Any,
) -> State:
    """Apply with progress."""
    from lambdaform.cli.progress import Lines
    from lambdaform.engine.plan import Action

    # What is replaced by something with another name is deleted in a step of its own.
    twice = [change for change in plan.changes if change.action is Action.REPLACE and not change.delete_first]
    total = len(plan.changes) - plan.count(Action.KEEP) + len(twice)
    with Lines(options, as_json=given["as_json"], total=total) as lines:
        return deployment.apply(
            plan, packages, aws, progress=lines, parallelism=given.get("parallelism", 10), stop=stop
        )
