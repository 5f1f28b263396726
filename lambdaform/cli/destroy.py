"""`destroy`: take everything away that was deployed."""

from __future__ import annotations

from typing import Any

import click

from lambdaform.cli.context import Options, print_line
from lambdaform.cli.deploy import apply, confirm_plan, show_plan
from lambdaform.cli.interrupts import stopping
from lambdaform.cli.program import shared_options, take_shared


@click.command()
@shared_options
@click.option("-y", "--yes", "--auto-approve", "yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="NDJSON on stdout: plan, steps, outcome.")
@click.option("--local", "is_local", is_flag=True, help="From the running local AWS.")
@click.option("--delete-data", is_flag=True, help="Delete tables, buckets, streams and queues with messages, too.")
@click.option("--parallelism", default=10, show_default=True, type=click.IntRange(1, 64), help="Steps at a time.")
@click.option("--lock-timeout", default=0.0, metavar="SECONDS", help="Wait so long for another run.")
@click.pass_obj
def destroy(options: Options, /, **given: Any) -> None:
    """Take everything away, in reverse order. What holds data is kept and listed unless --delete-data is given."""
    from lambdaform.aws.session import RealPauses, connect
    from lambdaform.engine.plan import Action

    take_shared(options, given)
    as_json: bool = given["as_json"]
    if given["is_local"]:
        from lambdaform.cli.running import local_deployment

        deployment, endpoint = local_deployment(options)
    else:
        endpoint = options.endpoint()
        deployment = options.deployment()
    with stopping() as stop:
        aws = connect(
            region=deployment.graph.region,
            profile=options.profile,
            endpoint=endpoint,
            local=given["is_local"],
            pauses=RealPauses(stop),
        )
        account = deployment.guard(aws)
        with deployment.store.lock(deployment.key(account), timeout=given["lock_timeout"]):
            plan = deployment.destroy_plan(aws, delete_data=given["delete_data"])
            if plan is None or not plan.changes:
                options.say("nothing of this stack is deployed here")
                if as_json:
                    print_line({"event": "destroyed", "kept": []})
                return
            show_plan(options, plan, as_json=as_json)
            deployment.require_unused(plan)
            confirm_plan(plan, yes=given["yes"], as_json=as_json)
            apply(options, deployment, plan, {}, aws, given, stop)
    kept = [change.address for change in plan.changes if change.action is Action.KEEP]
    if as_json:
        print_line({"event": "destroyed", "kept": kept})
    elif kept:
        options.say(f"kept, because they hold data: {', '.join(kept)} (--delete-data deletes them)")
