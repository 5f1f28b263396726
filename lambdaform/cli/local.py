"""`local`: the same plan and apply against a local AWS, then logs and reload on save until Ctrl-C."""

from __future__ import annotations

import importlib.util
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import attrs
import click

from lambdaform.cli.context import Options, chain, checked, log_text
from lambdaform.cli.interrupts import stopping
from lambdaform.cli.program import shared_options, show_error, take_shared
from lambdaform.cli.stacks import StackClass
from lambdaform.local import flags
from lambdaform.model.problem import LambdaformError

if TYPE_CHECKING:
    from lambdaform.aws.session import AwsSession
    from lambdaform.engine.state import State
    from lambdaform.local.process import Running

DEFAULT_PORT = 4566
LOCAL_ACCOUNT = "123456789012"
"""The account that the local AWS plays."""


@click.command()
@shared_options
@click.option("--port", default=DEFAULT_PORT, show_default=True, help="Where to listen; another one when it is taken.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Which address to listen on.")
@flags.speed
@click.option(
    "--retry-delay",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Before the first retry of a failed asynchronous event, twice as long before the second; AWS takes 60.",
)
@click.option(
    "--broker",
    "brokers",
    multiple=True,
    envvar="LAMBDAFORM_BROKERS",
    metavar="SOURCE=URL",
    help="Read a real broker: its ARN, one of its host:port, or a kind such as kafka, and its address.",
)
@flags.cpu_share
@click.option(
    "--persist",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Keep everything in this folder at the end, and go on from there the next time.",
)
@click.option("--no-reload", is_flag=True, help="Do not deploy again when a file is saved.")
@click.option("--once", is_flag=True, help="Deploy, say so, and end: shows that it would work.")
@click.pass_obj
def local(
    options: Options,
    /,
    port: int,
    host: str,
    speed: float,
    retry_delay: float | None,
    brokers: tuple[str, ...],
    cpu_share: bool,
    persist: Path | None,
    no_reload: bool,
    once: bool,
    **given: Any,
) -> None:
    """Start a local AWS, deploy to it, follow the logs, deploy again on save. Needs no account and no network."""
    from lambdaform.aws.endpoint import LOCAL_REGION
    from lambdaform.engine.deployment import STATE_FOLDER, project_root
    from lambdaform.local.brokers import BadAddress, forget_variable, split_options
    from lambdaform.local.process import GRACE, announce, find_running, start, withdraw

    take_shared(options, given)
    try:
        addresses = split_options(brokers)
    except BadAddress as error:
        raise click.BadParameter(error.message, param_hint="--broker") from error
    forget_variable()
    root = project_root(options.stack.source_file())
    folder = root / STATE_FOLDER
    already = find_running(folder)
    if already is not None:
        raise LambdaformError(
            f"a local AWS is running for this project already, at {already.endpoint}",
            hint="use it with --local, or end it first",
        )
    options.region = options.chosen_region() or LOCAL_REGION
    process = start(
        port=port,
        region=options.region,
        host=host,
        persist=persist,
        speed=speed,
        retry_delay=retry_delay,
        brokers=addresses,
        cpu_share=cpu_share,
        grace=GRACE,
        quiet=False,
    )
    session = _Session(options, process.running, kept_in=persist)
    try:
        announce(folder, process.running)
        with stopping() as stop:
            try:
                state = session.deploy(stop)
            except LambdaformError as error:
                if once or no_reload:
                    raise
                show_error(error)  # mend it and save: the reload goes on from here
                state = session.state()
            options.say(_summary(process.running, state))
            if once:
                return
            options.say("  Ctrl-C ends it" + ("" if no_reload else "; saving a file deploys again"))
            session.follow(state, root, stop, reload=not no_reload, is_alive=lambda: process.popen.poll() is None)
    finally:
        withdraw(folder)
        process.close()
        session.forget()


def _summary(running: Running, state: State) -> str:
    lines = [click.style(f"local AWS at {running.endpoint}", bold=True)]
    for record in state.records.values():
        if record.kind == "lambda.url":
            lines.append(f"  {record.address.rsplit('.', 1)[-1]}: {record.outputs['url']}")
    lines += _not_honoured(running)
    return "\n".join(lines)


def _not_honoured(running: Running) -> list[str]:
    """Declared settings that have no effect here, each once, with what they belong to."""
    answer = running.request("GET", "/_lambdaform/fidelity")
    found: dict[str, list[str]] = {}
    for arn, differences in {**answer["functions"], **answer["resources"]}.items():
        for each in differences:
            found.setdefault(f"{each['setting']}: {each['says']}", []).append(arn.rsplit(":", 1)[-1])
    if not found:
        return []
    lines = ["  accepted, and not as on AWS:"]
    for what, names in found.items():
        of = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        lines.append(click.style(f"    {what} ({of})", dim=True))
    return lines


