"""A Kinesis stream that answers some turns of the loop later, as the library's process does, and a poller on it."""

from __future__ import annotations

import asyncio
import base64
import datetime
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import attrs

from lambdaform.local.clock import SeededIds, VirtualClock
from lambdaform.local.data import MotoServices
from lambdaform.local.delivery import Delivery
from lambdaform.local.pollers.counting import Counting
from lambdaform.local.pollers.shards import Bookmark
from lambdaform.local.pollers.streams import StreamPoller
from lambdaform.local.ports import ACCOUNT, EventMapping
from lambdaform.local.sqs import Sqs
from tests.fakes.invoker import FUNCTION, FakeInvoker

REGION = "eu-central-1"
STREAM = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/clicks"
DEAD = f"arn:aws:sqs:{REGION}:{ACCOUNT}:dead"
SHARD = "shard-0"


class FakeStream:
    """One shard at first; sequence numbers count all records of the stream."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._count = 0
        self.shards: dict[str, list[dict[str, Any]]] = {SHARD: []}
        self._parents: dict[str, str] = {}

    async def together(self, work: Callable[[Any], Awaitable[Any]]) -> Any:
        return await work(self.call)

    async def call(self, service: str, operation: str, params: Mapping[str, Any], *, region: str) -> dict[str, Any]:
        for _ in range(3):
            await asyncio.sleep(0)
        match operation:
            case "ListShards":
                return {"Shards": [self._described(name) for name in self.shards]}
            case "DescribeStreamSummary":
                return {"StreamDescriptionSummary": {"RetentionPeriodHours": 24}}
            case "GetShardIterator":
                return {"ShardIterator": f"{params['ShardId']} {params.get('StartingSequenceNumber', '0')}"}
            case _:
                name, after = params["ShardIterator"].split()
                later = [record for record in self.shards[name] if int(record["SequenceNumber"]) > int(after)]
                return {"Records": later[: params["Limit"]]}

    def put(self, data: str = "", *, key: str = "p", shard: str = SHARD) -> str:
        """Write a record; gives its sequence number."""
        self._count += 1
        self.shards[shard].append(
            {
                "SequenceNumber": str(self._count),
                "PartitionKey": key,
                "Data": data.encode(),
                "ApproximateArrivalTimestamp": datetime.datetime.fromtimestamp(self._clock.now(), datetime.UTC),
            }
        )
        return str(self._count)

    def split(self, shard: str, *children: str) -> None:
        """Close a shard; what comes is written to its children."""
        for child in children:
            self.shards[child] = []
            self._parents[child] = shard

    def _described(self, name: str) -> dict[str, Any]:
        range_: dict[str, Any] = {"StartingSequenceNumber": "0"}
        if name in self._parents.values():
            range_["EndingSequenceNumber"] = str(self._count)
        return {"ShardId": name, "ParentShardId": self._parents.get(name), "SequenceNumberRange": range_}


@attrs.define(eq=False)
class StreamBench:
    """A stream, a function, an on-failure queue, and the poller of one mapping between them."""

    settings: Mapping[str, Any]
    clock: VirtualClock = attrs.field(factory=VirtualClock)
    ids: SeededIds = attrs.field(factory=SeededIds)
    stream: FakeStream = attrs.field(init=False)
    invoker: FakeInvoker = attrs.field(init=False)
    sqs: Sqs = attrs.field(init=False)
    poller: StreamPoller = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.stream = FakeStream(self.clock)
        self.invoker = FakeInvoker(self.clock)
        self.sqs = Sqs(clock=self.clock, ids=self.ids)
        self.sqs.create(DEAD, {}, {})
        self.begin()

    def begin(self, bookmarks: Mapping[str, Bookmark] | None = None) -> None:
        """Poll, from the bookmarks if there are any."""
        delivery = Delivery(clock=self.clock, ids=self.ids)
        delivery.attach(queues=self.sqs)
        mapping = EventMapping("mapping", REGION, ACCOUNT, FUNCTION, STREAM, self.settings)
        self.poller = StreamPoller(
            mapping,
            clock=self.clock,
            ids=self.ids,
            data=cast(MotoServices, self.stream),
            invoker=self.invoker,
            delivery=delivery,
            counting=Counting(mapping, clock=self.clock, metrics=None),
            bookmarks=bookmarks,
        )

    def renew(self) -> None:
        """What a change of the mapping does: another poller goes on where this one is."""
        leaving = self.poller
        leaving.stop()

        def take_over() -> None:
            self.begin(leaving.bookmarks())
            self.poller.start()

        if leaving.is_quiet:
            take_over()
        else:
            leaving.when_quiet(take_over)

    def put(self, *data: str, key: str = "p", shard: str = SHARD) -> list[str]:
        """Write records; gives their sequence numbers."""
        numbers = [self.stream.put(each, key=key, shard=shard) for each in data]
        self.poller.written()
        return numbers

    async def advance(self, seconds: float) -> None:
        """Let time pass, with a look at the stream every second."""
        for _ in range(int(seconds)):
            self.poller.written()
            await self.clock.advance(1)
        await self.clock.advance(seconds - int(seconds))

    @property
    def seen(self) -> list[list[str]]:
        """The data of every invocation."""
        return [
            [base64.b64decode(record["kinesis"]["data"]).decode() for record in each.event["Records"]]
            for each in self.invoker.seen
        ]

    def dead(self) -> list[dict[str, Any]]:
        """The documents in the on-failure queue."""
        return [json.loads(message.body) for message in self.sqs.peek(DEAD)]

    def run(self, scenario: Callable[[StreamBench], Awaitable[None]]) -> None:
        """Play a scenario with the poller started."""

        async def play() -> None:
            self.poller.start()
            await self.clock.settle()
            await scenario(self)
            self.poller.stop()
            await self.clock.close()

        asyncio.run(play())


def bench(**settings: Any) -> StreamBench:
    """A bench whose mapping has these settings."""
    return StreamBench({"StartingPosition": "TRIM_HORIZON", **settings})
