"""All queues of the local AWS, by ARN, and who waits for messages in them.

What other services of ours use: they send, receive and delete here without the wire. One store per local AWS.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import cast

import attrs

from lambdaform.local.clock import Ids
from lambdaform.local.ports import Clock, Timer
from lambdaform.local.sqs import attributes as queue_attributes
from lambdaform.local.sqs import messages, rules
from lambdaform.local.sqs.faults import fault, no_queue
from lambdaform.local.sqs.rules import Draft, Sent
from lambdaform.local.sqs.values import Attribute, Message, Queue
from lambdaform.local.trace import Trace

NAME_REST = 60.0
"""Seconds for which the name of a deleted queue stays blocked.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteQueue.html"""


@attrs.define(eq=False)
class Watch:
    """Someone's wish to hear when a queue may have something to receive, until it is cancelled."""

    arn: str
    action: Callable[[], None]
    _watches: dict[str, list[Watch]]

    def cancel(self) -> None:
        """Hear no more. Cancelling twice is harmless."""
        held = self._watches.get(self.arn, [])
        if self in held:
            held.remove(self)
        if not held:
            self._watches.pop(self.arn, None)


class QueueStore:
    """The queues, their messages, and the timers for those who wait."""

    def __init__(self, *, clock: Clock, ids: Ids, trace: Trace | None = None) -> None:
        self._clock = clock
        self._ids = ids
        self.trace = trace or Trace(clock.now)
        self._queues: dict[str, Queue] = {}
        self._deleted: dict[str, float] = {}
        self._watches: dict[str, list[Watch]] = {}
        self._timers: dict[str, tuple[float, Timer]] = {}

    # What exists

    def find(self, arn: str) -> Queue | None:
        """The queue of that ARN, if there is one."""
        return self._queues.get(arn)

    def get(self, arn: str) -> Queue:
        """The queue of that ARN; raises `QueueDoesNotExist`."""
        queue = self._queues.get(arn)
        if queue is None:
            raise no_queue()
        return queue

    def every(self) -> list[Queue]:
        """All queues, by name."""
        return sorted(self._queues.values(), key=lambda queue: queue.arn)

    def create(self, arn: str, attributes: Mapping[str, str], tags: Mapping[str, str]) -> Queue:
        """Make a queue, or return the one that is the same already; raises `AwsFault`."""
        *_, region, account, name = arn.split(":")
        held = self._queues.get(arn)
        if held is not None:
            differing = queue_attributes.differing(held, attributes)
            if differing is None:
                return held
            raise fault(
                "QueueNameExists",
                f"A queue already exists with the same name and a different value for attribute {differing}",
            )
        now = self._clock.now()
        if self._deleted.get(arn, now - NAME_REST) > now - NAME_REST:
            raise fault(
                "QueueDeletedRecently",
                "You must wait 60 seconds after deleting a queue before you can create another with the same name.",
            )
        queue_attributes.check(name, arn, attributes, self.find, creating=True)
        queue = Queue(
            arn=arn,
            name=name,
            region=region,
            account=account,
            attributes=queue_attributes.of_new_queue(name, attributes),
            tags=dict(tags),
            created=now,
            modified=now,
        )
        self._queues[arn] = queue
        return queue

    def drop(self, arn: str) -> None:
        """Delete a queue with all that is in it; raises `QueueDoesNotExist`."""
        self.get(arn)
        del self._queues[arn]
        self._deleted[arn] = self._clock.now()
        self._notify(arn)

    # Messages

    def send(
        self,
        arn: str,
        body: str,
        attributes: Mapping[str, Attribute] | None = None,
        *,
        group: str | None = None,
        deduplication: str | None = None,
        trace: str | None = None,
    ) -> Sent:
        """Send a message for another service.

        Raises `AwsFault`: the queue is missing, the message too long, or a FIFO queue got no group or id.
        """
        queue = self.get(arn)
        params: dict[str, object] = {"MessageBody": body, "MessageGroupId": group}
        if queue.is_fifo:
            params["MessageDeduplicationId"] = deduplication
        checked = messages.draft(queue, params)
        draft = attrs.evolve(checked, attributes=dict(attributes or {}), trace=trace)
        messages.check_size(queue, draft)
        return self.put(arn, draft)

    def put(self, arn: str, draft: Draft) -> Sent:
        """Put a checked message into a queue."""
        sent = rules.send(self.get(arn), draft, self._clock.now(), self._ids.uuid)
        with self.trace.under(self.trace.add("message", arn, key=sent.message_id, id=sent.message_id)):
            self._notify(arn)
        return sent

    def receive(self, arn: str, *, limit: int = 10, visibility: float | None = None) -> list[Message]:
        """Take up to `limit` messages; those received too often leave for the dead letter queue."""
        queue = self.get(arn)
        now = self._clock.now()
        redrive = rules.redrive_of(queue)
        target = self._queues.get(redrive.target) if redrive is not None else None
        taken = rules.receive(
            queue,
            now,
            limit=limit,
            visibility=queue.seconds("VisibilityTimeout") if visibility is None else visibility,
            # Without its dead letter queue a message stays where it is.
            max_receives=redrive.max_receives if redrive is not None and target is not None else None,
            new_token=lambda: self._ids.hex(32),
        )
        if target is not None and taken.dead:
            for message in taken.dead:
                rules.adopt(target, message, now, arn)
                self.trace.add("dead-letter", target.arn, key=message.id, after=message.id, id=message.id)
            self._notify(target.arn)
        self._notify(arn)
        return list(taken.messages)

    def delete(self, arn: str, message_id: str, token: str) -> None:
        """Delete a message by the token of its latest receive; nothing happens with an older one."""
        queue = self._queues.get(arn)
        if queue is not None:
            rules.delete(queue, message_id, token, self._clock.now())
            if queue.is_fifo:  # the next message of its group may go now
                self._notify(arn)

    def change_visibility(self, arn: str, message: Message, seconds: float) -> None:
        """Let a message in flight show `seconds` from now."""
        rules.change_visibility(self.get(arn), message, seconds, self._clock.now())
        self._notify(arn)

    def purge(self, arn: str) -> None:
        """Delete all messages of a queue."""
        rules.purge(self.get(arn), self._clock.now())

    def move_all(self, source: str, target_of: Callable[[Message], str | None]) -> int:
        """Send every visible message of a queue on as a new message to where `target_of` says; how many went."""
        queue = self.get(source)
        now = self._clock.now()
        rules.catch_up(queue, now)
        moved = 0
        for message in [held for held in queue.messages.values() if not held.hidden]:
            target = target_of(message)
            if target is None or target not in self._queues:
                continue
            rules.remove(queue, message)
            draft = Draft(
                body=message.body,
                attributes=message.attributes,
                group=message.group,
                # A message that was sent minutes ago would count as seen: as a new one it needs an id of its own.
                deduplication=self._ids.uuid() if message.deduplication is not None else None,
                trace=message.trace,
            )
            self.put(target, draft)
            moved += 1
        return moved

    def peek(self, arn: str) -> list[Message]:
        """All messages in a queue, visible or not, in order; nothing is received by looking."""
        queue = self.get(arn)
        rules.catch_up(queue, self._clock.now())
        return sorted(queue.messages.values(), key=lambda message: message.order)

    def counts(self, arn: str) -> rules.Counts:
        """How many messages are visible, in flight, delayed."""
        return rules.count(self.get(arn), self._clock.now())

    # Waiting

    def watch(self, arn: str, action: Callable[[], None]) -> Watch:
        """Call `action` whenever the queue may have something to receive, or is gone."""
        watch = Watch(arn, action, self._watches)
        self._watches.setdefault(arn, []).append(watch)
        self._notify(arn)
        return watch

    def _notify(self, arn: str) -> None:
        """Tell those who wait if there is something now; else set a timer for when there will be."""
        if not self._watches.get(arn):
            return
        queue = self._queues.get(arn)
        now = self._clock.now()
        showing = now if queue is None else rules.next_visible(queue, now)
        if showing is None:
            return
        if showing <= now:
            for watch in list(self._watches.get(arn, ())):
                watch.action()
            return
        armed = self._timers.get(arn)
        if armed is not None:
            if armed[0] <= showing:
                return
            armed[1].cancel()
        self._timers[arn] = (showing, self._clock.call_at(showing, lambda: self._ring(arn)))

    def _ring(self, arn: str) -> None:
        self._timers.pop(arn, None)
        self._notify(arn)

    # State

    def checkpoint(self) -> object:
        """The queues as they are, for `restore`."""
        return copy.deepcopy((self._queues, self._deleted))

    def restore(self, state: object) -> None:
        """Be as at the checkpoint; those who watch stay."""
        self._queues, self._deleted = copy.deepcopy(cast(tuple[dict[str, Queue], dict[str, float]], state))
        for _, timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for arn in list(self._watches):
            self._notify(arn)
