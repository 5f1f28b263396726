"""A shard worked off in several lanes: no record twice, none lost, every key in order, however polls overlap."""

from __future__ import annotations

import asyncio
import datetime
import json
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import pytest

from lambdaform.local.clock import SeededIds, VirtualClock
from lambdaform.local.data import MotoServices
from lambdaform.local.delivery import Delivery
from lambdaform.local.pollers.streams import StreamPoller
from lambdaform.local.ports import ACCOUNT, EventMapping
from tests.fakes.invoker import FUNCTION, FakeInvoker

REGION = "eu-central-1"
STREAM = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/clicks"


class FakeStream:
    """One shard that answers some turns of the loop later, as another process does."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    async def together(self, work: Callable[[Any], Awaitable[Any]]) -> Any:
        return await work(self.call)

    async def call(self, service: str, operation: str, params: Mapping[str, Any], *, region: str) -> dict[str, Any]:
        for _ in range(3):
            await asyncio.sleep(0)
        match operation:
            case "ListShards":
                return {"Shards": [{"ShardId": "shard-0"}]}
            case "GetShardIterator":
                return {"ShardIterator": params.get("StartingSequenceNumber", "0")}
            case _:
                at = int(params["ShardIterator"])
                later = [record for record in self.records if int(record["SequenceNumber"]) > at]
                return {"Records": later[: params["Limit"]]}

    def put(self, key: str) -> None:
        number = len(self.records) + 1
        self.records.append(
            {
                "SequenceNumber": str(number),
                "PartitionKey": key,
                "Data": str(number).encode(),
                "ApproximateArrivalTimestamp": datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
            }
        )


@pytest.mark.parametrize("factor", [1, 2, 3, 10])
def test_every_record_is_seen_once_and_every_key_in_order(factor: int) -> None:
    stream = FakeStream()

    async def run() -> list[Any]:
        clock, ids = VirtualClock(), SeededIds()
        invoker = FakeInvoker(clock)
        settings = {"StartingPosition": "TRIM_HORIZON", "BatchSize": 2, "ParallelizationFactor": factor}
        poller = StreamPoller(
            EventMapping("mapping", REGION, ACCOUNT, FUNCTION, STREAM, settings),
            clock=clock,
            ids=ids,
            data=cast(MotoServices, stream),
            invoker=invoker,
            delivery=Delivery(clock=clock, ids=ids),
        )
        poller.start()
        await clock.settle()
        for number in range(200):
            stream.put(f"key-{number % 20}")
            poller.written()
        for _ in range(60):
            await clock.advance(1)
            poller.written()
        await clock.close()
        return [record for each in invoker.seen for record in each.event["Records"]]

    seen = [(each["kinesis"]["partitionKey"], int(each["kinesis"]["sequenceNumber"])) for each in asyncio.run(run())]

    by_key: dict[str, list[int]] = defaultdict(list)
    for key, number in seen:
        by_key[key].append(number)
    assert sorted(number for _, number in seen) == list(range(1, 201)), json.dumps(seen[:20])
    assert all(numbers == sorted(numbers) for numbers in by_key.values())
