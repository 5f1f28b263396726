"""The trigger made by `topic.notifications(...)`: SNS invokes a function with each message.

https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from lambdaform.model.output import Input, Output
from lambdaform.model.resource import Grant, Resource, Scope, Trigger, arn_of
from lambdaform.resources.lambda_permission import Permission
from lambdaform.resources.sns_subscription import Subscription

if TYPE_CHECKING:
    from lambdaform.resources.sns_topic import Topic


@attrs.frozen(kw_only=True, eq=False, repr=False, slots=False)
class TopicNotifications(Trigger):
    """A topic's messages; made by `Topic.notifications`, which explains the settings."""

    event: ClassVar[str] = "sns"
    asynchronous: ClassVar[bool] = True

    topic: "Topic"
    filter: Mapping[str, Any] | None = None
    filter_on: Input[str] = "attributes"
    dead_letter: Input[str] | Resource | None = None

    def attach(self, function: Resource, target: Output[str], scope: Scope) -> Iterable[Grant]:
        """SNS's permission to invoke the function, then its subscription."""
        topic = scope.current(self.topic)
        name = scope.name_of(topic)
        permission = scope.derive(
            Permission(function=target, principal="sns.amazonaws.com", source_arn=arn_of(topic)), name
        )
        subscription = scope.derive(
            Subscription(
                topic=arn_of(topic),
                endpoint=target,
                protocol="lambda",
                filter=self.filter,
                filter_on=self.filter_on,
                dead_letter=self.dead_letter,
            ),
            name,
        )
        scope.after(permission, subscription)
        return []

    def source(self) -> Resource | None:
        """The topic."""
        return self.topic
