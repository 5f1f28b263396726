"""Compares a graph with a state: pure, offline, and quick where nothing changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import attrs

from lambdaform.engine.plan import Action, Change, FieldChange, FileChange, Plan
from lambdaform.engine.resolve import Resolver, Unknown
from lambdaform.engine.state import State, StateKey
from lambdaform.model.code import Package
from lambdaform.model.driver import Record
from lambdaform.model.graph import Graph, Node, references_in
from lambdaform.model.marks import fields_of
from lambdaform.model.output import OutputField

Json = Any


def volatile_outputs(cls: type) -> frozenset[str]:
    """The outputs of a kind that an update may change."""
    return frozenset(
        name
        for each in cls.__mro__
        for name, value in vars(each).items()
        if isinstance(value, OutputField) and value.volatile
    )


class Planner:
    """Makes one plan. `resolver_for` gives a resolver that looks outputs up with the function handed to it."""

    def __init__(
        self,
        graph: Graph,
        state: State | None,
        packages: Mapping[str, Package],
        key: StateKey,
        resolver_for: Callable[[Callable[[str], Mapping[str, Json] | None]], Resolver],
        *,
        targets: frozenset[str] = frozenset(),
        delete_data: bool = False,
        holds_data: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._graph = graph
        self._state = state or State(key)
        self._exists = state is not None
        self._packages = packages
        self._key = key
        self._dirty: dict[str, frozenset[str] | None] = {}
        """Address to the outputs that will change; None for all of them."""
        self._resolver = resolver_for(self._known_outputs)
        self._targets = targets
        self._delete_data = delete_data
        self._holds_data = holds_data
        self._volatile: dict[type, frozenset[str]] = {}

    def _known_outputs(self, address: str) -> Mapping[str, Json] | None:
        record = self._state.records.get(address)
        if record is None:
            return None
        if address not in self._dirty:
            return record.outputs
        changing = self._dirty[address]
        if changing is None:
            return None
        return {name: value for name, value in record.outputs.items() if name not in changing}

    def plan(self) -> Plan:
        """The plan: changes in an order in which they can be made, deletes last."""
        changes: list[Change] = []
        unchanged = 0
        wanted = self._wanted()
        for node in self._graph.nodes.values():
            if wanted is not None and node.address not in wanted:
                unchanged += node.address in self._state.records
                continue
            change = self._change(node)
            if change is None:
                unchanged += 1
            else:
                changes.append(change)
        if wanted is None:
            changes.extend(keep_what_is_needed(self._removals()))
        return Plan(
            key=self._key,
            lineage=self._state.lineage if self._exists else None,
            serial=self._state.serial,
            changes=tuple(changes),
            unchanged=unchanged,
        )

    def _wanted(self) -> set[str] | None:
        """With targets: they, what they expand to, and everything those need."""
        if not self._targets:
            return None
        todo = [
            node.address
            for node in self._graph.nodes.values()
            if node.address in self._targets or node.name.partition(".")[0] in self._targets
        ]
        wanted: set[str] = set()
        while todo:
            address = todo.pop()
            if address not in wanted:
                wanted.add(address)
                todo.extend(self._graph.nodes[address].needs)
        return wanted

    def _change(self, node: Node) -> Change | None:
        record = self._state.records.get(node.address) or self._state.kept.get(node.address)
        package = self._packages.get(node.address)
        if record is None:
            self._dirty[node.address] = None
            fields = tuple(
                FieldChange(name, None, self._resolver.resolve(value, reveal=False), sensitive=self._hides(node, name))
                for name, value in node.props.items()
            )
            return Change(node.address, node.kind, Action.CREATE, fields, node)
        if (
            not self._dirty
            and record.declared == node.props
            and (package is None or package.hash == record.package)
            and not (self._graph.stacks and _looks_elsewhere(node.props))
            and node.address not in self._state.kept
        ):
            return None
        fields = self._differences(node, record, package)
        if not fields:
            return None
        replacing = [field for field in fields if field.replaces]
        if replacing:
            self._dirty[node.address] = None
            return Change(
                node.address,
                node.kind,
                Action.REPLACE,
                fields,
                node,
                record,
                delete_first=self._deletes_first(node, record),
                reason="what it holds goes with it: needs --delete-data"
                if self._holds_data(node.kind) and not self._delete_data
                else "",
            )
        cls = type(node.resource)
        volatile = self._volatile.get(cls)
        if volatile is None:
            volatile = self._volatile[cls] = volatile_outputs(cls)
        if volatile and any(field.name != "tags" for field in fields):
            self._dirty[node.address] = volatile
        return Change(node.address, node.kind, Action.UPDATE, fields, node, record)

    def _deletes_first(self, node: Node, record: Record) -> bool:
        if node.resource.replacement == "delete first":
            return True
        explicit = node.props.get("name")
        return explicit is not None and explicit == record.physical_name

    def _hides(self, node: Node, name: str) -> bool:
        field = fields_of(type(node.resource)).get(name)
        return field is not None and field.sensitive

    def _differences(self, node: Node, record: Record, package: Package | None) -> tuple[FieldChange, ...]:
        fields = fields_of(type(node.resource))
        found: list[FieldChange] = []
        for name in dict.fromkeys([*node.props, *record.declared]):
            declared, before = node.props.get(name), record.declared.get(name)
            if declared == before and not self._may_have_moved(declared):
                continue
            new = self._resolver.resolve(declared, reveal=False)
            old = record.props.get(name)
            if declared == before and new == old:
                continue
            if new == old and not isinstance(new, Unknown):
                continue  # written differently, and the same
            field = fields.get(name)
            replaces = field.replaces.why if field and field.replaces else None
            found.append(FieldChange(name, old, new, replaces, sensitive=bool(field and field.sensitive)))
        if package is not None and package.hash != record.package:
            files = _file_changes(self._state.manifest_of(record.package), package.manifest())
            found.append(FieldChange("code", (record.package or "")[:12], package.hash[:12], files=files))
        return tuple(found)

    def _may_have_moved(self, declared: Json) -> bool:
        for key, content in references_in(declared):
            if key in ("@stack", "@existing"):
                return True
            if key == "@ref":
                address, output = content
                if address in self._dirty:
                    changing = self._dirty[address]
                    if changing is None or output in changing:
                        return True
        return False

    def _removals(self) -> list[Change]:
        """Deletes of what is declared no more, each before what it needed."""
        state = self._state
        gone = [address for address in state.records if address not in self._graph.nodes]
        changes: list[Change] = []
        for address in _needed_last(gone, state.records):
            record = state.records[address]
            if self._holds_data(record.kind) and not self._delete_data:
                changes.append(
                    Change(
                        address,
                        record.kind,
                        Action.KEEP,
                        record=record,
                        reason="it holds data: --delete-data deletes it",
                    )
                )
            else:
                changes.append(Change(address, record.kind, Action.DELETE, record=record, reason="declared no more"))
        if self._delete_data:
            changes.extend(
                Change(address, record.kind, Action.DELETE, record=record, group="kept", reason="kept until now")
                for address, record in state.kept.items()
                if address not in self._graph.nodes
            )
        changes.extend(
            Change(record.address, record.kind, Action.DELETE, record=record, group="retired", reason="replaced before")
            for record in state.retired.values()
        )
        changes.extend(
            Change(
                address,
                record.kind,
                Action.DELETE,
                record=record,
                group="pending",
                reason="a run that was cut off may have made it",
            )
            for address, record in state.pending.items()
            if address not in self._graph.nodes and address not in state.records
        )
        return changes


def _looks_elsewhere(props: Mapping[str, Json]) -> bool:
    """Whether props refer to something outside this stack's state, which may have changed by itself."""
    return any(
        key == "@stack"
        for value in props.values()
        if isinstance(value, (dict, list))
        for key, _ in references_in(value)
    )


