"""The two kinds of streams the library stores, as a poller reads them: shards, positions, records."""

from __future__ import annotations

import base64
import datetime
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, cast

import attrs

from lambdaform.local.clock import iso
from lambdaform.local.data import OneByOne
from lambdaform.local.patterns import Pattern
from lambdaform.local.pollers import filters
from lambdaform.local.pollers.retries import SHORTEST_RETENTION, StreamRecord
from lambdaform.local.ports import AwsFault, Json

MAX_READ = 1_000
"""Records of one read; both services allow that many."""


@attrs.frozen
class Position:
    """Where in a shard the next read begins."""

    kind: Literal["TRIM_HORIZON", "AT_TIMESTAMP", "AFTER_SEQUENCE_NUMBER"]
    sequence: str | None = None
    timestamp: float | None = None


@attrs.frozen
class Found:
    """A shard as its stream describes it."""

    id: str
    parents: tuple[str, ...] = ()
    """What it was split or merged from."""
    is_closed: bool = False


class Source(Protocol):
    """One kind of stream."""

    batch_key: str
    """The key of the batch's description in an on-failure document."""
    pause: float
    """Seconds between two polls of a shard."""

    async def check(self, call: OneByOne) -> None:
        """Raise `AwsFault` when there is nothing to read from."""
        ...

    async def retention(self, call: OneByOne) -> float:
        """Seconds for which the stream keeps a record; raises `AwsFault` when it is missing."""
        ...

    async def shards(self, call: OneByOne) -> list[Found]:
        """The stream's shards, parents first; raises `AwsFault` when it is missing."""
        ...

    async def read(self, call: OneByOne, shard: str, position: Position, limit: int) -> list[StreamRecord]:
        """The records that follow a position."""
        ...

    def keeps(self, patterns: Sequence[Pattern], record: StreamRecord) -> bool:
        """Whether a record reaches the function."""
        ...

    def stamp(self, arrived: float) -> str:
        """An arrival time as on-failure documents of this source show it."""
        ...


class KinesisSource:
    """Kinesis Data Streams: polled once a second, or by a consumer of one's own, which is handed records at once."""

    batch_key = "KinesisBatchInfo"

    def __init__(self, arn: str, region: str, role: str) -> None:
        self._is_consumer = "/consumer/" in arn
        self.pause = 0.0 if self._is_consumer else 1.0
        self._arn = arn.split("/consumer/")[0]
        self._name = self._arn.rsplit("/", 1)[1]
        self._source_arn = arn
        self._region = region
        self._role = role

    async def check(self, call: OneByOne) -> None:
        """Raise `AwsFault` when the stream, or the consumer of it, is missing."""
        await self.shards(call)
        if self._is_consumer:
            asked = {"ConsumerARN": self._source_arn}
            await call("kinesis", "DescribeStreamConsumer", asked, region=self._region)

    async def retention(self, call: OneByOne) -> float:
        """Seconds for which the stream keeps a record; raises `AwsFault` when it is missing."""
        answer = await call("kinesis", "DescribeStreamSummary", {"StreamName": self._name}, region=self._region)
        return float(answer["StreamDescriptionSummary"]["RetentionPeriodHours"]) * 3_600

    async def shards(self, call: OneByOne) -> list[Found]:
        """The stream's shards, parents first; raises `AwsFault` when it is missing."""
        answer = await call("kinesis", "ListShards", {"StreamName": self._name}, region=self._region)
        return [_found(shard) for shard in answer["Shards"]]

    async def read(self, call: OneByOne, shard: str, position: Position, limit: int) -> list[StreamRecord]:
        """The records that follow a position."""
        where: dict[str, Json] = {"StreamName": self._name, "ShardId": shard, "ShardIteratorType": position.kind}
        if position.sequence is not None:
            where["StartingSequenceNumber"] = position.sequence
        if position.timestamp is not None:
            where["Timestamp"] = position.timestamp
        found = await call("kinesis", "GetShardIterator", where, region=self._region)
        asked = {"ShardIterator": found["ShardIterator"], "Limit": min(limit, MAX_READ)}
        answer = await call("kinesis", "GetRecords", asked, region=self._region)
        return [self._record(shard, record) for record in answer["Records"]]

    def keeps(self, patterns: Sequence[Pattern], record: StreamRecord) -> bool:
        """Whether a record reaches the function."""
        return filters.keeps_kinesis(patterns, record.event)

    def stamp(self, arrived: float) -> str:
        """Arrival with milliseconds."""
        return iso(arrived)

    def _record(self, shard: str, record: Mapping[str, Any]) -> StreamRecord:
        arrived = seconds(record["ApproximateArrivalTimestamp"])
        sequence = str(record["SequenceNumber"])
        event = {
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": record["PartitionKey"],
                "sequenceNumber": sequence,
                "data": base64.b64encode(record["Data"]).decode(),
                "approximateArrivalTimestamp": arrived,
            },
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": f"{shard}:{sequence}",
            "eventName": "aws:kinesis:record",
            "invokeIdentityArn": self._role,
            "awsRegion": self._region,
            "eventSourceARN": self._source_arn,
        }
        return StreamRecord(sequence, arrived, event, len(json.dumps(event)))


