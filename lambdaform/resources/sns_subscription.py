"""SNS subscriptions: who gets a topic's messages.

https://docs.aws.amazon.com/sns/latest/api/API_Subscribe.html
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, cast

import attrs

from lambdaform.model.driver import Aws, AwsError, Desired, Found, Record, is_missing
from lambdaform.model.marks import OneOf, Replaces
from lambdaform.model.output import Input, output
from lambdaform.model.resource import Resource, Scope, arn_of
from lambdaform.resources.lambda_permission import Permission
from lambdaform.resources.sqs_queue_policy import QueuePermission

SUBSCRIBE = "https://docs.aws.amazon.com/sns/latest/api/API_Subscribe.html"
PROTOCOLS = ("sqs", "lambda", "http", "https", "email", "email-json", "sms", "application", "firehose")


@attrs.frozen(kw_only=True, eq=False, repr=False, slots=False)
class Subscription(Resource):
    """Hands a topic's messages on: `feed = news.to(inbox)`.

    To a queue or function of the stack it brings the permission along. E-mail and HTTP subscribers confirm first.
    """

    kind: ClassVar[str] = "sns.subscription"
    title: ClassVar[str] = "subscription"

    topic: Annotated[Input[str] | Resource, Replaces("a subscription belongs to one topic")]
    """The topic, or its ARN."""
    endpoint: Annotated[Input[str] | Resource, Replaces("a subscription has one subscriber")]
    """A queue, a function, an ARN, an https address or an e-mail address."""
    protocol: Annotated[
        Input[str] | None, OneOf(PROTOCOLS, SUBSCRIBE), Replaces("a subscription has one subscriber")
    ] = None
    """How to reach the subscriber; told from `endpoint` when not given."""
    filter: Mapping[str, Any] | None = None
    """A filter policy; only messages that match it are handed on."""
    filter_on: Annotated[Input[str], OneOf(("attributes", "body"), SUBSCRIBE)] = "attributes"
    """Whether the filter is about a message's attributes or its body."""
    raw: Input[bool] = False
    """Queues and HTTP only: the message as it was published, without SNS's envelope."""
    dead_letter: Input[str] | Resource | None = None
    """The queue (or its ARN) for messages that could not be handed over."""

    arn = output(str, "The subscription's ARN.")

    def expand(self, scope: Scope) -> None:
        """The protocol, and what the subscriber's own policy must say for the messages to arrive."""
        endpoint = scope.current(self.endpoint) if isinstance(self.endpoint, Resource) else scope.plain(self.endpoint)
        if self.protocol is None:
            protocol = _protocol(endpoint)
            if protocol is None:
                scope.problem(
                    "protocol-unknown",
                    "cannot tell how to reach this subscriber",
                    prop="endpoint",
                    given=str(endpoint) if isinstance(endpoint, str) else None,
                    allowed="a queue, a function, an ARN of one, an https address, an e-mail address",
                    hint=f"give protocol=, one of {', '.join(PROTOCOLS)}",
                    link=SUBSCRIBE,
                )
            scope.settle("protocol", protocol)
        topic = arn_of(scope.current(self.topic)) if isinstance(self.topic, Resource) else self.topic
        if isinstance(endpoint, Resource):
            if endpoint.kind == "sqs.queue":
                scope.after(
                    scope.derive(
                        QueuePermission(queue=arn_of(endpoint), principal="sns.amazonaws.com", source_arn=topic)
                    )
                )
            elif endpoint.kind.startswith("lambda."):
                scope.after(
                    scope.derive(Permission(function=arn_of(endpoint), principal="sns.amazonaws.com", source_arn=topic))
                )
        if isinstance(self.dead_letter, Resource):
            queue = scope.current(self.dead_letter)
            scope.derive(
                QueuePermission(queue=arn_of(queue), principal="sns.amazonaws.com", source_arn=topic), "dead-letter"
            )


