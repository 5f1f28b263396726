"""A world with one kind of thing in it, and the driver for it: what the engine is tested against."""

import threading
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, TypeVar

import attrs

from lambdaform.model.driver import AwsError, Desired, Found, Record
from lambdaform.model.marks import Replaces
from lambdaform.model.output import Input, output
from lambdaform.model.resource import Naming, Resource

T = TypeVar("T")


@attrs.frozen(kw_only=True, eq=False)
class Thing(Resource):
    """Something that can be made, changed and removed."""

    kind: ClassVar[str] = "test.thing"
    title: ClassVar[str] = "thing"
    naming: ClassVar[Naming | None] = Naming(40)
    taggable: ClassVar[bool] = True

    size: Input[int] = 1
    """How big."""
    shape: Annotated[Input[str], Replaces("a thing keeps its shape")] = "round"
    """What it looks like."""
    other: Input[str] | None = None
    """Something of another thing."""
    secret: Input[str] | None = None
    """Something nobody may see."""

    arn = output(str, "Its ARN.")
    revision = output(str, "Changes with it.", volatile=True)


class World:
    """The things that exist, and `model.driver.Aws` without any network. `fail` and `die` break chosen steps."""

    account = "123456789012"
    region = "eu-central-1"
    partition = "aws"
    endpoint = None

    def __init__(self) -> None:
        self.things: dict[str, dict[str, Any]] = {}
        self.tags: dict[str, Mapping[str, str]] = {}
        self.calls: list[tuple[str, str]] = []
        self.secrets: dict[str, str] = {}
        self.fail: dict[tuple[str, str], Exception] = {}
        """(operation, physical name) to what it raises before anything happens."""
        self.die: dict[tuple[str, str], BaseException] = {}
        """The same, after it happened: the answer never comes."""
        self.lock = threading.Lock()

    def call(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        """Only secrets can be read."""
        return {"SecretString": self.secrets[params["SecretId"]]}

    def wait_for(self, what: str, look: Callable[[], T | None], *, seconds: float = 300) -> T:
        """Looks once."""
        found = look()
        assert found is not None, what
        return found

    def step(self, operation: str, name: str, change: Callable[[], object]) -> None:
        """One change of the world."""
        with self.lock:
            self.calls.append((operation, name))
            if (operation, name) in self.fail:
                raise self.fail[operation, name]
            change()
            if (operation, name) in self.die:
                raise self.die.pop((operation, name))


class ThingDriver:
    """The driver of `Thing` in one world."""

    exists = ("AlreadyThere",)

    def __init__(self, world: World) -> None:
        self.world = world

    def _outputs(self, name: str) -> Mapping[str, Any]:
        return {"arn": f"arn:{name}", "revision": str(self.world.things[name].get("size", 1))}

    def create(self, aws: Any, desired: Desired) -> Mapping[str, Any]:
        """Make it, unless there is one."""
        name = desired.physical_name

        def change() -> None:
            if name in self.world.things:
                raise AwsError("test", "Create", "AlreadyThere", f"{name} is there")
            self.world.things[name] = dict(desired.props)
            self.world.tags[name] = desired.tags

        self.world.step("create", name, change)
        return self._outputs(name)

    def update(self, aws: Any, desired: Desired, record: Record, changed: frozenset[str]) -> Mapping[str, Any]:
        """Change it."""
        name = record.physical_name

        def change() -> None:
            if name not in self.world.things:
                raise AwsError("test", "Update", "NotFound", f"{name} is not there", 404)
            self.world.things[name] = dict(desired.props)

        self.world.step("update", name, change)
        return self._outputs(name)

    def find(self, aws: Any, desired: Desired) -> Found | None:
        """The thing of that name."""
        name = desired.physical_name
        return Found(self._outputs(name), self.world.tags[name]) if name in self.world.things else None

    def read(self, aws: Any, record: Record) -> Mapping[str, Any] | None:
        """Its outputs."""
        return self._outputs(record.physical_name) if record.physical_name in self.world.things else None

    def delete(self, aws: Any, record: Record) -> None:
        """Remove it."""
        self.world.step("delete", record.physical_name, lambda: self.world.things.pop(record.physical_name, None))
