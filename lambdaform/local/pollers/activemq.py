"""Reads a queue of a real ActiveMQ over STOMP, as Amazon MQ's mappings do over JMS.

A JMS client delivers again by itself what failed, and hands it to the broker's dead-letter queue in the end: so does
this. https://docs.aws.amazon.com/lambda/latest/dg/with-mq.html and its neighbours. Batches are in `brokers`.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Collection, Mapping, Sequence
from typing import cast

import attrs

from lambdaform.local.brokers import SCHEMES, Address, place_of_host
from lambdaform.local.patterns import Pattern
from lambdaform.local.pollers import filters
from lambdaform.local.pollers.mq_messages import queue_of, read_ahead
from lambdaform.local.pollers.patience import connect
from lambdaform.local.pollers.reader import Trouble
from lambdaform.local.pollers.retries import StreamRecord
from lambdaform.local.pollers.stomp import Connection, Frame
from lambdaform.local.ports import EventMapping, Json

_GRACE = 0.1
"""Seconds of real time within which a broker that has answered has also sent what is in the queue: STOMP knows no
word for an empty queue."""
_NO_PROPERTIES = frozenset(
    {
        "ack",
        "content-length",
        "content-type",
        "correlation-id",
        "destination",
        "expires",
        "message-id",
        "persistent",
        "priority",
        "receipt",
        "redelivered",
        "reply-to",
        "subscription",
        "timestamp",
        "type",
    }
)
"""The headers that are not properties of the message: the protocol's, and those of JMS.
https://activemq.apache.org/components/classic/documentation/stomp"""


