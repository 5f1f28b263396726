"""Commands with `--local` find the running local AWS by themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lambdaform.cli.context import Options
from lambdaform.model.problem import LambdaformError

if TYPE_CHECKING:
    from lambdaform.engine.deployment import Deployment
    from lambdaform.local.process import Running


def running_local(options: Options) -> Running:
    """The running local AWS of this project. Raises `LambdaformError` when there is none."""
    from lambdaform.engine.deployment import STATE_FOLDER, project_root
    from lambdaform.local.process import find_running

    source = options.stack.source_file()
    found = find_running(project_root(source) / STATE_FOLDER)
    if found is None:
        raise LambdaformError(
            "no local AWS is running for this project",
            hint=f"start one in another terminal: python {source.name} local",
        )
    return found


def local_deployment(options: Options) -> tuple[Deployment, str]:
    """The deployment on the running local AWS, and its address."""
    running = running_local(options)
    options.region = options.region or running.region
    deployment = options.deployment(endpoint=running.endpoint, state_endpoint=f"local-{running.instance}")
    deployment.account = None
    return deployment, running.endpoint
