"""Reads a queue of a real RabbitMQ, as Amazon MQ's mappings do: what fails goes back to the broker.

https://docs.aws.amazon.com/lambda/latest/dg/with-mq.html and its neighbours. Batches are in `brokers`.
"""

from __future__ import annotations

import asyncio
import base64
import datetime
import decimal
import json
import logging
import ssl
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

from aiormq import AMQPError, Connection
from aiormq.abc import AbstractChannel, DeliveredMessage
from aiormq.exceptions import (
    ChannelInvalidStateError,
    ChannelNotFoundEntity,
    InvalidFrameError,
    ProbableAuthenticationError,
)
from pamqp.commands import Basic
from yarl import URL

from lambdaform.local.brokers import SCHEMES, Address, place_of_host
from lambdaform.local.patterns import Pattern
from lambdaform.local.pollers import filters, retries
from lambdaform.local.pollers.mq_messages import queue_of, read_ahead, virtual_host_of
from lambdaform.local.pollers.patience import connect, within
from lambdaform.local.pollers.reader import Trouble
from lambdaform.local.pollers.retries import StreamRecord
from lambdaform.local.ports import EventMapping, Json

_STALLED = 1.0
"""Seconds of real time after which what is ready in the queue is taken to be for another consumer."""
_RETURN = 0.2
"""Seconds of real time in which a quorum queue, which does not count them at once, sends again what it got back."""


_WRONG = (AMQPError, ChannelInvalidStateError, OSError)
"""What the library raises when a broker is not as it should be."""


