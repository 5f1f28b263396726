"""`Resource`: what every declared thing is; `Grant` and `Trigger`: what connects them; `Scope`: how shorthand expands.

A resource is a frozen value compared by identity: two queues with equal settings are still two queues. It knows where
it was written and nothing of stacks, stages or AWS.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, TypeVar

import attrs

from lambdaform.model.output import Attribute, Input, Output
from lambdaform.model.source import Source, caller
from lambdaform.model.value import Value

if TYPE_CHECKING:
    from lambdaform.model.code import Build

R = TypeVar("R", bound="Resource")


@attrs.frozen(eq=False, repr=False)
class Naming(Value):
    """How a kind of resource is named in AWS: `{stack}-{stage}-{name}`, cut to what AWS allows."""

    limit: int
    """Most characters AWS takes."""
    allowed: str = "A-Za-z0-9_-"
    """Characters AWS takes, as in a regular expression's set."""
    with_region: bool = False
    """Whether the region is part of the name, because the name space is global."""
    with_account: bool = False
    """Whether the account is part of the name, because the name space is everybody's."""
    lower: bool = False
    prefix: str = ""


@attrs.frozen(kw_only=True, eq=False, repr=False, slots=False)
class Resource:
    """One thing in AWS.

    `suppress` silences rules for this resource: a mapping of rule id to the reason why.
    """

    kind: ClassVar[str]
    """AWS's nouns: `sqs.queue`. The module `lambdaform.resources.sqs_queue` holds the declaration and its driver."""
    title: ClassVar[str]
    """What people call it: "queue"."""
    naming: ClassVar[Naming | None] = None
    """How it is named; None when AWS names it."""
    taggable: ClassVar[bool] = False
    """Whether it carries tags."""
    holds_data: ClassVar[bool] = False
    """Whether deleting it loses something that cannot be made again."""
    reference: ClassVar[str] = "arn"
    """The output meant when the resource itself is given as a value."""
    replacement: ClassVar[str] = "create first"
    """How it is replaced: `create first` under a new name, or `delete first` where the name cannot change."""

    suppress: Mapping[str, str] = attrs.field(factory=dict[str, str])
    where: Source = attrs.field(init=False, factory=caller, repr=False)
    owner: tuple[type, str] | None = attrs.field(init=False, default=None, repr=False)
    existing_arn: Input[str] | None = attrs.field(init=False, default=None, repr=False)

    def __repr__(self) -> str:
        return f"<{self.title} at {self.where}>"

    @classmethod
    def refer(cls, arn: Input[str], **settings: Any) -> Self:
        """A resource that lambdaform does not manage, known by its ARN; `existing` of each kind calls this."""
        resource = cls(**settings)
        object.__setattr__(resource, "existing_arn", arn)
        return resource

    def moved_to(self, where: Source) -> Self:
        """The same object, said to be written at `where`: what shorthand expands to points at the shorthand."""
        object.__setattr__(self, "where", where)
        return self

    def owned_by(self, stack: type, name: str) -> None:
        """Remember the stack class and name under which this was first declared."""
        if self.owner is None:
            object.__setattr__(self, "owner", (stack, name))

    def expand(self, scope: Scope) -> None:
        """Turn shorthand into plain resources; a kind without shorthand does nothing."""

    @classmethod
    def outputs_of_arn(cls, arn: str) -> Mapping[str, str]:
        """The outputs of an existing resource, read from its ARN."""
        return {"arn": arn, "name": arn.rsplit(":", 1)[-1].rsplit("/", 1)[-1]}


class Scope(Protocol):
    """What a resource (or trigger) sees while its shorthand expands."""

    @property
    def name(self) -> str:
        """The name of the resource that expands, such as `worker`."""
        ...

    @property
    def stage(self) -> str: ...

    def derive(self, resource: R, *suffix: str) -> R:
        """Add a resource named after this one: `worker`, or `worker.inbox` with a suffix. Returns it."""
        ...

    def name_of(self, resource: Resource | Input[str]) -> str:
        """What a resource is called in this stack; for an ARN, its last part."""
        ...

    def physical_name(self, resource: Resource | None = None) -> str:
        """The name in AWS of this resource, or of another one that lambdaform names without the account."""
        ...

    def current(self, resource: R) -> R:
        """The resource that stands for `resource` in this stack, where a subclass has replaced it."""
        ...

    def plain(self, value: Input[Any] | None) -> Any:
        """A value with its `by_stage` resolved; an output that is known later is returned as it is."""
        ...

    def settle(self, prop: str, value: Any) -> None:
        """Give one prop of this resource a value that its own field does not hold, or holds as shorthand."""
        ...

    def package(self, build: Build) -> None:
        """Say which archive this resource carries."""
        ...

    def after(self, earlier: Resource, later: Resource | None = None) -> None:
        """Do `later` (this resource) after `earlier` where that makes no cycle."""
        ...

    def derived_after(self, earlier: Resource) -> None:
        """Do everything derived from this resource after `earlier`, where that makes no cycle."""
        ...

    def redirect(self, output: str, to: Output[str]) -> None:
        """Let an output of this resource be the one of a derived resource."""
        ...

    def problem(self, rule: str, what: str, *, prop: str = "", **details: str | None) -> None:
        """Report something wrong with the resource that expands."""
        ...


@attrs.frozen(eq=False, repr=False)
class Grant(Value):
    """Permission to do something with something; in `uses` also the value the code needs to reach it."""

    actions: tuple[str, ...]
    """Exact IAM actions."""
    resources: tuple[Input[str], ...]
    """Exact ARNs."""
    value: Input[str] | None = None
    """What goes into the environment variable when the grant stands in `uses`."""
    target: Resource | None = None
    """The resource the grant is about, for drawings."""
    verb: str = ""
    """What it allows, for people: `send`."""
    conditions: Mapping[str, Mapping[str, Input[str]]] = attrs.field(factory=dict[str, Mapping[str, Input[str]]])

    def statement(self) -> dict[str, Any]:
        """The IAM statement."""
        statement: dict[str, Any] = {
            "Effect": "Allow",
            "Action": list(self.actions),
            "Resource": list(self.resources),
        }
        if self.conditions:
            statement["Condition"] = dict(self.conditions)
        return statement


@attrs.frozen(kw_only=True, eq=False, repr=False, slots=False)
class Trigger:
    """Something that makes a function run: expands to plain resources, and says what the function's role needs."""

    event: ClassVar[str]
    """The event it delivers: `sqs`, `s3`, `schedule`; what `invoke --event` takes."""
    asynchronous: ClassVar[bool] = False
    """Whether its events go through Lambda's asynchronous queue."""
    where: Source = attrs.field(init=False, factory=caller, repr=False)

    def attach(self, function: Resource, target: Output[str], scope: Scope) -> Iterable[Grant]:
        """Derive the resources that connect the source to `target` (the function's or its alias's ARN)."""
        raise NotImplementedError

    def source(self) -> Resource | None:
        """The resource events come from, if it is one."""
        return None


def arn_of(resource: Resource) -> Output[str]:
    """The ARN of a resource, as an output."""
    return Attribute(resource, "arn")
