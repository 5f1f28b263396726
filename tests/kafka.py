"""A Kafka that speaks the real protocol on loopback: the mock cluster inside Confluent's client library.

It is a protocol server in C by the authors of the client, with consumer groups, offsets and headers; nothing of it is
lambdaform's or of the library that lambdaform reads with.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
from confluent_kafka import Consumer, Producer, TopicPartition

from tests.patience import PATIENCE

QUIET: Mapping[str, str | int] = {"bootstrap.servers": "", "log_level": 3}


@attrs.define(eq=False)
class Kafka:
    """One cluster of one broker. Topics come to be with four partitions when they are first written to."""

    _producer: Producer = attrs.field(factory=lambda: Producer({**QUIET, "test.mock.num.brokers": 1}))

    @property
    def address(self) -> str:
        """Its only broker, as `host:port`."""
        [broker] = self._producer.list_topics(timeout=PATIENCE).brokers.values()
        return f"{broker.host}:{broker.port}"

    def send(
        self,
        topic: str,
        *values: str | bytes | None,
        partition: int = 0,
        key: str | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
        timestamp: int = 0,
    ) -> None:
        """Write records, of now if no other `timestamp` is given in milliseconds; wait until the broker has them."""
        for value in values:
            self._producer.produce(topic, value, key, partition, headers=list(headers), timestamp=timestamp)
        assert self._producer.flush(10) == 0, "the broker did not take the records"

    def documents(self, topic: str, count: int) -> list[tuple[bytes | None, Any]]:
        """The first records of a topic, as key and JSON."""
        reader = self._consumer("documents")
        reader.assign([TopicPartition(topic, number, 0) for number in range(4)])
        found = reader.consume(count, timeout=PATIENCE)
        reader.close()
        return [(each.key(), json.loads(each.value() or b"null")) for each in found]

    def committed(self, group: str, topic: str) -> Mapping[int, int]:
        """What a group has committed, by partition; nothing for those it has not."""
        reader = self._consumer(group)
        found = reader.committed([TopicPartition(topic, number) for number in range(4)], timeout=PATIENCE)
        reader.close()
        return {each.partition: each.offset for each in found if each.offset >= 0}

    def _consumer(self, group: str) -> Consumer:
        return Consumer({**QUIET, "bootstrap.servers": self.address, "group.id": group, "enable.auto.commit": False})