class ActiveReader:
    """`Reader` of one queue, and `Redelivering`: what fails is at hand still, and refused in the end."""

    most_at_once: int | None = 5
    tells_age = False
    tells_oversized = False
    failing = None
    place: str | None = None
    max_retries = 6
    """https://docs.aws.amazon.com/lambda/latest/dg/services-mq-errors.html"""

    def __init__(self, mapping: EventMapping, address: Address) -> None:
        self._mapping = mapping
        self._address = address
        self._queue = queue_of(mapping.settings)
        self.name = f"queue {self._queue}"
        self._prefetch = read_ahead(int(mapping.settings.get("BatchSize") or 100), 5)
        self._connection: Connection | None = None
        self._connections = 0
        self._open: set[str] = set()
        """Everything that is neither acknowledged nor refused."""

    @property
    def redelivering(self) -> ActiveReader:
        """JMS delivers again what was not acknowledged."""
        return self

    # The connection

    async def open(self) -> None:
        """Connect to the first host that answers, and subscribe."""
        await connect(self._address, self._subscribe, close=self.close, wrong=(OSError,), said=_said)

    async def _subscribe(self, place: str) -> None:
        host, port = place_of_host(place)
        self._connection = await Connection.open(
            host,
            port,
            user=self._address.user,
            password=self._address.password,
            is_encrypted=SCHEMES[self._address.scheme].is_encrypted,
        )
        self._connections += 1
        await self._connection.subscribe(f"/queue/{self._queue}", {"activemq.prefetchSize": str(self._prefetch)})

    async def close(self) -> None:
        """Let go of the broker; what is not acknowledged goes back to the queue."""
        connection, self._connection = self._connection, None
        self._open.clear()
        if connection is not None:
            await connection.close()

    def _connected(self) -> Connection:
        if self._connection is None:
            raise Trouble(f"not connected to {self._address}")
        return self._connection

    # Reading

    async def read(self, *, at_most: int, full: Collection[str], patience: float) -> Sequence[StreamRecord]:
        """The next messages of the queue."""
        connection = self._connected()
        if full:
            return ()
        try:
            connection.check()
            if not patience:
                await connection.greet()
            if len(self._open) < self._prefetch:
                await connection.arrives(patience or _GRACE)
            connection.check()
        except Trouble as trouble:
            raise Trouble(f"cannot read from {self._address}: {trouble}") from trouble
        count = min(at_most, len(connection.messages))
        return [self._taken(connection.messages.popleft()) for _ in range(count)]

    def _taken(self, message: Frame) -> StreamRecord:
        event = event_of(message, now=time.time())
        sequence = f"{self._connections}:{event['messageID']}"
        self._open.add(sequence)
        handle = message.headers.get("ack", "")
        return StreamRecord(sequence, event["timestamp"] / 1000, event, len(json.dumps(event)), handle=handle)

    def keeps(self, patterns: Sequence[Pattern], record: StreamRecord) -> bool:
        """Whether a message passes the filters."""
        return filters.keeps_mq(patterns, record.event)

    def holds(self, record: StreamRecord) -> bool:
        """Whether a message is still this consumer's: those of a connection that was lost are not."""
        return record.sequence in self._open

    def event(self, records: Sequence[StreamRecord]) -> Mapping[str, Json]:
        """The messages in the order of the queue."""
        return {
            "eventSource": "aws:mq",
            "eventSourceArn": self._mapping.source_arn,
            "messages": [record.event for record in records],
        }

    def lags(self) -> Collection[int]:
        """Amazon MQ tells none."""
        return ()

    # What becomes of messages

    async def skip(self, records: Sequence[StreamRecord]) -> None:
        """Messages that are filtered out are gone from the queue."""
        await self._settle(records, "ACK")

    async def acknowledge(self, records: Sequence[StreamRecord]) -> None:
        """These are gone from the queue."""
        await self._settle(records, "ACK")

    def pause(self, attempt: int) -> float:
        """ActiveMQ's default: a second each time. https://activemq.apache.org/components/classic/documentation/redelivery-policy"""
        return 1.0

    async def redeliver(self, records: Sequence[StreamRecord]) -> Sequence[StreamRecord]:
        """The same messages once more, marked as redelivered: the broker has no part in it."""
        return [attrs.evolve(record, event={**record.event, "redelivered": True}) for record in records]

    async def refuse(self, records: Sequence[StreamRecord]) -> None:
        """The broker puts these into its dead-letter queue."""
        await self._settle(records, "NACK")

    async def _settle(self, records: Sequence[StreamRecord], command: str) -> None:
        held = [record for record in records if record.sequence in self._open]
        self._open.difference_update(record.sequence for record in held)
        try:
            await self._connected().settle(command, [cast(str, record.handle) for record in held])
        except Trouble as trouble:
            raise Trouble(f"cannot acknowledge messages at {self._address}: {trouble}") from trouble


def event_of(message: Frame, *, now: float) -> dict[str, Json]:
    """A message as it stands in the function's event.

    STOMP tells of a message with a length that it is of bytes, and not when the broker had it: it is taken to have come
    in when it was sent, and to have gone out now.
    """
    headers = message.headers
    sent = _whole(headers.get("timestamp")) or int(now * 1000)
    return {
        "messageID": headers.get("message-id", ""),
        "messageType": "jms/bytes-message" if "content-length" in headers else "jms/text-message",
        "deliveryMode": 2 if headers.get("persistent") == "true" else 1,
        "replyTo": headers.get("reply-to"),
        "type": headers.get("type"),
        "expiration": _whole(headers.get("expires")),
        "priority": _whole(headers.get("priority")),
        "correlationId": headers.get("correlation-id", ""),
        "redelivered": headers.get("redelivered") == "true",
        "destination": {"physicalName": headers.get("destination", "").removeprefix("/queue/")},
        "data": base64.b64encode(message.body).decode(),
        "timestamp": sent,
        "brokerInTime": sent,
        "brokerOutTime": int(now * 1000),
        "properties": {name: value for name, value in headers.items() if name not in _NO_PROPERTIES},
    }


def _whole(text: str | None) -> int:
    return int(text) if text is not None and text.isdecimal() else 0


def _said(error: BaseException) -> str:
    """An error in words."""
    return str(error) if isinstance(error, Trouble) else "nobody answers there"
