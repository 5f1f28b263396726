"""The graph: named resources with found edges, in order. What checks, planner, drawings and tests read.

`GraphBuilder` makes it from named resources in three steps, each a method: expand shorthand, encode every resource's
props as plain data with references, order the nodes. It reports what it finds wrong and always returns a graph.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, cast

import attrs

from lambdaform.model.code import Build, Code
from lambdaform.model.kinds import described, misfits
from lambdaform.model.marks import fields_of
from lambdaform.model.naming import physical_name
from lambdaform.model.ordering import ordered, reaches
from lambdaform.model.output import (
    Attribute,
    ByStage,
    Input,
    Output,
    Pseudo,
    Text,
    Unreadable,
)
from lambdaform.model.problem import Problem, Severity
from lambdaform.model.resource import R, Resource
from lambdaform.model.secret import Parameter, Secret
from lambdaform.model.source import Source, expanding

Json = Any

REFERENCES = ("@ref", "@existing", "@stack", "@text", "@secret", "@parameter", "@pseudo")
"""Keys of the one-key mappings that stand for values known later."""


@attrs.frozen(eq=False, repr=False)
class Node:
    """A resource in its place: named, with its props as plain data and the addresses it needs."""

    address: str
    """`{kind}.{name}`: `lambda.function.worker`."""
    name: str
    """`worker`, or `worker.inbox` for what connects the two."""
    resource: Resource
    props: dict[str, Json]
    """Everything set to other than its default; a value known later is a one-key mapping from `REFERENCES`."""
    needs: tuple[str, ...]
    """Addresses that must exist first."""
    parent: str | None
    """The address of the resource whose shorthand made it."""
    physical_name: str | None
    """The name in AWS, with `{account}` where that is part of it; None when AWS gives the name."""
    build: Build | None

    @property
    def kind(self) -> str:
        """The kind of the resource."""
        return self.resource.kind


@attrs.frozen(eq=False, repr=False)
class Graph:
    """All resources of one stack in one stage, in an order in which each comes after what it needs."""

    stack: str
    stage: str
    region: str
    nodes: Mapping[str, Node]
    outputs: Mapping[str, Json]
    """What the stack shows after a deploy, encoded like props."""
    stacks: tuple[type, ...]
    """Other stack classes whose resources are referred to; they are deployed first."""
    problems: tuple[Problem, ...]
    """What was wrong already while building."""
    addresses: Mapping[int, str] = attrs.field(repr=False, factory=dict[int, str])
    """Identity of a resource to its address."""

    def address_of(self, resource: Resource) -> str | None:
        """The address of a declared resource; None when this stack does not manage it."""
        return self.addresses.get(id(resource))

    def of_kind(self, kind: str) -> list[Node]:
        """All nodes of one kind, in order."""
        return [node for node in self.nodes.values() if node.kind == kind]


@attrs.define(eq=False, repr=False)
class _Draft:
    """A node while it is being built."""

    address: str
    name: str
    resource: Resource
    parent: str | None
    settled: dict[str, Any] = attrs.field(factory=dict[str, Any])
    redirects: dict[str, Output[str]] = attrs.field(factory=dict[str, Output[str]])
    soft: list[Resource] = attrs.field(factory=list[Resource])
    build: Build | None = None
    is_named: bool = False
    physical_name: str | None = None
    props: dict[str, Json] = attrs.field(factory=dict[str, Json])
    needs: dict[str, None] = attrs.field(factory=dict[str, None])


_PLAIN = frozenset({str, int, bool, float})


@lru_cache(maxsize=256)
def _sent(cls: type) -> tuple[tuple[tuple[str, Any], ...], Callable[[Resource], tuple[Any, ...]]]:
    """The fields of a kind that are sent with it, with their defaults; and what reads all of them in one step."""
    found = tuple((name, field.default) for name, field in fields_of(cls).items() if not field.expands)
    names = [name for name, _ in found]
    return found, operator.attrgetter(*names) if len(names) > 1 else lambda each: tuple(getattr(each, n) for n in names)


def references_in(value: Json) -> Iterable[tuple[str, Json]]:
    """Every reference in encoded props, as (which of `REFERENCES`, its content)."""
    if isinstance(value, dict):
        mapping = cast(dict[str, Json], value)
        if len(mapping) == 1:
            key, content = next(iter(mapping.items()))
            if key in REFERENCES:
                yield key, content
                if key == "@text":
                    for part in content[1]:
                        yield from references_in(part)
                return
        for each in mapping.values():
            yield from references_in(each)
    elif isinstance(value, list):
        for each in cast(list[Json], value):
            yield from references_in(each)


def is_known(value: Json) -> bool:
    """Whether an encoded value can be judged before deploy."""
    if not isinstance(value, dict):
        return True
    mapping = cast(dict[str, Json], value)
    return not (len(mapping) == 1 and next(iter(mapping)) in REFERENCES)


class GraphBuilder:
    """Builds one graph from named resources. `replaced` maps an overridden resource to what stands for it now."""

    def __init__(
        self,
        stack: str,
        stage: str,
        region: str,
        *,
        tags: Mapping[str, str] | None = None,
        replaced: Mapping[int, Resource] | None = None,
    ) -> None:
        self.stack = stack
        self.stage = stage
        self.region = region
        self.tags = dict(tags or {})
        self.replaced = replaced or {}
        self.problems: list[Problem] = []
        self.stacks: dict[type, None] = {}
        self.drafts: dict[str, _Draft] = {}
        self.by_identity: dict[int, _Draft] = {}
        self.checked_arns: set[int] = set()
        self.kept: list[Resource] = []  # keeps derived resources alive, so that identities stay theirs
        self._encoding: _Draft | None = None
        self._prop = ""

    def build(self, named: Mapping[str, Resource], outputs: Mapping[str, Input[Any]] | None = None) -> Graph:
        """The graph of these resources and everything they expand to."""
        for name, resource in named.items():
            if resource.existing_arn is None:
                self._add(name, resource, None)
        if self._has_misfits():  # shorthand and rules read values as what they are declared to be
            return self.nothing()
        self._expand(list(self.drafts.values()))
        for draft in self.drafts.values():
            self._encode_draft(draft)
        ordered = self._order()
        self._encoding = None
        encoded_outputs = {name: self.encode(value) for name, value in (outputs or {}).items()}
        nodes = {
            draft.address: Node(
                address=draft.address,
                name=draft.name,
                resource=draft.resource,
                props=draft.props,
                needs=tuple(draft.needs),
                parent=draft.parent,
                physical_name=self.physical_name(draft),
                build=draft.build,
            )
            for draft in ordered
        }
        return Graph(
            self.stack,
            self.stage,
            self.region,
            nodes,
            encoded_outputs,
            tuple(self.stacks),
            tuple(self.problems),
            self._addresses(),
        )

    def nothing(self, problems: Iterable[Problem] = ()) -> Graph:
        """A graph of problems alone, where they keep the resources from being read."""
        return Graph(self.stack, self.stage, self.region, {}, {}, (), (*self.problems, *problems), {})

    def _addresses(self) -> dict[int, str]:
        found = {identity: draft.address for identity, draft in self.by_identity.items()}
        for identity, resource in self.replaced.items():
            draft = self.by_identity.get(id(resource))
            if draft is not None:
                found[identity] = draft.address
        return found

    # -- step 1: names and shorthand

    def _add(self, name: str, resource: Resource, parent: str | None) -> _Draft:
        address = f"{resource.kind}.{name}"
        draft = _Draft(address, name, resource, parent)
        earlier = self.drafts.get(address)
        if earlier is not None:
            self.report(
                "name-collides",
                draft,
                f"two resources are called {name}",
                where=resource.where,
                given=f"the other one is at {earlier.resource.where}",
                hint="give one of them another name",
            )
            return earlier
        self.drafts[address] = draft
        self.by_identity[id(resource)] = draft
        self.kept.append(resource)
        return draft

    def _has_misfits(self) -> bool:
        """Report every value of another kind than its field takes."""
        before = len(self.problems)
        seen = dict[int, object]()
        for draft in self.drafts.values():
            for misfit in misfits(draft.resource, seen):
                self.report(
                    "wrong-kind",
                    draft,
                    "is a value of another kind than this setting takes",
                    prop=misfit.field,
                    given=misfit.given,
                    allowed=misfit.allowed,
                    hint=misfit.hint,
                )
        return len(self.problems) > before

    def _expand(self, drafts: list[_Draft]) -> None:
        for draft in drafts:
            scope = _Scope(self, draft)
            token = expanding.set(draft.resource.where)
            try:
                draft.resource.expand(scope)
            finally:
                expanding.reset(token)
            self._expand(scope.derived)

    def current(self, resource: R) -> R:
        """What stands for `resource` in this stack."""
        return cast(R, self.replaced.get(id(resource), resource))

    def physical_name(self, draft: _Draft) -> str | None:
        """The name of a draft in AWS."""
        if not draft.is_named:
            draft.physical_name = self._physical_name(draft)
            draft.is_named = True
        return draft.physical_name

    def _physical_name(self, draft: _Draft) -> str | None:
        resource = draft.resource
        explicit = draft.settled.get("name", getattr(resource, "name", None)) if resource.naming is not None else None
        if isinstance(explicit, ByStage):
            explicit = cast(Any, explicit).at(self.stage)
        if isinstance(explicit, str):
            return explicit
        if resource.naming is None:
            return None
        suffix = ".fifo" if getattr(resource, "fifo", False) is True else ""
        name = draft.name.replace(".", "-")
        return physical_name(resource.naming, self.stack, self.stage, name, self.region, suffix=suffix)

    # -- step 2: props as plain data

    def _encode_draft(self, draft: _Draft) -> None:
        self._encoding = draft
        resource = draft.resource
        props = draft.props
        settled = draft.settled
        fields, read = _sent(type(resource))
        for (name, default), written in zip(fields, read(resource), strict=True):
            value = settled.pop(name) if name in settled else written
            if value is default or value is None:
                continue
            self._prop = name
            encoded = value if type(value) in _PLAIN else self.encode(value)
            if encoded is None or (encoded == default and type(encoded) is type(default)):
                continue
            if encoded in ([], {}):
                continue
            props[name] = encoded
        for name, value in draft.settled.items():
            self._prop = name
            encoded = self.encode(value)
            if encoded is not None and encoded not in ([], {}):
                props[name] = encoded
        if resource.taggable and self.tags:
            props["tags"] = {**self.tags, **props.get("tags", {})}

    def encode(self, value: Any) -> Json:
        """A value as plain data; outputs become references, and the node being encoded comes to need what they name."""
        # The common cases by their exact type, because there are many of them.
        kind: type = type(value)  # pyright: ignore[reportUnknownVariableType]
        if value is None or kind in _PLAIN:
            return value
        if kind is Attribute:
            return self._reference(value.resource, value.name)
        if kind is dict:
            encode = self.encode
            return {
                str(key): each if type(each) in _PLAIN else encode(each)
                for key, each in cast(dict[Any, Any], value).items()
            }
        if kind is tuple or kind is list:
            encode = self.encode
            return [each if type(each) in _PLAIN else encode(each) for each in cast(list[Any], value)]
        if isinstance(value, ByStage):
            return self.encode(cast(Any, value).at(self.stage))
        if isinstance(value, Resource):
            return self._reference(value, value.reference)
        if isinstance(value, Attribute):
            return self._reference(cast(Any, value).resource, cast(Any, value).name)
        if isinstance(value, (list, tuple)):
            return [self.encode(each) for each in cast(list[Any], value)]
        if isinstance(value, Mapping):
            return {str(key): self.encode(each) for key, each in cast(Mapping[Any, Any], value).items()}
        if isinstance(value, Text):
            return {"@text": [value.template, [self.encode(part) for part in value.parts]]}
        if isinstance(value, Secret):
            return {"@secret": [value.name, value.key]}
        if isinstance(value, Parameter):
            return {"@parameter": value.path}
        if isinstance(value, Pseudo):
            return {"@pseudo": value.name}
        if isinstance(value, Unreadable):
            self.report(
                "value-unreadable",
                self._encoding,
                "cannot be read",
                prop=self._prop,
                given=repr(value.given),
                allowed=value.expected,
                hint="write it in one of these forms",
            )
            return None
        if isinstance(value, Code):
            return None  # its package stands for it
        cls: type = type(value)  # pyright: ignore[reportUnknownVariableType]
        if attrs.has(cls):
            return {
                field.name: encoded
                for field in attrs.fields(cls)
                if field.init and (encoded := self.encode(getattr(value, field.name))) is not None
            }
        if isinstance(value, (str, int, float)):  # an enum of one of them
            return value
        self.report(
            "wrong-kind",
            self._encoding,
            "is a value that cannot be sent to AWS",
            prop=self._prop,
            given=described(value),
            allowed="texts, numbers, True, False, None, lists and dicts of them, and outputs of resources",
            hint="give one of these",
        )
        return None

    def _reference(self, resource: Resource, output: str) -> Json:
        resource = self.current(resource)
        if resource.existing_arn is not None:
            self._check_arn(resource)
            return {"@existing": [resource.kind, self.encode(resource.existing_arn), output]}
        draft = self.by_identity.get(id(resource))
        if draft is not None:
            if output in draft.redirects:
                return self.encode(draft.redirects[output])
            if self._encoding is not None and draft is not self._encoding:
                self._encoding.needs[draft.address] = None
            elif draft is self._encoding:
                self.report(
                    "refers-to-itself",
                    draft,
                    f"needs its own {output}, which is known only after it exists",
                    prop=self._prop,
                    hint="read it at run time instead, or move it to another resource",
                )
                return None
            return {"@ref": [draft.address, output]}
        if resource.owner is not None:
            owner, name = resource.owner
            self.stacks[owner] = None
            return {"@stack": [cast(Any, owner).stack_name(), f"{resource.kind}.{name}", output]}
        self.report(
            "resource-without-name",
            self._encoding,
            f"uses a {resource.title} that has no name",
            prop=self._prop,
            where=resource.where,
            hint="make it an attribute of the stack class, or add it with self.add(name, ...)",
        )
        return None

    def _check_arn(self, resource: Resource) -> None:
        """Report an existing resource whose ARN is none, once."""
        arn, service = resource.existing_arn, resource.kind.partition(".")[0]
        if isinstance(arn, Output) or id(resource) in self.checked_arns:
            return
        self.checked_arns.add(id(resource))
        parts = arn.split(":", 5) if isinstance(cast(object, arn), str) and arn is not None else []
        if len(parts) == 6 and parts[0] == "arn" and parts[2] == service and parts[5]:
            return
        self.report(
            "existing-arn",
            self._encoding,
            f"names a {resource.title} by something other than its ARN",
            prop=self._prop,
            where=resource.where,
            given=described(arn),
            allowed=f"arn:aws:{service}:... of the {resource.title}",
            hint="give the ARN, not a name or an address",
        )

    # -- step 3: order

    def _order(self) -> list[_Draft]:
        """Drafts so that each comes after its needs, otherwise as declared; soft edges are dropped where they cycle."""
        needs = {address: draft.needs for address, draft in self.drafts.items()}
        for draft in self.drafts.values():
            for earlier in draft.soft:
                other = self.by_identity.get(id(self.current(earlier)))
                if other is None or other is draft or other.address in draft.needs:
                    continue
                if not reaches(needs, other.address, draft.address):
                    draft.needs[other.address] = None
        return [self.drafts[address] for address in ordered(needs, self._report_cycle)]

    def _report_cycle(self, path: list[str]) -> None:
        draft = self.drafts[path[0]]
        self.report(
            "cycle",
            draft,
            "resources need each other in a circle",
            given=" needs ".join(path),
            hint="take one of these references out; a function can be told by name with physical names",
        )

    def report(
        self,
        rule: str,
        draft: _Draft | None,
        what: str,
        *,
        prop: str = "",
        where: Source | None = None,
        given: str | None = None,
        allowed: str | None = None,
        hint: str | None = None,
        link: str | None = None,
        severity: Severity = Severity.ERROR,
    ) -> None:
        """Note a problem."""
        address = (draft.address if draft else "outputs") + (f".{prop}" if prop else "")
        place = where or (draft.resource.where if draft else None)
        self.problems.append(Problem(rule, severity, address, place, what, given, allowed, hint, link))


class _Scope:
    """`Scope` for one resource of a `GraphBuilder`."""

    def __init__(self, builder: GraphBuilder, draft: _Draft) -> None:
        self._builder = builder
        self._draft = draft
        self.derived: list[_Draft] = []

    @property
    def name(self) -> str:
        return self._draft.name

    @property
    def stage(self) -> str:
        return self._builder.stage

    def derive(self, resource: R, *suffix: str) -> R:
        resource.moved_to(self._draft.resource.where)
        draft = self._builder._add(  # pyright: ignore[reportPrivateUsage]
            ".".join((self._draft.name, *suffix)), resource, self._draft.address
        )
        self.derived.append(draft)
        return cast(R, draft.resource)

    def name_of(self, resource: Resource | Input[str]) -> str:
        if isinstance(resource, Attribute):
            resource = cast(Any, resource).resource
        if isinstance(resource, Resource):
            current = self._builder.current(resource)
            draft = self._builder.by_identity.get(id(current))
            if draft is not None:
                return draft.name
            if current.owner is not None:
                return current.owner[1]
            resource = current.existing_arn or current.kind
        if isinstance(resource, str):
            return resource.rsplit(":", 1)[-1].rsplit("/", 1)[-1].replace(".", "-")
        return "source"

    def physical_name(self, resource: Resource | None = None) -> str:
        draft = self._draft if resource is None else self._builder.by_identity[id(self._builder.current(resource))]
        return self._builder.physical_name(draft) or draft.name

    def current(self, resource: R) -> R:
        return self._builder.current(resource)

    def plain(self, value: Any) -> Any:
        while isinstance(value, ByStage):
            value = cast(Any, value).at(self._builder.stage)
        return value

    def settle(self, prop: str, value: Any) -> None:
        self._draft.settled[prop] = value

    def package(self, build: Build) -> None:
        self._draft.build = build

    def after(self, earlier: Resource, later: Resource | None = None) -> None:
        draft = self._draft if later is None else self._builder.by_identity[id(later)]
        draft.soft.append(earlier)

    def derived_after(self, earlier: Resource) -> None:
        for draft in self.derived:
            if draft.resource is not earlier:
                draft.soft.append(earlier)

    def redirect(self, output: str, to: Output[str]) -> None:
        self._draft.redirects[output] = to

    def problem(self, rule: str, what: str, *, prop: str = "", **details: str | None) -> None:
        self._builder.report(rule, self._draft, what, prop=prop, **details)  # type: ignore[arg-type]