class DynamoDbSource:
    """The stream of a DynamoDB table."""

    batch_key = "DDBStreamBatchInfo"
    pause = 0.25

    def __init__(self, arn: str, region: str) -> None:
        self._arn = arn
        self._region = region

    async def check(self, call: OneByOne) -> None:
        """Raise `AwsFault` when the stream is missing."""
        await self.shards(call)

    async def retention(self, call: OneByOne) -> float:
        """Every table's stream keeps its records for a day."""
        return float(SHORTEST_RETENTION)

    async def shards(self, call: OneByOne) -> list[Found]:
        """The stream's shards, parents first; raises `AwsFault` when it is missing."""
        answer = await call("dynamodbstreams", "DescribeStream", {"StreamArn": self._arn}, region=self._region)
        return [_found(shard) for shard in answer["StreamDescription"]["Shards"]]

    async def read(self, call: OneByOne, shard: str, position: Position, limit: int) -> list[StreamRecord]:
        """The records that follow a position."""
        where: dict[str, Json] = {"StreamArn": self._arn, "ShardId": shard, "ShardIteratorType": position.kind}
        if position.sequence is not None:
            where["SequenceNumber"] = position.sequence
        found = await call("dynamodbstreams", "GetShardIterator", where, region=self._region)
        asked = {"ShardIterator": found["ShardIterator"], "Limit": min(limit, MAX_READ)}
        answer = await call("dynamodbstreams", "GetRecords", asked, region=self._region)
        return [self._record(record) for record in answer["Records"]]

    def keeps(self, patterns: Sequence[Pattern], record: StreamRecord) -> bool:
        """Whether a record reaches the function."""
        return filters.keeps_dynamodb(patterns, record.event)

    def stamp(self, arrived: float) -> str:
        """Arrival in whole seconds."""
        return datetime.datetime.fromtimestamp(arrived, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def _record(self, record: Mapping[str, Any]) -> StreamRecord:
        change = cast(Mapping[str, Any], record["dynamodb"])
        arrived = seconds(change["ApproximateCreationDateTime"])
        event = {
            "eventID": record["eventID"],
            "eventName": record["eventName"],
            "eventVersion": "1.1",
            "eventSource": "aws:dynamodb",
            "awsRegion": self._region,
            "dynamodb": {**_plain(change), "ApproximateCreationDateTime": int(arrived)},
            "eventSourceARN": self._arn,
            **({"userIdentity": _plain(record["userIdentity"])} if "userIdentity" in record else {}),
        }
        return StreamRecord(str(change["SequenceNumber"]), arrived, event, len(json.dumps(event)))


def source_of(arn: str, region: str, role: str) -> Source:
    """How to read the stream of that ARN; raises `AwsFault` for what is none."""
    match arn.split(":")[2:3]:
        case ["kinesis"]:
            return KinesisSource(arn, region, role)
        case ["dynamodb"]:
            return DynamoDbSource(arn, region)
        case _:
            raise AwsFault("InvalidParameterValueException", "Unrecognized event source.")


def _found(shard: Mapping[str, Any]) -> Found:
    parents = tuple(str(shard[key]) for key in ("ParentShardId", "AdjacentParentShardId") if shard.get(key))
    is_closed = shard.get("SequenceNumberRange", {}).get("EndingSequenceNumber") is not None
    return Found(str(shard["ShardId"]), parents, is_closed)


def seconds(value: Json) -> float:
    """A moment as seconds since the epoch, however a parser gave it."""
    return value.timestamp() if isinstance(value, datetime.datetime) else float(value)


def _plain(value: Json) -> Json:
    """JSON of what the SDK's parser made: bytes as base64 text, times as seconds."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime.datetime):
        return value.timestamp()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in cast(Mapping[str, Json], value).items()}
    if isinstance(value, list):
        return [_plain(item) for item in cast(list[Json], value)]
    return value
