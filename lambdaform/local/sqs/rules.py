"""What happens to the messages of one queue: functions of the queue and the present time, without clocks or calls.

Every function first brings the queue up to `now` (`catch_up`), so it does not matter how often anyone looked before.
"""

from __future__ import annotations

import hashlib
import heapq
import json
from collections.abc import Callable, Mapping
from typing import Any, cast

import attrs

from lambdaform.local.sqs.values import Attribute, Duplicate, Message, Queue

DEDUPLICATION_INTERVAL = 300.0
"""Seconds in which a FIFO queue takes a deduplication id once.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/using-messagededuplicationid-property.html"""

MAX_IN_FLIGHT = 120_000
"""https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html"""

_FIRST_SEQUENCE = 18_850_000_000_000_000_000
_SEQUENCE_STEP = 256


@attrs.frozen(kw_only=True)
class Draft:
    """A message as its sender gave it."""

    body: str
    attributes: Mapping[str, Attribute] = attrs.field(factory=dict[str, Attribute])
    delay: int | None = None
    group: str | None = None
    deduplication: str | None = None
    trace: str | None = None


@attrs.frozen
class Sent:
    """What a sender is told."""

    message_id: str
    sequence: str | None


@attrs.frozen
class Redrive:
    """Where messages go that were received too often."""

    target: str
    max_receives: int


def redrive_of(queue: Queue) -> Redrive | None:
    """The redrive policy of a queue, if it has one."""
    if not (text := queue.attributes.get("RedrivePolicy")):
        return None
    policy = cast(dict[str, Any], json.loads(text))
    return Redrive(str(policy["deadLetterTargetArn"]), int(policy["maxReceiveCount"]))


def catch_up(queue: Queue, now: float) -> None:
    """Drop what is older than the retention period; show what has been hidden long enough."""
    oldest = now - queue.seconds("MessageRetentionPeriod")
    while queue.ages and queue.ages[0][0] <= oldest:
        message = queue.messages.get(heapq.heappop(queue.ages)[2])
        # The age of a message may restart (FIFO dead letters): its older entry says nothing then.
        if message is not None and message.sent <= oldest:
            remove(queue, message)
    while queue.hidden and queue.hidden[0][0] <= now:
        when, _, message_id = heapq.heappop(queue.hidden)
        message = queue.messages.get(message_id)
        if message is not None and message.hidden and message.visible_at == when:
            _show(queue, message)


def send(queue: Queue, draft: Draft, now: float, new_id: Callable[[], str]) -> Sent:
    """Put a message into the queue, unless a FIFO queue has seen its deduplication id in the last five minutes."""
    catch_up(queue, now)
    queue.orders += 1
    sequence: str | None = None
    deduplication = draft.deduplication
    message_id = new_id()
    if queue.is_fifo:
        if deduplication is None:
            deduplication = hashlib.sha256(draft.body.encode()).hexdigest()
        sequence = str(_FIRST_SEQUENCE + queue.orders * _SEQUENCE_STEP)
        scope = draft.group if queue.attributes.get("DeduplicationScope") == "messageGroup" else ""
        key = f"{scope}\0{deduplication}"
        known = queue.duplicates.get(key)
        if known is not None and known.until > now:
            return Sent(known.message_id, known.sequence)
        _forget_duplicates(queue, now)
        queue.duplicates[key] = Duplicate(now + DEDUPLICATION_INTERVAL, message_id, sequence)
    delay = queue.seconds("DelaySeconds") if draft.delay is None else draft.delay
    message = Message(
        id=message_id,
        body=draft.body,
        attributes=dict(draft.attributes),
        sent=now,
        order=queue.orders,
        visible_at=now + delay,
        trace=draft.trace,
        group=draft.group,
        deduplication=deduplication,
        sequence=sequence,
    )
    _place(queue, message, now)
    return Sent(message.id, sequence)


def adopt(queue: Queue, message: Message, now: float, source_arn: str) -> None:
    """Take a dead letter over from the queue `source_arn`.

    A standard queue keeps the time it was first sent, so it expires sooner; a FIFO queue starts anew.
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html
    """
    catch_up(queue, now)
    queue.orders += 1
    _place(
        queue,
        Message(
            id=message.id,
            body=message.body,
            attributes=message.attributes,
            sent=now if queue.is_fifo else message.sent,
            order=queue.orders,
            visible_at=now,
            trace=message.trace,
            group=message.group,
            deduplication=message.deduplication,
            sequence=str(_FIRST_SEQUENCE + queue.orders * _SEQUENCE_STEP) if queue.is_fifo else None,
            source_arn=source_arn,
            # The count goes along: a dead letter shows how often it was tried.
            receives=message.receives,
            first_received=message.first_received,
        ),
        now,
    )


@attrs.frozen
class Taken:
    """What one receive took out of the lines: messages for the reader, and messages for the dead letter queue."""

    messages: tuple[Message, ...]
    dead: tuple[Message, ...]


