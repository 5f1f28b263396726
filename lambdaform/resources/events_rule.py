"""EventBridge rules and their targets, which have no life of their own.

https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutRule.html
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, cast

import attrs

from lambdaform.model.driver import Aws, AwsError, Desired, Found, Record, changed_tags, is_missing
from lambdaform.model.marks import Length, Pattern, Range, Replaces
from lambdaform.model.output import Input, output
from lambdaform.model.resource import Naming, Resource, Scope, arn_of
from lambdaform.model.units import items, optional_seconds
from lambdaform.model.value import Value
from lambdaform.resources.events_bus import EventBus
from lambdaform.resources.lambda_permission import Permission
from lambdaform.resources.sqs_queue_policy import QueuePermission

PUT = "https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutRule.html"
TARGET = "https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_Target.html"
RETRY = "https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_RetryPolicy.html"


@attrs.frozen(kw_only=True, eq=False, repr=False)
class RuleTarget(Value):
    """Who hears of the events a rule matches."""

    to: Input[str] | Resource = attrs.field(kw_only=False)
    """A function, queue, topic or stream, or its ARN."""
    input: Any = None
    """What it gets instead of the event: text as it is, anything else as JSON."""
    role: Input[str] | Resource | None = None
    """The role EventBridge takes on, for targets that want one, such as streams and state machines."""
    dead_letter: Input[str] | Resource | None = None
    """The queue for events that could not be handed over."""
    max_retries: Annotated[Input[int] | None, Range(0, 185, "retries", source=RETRY)] = None
    """How often handing over is tried again; AWS's default is 185."""
    max_event_age: Annotated[Input[int] | None, Range(60, 86_400, "s", source=RETRY)] = attrs.field(
        default=None, converter=optional_seconds
    )
    """How long handing over is tried; AWS's default is 24 hours."""


def _targets(value: Iterable[RuleTarget | Input[str] | Resource]) -> tuple[RuleTarget, ...]:
    given: Any = items(value)
    if not isinstance(given, tuple):
        return given  # told with all other values of the wrong kind
    given = cast("tuple[RuleTarget | Input[str] | Resource, ...]", given)
    return tuple(each if isinstance(each, RuleTarget) else RuleTarget(each) for each in given)


@attrs.frozen(kw_only=True, eq=False, repr=False, slots=False)
class EventRule(Resource):
    """Hands events that match a pattern, or a tick of a clock, to targets. The trigger `Rule` makes one.

    Queues and functions of the stack get the permission that EventBridge needs.
    """

    kind: ClassVar[str] = "events.rule"
    title: ClassVar[str] = "event rule"
    naming: ClassVar[Naming | None] = Naming(64, allowed="-A-Za-z0-9_.")
    taggable: ClassVar[bool] = True

    name: Annotated[
        Input[str] | None, Pattern(r"[.\-_A-Za-z0-9]{1,64}", "1 to 64 letters, digits or .-_", PUT), Replaces()
    ] = None
    """Its name in AWS; made from stack, stage and attribute name when not given."""
    pattern: Mapping[str, Any] | None = None
    """Which events it matches; a rule has this, `schedule`, or both."""
    schedule: Annotated[
        Input[str] | None, Pattern(r"(cron|rate)\(.+\)", "cron(...) or rate(...)", PUT), Length(1, 256)
    ] = None
    """When it acts by itself, in UTC; `Schedule` knows time zones."""
    bus: Annotated[EventBus | Input[str] | None, Replaces("a rule belongs to one bus")] = None
    """The bus (or its name) whose events it sees; the account's default bus when not given."""
    targets: Annotated[tuple[RuleTarget, ...], Length(1, 5, "targets", TARGET)] = attrs.field(converter=_targets)
    """Who hears of the events: functions, queues, ARNs, or `RuleTarget` for more settings."""
    enabled: Input[bool] = True
    """Whether it acts."""
    description: Annotated[Input[str], Length(0, 512, source=PUT)] = ""
    """For people."""
    tags: Annotated[Mapping[str, Input[str]], Length(0, 50, "tags")] = attrs.field(factory=dict[str, Input[str]])
    """Tags besides the stack's."""

    arn = output(str, "The rule's ARN.")
    rule_name = output(str, "The rule's name.")

    def expand(self, scope: Scope) -> None:
        """The bus's name, and what the targets' own policies must say for events to arrive."""
        if isinstance(self.bus, EventBus):
            scope.settle("bus", scope.current(self.bus).bus_name)
        rule = arn_of(self)
        for target in self.targets:
            if isinstance(target.to, Resource):
                to = scope.current(target.to)
                if to.kind == "sqs.queue":
                    scope.derive(
                        QueuePermission(queue=arn_of(to), principal="events.amazonaws.com", source_arn=rule),
                        scope.name_of(to),
                    )
                elif to.kind in ("lambda.function", "lambda.alias"):
                    scope.derive(
                        Permission(function=arn_of(to), principal="events.amazonaws.com", source_arn=rule),
                        scope.name_of(to),
                    )
            if isinstance(target.dead_letter, Resource):
                queue = scope.current(target.dead_letter)
                scope.derive(
                    QueuePermission(queue=arn_of(queue), principal="events.amazonaws.com", source_arn=rule),
                    "dead-letter",
                    scope.name_of(queue),
                )


