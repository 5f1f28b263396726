"""Carries a plan out: walks the graph in parallel, writes every step down, goes on after a failure where it can.

Creates and changes come first, each as soon as what it needs is done; deletes come after them, each before what it
needs. A step is: write the intent, call AWS, write the result. Killed anywhere, the next run converges.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, Protocol

import attrs

from lambdaform.engine.artifacts import upload
from lambdaform.engine.plan import Action, Change, Plan
from lambdaform.engine.resolve import Resolver, Unknown, unknowns_in
from lambdaform.engine.state import State
from lambdaform.engine.store import Journal
from lambdaform.model.code import Package
from lambdaform.model.driver import (
    ADDRESS_TAG,
    STACK_TAG,
    STAGE_TAG,
    Aws,
    AwsError,
    Desired,
    Driver,
    Record,
    is_missing,
)
from lambdaform.model.graph import Graph, Node
from lambdaform.model.naming import physical_name
from lambdaform.model.problem import Interrupted, LambdaformError

Json = Any


class Progress(Protocol):
    """Hears of every step, from several threads."""

    def started(self, change: Change) -> None: ...
    def done(self, change: Change, *, called: bool) -> None:
        """`called` is False when it turned out that nothing had to be changed."""
        ...

    def failed(self, change: Change, message: str, hint: str | None) -> None: ...
    def skipped(self, change: Change, because: str) -> None: ...


class Quiet:
    """A `Progress` that says nothing."""

    def started(self, change: Change) -> None:
        """Nothing."""

    def done(self, change: Change, *, called: bool) -> None:
        """Nothing."""

    def failed(self, change: Change, message: str, hint: str | None) -> None:
        """Nothing."""

    def skipped(self, change: Change, because: str) -> None:
        """Nothing."""


@attrs.frozen
class Outcome:
    """What became of a plan."""

    done: tuple[Change, ...]
    failed: Mapping[str, str]
    """Address to what went wrong."""
    skipped: Mapping[str, str]
    """Address to the address whose failure it waited for."""
    interrupted: bool


class Applier:
    """Applies one plan to one state."""

    def __init__(
        self,
        graph: Graph,
        plan: Plan,
        state: State,
        journal: Journal,
        aws: Aws,
        *,
        resolver_for: Callable[[Callable[[str], Mapping[str, Json] | None], Aws], Resolver],
        packages: Mapping[str, Package],
        archive: Callable[[str], Package],
        driver_of: Callable[[str], Driver],
        progress: Progress | None = None,
        parallelism: int = 10,
        stop: threading.Event | None = None,
    ) -> None:
        self._graph = graph
        self._plan = plan
        self._state = state
        self._journal = journal
        self._aws = aws
        self._packages = packages
        self._archive = archive
        self._driver_of = driver_of
        self._progress = progress or Quiet()
        self._parallelism = parallelism
        self._stop = stop or threading.Event()
        self._lock = threading.Lock()
        self._resolver = resolver_for(self._outputs, aws)
        self._done: list[Change] = []
        self._failed: dict[str, str] = {}
        self._skipped: dict[str, str] = {}

    def _outputs(self, address: str) -> Mapping[str, Json] | None:
        record = self._state.records.get(address)
        return None if record is None else record.outputs

    def apply(self) -> Outcome:
        """Do it. Failures are in the outcome; only a failing disk (or a bug) raises."""
        forward = [change for change in self._plan.changes if change.action in _FORWARD]
        needs = {change.address: self._graph.nodes[change.address].needs for change in forward}
        self._walk(forward, needs, self._forward)
        # What was replaced under a new name goes once nothing points at it any more.
        retired = [
            Change(record.address, record.kind, Action.DELETE, record=record, group="retired")
            for key, record in self._state.retired.items()
            if not any(c.group == "retired" and c.record is record for c in self._plan.changes)
            and not self._stop.is_set()
            and key
        ]
        backward = [change for change in self._plan.changes if change.action is Action.DELETE] + retired
        self._walk(backward, self._backward_needs(backward), self._backward)
        for change in self._plan.changes:
            if change.action is Action.KEEP and not self._stop.is_set():
                self._journal.keep(change.address)
        return Outcome(tuple(self._done), self._failed, self._skipped, self._stop.is_set())

    def _backward_needs(self, changes: Sequence[Change]) -> dict[str, tuple[str, ...]]:
        """A delete waits for the deletes of what needs it, and for what could not be moved off it."""
        users: dict[str, list[str]] = {}
        for change in changes:
            assert change.record is not None
            for need in change.record.needs:
                users.setdefault(need, []).append(_key(change))
        for address in self._failed.keys() | self._skipped.keys():
            record = self._state.records.get(address)
            for need in record.needs if record else ():
                users.setdefault(need, []).append(address)
        return {_key(change): tuple(users.get(change.address, ())) for change in changes}

    def _walk(
        self,
        changes: Sequence[Change],
        needs: Mapping[str, Sequence[str]],
        step: Callable[[Change], bool],
    ) -> None:
        """Run steps on a bounded number of threads, each after its needs; skip what a failure makes impossible."""
        waiting = {_key(change): change for change in changes}
        open_needs = {key: {need for need in needs[key] if need in waiting and need != key} for key in waiting}
        users: dict[str, list[str]] = {}
        for key, addresses in open_needs.items():
            for need in addresses:
                users.setdefault(need, []).append(key)
        ready = [key for key in waiting if not open_needs[key]]
        running: dict[Future[bool], str] = {}
        with ThreadPoolExecutor(self._parallelism, thread_name_prefix="apply") as pool:
            while ready or running:
                while ready and not self._stop.is_set():
                    key = ready.pop(0)
                    change = waiting[key]
                    blocker = next((n for n in needs[key] if n in self._failed or n in self._skipped), None)
                    if blocker is not None:
                        self._skipped[key] = self._skipped.get(blocker, blocker)
                        self._progress.skipped(change, self._skipped[key])
                        self._release(key, users, open_needs, ready)
                        continue
                    running[pool.submit(self._guarded, change, step)] = key
                if not running:
                    break
                finished, _ = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
                for future in finished:
                    key = running.pop(future)
                    future.result()
                    self._release(key, users, open_needs, ready)

    @staticmethod
    def _release(key: str, users: Mapping[str, list[str]], open_needs: dict[str, set[str]], ready: list[str]) -> None:
        for user in users.get(key, ()):
            open_needs[user].discard(key)
            if not open_needs[user]:
                ready.append(user)

    def _guarded(self, change: Change, step: Callable[[Change], bool]) -> bool:
        """One step, its failure noted. What is not a refusal of the world is a bug, and says so."""
        self._progress.started(change)
        hint: str | None = None
        try:
            called = step(change)
        except Interrupted:
            self._stop.set()
            return False
        except AwsError as error:
            message = f"{error.service}:{error.operation} answered {error.code}: {error.message}"
        except LambdaformError as error:
            message, hint = error.message, error.hint
        except Exception as error:  # noqa: BLE001 - one broken driver must not take the other resources' results along
            last = traceback.extract_tb(error.__traceback__)[-1]
            message = f"{type(error).__name__}: {error}"
            hint = f"this is a bug in lambdaform ({last.filename}:{last.lineno}); please report it"
        else:
            with self._lock:
                self._done.append(change)
            self._progress.done(change, called=called)
            return True
        message = self._resolver.blacked_out(message)
        with self._lock:
            self._failed[_key(change)] = message
        self._progress.failed(change, message, hint)
        return False

    # -- steps

    def _forward(self, change: Change) -> bool:
        node = change.node
        assert node is not None
        driver = self._driver_of(node.kind)
        record = self._state.records.get(change.address) or change.record
        if change.action is Action.REPLACE and record is not None:
            return self._replace(change, node, driver, record)
        if record is None:
            self._create(node, driver, self._name(node, 0))
            return True
        return self._update(node, driver, record)

    def _replace(self, change: Change, node: Node, driver: Driver, record: Record) -> bool:
        if change.delete_first:
            driver.delete(self._aws, record)
            with self._lock:
                self._journal.gone("records", change.address)
            self._create(node, driver, self._name(node, 0))
            return True
        generation = 0
        name = self._name(node, generation)
        taken = {record.physical_name} | {
            each.physical_name for each in self._state.retired.values() if each.address == change.address
        }
        while name in taken and node.resource.naming is not None:
            generation += 1
            name = self._name(node, generation)
        with self._lock:
            self._journal.retire(record)
            self._journal.gone("records", change.address)
        self._create(node, driver, name)
        return True

    def _create(self, node: Node, driver: Driver, name: str) -> None:
        desired, shown = self._desired(node, name)
        intent = self._record(node, desired, shown, {})
        with self._lock:
            self._journal.intend(intent)
        try:
            outputs = driver.create(self._aws, desired)
        except AwsError as error:
            if error.code not in driver.exists:
                raise
            outputs = self._adopt(driver, desired, shown, error)
        self._finish(node, desired, shown, outputs)

    def _adopt(
        self, driver: Driver, desired: Desired, shown: Mapping[str, Json], error: AwsError
    ) -> Mapping[str, Json]:
        """There is one already: ours from a run that was cut off, or a stranger's, which is never touched."""
        found = driver.find(self._aws, desired)
        if found is None:
            raise error
        if found.tags is not None and any(
            found.tags.get(tag) != desired.tags[tag] for tag in (STACK_TAG, STAGE_TAG, ADDRESS_TAG)
        ):
            raise LambdaformError(
                f"there is already something called {desired.physical_name}, and this stack did not make it",
                hint="give this resource another name, delete the other one, or refer to it with .existing(arn)",
            )
        previous = Record(
            address=desired.address,
            kind=desired.kind,
            physical_name=desired.physical_name,
            declared={},
            props={},
            outputs=found.outputs,
        )
        changed = frozenset(shown) | ({"code"} if desired.package else frozenset[str]())
        return driver.update(self._aws, desired, previous, changed)

    def _update(self, node: Node, driver: Driver, record: Record) -> bool:
        desired, shown = self._desired(node, record.physical_name)
        names = {*shown, *record.props}
        changed = {name for name in names if shown.get(name) != record.props.get(name)}
        if desired.package is not None and desired.package.hash != record.package:
            changed.add("code")
        if not changed and record.address in self._state.records:
            if record.declared != node.props:
                self._finish(node, desired, shown, record.outputs)
            return False
        try:
            outputs = driver.update(self._aws, desired, record, frozenset(changed))
        except AwsError as error:
            if not is_missing(error) or driver.read(self._aws, record) is not None:
                raise
            # Somebody removed it behind our back: make it again.
            with self._lock:
                self._journal.gone("records", record.address)
            self._create(node, driver, record.physical_name)
            return True
        self._finish(node, desired, shown, outputs)
        return True

    def _backward(self, change: Change) -> bool:
        record = change.record
        assert record is not None
        driver = self._driver_of(record.kind)
        if change.group == "pending":
            desired = Desired(
                address=record.address,
                kind=record.kind,
                physical_name=record.physical_name,
                props=record.props,
                tags=self._own_tags(record.address),
            )
            found = driver.find(self._aws, desired)
            if found is not None and (found.tags is None or found.tags.get(ADDRESS_TAG) == record.address):
                driver.delete(self._aws, attrs.evolve(record, outputs=found.outputs))
        else:
            driver.delete(self._aws, record)
        key = f"{record.address} {record.physical_name}" if change.group == "retired" else record.address
        with self._lock:
            self._journal.gone(change.group, key)
        return True

    # -- values

    def _name(self, node: Node, generation: int) -> str:
        naming = node.resource.naming
        name = node.physical_name
        if naming is not None and generation:
            suffix = ".fifo" if name is not None and name.endswith(".fifo") else ""
            name = physical_name(
                naming,
                self._graph.stack,
                self._graph.stage,
                node.name.replace(".", "-"),
                self._graph.region,
                suffix=suffix,
                generation=generation,
            )
        if name is None:
            return node.name
        return name.replace("{account}", self._aws.account) if "{account}" in name else name

    def _own_tags(self, address: str) -> dict[str, str]:
        return {STACK_TAG: self._graph.stack, STAGE_TAG: self._graph.stage, ADDRESS_TAG: address}

    def _desired(self, node: Node, name: str) -> tuple[Desired, dict[str, Json]]:
        """The resource as its driver gets it, and its props as the state may hold them."""
        shown: dict[str, Json] = self._resolver.resolve(node.props, reveal=False)
        revealed: dict[str, Json] = self._resolver.resolve(node.props, reveal=True)
        if unknowns_in(revealed):
            missing = next(_unknowns(revealed))
            raise LambdaformError(
                f"needs the {missing.of}, which does not exist",
                hint="deploy the stack it is in first" if " in " in missing.of else "deploy it too",
            )
        package = self._packages.get(node.address)
        if package is not None:
            package = self._archive(node.address)
        return (
            Desired(
                address=node.address,
                kind=node.kind,
                physical_name=name,
                props=revealed,
                tags={**self._own_tags(node.address), **revealed.get("tags", {})},
                package=package,
                artifacts=lambda archive: upload(self._aws, archive),
            ),
            shown,
        )

    def _record(self, node: Node, desired: Desired, shown: Mapping[str, Json], outputs: Mapping[str, Json]) -> Record:
        return Record(
            address=node.address,
            kind=node.kind,
            physical_name=desired.physical_name,
            declared=node.props,
            props=shown,
            outputs=outputs,
            needs=node.needs,
            package=desired.package.hash if desired.package else None,
        )

    def _finish(self, node: Node, desired: Desired, shown: Mapping[str, Json], outputs: Mapping[str, Json]) -> None:
        record = self._record(node, desired, shown, outputs)
        manifest = desired.package.manifest() if desired.package else None
        with self._lock:
            self._journal.done(record, manifest)


_FORWARD = (Action.CREATE, Action.UPDATE, Action.REPLACE)


def _key(change: Change) -> str:
    """What tells two changes apart: a retired or pending thing has the address of what took its place."""
    assert change.action is not Action.DELETE or change.record is not None
    if change.group in ("retired", "pending") and change.record is not None:
        return f"{change.address} {change.record.physical_name}"
    return change.address


def _unknowns(value: Json) -> Any:
    if isinstance(value, Unknown):
        yield value
    elif isinstance(value, dict):
        for each in value.values():  # pyright: ignore[reportUnknownVariableType]
            yield from _unknowns(each)
    elif isinstance(value, list):
        for each in value:  # pyright: ignore[reportUnknownVariableType]
            yield from _unknowns(each)