def _needed_last(addresses: list[str], records: Mapping[str, Record]) -> list[str]:
    """Addresses so that each comes before what it needs."""
    order: list[str] = []
    seen: set[str] = set()
    chosen = set(addresses)

    def visit(address: str) -> None:
        if address in seen:
            return
        seen.add(address)
        for need in records[address].needs:
            if need in chosen:
                visit(need)
        order.append(address)

    for address in addresses:
        visit(address)
    return order[::-1]


def _file_changes(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[FileChange, ...]:
    found: list[FileChange] = []
    for path in sorted({*before, *after}):
        if path not in before:
            found.append(FileChange(path, Action.CREATE))
        elif path not in after:
            found.append(FileChange(path, Action.DELETE))
        elif before[path] != after[path]:
            found.append(FileChange(path, Action.UPDATE))
    return tuple(found)


def keep_what_is_needed(changes: list[Change]) -> list[Change]:
    """The same changes, but what a kept thing needs is kept with it."""
    kept = {change.address: change for change in changes if change.action is Action.KEEP}
    todo = list(kept.values())
    while todo:
        holder = todo.pop()
        for need in holder.record.needs if holder.record else ():
            for change in changes:
                if change.address == need and change.action is Action.DELETE and need not in kept:
                    kept[need] = attrs.evolve(change, action=Action.KEEP, reason=f"{holder.address} needs it")
                    todo.append(kept[need])
    return [kept.get(change.address, change) if change.group == "records" else change for change in changes]


def plan_removal(state: State, *, delete_data: bool, holds_data: Callable[[str], bool]) -> Plan:
    """The plan of `destroy`: everything goes, what holds data only when asked."""
    empty = Graph(state.key.stack, state.key.stage, state.key.region, {}, {}, (), ())
    nothing = cast(Any, None)
    return Planner(
        empty, state, {}, state.key, lambda _: nothing, delete_data=delete_data, holds_data=holds_data
    ).plan()
