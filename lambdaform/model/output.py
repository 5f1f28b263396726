"""Values that are not known while a declaration is written: outputs of resources, settings per stage, secrets.

`Input[T]` is what a field takes: a plain value or an `Output[T]`. An output carries where it comes from, so the edges
of the graph are found by walking fields; nobody writes them down.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar, Union, cast, overload

import attrs

from lambdaform.model.value import Value

if TYPE_CHECKING:
    from lambdaform.model.resource import Resource

T = TypeVar("T")
U = TypeVar("U")


class Output(Generic[T]):
    """A value of type `T` that is known later: after deploy, or once the stage is."""

    __slots__ = ()

    def __str__(self) -> str:
        # An f-string would silently freeze a description of the output into an environment variable or a policy.
        raise TypeError(
            f"{self!r} is known only after deploy, so it cannot be part of a string; "
            f"write lambdaform.text('...{{}}...', output) instead"
        )


# One spelling for "plain, or known later" in all fields.
Input = Union[T, Output[T]]  # noqa: UP007 - mypy takes no other spelling of a generic alias


@attrs.frozen(repr=False)
class Attribute(Output[T]):
    """An output of a resource, such as a queue's URL."""

    resource: Resource
    name: str

    def __repr__(self) -> str:
        return f"<{self.name} of a {self.resource.kind}>"


@attrs.frozen(eq=False, repr=False)
class ByStage(Value, Output[T]):
    """A setting that differs from stage to stage; made by `by_stage`."""

    default: T | Output[T]
    stages: Mapping[str, T | Output[T]]

    def at(self, stage: str) -> T | Output[T]:
        """The value in `stage`."""
        return self.stages.get(stage, self.default)


@attrs.frozen
class Text(Output[str]):
    """A string with outputs in it; made by `text`."""

    template: str
    parts: tuple[str | Output[str], ...]


@attrs.frozen(eq=False, repr=False)
class Pseudo(Value, Output[str]):
    """`account`, `region` or `partition` of the deploy."""

    name: str


ACCOUNT_ID: Output[str] = Pseudo("account")
"""The account deployed to."""
REGION: Output[str] = Pseudo("region")
"""The region deployed to."""
PARTITION: Output[str] = Pseudo("partition")
"""`aws`, `aws-cn` or `aws-us-gov`."""


@attrs.frozen(eq=False, repr=False)
class Unreadable(Value):
    """Stands for a value that could not be read, so that all mistakes are shown together; never leaves the checks."""

    given: Any
    expected: str


def by_stage(default: T, **stages: T) -> ByStage[T]:
    """A setting per stage: `by_stage(256, prod=1024)` is 1024 in stage `prod` and 256 everywhere else."""
    return ByStage(default, stages)


def text(template: str, *parts: Input[str]) -> Output[str]:
    """A string with outputs in it: `text("{}/*", bucket.arn)`. Every `{}` takes one part."""
    if template.count("{}") != len(parts):
        raise ValueError(f"{template!r} has {template.count('{}')} places for {len(parts)} values")
    return Text(template, tuple(parts))


def lift(convert: Callable[[Any], Any], value: Any) -> Any:
    """Apply a converter to a plain value, or to each value of a `by_stage`; other outputs pass unchanged."""
    if isinstance(value, ByStage):
        staged = cast(ByStage[Any], value)
        return ByStage(
            lift(convert, staged.default), {name: lift(convert, each) for name, each in staged.stages.items()}
        )
    if isinstance(value, Output):
        return value  # pyright: ignore[reportUnknownVariableType]
    return convert(value)


class OutputField(Generic[T]):
    """Declares an output on a resource class; reading it from an instance gives the `Output[T]`."""

    __slots__ = ("doc", "name", "type", "volatile")

    def __init__(self, type: type[T], doc: str, *, volatile: bool) -> None:
        self.type = type
        self.doc = doc
        self.volatile = volatile
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> OutputField[T]: ...
    @overload
    def __get__(self, instance: Resource, owner: type) -> Output[T]: ...
    def __get__(self, instance: Resource | None, owner: type) -> OutputField[T] | Output[T]:
        return self if instance is None else Attribute(instance, self.name)


def output(type: type[T], doc: str, *, volatile: bool = False) -> OutputField[T]:
    """Declare an output of a resource.

    `volatile` outputs may change when the resource is updated in place, so whatever uses them changes as well.
    """
    return OutputField(type, doc, volatile=volatile)