class EventRuleDriver:
    """Makes and changes rules with their targets."""

    exists = ("ResourceAlreadyExistsException",)

    def create(self, aws: Aws, desired: Desired) -> Mapping[str, Any]:
        """PutRule, then PutTargets."""
        bus = _bus(desired.props)
        if _describe(aws, desired.physical_name, bus) is not None:
            # PutRule would change a rule of that name, whoever made it.
            raise AwsError("events", "PutRule", self.exists[0], f"there is a rule {desired.physical_name}")
        tags = [{"Key": key, "Value": value} for key, value in desired.tags.items()]
        answer = aws.call("events", "PutRule", Name=desired.physical_name, Tags=tags, **bus, **_settings(desired))
        self._targets(aws, desired, desired.physical_name, frozenset())
        return {"arn": answer["RuleArn"], "rule_name": desired.physical_name}

    def update(self, aws: Aws, desired: Desired, record: Record, changed: frozenset[str]) -> Mapping[str, Any]:
        """PutRule again, which replaces pattern, schedule and state; targets and tags by their difference."""
        name, bus = record.physical_name, _bus(desired.props)
        if changed - {"targets", "tags"}:
            aws.call("events", "PutRule", Name=name, **bus, **_settings(desired))
        if "targets" in changed:
            answer = aws.call("events", "ListTargetsByRule", Rule=name, **bus)
            self._targets(aws, desired, name, frozenset(each["Id"] for each in answer.get("Targets", [])))
        if "tags" in changed:
            put, removed = changed_tags(record.props.get("tags"), desired.props.get("tags"))
            arn = record.outputs["arn"]
            if put:
                pairs = [{"Key": key, "Value": value} for key, value in put.items()]
                aws.call("events", "TagResource", ResourceARN=arn, Tags=pairs)
            if removed:
                aws.call("events", "UntagResource", ResourceARN=arn, TagKeys=removed)
        return record.outputs

    def _targets(self, aws: Aws, desired: Desired, name: str, there: frozenset[str]) -> None:
        bus = _bus(desired.props)
        targets = [_target(each) for each in desired.get("targets", [])]
        if targets:
            _refuse_failures("PutTargets", aws.call("events", "PutTargets", Rule=name, Targets=targets, **bus))
        if stale := sorted(there - {target["Id"] for target in targets}):
            _refuse_failures("RemoveTargets", aws.call("events", "RemoveTargets", Rule=name, Ids=stale, **bus))

    def find(self, aws: Aws, desired: Desired) -> Found | None:
        """The rule of that name and its tags."""
        rule = _describe(aws, desired.physical_name, _bus(desired.props))
        if rule is None:
            return None
        tags = aws.call("events", "ListTagsForResource", ResourceARN=rule["Arn"]).get("Tags", [])
        outputs = {"arn": rule["Arn"], "rule_name": desired.physical_name}
        return Found(outputs, {tag["Key"]: tag["Value"] for tag in tags})

    def read(self, aws: Aws, record: Record) -> Mapping[str, Any] | None:
        """Its outputs while it exists."""
        return None if _describe(aws, record.physical_name, _bus(record.props)) is None else record.outputs

    def delete(self, aws: Aws, record: Record) -> None:
        """Remove the targets (EventBridge refuses otherwise), then DeleteRule."""
        name, bus = record.physical_name, _bus(record.props)
        try:
            answer = aws.call("events", "ListTargetsByRule", Rule=name, **bus)
            if ids := [each["Id"] for each in answer.get("Targets", [])]:
                _refuse_failures("RemoveTargets", aws.call("events", "RemoveTargets", Rule=name, Ids=ids, **bus))
            aws.call("events", "DeleteRule", Name=name, **bus)
        except AwsError as error:
            if not is_missing(error):
                raise


def _bus(props: Mapping[str, Any]) -> dict[str, str]:
    return {"EventBusName": props["bus"]} if props.get("bus") else {}


def _settings(desired: Desired) -> dict[str, Any]:
    request: dict[str, Any] = {"State": "ENABLED" if desired.get("enabled", True) else "DISABLED"}
    if desired.get("pattern"):
        request["EventPattern"] = json.dumps(desired.props["pattern"])
    if desired.get("schedule"):
        request["ScheduleExpression"] = desired.props["schedule"]
    if desired.get("description"):
        request["Description"] = desired.props["description"]
    return request


def _target(value: Mapping[str, Any]) -> dict[str, Any]:
    arn = value["to"]
    # Ids are ours to choose; service and resource keep targets apart, and are the same in every run.
    parts = arn.split(":", 5)
    own = re.sub(r"[^.\-_A-Za-z0-9]+", "-", f"{parts[2]}-{parts[-1]}" if len(parts) == 6 else arn)
    target: dict[str, Any] = {"Id": own[-64:], "Arn": arn}
    if value.get("input") is not None:
        target["Input"] = value["input"] if isinstance(value["input"], str) else json.dumps(value["input"])
    if value.get("role"):
        target["RoleArn"] = value["role"]
    if value.get("dead_letter"):
        target["DeadLetterConfig"] = {"Arn": value["dead_letter"]}
    retry = {
        member: value[prop]
        for prop, member in (
            ("max_retries", "MaximumRetryAttempts"),
            ("max_event_age", "MaximumEventAgeInSeconds"),
        )
        if value.get(prop) is not None
    }
    if retry:
        target["RetryPolicy"] = retry
    return target


def _refuse_failures(operation: str, answer: Mapping[str, Any]) -> None:
    """These calls answer 200 and name in the answer what they did not do."""
    for failed in answer.get("FailedEntries", []):
        if failed.get("ErrorCode") != "ResourceNotFoundException":
            raise AwsError("events", operation, failed.get("ErrorCode", ""), failed.get("ErrorMessage", ""))


def _describe(aws: Aws, name: str, bus: Mapping[str, str]) -> Mapping[str, Any] | None:
    try:
        return aws.call("events", "DescribeRule", Name=name, **bus)
    except AwsError as error:
        if is_missing(error):
            return None
        raise


DRIVER = EventRuleDriver()
