"""The trigger made by `group.lines(...)`: CloudWatch Logs invokes a function with lines as they are written.

https://docs.aws.amazon.com/lambda/latest/dg/services-cloudwatchlogs.html
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

import attrs

from lambdaform.model.output import Input, Output, text
from lambdaform.model.resource import Grant, Resource, Scope, Trigger, arn_of
from lambdaform.resources.lambda_permission import Permission
from lambdaform.resources.logs_subscription_filter import SubscriptionFilter
from lambdaform.triggers.naming import is_named_apart

if TYPE_CHECKING:
    from lambdaform.resources.logs_group import LogGroup


@attrs.frozen(kw_only=True, eq=False, repr=False, slots=False)
class LogLines(Trigger):
    """Lines of a log group; made by `LogGroup.lines`, which explains the settings."""

    event: ClassVar[str] = "logs"
    asynchronous: ClassVar[bool] = True

    group: "LogGroup"
    pattern: Input[str] = ""
    name: str | None = None

    def attach(self, function: Resource, target: Output[str], scope: Scope) -> Iterable[Grant]:
        """CloudWatch Logs' permission to invoke the function, then the filter."""
        group = scope.current(self.group)
        names = (scope.name_of(group), *((self.name,) if self.name else ()))
        same = [
            each
            for each in getattr(function, "triggers", ())
            if isinstance(each, LogLines) and scope.current(each.group) is group and each.name == self.name
        ]
        if not is_named_apart(self, same, f"lines() of {names[0]}", scope):
            return []
        permission = scope.derive(
            Permission(function=target, principal="logs.amazonaws.com", source_arn=text("{}:*", arn_of(group))), *names
        )
        subscription = scope.derive(SubscriptionFilter(group=group.group_name, to=target, pattern=self.pattern), *names)
        scope.after(permission, subscription)
        return []

    def source(self) -> Resource | None:
        """The log group."""
        return self.group
