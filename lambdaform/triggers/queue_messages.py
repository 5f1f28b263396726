"""The trigger made by `queue.messages(...)`: Lambda polls a queue and hands its messages over in batches.

https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from lambdaform.model.output import Input, Output
from lambdaform.model.resource import Grant, Resource, Scope, Trigger, arn_of
from lambdaform.model.units import items, seconds
from lambdaform.resources.lambda_event_source_mapping import EventSourceMapping

if TYPE_CHECKING:
    from lambdaform.resources.sqs_queue import Queue


@attrs.frozen(kw_only=True, eq=False, repr=False, slots=False)
class QueueMessages(Trigger):
    """Batches of a queue's messages; made by `Queue.messages`, which explains the settings."""

    event: ClassVar[str] = "sqs"

    queue: "Queue"
    batch_size: Input[int] = 10
    window: Input[int] = attrs.field(default=0, converter=seconds)
    partial_failures: Input[bool] = False
    filters: tuple[Mapping[str, Any], ...] = attrs.field(default=(), converter=items)
    max_concurrency: Input[int] | None = None
    min_pollers: Input[int] | None = None
    max_pollers: Input[int] | None = None
    metrics: Input[bool] = False
    enabled: Input[bool] = True

    def attach(self, function: Resource, target: Output[str], scope: Scope) -> Iterable[Grant]:
        """An event source mapping, and the right to read the queue."""
        queue = scope.current(self.queue)
        scope.derive(
            EventSourceMapping(
                function=target,
                source=arn_of(queue),
                source_kind="sqs",
                batch_size=self.batch_size,
                window=self.window,
                partial_failures=self.partial_failures,
                filters=self.filters,
                max_concurrency=self.max_concurrency,
                min_pollers=self.min_pollers,
                max_pollers=self.max_pollers,
                metrics=self.metrics,
                enabled=self.enabled,
            ),
            scope.name_of(queue),
        )
        # The actions of AWS's AWSLambdaSQSQueueExecutionRole, on this queue alone.
        return [
            Grant(
                ("sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"),
                (arn_of(queue),),
                target=queue,
                verb="read by trigger",
            )
        ]

    def source(self) -> Resource | None:
        """The queue."""
        return self.queue
