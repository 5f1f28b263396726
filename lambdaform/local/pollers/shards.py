"""How far a poller is with each shard: what it has read, what is through, and where work goes on after a restart.

Nothing here waits or decides; the poller in `streams` does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import attrs

from lambdaform.local.pollers.retries import StreamRecord
from lambdaform.local.pollers.sources import Position
from lambdaform.local.pollers.windows import Window
from lambdaform.local.ports import Timer


@attrs.frozen
class Bookmark:
    """Where the work on a shard goes on: after a change of the mapping, a pause, a checkpoint."""

    position: Position
    """Everything before is through."""
    done: frozenset[str] = frozenset()
    """What is through beyond the position, where several lanes work on a shard."""
    window: Window | None = None
    """The window that was open, with its state."""


@attrs.define(eq=False)
class Lane:
    """The records of a shard that are worked off one batch after another; a partition key is always in one lane."""

    waiting: list[StreamRecord] = attrs.field(factory=list[StreamRecord])
    first_at: float = 0.0
    is_busy: bool = False
    timer: Timer | None = None


class Shard:
    """How far one shard has been read and worked off, in as many lanes as are worked on at a time."""

    def __init__(self, name: str, bookmark: Bookmark, *, lanes: int) -> None:
        self.id = name
        self.read = bookmark.position
        """Where the next read begins."""
        self.lanes = tuple(Lane() for _ in range(lanes))
        self.window = bookmark.window
        self.closing: Timer | None = None
        """Looks at the shard when its window is over."""
        self.is_closed = False
        """Whether nothing is written to it any more: it was split or merged."""
        self.is_over = False
        """Whether it is closed and all of it is worked off: its children may be read."""
        self.latest = f"{name} {bookmark.position.sequence}"
        """What the trace knows the latest batch by."""
        self._through = bookmark.position
        self._skipped = set(bookmark.done)
        self._order: dict[str, bool] = {}
        """Everything read beyond `_through`, in order, and whether it is through."""

    @property
    def waiting(self) -> int:
        """How many records have been read and not been sent."""
        return sum(len(lane.waiting) for lane in self.lanes)

    @property
    def is_idle(self) -> bool:
        """Whether everything that was read is worked off and no window is open."""
        return self.window is None and not any(lane.is_busy or lane.waiting for lane in self.lanes)

    def take(self, records: Sequence[StreamRecord], kept: Sequence[StreamRecord], now: float) -> None:
        """Queue what is kept of what was read; the rest, and what was through before, is passed over."""
        wanted = {record.sequence for record in kept} - self._skipped
        for record in records:
            is_over = record.sequence not in wanted
            self._order[record.sequence] = is_over
            if is_over:
                continue
            lane = self._lane_of(record)
            if not lane.waiting:
                lane.first_at = now
            lane.waiting.append(record)
        self.read = Position("AFTER_SEQUENCE_NUMBER", sequence=records[-1].sequence)
        self._move_on()

    def through(self, records: Iterable[StreamRecord]) -> None:
        """Note that these need not be read again."""
        for record in records:
            self._order[record.sequence] = True
        self._move_on()

    def bookmark(self) -> Bookmark:
        """Where the work would go on now."""
        done = frozenset(sequence for sequence, is_over in self._order.items() if is_over)
        return Bookmark(self._through, done, self.window)

    def cancel(self) -> None:
        """Wake up no more."""
        for timer in (self.closing, *(lane.timer for lane in self.lanes)):
            if timer is not None:
                timer.cancel()

    def _move_on(self) -> None:
        over: list[str] = []
        for sequence, is_over in self._order.items():
            if not is_over:
                break
            over.append(sequence)
        for sequence in over:
            del self._order[sequence]
            self._skipped.discard(sequence)
        if over:
            self._through = Position("AFTER_SEQUENCE_NUMBER", sequence=over[-1])

    def _lane_of(self, record: StreamRecord) -> Lane:
        if len(self.lanes) == 1:
            return self.lanes[0]
        digest = hashlib.md5(record.partition_key.encode(), usedforsecurity=False).digest()
        return self.lanes[int.from_bytes(digest, "big") % len(self.lanes)]
