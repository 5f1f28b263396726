"""The library that speaks Kafka's protocol, with types and words: nothing of Lambda is known here."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, cast

from aiokafka.errors import KafkaConnectionError
from aiokafka.structs import TopicPartition

from lambdaform.local.brokers import Address
from lambdaform.local.pollers.patience import ANSWER


class Partition(NamedTuple):
    """As the library's own `TopicPartition`, which has no types."""

    topic: str
    partition: int


class Message(Protocol):
    """A record as the library gives it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


class Consumer(Protocol):
    """The part of the library's consumer that is used, with types."""

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    def assign(self, partitions: Sequence[Partition]) -> None: ...
    def subscribe(self, topics: Sequence[str], *, listener: object) -> None: ...
    def assignment(self) -> Collection[Partition]: ...
    async def getmany(
        self, *partitions: Partition, timeout_ms: int, max_records: int
    ) -> Mapping[Partition, Sequence[Message]]: ...
    async def committed(self, partition: Partition) -> int | None: ...
    async def commit(self, offsets: Mapping[Partition, int]) -> None: ...
    async def position(self, partition: Partition) -> int: ...
    def seek(self, partition: Partition, offset: int) -> None: ...
    async def beginning_offsets(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]: ...
    async def end_offsets(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]: ...
    async def offsets_for_times(self, timestamps: Mapping[Partition, int]) -> Mapping[Partition, Found | None]: ...


class Found(Protocol):
    """A place in a partition."""

    offset: int


def hush() -> None:
    """Keep the library's log to itself: what goes wrong is said once, and not ten times a second."""
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())
    logging.getLogger("aiokafka").propagate = False


def options_of(address: Address) -> dict[str, Any]:
    """How every client of an address is made."""
    is_encrypted = address.scheme.endswith("+ssl")
    options: dict[str, Any] = {
        "bootstrap_servers": list(address.hosts),
        "client_id": "lambdaform",
        "request_timeout_ms": int(ANSWER * 1000),
        "security_protocol": "SSL" if is_encrypted else "PLAINTEXT",
    }
    if is_encrypted:
        options["ssl_context"] = ssl.create_default_context()
    if address.user is not None:
        options["security_protocol"] = "SASL_SSL" if is_encrypted else "SASL_PLAINTEXT"
        options |= {"sasl_mechanism": "PLAIN", "sasl_plain_username": address.user}
        options["sasl_plain_password"] = address.password or ""
    return options


def partition_of(topic: str, number: int) -> Partition:
    return cast(Partition, TopicPartition(topic, number))


async def ended(work: Awaitable[None]) -> None:
    """Wait for an end of something of the library, whatever comes of it: it cancels itself when its broker is gone."""
    task = asyncio.ensure_future(work)
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()


def said(error: BaseException) -> str:
    """An error in words."""
    if isinstance(error, KafkaConnectionError):
        return "nobody answers there, or it refuses the login"
    return str(error) or type(error).__name__
