"""`python -m lambdaform.local`: the local AWS as a program."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Literal

import click

from lambdaform.local import flags
from lambdaform.local.app import LocalAws, Options
from lambdaform.local.asynchronous import FIRST_WAIT
from lambdaform.local.brokers import VARIABLE, BadAddress, Brokers, forget_variable, split_options
from lambdaform.local.process import GRACE
from lambdaform.model.problem import LambdaformError

_PARENT_LOOK = 0.5


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=4566, show_default=True, help="Port to listen on; 0 is any free one.")
@click.option("--region", default="us-east-1", show_default=True, help="Region of requests that do not name one.")
@click.option("--clock", type=click.Choice(["system", "virtual"]), default="system", show_default=True)
@flags.speed
@click.option(
    "--retry-delay",
    type=click.FloatRange(min=0),
    default=FIRST_WAIT,
    show_default=True,
    help="Seconds before the first retry of a failed asynchronous event; twice as many before the second.",
)
@click.option(
    "--broker",
    "brokers",
    multiple=True,
    envvar=VARIABLE,
    metavar="SOURCE=URL",
    help="Read a real broker: its ARN, one of its host:port, or a kind such as kafka, and its address.",
)
@click.option("--settle", default=0.0, show_default=True, help="Seconds what is new or changed is not ready.")
@click.option("--runtime-client", type=click.Choice(["aws", "own"]), default=None, help="What handlers run under.")
@click.option(
    "--isolation",
    type=click.Choice(["auto", "processes"]),
    default="auto",
    show_default=True,
    help="Whether handlers get a file system like Lambda's where the machine allows it.",
)
@flags.cpu_share
@click.option(
    "--persist",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Go on from the state kept there, and keep the state there at the end.",
)
@click.option(
    "--grace",
    default=GRACE,
    show_default=True,
    help="Seconds that invocations under way get to finish at the end; a second Ctrl-C ends them.",
)
@click.option("--ready-file", type=click.Path(path_type=Path), help="Written, as JSON, once requests are taken.")
@click.option("--with-parent", type=int, help="End when the process with this id does.")
def main(
    host: str,
    port: int,
    region: str,
    clock: Literal["system", "virtual"],
    speed: float,
    retry_delay: float,
    brokers: tuple[str, ...],
    settle: float,
    runtime_client: Literal["aws", "own"] | None,
    isolation: Literal["auto", "processes"],
    cpu_share: bool,
    persist: Path | None,
    grace: float,
    ready_file: Path | None,
    with_parent: int | None,
) -> None:
    """Run the local AWS until Ctrl-C or SIGTERM."""
    if clock == "virtual" and speed != 1:
        raise click.BadParameter("a virtual clock moves when it is told to", param_hint="--speed")
    try:
        found = Brokers.of(split_options(brokers))
    except BadAddress as error:
        raise click.BadParameter(error.message, param_hint="--broker") from error
    forget_variable()
    options = Options(
        host=host,
        port=port,
        region=region,
        clock=clock,
        speed=speed,
        retry_delay=retry_delay,
        brokers=found,
        settle_after=settle,
        runtime_client=runtime_client,
        isolation=isolation,
        cpu_share=cpu_share,
        persist=persist,
    )
    with _runner() as runner:
        try:
            runner.run(_serve(options, grace, ready_file, with_parent))
        except LambdaformError as error:
            click.echo(f"lambdaform local: {error.message}", err=True)
            if error.hint is not None:
                click.echo(f"  {error.hint}", err=True)
            sys.exit(error.exit_code)
        except OSError as error:
            click.echo(f"lambdaform local: cannot listen on {host}:{port}: {error}", err=True)
            sys.exit(1)


def _runner() -> asyncio.Runner:
    """uvloop's loop where it is installed, the standard library's elsewhere."""
    try:
        import uvloop
    except ImportError:
        return asyncio.Runner()
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


async def _serve(options: Options, grace: float, ready_file: Path | None, parent: int | None) -> None:
    stop, hurry = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    heard: set[int] = set()

    def end(number: int) -> None:
        # The command line's Ctrl-C reaches this process by the terminal too, so only the same signal counts twice.
        (hurry if number in heard else stop).set()
        heard.add(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end, number)
    aws = LocalAws(options)
    try:
        await aws.start()
        health = aws.health()
        click.echo(_greeting(aws), err=True)
        if ready_file is not None:
            partial = ready_file.with_name(ready_file.name + ".partial")
            partial.write_text(json.dumps(health))
            partial.replace(ready_file)
        watch = loop.create_task(_watch(parent, stop)) if parent is not None else None
        await stop.wait()
        if watch is not None:
            watch.cancel()
        await _finish(aws, grace, hurry)
        await aws.keep(is_clean=True)
    finally:
        await aws.close()
        if ready_file is not None:
            ready_file.unlink(missing_ok=True)


async def _finish(aws: LocalAws, grace: float, hurry: asyncio.Event) -> None:
    """Let what is under way end, unless told a second time to stop."""
    loop = asyncio.get_running_loop()
    ways = {loop.create_task(aws.finish(grace)), loop.create_task(hurry.wait())}
    done, pending = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    for task in done:
        task.result()


def _greeting(aws: LocalAws) -> str:
    moved = f" (port {aws.options.port} is taken)" if aws.options.port not in (0, aws.port) else ""
    health = aws.health()
    return (
        f"lambdaform local: {aws.address}{moved}, region {aws.options.region}, "
        f"Python {sys.version_info.major}.{sys.version_info.minor}, runtime client: {health['runtime_client']}, "
        f"isolation: {_isolation(aws)}, clock: {aws.options.clock}{_differing(aws.options)}"
    )


def _differing(options: Options) -> str:
    """What was asked to take other times than on AWS."""
    speed = f", {options.speed:g} times as fast" if options.speed != 1 else ""
    delay = f", first retry after {options.retry_delay:g} s" if options.retry_delay != FIRST_WAIT else ""
    read = ", ".join(f"{source} at {address}" for source, address in options.brokers.by_source.items())
    when = " whenever the clock is moved" if options.clock == "virtual" else ""
    return speed + delay + (f", reading {read}{when}" if read else "")


def _isolation(aws: LocalAws) -> str:
    """How handlers are kept apart, and what this machine refuses of it."""
    refused = "; ".join(f"no {part}: {why}" for part, why in {**aws.spawner.refused, **aws.refused}.items())
    return aws.spawner.isolation + (f" ({refused})" if refused else "")


async def _watch(parent: int, stop: asyncio.Event) -> None:
    """Stop when a process is gone. Real time: this is about the machine, not about AWS."""
    with contextlib.suppress(asyncio.CancelledError):
        while _is_alive(parent):
            await asyncio.sleep(_PARENT_LOOK)
        stop.set()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


if __name__ == "__main__":
    main()
