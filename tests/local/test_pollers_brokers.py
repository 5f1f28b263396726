"""Facts about mappings of real brokers, whatever kind they are of: batches, lanes, retries, destinations, trouble."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import attrs
import pytest

from lambdaform.local.brokers import Address, Brokers
from lambdaform.local.clock import SeededIds, SystemClock, VirtualClock
from lambdaform.local.data import MotoServices
from lambdaform.local.delivery import Delivery
from lambdaform.local.pollers import EventPollers
from lambdaform.local.pollers.batching import MAX_PAYLOAD
from lambdaform.local.pollers.readers import why_not
from lambdaform.local.ports import ACCOUNT, EventMapping
from lambdaform.local.sqs import Sqs
from tests.fakes.broker import FakeReader, FakeRedelivery
from tests.fakes.invoker import FUNCTION, FakeInvoker, in_turn, outcome, refusal

T = TypeVar("T")
REGION = "eu-central-1"
CLUSTER = f"arn:aws:kafka:{REGION}:{ACCOUNT}:cluster/orders/3b1a6a5e-0b6c-4f0b-9a54-5c3ff8c0c5a1-2"
DEAD = f"arn:aws:sqs:{REGION}:{ACCOUNT}:dead"
TO_DEAD = {"DestinationConfig": {"OnFailure": {"Destination": DEAD}}}
AT_ONCE = {"MaximumBatchingWindowInSeconds": 0}


@attrs.frozen
class Bench:
    """A source, a function that reads it, a queue `dead`, and the pollers between them."""

    clock: VirtualClock
    sqs: Sqs
    invoker: FakeInvoker
    reader: FakeReader
    pollers: EventPollers

    def map(self, **settings: Any) -> None:
        """Let the function read the source."""
        given = {"Topics": ["orders"], "StartingPosition": "TRIM_HORIZON", **settings}
        self.pollers.start(EventMapping("mapping", REGION, ACCOUNT, FUNCTION, CLUSTER, given))

    @property
    def seen(self) -> list[list[str]]:
        """The values of every invocation."""
        return [invocation.event["values"] for invocation in self.invoker.seen]

    @property
    def times(self) -> list[float]:
        """When the function was invoked, in seconds since the first time."""
        return [invocation.at - self.invoker.seen[0].at for invocation in self.invoker.seen]

    @property
    def result(self) -> str | None:
        return self.pollers.last_result("mapping")

    def dead(self) -> list[dict[str, Any]]:
        """The documents in the queue."""
        return [json.loads(message.body) for message in self.sqs.peek(DEAD)]


def run(scenario: Callable[[Bench], Awaitable[T]], brokers: Mapping[str, str] | None = None) -> T:
    """What a scenario finds, with an address for the source unless others are given."""

    async def running() -> T:
        clock, ids = VirtualClock(), SeededIds()
        sqs = Sqs(clock=clock, ids=ids)
        sqs.create(DEAD, {}, {})
        delivery = Delivery(clock=clock, ids=ids)
        data = MotoServices(clock=clock)
        delivery.attach(queues=sqs, data=data)
        reader = FakeReader()

        def reading(mapping: EventMapping, address: Address) -> FakeReader:
            return reader

        pollers = EventPollers(
            clock=clock,
            ids=ids,
            queues=sqs,
            data=data,
            delivery=delivery,
            brokers=Brokers.of({"msk": "kafka://localhost:9092"} if brokers is None else brokers),
            reading=reading,
        )
        invoker = FakeInvoker(clock)
        pollers.connect(invoker)
        try:
            return await scenario(Bench(clock, sqs, invoker, reader, pollers))
        finally:
            pollers.reset()
            await clock.close()

    return asyncio.run(running())


def test_a_batch_holds_records_of_several_lanes() -> None:
    async def scenario(bench: Bench) -> list[list[str]]:
        bench.reader.put("a1", "a2", lane="a")
        bench.reader.put("b1", lane="b")
        bench.map(BatchSize=3)
        await bench.clock.settle()
        return bench.seen

    assert run(scenario) == [["a1", "a2", "b1"]]


def test_a_batch_waits_half_a_second_for_more_when_nothing_is_said() -> None:
    async def scenario(bench: Bench) -> tuple[list[list[str]], list[list[str]]]:
        bench.reader.put("a1")
        bench.map()
        await bench.clock.advance(0.4)
        early = bench.seen
        await bench.clock.advance(0.1)
        return early, bench.seen

    assert run(scenario) == ([], [["a1"]])


def test_a_batch_that_waits_takes_what_comes_meanwhile() -> None:
    async def scenario(bench: Bench) -> list[list[str]]:
        bench.reader.put("a1")
        bench.map(MaximumBatchingWindowInSeconds=10)
        await bench.clock.advance(9)
        bench.reader.put("a2")
        await bench.clock.advance(1)
        return bench.seen

    assert run(scenario) == [["a1", "a2"]]


def test_a_lane_stands_still_while_it_is_at_work_and_others_go_on() -> None:
    async def scenario(bench: Bench) -> tuple[list[list[str]], list[float]]:
        bench.invoker.duration = 10
        bench.reader.put("a1", lane="a")
        bench.map(**AT_ONCE)
        await bench.clock.advance(1)
        bench.reader.put("a2", lane="a")
        bench.reader.put("b1", lane="b")
        await bench.clock.advance(20)
        return bench.seen, bench.times

    assert run(scenario) == ([["a1"], ["b1"], ["a2"]], [0, 1, 10])


def test_records_without_a_lane_are_worked_on_as_many_at_a_time_as_the_source_says() -> None:
    async def scenario(bench: Bench) -> tuple[int, int]:
        bench.invoker.duration = 1
        bench.reader.most_at_once = 2
        bench.reader.put("1", "2", "3", "4", "5", lane="")
        bench.map(BatchSize=1)
        await bench.clock.run_until_idle(100)
        return bench.invoker.most_running, len(bench.seen)

    assert run(scenario) == (2, 5)


def test_everything_is_read_although_little_is_read_ahead() -> None:
    async def scenario(bench: Bench) -> list[str]:
        bench.invoker.duration = 1
        bench.reader.put(*(f"a{number}" for number in range(350)))
        bench.map(BatchSize=1)
        await bench.clock.advance(400)
        return [value for values in bench.seen for value in values]

    assert run(scenario) == [f"a{number}" for number in range(350)]


def test_what_is_through_is_acknowledged_and_what_is_filtered_out_is_skipped() -> None:
    async def scenario(bench: Bench) -> tuple[list[list[str]], list[str], list[str]]:
        bench.reader.put("good", "bad")
        bench.map(FilterCriteria={"Filters": [{"Pattern": '{"value": ["good"]}'}]})
        await bench.clock.advance(1)
        return bench.seen, bench.reader.acknowledged, bench.reader.skipped

    assert run(scenario) == ([["good"]], ["good"], ["bad"])


def test_a_failing_batch_is_tried_again_without_end_and_later_each_time() -> None:
    async def scenario(bench: Bench) -> tuple[list[list[str]], list[float], list[str], str | None]:
        bench.invoker.answering = lambda event: outcome(error="no")
        bench.reader.put("a1", "a2")
        bench.map()
        await bench.clock.advance(8)
        return bench.seen, bench.times, bench.reader.acknowledged, bench.result

    seen, times, acknowledged, result = run(scenario)
    assert seen == [["a1", "a2"]] * 4
    assert times == [0, 1, 3, 7]
    assert (acknowledged, result) == ([], "PROBLEM: Function call failed")


def test_throttles_are_no_attempts() -> None:
    async def scenario(bench: Bench) -> tuple[int, list[dict[str, Any]]]:
        bench.invoker.answering = in_turn(refusal(), refusal(), outcome())
        bench.reader.put("a1")
        bench.map(MaximumRetryAttempts=0, ProvisionedPollerConfig={"MinimumPollers": 1}, **TO_DEAD)
        await bench.clock.advance(60)
        return len(bench.seen), bench.dead()

    assert run(scenario) == (3, [])


def test_retries_without_end_end_after_ten_where_there_is_a_destination() -> None:
    async def scenario(bench: Bench) -> tuple[int, list[dict[str, Any]], list[str]]:
        bench.invoker.answering = lambda event: outcome(error="no")
        bench.reader.put("a1")
        bench.map(**TO_DEAD)
        await bench.clock.advance(3600)
        return len(bench.seen), bench.dead(), bench.reader.acknowledged

    attempts, [document], acknowledged = run(scenario)
    assert attempts == 11
    assert document["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert document["requestContext"]["approximateInvokeCount"] == 11
    assert document["requestContext"]["functionArn"] == FUNCTION
    assert document["responseContext"]["functionError"] == "Unhandled"
    assert document["FakeBatchInfo"] == {"records": ["a1"]}
    assert acknowledged == ["a1"]


def test_each_record_given_up_goes_to_a_topic_of_the_same_broker() -> None:
    async def scenario(bench: Bench) -> list[tuple[str, str]]:
        bench.invoker.answering = lambda event: outcome(error="no")
        bench.reader.put("a1", "a2")
        destination = {"OnFailure": {"Destination": "kafka://failed"}}
        bench.map(MaximumRetryAttempts=0, DestinationConfig=destination)
        await bench.clock.advance(10)
        return [(topic, sequence) for topic, sequence, _ in bench.reader.produced]

    assert run(scenario) == [("failed", "a1"), ("failed", "a2")]


def test_a_partial_response_cuts_each_lane_at_its_first_failure() -> None:
    async def scenario(bench: Bench) -> tuple[list[list[str]], list[str]]:
        failures = {"batchItemFailures": [{"itemIdentifier": "a2"}, {"itemIdentifier": "b1"}]}
        bench.invoker.answering = in_turn(outcome(failures), outcome())
        bench.reader.put("a1", "a2", "a3", lane="a")
        bench.reader.put("b1", "b2", lane="b")
        bench.reader.put("c1", lane="c")
        bench.map(FunctionResponseTypes=["ReportBatchItemFailures"])
        await bench.clock.advance(0.5)
        before = [*bench.reader.acknowledged]
        await bench.clock.advance(10)
        return bench.seen, before

    seen, before = run(scenario)
    assert seen[1:] == [["a2", "a3", "b1", "b2"]]
    assert before == ["a1", "c1"]


def test_a_failing_batch_is_halved_where_that_is_wanted() -> None:
    async def scenario(bench: Bench) -> list[list[str]]:
        bench.invoker.answering = lambda event: outcome(error="no") if "bad" in event["values"] else outcome()
        bench.reader.put("a1", "a2", "bad", "a4")
        bench.map(BisectBatchOnFunctionError=True, MaximumRetryAttempts=0, **TO_DEAD)
        await bench.clock.advance(60)
        return bench.seen

    assert run(scenario) == [["a1", "a2", "bad", "a4"], ["a1", "a2"], ["bad", "a4"], ["bad"], ["a4"]]


def test_records_that_are_too_old_are_given_up_and_the_others_sent() -> None:
    async def scenario(bench: Bench) -> tuple[list[list[str]], list[dict[str, Any]]]:
        now = bench.clock.now()
        bench.reader.put("new", arrived=now - 10, lane="a")
        bench.reader.put("old", arrived=now - 100, lane="b")
        bench.map(MaximumRecordAgeInSeconds=60, **TO_DEAD)
        await bench.clock.advance(1)
        return bench.seen, bench.dead()

    seen, [document] = run(scenario)
    assert seen == [["new"]]
    assert document["requestContext"]["condition"] == "RecordAgeExceeded"
    assert document["FakeBatchInfo"] == {"records": ["old"]}


def test_a_record_too_large_for_an_event_is_given_up_unseen() -> None:
    async def scenario(bench: Bench) -> tuple[list[list[str]], list[dict[str, Any]], list[str]]:
        bench.reader.put("huge", size=MAX_PAYLOAD)
        bench.reader.put("small")
        bench.map(**TO_DEAD)
        await bench.clock.advance(1)
        return bench.seen, bench.dead(), bench.reader.acknowledged

    seen, [document], acknowledged = run(scenario)
    assert (seen, acknowledged) == ([["small"]], ["huge", "small"])
    assert document["requestContext"]["condition"] == "MaximumPayloadSizeExceeded"


def test_what_another_reader_has_now_is_not_tried_again() -> None:
    async def scenario(bench: Bench) -> tuple[list[list[str]], list[str]]:
        bench.invoker.answering = lambda event: outcome(error="no")
        bench.reader.put("a1", lane="a")
        bench.reader.put("b1", lane="b")
        bench.map()
        await bench.clock.advance(0.5)
        bench.reader.lost.add("a")
        bench.invoker.answering = lambda event: outcome()
        await bench.clock.advance(1)
        return bench.seen, bench.reader.acknowledged

    assert run(scenario) == ([["a1", "b1"], ["b1"]], ["b1"])


def test_a_broker_that_is_not_there_is_tried_again_later_each_time(capsys: pytest.CaptureFixture[str]) -> None:
    async def scenario(bench: Bench) -> tuple[list[int], str | None, str | None, list[list[str]]]:
        bench.reader.troubles = ["nobody answers"] * 4
        bench.reader.put("a1")
        bench.map()
        await bench.clock.settle()
        before = bench.result
        opened: list[int] = []
        for _ in range(16):
            await bench.clock.advance(1)
            opened.append(bench.reader.opened)
        return opened, before, bench.result, bench.seen

    opened, before, after, seen = run(scenario)
    assert [opened.index(number) + 1 for number in sorted({*opened})] == [1, 3, 7, 15]
    assert before == "PROBLEM: nobody answers"
    assert (after, seen) == ("OK", [["a1"]])
    assert capsys.readouterr().err.count("nobody answers") == 1


def test_a_broker_that_breaks_off_is_opened_again() -> None:
    async def scenario(bench: Bench) -> tuple[int, int, str | None, list[str]]:
        bench.reader.cut = "connection lost"
        bench.reader.put("a1")
        bench.map()
        await bench.clock.advance(0.5)
        lost = bench.result
        bench.reader.put("a1")  # as it was not acknowledged, the broker gives it again
        await bench.clock.advance(10)
        await bench.clock.advance(1)
        assert lost == "PROBLEM: connection lost"
        return bench.reader.opened, bench.reader.closed, bench.result, bench.reader.acknowledged

    assert run(scenario) == (2, 1, "OK", ["a1"])


def test_a_stopped_mapping_lets_its_invocation_end_and_acknowledges_it() -> None:
    async def scenario(bench: Bench) -> tuple[list[str], int, int]:
        bench.invoker.duration = 5
        bench.reader.put("a1")
        bench.map(**AT_ONCE)
        await bench.clock.advance(1)
        bench.pollers.stop("mapping")
        await bench.clock.settle()
        early = bench.reader.closed
        await bench.clock.advance(5)
        return bench.reader.acknowledged, early, bench.reader.closed

    assert run(scenario) == (["a1"], 0, 1)


def test_a_changed_mapping_begins_when_the_old_one_has_let_go() -> None:
    async def scenario(bench: Bench) -> tuple[int, int, list[list[str]]]:
        bench.invoker.duration = 5
        bench.reader.put("a1")
        bench.map(**AT_ONCE)
        await bench.clock.advance(1)
        bench.map(BatchSize=2, **AT_ONCE)
        bench.reader.put("a2", "a3", "a4")
        await bench.clock.advance(1)
        early = bench.reader.opened
        await bench.clock.advance(30)
        return early, bench.reader.opened, bench.seen

    assert run(scenario) == (1, 2, [["a1"], ["a2", "a3"], ["a4"]])


def test_a_mapping_goes_on_after_a_checkpoint_is_restored() -> None:
    async def scenario(bench: Bench) -> list[list[str]]:
        bench.map()
        await bench.clock.settle()
        kept = bench.pollers.checkpoint()
        bench.pollers.restore(kept)
        bench.reader.put("a1")
        await bench.clock.advance(1)
        return bench.seen

    assert run(scenario) == [["a1"]]


def test_a_batch_that_fails_goes_back_to_a_broker_which_delivers_it_again() -> None:
    async def scenario(bench: Bench) -> tuple[list[list[str]], list[float], FakeRedelivery, list[str]]:
        redelivery = bench.reader.redelivering = FakeRedelivery(bench.reader, goes_back=True)
        bench.invoker.answering = in_turn(outcome(error="no"), outcome())
        bench.reader.put("1", "2", lane="")
        bench.map(**AT_ONCE)
        await bench.clock.advance(10)
        return bench.seen, bench.times, redelivery, bench.reader.acknowledged

    seen, times, redelivery, acknowledged = run(scenario)
    assert (seen, times) == ([["1", "2"]] * 2, [0, 5])
    assert (redelivery.redelivered, redelivery.refused) == (["1", "2"], [])
    assert acknowledged == ["1", "2"]


def test_a_message_left_at_hand_is_refused_after_the_retries_of_its_broker(capsys: pytest.CaptureFixture[str]) -> None:
    async def scenario(bench: Bench) -> tuple[list[list[str]], list[float], FakeRedelivery, list[str]]:
        redelivery = bench.reader.redelivering = FakeRedelivery(bench.reader, max_retries=2)
        bench.invoker.answering = lambda event: outcome(error="no")
        bench.reader.put("1", lane="")
        bench.map(**AT_ONCE)
        await bench.clock.advance(60)
        return bench.seen, bench.times, redelivery, bench.reader.acknowledged

    seen, times, redelivery, acknowledged = run(scenario)
    assert (seen, times) == ([["1"]] * 3, [0, 5, 15])
    assert (redelivery.redelivered, redelivery.refused) == (["1", "1"], ["1"])
    assert acknowledged == []
    assert "1 dropped: all retries failed" in capsys.readouterr().err


def test_a_throttled_message_is_not_delivered_again_but_tried_again() -> None:
    async def scenario(bench: Bench) -> tuple[int, FakeRedelivery, list[str]]:
        redelivery = bench.reader.redelivering = FakeRedelivery(bench.reader, goes_back=True)
        bench.invoker.answering = in_turn(refusal(), refusal(), outcome())
        bench.reader.put("1", lane="")
        bench.map(**AT_ONCE)
        await bench.clock.advance(10)
        return len(bench.seen), redelivery, bench.reader.acknowledged

    attempts, redelivery, acknowledged = run(scenario)
    assert (attempts, redelivery.redelivered, acknowledged) == (3, [], ["1"])


def test_a_message_too_large_for_an_event_is_refused() -> None:
    async def scenario(bench: Bench) -> tuple[list[list[str]], FakeRedelivery]:
        redelivery = bench.reader.redelivering = FakeRedelivery(bench.reader)
        bench.reader.put("large", lane="", size=MAX_PAYLOAD)
        bench.reader.put("small", lane="")
        bench.map(**AT_ONCE)
        await bench.clock.advance(1)
        return bench.seen, redelivery

    seen, redelivery = run(scenario)
    assert (seen, redelivery.refused) == ([["small"]], ["large"])


@pytest.mark.parametrize("way", ["switched on again", "changed", "restored"])
def test_a_mapping_goes_on_at_the_place_that_its_source_does_not_know(way: str) -> None:
    async def scenario(bench: Bench) -> str | None:
        bench.map()
        await bench.clock.settle()
        bench.reader.place = "7"
        kept = bench.pollers.checkpoint()
        if way == "changed":
            bench.map(BatchSize=2)
            bench.reader.place = None  # as that of a reader made anew
        elif way == "switched on again":
            bench.pollers.stop("mapping")
            await bench.clock.settle()
            bench.reader.place = None
            bench.map()
        else:
            bench.reader.place = None
            bench.pollers.restore(kept)
        await bench.clock.settle()
        return bench.reader.place

    assert run(scenario) == "7"


def test_a_mapping_that_was_deleted_leaves_no_place_behind() -> None:
    async def scenario(bench: Bench) -> str | None:
        bench.map()
        await bench.clock.settle()
        bench.reader.place = "7"
        bench.pollers.forget("mapping")
        await bench.clock.settle()
        bench.reader.place = None
        bench.map()
        await bench.clock.settle()
        return bench.reader.place

    assert run(scenario) is None


def test_without_an_address_nothing_is_read_and_the_option_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    async def scenario(bench: Bench) -> tuple[int, str | None]:
        bench.map()
        await bench.clock.advance(1)
        return bench.reader.opened, bench.result

    opened, result = run(scenario, brokers={})
    assert opened == 0
    assert (
        result
        == "PROBLEM: the local AWS does not read from Amazon MSK without an address: --broker msk=kafka://HOST:PORT"
    )
    assert "--broker msk=kafka://HOST:PORT" in capsys.readouterr().err


def test_an_engine_of_amazon_mq_is_chosen_by_the_address() -> None:
    said = why_not(f"arn:aws:mq:{REGION}:{ACCOUNT}:broker:orders:b-1", {}, None)

    assert said is not None
    assert said.endswith("--broker mq=amqp://HOST:PORT or --broker mq=stomp://HOST:PORT")


def test_activemq_is_read_without_any_library() -> None:
    address = Address("stomp", ("localhost:61613",))

    assert (
        why_not(f"arn:aws:mq:{REGION}:{ACCOUNT}:broker:orders:b-1", {}, address, is_installed=lambda _: False) is None
    )


def test_a_library_that_is_missing_is_named_with_the_extra_that_brings_it() -> None:
    said = why_not(CLUSTER, {}, Address("kafka", ("localhost:9092",)), is_installed=lambda library: False)

    assert said is not None
    assert "aiokafka" in said
    assert "pip install 'lambdaform[kafka]'" in said


def test_share_groups_are_not_read() -> None:
    settings = {"AmazonManagedKafkaEventSourceConfig": {"ConsumptionMode": "Queue"}}

    said = why_not(CLUSTER, settings, Address("kafka", ("localhost:9092",)))

    assert said is not None
    assert "share groups" in said


def test_real_time_looks_again_and_again_until_cancelled() -> None:
    async def scenario() -> tuple[int, int]:
        clock, looks, enough = SystemClock(), 0, asyncio.Event()

        async def look(patience: float) -> bool:
            nonlocal looks
            looks += 1
            if looks == 3:
                enough.set()
            return True

        watch = clock.watch(look)
        await enough.wait()
        watch.cancel()
        seen = looks
        await asyncio.sleep(0)
        return seen, looks

    assert asyncio.run(scenario()) == (3, 3)


def test_a_virtual_clock_looks_when_it_is_moved_and_takes_all_there_is() -> None:
    async def scenario() -> tuple[list[float], int]:
        clock, there, taken = VirtualClock(0), [1, 2, 3], list[float]()

        async def look(patience: float) -> bool:
            if there:
                there.pop()
                taken.append(clock.now())
                return True
            return False

        watch = clock.watch(look)
        await clock.advance(1)
        there.append(4)
        await clock.run_until_idle(100)
        watch.cancel()
        there.append(5)
        await clock.advance(1)
        return taken, len(there)

    assert asyncio.run(scenario()) == ([0, 0, 0, 1], 1)
