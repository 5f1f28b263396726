"""What a kind of broker has of its own, as `BrokerPoller` sees it: `Reader`, and what only some kinds have."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from lambdaform.local.patterns import Pattern
from lambdaform.local.pollers.retries import StreamRecord
from lambdaform.local.ports import Json


class Trouble(Exception):
    """The broker cannot be read at the moment, said in words: no secret, no traceback."""


class Failing(Protocol):
    """What only kinds of brokers have whose mappings know partial responses and on-failure destinations."""

    def identify(self, item: object) -> str | None:
        """The `sequence` of the record that an `itemIdentifier` names; None when it names none."""
        ...

    def batch(self, records: Sequence[StreamRecord]) -> Mapping[str, Json]:
        """What the document about a batch given up says of it."""
        ...

    async def produce(self, topic: str, record: StreamRecord, head: Mapping[str, Json]) -> None:
        """Write a record given up, below `head`, to another topic of the same broker. Raises `Trouble`."""
        ...


class Redelivering(Protocol):
    """What only kinds of brokers have that deliver again by themselves what was not acknowledged."""

    max_retries: int
    """Retries before a message is refused; -1 for without limit."""

    def pause(self, attempt: int) -> float:
        """Seconds before the `attempt`-th retry."""
        ...

    async def redeliver(self, records: Sequence[StreamRecord]) -> Sequence[StreamRecord]:
        """Have these delivered again: what is at hand for another attempt, nothing where the broker sends them anew.

        Raises `Trouble`.
        """
        ...

    async def refuse(self, records: Sequence[StreamRecord]) -> None:
        """These are given up: the broker does what it does with such messages. Raises `Trouble`."""
        ...


class Reader(Protocol):
    """One source of one broker. Everything that talks to the broker may raise `Trouble`; it is opened again then."""

    name: str
    """What is read, for people and the trace: the same from run to run."""
    most_at_once: int | None
    """Invocations at a time; None where lanes alone bound them."""
    tells_age: bool
    """Whether the source has the metric `IteratorAge`."""
    tells_oversized: bool
    """Whether the source has the metric `OversizedRecordCount`."""
    place: str | None
    """Where reading goes on, of sources that do not know it themselves; None where they do, or at the first time."""

    @property
    def failing(self) -> Failing | None:
        """None for kinds without partial responses and destinations."""
        ...

    @property
    def redelivering(self) -> Redelivering | None:
        """None for kinds whose records stay where they are until they are through."""
        ...

    async def open(self) -> None:
        """Connect, and fix where reading begins if nothing is known of it."""
        ...

    async def read(self, *, at_most: int, full: Collection[str], patience: float) -> Sequence[StreamRecord]:
        """The next records, none of the lanes that are `full`, after `patience` seconds of real time at the latest.

        Without patience an empty answer means that there is nothing now. Records without a lane are full by "".
        """
        ...

    def keeps(self, patterns: Sequence[Pattern], record: StreamRecord) -> bool:
        """Whether a record passes the filters."""
        ...

    def holds(self, record: StreamRecord) -> bool:
        """Whether a record is still this reader's: after a rebalance or a new connection it may be read by another."""
        ...

    def event(self, records: Sequence[StreamRecord]) -> Mapping[str, Json]:
        """The function's event."""
        ...

    async def skip(self, records: Sequence[StreamRecord]) -> None:
        """These were filtered out."""
        ...

    async def acknowledge(self, records: Sequence[StreamRecord]) -> None:
        """These are through and need not come again."""
        ...

    def lags(self) -> Collection[int]:
        """How many records of each lane are written and not through; nothing where the source does not tell."""
        ...

    async def close(self) -> None:
        """Let go of the broker, whatever state this is in. Never raises."""
        ...
