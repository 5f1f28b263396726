"""The seam between the engine and AWS: what a driver is, what it is given, and how AWS is called.

Drivers stand beside their declarations in `lambdaform.resources` and see AWS through `Aws` only, so the same driver
serves AWS, the local AWS, any other endpoint, and a fake in tests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

import attrs

from lambdaform.model.code import Package

Json = Any
T = TypeVar("T")

STACK_TAG = "lambdaform:stack"
STAGE_TAG = "lambdaform:stage"
ADDRESS_TAG = "lambdaform:address"


class AwsError(Exception):
    """AWS refused a call. Told apart by `code`; `message` is AWS's own text."""

    def __init__(self, service: str, operation: str, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{service}:{operation} answered {code}: {message}")
        self.service = service
        self.operation = operation
        self.code = code
        self.message = message
        self.status = status


class Aws(Protocol):
    """AWS, or whatever stands in for it, in one account and region."""

    @property
    def account(self) -> str: ...
    @property
    def region(self) -> str: ...
    @property
    def partition(self) -> str: ...
    @property
    def endpoint(self) -> str | None:
        """The address of what stands in for AWS; None for AWS itself."""
        ...

    def call(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        """One call; the answer without its metadata. Raises `AwsError`.

        Throttles, and refusals that AWS documents as "not visible yet", are retried before they are raised.
        """
        ...

    def wait_for(self, what: str, look: Callable[[], T | None], *, seconds: float = 300) -> T:
        """Look again, with growing pauses, until `look` gives something; raises `LambdaformError` naming `what`."""
        ...


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Desired:
    """One resource as it shall be: every reference resolved."""

    address: str
    kind: str
    physical_name: str
    """The name in AWS; the address's name where AWS names the thing itself."""
    props: Mapping[str, Json]
    tags: Mapping[str, str]
    """lambdaform's own tags and the user's."""
    package: Package | None = None
    """The archive to upload, for what carries code."""
    artifacts: Callable[[Package], tuple[str, str]] | None = None
    """Puts an archive that is too big for a request into the artifact bucket; gives bucket and key."""

    def get(self, prop: str, default: Any = None) -> Any:
        """A prop, or `default` when it is not set."""
        return self.props.get(prop, default)


@attrs.frozen(kw_only=True, repr=False)
class Record:
    """One resource as it was last seen: what was asked for, and what AWS gave."""

    address: str
    kind: str
    physical_name: str
    declared: Mapping[str, Json]
    """Props with references, as the graph had them."""
    props: Mapping[str, Json]
    """Props with references resolved, secrets left as references."""
    outputs: Mapping[str, Json]
    needs: tuple[str, ...] = ()
    package: str | None = None
    """Hash of the contents of its archive."""
    build: str | None = None
    """Which manifest in the state belongs to `package`."""


@attrs.frozen(eq=False, repr=False)
class Found:
    """A thing that exists under the name a create wanted."""

    outputs: Mapping[str, Json]
    tags: Mapping[str, str] | None
    """Its tags; None for what cannot be tagged and belongs to a resource that is."""


class Driver(Protocol):
    """How one kind of resource is made, changed and removed.

    Every method may be called again after a crash: deleting what is gone succeeds, and a create that finds the thing
    there raises one of `exists`, upon which the engine asks `find` whose it is.
    """

    @property
    def exists(self) -> tuple[str, ...]:
        """Error codes that mean "there is one already"."""
        ...

    def create(self, aws: Aws, desired: Desired) -> Mapping[str, Json]:
        """Make it; gives its outputs. Optional calls are made only for settings that are declared."""
        ...

    def update(self, aws: Aws, desired: Desired, record: Record, changed: frozenset[str]) -> Mapping[str, Json]:
        """Change the props named in `changed` (`code` for its archive, `tags`); gives its outputs."""
        ...

    def find(self, aws: Aws, desired: Desired) -> Found | None:
        """The thing that stands in the way of a create."""
        ...

    def read(self, aws: Aws, record: Record) -> Mapping[str, Json] | None:
        """The outputs as AWS has them now; None when it is gone."""
        ...

    def delete(self, aws: Aws, record: Record) -> None:
        """Remove it; succeeds when it is gone already."""
        ...


def is_missing(error: AwsError) -> bool:
    """Whether AWS says that the thing is not there."""
    return error.status == 404 or error.code.removesuffix("Exception") in _MISSING


_MISSING = frozenset(
    {
        "NoSuchEntity",
        "ResourceNotFound",
        "NotFound",
        "AWS.SimpleQueueService.NonExistentQueue",
        "QueueDoesNotExist",
        "NoSuchBucket",
        "NoSuchKey",
        "404",
    }
)


def changed_tags(old: Mapping[str, str] | None, new: Mapping[str, str] | None) -> tuple[dict[str, str], list[str]]:
    """The tags to set and the keys to remove."""
    before, after = dict(old or {}), dict(new or {})
    return ({k: v for k, v in after.items() if before.get(k) != v}, [k for k in before if k not in after])
