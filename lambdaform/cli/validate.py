"""`validate`: all problems of the declaration at once."""

from __future__ import annotations

from typing import Any

import click

from lambdaform.cli.context import Options, print_json
from lambdaform.cli.program import shared_options, take_shared


@click.command()
@shared_options
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.pass_obj
def validate(options: Options, /, as_json: bool, **given: Any) -> None:
    """Check the declaration against AWS's limits and the rules between resources."""
    from lambdaform.engine.deployment import errors_of
    from lambdaform.model.problem import Invalid

    take_shared(options, given)
    region_is_known = options.chosen_region() is not None
    if not region_is_known:
        options.region = "us-east-1"  # rules about regions wait
    deployment = options.deployment()
    deployment.region_is_known = region_is_known
    packages, found = deployment.packages(only_ready=True)
    problems = deployment.check(packages, found)
    unpacked = [
        node.address
        for node in deployment.graph.nodes.values()
        if node.build is not None and node.address not in packages
    ]
    if as_json:
        print_json(
            {
                "version": 1,
                "valid": not errors_of(problems),
                "problems": [problem.document() for problem in problems],
                "not_packaged": unpacked,
            }
        )
    if not as_json and unpacked and not found:
        options.say(
            f"sizes are not checked for {', '.join(unpacked)}: their packages have not been made yet (plan makes them)"
        )
    if errors_of(problems):
        if as_json:
            raise click.exceptions.Exit(3)
        raise Invalid(problems)
    if as_json:
        return
    from lambdaform.render.problems import counted, problems_text

    if problems:
        click.echo(problems_text(problems), err=True)
    graph = deployment.graph
    click.echo(f"{graph.stack}, stage {graph.stage}: {counted(len(graph.nodes), 'resource')}, no errors")
