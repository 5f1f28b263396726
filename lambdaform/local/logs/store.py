"""Log groups with their streams and events, in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy
from typing import cast

import attrs

MOST_EVENTS = 100_000
MOST_CHARACTERS = 16 * 1024 * 1024
"""What is kept of one stream; the oldest events go first. Limits of this program: AWS has none."""
MOST_IN_ALL = 200_000
"""Events that are kept of all streams, counted every now and then; the longest streams lose some first."""
_COUNTED_EVERY = 10_000

Key = tuple[str, str, str]
"""Account, Region, name of the group."""


@attrs.frozen
class LogEvent:
    """One event. Times in milliseconds since the epoch."""

    timestamp: int
    message: str
    ingested: int
    number: int
    """Position among all events of the store: what orders events of one millisecond, and the event's id."""


@attrs.define(eq=False)
class Stream:
    """The events of one source, in order of arrival."""

    name: str
    created: int
    events: list[LogEvent] = attrs.field(factory=list[LogEvent])
    size: int = 0
    """Characters of all events."""

    def shorten(self) -> None:
        """Let the oldest tenth of the events go, and more while they are too long."""
        gone = max(len(self.events) // 10, 1)
        while True:
            self.size -= sum(len(event.message) for event in self.events[:gone])
            del self.events[:gone]
            if self.size <= MOST_CHARACTERS or len(self.events) <= 1:
                return


@attrs.frozen
class Subscription:
    """Where the lines of a group go that match a pattern."""

    name: str
    pattern: str
    destination: str
    distribution: str
    created: int


@attrs.define(eq=False)
class Group:
    """Streams that share retention and tags."""

    account: str
    region: str
    name: str
    created: int
    retention_days: int | None = None
    kms_key: str | None = None
    log_class: str = "STANDARD"
    tags: dict[str, str] = attrs.field(factory=dict[str, str])
    streams: dict[str, Stream] = attrs.field(factory=dict[str, Stream])
    subscriptions: dict[str, Subscription] = attrs.field(factory=dict[str, Subscription])
    """By name."""

    @property
    def arn(self) -> str:
        """Without the `:*` that some answers end it with."""
        return f"arn:aws:logs:{self.region}:{self.account}:log-group:{self.name}"


class Writer:
    """A way into one stream, which is made by the first write, as Lambda does with the function's role."""

    def __init__(self, store: LogStore, key: Key, stream: str) -> None:
        self._store = store
        self._key = key
        self._stream = stream

    def write(self, text: str, at: float | None = None) -> None:
        """Keep one event, of now or of a moment just past (seconds since the epoch)."""
        self._store.write(self._key, self._stream, text, at)


class LogStore:
    """All groups of the local AWS."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._groups: dict[Key, Group] = {}
        self._number = 0
        self.heard: Callable[[Group, Stream, LogEvent], None] | None = None
        """Told of every event of a group that has subscriptions."""

    def writer(self, account: str, region: str, group: str, stream: str) -> Writer:
        """A way to write into a stream, whether it exists yet or not."""
        return Writer(self, (account, region, group), stream)

    def write(self, key: Key, stream: str, text: str, at: float | None = None) -> None:
        """Keep an event, of now or of `at`; group and stream are made where they are missing."""
        now = self.milliseconds()
        group = self._groups.get(key)
        if group is None:
            group = self.create(key)
        place = group.streams.get(stream)
        if place is None:
            place = group.streams[stream] = Stream(stream, now)
        self._append(group, place, now if at is None else int(at * 1000), text, now)

    def append(self, group: Group, stream: Stream, timestamp: int, text: str) -> None:
        """Keep an event of a stream that is there."""
        self._append(group, stream, timestamp, text, self.milliseconds())

    def _append(self, group: Group, stream: Stream, timestamp: int, text: str, now: int) -> None:
        self._number += 1
        events = stream.events
        event = LogEvent(timestamp, text, now, self._number)
        events.append(event)
        if group.subscriptions and self.heard is not None:
            self.heard(group, stream, event)
        stream.size += len(text)
        if len(events) > MOST_EVENTS or (stream.size > MOST_CHARACTERS and len(events) > 1):
            stream.shorten()
        if self._number % _COUNTED_EVERY == 0:
            self._bound()

    def _bound(self) -> None:
        """Let events of the longest streams go while there are too many in all."""
        streams = [stream for group in self._groups.values() for stream in group.streams.values()]
        total = sum(len(stream.events) for stream in streams)
        while total > MOST_IN_ALL:
            longest = max(streams, key=lambda stream: len(stream.events))
            before = len(longest.events)
            longest.shorten()
            total -= before - len(longest.events)

    def create(self, key: Key) -> Group:
        """Make an empty group."""
        account, region, name = key
        group = self._groups[key] = Group(account, region, name, self.milliseconds())
        return group

    def delete(self, key: Key) -> None:
        """Forget a group and everything in it."""
        del self._groups[key]

    def get(self, key: Key) -> Group | None:
        """A group, if it exists."""
        return self._groups.get(key)

    def groups(self, account: str, region: str) -> Iterator[Group]:
        """The groups of an account in a Region, by name."""
        for key in sorted(self._groups):
            if key[:2] == (account, region):
                yield self._groups[key]

    def events(self, group: Group, stream: Stream) -> list[LogEvent]:
        """A stream's events that retention has left, oldest first."""
        if group.retention_days is None:
            return stream.events
        oldest = self.milliseconds() - group.retention_days * 86_400_000
        return [event for event in stream.events if event.timestamp >= oldest]

    def milliseconds(self) -> int:
        """Now."""
        return int(self._now() * 1000)

    def checkpoint(self) -> object:
        """What `restore` goes back to: the groups, with their own lists of the (unchanging) events."""
        return {key: _copied(group) for key, group in self._groups.items()}

    def restore(self, snapshot: object) -> None:
        """Go back to a checkpoint."""
        self._groups = {key: _copied(group) for key, group in cast("dict[Key, Group]", snapshot).items()}

    def reset(self) -> None:
        """Forget everything."""
        self._groups.clear()


def _copied(group: Group) -> Group:
    result = copy(group)
    result.tags = dict(group.tags)
    result.subscriptions = dict(group.subscriptions)
    result.streams = {
        name: Stream(stream.name, stream.created, list(stream.events), stream.size)
        for name, stream in group.streams.items()
    }
    return result