class _Session:
    """One run of `local`: deploys, and deploys again, with one set of warm clients."""

    def __init__(self, options: Options, running: Running, *, kept_in: Path | None) -> None:
        self._options = options
        self._running = running
        self._kept_in = kept_in
        self._aws: AwsSession | None = None

    def deploy(self, stop: threading.Event) -> State:
        """Plan and apply, exactly as for AWS, after the stacks that this one needs."""
        *others, own = chain(self._options)
        for stack in others:
            self._deploy(attrs.evolve(self._options, stack=stack), stop)
        state = self._deploy(attrs.evolve(self._options, stack=own), stop)
        if self._kept_in is not None:
            # Were the local AWS killed, the state file would name what is not there any more.
            self._running.request("POST", "/_lambdaform/keep")
        return state

    def _deploy(self, options: Options, stop: threading.Event) -> State:
        from lambdaform.aws.session import connect
        from lambdaform.cli.progress import Lines
        from lambdaform.engine.state import State

        running = self._running
        deployment = options.deployment(endpoint=running.endpoint, state_endpoint=f"local-{running.instance}")
        deployment.account = None
        packages = checked(options, deployment)
        if self._aws is None:
            self._aws = connect(region=deployment.graph.region, endpoint=running.endpoint, local=True)
        account = self._aws.account
        with deployment.store.lock(deployment.key(account), timeout=10):
            plan, state = deployment.plan(packages, account=account, delete_data=True)
            if not plan.changes:
                return state or State(plan.key)
            with Lines(options, as_json=False, total=len(plan.changes)) as lines:
                return deployment.apply(plan, packages, self._aws, progress=lines, stop=stop)

    def state(self) -> State:
        """What is deployed so far."""
        from lambdaform.engine.state import State

        running = self._running
        deployment = self._options.deployment(endpoint=running.endpoint, state_endpoint=f"local-{running.instance}")
        key = deployment.key(self._aws.account if self._aws is not None else None)
        return deployment.store.find(key) or State(key)

    def forget(self) -> None:
        """Drop the state: what it describes ended with the local AWS, unless that was kept."""
        if self._kept_in is not None:
            return
        running = self._running
        deployment = self._options.deployment(endpoint=running.endpoint, state_endpoint=f"local-{running.instance}")
        if self._aws is not None:
            deployment.store.remove(deployment.key(LOCAL_ACCOUNT))

    def follow(self, state: State, root: Path, stop: threading.Event, *, reload: bool, is_alive: Any) -> None:
        """Show logs and deploy on save until told to stop, or until the local AWS ends."""
        saved = threading.Event()
        if reload:
            threading.Thread(target=_watch, args=(root, saved, stop, self._kept_in), daemon=True).start()
        seen: set[str] = set()
        begin = int(time.time() * 1000) - 1000
        while not stop.is_set():
            if not is_alive():
                raise LambdaformError("the local AWS has ended", hint="start it again")
            if saved.is_set():
                saved.clear()
                state = self._reload(state, stop)
            begin = self._show_logs(state, begin, seen)
            saved.wait(0.25)

    def _show_logs(self, state: State, begin: int, seen: set[str]) -> int:
        from lambdaform.cli.logs import group_of, new_events

        if self._aws is None:
            return begin  # nothing has been deployed yet: the declaration is not right
        latest = begin
        for record in list(state.records.values()):
            if record.kind != "lambda.function":
                continue
            name = click.style(record.address.removeprefix("lambda.function."), fg="cyan")
            for event in new_events(self._aws, group_of(record), begin, seen):
                latest = max(latest, int(event["timestamp"]) - 2_000)
                click.echo(f"{name}  {log_text(event['message'])}")
        return latest

    def _reload(self, state: State, stop: threading.Event) -> State:
        began = time.monotonic()
        try:
            self._options.stack = load_again(self._options.stack)
            state = self.deploy(stop)
            self._options.say(f"deployed again in {time.monotonic() - began:.2f} s")
        except LambdaformError as error:
            show_error(error)
        except Exception as error:  # noqa: BLE001 - the user's file, in the middle of an edit, may raise anything
            self._options.say(f"{self._options.stack.source_file()} cannot be loaded: {type(error).__name__}: {error}")
        return state


def _watch(root: Path, saved: threading.Event, stop: threading.Event, kept_in: Path | None) -> None:
    """Notice what is saved, but for what we write ourselves: a deploy would follow a deploy without end."""
    from watchfiles import DefaultFilter, watch

    names = (*DefaultFilter.ignore_dirs, ".lambdaform")
    paths = () if kept_in is None else (kept_in.resolve(),)
    chosen = DefaultFilter(ignore_dirs=names, ignore_paths=paths)
    for _ in watch(root.resolve(), stop_event=stop, watch_filter=chosen, debounce=80, step=20):
        saved.set()


def load_again(stack: StackClass) -> StackClass:
    """The stack class from its file as it is now, with the project's own modules loaded afresh."""
    from lambdaform.engine.deployment import project_root

    path = stack.source_file()
    root = project_root(path)
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        own = file is not None and Path(file).is_relative_to(root) and ".venv" not in file
        if own and name != "__main__" and not name.startswith("lambdaform"):
            del sys.modules[name]
    spec = importlib.util.spec_from_file_location("lambdaform_reloaded_stack", path)
    if spec is None or spec.loader is None:
        raise LambdaformError(f"{path} cannot be loaded again")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return cast(StackClass, getattr(module, stack.__name__))
