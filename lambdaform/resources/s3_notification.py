"""Notifications of buckets: who hears of objects that come and go.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketNotificationConfiguration.html
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import attrs

from lambdaform.model.driver import Aws, AwsError, Desired, Found, Record, is_missing
from lambdaform.model.marks import Length, OneOf, Replaces
from lambdaform.model.output import Input, output
from lambdaform.model.resource import Resource
from lambdaform.model.units import items
from lambdaform.resources.shared_document import Turns, entry_id

EVENTS = "https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-event-types-and-destinations.html"


@attrs.frozen(kw_only=True, eq=False, repr=False, slots=False)
class BucketNotification(Resource):
    """Tells a function, queue or topic of a bucket's events: one entry of the bucket's notifications.

    `bucket.objects(...)` makes one with all it needs. S3 checks that it may deliver before it takes the entry.
    """

    kind: ClassVar[str] = "s3.notification"
    title: ClassVar[str] = "bucket notification"
    reference: ClassVar[str] = "entry_id"
    replacement: ClassVar[str] = "delete first"

    bucket: Annotated[Input[str], Replaces("an entry belongs to one bucket")]
    """The bucket's name."""
    target: Input[str] | Resource
    """The function (or alias), queue or topic, or its ARN."""
    target_kind: Annotated[str, OneOf(("function", "queue", "topic"), EVENTS)] = "function"
    """What `target` is."""
    events: Annotated[tuple[str, ...], Length(1, 30, "events", EVENTS)] = attrs.field(
        default=("s3:ObjectCreated:*",), converter=items
    )
    """S3's names of what is to be told."""
    prefix: Annotated[Input[str], Length(0, 1_024)] = ""
    """Only keys that begin with this."""
    suffix: Annotated[Input[str], Length(0, 1_024)] = ""
    """Only keys that end with this."""

    entry_id = output(str, "The id of the entry in the bucket's notifications.")


_LISTS = {
    "function": ("LambdaFunctionConfigurations", "LambdaFunctionArn"),
    "queue": ("QueueConfigurations", "QueueArn"),
    "topic": ("TopicConfigurations", "TopicArn"),
}


class BucketNotificationDriver:
    """Writes one entry into a bucket's notifications and takes it out again."""

    # An entry with our id is overwritten.
    exists = ()

    def __init__(self) -> None:
        self._turns = Turns()

    def create(self, aws: Aws, desired: Desired) -> Mapping[str, Any]:
        """PutBucketNotificationConfiguration with what was there and this entry."""
        entry = entry_id(desired)
        _, target = _LISTS[desired.get("target_kind", "function")]
        configuration: dict[str, Any] = {
            "Id": entry,
            target: desired.props["target"],
            "Events": desired.get("events", ["s3:ObjectCreated:*"]),
        }
        rules = [{"Name": name, "Value": desired.props[name]} for name in ("prefix", "suffix") if desired.get(name)]
        if rules:
            configuration["Filter"] = {"Key": {"FilterRules": rules}}
        self._write(aws, desired.props["bucket"], entry, desired.get("target_kind", "function"), configuration)
        return {"entry_id": entry}

    def update(self, aws: Aws, desired: Desired, record: Record, changed: frozenset[str]) -> Mapping[str, Any]:
        """The same again: the entry is found by its id."""
        return self.create(aws, desired)

    def find(self, aws: Aws, desired: Desired) -> Found | None:
        """The entry with the same id, which is made from stack, stage and address."""
        entry = entry_id(desired)
        return Found({"entry_id": entry}, None) if _has(aws, desired.props["bucket"], entry) else None

    def read(self, aws: Aws, record: Record) -> Mapping[str, Any] | None:
        """Its id while it stands in the bucket's notifications."""
        there = _has(aws, record.props["bucket"], record.outputs["entry_id"])
        return record.outputs if there else None

    def delete(self, aws: Aws, record: Record) -> None:
        """PutBucketNotificationConfiguration without this entry."""
        try:
            self._write(aws, record.props["bucket"], record.outputs["entry_id"], "function", None)
        except AwsError as error:
            if not is_missing(error):
                raise

    def _write(self, aws: Aws, bucket: str, entry: str, kind: str, configuration: dict[str, Any] | None) -> None:
        with self._turns.of(bucket):
            before = _read(aws, bucket)
            wanted = _without(before, entry)
            if configuration is not None:
                name, _ = _LISTS[kind]
                wanted[name] = [*wanted.get(name, []), configuration]
            if wanted == before:
                return
            aws.call("s3", "PutBucketNotificationConfiguration", Bucket=bucket, NotificationConfiguration=wanted)


def _read(aws: Aws, bucket: str) -> dict[str, Any]:
    answer = aws.call("s3", "GetBucketNotificationConfiguration", Bucket=bucket)
    names = [name for name, _ in _LISTS.values()]
    for name in names:
        for each in answer.get(name, []):
            for rule in each.get("Filter", {}).get("Key", {}).get("FilterRules", []):
                rule["Name"] = rule["Name"].lower()  # S3 answers "Prefix" to who wrote "prefix"
    return {name: answer[name] for name in (*names, "EventBridgeConfiguration") if answer.get(name) is not None}


def _without(configuration: Mapping[str, Any], entry: str) -> dict[str, Any]:
    found = dict(configuration)
    for name, _ in _LISTS.values():
        if name in found:
            found[name] = [each for each in found[name] if each.get("Id") != entry]
            if not found[name]:
                del found[name]
    return found


def _has(aws: Aws, bucket: str, entry: str) -> bool:
    try:
        configuration = _read(aws, bucket)
    except AwsError as error:
        if is_missing(error):
            return False
        raise
    return any(each.get("Id") == entry for name, _ in _LISTS.values() for each in configuration.get(name, []))


DRIVER = BucketNotificationDriver()
