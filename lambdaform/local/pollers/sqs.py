"""The poller of one queue for one function: takes messages, forms batches, deletes what succeeded.

It hears from the queue when there is something to take, so an idle queue costs nothing. What makes a batch and what
an answer means is decided in `batching`, `filters` and `answers`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import attrs

from lambdaform.local.pollers import batching, filters
from lambdaform.local.pollers.answers import decide_settled
from lambdaform.local.pollers.counting import Counting
from lambdaform.local.ports import AwsFault, Clock, EventMapping, Invoker, Outcome, Timer
from lambdaform.local.sqs import messages
from lambdaform.local.sqs.messages import Handle
from lambdaform.local.sqs.store import QueueStore
from lambdaform.local.sqs.values import Attribute, Message


@attrs.frozen
class Held:
    """A message that was taken and waits for its batch."""

    message_id: str
    token: str
    record: Mapping[str, Any]
    size: int
    hidden_until: float


class QueuePoller:
    """One mapping's poller. Its life: `start`, `stop`; a changed mapping gets a new one."""

    def __init__(
        self, mapping: EventMapping, *, clock: Clock, queues: QueueStore, invoker: Invoker, counting: Counting
    ) -> None:
        self._mapping = mapping
        self._clock = clock
        self._queues = queues
        self._invoker = invoker
        self._counting = counting
        settings = mapping.settings
        self._batch_size = int(settings.get("BatchSize") or 10)
        self._window = int(settings.get("MaximumBatchingWindowInSeconds") or 0)
        self._is_partial = "ReportBatchItemFailures" in (settings.get("FunctionResponseTypes") or ())
        self._filters = filters.of_settings(settings)
        self._scaling = batching.Scaling.of_settings(settings, is_fifo=mapping.source_arn.endswith(".fifo"))
        self._held: list[Held] = []
        self._first_at = 0.0
        self._in_flight = 0
        self._busy_since: float | None = None
        self._watch: Timer | None = None
        self._timer: Timer | None = None
        self._is_scheduled = False

    def start(self) -> None:
        """Begin to take messages."""
        self._watch = self._queues.watch(self._mapping.source_arn, self._schedule)
        self._schedule()  # for what has been there before

    def stop(self) -> None:
        """Take no more; batches in flight end as they do, messages held return when their time is over."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._held.clear()

    def checkpoint(self) -> tuple[list[Held], float]:
        """What is held at the moment, for `resume`."""
        return list(self._held), self._first_at

    def resume(self, held: list[Held], first_at: float) -> None:
        """Hold again what was held at a checkpoint."""
        self._held, self._first_at = list(held), first_at
        self._schedule()

    def last_result(self) -> None:
        """SQS mappings have none."""

    def _schedule(self) -> None:
        if not self._is_scheduled and self._watch is not None:
            self._is_scheduled = True
            self._clock.run(self._pump())

    async def _pump(self) -> None:
        """Take what there is and send what makes a batch, as far as concurrency allows."""
        self._is_scheduled = False
        while self._watch is not None and self._has_room():
            self._take()
            now = self._clock.now()
            decision = batching.decide_batch(
                [held.size for held in self._held],
                self._first_at,
                now,
                batch_size=self._batch_size,
                window=self._window,
            )
            match decision:
                case batching.Send(count):
                    batch, self._held = self._held[:count], self._held[count:]
                    self._first_at = now
                    self._in_flight += 1
                    self._clock.run(self._deliver(batch))
                case batching.Wait(until):
                    self._wake_at(until)
                    return
                case None:
                    self._busy_since = self._busy_since if self._in_flight else None
                    return

    def _has_room(self) -> bool:
        """Whether another batch may go; else look again when the allowed concurrency has grown."""
        now = self._clock.now()
        since = now if self._busy_since is None else self._busy_since
        allowed = self._scaling.allowed(since, now)
        if self._in_flight < allowed:
            if self._scaling.is_provisioned:
                self._counting.pollers(-(-allowed // batching.PER_POLLER))
            return True
        self._busy_since = since
        growth = self._scaling.next_growth(since, now)
        if growth is not None:
            self._wake_at(growth)
        return False

    def _wake_at(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._clock.call_at(when, self._schedule)

    def _take(self) -> None:
        """Receive up to a batch; delete at once what the filters do not let through."""
        arn = self._mapping.source_arn
        while len(self._held) < self._batch_size:
            try:
                queue = self._queues.get(arn)
                timeout = self._timeout()
                hidden_for = batching.visibility(queue.seconds("VisibilityTimeout"), self._window, timeout)
                # Set to 0 after the mapping was made, a message would show again at once, and without end.
                hidden_for = max(1, hidden_for)
                # FIFO: what is held now belongs to one batch; a second receive could take a later one of its groups.
                if queue.is_fifo and self._held:
                    return
                taken = self._queues.receive(arn, limit=self._batch_size - len(self._held), visibility=hidden_for)
            except AwsFault:
                return  # the queue or the function is gone: nothing to poll until it is back
            if not taken:
                return
            self._counting.events("PolledEventCount", len(taken))
            for message in taken:
                record = record_of(message, arn, self._mapping.region)
                if not filters.keeps_message(self._filters, record):
                    self._queues.delete(arn, message.id, message.receipt or "")
                    self._counting.events("FilteredOutEventCount", 1)
                    continue
                if not self._held:
                    self._first_at = self._clock.now()
                size = len(json.dumps(record))
                self._held.append(Held(message.id, message.receipt or "", record, size, message.visible_at))

    def _timeout(self) -> int:
        return self._invoker.settings(self._mapping.function_arn, region=self._mapping.region).timeout

    async def _deliver(self, batch: list[Held]) -> None:
        """Run the function on one batch and settle it."""
        self._queues.trace.caused_by(*(held.message_id for held in batch))
        payload = json.dumps({"Records": [held.record for held in batch]}).encode()
        try:
            outcome = await self._invoke(payload, min(held.hidden_until for held in batch))
        finally:
            self._in_flight -= 1
        ids = [held.message_id for held in batch]
        settled = decide_settled(outcome, ids, is_partial=self._is_partial)
        if settled.failed and outcome.fault is None and outcome.function_error is None:
            self._queues.trace.amend(outcome.request_id, failed=f"{len(settled.failed)} of {len(ids)}")
        self._counting.events("InvokedEventCount", len(ids))
        self._counting.events("FailedInvokeEventCount", len(settled.failed))
        self._counting.events("DeletedEventCount", len(ids) - len(settled.failed))
        for held in batch:
            if held.message_id not in settled.failed:
                self._queues.delete(self._mapping.source_arn, held.message_id, held.token)
        self._schedule()

    async def _invoke(self, payload: bytes, hidden_until: float) -> Outcome:
        """Invoke; a throttled batch is tried again, backing off, for as long as its messages stay hidden.

        https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
        """
        attempt = 0
        while True:
            outcome = await self._invoker.invoke(self._mapping.function_arn, payload, region=self._mapping.region)
            if outcome.fault is None or outcome.status != 429:
                return outcome
            attempt += 1
            pause = batching.back_off(attempt)
            if self._clock.now() + pause >= hidden_until:
                return outcome
            await self._clock.sleep(pause)


def record_of(message: Message, queue_arn: str, region: str) -> dict[str, Any]:
    """A message as a record of Lambda's SQS event.

    https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html#example-standard-queue-message-event
    """
    attributes_digest = messages.attributes_digest(message.attributes)
    return {
        "messageId": message.id,
        "receiptHandle": messages.handle_text(Handle(queue_arn, message.id, message.receipt or "")),
        "body": message.body,
        "attributes": messages.system_attributes(message),
        "messageAttributes": {name: _attribute(value) for name, value in message.attributes.items()},
        **({} if attributes_digest is None else {"md5OfMessageAttributes": attributes_digest}),
        "md5OfBody": messages.digest(message.body),
        "eventSource": "aws:sqs",
        "eventSourceARN": queue_arn,
        "awsRegion": region,
    }


def _attribute(attribute: Attribute) -> dict[str, Any]:
    content = (
        {"binaryValue": base64.b64encode(attribute.value).decode()}
        if isinstance(attribute.value, bytes)
        else {"stringValue": attribute.value}
    )
    return {**content, "stringListValues": [], "binaryListValues": [], "dataType": attribute.type}
