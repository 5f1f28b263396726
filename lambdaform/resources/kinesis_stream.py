"""Kinesis data streams: the declaration and its driver.

https://docs.aws.amazon.com/kinesis/latest/APIReference/API_CreateStream.html
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Self

import attrs

from lambdaform.model.driver import Aws, AwsError, Desired, Found, Record, changed_tags, is_missing
from lambdaform.model.marks import Length, Pattern, Range, Replaces
from lambdaform.model.output import Input, Output, Unreadable, lift, output
from lambdaform.model.resource import Grant, Naming, Resource
from lambdaform.model.units import Seconds, seconds
from lambdaform.triggers.stream_records import StreamRecords

CREATE = "https://docs.aws.amazon.com/kinesis/latest/APIReference/API_CreateStream.html"
KINESIS_QUOTAS = "https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html"


def _plain_hours(value: Any) -> Any:
    expected = "a number of hours such as 48, '48 h' or '7 days'"
    if not isinstance(value, (str, timedelta)):
        return value if isinstance(value, int) and not isinstance(value, bool) else Unreadable(value, expected)
    total = seconds(value)
    if not isinstance(total, int):
        return Unreadable(value, expected)
    return total // 3_600 if total % 3_600 == 0 else Unreadable(value, "whole hours")


def hours(value: Seconds) -> int | Output[int]:
    """Hours from a number of hours, a text such as "7 days" or a `timedelta`."""
    converted: int | Output[int] = lift(_plain_hours, value)
    return converted


@attrs.frozen(kw_only=True, eq=False, repr=False, slots=False)
class Stream(Resource):
    """Records in order for each partition key, read by as many as want to.

    https://docs.aws.amazon.com/streams/latest/dev/introduction.html
    """

    kind: ClassVar[str] = "kinesis.stream"
    title: ClassVar[str] = "stream"
    naming: ClassVar[Naming | None] = Naming(128, allowed="-A-Za-z0-9_.")
    taggable: ClassVar[bool] = True
    holds_data: ClassVar[bool] = True

    name: Annotated[
        Input[str] | None, Pattern(r"[a-zA-Z0-9_.-]{1,128}", "1 to 128 letters, digits or _.-", CREATE), Replaces()
    ] = None
    """Its name in AWS; made from stack, stage and attribute name when not given."""
    shards: Annotated[Input[int] | None, Range(1, 10_000, "shards", source=KINESIS_QUOTAS)] = None
    """How many shards it has, 1 MB/s in and 2 MB/s out each; AWS finds the number by itself when not given."""
    retention: Annotated[Input[int], Range(24, 8_760, "hours", source=KINESIS_QUOTAS)] = attrs.field(
        default=24, converter=hours
    )
    """Hours that records are kept; `"7 days"` will do."""
    kms_key: Annotated[Input[str] | None, Length(1, 2_048)] = None
    """Id, alias or ARN of a KMS key; records are not encrypted at rest when not given."""
    tags: Annotated[Mapping[str, Input[str]], Length(0, 50, "tags")] = attrs.field(factory=dict[str, Input[str]])
    """Tags besides the stack's."""

    arn = output(str, "The stream's ARN.")
    stream_name = output(str, "The stream's name.")

    @classmethod
    def existing(cls, arn: Input[str]) -> Self:
        """A stream that lambdaform does not manage."""
        return cls.refer(arn)

    @classmethod
    def outputs_of_arn(cls, arn: str) -> Mapping[str, str]:
        """ARN and name."""
        return {"arn": arn, "stream_name": arn.rpartition("/")[2]}

    def records(
        self,
        *,
        starting_position: Input[str] = "LATEST",
        starting_timestamp: Input[float] | None = None,
        batch_size: Input[int] = 100,
        window: Seconds = 0,
        partial_failures: Input[bool] = False,
        filters: Iterable[Mapping[str, Any]] = (),
        parallelization: Input[int] | None = None,
        bisect_on_error: Input[bool] = False,
        max_retries: Input[int] | None = None,
        max_record_age: Seconds | None = None,
        tumbling_window: Seconds | None = None,
        on_failure: Input[str] | Resource | None = None,
        metrics: Input[bool] = False,
        enabled: Input[bool] = True,
    ) -> StreamRecords:
        """A trigger: the function gets this stream's records, in order for each partition key.

        A batch that fails blocks its shard until it succeeds or expires: limit `max_retries` or `max_record_age`, and
        give `on_failure`, to get past it.

        Args:
            starting_position: `LATEST`, `TRIM_HORIZON` for everything there is, or `AT_TIMESTAMP`.
            starting_timestamp: seconds since 1970, with `AT_TIMESTAMP`.
            batch_size: most records in one invocation, 1 to 10,000.
            window: how long to collect a batch.
            partial_failures: whether the answer may name the first record that failed (`batchItemFailures`).
            filters: patterns; a record that matches none is passed over.
            parallelization: batches of one shard handled at a time, 1 to 10.
            bisect_on_error: whether a failing batch is halved.
            max_retries: retries of a failing batch, up to 10,000; without end when not given.
            max_record_age: older records are dropped.
            tumbling_window: length of an aggregation window, up to 15 minutes.
            on_failure: queue, topic or bucket that hears of batches given up.
            metrics: whether CloudWatch gets counts of this mapping's events, which AWS bills.
            enabled: whether it reads.
        """
        return StreamRecords(
            stream=self,
            starting_position=starting_position,
            starting_timestamp=starting_timestamp,
            batch_size=batch_size,
            window=window,
            partial_failures=partial_failures,
            filters=filters,
            parallelization=parallelization,
            bisect_on_error=bisect_on_error,
            max_retries=max_retries,
            max_record_age=max_record_age,
            tumbling_window=tumbling_window,
            on_failure=on_failure,
            metrics=metrics,
            enabled=enabled,
        )

    def put(self) -> Grant:
        """Permission to put records; in `uses`, the variable holds the stream's name."""
        return self._grant("put", "kinesis:DescribeStreamSummary", "kinesis:PutRecord", "kinesis:PutRecords")

    def read(self) -> Grant:
        """Permission to read records; in `uses`, the variable holds the stream's name."""
        return self._grant(
            "read",
            "kinesis:DescribeStreamSummary",
            "kinesis:GetRecords",
            "kinesis:GetShardIterator",
            "kinesis:ListShards",
        )

    def _grant(self, verb: str, *actions: str) -> Grant:
        return Grant(actions, (self.arn,), value=self.stream_name, target=self, verb=verb)


