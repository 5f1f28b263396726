"""Amazon SQS queues: the declaration and its driver.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html
"""

import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Self

import attrs

from lambdaform.model.driver import Aws, AwsError, Desired, Found, Record, changed_tags, is_missing
from lambdaform.model.marks import Length, Pattern, Range, Replaces
from lambdaform.model.output import Input, output
from lambdaform.model.resource import Grant, Naming, Resource
from lambdaform.model.units import Seconds, optional_seconds, seconds
from lambdaform.model.value import Value
from lambdaform.triggers.queue_messages import QueueMessages

SQS_QUOTAS = "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-quotas.html"


@attrs.frozen(eq=False, repr=False)
class DeadLetter(Value):
    """Where messages go that were received too often without being deleted."""

    queue: "Queue | Input[str]"
    """The dead-letter queue, or its ARN."""
    max_receives: Annotated[Input[int], Range(1, 1000, "receives", source=SQS_QUOTAS)] = attrs.field(
        default=5, kw_only=True
    )
    """After how many receives a message moves there. AWS advises at least 5 for queues that a function reads."""


@attrs.frozen(kw_only=True, eq=False, repr=False, slots=False)
class Queue(Resource):
    """Messages waiting for a reader.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/welcome.html
    """

    kind: ClassVar[str] = "sqs.queue"
    title: ClassVar[str] = "queue"
    naming: ClassVar[Naming | None] = Naming(80)
    taggable: ClassVar[bool] = True
    holds_data: ClassVar[bool] = True
    # A deleted queue's name stays blocked for 60 seconds, so a replacement gets a name of its own.
    replacement: ClassVar[str] = "create first"

    name: Annotated[
        Input[str] | None,
        Pattern(r"[A-Za-z0-9_-]{1,75}\.fifo|[A-Za-z0-9_-]{1,80}", "1 to 80 letters, digits, - or _", SQS_QUOTAS),
        Replaces(),
    ] = None
    """Its name in AWS; made from stack, stage and attribute name when not given."""
    visibility_timeout: Annotated[Input[int], Range(0, 43_200, "s", source=SQS_QUOTAS)] = attrs.field(
        default=30, converter=seconds
    )
    """How long a message stays hidden after a reader takes it."""
    retention: Annotated[Input[int], Range(60, 1_209_600, "s", source=SQS_QUOTAS)] = attrs.field(
        default=345_600, converter=seconds
    )
    """How long a message is kept when nobody deletes it."""
    delay: Annotated[Input[int], Range(0, 900, "s", source=SQS_QUOTAS)] = attrs.field(default=0, converter=seconds)
    """How long a new message stays hidden before its first reader can take it."""
    max_message_size: Annotated[Input[int], Range(1_024, 1_048_576, "bytes", source=SQS_QUOTAS)] = 1_048_576
    """The largest message it takes."""
    receive_wait: Annotated[Input[int], Range(0, 20, "s", source=SQS_QUOTAS)] = attrs.field(
        default=0, converter=seconds
    )
    """How long a read waits for a first message (long polling)."""
    dead_letter: DeadLetter | None = None
    """Where messages go that nobody could handle."""
    fifo: Annotated[bool, Replaces("a queue stays FIFO or standard for life")] = False
    """Whether order is kept within a message group and duplicates are dropped."""
    content_based_deduplication: Input[bool] = False
    """FIFO only: take a hash of the body where the sender gives no deduplication id."""
    high_throughput: Input[bool] = False
    """FIFO only: deduplicate and limit the rate per message group instead of per queue."""
    kms_key: Annotated[Input[str] | None, Length(1, 2_048)] = None
    """Id, alias or ARN of a KMS key; messages are encrypted with SQS's own key when not given."""
    kms_data_key_reuse: Annotated[Input[int] | None, Range(60, 86_400, "s", source=SQS_QUOTAS)] = attrs.field(
        default=None, converter=optional_seconds
    )
    """How long SQS uses one data key before it asks KMS again."""
    tags: Annotated[Mapping[str, Input[str]], Length(0, 50, "tags")] = attrs.field(factory=dict[str, Input[str]])
    """Tags besides the stack's."""

    url = output(str, "Where messages are sent.")
    arn = output(str, "The queue's ARN.")
    queue_name = output(str, "The queue's name.")

    @classmethod
    def existing(cls, arn: Input[str], *, visibility_timeout: Seconds | None = None, fifo: bool = False) -> Self:
        """A queue that lambdaform does not manage. Settings given here are only used by checks."""
        settings: dict[str, Any] = {"fifo": fifo or (isinstance(arn, str) and arn.endswith(".fifo"))}
        if visibility_timeout is not None:
            settings["visibility_timeout"] = visibility_timeout
        return cls.refer(arn, **settings)

    def messages(
        self,
        *,
        batch_size: Input[int] = 10,
        window: Seconds = 0,
        partial_failures: Input[bool] = False,
        filters: Iterable[Mapping[str, Any]] = (),
        max_concurrency: Input[int] | None = None,
        min_pollers: Input[int] | None = None,
        max_pollers: Input[int] | None = None,
        metrics: Input[bool] = False,
        enabled: Input[bool] = True,
    ) -> QueueMessages:
        """A trigger: the function gets this queue's messages in batches.

        Args:
            batch_size: most messages in one invocation, 1 to 10,000 (FIFO: 10).
            window: how long to collect a batch; needed for a batch size over 10, not possible for FIFO.
            partial_failures: whether the answer may name the messages that failed (`batchItemFailures`).
            filters: patterns; a message that matches none is deleted unread.
            max_concurrency: most invocations at a time for this queue, 2 to 1,000.
            min_pollers: fewest pollers kept for this queue (provisioned mode, which AWS bills), 2 to 200; instead of
                `max_concurrency`. Each has up to 10 invocations at a time.
            max_pollers: most pollers kept for this queue, 2 to 10,000.
            metrics: whether CloudWatch gets counts of this queue's events, which AWS bills.
            enabled: whether it polls.
        """
        return QueueMessages(
            queue=self,
            batch_size=batch_size,
            window=window,
            partial_failures=partial_failures,
            filters=filters,
            max_concurrency=max_concurrency,
            min_pollers=min_pollers,
            max_pollers=max_pollers,
            metrics=metrics,
            enabled=enabled,
        )

    def send(self) -> Grant:
        """Permission to send messages; in `uses`, the variable holds the queue's URL."""
        return self._grant("send", "sqs:GetQueueAttributes", "sqs:GetQueueUrl", "sqs:SendMessage")

    def receive(self) -> Grant:
        """Permission to read and delete messages; in `uses`, the variable holds the queue's URL."""
        return self._grant(
            "receive",
            "sqs:ChangeMessageVisibility",
            "sqs:DeleteMessage",
            "sqs:GetQueueAttributes",
            "sqs:GetQueueUrl",
            "sqs:ReceiveMessage",
        )

    def purge(self) -> Grant:
        """Permission to delete all messages at once; in `uses`, the variable holds the queue's URL."""
        return self._grant("purge", "sqs:GetQueueAttributes", "sqs:GetQueueUrl", "sqs:PurgeQueue")

    def _grant(self, verb: str, *actions: str) -> Grant:
        keys: tuple[Input[str], ...] = (self.arn,)
        return Grant(actions, keys, value=self.url, target=self, verb=verb)

    @classmethod
    def outputs_of_arn(cls, arn: str) -> Mapping[str, str]:
        """URL, ARN and name; the URL is AWS's own form."""
        _, partition, _, region, account, name = arn.split(":", 5)
        suffix = "amazonaws.com.cn" if partition == "aws-cn" else "amazonaws.com"
        return {"arn": arn, "queue_name": name, "url": f"https://sqs.{region}.{suffix}/{account}/{name}"}


