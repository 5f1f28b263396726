"""The trigger `Schedule`: a function runs at times, in a time zone.

https://docs.aws.amazon.com/lambda/latest/dg/with-eventbridge-scheduler.html
"""

from collections.abc import Iterable
from typing import Any, ClassVar

import attrs

from lambdaform.model.output import Input, Output
from lambdaform.model.resource import Grant, Resource, Scope, Trigger, arn_of
from lambdaform.model.units import optional_seconds
from lambdaform.resources.iam_role import Role
from lambdaform.resources.iam_role_policy import RolePolicy
from lambdaform.resources.scheduler_schedule import ScheduledCall
from lambdaform.triggers.naming import is_named_apart


@attrs.frozen(kw_only=True, eq=False, repr=False, slots=False)
class Schedule(Trigger):
    """Runs a function at times: `Schedule("cron(0 3 * * ? *)", timezone="Europe/Berlin")`.

    It becomes a schedule of EventBridge Scheduler and a role that may invoke exactly this function.
    """

    event: ClassVar[str] = "schedule"
    asynchronous: ClassVar[bool] = True

    expression: Input[str] = attrs.field(kw_only=False)
    """`cron(...)`, `rate(...)` or `at(...)`."""
    timezone: Input[str] = "UTC"
    """The time zone of `cron` and `at`."""
    input: Any = None
    """The event the function gets: text as it is, anything else as JSON; Scheduler's own when not given."""
    flexible: Input[int] | None = None
    """Minutes within which it may run."""
    max_retries: Input[int] | None = None
    """How often a failed call is tried again, up to 185."""
    max_event_age: Input[int] | None = attrs.field(default=None, converter=optional_seconds)
    """How long a failed call is tried again, up to 24 hours."""
    dead_letter: Input[str] | Resource | None = None
    """The queue for calls that failed."""
    enabled: Input[bool] = True
    """Whether it runs."""
    description: Input[str] = ""
    """For people."""
    name: str | None = None
    """Tells apart several schedules of one function."""

    def attach(self, function: Resource, target: Output[str], scope: Scope) -> Iterable[Grant]:
        """The schedule, and the role Scheduler invokes the function as."""
        same = [
            each for each in getattr(function, "triggers", ()) if isinstance(each, Schedule) and each.name == self.name
        ]
        if not is_named_apart(self, same, "a schedule", scope):
            return []
        names = (self.name,) if self.name else ()
        dead_letter = self.dead_letter
        if isinstance(dead_letter, Resource):
            dead_letter = arn_of(scope.current(dead_letter))
        rights = [Grant(("lambda:InvokeFunction",), (target,), verb="invoke")]
        if dead_letter is not None:
            rights.append(Grant(("sqs:SendMessage",), (dead_letter,), verb="send"))
        role = scope.derive(
            Role(
                assumed_by=("scheduler.amazonaws.com",),
                description=f"What the schedule of {scope.name} may do",
            ),
            "schedule",
            *names,
        )
        policy = scope.derive(
            RolePolicy(role=role.role_name, statements=[each.statement() for each in rights]), "schedule", *names
        )
        call = scope.derive(
            ScheduledCall(
                expression=self.expression,
                timezone=self.timezone,
                target=target,
                role=role.arn,
                input=self.input,
                flexible=self.flexible,
                dead_letter=dead_letter,
                max_retries=self.max_retries,
                max_event_age=self.max_event_age,
                enabled=self.enabled,
                description=self.description,
            ),
            *names,
        )
        scope.after(policy, call)
        return []
