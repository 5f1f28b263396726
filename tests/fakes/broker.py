"""A source of a broker with its records in memory: what a test writes there is read, lane by lane."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import attrs

from lambdaform.local.patterns import Pattern
from lambdaform.local.pollers import filters
from lambdaform.local.pollers.answers import text_identifier
from lambdaform.local.pollers.reader import Failing, Redelivering, Trouble
from lambdaform.local.pollers.retries import StreamRecord


@attrs.define(eq=False)
class FakeRedelivery:
    """`Redelivering` of a `FakeReader`: what fails goes back to it, or stays at hand."""

    reader: FakeReader
    goes_back: bool = False
    max_retries: int = -1
    redelivered: list[str] = attrs.field(factory=list[str])
    refused: list[str] = attrs.field(factory=list[str])

    def pause(self, attempt: int) -> float:
        return 5.0 * attempt

    async def redeliver(self, records: Sequence[StreamRecord]) -> Sequence[StreamRecord]:
        self.redelivered += [record.sequence for record in records]
        if self.goes_back:
            self.reader.written[:0] = records
            return ()
        return records

    async def refuse(self, records: Sequence[StreamRecord]) -> None:
        self.refused += [record.sequence for record in records]


@attrs.define(eq=False)
class FakeReader:
    """`Reader` and `Failing`. Harmless by default: it opens, and holds every record it has read."""

    name: str = "source of the test"
    most_at_once: int | None = None
    tells_age: bool = False
    tells_oversized: bool = False
    place: str | None = None
    redelivering: Redelivering | None = None
    troubles: list[str] = attrs.field(factory=list[str])
    """What goes wrong at the next attempts to open it."""
    opened: int = 0
    closed: int = 0
    written: list[StreamRecord] = attrs.field(factory=list[StreamRecord])
    acknowledged: list[str] = attrs.field(factory=list[str])
    skipped: list[str] = attrs.field(factory=list[str])
    produced: list[tuple[str, str, Any]] = attrs.field(factory=list[tuple[str, str, Any]])
    lost: set[str] = attrs.field(factory=set[str])
    """Lanes that another reader has now."""
    cut: str | None = None
    """What goes wrong with the next acknowledgement."""

    def put(self, *values: str, lane: str = "a", arrived: float = 0.0, size: int | None = None) -> None:
        """Write records whose value is their name."""
        for value in values:
            event = {"value": value}
            length = len(json.dumps(event)) if size is None else size
            self.written.append(StreamRecord(value, arrived, event, length, lane=lane))

    @property
    def failing(self) -> Failing:
        return self

    async def open(self) -> None:
        self.opened += 1
        if self.troubles:
            raise Trouble(self.troubles.pop(0))

    async def read(self, *, at_most: int, full: Collection[str], patience: float) -> Sequence[StreamRecord]:
        taken = [record for record in self.written if record.lane not in full][:at_most]
        self.written = [record for record in self.written if record not in taken]
        return taken

    def keeps(self, patterns: Sequence[Pattern], record: StreamRecord) -> bool:
        return filters.keeps_dynamodb(patterns, record.event)

    def holds(self, record: StreamRecord) -> bool:
        return record.lane not in self.lost

    def event(self, records: Sequence[StreamRecord]) -> Mapping[str, Any]:
        return {"values": [record.event["value"] for record in records]}

    async def skip(self, records: Sequence[StreamRecord]) -> None:
        self.skipped += [record.sequence for record in records]

    async def acknowledge(self, records: Sequence[StreamRecord]) -> None:
        if self.cut is not None:
            said, self.cut = self.cut, None
            raise Trouble(said)
        self.acknowledged += [record.sequence for record in records]

    def lags(self) -> Collection[int]:
        return (len(self.written),)

    async def close(self) -> None:
        self.closed += 1

    def identify(self, item: object) -> str | None:
        return text_identifier(item)

    def batch(self, records: Sequence[StreamRecord]) -> Mapping[str, Any]:
        return {"FakeBatchInfo": {"records": [record.sequence for record in records]}}

    async def produce(self, topic: str, record: StreamRecord, head: Mapping[str, Any]) -> None:
        self.produced.append((topic, record.sequence, head))
