"""What triggers on brokers have in common: settings of the batches, names, and the rights a role needs.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventsourcemapping.html
"""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import attrs

from lambdaform.model.output import Input, Output
from lambdaform.model.resource import Grant, Resource, Scope, Trigger, arn_of
from lambdaform.model.units import items, optional_seconds, seconds
from lambdaform.resources.lambda_destination import right_to_deliver
from lambdaform.resources.lambda_event_source_mapping import EventSourceMapping
from lambdaform.triggers.naming import is_named_apart


def right_to_enter() -> Grant:
    """What Lambda needs to reach a broker in a VPC; EC2 has no narrower resource for these actions."""
    return Grant(
        (
            "ec2:CreateNetworkInterface",
            "ec2:DeleteNetworkInterface",
            "ec2:DescribeNetworkInterfaces",
            "ec2:DescribeSecurityGroups",
            "ec2:DescribeSubnets",
            "ec2:DescribeVpcs",
        ),
        ("*",),
        verb="reach the broker",
    )


def right_to_read(*secrets: Input[str] | None) -> list[Grant]:
    """What Lambda needs to log in with secrets."""
    given = tuple(secret for secret in secrets if secret is not None)
    return [Grant(("secretsmanager:GetSecretValue",), given, verb="read secret")] if given else []


@attrs.frozen(kw_only=True, eq=False, repr=False, slots=False)
class BrokerBatches(Trigger):
    """Batches of a broker's messages; each kind of broker derives from it."""

    batch_size: Input[int] = 100
    """Most messages in one invocation, 1 to 10,000."""
    window: Input[int] = attrs.field(default=0, converter=seconds)
    """How long to collect a batch, up to 5 minutes; half a second when not given."""
    metrics: Input[bool] = False
    """Whether CloudWatch gets counts of the mapping's events, which AWS bills."""
    enabled: Input[bool] = True
    """Whether it reads."""
    name: str | None = None
    """Tells apart triggers of one function on topics or queues of one name."""

    def mapping(self, label: str, target: Output[str], function: Resource, scope: Scope, **settings: Any) -> bool:
        """Derive the event source mapping, called `label`; False when its name is taken, which is reported."""
        name = self.name or label.replace(".", "-").replace("/", "-")
        same = [
            each
            for each in getattr(function, "triggers", ())
            if isinstance(each, type(self)) and (each.name or each.label(scope)) == (self.name or label)
        ]
        if not is_named_apart(self, same, f"a trigger on {label}", scope):
            return False
        scope.derive(
            EventSourceMapping(
                function=target,
                source_kind=self.event,
                batch_size=self.batch_size,
                window=self.window,
                metrics=self.metrics,
                enabled=self.enabled,
                **settings,
            ),
            self.event,
            name,
        )
        return True

    def label(self, scope: Scope) -> str:
        """What is read, by its own name."""
        raise NotImplementedError

    def attach(self, function: Resource, target: Output[str], scope: Scope) -> Iterable[Grant]:
        """Each kind of broker says what its mapping reads."""
        raise NotImplementedError


@attrs.frozen(kw_only=True, eq=False, repr=False, slots=False)
class KafkaBatches(BrokerBatches):
    """Batches of a topic's records; Amazon MSK and a Kafka of one's own derive from it."""

    event: ClassVar[str] = "kafka"

    topic: Input[str] = attrs.field(kw_only=False)
    """The topic."""
    starting_position: Input[str] = "LATEST"
    """`LATEST`, `TRIM_HORIZON` for everything there is, or `AT_TIMESTAMP`."""
    starting_timestamp: Input[float] | None = None
    """Seconds since 1970, with `AT_TIMESTAMP`."""
    consumer_group: Input[str] | None = None
    """The consumer group to join; one named by the mapping's id when not given."""
    filters: tuple[Mapping[str, Any], ...] = attrs.field(default=(), converter=items)
    """Patterns on `value`; a record that matches none is passed over."""
    min_pollers: Input[int] | None = None
    """Fewest pollers kept for this mapping (provisioned mode, which AWS bills)."""
    max_pollers: Input[int] | None = None
    """Most pollers kept for this mapping."""
    partial_failures: Input[bool] = False
    """With pollers: whether the answer may name the records that failed (`batchItemFailures`)."""
    bisect_on_error: Input[bool] = False
    """With pollers: whether a failing batch is halved."""
    max_retries: Input[int] | None = None
    """With pollers: retries of a failing batch; without end when not given."""
    max_record_age: Input[int] | None = attrs.field(default=None, converter=optional_seconds)
    """With pollers: older records are dropped."""
    on_failure: Input[str] | Resource | None = None
    """Queue, topic or bucket that hears of batches given up."""

    def label(self, scope: Scope) -> str:
        """The topic."""
        return scope.name_of(self.topic)

    def topic_mapping(self, target: Output[str], function: Resource, scope: Scope, **settings: Any) -> list[Grant]:
        """Derive the mapping; gives the right to deliver to `on_failure`."""
        on_failure = self.on_failure
        if isinstance(on_failure, Resource):
            on_failure = scope.current(on_failure)
        is_made = self.mapping(
            self.label(scope),
            target,
            function,
            scope,
            topic=self.topic,
            starting_position=self.starting_position,
            starting_timestamp=self.starting_timestamp,
            consumer_group=self.consumer_group,
            filters=self.filters,
            min_pollers=self.min_pollers,
            max_pollers=self.max_pollers,
            partial_failures=self.partial_failures,
            bisect_on_error=self.bisect_on_error,
            max_retries=self.max_retries,
            max_record_age=self.max_record_age,
            on_failure=arn_of(on_failure) if isinstance(on_failure, Resource) else on_failure,
            **settings,
        )
        return right_to_deliver(on_failure) if is_made else []

    def attach(self, function: Resource, target: Output[str], scope: Scope) -> Iterable[Grant]:
        """Each kind of Kafka says where it is."""
        raise NotImplementedError
