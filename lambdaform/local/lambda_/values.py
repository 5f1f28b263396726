"""What the control plane keeps: functions, versions, aliases, layers, mappings. Plain frozen values.

Settings that AWS hands back as it got them stay in the spelling of its API (`settings`); what the executor acts on has
a property. A change makes a new value, so a checkpoint is a copy of references.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Literal, TypeVar

import attrs

from lambdaform.local.event_sources import Kind
from lambdaform.local.lambda_.naming import LATEST, function_arn
from lambdaform.local.ports import Json

T = TypeVar("T")
State = Literal["Pending", "Active", "Inactive", "Failed"]


@attrs.frozen
class Code:
    """An archive in the code store, or an image that is not run here."""

    sha256: str
    """Base64, as CodeSha256 shows it."""
    size: int
    unzipped: int
    key: str | None
    """The archive's name in the code store; None for an image."""
    image_uri: str | None = None
    resolved_uri: str | None = None


@attrs.frozen
class Version:
    """A function's code and configuration: `$LATEST`, or frozen under a number."""

    number: str
    settings: Mapping[str, Json]
    """In AWS's spelling, with every default filled in; see `configuration.py`."""
    code: Code
    last_modified: str
    revision: str
    generation: str
    """Changes with code and configuration, and with nothing else: environments of another one are retired."""
    state: State = "Pending"
    update: Literal["InProgress", "Successful", "Failed"] | None = None
    reason: str | None = None
    """Why it failed."""
    reason_code: str | None = None

    @property
    def has_snapshot(self) -> bool:
        """Whether its environments are restored from a snapshot: a published version with SnapStart."""
        return self.number != LATEST and self.settings["SnapStart"]["ApplyOn"] == "PublishedVersions"

    @property
    def is_per_tenant(self) -> bool:
        """Whether no environment of it serves more than one tenant."""
        config: Mapping[str, Json] | None = self.settings.get("TenancyConfig")
        return config is not None and config.get("TenantIsolationMode") == "PER_TENANT"

    @property
    def runtime(self) -> str:
        """The declared runtime; empty for an image."""
        return self.settings.get("Runtime", "")

    @property
    def handler(self) -> str:
        return self.settings.get("Handler", "")

    @property
    def role(self) -> str:
        return self.settings["Role"]

    @property
    def memory_size(self) -> int:
        """MB."""
        return self.settings["MemorySize"]

    @property
    def timeout(self) -> int:
        """Seconds."""
        return self.settings["Timeout"]

    @property
    def environment(self) -> Mapping[str, str]:
        return self.settings.get("Environment", {}).get("Variables", {})

    @property
    def layers(self) -> Sequence[str]:
        """ARNs of layer versions, in order."""
        return self.settings.get("Layers", ())

    @property
    def dead_letter_arn(self) -> str | None:
        return self.settings.get("DeadLetterConfig", {}).get("TargetArn")

    @property
    def logging(self) -> Mapping[str, str]:
        return self.settings["LoggingConfig"]


@attrs.frozen
class Alias:
    """A name for a version, with a share of the traffic for at most one other."""

    name: str
    version: str
    description: str
    weights: Mapping[str, float]
    revision: str


@attrs.frozen
class Policy:
    """A resource policy: statements by Sid, in order."""

    statements: Mapping[str, Mapping[str, Json]]
    revision: str


@attrs.frozen
class UrlConfig:
    """A function URL."""

    id: str
    auth_type: str
    cors: Mapping[str, Json] | None
    invoke_mode: str | None
    created: str
    modified: str


@attrs.frozen
class AsyncConfig:
    """How asynchronous invocations of one qualifier are retried and where they end."""

    maximum_retry_attempts: int | None
    maximum_event_age: int | None
    on_success: str | None
    on_failure: str | None
    modified: float


@attrs.frozen
class Provisioned:
    """Environments kept ready for one version or alias."""

    requested: int
    status: Literal["IN_PROGRESS", "READY", "FAILED"]
    modified: str
    reason: str | None = None