class RabbitReader:
    """`Reader` of one queue, and `Redelivering`: the broker delivers anew what it gets back."""

    most_at_once: int | None = 1
    tells_age = False
    tells_oversized = False
    failing = None
    place: str | None = None
    max_retries = -1

    def __init__(self, mapping: EventMapping, address: Address) -> None:
        self._mapping = mapping
        self._address = address
        self._queue = queue_of(mapping.settings)
        named = virtual_host_of(mapping.settings)
        self._host = address.path or named or "/"
        self._named_host = named or self._host
        self.name = f"queue {self._queue}"
        self._prefetch = read_ahead(int(mapping.settings.get("BatchSize") or 100), 1)
        self._connection: Connection | None = None
        self._channel: AbstractChannel | None = None
        self._connections = 0
        self._come: deque[DeliveredMessage] = deque()
        self._arrival = asyncio.Event()
        self._open: dict[str, int] = {}
        """The delivery tags of everything that is neither acknowledged nor given back."""
        self._is_cancelled = False
        self._returning = 0
        """Messages given back since anything was read."""
        self._failures = 0
        logging.getLogger("aiormq").addHandler(logging.NullHandler())
        logging.getLogger("aiormq").propagate = False

    @property
    def redelivering(self) -> RabbitReader:
        """RabbitMQ delivers again what it gets back."""
        return self

    # The connection

    async def open(self) -> None:
        """Connect to the first host that answers, and consume."""
        await connect(self._address, self._consume, close=self.close, wrong=_WRONG, said=_said)

    async def _consume(self, place: str) -> None:
        host, port = place_of_host(place)
        url = URL.build(
            scheme=self._address.scheme,
            user=self._address.user or "guest",
            password=self._address.password or "guest",
            host=host,
            port=port,
            path="/" if self._host == "/" else f"/{self._host}",
        )
        context = ssl.create_default_context() if SCHEMES[self._address.scheme].is_encrypted else None
        self._connection = Connection(url, context=context)
        try:
            await cast(Any, self._connection).connect()  # it has no types
        except InvalidFrameError:  # the library's word for a broker that closes where it was to open the host
            raise Trouble(f"it does not open virtual host {self._host} to {url.user}") from None
        self._channel = channel = await self._connection.channel(publisher_confirms=False)
        channel.on_consumer_cancel_callbacks.add(self._cancelled)
        try:
            await channel.queue_declare(self._queue, passive=True)
        except ChannelNotFoundEntity:
            raise Trouble(f"there is no queue {self._queue} in virtual host {self._host}") from None
        await channel.basic_qos(prefetch_count=min(self._prefetch, 65_535))
        self._connections += 1
        self._is_cancelled = False
        await channel.basic_consume(self._queue, self._delivered)

    async def close(self) -> None:
        """Let go of the broker; what is not acknowledged goes back to the queue."""
        connection, self._connection, self._channel = self._connection, None, None
        self._open.clear()
        self._come.clear()
        self._returning = 0
        if connection is not None:
            try:
                await connection.close()
            except _WRONG:
                return  # it is gone already

    async def _delivered(self, message: DeliveredMessage) -> None:
        if message.channel is self._channel:
            self._come.append(message)
            self._arrival.set()

    def _cancelled(self, frame: Basic.Cancel) -> None:
        self._is_cancelled = True
        self._arrival.set()

    # Reading

    async def read(self, *, at_most: int, full: Collection[str], patience: float) -> Sequence[StreamRecord]:
        """The next messages of the queue."""
        channel = self._usable()
        if full:
            return ()
        try:
            if not patience:
                await within(self._arrived(channel))
            elif not self._come:
                await self._arrives(patience)
        except _WRONG as error:
            raise Trouble(f"cannot read from {self._address}: {_said(error)}") from error
        self._usable()
        return [self._taken(self._come.popleft()) for _ in range(min(at_most, len(self._come)))]

    def _usable(self) -> AbstractChannel:
        channel = self._channel
        if channel is None or channel.is_closed:
            raise Trouble(f"cannot read from {self._address}: the connection is lost")
        if self._is_cancelled:
            raise Trouble(f"cannot read from {self._address}: the queue {self._queue} was deleted")
        return channel

    async def _arrived(self, channel: AbstractChannel) -> None:
        """Wait for messages as long as the broker says that there are some for this consumer."""
        loop = asyncio.get_running_loop()
        until = loop.time() + _RETURN
        while len(self._come) < self._returning and (left := until - loop.time()) > 0:
            await self._arrives(left)
        self._returning = 0
        deadline = loop.time() + _STALLED
        while True:
            ready = (await channel.queue_declare(self._queue, passive=True)).message_count
            if self._come or not ready or len(self._open) >= self._prefetch:
                return
            if loop.time() > deadline:
                return
            await self._arrives(0.05)

    async def _arrives(self, patience: float) -> None:
        """Wait for something to come, or for the end of the channel."""
        self._arrival.clear()
        channel = self._channel
        if channel is None:
            return
        ended = cast("asyncio.Future[None]", cast(Any, channel).closing)
        waiting = asyncio.ensure_future(self._arrival.wait())
        await asyncio.wait([waiting, ended], timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()

    def _taken(self, message: DeliveredMessage) -> StreamRecord:
        tag = message.delivery_tag or 0
        sequence = f"{self._connections}:{tag}"
        self._open[sequence] = tag
        event = event_of(message.header.properties, message.body, is_redelivered=bool(message.redelivered))
        return StreamRecord(sequence, 0.0, event, len(json.dumps(event)))

    def keeps(self, patterns: Sequence[Pattern], record: StreamRecord) -> bool:
        """Whether a message passes the filters."""
        return filters.keeps_mq(patterns, record.event)

    def holds(self, record: StreamRecord) -> bool:
        """Whether a message is still this consumer's: those of a connection that was lost are not."""
        return record.sequence in self._open

    def event(self, records: Sequence[StreamRecord]) -> Mapping[str, Json]:
        """The messages by queue and virtual host, the latter as the mapping names it."""
        return {
            "eventSource": "aws:rmq",
            "eventSourceArn": self._mapping.source_arn,
            "rmqMessagesByQueue": {f"{self._queue}::{self._named_host}": [record.event for record in records]},
        }

    def lags(self) -> Collection[int]:
        """Amazon MQ tells none."""
        return ()

    # What becomes of messages

    async def skip(self, records: Sequence[StreamRecord]) -> None:
        """Messages that are filtered out are gone from the queue."""
        await self._settle(records, "acknowledge")

    async def acknowledge(self, records: Sequence[StreamRecord]) -> None:
        """These are gone from the queue."""
        self._failures = 0
        await self._settle(records, "acknowledge")

    def pause(self, attempt: int) -> float:
        """AWS does not say how soon it reads a message again that failed. The broker does not count: it is counted here
        how often something has failed since something succeeded.
        """
        return retries.back_off(self._failures + 1)

    async def redeliver(self, records: Sequence[StreamRecord]) -> Sequence[StreamRecord]:
        """Give these back to the queue, where they are marked as redelivered: nothing of them is at hand."""
        self._failures += 1
        await self._settle(records, "give back")
        self._returning += len(records)
        return ()

    async def refuse(self, records: Sequence[StreamRecord]) -> None:
        """The queue's dead-letter exchange gets these, if it has one."""
        await self._settle(records, "refuse")

    async def _settle(self, records: Sequence[StreamRecord], way: str) -> None:
        channel = self._usable()
        try:
            for record in records:
                tag = self._open.pop(record.sequence, None)
                if tag is None:
                    continue
                if way == "acknowledge":
                    await within(channel.basic_ack(tag))
                else:
                    await within(channel.basic_reject(tag, requeue=way == "give back"))
        except _WRONG as error:
            raise Trouble(f"cannot {way} messages at {self._address}: {_said(error)}") from error


def event_of(properties: Basic.Properties, body: bytes, *, is_redelivered: bool) -> dict[str, Json]:
    """A message as it stands in the function's event."""
    headers = cast(Mapping[str, object], properties.headers or {})
    return {
        "basicProperties": {
            "contentType": properties.content_type,
            "contentEncoding": properties.content_encoding,
            "headers": {name: _header(value) for name, value in headers.items()},
            "deliveryMode": properties.delivery_mode,
            "priority": properties.priority,
            "correlationId": properties.correlation_id,
            "replyTo": properties.reply_to,
            "expiration": properties.expiration,
            "messageId": properties.message_id,
            "timestamp": None if properties.timestamp is None else _stamp(properties.timestamp),
            "type": properties.message_type,
            "userId": properties.user_id,
            "appId": properties.app_id,
            "clusterId": properties.cluster_id or None,
            "bodySize": len(body),
        },
        "redelivered": is_redelivered,
        "data": base64.b64encode(body).decode(),
    }


def _header(value: object) -> Json:
    """A header's value: text comes as its bytes. Tables, lists and times are not in AWS's example."""
    match value:
        case str():
            return {"bytes": list(value.encode())}
        case bytes() | bytearray():
            return {"bytes": list(value)}
        case decimal.Decimal():
            return float(value)
        case datetime.datetime():
            return _stamp(value)
        case Mapping():
            return {str(name): _header(each) for name, each in cast(Mapping[str, object], value).items()}
        case list():
            return [_header(each) for each in cast(list[object], value)]
        case _:
            return cast(Json, value)


def _stamp(moment: datetime.datetime) -> str:
    """A time as in AWS's example: `Jan 1, 1970, 12:33:41 AM`."""
    utc = moment.astimezone(datetime.UTC) if moment.tzinfo else moment
    month = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")[utc.month - 1]
    half = "AM" if utc.hour < 12 else "PM"
    return f"{month} {utc.day}, {utc.year}, {utc.hour % 12 or 12}:{utc:%M:%S} {half}"


def _said(error: BaseException) -> str:
    """An error in words; the library's own hold no password."""
    if isinstance(error, Trouble):
        return str(error)
    if isinstance(error, ProbableAuthenticationError):
        return "it refuses the login"
    if isinstance(error, ChannelInvalidStateError):
        return "the connection is lost"
    if isinstance(error, AMQPError):
        return ": ".join(str(each) for each in error.args if each) or type(error).__name__
    return "nobody answers there"