class StreamDriver:
    """Makes and changes streams; AWS takes one change at a time, so each is waited for."""

    exists = ("ResourceInUseException",)

    def create(self, aws: Aws, desired: Desired) -> Mapping[str, Any]:
        """CreateStream, wait until it is active, then the settings that have calls of their own."""
        name, shards = desired.physical_name, desired.get("shards")
        request: dict[str, Any] = (
            {"ShardCount": shards, "StreamModeDetails": {"StreamMode": "PROVISIONED"}}
            if shards is not None
            else {"StreamModeDetails": {"StreamMode": "ON_DEMAND"}}
        )
        aws.call("kinesis", "CreateStream", StreamName=name, Tags=dict(desired.tags), **request)
        stream = _active(aws, name)
        # Tags come with the stream, so that a run that is cut off here knows it again; not every stand-in for
        # Kinesis takes them there.
        aws.call("kinesis", "AddTagsToStream", StreamName=name, Tags=dict(desired.tags))
        self._own_calls(aws, desired, name, stream, frozenset(desired.props))
        return _outputs(stream)

    def update(self, aws: Aws, desired: Desired, record: Record, changed: frozenset[str]) -> Mapping[str, Any]:
        """One call for each thing that changed, each waited for."""
        name = record.physical_name
        stream = _active(aws, name)
        arn = stream["StreamARN"]
        if "shards" in changed:
            shards = desired.get("shards")
            wanted = "PROVISIONED" if shards is not None else "ON_DEMAND"
            if stream.get("StreamModeDetails", {}).get("StreamMode") != wanted:
                aws.call("kinesis", "UpdateStreamMode", StreamARN=arn, StreamModeDetails={"StreamMode": wanted})
                stream = _active(aws, name)
            if shards is not None and stream.get("OpenShardCount") != shards:
                # AWS at most doubles or halves the number of shards at once.
                # https://docs.aws.amazon.com/kinesis/latest/APIReference/API_UpdateShardCount.html
                while (count := stream["OpenShardCount"]) != shards:
                    step = min(shards, count * 2) if shards > count else max(shards, -(-count // 2))
                    aws.call(
                        "kinesis",
                        "UpdateShardCount",
                        StreamName=name,
                        TargetShardCount=step,
                        ScalingType="UNIFORM_SCALING",
                    )
                    stream = _active(aws, name)
        self._own_calls(aws, desired, name, stream, changed)
        if "tags" in changed:
            put, removed = changed_tags(record.props.get("tags"), desired.props.get("tags"))
            if put:
                aws.call("kinesis", "AddTagsToStream", StreamName=name, Tags=put)
            if removed:
                aws.call("kinesis", "RemoveTagsFromStream", StreamName=name, TagKeys=removed)
        return record.outputs

    def _own_calls(
        self, aws: Aws, desired: Desired, name: str, stream: Mapping[str, Any], changed: frozenset[str]
    ) -> None:
        if "retention" in changed:
            wanted, current = desired.get("retention", 24), stream.get("RetentionPeriodHours", 24)
            if wanted != current:
                operation = ("Increase" if wanted > current else "Decrease") + "StreamRetentionPeriod"
                aws.call("kinesis", operation, StreamName=name, RetentionPeriodHours=wanted)
                stream = _active(aws, name)
        if "kms_key" in changed:
            key, current = desired.get("kms_key"), stream.get("KeyId")
            if key and key != current:
                aws.call("kinesis", "StartStreamEncryption", StreamName=name, EncryptionType="KMS", KeyId=key)
                _active(aws, name)
            elif not key and current:
                aws.call("kinesis", "StopStreamEncryption", StreamName=name, EncryptionType="KMS", KeyId=current)
                _active(aws, name)

    def find(self, aws: Aws, desired: Desired) -> Found | None:
        """The stream of that name and its tags."""
        stream = _describe(aws, desired.physical_name)
        if stream is None:
            return None
        answer = aws.call("kinesis", "ListTagsForStream", StreamName=desired.physical_name)
        return Found(_outputs(stream), {tag["Key"]: tag["Value"] for tag in answer.get("Tags", [])})

    def read(self, aws: Aws, record: Record) -> Mapping[str, Any] | None:
        """Its outputs while it exists."""
        stream = _describe(aws, record.physical_name)
        return None if stream is None or stream.get("StreamStatus") == "DELETING" else _outputs(stream)

    def delete(self, aws: Aws, record: Record) -> None:
        """DeleteStream with all its records and consumers, then wait until it is gone."""
        name = record.physical_name

        def gone() -> bool | None:
            stream = _describe(aws, name)
            if stream is None:
                return True
            if stream.get("StreamStatus") != "DELETING":
                try:
                    aws.call("kinesis", "DeleteStream", StreamName=name, EnforceConsumerDeletion=True)
                except AwsError as error:
                    if is_missing(error):
                        return True
                    if error.code != "ResourceInUseException":  # being made or changed: look again
                        raise
            return None

        aws.wait_for(f"the stream {name} to be deleted", gone)


def _describe(aws: Aws, name: str) -> Mapping[str, Any] | None:
    try:
        summary: Mapping[str, Any] = aws.call("kinesis", "DescribeStreamSummary", StreamName=name)[
            "StreamDescriptionSummary"
        ]
    except AwsError as error:
        if is_missing(error):
            return None
        raise
    return summary


def _active(aws: Aws, name: str) -> Mapping[str, Any]:
    def look() -> Mapping[str, Any] | None:
        stream = _describe(aws, name)
        return stream if stream is not None and stream.get("StreamStatus", "ACTIVE") == "ACTIVE" else None

    return aws.wait_for(f"the stream {name} to be active", look, seconds=900)


def _outputs(stream: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"arn": stream["StreamARN"], "stream_name": stream["StreamName"]}


DRIVER = StreamDriver()
