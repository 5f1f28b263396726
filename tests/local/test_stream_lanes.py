"""A shard worked off in several lanes: no record twice, none lost, every key in order, however polls overlap."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import pytest

from lambdaform.local.ports import Outcome
from tests.fakes.invoker import outcome
from tests.fakes.stream import SHARD, StreamBench, bench


@pytest.mark.parametrize("factor", [1, 2, 3, 10])
def test_every_record_is_seen_once_and_every_key_in_order(factor: int) -> None:
    async def scenario(found: StreamBench) -> None:
        for number in range(200):
            found.put("", key=f"key-{number % 20}")
        await found.advance(60)

    found = bench(BatchSize=2, ParallelizationFactor=factor)
    found.run(scenario)

    by_key: dict[str, list[int]] = defaultdict(list)
    for each in found.invoker.seen:
        for record in each.event["Records"]:
            by_key[record["kinesis"]["partitionKey"]].append(int(record["kinesis"]["sequenceNumber"]))
    seen = [number for numbers in by_key.values() for number in numbers]
    assert sorted(seen) == list(range(1, 201)), json.dumps(seen[:20])
    assert all(numbers == sorted(numbers) for numbers in by_key.values())


@pytest.mark.parametrize("factor", [1, 10])
def test_a_changed_mapping_goes_on_with_what_is_not_through(factor: int) -> None:
    async def scenario(found: StreamBench) -> None:
        found.invoker.answering = answering
        found.put("stuck", key="a")
        for number in range(30):
            found.put(str(number), key=f"key-{number}")
        await found.advance(3)
        found.renew()
        await found.advance(3)

    def answering(event: Any) -> Outcome:
        return outcome(error="no" if event["Records"][0]["kinesis"]["partitionKey"] == "a" else None)

    found = bench(BatchSize=1, ParallelizationFactor=factor)
    found.run(scenario)

    [*others] = [data for batch in found.seen for data in batch if data != "stuck"]
    assert len(others) == len(set(others))
    assert (len(others) > 0) is (factor > 1)


def test_a_shard_is_read_when_its_parent_is_through() -> None:
    async def scenario(found: StreamBench) -> None:
        found.invoker.answering = lambda event: outcome(error="no" if len(found.invoker.seen) <= 2 else None)
        found.put("before")
        found.stream.split(SHARD, "child")
        found.put("after", shard="child")
        await found.advance(10)

    found = bench()
    found.run(scenario)

    assert found.seen == [["before"], ["before"], ["before"], ["after"]]
