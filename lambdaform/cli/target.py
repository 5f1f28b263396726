"""Finding what a command names among what is deployed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lambdaform.cli.context import Options
from lambdaform.model.problem import LambdaformError

if TYPE_CHECKING:
    from lambdaform.aws.session import AwsSession
    from lambdaform.engine.deployment import Deployment
    from lambdaform.engine.state import State


def deployed(options: Options, *, is_local: bool) -> tuple[Deployment, State, AwsSession]:
    """Deployment, state and session of what is deployed. Raises `LambdaformError` when nothing is."""
    from lambdaform.aws.session import connect

    if is_local:
        from lambdaform.cli.running import local_deployment

        deployment, endpoint = local_deployment(options)
    else:
        endpoint = options.endpoint()
        deployment = options.deployment()
    aws = connect(region=deployment.graph.region, profile=options.profile, endpoint=endpoint, local=is_local)
    state = deployment.store.find(deployment.key(deployment.account))
    if state is None:
        raise LambdaformError(
            f"{deployment.graph.stack} is not deployed in stage {deployment.graph.stage} here", hint="deploy it first"
        )
    return deployment, state, aws


def function_record(state: State, name: str) -> Any:
    """The record of a function by its name in the stack. Raises `LambdaformError` with the nearest name."""
    record = state.records.get(f"lambda.function.{name}")
    if record is None:
        names = [address.removeprefix("lambda.function.") for address in state.records if ".function." in address]
        import difflib  # only mistakes need it

        near = difflib.get_close_matches(name, names, n=1)
        raise LambdaformError(
            f"there is no function called {name!r}",
            hint=f"did you mean {near[0]}?" if near else f"deployed are: {', '.join(names) or 'none'}",
        )
    return record