def receive(
    queue: Queue,
    now: float,
    *,
    limit: int,
    visibility: float,
    max_receives: int | None,
    new_token: Callable[[], str],
) -> Taken:
    """Hand out up to `limit` visible messages and hide them for `visibility` seconds.

    A message that was received `max_receives` times already leaves for the dead letter queue instead. A FIFO queue
    hands out nothing of a group of which a reader still holds a message, and as much of one group as it can.
    """
    catch_up(queue, now)
    taken = list[Message]()
    dead = list[Message]()
    heads = [(line[0], group) for group, line in queue.lines.items() if line and not queue.in_flight.get(group)]
    for _, group in sorted(heads):
        line = queue.lines[group]
        while line and len(taken) < limit:
            message = queue.messages.get(heapq.heappop(line)[1])
            if message is None or message.hidden:
                continue
            if max_receives is not None and message.receives >= max_receives:
                remove(queue, message)
                dead.append(message)
                continue
            taken.append(message)
        if not line:
            del queue.lines[group]
        if len(taken) == limit:
            break
    for message in taken:
        message.receives += 1
        message.first_received = now if message.first_received is None else message.first_received
        message.receipt = new_token()
        message.visible_at = now + visibility
        _hide(queue, message)
        if visibility <= 0:
            catch_up(queue, now)
    return Taken(tuple(taken), tuple(dead))


def delete(queue: Queue, message_id: str, token: str, now: float) -> None:
    """Delete a message, if `token` is that of its latest receive; otherwise nothing happens, as in AWS."""
    catch_up(queue, now)
    message = queue.messages.get(message_id)
    if message is not None and message.receipt == token:
        remove(queue, message)


def change_visibility(queue: Queue, message: Message, seconds: float, now: float) -> None:
    """Let a message in flight show `seconds` from now."""
    message.visible_at = now + seconds
    heapq.heappush(queue.hidden, (message.visible_at, message.order, message.id))
    catch_up(queue, now)


def purge(queue: Queue, now: float) -> None:
    """Delete every message; deduplication still remembers them."""
    queue.messages.clear()
    queue.lines.clear()
    queue.hidden.clear()
    queue.ages.clear()
    queue.in_flight.clear()
    queue.purged = now


def next_visible(queue: Queue, now: float) -> float | None:
    """When the next message shows that is hidden now; `now` when one can be received already; None for never."""
    catch_up(queue, now)
    if has_visible(queue):
        return now
    while queue.hidden:
        when, _, message_id = queue.hidden[0]
        message = queue.messages.get(message_id)
        if message is not None and message.hidden and message.visible_at == when:
            return when
        heapq.heappop(queue.hidden)
    return None


def has_visible(queue: Queue) -> bool:
    """Whether a receive would find something; the queue must be caught up."""
    for group, line in queue.lines.items():
        if queue.in_flight.get(group):
            continue
        while line:
            message = queue.messages.get(line[0][1])
            if message is not None and not message.hidden:
                return True
            heapq.heappop(line)
    return False


@attrs.frozen
class Counts:
    """The three approximate numbers of a queue; here they are exact."""

    visible: int
    in_flight: int
    delayed: int


def count(queue: Queue, now: float) -> Counts:
    """How many messages are visible, in flight, delayed."""
    catch_up(queue, now)
    in_flight = sum(1 for message in queue.messages.values() if message.is_in_flight)
    hidden = sum(1 for message in queue.messages.values() if message.hidden)
    return Counts(len(queue.messages) - hidden, in_flight, hidden - in_flight)


def remove(queue: Queue, message: Message) -> None:
    """Take a message out of the queue; the heaps forget it when they come to it."""
    del queue.messages[message.id]
    _release(queue, message)
    if len(queue.ages) > 2 * len(queue.messages) + 64:
        queue.ages = [entry for entry in queue.ages if entry[2] in queue.messages]
        heapq.heapify(queue.ages)


def _place(queue: Queue, message: Message, now: float) -> None:
    queue.messages[message.id] = message
    heapq.heappush(queue.ages, (message.sent, message.order, message.id))
    if message.visible_at > now:
        message.hidden = True
        heapq.heappush(queue.hidden, (message.visible_at, message.order, message.id))
    else:
        heapq.heappush(_line(queue, message), (message.order, message.id))


def _line(queue: Queue, message: Message) -> list[tuple[int, str]]:
    return queue.lines.setdefault((message.group or "") if queue.is_fifo else "", [])


def _hide(queue: Queue, message: Message) -> None:
    message.hidden = True
    heapq.heappush(queue.hidden, (message.visible_at, message.order, message.id))
    if queue.is_fifo:
        group = message.group or ""
        queue.in_flight[group] = queue.in_flight.get(group, 0) + 1


def _release(queue: Queue, message: Message) -> None:
    if queue.is_fifo and message.is_in_flight:
        group = message.group or ""
        queue.in_flight[group] -= 1
        if not queue.in_flight[group]:
            del queue.in_flight[group]


def _show(queue: Queue, message: Message) -> None:
    _release(queue, message)
    message.hidden = False
    heapq.heappush(_line(queue, message), (message.order, message.id))


def _forget_duplicates(queue: Queue, now: float) -> None:
    # All are remembered equally long, so the first to be forgotten stand first.
    for key, known in list(queue.duplicates.items()):
        if known.until > now:
            break
        del queue.duplicates[key]
