"""What a queue and a message are. Nothing here decides; see `rules`."""

from __future__ import annotations

import attrs

SENDER = "AIDALAMBDAFORMLOCAL00"
"""The id of the identity every message is sent by: the local AWS has no users of its own."""


@attrs.frozen
class Attribute:
    """The value of one message attribute."""

    type: str
    """`String`, `Number` or `Binary`, with an optional label after a dot."""
    value: str | bytes


@attrs.define(kw_only=True, eq=False)
class Message:
    """One message in one queue."""

    id: str
    body: str
    attributes: dict[str, Attribute]
    sent: float
    order: int
    """Its place in the queue: lower is earlier."""
    visible_at: float
    trace: str | None = None
    group: str | None = None
    deduplication: str | None = None
    sequence: str | None = None
    source_arn: str | None = None
    """The queue this message was moved from as a dead letter."""
    receives: int = 0
    first_received: float | None = None
    receipt: str | None = None
    """The token of its latest receive; only the handle that carries it deletes the message."""
    hidden: bool = False
    """Whether it waits in `Queue.hidden` (delayed or in flight) and not in a line."""

    @property
    def is_in_flight(self) -> bool:
        """Whether a reader has it and its visibility timeout still runs."""
        return self.hidden and self.receipt is not None


@attrs.frozen
class Duplicate:
    """What FIFO deduplication remembers of a message that was sent."""

    until: float
    message_id: str
    sequence: str


@attrs.define(kw_only=True, eq=False)
class Queue:
    """One queue: what it was given, and its messages.

    A message is either hidden (in the heap `hidden`, by the time it shows) or in its line (a heap by order): the line
    of its group in a FIFO queue, one line for all in a standard queue. Entries of the heaps that no longer hold are
    dropped when they come up.
    """

    arn: str
    name: str
    region: str
    account: str
    attributes: dict[str, str]
    """Every settable attribute as AWS words it, defaults included."""
    tags: dict[str, str]
    created: float
    modified: float
    messages: dict[str, Message] = attrs.field(factory=dict[str, Message])
    lines: dict[str, list[tuple[int, str]]] = attrs.field(factory=dict[str, list[tuple[int, str]]])
    hidden: list[tuple[float, int, str]] = attrs.field(factory=list[tuple[float, int, str]])
    ages: list[tuple[float, int, str]] = attrs.field(factory=list[tuple[float, int, str]])
    in_flight: dict[str, int] = attrs.field(factory=dict[str, int])
    """How many messages of a group readers hold; FIFO only."""
    duplicates: dict[str, Duplicate] = attrs.field(factory=dict[str, Duplicate])
    orders: int = 0
    purged: float | None = None

    @property
    def is_fifo(self) -> bool:
        """Whether the queue keeps order."""
        return self.name.endswith(".fifo")

    def seconds(self, attribute: str) -> int:
        """A numeric attribute."""
        return int(self.attributes[attribute])
