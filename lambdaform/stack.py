"""`Stack`: what a user subclasses. A class is a design made of resources; an instance is one stage of it."""

from __future__ import annotations

import gc
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn, TypeVar, cast

from lambdaform.model.graph import Graph, GraphBuilder
from lambdaform.model.kinds import described
from lambdaform.model.output import Attribute, Output, Text
from lambdaform.model.problem import Invalid, LambdaformError, Problem, Severity
from lambdaform.model.resource import Resource
from lambdaform.model.settings import problems_of
from lambdaform.model.source import Source

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from lambdaform.testing.session import LocalAws

R = TypeVar("R", bound=Resource)


def _explain(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Say what is wrong where a stack's file ends before it comes to its command line."""
    from lambdaform.model.misuse import problem_of

    problem = problem_of(error)
    shown = error if isinstance(error, LambdaformError) else Invalid([problem]) if problem is not None else None
    if shown is None:
        sys.__excepthook__(kind, error, trace)
        return
    from lambdaform.cli.program import show_error

    show_error(shown)
    raise SystemExit(shown.exit_code)


if sys.excepthook is sys.__excepthook__:  # whoever shows errors in a way of their own goes on doing so
    sys.excepthook = _explain


class Stack:
    """One deployable design.

    Attributes that are resources belong to the stack under their attribute's name; attributes that are outputs of
    resources (`address = api.url`) are shown after a deploy. A subclass that overrides a resource rewires the rest.

    `name`, `region`, `account` and `tags` may be set on the class; stage and region also from the command line.
    """

    name: ClassVar[str | None] = None
    """What the stack is called in names and tags; the class's name in lower case with dashes when not given."""
    account: ClassVar[str | None] = None
    """The only account this may be deployed to."""
    default_stage: ClassVar[str] = "dev"
    """The stage when nobody names one."""
    default_region: ClassVar[str | None] = None
    """The region when nobody names one."""
    tags: ClassVar[Mapping[str, str]] = {}
    """Tags of everything in the stack that can carry them."""

    stage: str
    region: str

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name, value in vars(cls).items():
            if isinstance(value, Resource):
                value.owned_by(cls, name)

    def __init__(self, stage: str | None = None, region: str | None = None) -> None:
        self.stage = stage or self.default_stage
        self.region = region or self.default_region or "us-east-1"
        self._added: dict[str, Resource] = {}
        self._problems: list[Problem] = []

    def build(self) -> None:
        """Add resources in code: override it, and call `self.add(name, resource)` in loops and conditions."""

    def add(self, name: str, resource: R) -> R:
        """Add a resource under a name; gives it back."""
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
            self._report("name-form", resource.where, f"{name!r} is no name for a resource", "letters, digits, - or _")
        elif name in self._added:
            self._report("name-collides", resource.where, f"two resources are called {name}", "a name of its own")
        else:
            self._added[name] = resource
            resource.owned_by(type(self), name)
        return resource

    def _report(self, rule: str, where: Source, what: str, allowed: str) -> None:
        self._problems.append(
            Problem(rule, Severity.ERROR, self.stack_name(), where, what, allowed=allowed, hint="rename one of them")
        )

    @classmethod
    def stack_name(cls) -> str:
        """What the stack is called in names and tags."""
        if isinstance(cast(object, cls.name), str) and cls.name:
            return cls.name
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", cls.__name__).lower()

    @classmethod
    def source_file(cls) -> Path:
        """The file the class is written in."""
        module = sys.modules.get(cls.__module__)
        file = getattr(module, "__file__", None)
        return Path(file or sys.argv[0]).absolute()

    def graph(self) -> Graph:
        """The resources of this instance, expanded, connected and ordered. Problems found are in it."""
        self._added = {}
        self._problems = []
        members, outputs, replaced = _members(type(self), self._problems)
        failed = self._built()
        if failed is not None:
            found = [*self._problems, failed]
            return GraphBuilder(self.stack_name(), str(self.stage), str(self.region)).nothing(found)
        for name in self._added:
            if name in members:
                where = self._added[name].where
                self._report("name-collides", where, f"{name} is an attribute of the stack as well", "another name")
        stage = {} if self.stage == self.default_stage else {"stage": self.stage}
        own = problems_of({**_settings(type(self)), **stage}, type(self).__name__, self._line_of)
        if found := list(own):
            return GraphBuilder(self.stack_name(), str(self.stage), str(self.region)).nothing([*self._problems, *found])
        builder = GraphBuilder(self.stack_name(), self.stage, self.region, tags=self.tags, replaced=replaced)
        builder.problems.extend(self._problems)
        return builder.build({**members, **self._added}, outputs)

    def _built(self) -> Problem | None:
        """Run `build`; what went wrong in the user's own lines, if anything did."""
        try:
            self.build()
        except LambdaformError:
            raise
        except Exception as error:
            from lambdaform.model.misuse import line_of, problem_of

            where = line_of(error.__traceback__)
            if where is None:
                raise
            what = f"`build` failed: {type(error).__name__}: {error}"
            hint = "correct the line; what is declared after it was not looked at"
            return problem_of(error) or Problem(
                "build-fails", Severity.ERROR, self.stack_name(), where, what, hint=hint
            )
        return None

    @classmethod
    def _line_of(cls, attribute: str) -> Source | None:
        """Where an attribute is given its value; found in the source, since plain values do not know."""
        import inspect

        for each in cls.__mro__:
            if attribute in vars(each):
                try:
                    lines, first = inspect.getsourcelines(each)
                except (OSError, TypeError):
                    return None
                found = (n for n, line in enumerate(lines) if re.match(rf"\s+{attribute}\s*[:=]", line))
                return Source(str(each.source_file()), first + next(found, 0)) if issubclass(each, Stack) else None
        return None

    @classmethod
    def main(cls) -> NoReturn:
        """The command line of this stack: `validate`, `plan`, `deploy`, `local` and the rest.

        Where it uses resources of other stacks, those are deployed first.
        """
        gc.disable()  # until all is loaded: that makes no garbage
        from lambdaform.cli.program import run

        run(cls)

    @classmethod
    def local(
        cls,
        *,
        clock: Literal["system", "virtual"] = "system",
        stage: str | None = None,
        brokers: Mapping[str, str] | None = None,
    ) -> AbstractContextManager[LocalAws]:
        """This stack on a local AWS, for tests: `with Orders.local() as aws`. Each use begins freshly deployed.

        `brokers` are addresses of real brokers by source, as `local --broker` has them.
        """
        from lambdaform.testing.session import local_aws

        return local_aws(cls(stage=stage), clock=clock, root=cls.source_file(), brokers=brokers)


def _settings(cls: type[Stack]) -> dict[str, Any]:
    return {name: getattr(cls, name) for name in ("name", "account", "default_stage", "default_region", "tags")}


_PER_RUN = ("stage", "region")
_OWN = frozenset(name for name in vars(Stack) if not name.startswith("__")) | {*_PER_RUN}


def _members(
    cls: type[Stack], problems: list[Problem]
) -> tuple[dict[str, Resource], dict[str, Output[Any]], dict[int, Resource]]:
    """The resources by name, most derived ones; the outputs; and what each overridden resource is replaced by."""
    found: dict[str, Resource | None] = {}
    outputs: dict[str, Output[Any]] = {}
    versions: dict[str, list[Resource]] = {}
    for each in reversed(cls.__mro__):
        for name, value in vars(each).items():
            if isinstance(value, Resource):
                if name in _OWN:
                    problems.append(_clash(cls, name, value))
                    continue
                found[name] = value
                versions.setdefault(name, []).append(value)
            elif name in _PER_RUN:
                problems.append(_misplaced(cls, name, value))
            elif (what := _holds_resources(value)) is not None and not name.startswith("__"):
                problems.append(_not_made(cls, name, what))
            elif name in found and value is None:
                found[name] = None  # a subclass takes it out
            elif isinstance(value, (Attribute, Text)) and name not in _OWN:
                outputs[name] = value
    members = {name: resource for name, resource in found.items() if resource is not None}
    names: dict[int, str] = {}
    for name, resource in members.items():
        if id(resource) in names:
            problems.append(
                Problem(
                    "one-object-two-names",
                    Severity.ERROR,
                    f"{resource.kind}.{name}",
                    resource.where,
                    f"{name} and {names[id(resource)]} are the same {resource.title}",
                    hint="keep one name, or make two of them",
                )
            )
        names[id(resource)] = name
    replaced = {
        id(old): members[name]
        for name, several in versions.items()
        if name in members
        for old in several
        if old is not members[name]
    }
    for name, several in versions.items():
        if name in members and any(old.kind != members[name].kind for old in several):
            problems.append(
                Problem(
                    "override-changes-kind",
                    Severity.ERROR,
                    f"{members[name].kind}.{name}",
                    members[name].where,
                    f"{name} was a {several[0].title} and is overridden by a {members[name].title}",
                    hint="override it with the same kind, or give it another name",
                )
            )
    return members, outputs, replaced


def _holds_resources(value: object) -> str | None:
    """What an attribute holds that looks like resources of the stack and is none."""
    if isinstance(value, type) and issubclass(value, Resource) and value.__module__.startswith("lambdaform."):
        return f"the class {value.__name__}"
    if isinstance(value, (list, tuple)) and any(isinstance(each, Resource) for each in cast("list[object]", value)):
        return "a list of resources"
    if isinstance(value, dict) and any(
        isinstance(each, Resource) for each in cast("dict[Any, object]", value).values()
    ):
        return "a dict of resources"
    return None


def _not_made(cls: type[Stack], name: str, what: str) -> Problem:
    is_class = what.startswith("the class")
    return Problem(
        "resource-not-made",
        Severity.ERROR,
        f"{cls.stack_name()}.{name}",
        cls._line_of(name),  # pyright: ignore[reportPrivateUsage]
        "would not be deployed",
        given=what,
        allowed="resources, each under a name",
        hint=f"write {what.removeprefix('the class ')}(...)" if is_class else "add each in build(self), with self.add",
    )


def _misplaced(cls: type[Stack], name: str, value: object) -> Problem:
    return Problem(
        "stack-setting",
        Severity.ERROR,
        f"{cls.__name__}.{name}",
        cls._line_of(name),  # pyright: ignore[reportPrivateUsage]
        "is not the stack's to say: every run has its own",
        given=described(value),
        hint=f"write default_{name} = {value!r}, which --{name} overrides" if isinstance(value, str) else "take it out",
    )


def _clash(cls: type[Stack], name: str, resource: Resource) -> Problem:
    return Problem(
        "name-reserved",
        Severity.ERROR,
        f"{resource.kind}.{name}",
        resource.where,
        f"{name} is a name of Stack's own",
        given=f"{cls.__name__}.{name}",
        hint="call the resource something else",
    )