@attrs.frozen
class Function:
    """A function with everything that hangs on it."""

    account: str
    region: str
    name: str
    latest: Version
    versions: Mapping[str, Version] = attrs.field(factory=dict[str, Version])
    last_number: int = 0
    """Numbers are never reused, also after a deletion."""
    published_generation: str | None = None
    """The generation of `$LATEST` that was published last."""
    aliases: Mapping[str, Alias] = attrs.field(factory=dict[str, Alias])
    policies: Mapping[str, Policy] = attrs.field(factory=dict[str, Policy])
    """By qualifier; the empty one is the unqualified function's."""
    urls: Mapping[str, UrlConfig] = attrs.field(factory=dict[str, UrlConfig])
    async_configs: Mapping[str, AsyncConfig] = attrs.field(factory=dict[str, AsyncConfig])
    """By qualifier, `$LATEST` for none."""
    reserved_concurrency: int | None = None
    provisioned: Mapping[str, Provisioned] = attrs.field(factory=dict[str, Provisioned])
    tags: Mapping[str, str] = attrs.field(factory=dict[str, str])
    signing_config: str | None = None
    recursive_loop: str = "Terminate"
    runtime_management: Mapping[str, Mapping[str, str]] = attrs.field(factory=dict[str, Mapping[str, str]])
    scaling: Mapping[str, Mapping[str, int]] = attrs.field(factory=dict[str, Mapping[str, int]])

    @functools.cached_property
    def arn(self) -> str:
        """Unqualified."""
        return function_arn(self.account, self.region, self.name)

    def without(self, qualifier: str) -> Function:
        """The same with nothing that hangs on a qualifier: what is deleted leaves none of it to its successor."""

        def rest(held: Mapping[str, T]) -> Mapping[str, T]:
            return {key: value for key, value in held.items() if key != qualifier}

        return attrs.evolve(
            self,
            policies=rest(self.policies),
            urls=rest(self.urls),
            async_configs=rest(self.async_configs),
            provisioned=rest(self.provisioned),
            runtime_management=rest(self.runtime_management),
            scaling=rest(self.scaling),
        )

    def version(self, number: str) -> Version | None:
        """`$LATEST` or a published version, if it exists."""
        return self.latest if number == LATEST else self.versions.get(number)


@attrs.frozen
class LayerVersion:
    """One version of a layer."""

    number: int
    description: str
    code: Code
    created: str
    runtimes: Sequence[str]
    architectures: Sequence[str]
    license: str | None
    policy: Policy | None = None


@attrs.frozen
class Layer:
    """A layer. Deleted versions are kept for the functions that use them, out of sight."""

    account: str
    region: str
    name: str
    versions: Mapping[int, LayerVersion] = attrs.field(factory=dict[int, LayerVersion])
    deleted: Mapping[int, LayerVersion] = attrs.field(factory=dict[int, LayerVersion])
    last_number: int = 0


MappingState = Literal["Creating", "Enabling", "Enabled", "Disabling", "Disabled", "Updating", "Deleting"]


@attrs.frozen
class SourceMapping:
    """An event source mapping as the control plane keeps it."""

    uuid: str
    account: str
    region: str
    function_arn: str
    """As given: qualified when the caller qualified it."""
    kind: Kind
    source_arn: str
    settings: Mapping[str, Json]
    """In AWS's spelling, defaults filled in."""
    state: MappingState
    is_enabled: bool
    """Whether it is polled once the state has settled."""
    modified: float
    tags: Mapping[str, str] = attrs.field(factory=dict[str, str])


@attrs.frozen
class SigningConfig:
    """A code signing configuration: kept and handed back; signatures are not checked here."""

    id: str
    arn: str
    description: str
    publishers: Sequence[str]
    untrusted: str
    modified: str
    tags: Mapping[str, str] = attrs.field(factory=dict[str, str])
