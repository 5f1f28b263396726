"""Schedules of EventBridge Scheduler: one call of one target, at times, in a time zone.

https://docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule.html
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import attrs

from lambdaform.model.driver import Aws, AwsError, Desired, Found, Record, is_missing
from lambdaform.model.marks import Length, Pattern, Range, Replaces
from lambdaform.model.output import Input, output
from lambdaform.model.resource import Naming, Resource
from lambdaform.model.units import optional_seconds

CREATE = "https://docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule.html"
RETRY = "https://docs.aws.amazon.com/scheduler/latest/APIReference/API_RetryPolicy.html"
TYPES = "https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html"


@attrs.frozen(kw_only=True, eq=False, repr=False, slots=False)
class ScheduledCall(Resource):
    """Calls a target at times. The trigger `Schedule` makes one, with the role it takes."""

    kind: ClassVar[str] = "scheduler.schedule"
    title: ClassVar[str] = "schedule"
    naming: ClassVar[Naming | None] = Naming(64, allowed="-A-Za-z0-9_.")
    replacement: ClassVar[str] = "delete first"

    name: Annotated[
        Input[str] | None, Pattern(r"[0-9a-zA-Z-_.]{1,64}", "1 to 64 letters, digits or -_.", CREATE), Replaces()
    ] = None
    """Its name in AWS; made from stack, stage and attribute name when not given."""
    expression: Annotated[
        Input[str], Pattern(r"(cron|rate|at)\(.+\)", "cron(...), rate(...) or at(...)", TYPES), Length(1, 256)
    ]
    """When it calls."""
    timezone: Annotated[Input[str], Length(1, 50, source=CREATE)] = "UTC"
    """The time zone of `cron` and `at`, such as `Europe/Berlin`."""
    target: Input[str] | Resource
    """What it calls, or its ARN."""
    role: Input[str] | Resource
    """The role it calls as, or its ARN."""
    input: Any = None
    """What the target gets: text as it is, anything else as JSON."""
    flexible: Annotated[Input[int] | None, Range(1, 1_440, "minutes", source=CREATE)] = None
    """Minutes within which it may call; AWS spreads load with it."""
    dead_letter: Input[str] | Resource | None = None
    """The queue (or its ARN) for calls that failed."""
    max_retries: Annotated[Input[int] | None, Range(0, 185, "retries", source=RETRY)] = None
    """How often a failed call is tried again; AWS's default is 185."""
    max_event_age: Annotated[Input[int] | None, Range(60, 86_400, "s", source=RETRY)] = attrs.field(
        default=None, converter=optional_seconds
    )
    """How long a failed call is tried again; AWS's default is 24 hours."""
    enabled: Input[bool] = True
    """Whether it calls."""
    kms_key: Annotated[Input[str] | None, Length(1, 2_048)] = None
    """ARN of a KMS key that encrypts its input."""
    description: Annotated[Input[str], Length(0, 512, source=CREATE)] = ""
    """For people."""

    arn = output(str, "The schedule's ARN.")
    schedule_name = output(str, "The schedule's name.")


class ScheduledCallDriver:
    """Makes and changes schedules in the default group."""

    exists = ("ConflictException",)

    def create(self, aws: Aws, desired: Desired) -> Mapping[str, Any]:
        """CreateSchedule."""
        answer = aws.call("scheduler", "CreateSchedule", Name=desired.physical_name, **_settings(desired))
        return {"arn": answer["ScheduleArn"], "schedule_name": desired.physical_name}

    def update(self, aws: Aws, desired: Desired, record: Record, changed: frozenset[str]) -> Mapping[str, Any]:
        """UpdateSchedule with everything: what it is not told goes back to its default."""
        aws.call("scheduler", "UpdateSchedule", Name=record.physical_name, **_settings(desired))
        return record.outputs

    def find(self, aws: Aws, desired: Desired) -> Found | None:
        """The schedule of that name. It carries no tags; the role it calls as, which has some, says whose it is."""
        schedule = _get(aws, desired.physical_name)
        if schedule is None:
            return None
        ours = schedule["Target"]["RoleArn"] == desired.props["role"]
        return Found({"arn": schedule["Arn"], "schedule_name": desired.physical_name}, None if ours else {})

    def read(self, aws: Aws, record: Record) -> Mapping[str, Any] | None:
        """Its outputs while it exists."""
        return None if _get(aws, record.physical_name) is None else record.outputs

    def delete(self, aws: Aws, record: Record) -> None:
        """DeleteSchedule."""
        try:
            aws.call("scheduler", "DeleteSchedule", Name=record.physical_name)
        except AwsError as error:
            if not is_missing(error):
                raise


def _settings(desired: Desired) -> dict[str, Any]:
    target: dict[str, Any] = {"Arn": desired.props["target"], "RoleArn": desired.props["role"]}
    if desired.get("input") is not None:
        value = desired.props["input"]
        target["Input"] = value if isinstance(value, str) else json.dumps(value)
    if desired.get("dead_letter"):
        target["DeadLetterConfig"] = {"Arn": desired.props["dead_letter"]}
    retry = {
        member: desired.props[prop]
        for prop, member in (
            ("max_retries", "MaximumRetryAttempts"),
            ("max_event_age", "MaximumEventAgeInSeconds"),
        )
        if desired.get(prop) is not None
    }
    if retry:
        target["RetryPolicy"] = retry
    minutes = desired.get("flexible")
    request: dict[str, Any] = {
        "ScheduleExpression": desired.props["expression"],
        "ScheduleExpressionTimezone": desired.get("timezone", "UTC"),
        "FlexibleTimeWindow": {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": minutes} if minutes else {"Mode": "OFF"},
        "State": "ENABLED" if desired.get("enabled", True) else "DISABLED",
        "Target": target,
    }
    if desired.get("kms_key"):
        request["KmsKeyArn"] = desired.props["kms_key"]
    if desired.get("description"):
        request["Description"] = desired.props["description"]
    return request


def _get(aws: Aws, name: str) -> Mapping[str, Any] | None:
    try:
        return aws.call("scheduler", "GetSchedule", Name=name)
    except AwsError as error:
        if is_missing(error):
            return None
        raise


DRIVER = ScheduledCallDriver()
