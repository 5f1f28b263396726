"""Lambda functions from zip archives: the declaration, what its shorthand expands to, and its driver.

https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, cast

import attrs

from lambdaform.model.code import Build, Code
from lambdaform.model.marks import QUOTAS, Expands, Length, OneOf, Pattern, Range, Replaces
from lambdaform.model.output import Input, Output, output, text
from lambdaform.model.resource import Grant, Naming, Resource, Scope, Trigger, arn_of
from lambdaform.model.runtimes import DEFAULT
from lambdaform.model.units import items, megabytes, optional_days, optional_seconds, seconds
from lambdaform.model.value import Value
from lambdaform.resources.iam_role import Role
from lambdaform.resources.iam_role_policy import RolePolicy
from lambdaform.resources.lambda_destination import right_to_deliver
from lambdaform.resources.lambda_function_driver import FunctionDriver
from lambdaform.resources.logs_group import LogGroup

if TYPE_CHECKING:
    from lambdaform.resources.lambda_layer import Layer
    from lambdaform.resources.lambda_url import FunctionUrl

CONFIGURATION = "https://docs.aws.amazon.com/lambda/latest/api/API_FunctionConfiguration.html"
ASYNC = "https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-configuring.html"


@attrs.frozen(eq=False, repr=False)
class Reserved(Value):
    """So many concurrent executions are set aside for the function, and it never gets more; 0 switches it off."""

    executions: Annotated[Input[int], Range(0, 1_000_000, "executions", source=QUOTAS)]
    """How many."""


@attrs.frozen(eq=False, repr=False)
class Provisioned(Value):
    """So many environments are kept initialised for the function's alias; `reserved` limits it as well."""

    executions: Annotated[Input[int], Range(1, 1_000_000, "executions", source=QUOTAS)]
    """How many."""
    reserved: Annotated[Input[int] | None, Range(0, 1_000_000, "executions", source=QUOTAS)] = None
    """Concurrent executions set aside for the whole function."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Vpc(Value):
    """The network a function is attached to."""

    subnets: Annotated[tuple[Input[str], ...], Length(1, 16, "subnets", CONFIGURATION)] = attrs.field(converter=items)
    """Subnet ids."""
    security_groups: Annotated[tuple[Input[str], ...], Length(1, 5, "groups", CONFIGURATION)] = attrs.field(
        converter=items
    )
    """Security group ids."""
    ipv6: Input[bool] = False
    """Whether it may use IPv6 in dual-stack subnets."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class FileSystem(Value):
    """An EFS access point, mounted below /mnt."""

    access_point: Input[str]
    """ARN of the access point."""
    path: Annotated[
        Input[str], Pattern(r"/mnt/[a-zA-Z0-9-_.]+", "/mnt/ and one name of letters, digits or -_.", CONFIGURATION)
    ]
    """Where it is mounted."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Logging(Value):
    """How log lines look and which are kept."""

    format: Annotated[Input[str], OneOf(("Text", "JSON"), CONFIGURATION)] = "Text"
    """JSON lines can be filtered by level; text lines cannot."""
    application_level: Annotated[
        Input[str] | None, OneOf(("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"), CONFIGURATION)
    ] = None
    """With JSON: the least level of the code's own lines."""
    system_level: Annotated[Input[str] | None, OneOf(("DEBUG", "INFO", "WARN"), CONFIGURATION)] = None
    """With JSON: the least level of Lambda's lines."""
    group: "LogGroup | Input[str] | None" = None
    """A log group of the stack (or its name) instead of `/aws/lambda/<function>`."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class RuntimeManagement(Value):
    """When Lambda moves the function to a newer patch of its runtime."""

    update_on: Annotated[Input[str], OneOf(("Auto", "FunctionUpdate", "Manual"), CONFIGURATION)] = "Auto"
    """When."""
    version_arn: Input[str] | None = None
    """With Manual: the ARN of the runtime version to stay on."""


@attrs.frozen(kw_only=True, eq=False, repr=False, slots=False)
class Function(Resource):
    """Code that Lambda runs. Brings along its role, its rights, its log group and whatever its triggers need.

    Give `uses` what the code works with: each entry is an environment variable and the permission that goes with it.
    """

    kind: ClassVar[str] = "lambda.function"
    title: ClassVar[str] = "function"
    naming: ClassVar[Naming | None] = Naming(64)
    taggable: ClassVar[bool] = True

    handler: Annotated[Input[str], Length(1, 128), Pattern(r"\S+", "a text without spaces", CONFIGURATION)] = (
        attrs.field(kw_only=False)
    )
    """What to call, in the form of the runtime: `orders.worker.handler` for Python."""
    code: Annotated[Code, Expands()] = attrs.field(kw_only=False)
    """The files it is in."""
    name: Annotated[
        Input[str] | None, Pattern(r"[a-zA-Z0-9-_]{1,64}", "1 to 64 letters, digits, - or _", QUOTAS), Replaces()
    ] = None
    """Its name in AWS; made from stack, stage and attribute name when not given."""
    runtime: Input[str] = DEFAULT
    """Which runtime runs it, such as `python3.13`."""
    memory: Annotated[Input[int], Range(128, 10_240, "MB", source=QUOTAS)] = attrs.field(
        default=128, converter=megabytes
    )
    """How much memory it has; CPU grows with it (1,769 MB is one vCPU)."""
    timeout: Annotated[Input[int], Range(1, 900, "s", source=QUOTAS)] = attrs.field(default=3, converter=seconds)
    """How long one invocation may take."""
    ephemeral_storage: Annotated[Input[int], Range(512, 10_240, "MB", source=QUOTAS)] = attrs.field(
        default=512, converter=megabytes
    )
    """The size of /tmp."""
    architecture: Annotated[Input[str], OneOf(("x86_64", "arm64"), CONFIGURATION)] = "x86_64"
    """The processor it runs on; wheels are chosen for it."""
    environment: Mapping[str, Input[str]] = attrs.field(factory=dict[str, Input[str]])
    """Environment variables: plain values, outputs, secrets and parameters."""
    uses: Annotated[Mapping[str, Grant | tuple[Grant, ...]], Expands()] = attrs.field(
        factory=dict[str, Grant | tuple[Grant, ...]]
    )
    """Environment variable to what the code does with something: `{"INBOX": inbox.send()}`."""
    grants: Annotated[tuple[Grant, ...], Expands()] = attrs.field(default=(), converter=items)
    """Permissions without a variable."""
    layers: Annotated["tuple[Layer | Input[str], ...]", Length(0, 5, "layers", QUOTAS)] = attrs.field(
        default=(), converter=items
    )
    """Layers in order; later ones win where files meet."""
    triggers: Annotated[tuple[Trigger, ...], Expands()] = attrs.field(default=(), converter=items)
    """What makes it run."""
    function_url: Annotated["FunctionUrl | None", Expands()] = None
    """An HTTPS address of its own."""
    concurrency: Annotated[Reserved | Provisioned | None, Expands()] = None
    """How much of the account's concurrency it has for itself."""
    dead_letter: Input[str] | Resource | None = None
    """Queue or topic that gets events the function failed on when it was invoked asynchronously."""
    on_success: Annotated[Input[str] | Resource | None, Expands()] = None
    """Queue, topic, function or event bus that hears of successful asynchronous invocations."""
    on_failure: Annotated[Input[str] | Resource | None, Expands()] = None
    """Queue, topic, function, event bus or bucket that hears of asynchronous invocations given up."""
    max_retries: Annotated[Input[int] | None, Range(0, 2, "retries", source=ASYNC), Expands()] = None
    """Asynchronous invocation: how often a failed event is tried again; AWS's default is 2."""
    max_event_age: Annotated[Input[int] | None, Range(60, 21_600, "s", source=ASYNC), Expands()] = attrs.field(
        default=None, converter=optional_seconds
    )
    """Asynchronous invocation: how long an event may wait; AWS's default is 6 hours."""
    alias: Annotated[
        str | None,
        Pattern(r"(?!^[0-9]+$)[a-zA-Z0-9-_]{1,128}", "1 to 128 letters, digits, - or _, not a number", QUOTAS),
        Expands(),
    ] = None
    """Publish a version on every change and point this alias at it; triggers and the function URL use the alias."""
    role: Role | Input[str] | None = None
    """A role of the stack, or an ARN; a role with exactly the rights it needs is made when not given."""
    vpc: Vpc | None = None
    """The network it is attached to."""
    file_system: FileSystem | None = None
    """An EFS access point it mounts."""
    tracing: Annotated[Input[str], OneOf(("PassThrough", "Active"), CONFIGURATION)] = "PassThrough"
    """Whether X-Ray samples its invocations."""
    logging: Logging | None = None
    """Log format, levels, and another log group."""
    log_retention: Annotated[Input[int] | None, Expands()] = attrs.field(default=None, converter=optional_days)
    """Days its own log group keeps lines; for ever when not given."""
    snap_start: Input[bool] = False
    """Whether published versions start from a snapshot."""
    code_signing: Input[str] | None = None
    """ARN of a code signing configuration."""
    recursion: Annotated[Input[str], OneOf(("Terminate", "Allow"), CONFIGURATION)] = "Terminate"
    """What Lambda does when the function calls itself in a loop."""
    runtime_management: RuntimeManagement | None = None
    """When its runtime is patched."""
    kms_key: Annotated[Input[str] | None, Length(1, 2_048)] = None
    """ARN of a KMS key that encrypts its environment variables."""
    description: Annotated[Input[str], Length(0, 256)] = ""
    """For people."""
    tags: Annotated[Mapping[str, Input[str]], Length(0, 50, "tags", QUOTAS)] = attrs.field(
        factory=dict[str, Input[str]]
    )
    """Tags besides the stack's."""

    arn = output(str, "The function's ARN.")
    function_name = output(str, "The function's name.")
    revision = output(str, "Changes whenever its code or configuration does.", volatile=True)
    url = output(str, "The address of its function URL.")
    role_arn = output(str, "The ARN of the role it runs as.")

    @classmethod
    def existing(cls, arn: Input[str]) -> Self:
        """A function that lambdaform does not manage."""
        return cls.refer(arn, handler="-", code=Code())

    @classmethod
    def outputs_of_arn(cls, arn: str) -> Mapping[str, str]:
        """ARN and name."""
        return {"arn": arn, "function_name": arn.split(":")[6]}

    def invoke(self) -> Grant:
        """Permission to invoke it; in `uses`, the variable holds the function's name."""
        return Grant(
            ("lambda:InvokeFunction",),
            (self.arn, text("{}:*", self.arn)),
            value=self.function_name,
            target=self,
            verb="invoke",
        )

    def expand(self, scope: Scope) -> None:
        """Role, rights, log group; alias, URL, asynchronous settings; then each trigger's resources."""
        rights: list[Grant] = [*self.grants]
        self._settle_environment(scope, rights)
        self._settle_concurrency(scope)
        scope.package(Build(self.code, str(scope.plain(self.runtime)), str(scope.plain(self.architecture))))
        group = self._log_group(scope)
        if group is not None:
            rights.append(group.write())
            scope.after(group)
        target = self._published(scope)
        self._function_url(scope, target)
        self._asynchronous(scope, target, rights)
        self._needs_of_settings(scope, rights)
        for trigger in self.triggers:
            rights.extend(trigger.attach(self, target, scope))
        self._role(scope, rights)

    def _settle_environment(self, scope: Scope, rights: list[Grant]) -> None:
        environment: dict[str, Input[str]] = dict(self.environment)
        for variable, use in self.uses.items():
            if variable in environment:
                scope.problem(
                    "variable-twice",
                    f"the variable {variable} is in both uses and environment",
                    prop="uses",
                    given=variable,
                    hint="keep it in one of them",
                )
            grants = use if isinstance(use, tuple) else (use,)
            rights.extend(grants)
            if grants and grants[0].value is not None:
                environment[variable] = grants[0].value
        scope.settle("environment", environment)

    def _settle_concurrency(self, scope: Scope) -> None:
        match self.concurrency:
            case Reserved(executions):
                scope.settle("reserved_concurrency", executions)
            case Provisioned(executions, reserved):
                if reserved is not None:
                    scope.settle("reserved_concurrency", reserved)
                if self.alias is None:
                    scope.problem(
                        "provisioned-needs-alias",
                        "provisioned concurrency is for a version or alias, and the function has neither",
                        prop="concurrency",
                        given=f"Provisioned({executions})",
                        hint='add alias="live" to the function',
                        link="https://docs.aws.amazon.com/lambda/latest/dg/provisioned-concurrency.html",
                    )
            case None:
                pass

    def _log_group(self, scope: Scope) -> LogGroup | None:
        custom = self.logging.group if self.logging is not None else None
        if isinstance(custom, LogGroup):
            logging = cast(Logging, self.logging)
            scope.settle("logging", attrs.evolve(logging, group=custom.group_name))
            return scope.current(custom)
        if custom is not None:
            return None
        name = f"/aws/lambda/{scope.physical_name()}"
        return scope.derive(LogGroup(name=name, retention=self.log_retention))

    def _published(self, scope: Scope) -> Output[str]:
        if self.alias is None:
            return self.arn
        from lambdaform.resources.lambda_alias import Alias
        from lambdaform.resources.lambda_provisioned_concurrency import ProvisionedConcurrency
        from lambdaform.resources.lambda_version import Version

        version = scope.derive(Version(function=self.function_name, revision=self.revision))
        alias = scope.derive(Alias(function=self.function_name, version=version.version, name=self.alias))
        if isinstance(self.concurrency, Provisioned):
            scope.derive(
                ProvisionedConcurrency(
                    function=self.function_name, qualifier=alias.alias_name, executions=self.concurrency.executions
                )
            )
        return arn_of(alias)

    def _function_url(self, scope: Scope, target: Output[str]) -> None:
        if self.function_url is None:
            return
        from lambdaform.resources.lambda_permission import Permission

        url = scope.derive(attrs.evolve(self.function_url, function=target))
        scope.redirect("url", url.url)
        if scope.plain(self.function_url.auth) == "NONE":
            # Since October 2025 a public URL needs both statements.
            # https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html
            scope.derive(
                Permission(function=target, principal="*", action="lambda:InvokeFunctionUrl", url_auth="NONE"),
                "public-url",
            )
            scope.derive(
                Permission(function=target, principal="*", action="lambda:InvokeFunction", via_url=True),
                "public-invoke",
            )

    def _asynchronous(self, scope: Scope, target: Output[str], rights: list[Grant]) -> None:
        settings = (self.on_success, self.on_failure, self.max_retries, self.max_event_age)
        if all(setting is None for setting in settings):
            return
        from lambdaform.resources.lambda_event_invoke_config import EventInvokeConfig

        scope.derive(
            EventInvokeConfig(
                function=target,
                max_retries=self.max_retries,
                max_event_age=self.max_event_age,
                on_success=_arn(self.on_success),
                on_failure=_arn(self.on_failure),
            )
        )
        for destination in (self.on_success, self.on_failure):
            rights.extend(right_to_deliver(destination))

    def _needs_of_settings(self, scope: Scope, rights: list[Grant]) -> None:
        """What dead letters, VPC, file system, tracing and secrets need of the role."""
        rights.extend(right_to_deliver(self.dead_letter))
        everything: tuple[Input[str], ...] = ("*",)
        if self.vpc is not None:
            # The actions of AWS's AWSLambdaVPCAccessExecutionRole; EC2 has no narrower resource for them.
            rights.append(
                Grant(
                    (
                        "ec2:AssignPrivateIpAddresses",
                        "ec2:CreateNetworkInterface",
                        "ec2:DeleteNetworkInterface",
                        "ec2:DescribeNetworkInterfaces",
                        "ec2:DescribeSubnets",
                        "ec2:UnassignPrivateIpAddresses",
                    ),
                    everything,
                    verb="join the network",
                )
            )
        if self.file_system is not None:
            rights.append(
                Grant(
                    ("elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"),
                    (self.file_system.access_point,),
                    verb="mount",
                )
            )
        if scope.plain(self.tracing) == "Active":
            rights.append(Grant(("xray:PutTelemetryRecords", "xray:PutTraceSegments"), everything, verb="trace"))
        if self.kms_key is not None:
            rights.append(Grant(("kms:Decrypt",), (self.kms_key,), verb="decrypt"))

    def _role(self, scope: Scope, rights: list[Grant]) -> None:
        role = self.role
        if role is None:
            role = scope.derive(Role(description=f"What the function {scope.physical_name()} may do"))
        if not isinstance(role, Role):
            return  # an ARN: somebody else's role
        role = scope.current(role)
        scope.settle("role", role.arn)
        if role.existing_arn is not None or not rights:
            return
        policy = scope.derive(RolePolicy(role=role.role_name, statements=merged_statements(rights)))
        scope.after(policy)
        scope.derived_after(policy)


def merged_statements(rights: Iterable[Grant]) -> list[Mapping[str, Any]]:
    """IAM statements for these grants: one per set of resources, its actions merged, in a fixed order."""
    merged: dict[Any, dict[str, Any]] = {}
    for grant in rights:
        key = (grant.resources, repr(sorted(grant.conditions.items())))
        statement = merged.get(key)
        if statement is None:
            merged[key] = grant.statement()
        else:
            statement["Action"] = sorted({*statement["Action"], *grant.actions})
    return list(merged.values())


def _arn(value: Input[str] | Resource | None) -> Input[str] | None:
    return arn_of(value) if isinstance(value, Resource) else value


DRIVER = FunctionDriver()
