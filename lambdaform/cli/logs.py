"""`logs`: a function's log lines."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import click

from lambdaform.cli.context import Options, log_text, print_line
from lambdaform.cli.program import shared_options, take_shared
from lambdaform.model.driver import Aws, AwsError, is_missing


@click.command()
@shared_options
@click.argument("name")
@click.option("-f", "--follow", is_flag=True, help="Go on until Ctrl-C.")
@click.option("--since", default="10 min", show_default=True, metavar="TIME", help="How far to look back.")
@click.option("--json", "as_json", is_flag=True, help="NDJSON on stdout.")
@click.option("--local", "is_local", is_flag=True, help="On the running local AWS.")
@click.pass_obj
def logs(options: Options, /, name: str, follow: bool, since: str, as_json: bool, is_local: bool, **given: Any) -> None:
    """Show the log lines of the function NAME, oldest first."""
    from lambdaform.cli.target import deployed, function_record
    from lambdaform.model.output import Unreadable
    from lambdaform.model.units import seconds

    take_shared(options, given)
    back = seconds(since)
    if isinstance(back, Unreadable) or not isinstance(back, int):
        raise click.BadParameter("write it as '10 min' or '2 h'", param_hint="--since")
    _, state, aws = deployed(options, is_local=is_local)
    record = function_record(state, name)
    group = group_of(record)
    begin = int((time.time() - back) * 1000)
    seen: set[str] = set()
    while True:
        for event in new_events(aws, group, begin, seen):
            begin = max(begin, int(event["timestamp"]) - 5_000)
            if as_json:
                print_line({"timestamp": event["timestamp"], "message": event["message"]})
            else:
                click.echo(log_text(event["message"]))
        if not follow:
            return
        time.sleep(0.3 if is_local else 2)


def group_of(record: Any) -> str:
    """The log group of a function's record."""
    logging: dict[str, Any] = record.props.get("logging") or {}
    return logging.get("group") or f"/aws/lambda/{record.physical_name}"


def new_events(aws: Aws, group: str, begin: int, seen: set[str]) -> Iterator[dict[str, Any]]:
    """Events of a log group that have not been seen yet; none while the group does not exist."""
    token: dict[str, str] = {}
    while True:
        try:
            answer = aws.call("logs", "FilterLogEvents", logGroupName=group, startTime=begin, **token)
        except AwsError as error:
            if is_missing(error):
                return
            raise
        for event in answer.get("events", []):
            if event["eventId"] not in seen:
                seen.add(event["eventId"])
                yield event
        if not answer.get("nextToken"):
            return
        token = {"nextToken": answer["nextToken"]}
