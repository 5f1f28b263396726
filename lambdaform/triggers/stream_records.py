"""The trigger made by `stream.records(...)`: Lambda reads a Kinesis data stream.

https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

import attrs

from lambdaform.model.output import Input, Output
from lambdaform.model.resource import Grant, Resource, Scope, arn_of
from lambdaform.triggers.stream_batches import StreamBatches

if TYPE_CHECKING:
    from lambdaform.resources.kinesis_stream import Stream


@attrs.frozen(kw_only=True, eq=False, repr=False, slots=False)
class StreamRecords(StreamBatches):
    """A stream's records; made by `Stream.records`, which explains the settings."""

    event: ClassVar[str] = "kinesis"

    stream: "Stream"
    starting_timestamp: Input[float] | None = None

    def attach(self, function: Resource, target: Output[str], scope: Scope) -> Iterable[Grant]:
        """An event source mapping, and the right to read the stream."""
        stream = scope.current(self.stream)
        # The actions of AWS's AWSLambdaKinesisExecutionRole, on this stream alone.
        read = Grant(
            (
                "kinesis:DescribeStream",
                "kinesis:DescribeStreamSummary",
                "kinesis:GetRecords",
                "kinesis:GetShardIterator",
                "kinesis:ListShards",
                "kinesis:ListStreams",
                "kinesis:SubscribeToShard",
            ),
            (arn_of(stream),),
            target=stream,
            verb="read by trigger",
        )
        arn = arn_of(stream)
        rest = self.mapping("kinesis", arn, stream, target, scope, starting_timestamp=self.starting_timestamp)
        return [read, *rest]

    def source(self) -> Resource | None:
        """The stream."""
        return self.stream
