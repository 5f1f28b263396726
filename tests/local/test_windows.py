"""Tumbling windows of streams: the pure rules, and what a function sees of its windows."""

from __future__ import annotations

from typing import Any

import pytest

from lambdaform.local.clock import EPOCH
from lambdaform.local.pollers import windows
from lambdaform.local.pollers.answers import Settled
from lambdaform.local.pollers.retries import StreamRecord
from lambdaform.local.pollers.windows import Window
from lambdaform.local.ports import Outcome
from tests.fakes.invoker import in_turn, outcome
from tests.fakes.stream import SHARD, STREAM, StreamBench, bench

MINUTE = Window(int(EPOCH) // 60 * 60, int(EPOCH) // 60 * 60 + 60)


def counting(event: Any) -> Outcome:
    """A function that counts the records of a window."""
    return outcome({"state": {"count": event["state"].get("count", 0) + len(event["Records"])}})


def flags(event: Any) -> tuple[int, int, bool, bool]:
    """Records, what had been counted before, whether it is final, whether early."""
    count = event["state"].get("count", 0)
    return len(event["Records"]), count, event["isFinalInvokeForWindow"], event["isWindowTerminatedEarly"]


def events(found: StreamBench) -> list[Any]:
    return [each.event for each in found.invoker.seen]


@pytest.mark.parametrize(("moment", "start"), [(0.0, 0), (59.999, 0), (60.0, 60), (1_607_497_475.0, 1_607_497_440)])
def test_windows_lie_end_to_end_from_the_epoch_on(moment: float, start: int) -> None:
    assert windows.window_at(moment, 60) == Window(start, start + 60)


def test_a_record_that_comes_late_joins_the_window_that_is_open() -> None:
    records = [StreamRecord(str(at), at, {}, 1) for at in (61.0, 59.0, 120.0, 70.0)]

    assert windows.belonging(Window(60, 120), records) == 2


@pytest.mark.parametrize("payload", [b"", b"null", b"{}", b'{"state": null}', b"[]", b"not json"])
def test_an_answer_without_a_state_fails_its_batch(payload: bytes) -> None:
    window, settled = windows.decide_state(MINUTE, Settled(frozenset()), payload, ["1", "2"])

    assert window is MINUTE
    assert settled.failed == {"1", "2"}


def test_a_state_of_a_megabyte_is_the_largest() -> None:
    assert not Window(0, 60, "x" * (windows.MAX_STATE - 2)).is_too_large
    assert Window(0, 60, "x" * (windows.MAX_STATE - 1)).is_too_large


def test_state_is_handed_on_until_the_final_invocation_of_the_window() -> None:
    async def scenario(found: StreamBench) -> None:
        found.invoker.answering = counting
        found.put("a", "b", "c")
        await found.advance(5)
        found.put("d")
        await found.clock.advance(60)
        found.put("e")
        await found.advance(70)

    found = bench(TumblingWindowInSeconds=60, BatchSize=2)
    found.run(scenario)

    assert [flags(event) for event in events(found)] == [
        (2, 0, False, False),
        (1, 2, False, False),
        (1, 3, False, False),
        (0, 4, True, False),
        (1, 0, False, False),
        (0, 1, True, False),
    ]
    first = events(found)[0]
    assert first["window"] == {"start": "2026-11-18T11:06:00Z", "end": "2026-11-18T11:07:00Z"}
    assert (first["shardId"], first["eventSourceARN"]) == (SHARD, STREAM)
    assert found.invoker.seen[3].at == MINUTE.end


def test_a_batch_does_not_reach_beyond_its_window_nor_wait_longer() -> None:
    async def scenario(found: StreamBench) -> None:
        found.invoker.answering = counting
        await found.clock.advance(MINUTE.end - 5 - found.clock.now())
        found.put("a")
        await found.clock.advance(4)
        found.put("b")
        await found.clock.advance(2)
        found.put("c")
        await found.advance(30)

    found = bench(TumblingWindowInSeconds=60, MaximumBatchingWindowInSeconds=20)
    found.run(scenario)

    assert found.seen == [["a", "b"], [], ["c"]]
    assert [each.at - MINUTE.end for each in found.invoker.seen][:2] == [0, 0]


def test_what_lies_in_the_stream_is_split_by_window() -> None:
    async def scenario(found: StreamBench) -> None:
        found.invoker.answering = counting
        for each in "abc":
            found.stream.put(each)
            await found.clock.advance(60)
        await found.advance(1)

    found = bench(TumblingWindowInSeconds=60)
    found.run(scenario)

    assert found.seen == [["a"], [], ["b"], [], ["c"], []]
    assert [flags(event)[1:3] for event in events(found)] == [(0, False), (1, True)] * 3


def test_a_failing_batch_keeps_the_state_and_its_window_waits() -> None:
    async def scenario(found: StreamBench) -> None:
        found.invoker.answering = in_turn(
            outcome({"state": {"count": 7}}), outcome(error="no"), outcome({}), outcome({"state": {"count": 8}})
        )
        found.put("a")
        await found.advance(2)
        found.put("b")
        await found.advance(60)

    found = bench(TumblingWindowInSeconds=60)
    found.run(scenario)

    assert [flags(event) for event in events(found)] == [
        (1, 0, False, False),
        (1, 7, False, False),
        (1, 7, False, False),
        (1, 7, False, False),
        (0, 8, True, False),
    ]


def test_a_final_invocation_that_fails_holds_up_the_shard() -> None:
    def answering(event: Any) -> Outcome:
        return outcome(error="no") if event["isFinalInvokeForWindow"] and len(found.seen) < 5 else counting(event)

    async def scenario(found: StreamBench) -> None:
        found.invoker.answering = answering
        found.put("a")
        await found.clock.advance(MINUTE.end + 2 - found.clock.now())
        found.put("b")
        await found.advance(10)

    found = bench(TumblingWindowInSeconds=60, MaximumRetryAttempts=0)
    found.run(scenario)

    assert found.seen == [["a"], [], [], [], [], ["b"]]


def test_a_final_invocation_needs_no_state_in_its_answer() -> None:
    async def scenario(found: StreamBench) -> None:
        found.invoker.answering = lambda event: outcome(None if event["isFinalInvokeForWindow"] else {"state": {}})
        found.put("a")
        await found.advance(70)

    found = bench(TumblingWindowInSeconds=60)
    found.run(scenario)

    assert found.seen == [["a"], []]


def test_a_state_that_is_too_large_ends_the_window_early_and_it_goes_on_anew() -> None:
    def answering(event: Any) -> Outcome:
        state = {"count": 1, "large": "x" * windows.MAX_STATE} if found.seen[-1] == ["large"] else {"count": 2}
        return outcome({"state": state})

    async def scenario(found: StreamBench) -> None:
        found.invoker.answering = answering
        found.put("large", "small")
        await found.advance(60)

    found = bench(TumblingWindowInSeconds=60, BatchSize=1)
    found.run(scenario)

    assert found.seen == [["large"], [], ["small"], []]
    assert [flags(event) for event in events(found)] == [
        (1, 0, False, False),
        (0, 1, False, True),
        (1, 0, False, False),
        (0, 2, True, False),
    ]
    assert len({event["window"]["start"] for event in events(found)}) == 1


def test_a_partial_response_keeps_the_state_of_what_came_before() -> None:
    def answering(event: Any) -> Outcome:
        names = [record["kinesis"]["sequenceNumber"] for record in event["Records"]]
        bad = [{"itemIdentifier": names[1]}] if len(names) == 3 else []
        done = 1 if bad else len(names)
        return outcome({"state": {"count": event["state"].get("count", 0) + done}, "batchItemFailures": bad})

    async def scenario(found: StreamBench) -> None:
        found.invoker.answering = answering
        found.put("a", "b", "c")
        await found.advance(60)

    found = bench(TumblingWindowInSeconds=60, FunctionResponseTypes=["ReportBatchItemFailures"])
    found.run(scenario)

    assert found.seen == [["a", "b", "c"], ["b", "c"], []]
    assert [flags(event)[1] for event in events(found)] == [0, 1, 3]


def test_records_given_up_leave_the_state_as_it_was() -> None:
    def answering(event: Any) -> Outcome:
        return outcome(error="no") if found.seen[-1] == ["bad"] else counting(event)

    async def scenario(found: StreamBench) -> None:
        found.invoker.answering = answering
        found.put("a", "bad", "b")
        await found.advance(60)

    found = bench(TumblingWindowInSeconds=60, BatchSize=1, MaximumRetryAttempts=0)
    found.run(scenario)

    assert found.seen == [["a"], ["bad"], ["b"], []]
    assert flags(events(found)[-1]) == (0, 2, True, False)


def test_a_window_ends_with_its_shard_and_the_children_begin_anew() -> None:
    async def scenario(found: StreamBench) -> None:
        found.invoker.answering = counting
        found.put("a")
        await found.advance(1)
        found.stream.split(SHARD, "child")
        found.put("b", shard="child")
        await found.advance(60)

    found = bench(TumblingWindowInSeconds=60)
    found.run(scenario)

    assert found.seen == [["a"], [], ["b"], []]
    assert [event["shardId"] for event in events(found)] == [SHARD, SHARD, "child", "child"]
    assert [flags(event)[1] for event in events(found)] == [0, 1, 0, 1]


def test_a_changed_mapping_goes_on_with_the_state_of_its_window() -> None:
    async def scenario(found: StreamBench) -> None:
        found.invoker.answering = counting
        found.put("a")
        await found.advance(1)
        found.renew()
        found.put("b")
        await found.advance(60)

    found = bench(TumblingWindowInSeconds=60)
    found.run(scenario)

    assert found.seen == [["a"], ["b"], []]
    assert [flags(event)[1] for event in events(found)] == [0, 1, 2]
