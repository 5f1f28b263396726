"""Reads a topic of a real Kafka in the mapping's consumer group: partitions are lanes, offsets are committed.

https://docs.aws.amazon.com/lambda/latest/dg/with-kafka.html and its neighbours. Batches and retries are in `brokers`.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

import attrs
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from lambdaform.local.brokers import Address, servers_of
from lambdaform.local.clock import iso
from lambdaform.local.event_sources import GROUPS
from lambdaform.local.patterns import Pattern
from lambdaform.local.pollers import filters
from lambdaform.local.pollers.kafka_client import (
    Consumer,
    Message,
    Partition,
    ended,
    hush,
    options_of,
    partition_of,
    said,
)
from lambdaform.local.pollers.patience import within
from lambdaform.local.pollers.reader import Trouble
from lambdaform.local.pollers.retries import StreamRecord
from lambdaform.local.pollers.sources import seconds
from lambdaform.local.ports import EventMapping, Json

_JOIN = 30.0
"""Seconds of real time within which a group takes a member: it may wait for one that is gone without a word."""
_CHECK = 5.0
"""Seconds of real time without records after which the broker is asked whether it is there still."""
_TIMESTAMP_TYPES = ("CREATE_TIME", "LOG_APPEND_TIME")


@attrs.define(eq=False)
class _Progress:
    """How far one partition is."""

    next: int
    """The offset after the last one read."""
    open: dict[int, bool] = attrs.field(factory=dict[int, bool])
    """Everything read that is not committed, in order, and whether it is through."""

    def through(self) -> int | None:
        """The offset to commit; None when nothing more is through."""
        done: list[int] = []
        for offset, is_through in self.open.items():
            if not is_through:
                break
            done.append(offset)
        for offset in done:
            del self.open[offset]
        return done[-1] + 1 if done else None


class KafkaReader:
    """`Reader` of one topic."""

    most_at_once: int | None = None
    tells_age = False
    tells_oversized = False
    redelivering = None
    place: str | None = None

    def __init__(self, mapping: EventMapping, address: Address) -> None:
        settings = mapping.settings
        self._mapping = mapping
        self._address = address
        self._topic = str(settings["Topics"][0])
        self._settings = settings
        field = GROUPS["msk" if mapping.source_arn else "kafka"]
        config = cast(Mapping[str, Any], settings.get(field) or {})
        self._group = str(config.get("ConsumerGroupId") or mapping.uuid)
        self.name = f"topic {self._topic}"
        servers = servers_of(settings) or address.hosts
        self._named_servers = ",".join(servers)
        self._consumer: Consumer | None = None
        self._scout: Consumer | None = None
        """Has no group and reads nothing: asks about offsets without waiting behind a fetch."""
        self._producer: Any = None
        self._progress: dict[Partition, _Progress] = {}
        self._ends: Mapping[Partition, int] = {}
        self._joined = asyncio.Event()
        self._heard_at = 0.0
        hush()

    @property
    def failing(self) -> KafkaReader:
        """Kafka has partial responses and destinations."""
        return self

    # The connection

    async def open(self) -> None:
        """Join the group, after fixing where it begins."""
        try:
            await within(self._open(), _JOIN)
        except (KafkaError, OSError, ssl.SSLError) as error:
            raise Trouble(f"cannot connect to {self._address}: {said(error)}") from error

    async def _open(self) -> None:
        partitions = await self._partitions()
        self._scout = cast(Consumer, AIOKafkaConsumer(**options_of(self._address)))
        await self._scout.start()
        await self._fix_start(partitions)
        self._joined.clear()
        consumer = AIOKafkaConsumer(
            **options_of(self._address),
            group_id=self._group,
            enable_auto_commit=False,
            # Partitions added later have nothing that could be missed but what is in them.
            auto_offset_reset="earliest",
            # A retried batch may take its time: what is known of a member is its heartbeat.
            max_poll_interval_ms=24 * 60 * 60 * 1000,
        )
        self._consumer = cast(Consumer, consumer)
        await self._consumer.start()
        self._consumer.subscribe([self._topic], listener=_Listener(self))
        await self._joined.wait()
        self._heard_at = time.monotonic()

    async def _partitions(self) -> list[Partition]:
        """The topic's partitions. Raises `Trouble` when there is no such topic."""
        admin: Any = AIOKafkaAdminClient(**options_of(self._address))
        try:
            await admin.start()
            [found] = await admin.describe_topics([self._topic])
        finally:
            await ended(admin.close())
        numbers = sorted(int(each["partition"]) for each in found["partitions"])
        if not numbers:
            raise Trouble(f"there is no topic {self._topic} at {self._address}")
        return [partition_of(self._topic, number) for number in numbers]

    async def _fix_start(self, partitions: Sequence[Partition]) -> None:
        """Commit the starting position of partitions that the group has never read.

        It is done before the group is joined, which takes seconds: LATEST is the end as of now.
        """
        assert self._scout is not None
        consumer = cast(
            Consumer, AIOKafkaConsumer(**options_of(self._address), group_id=self._group, enable_auto_commit=False)
        )
        try:
            await consumer.start()
            consumer.assign(partitions)
            new = [each for each in partitions if await consumer.committed(each) is None]
            if new:
                await consumer.commit(await self._starts(new))
        except (CommitFailedError, IllegalStateError):
            pass  # the group has members already: where it is, they know
        finally:
            await ended(consumer.stop())

    async def _starts(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        assert self._scout is not None
        match self._settings.get("StartingPosition"):
            case "LATEST":
                return await self._scout.end_offsets(partitions)
            case "AT_TIMESTAMP":
                moment = int(seconds(self._settings.get("StartingPositionTimestamp")) * 1000)
                found = await self._scout.offsets_for_times(dict.fromkeys(partitions, moment))
                ends = await self._scout.end_offsets(partitions)
                return {each: place.offset if (place := found.get(each)) else ends[each] for each in partitions}
            case _:
                return await self._scout.beginning_offsets(partitions)

    async def close(self) -> None:
        """Leave the group."""
        parts = (self._consumer, self._scout, self._producer)
        self._consumer = self._scout = self._producer = None
        self._progress.clear()
        for each in parts:
            if each is not None:
                await ended(each.stop())

    # Rebalances

    def assigned(self, partitions: Collection[Partition]) -> None:
        """These are this member's now: those it had already go on where it was reading, the others at the commit."""
        for lost in set(self._progress) - set(partitions):
            del self._progress[lost]
        for kept in set(self._progress) & set(partitions):
            if self._consumer is not None:
                self._consumer.seek(kept, self._progress[kept].next)
        self._joined.set()

    # Reading

    async def read(self, *, at_most: int, full: Collection[str], patience: float) -> Sequence[StreamRecord]:
        """The next records of the partitions that are not full."""
        consumer = self._consumer
        if consumer is None:
            raise Trouble(f"not connected to {self._address}")
        try:
            chosen = [each for each in consumer.assignment() if _lane(each) not in full]
            if not chosen:
                return ()
            if not patience:
                return await self._read_what_is_there(consumer, chosen, at_most)
            found = await consumer.getmany(*chosen, timeout_ms=int(patience * 1000), max_records=at_most)
            if not found and time.monotonic() - self._heard_at > _CHECK:
                await within(self._ask_ends(chosen))
        except (KafkaError, OSError) as error:
            raise Trouble(f"cannot read from {self._address}: {said(error)}") from error
        return self._taken(found)

    async def _read_what_is_there(
        self, consumer: Consumer, partitions: Sequence[Partition], at_most: int
    ) -> Sequence[StreamRecord]:
        """Wait for records as long as the broker says that there are some."""

        async def reading() -> Mapping[Partition, Sequence[Message]]:
            await self._ask_ends(partitions)
            while any([await consumer.position(each) < self._ends.get(each, 0) for each in partitions]):
                found = await consumer.getmany(*partitions, timeout_ms=100, max_records=at_most)
                if found:
                    return found
            return {}

        return self._taken(await within(reading()))

    async def _ask_ends(self, partitions: Sequence[Partition]) -> None:
        if self._scout is not None:
            self._ends = {**self._ends, **await self._scout.end_offsets(partitions)}
        self._heard_at = time.monotonic()

    def _taken(self, found: Mapping[Partition, Sequence[Message]]) -> list[StreamRecord]:
        taken: list[StreamRecord] = []
        for partition, messages in found.items():
            for message in messages:
                progress = self._progress.setdefault(partition, _Progress(message.offset))
                progress.next = message.offset + 1
                progress.open[message.offset] = False
                taken.append(_record(message))
        if taken:
            self._heard_at = time.monotonic()
        return taken

    def keeps(self, patterns: Sequence[Pattern], record: StreamRecord) -> bool:
        """Whether a record passes the filters."""
        return filters.keeps_kafka(patterns, record.event)

    def holds(self, record: StreamRecord) -> bool:
        """Whether the record's partition is this member's still, and the record not committed."""
        partition, offset = _place(record)
        progress = self._progress.get(partition)
        return progress is not None and offset in progress.open

    async def skip(self, records: Sequence[StreamRecord]) -> None:
        """They are committed with the next success."""
        self._note(records)

    async def acknowledge(self, records: Sequence[StreamRecord]) -> None:
        """Commit what is through without a gap."""
        self._note(records)
        places = {_place(record)[0] for record in records}
        offsets: dict[Partition, int] = {}
        for partition in places:
            progress = self._progress.get(partition)
            offset = None if progress is None else progress.through()
            if offset is not None:
                offsets[partition] = offset
        if not offsets or self._consumer is None:
            return
        try:
            await within(self._consumer.commit(offsets))
        except (CommitFailedError, IllegalStateError):
            return  # another member has the partition since, and does the work again
        except (KafkaError, OSError) as error:
            raise Trouble(f"cannot commit to {self._address}: {said(error)}") from error

    def _note(self, records: Sequence[StreamRecord]) -> None:
        for record in records:
            partition, offset = _place(record)
            progress = self._progress.get(partition)
            if progress is not None and offset in progress.open:
                progress.open[offset] = True

    def lags(self) -> Collection[int]:
        """How far each partition's end, as last seen, is from what is committed."""
        return [
            max(0, max(self._ends.get(partition, 0), progress.next) - next(iter(progress.open), progress.next))
            for partition, progress in self._progress.items()
        ]

    # Events

    def event(self, records: Sequence[StreamRecord]) -> Mapping[str, Json]:
        """The records by topic and partition, below the source as the mapping names it.

        https://docs.aws.amazon.com/lambda/latest/dg/with-kafka.html#smaa-sample-event
        """
        arn = self._mapping.source_arn
        by_lane: dict[str, list[Json]] = {}
        for record in records:
            by_lane.setdefault(record.lane, []).append(record.event)
        return {
            "eventSource": "aws:kafka" if arn else "SelfManagedKafka",
            **({"eventSourceArn": arn} if arn else {}),
            "bootstrapServers": self._named_servers,
            "records": by_lane,
        }

    # Failures

    def identify(self, item: object) -> str | None:
        """What `{"partition": "topic-0", "offset": 7}` names."""
        if not isinstance(item, Mapping):
            return None
        named = cast(Mapping[str, object], item)
        partition, offset = named.get("partition"), named.get("offset")
        if not isinstance(partition, str) or not isinstance(offset, int) or isinstance(offset, bool):
            return None
        return f"{partition}:{offset}"

    def batch(self, records: Sequence[StreamRecord]) -> Mapping[str, Json]:
        """Where the records are, by topic and partition.

        https://docs.aws.amazon.com/lambda/latest/dg/kafka-on-failure.html
        """
        by_lane: dict[str, list[StreamRecord]] = {}
        for record in records:
            by_lane.setdefault(record.lane, []).append(record)
        info = {
            lane: {
                "firstRecordOffset": str(_place(held[0])[1]),
                "lastRecordOffset": str(_place(held[-1])[1]),
                "firstRecordTimestamp": iso(held[0].arrived),
                "lastRecordTimestamp": iso(held[-1].arrived),
            }
            for lane, held in by_lane.items()
        }
        return {"KafkaBatchInfo": {**self._batch_info(records), "recordsInfo": info}}

    def _batch_info(self, records: Sequence[StreamRecord]) -> dict[str, Json]:
        arn = self._mapping.source_arn
        return {
            "batchSize": len(records),
            **({"eventSourceArn": arn} if arn else {}),
            "bootstrapServers": self._named_servers,
            "payloadSize": len(json.dumps(self.event(records))),
        }

    async def produce(self, topic: str, record: StreamRecord, head: Mapping[str, Json]) -> None:
        """Write a record given up to another topic, under its own key.

        https://docs.aws.amazon.com/lambda/latest/dg/kafka-on-failure-destination.html
        """
        context = dict(head["requestContext"])
        if context["condition"] == "RetryAttemptsExhausted":
            context["condition"] = "RetriesExhausted"  # as that page has it; the other destinations' has the other
        info = {"offset": str(_place(record)[1]), "timestamp": iso(record.arrived)}
        document = {
            **head,
            "requestContext": context,
            "KafkaBatchInfo": {**self._batch_info([record]), "recordInfo": info},
            "payload": self.event([record]),
        }
        key = record.event.get("key")
        try:
            if self._producer is None:
                self._producer = AIOKafkaProducer(**options_of(self._address))
                await within(self._producer.start())
            encoded = None if key is None else base64.b64decode(key)
            await within(self._producer.send_and_wait(topic, json.dumps(document).encode(), key=encoded))
        except (KafkaError, OSError) as error:
            raise Trouble(f"cannot write to topic {topic} at {self._address}: {said(error)}") from error


class _Listener(ConsumerRebalanceListener):
    """Tells a reader which partitions are its own."""

    def __init__(self, reader: KafkaReader) -> None:
        self._reader = reader

    def on_partitions_revoked(self, revoked: Collection[Partition]) -> None:
        """Nothing: what is lost is known when the others are assigned."""

    def on_partitions_assigned(self, assigned: Collection[Partition]) -> None:
        """After a rebalance."""
        self._reader.assigned(assigned)


def _lane(partition: Partition) -> str:
    return f"{partition.topic}-{partition.partition}"


def _place(record: StreamRecord) -> tuple[Partition, int]:
    return cast(tuple[Partition, int], record.handle)


def _record(message: Message) -> StreamRecord:
    """A record as it stands in the function's event."""
    partition = partition_of(message.topic, message.partition)
    event: dict[str, Json] = {
        "topic": message.topic,
        "partition": message.partition,
        "offset": message.offset,
        "timestamp": message.timestamp,
        "timestampType": _TIMESTAMP_TYPES[message.timestamp_type if message.timestamp_type == 1 else 0],
        **({} if message.key is None else {"key": base64.b64encode(message.key).decode()}),
        **({} if message.value is None else {"value": base64.b64encode(message.value).decode()}),
        "headers": [{name: list(value or b"")} for name, value in message.headers],
    }
    lane = _lane(partition)
    return StreamRecord(
        f"{lane}:{message.offset}",
        message.timestamp / 1000,
        event,
        len(json.dumps(event)),
        lane=lane,
        handle=(partition, message.offset),
    )