_ATTRIBUTES = {
    "visibility_timeout": ("VisibilityTimeout", 30),
    "retention": ("MessageRetentionPeriod", 345_600),
    "delay": ("DelaySeconds", 0),
    "max_message_size": ("MaximumMessageSize", 1_048_576),
    "receive_wait": ("ReceiveMessageWaitTimeSeconds", 0),
    "content_based_deduplication": ("ContentBasedDeduplication", False),
    "kms_key": ("KmsMasterKeyId", ""),
    "kms_data_key_reuse": ("KmsDataKeyReusePeriodSeconds", 300),
}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class QueueDriver:
    """Makes and changes queues."""

    exists = ("QueueAlreadyExists", "QueueNameExists")

    def attributes(self, desired: Desired, names: Iterable[str]) -> dict[str, str]:
        """SQS's attributes for these props; a prop that is no longer set goes back to AWS's default."""
        found: dict[str, str] = {}
        for name in names:
            if name in _ATTRIBUTES:
                attribute, default = _ATTRIBUTES[name]
                found[attribute] = _text(desired.get(name, default))
            elif name == "dead_letter":
                dead = desired.get("dead_letter")
                found["RedrivePolicy"] = (
                    json.dumps({"deadLetterTargetArn": dead["queue"], "maxReceiveCount": dead["max_receives"]})
                    if dead
                    else ""
                )
            elif name == "high_throughput":
                on = desired.get("high_throughput", False)
                found["DeduplicationScope"] = "messageGroup" if on else "queue"
                found["FifoThroughputLimit"] = "perMessageGroupId" if on else "perQueue"
            elif name == "fifo" and desired.get("fifo"):
                found["FifoQueue"] = "true"
        return found

    def create(self, aws: Aws, desired: Desired) -> Mapping[str, Any]:
        """CreateQueue with only the attributes that were declared."""
        answer = aws.call(
            "sqs",
            "CreateQueue",
            QueueName=desired.physical_name,
            Attributes=self.attributes(desired, desired.props),
            tags=dict(desired.tags),
        )
        return self._outputs(aws, answer["QueueUrl"], desired.physical_name)

    def update(self, aws: Aws, desired: Desired, record: Record, changed: frozenset[str]) -> Mapping[str, Any]:
        """SetQueueAttributes for what changed; tags by their difference."""
        url = record.outputs["url"]
        attributes = self.attributes(desired, changed - {"fifo"})
        if attributes:
            aws.call("sqs", "SetQueueAttributes", QueueUrl=url, Attributes=attributes)
        if "tags" in changed:
            put, removed = changed_tags(record.props.get("tags"), desired.props.get("tags"))
            if put:
                aws.call("sqs", "TagQueue", QueueUrl=url, Tags=put)
            if removed:
                aws.call("sqs", "UntagQueue", QueueUrl=url, TagKeys=removed)
        return record.outputs

    def find(self, aws: Aws, desired: Desired) -> Found | None:
        """The queue of that name and its tags."""
        try:
            url = aws.call("sqs", "GetQueueUrl", QueueName=desired.physical_name)["QueueUrl"]
        except AwsError as error:
            if is_missing(error):
                return None
            raise
        tags = aws.call("sqs", "ListQueueTags", QueueUrl=url).get("Tags", {})
        return Found(self._outputs(aws, url, desired.physical_name), tags)

    def read(self, aws: Aws, record: Record) -> Mapping[str, Any] | None:
        """Its outputs while it exists."""
        try:
            aws.call("sqs", "GetQueueAttributes", QueueUrl=record.outputs["url"], AttributeNames=["QueueArn"])
        except AwsError as error:
            if is_missing(error):
                return None
            raise
        return record.outputs

    def delete(self, aws: Aws, record: Record) -> None:
        """DeleteQueue; AWS blocks the name for 60 seconds afterwards."""
        try:
            aws.call("sqs", "DeleteQueue", QueueUrl=record.outputs["url"])
        except AwsError as error:
            if not is_missing(error):
                raise

    def is_empty(self, aws: Aws, record: Record) -> bool:
        """Whether it holds no message, as far as SQS counts them; an empty queue may be deleted without asking."""
        names = (
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesDelayed",
        )
        try:
            answer = aws.call("sqs", "GetQueueAttributes", QueueUrl=record.outputs["url"], AttributeNames=list(names))
        except AwsError as error:
            if is_missing(error):
                return True
            raise
        return all(int(answer.get("Attributes", {}).get(name, 0)) == 0 for name in names)

    def _outputs(self, aws: Aws, url: str, name: str) -> Mapping[str, Any]:
        arn = f"arn:{aws.partition}:sqs:{aws.region}:{aws.account}:{name}"
        return {"url": url, "arn": arn, "queue_name": name}


DRIVER = QueueDriver()