def _protocol(endpoint: Any) -> str | None:
    if isinstance(endpoint, Resource):
        return {"sqs.queue": "sqs", "lambda.function": "lambda", "lambda.alias": "lambda"}.get(endpoint.kind)
    if not isinstance(endpoint, str):
        # The output of a resource says which kind of resource it is of.
        resource = cast(object, getattr(endpoint, "resource", None))
        return _protocol(resource) if isinstance(resource, Resource) else None
    if endpoint.startswith("arn:"):
        return {"sqs": "sqs", "lambda": "lambda", "firehose": "firehose"}.get(endpoint.split(":")[2])
    if endpoint.startswith(("http://", "https://")):
        return endpoint.partition(":")[0]
    return "email" if "@" in endpoint else None


class SubscriptionDriver:
    """Subscribes and unsubscribes."""

    # Subscribe answers with the subscription that is there; when its attributes differ it calls them invalid.
    exists = ("InvalidParameter", "InvalidParameterException")

    def create(self, aws: Aws, desired: Desired) -> Mapping[str, Any]:
        """Subscribe with only the attributes that were declared."""
        answer = aws.call(
            "sns",
            "Subscribe",
            TopicArn=desired.props["topic"],
            Protocol=desired.props["protocol"],
            Endpoint=desired.props["endpoint"],
            Attributes={
                name: value
                for prop, name in _ATTRIBUTES.items()
                if prop in desired.props and (value := _attribute(prop, desired)) is not None
            },
            ReturnSubscriptionArn=True,
        )
        return {"arn": answer["SubscriptionArn"]}

    def update(self, aws: Aws, desired: Desired, record: Record, changed: frozenset[str]) -> Mapping[str, Any]:
        """SetSubscriptionAttributes for each thing that changed."""
        arn = record.outputs["arn"]
        names = changed & _ATTRIBUTES.keys()
        if "filter_on" in names:
            # SNS checks the filter it has against the scope it is given, so the old filter goes first.
            _set(aws, arn, "FilterPolicy", "{}")
            _set(aws, arn, "FilterPolicyScope", _attribute("filter_on", desired))
            names = (names - {"filter_on"}) | {"filter"}
        for prop in sorted(names):
            _set(aws, arn, _ATTRIBUTES[prop], _attribute(prop, desired))
        return record.outputs

    def find(self, aws: Aws, desired: Desired) -> Found | None:
        """The topic's subscription of the same subscriber."""
        marker: dict[str, str] = {}
        while True:
            answer = aws.call("sns", "ListSubscriptionsByTopic", TopicArn=desired.props["topic"], **marker)
            for each in answer.get("Subscriptions", []):
                same = each["Endpoint"] == desired.props["endpoint"] and each["Protocol"] == desired.props["protocol"]
                if same and each["SubscriptionArn"].startswith("arn:"):
                    return Found({"arn": each["SubscriptionArn"]}, None)
            if not answer.get("NextToken"):
                return None
            marker = {"NextToken": answer["NextToken"]}

    def read(self, aws: Aws, record: Record) -> Mapping[str, Any] | None:
        """Its outputs while it exists."""
        try:
            aws.call("sns", "GetSubscriptionAttributes", SubscriptionArn=record.outputs["arn"])
        except AwsError as error:
            if is_missing(error):
                return None
            raise
        return record.outputs

    def delete(self, aws: Aws, record: Record) -> None:
        """Unsubscribe."""
        try:
            aws.call("sns", "Unsubscribe", SubscriptionArn=record.outputs["arn"])
        except AwsError as error:
            if not is_missing(error):
                raise


_ATTRIBUTES = {
    "filter": "FilterPolicy",
    "filter_on": "FilterPolicyScope",
    "raw": "RawMessageDelivery",
    "dead_letter": "RedrivePolicy",
}


def _attribute(prop: str, desired: Desired) -> str | None:
    value = desired.get(prop)
    match prop:
        case "filter":
            return json.dumps(value or {})
        case "filter_on":
            return "MessageBody" if value == "body" else "MessageAttributes"
        case "raw":
            return "true" if value else "false"
        case _:
            return json.dumps({"deadLetterTargetArn": value}) if value else None


def _set(aws: Aws, arn: str, name: str, value: str | None) -> None:
    # A redrive policy is taken away by naming it without a value; an empty one is refused.
    text = {} if value is None else {"AttributeValue": value}
    aws.call("sns", "SetSubscriptionAttributes", SubscriptionArn=arn, AttributeName=name, **text)


DRIVER = SubscriptionDriver()
