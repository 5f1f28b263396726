"""SNS topics: the declaration and its driver.

https://docs.aws.amazon.com/sns/latest/api/API_CreateTopic.html
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

import attrs

from lambdaform.model.driver import Aws, AwsError, Desired, Found, Record, changed_tags, is_missing
from lambdaform.model.marks import Length, OneOf, Pattern, Replaces
from lambdaform.model.output import Input, output
from lambdaform.model.resource import Grant, Naming, Resource
from lambdaform.resources.sns_subscription import Subscription
from lambdaform.triggers.topic_notifications import TopicNotifications

CREATE = "https://docs.aws.amazon.com/sns/latest/api/API_CreateTopic.html"


@attrs.frozen(kw_only=True, eq=False, repr=False, slots=False)
class Topic(Resource):
    """Messages for everybody who has subscribed.

    https://docs.aws.amazon.com/sns/latest/dg/welcome.html
    """

    kind: ClassVar[str] = "sns.topic"
    title: ClassVar[str] = "topic"
    naming: ClassVar[Naming | None] = Naming(256)
    taggable: ClassVar[bool] = True

    name: Annotated[
        Input[str] | None,
        Pattern(r"[A-Za-z0-9_-]{1,251}\.fifo|[A-Za-z0-9_-]{1,256}", "1 to 256 letters, digits, - or _", CREATE),
        Replaces(),
    ] = None
    """Its name in AWS; made from stack, stage and attribute name when not given."""
    fifo: Annotated[bool, Replaces("a topic stays FIFO or standard for life")] = False
    """Whether order is kept within a message group and duplicates are dropped."""
    content_based_deduplication: Input[bool] = False
    """FIFO only: take a hash of the message where the publisher gives no deduplication id."""
    display_name: Annotated[Input[str], Length(0, 100, source=CREATE)] = ""
    """What e-mails and text messages name as their sender."""
    kms_key: Annotated[Input[str] | None, Length(1, 2_048)] = None
    """Id, alias or ARN of a KMS key; messages are not encrypted at rest when not given."""
    tracing: Annotated[Input[str], OneOf(("PassThrough", "Active"), CREATE)] = "PassThrough"
    """Whether X-Ray samples its messages."""
    signature_version: Annotated[Input[int], OneOf((1, 2), CREATE)] = 1
    """How messages to HTTP subscribers are signed: 1 is SHA-1, 2 is SHA-256."""
    tags: Annotated[Mapping[str, Input[str]], Length(0, 50, "tags")] = attrs.field(factory=dict[str, Input[str]])
    """Tags besides the stack's."""

    arn = output(str, "The topic's ARN.")
    topic_name = output(str, "The topic's name.")

    @classmethod
    def existing(cls, arn: Input[str]) -> Self:
        """A topic that lambdaform does not manage."""
        return cls.refer(arn, fifo=isinstance(arn, str) and arn.endswith(".fifo"))

    @classmethod
    def outputs_of_arn(cls, arn: str) -> Mapping[str, str]:
        """ARN and name."""
        return {"arn": arn, "topic_name": arn.rsplit(":", 1)[-1]}

    def publish(self) -> Grant:
        """Permission to publish; in `uses`, the variable holds the topic's ARN."""
        return Grant(("sns:Publish",), (self.arn,), value=self.arn, target=self, verb="publish")

    def notifications(
        self,
        *,
        filter: Mapping[str, Any] | None = None,
        filter_on: str = "attributes",
        dead_letter: Input[str] | Resource | None = None,
    ) -> TopicNotifications:
        """A trigger: the function gets this topic's messages, one each time.

        Args:
            filter: a filter policy; only messages that match it arrive.
            filter_on: whether the filter is about the message's `attributes` or its `body`.
            dead_letter: the queue for messages SNS could not hand over to Lambda.
        """
        return TopicNotifications(topic=self, filter=filter, filter_on=filter_on, dead_letter=dead_letter)

    def to(
        self,
        endpoint: Input[str] | Resource,
        *,
        protocol: str | None = None,
        filter: Mapping[str, Any] | None = None,
        filter_on: str = "attributes",
        raw: Input[bool] = False,
        dead_letter: Input[str] | Resource | None = None,
    ) -> Subscription:
        """A subscription: messages go on to a queue, an address or a function; to be named like any resource.

        Args:
            endpoint: a queue, a function, an ARN, an https address or an e-mail address.
            protocol: how to reach it, where it cannot be told from the endpoint.
            filter: a filter policy; only messages that match it arrive.
            filter_on: whether the filter is about the message's `attributes` or its `body`.
            raw: whether the message arrives as it was published, without SNS's envelope.
            dead_letter: the queue for messages SNS could not hand over.
        """
        return Subscription(
            topic=self,
            endpoint=endpoint,
            protocol=protocol,
            filter=filter,
            filter_on=filter_on,
            raw=raw,
            dead_letter=dead_letter,
        )


