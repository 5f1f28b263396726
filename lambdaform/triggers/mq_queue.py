"""The trigger `MqQueue`: Lambda reads a queue of an Amazon MQ broker, ActiveMQ or RabbitMQ.

https://docs.aws.amazon.com/lambda/latest/dg/with-mq.html
"""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import attrs

from lambdaform.model.output import Input, Output
from lambdaform.model.resource import Grant, Resource, Scope
from lambdaform.model.units import items
from lambdaform.resources.lambda_event_source_mapping import SourceAccess
from lambdaform.triggers.broker_batches import BrokerBatches, right_to_enter, right_to_read


@attrs.frozen(kw_only=True, eq=False, repr=False, slots=False)
class MqQueue(BrokerBatches):
    """Runs a function with a queue's messages: `MqQueue("orders", broker="arn:aws:mq:...", secret="arn:aws:...")`.

    It becomes an event source mapping and the rights to find, reach and enter the broker. The local AWS reads where
    `--broker mq=...` says.
    """

    event: ClassVar[str] = "mq"

    queue: Input[str] = attrs.field(kw_only=False)
    """The broker's queue."""
    broker: Input[str]
    """ARN of the broker."""
    secret: Input[str]
    """ARN of the secret with user name and password."""
    virtual_host: Input[str] | None = None
    """RabbitMQ: the virtual host of the queue."""
    filters: tuple[Mapping[str, Any], ...] = attrs.field(default=(), converter=items)
    """Patterns on `data`; a message that matches none is passed over."""

    def label(self, scope: Scope) -> str:
        """The queue."""
        return scope.name_of(self.queue)

    def attach(self, function: Resource, target: Output[str], scope: Scope) -> Iterable[Grant]:
        """An event source mapping, and the rights that Amazon MQ asks for."""
        self.mapping(
            self.label(scope),
            target,
            function,
            scope,
            source=self.broker,
            queue=self.queue,
            virtual_host=self.virtual_host,
            filters=self.filters,
            access=[SourceAccess("BASIC_AUTH", self.secret)],
        )
        find = Grant(("mq:DescribeBroker",), (self.broker,), verb="read by trigger")
        return [find, *right_to_read(self.secret), right_to_enter()]
