"""The whole road for one stack at one endpoint: package, check, plan, apply, destroy.

Commands, tests and the local AWS's reload all go through `Deployment`; it holds no rule of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from lambdaform.model.problem import Interrupted, Invalid, LambdaformError, PartlyDeployed, Problem, Severity

if TYPE_CHECKING:
    # `validate` needs none of the planner, and of packaging only what reads a folder: each is loaded where it begins.
    from lambdaform.engine.plan import Change, Plan
    from lambdaform.engine.resolve import Resolver
    from lambdaform.engine.state import State, StateKey
    from lambdaform.engine.store import FolderStore
    from lambdaform.model.code import Package
    from lambdaform.model.driver import Aws
    from lambdaform.model.graph import Graph
    from lambdaform.packaging.packager import Packager

Json = Any
STATE_FOLDER = ".lambdaform"
"""The folder beside the project's pyproject.toml that holds state, caches and the address of the local AWS."""


def project_root(start: Path) -> Path:
    """The nearest folder above `start` with a pyproject.toml or a .git; else the folder of `start` itself."""
    for folder in start.parents:
        if (folder / "pyproject.toml").exists() or (folder / ".git").exists():
            return folder
    return start.parent


@attrs.define(eq=False, repr=False)
class Deployment:
    """One graph, one place to keep its state, one endpoint."""

    graph: Graph
    root: Path
    """Where the state folder is."""
    account: str | None = None
    """The only account this may be deployed to; None for any."""
    endpoint: str | None = None
    """What stands in for AWS in the state's key: an address, or the id of a running local AWS."""
    region_is_known: bool = True
    """Whether somebody chose the region; rules about regions wait while it is a stand-in."""
    say: Callable[[str], None] = attrs.field(default=lambda _: None)
    _store: FolderStore | None = attrs.field(default=None, alias="store")
    _packager: Packager | None = attrs.field(default=None, alias="packager")

    @property
    def store(self) -> FolderStore:
        """Where the state is kept."""
        if self._store is None:
            from lambdaform.engine.store import FolderStore

            self._store = FolderStore(self.root / STATE_FOLDER / "state")
        return self._store

    @property
    def packager(self) -> Packager:
        """What makes packages, each once."""
        if self._packager is None:
            from lambdaform.packaging.packager import Packager

            self._packager = Packager(self.root / STATE_FOLDER / "cache", say=self.say)
        return self._packager

    # -- packaging and checks

    def packages(self, *, only_ready: bool = False) -> tuple[dict[str, Package], list[Problem]]:
        """Address to package; with `only_ready` nothing is downloaded and what would need it is left out."""
        packages: dict[str, Package] = {}
        problems: list[Problem] = []
        for node in self.graph.nodes.values():
            if node.build is None:
                continue
            try:
                package = self.packager.ready(node.build) if only_ready else self.packager.contents(node.build)
            except Invalid as error:
                problems.extend(
                    attrs.evolve(problem, address=problem.address or f"{node.address}.code")
                    for problem in error.problems
                )
                continue
            if package is not None:
                packages[node.address] = package
        return packages, problems

    def check(self, packages: Mapping[str, Package], found: list[Problem]) -> list[Problem]:
        """All problems of the declaration: those handed in and what the rules find."""
        import datetime

        from lambdaform.aws.regions import regions
        from lambdaform.checks.rules import Facts, check

        builds = {node.address: node.build for node in self.graph.nodes.values() if node.build is not None}
        facts = Facts(
            today=datetime.date.today(),
            packages=packages,
            account=self.account,
            regions=regions() or None,
            region_is_known=self.region_is_known,
            deployed=_Deployed(self),
            read=lambda address, path: self.packager.read(builds[address], path),
        )
        return [*found, *check(self.graph, facts)]

    # -- planning

    def key(self, account: str | None) -> StateKey:
        """The state's key; `account` None while nobody has asked AWS."""
        from lambdaform.engine.state import StateKey

        graph = self.graph
        return StateKey(graph.stack, graph.stage, graph.region, account, self.endpoint)

    def resolver(
        self,
        outputs: Callable[[str], Mapping[str, Json] | None],
        aws: Aws | None,
        account: str | None,
    ) -> Resolver:
        """A resolver for this deployment."""
        from lambdaform.engine.resolve import Resolver
        from lambdaform.resources.catalog import class_of

        pseudo = {"region": self.graph.region, "partition": _partition(self.graph.region)}
        if account:
            pseudo["account"] = account
        other: dict[str, Mapping[str, Mapping[str, Json]] | None] = {}

        def stacks(name: str) -> Mapping[str, Mapping[str, Json]] | None:
            if name not in other:
                key = attrs.evolve(self.key(account), stack=name)
                state = self.store.find(key)
                other[name] = None if state is None else {a: r.outputs for a, r in state.records.items()}
            return other[name]

        return Resolver(
            outputs,
            stacks=stacks,
            existing=lambda kind, arn: class_of(kind).outputs_of_arn(arn),
            pseudo=pseudo,
            aws=aws,
        )

    def plan(
        self,
        packages: Mapping[str, Package],
        *,
        account: str | None = None,
        targets: frozenset[str] = frozenset(),
        delete_data: bool = False,
    ) -> tuple[Plan, State | None]:
        """The plan on the recorded state, without a call to AWS."""
        from lambdaform.engine.planner import Planner

        account = account or self.account
        state = self.store.find(self.key(account))
        key = state.key if state is not None else self.key(account)
        planner = Planner(
            self.graph,
            state,
            packages,
            key,
            lambda outputs: self.resolver(outputs, None, key.account),
            targets=targets,
            delete_data=delete_data,
            holds_data=_holds_data,
        )
        return planner.plan(), state

    def pinned(self, plan: Plan, packages: Mapping[str, Package]) -> Plan:
        """A plan with the digest of its declaration, so that it can be saved or compared with a saved one."""
        from lambdaform.engine.plan import digest_of

        hashes = {address: package.hash for address, package in packages.items()}
        return attrs.evolve(plan, digest=digest_of(self.graph.nodes, hashes))

    def guard(self, aws: Aws) -> str:
        """The account that answers. Raises `LambdaformError` when the stack is for another one."""
        account = aws.account
        if self.account is not None and self.account != account:
            raise LambdaformError(
                f"{self.graph.stack} is for the account {self.account}, and these credentials are of {account}",
                hint="name another --profile, or change account in the stack",
            )
        return account

    # -- applying

    def apply(
        self,
        plan: Plan,
        packages: Mapping[str, Package],
        aws: Aws,
        *,
        progress: Any = None,
        parallelism: int = 10,
        stop: threading.Event | None = None,
    ) -> State:
        """Carry a plan out; gives the state afterwards. The caller holds the lock.

        Raises `PartlyDeployed` when something failed, `Interrupted` when stopped; the state is saved either way.
        """
        from lambdaform.engine.applier import Applier
        from lambdaform.engine.state import State
        from lambdaform.resources.catalog import driver_of

        state = self.store.find(plan.key) or State(plan.key)
        if plan.lineage is not None and (state.lineage, state.serial) != (plan.lineage, plan.serial):
            raise LambdaformError(
                "the state has moved on since this plan was made", hint="make a new plan, and look at it again"
            )
        journal = self.store.journal(state)
        builds = {node.address: node.build for node in self.graph.nodes.values() if node.build is not None}
        try:
            applier = Applier(
                self.graph,
                plan,
                state,
                journal,
                aws,
                resolver_for=lambda outputs, session: self.resolver(outputs, session, plan.key.account),
                packages=packages,
                archive=lambda address: self.packager.archive(builds[address]),
                driver_of=driver_of,
                progress=progress,
                parallelism=parallelism,
                stop=stop,
            )
            outcome = applier.apply()
        except BaseException:
            journal.suspend()
            raise
        state.outputs = self._outputs(state, plan.key.account)
        journal.close()
        if state.is_empty():
            self.store.remove(plan.key)
        if outcome.interrupted:
            raise Interrupted(
                f"stopped after {len(outcome.done)} of {len(plan.changes)} changes; the state is saved",
                hint="run the same command again to go on",
            )
        if outcome.failed:
            count = len(outcome.failed)
            address, why = next(iter(outcome.failed.items()))
            raise PartlyDeployed(
                f"{count} change{'s' if count != 1 else ''} failed, {len(outcome.skipped)} waited for them, "
                f"{len(outcome.done)} were made; the state is saved\n       {address}: {why}",
                hint="mend what the messages name and run the same command again: it goes on from here",
                details={"failed": outcome.failed, "skipped": outcome.skipped},
            )
        return state

    def _outputs(self, state: State, account: str | None) -> dict[str, Json]:
        def outputs(address: str) -> Mapping[str, Json] | None:
            record = state.records.get(address)
            return None if record is None else record.outputs

        resolved = self.resolver(outputs, None, account).resolve(dict(self.graph.outputs), reveal=False)
        return {name: value for name, value in resolved.items() if isinstance(value, (str, int, float, bool))}

    def destroy_plan(self, aws: Aws, *, delete_data: bool) -> Plan | None:
        """The plan of taking everything away; None when nothing is deployed. Empty queues hold no data."""
        from lambdaform.engine.planner import keep_what_is_needed, plan_removal

        state = self.store.find(self.key(aws.account))
        if state is None:
            return None
        plan = plan_removal(state, delete_data=delete_data, holds_data=_holds_data)
        changes = [self._emptied(change, aws) for change in plan.changes]
        return attrs.evolve(plan, changes=tuple(keep_what_is_needed(changes)))

    @staticmethod
    def _emptied(change: Change, aws: Aws) -> Change:
        from lambdaform.engine.plan import Action

        if change.action is Action.KEEP and _is_empty(change, aws):
            return attrs.evolve(change, action=Action.DELETE, reason="it is empty")
        return change

    def require_unused(self, plan: Plan, *, following: Container[str] = ()) -> None:
        """Raise `LambdaformError` where another stack that is deployed here uses what the plan deletes.

        Stacks that are deployed right after it, by name, do not count: they are about to use it no more.
        """
        from lambdaform.engine.plan import Action
        from lambdaform.model.graph import references_in

        deleted = {change.address for change in plan.changes if change.action is Action.DELETE}
        uses = [
            f"{content[1]}, which {record.address} of {state.key.stack} uses"
            for state in (self.store.beside(plan.key) if deleted else ())
            if state.key.stack not in following
            for record in state.records.values()
            for key, content in references_in(dict(record.declared))
            if key == "@stack" and content[0] == plan.key.stack and content[1] in deleted
        ]
        if uses:
            raise LambdaformError(
                f"nothing was changed: this deletes {'; '.join(dict.fromkeys(uses))}",
                hint="destroy that stack first, or take the use out of it and deploy it: this one is deployed along",
            )

    @staticmethod
    def require_no_loss(plan: Plan, aws: Aws) -> None:
        """Raise `LambdaformError` where a replacement would delete what holds data. Empty queues hold no data."""
        from lambdaform.engine.plan import Action

        losing = [
            change.address
            for change in plan.changes
            if change.action is Action.REPLACE and _holds_data(change.kind) and not _is_empty(change, aws)
        ]
        if losing:
            raise LambdaformError(
                f"nothing was changed: a replacement deletes {', '.join(losing)} with the data in there",
                hint="to keep the data, declare the new one under another name and move it over; "
                "--delete-data says that it may go",
            )


def _is_empty(change: Change, aws: Aws) -> bool:
    from lambdaform.resources.catalog import driver_of

    is_empty = getattr(driver_of(change.kind), "is_empty", None)
    return change.record is not None and is_empty is not None and bool(is_empty(aws, change.record))


def _holds_data(kind: str) -> bool:
    from lambdaform.resources.catalog import class_of

    return class_of(kind).holds_data


class _Deployed(Container[str]):
    """Addresses in the recorded state, read when a rule first asks: most declarations never make one ask.

    None where it cannot be told, which only makes rules stricter.
    """

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._addresses: frozenset[str] | None = None

    def __contains__(self, address: object) -> bool:
        if self._addresses is None:
            try:
                state = self._deployment.store.find(self._deployment.key(self._deployment.account))
            except LambdaformError:
                state = None
            self._addresses = frozenset(state.records) if state is not None else frozenset()
        return address in self._addresses


def errors_of(problems: list[Problem]) -> list[Problem]:
    """The problems that stop a deploy."""
    return [problem for problem in problems if problem.severity is Severity.ERROR]


def _partition(region: str) -> str:
    if region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"