# prop -> (attribute, value when it is no longer set)
_ATTRIBUTES: Mapping[str, tuple[str, str]] = {
    "content_based_deduplication": ("ContentBasedDeduplication", "false"),
    "display_name": ("DisplayName", ""),
    "kms_key": ("KmsMasterKeyId", ""),
    "tracing": ("TracingConfig", "PassThrough"),
    "signature_version": ("SignatureVersion", "1"),
}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class TopicDriver:
    """Makes and changes topics."""

    # CreateTopic answers with the topic that is there; when its tags or attributes differ it calls them invalid.
    exists = ("InvalidParameter", "InvalidParameterException")

    def create(self, aws: Aws, desired: Desired) -> Mapping[str, Any]:
        """CreateTopic with only the attributes that were declared."""
        attributes = {
            attribute: _text(desired.props[prop])
            for prop, (attribute, _) in _ATTRIBUTES.items()
            if prop in desired.props
        }
        if desired.get("fifo"):
            attributes["FifoTopic"] = "true"
        tags = [{"Key": key, "Value": value} for key, value in desired.tags.items()]
        answer = aws.call("sns", "CreateTopic", Name=desired.physical_name, Attributes=attributes, Tags=tags)
        return self._outputs(answer["TopicArn"])

    def update(self, aws: Aws, desired: Desired, record: Record, changed: frozenset[str]) -> Mapping[str, Any]:
        """SetTopicAttributes for each thing that changed; tags by their difference."""
        arn = record.outputs["arn"]
        for prop, (attribute, default) in _ATTRIBUTES.items():
            if prop in changed:
                value = _text(desired.props[prop]) if prop in desired.props else default
                aws.call("sns", "SetTopicAttributes", TopicArn=arn, AttributeName=attribute, AttributeValue=value)
        if "tags" in changed:
            put, removed = changed_tags(record.props.get("tags"), desired.props.get("tags"))
            if put:
                pairs = [{"Key": key, "Value": value} for key, value in put.items()]
                aws.call("sns", "TagResource", ResourceArn=arn, Tags=pairs)
            if removed:
                aws.call("sns", "UntagResource", ResourceArn=arn, TagKeys=removed)
        return record.outputs

    def find(self, aws: Aws, desired: Desired) -> Found | None:
        """The topic of that name and its tags."""
        arn = f"arn:{aws.partition}:sns:{aws.region}:{aws.account}:{desired.physical_name}"
        if not _exists(aws, arn):
            return None
        tags = aws.call("sns", "ListTagsForResource", ResourceArn=arn).get("Tags", [])
        return Found(self._outputs(arn), {tag["Key"]: tag["Value"] for tag in tags})

    def read(self, aws: Aws, record: Record) -> Mapping[str, Any] | None:
        """Its outputs while it exists."""
        return record.outputs if _exists(aws, record.outputs["arn"]) else None

    def delete(self, aws: Aws, record: Record) -> None:
        """DeleteTopic, with all its subscriptions."""
        try:
            aws.call("sns", "DeleteTopic", TopicArn=record.outputs["arn"])
        except AwsError as error:
            if not is_missing(error):
                raise

    def _outputs(self, arn: str) -> Mapping[str, Any]:
        return {"arn": arn, "topic_name": arn.rsplit(":", 1)[-1]}


def _exists(aws: Aws, arn: str) -> bool:
    try:
        aws.call("sns", "GetTopicAttributes", TopicArn=arn)
    except AwsError as error:
        if is_missing(error):
            return False
        raise
    return True


DRIVER = TopicDriver()
