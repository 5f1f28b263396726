"""`invoke`: run a deployed function once and show its answer."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

import click

from lambdaform.cli.context import Options, log_text
from lambdaform.cli.program import shared_options, take_shared


@click.command()
@shared_options
@click.argument("name")
@click.option("--event", "event", metavar="FILE|KIND|JSON|-", help="A file, a kind such as sqs, JSON text, or - .")
@click.option("--local", "is_local", is_flag=True, help="On the running local AWS.")
@click.option("--async", "is_async", is_flag=True, help="Put it on the function's queue instead of waiting.")
@click.pass_obj
def invoke(options: Options, /, name: str, event: str | None, is_local: bool, is_async: bool, **given: Any) -> None:
    """Invoke the function NAME, by its alias where it has one, as its triggers do.

    Its answer goes to stdout, its log to stderr; a function error exits with 1.
    """
    from lambdaform.aws.session import AwsSession
    from lambdaform.cli.target import deployed, function_record

    take_shared(options, given)
    _, state, aws = deployed(options, is_local=is_local)
    assert isinstance(aws, AwsSession)
    record = function_record(state, name)
    payload = _payload(event, record.outputs["arn"], aws.region)
    request: dict[str, Any] = {"FunctionName": state.invoked_arn(record), "Payload": payload}
    request |= {"InvocationType": "Event"} if is_async else {"LogType": "Tail"}
    answer = aws.call("lambda", "Invoke", **request)
    if is_async:
        options.say("accepted")
        return
    if answer.get("LogResult") and not options.quiet:
        click.echo(log_text(base64.b64decode(answer["LogResult"]).decode(errors="replace")), err=True)
    body: bytes = answer["Payload"].read()
    try:
        click.echo(json.dumps(json.loads(body), indent=2, ensure_ascii=False))
    except ValueError:
        sys.stdout.buffer.write(body)
    if answer.get("FunctionError"):
        raise click.exceptions.Exit(1)


def _payload(event: str | None, function_arn: str, region: str) -> bytes:
    from lambdaform.model.problem import LambdaformError
    from lambdaform.testing.events import EVENTS, sample_event

    if event is None:
        return b"{}"
    if event == "-":
        text = sys.stdin.read()
    elif event in EVENTS:
        text = json.dumps(sample_event(event, region=region, account=function_arn.split(":")[4]))
    elif event.lstrip()[:1] in ("{", "[", '"'):
        text = event
    else:
        path = Path(event)
        if not path.exists():
            raise LambdaformError(
                f"{event!r} is neither a file nor a kind of event", hint=f"kinds: {', '.join(sorted(EVENTS))}"
            )
        text = path.read_text(encoding="utf-8")
    try:
        json.loads(text)
    except ValueError as error:
        raise LambdaformError(f"the event is not JSON: {error}") from error
    return text.encode()
