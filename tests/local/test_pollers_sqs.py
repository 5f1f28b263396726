"""Facts about queues that feed functions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import attrs
import pytest

from lambdaform.local.clock import SeededIds, VirtualClock
from lambdaform.local.data import MotoServices
from lambdaform.local.delivery import Delivery
from lambdaform.local.pollers import EventPollers, batching
from lambdaform.local.ports import ACCOUNT, EventMapping
from lambdaform.local.sqs import Attribute, Sqs
from tests.fakes.invoker import FUNCTION, FakeInvoker, in_turn, outcome, refusal

T = TypeVar("T")
REGION = "eu-central-1"
JOBS = f"arn:aws:sqs:{REGION}:{ACCOUNT}:jobs"
DEAD = f"arn:aws:sqs:{REGION}:{ACCOUNT}:dead"


@attrs.frozen
class Bench:
    """A queue `jobs`, a function `worker`, and the pollers between them."""

    clock: VirtualClock
    sqs: Sqs
    invoker: FakeInvoker
    pollers: EventPollers

    def map(self, **settings: Any) -> None:
        """Let the function read the queue."""
        self.pollers.start(EventMapping("mapping", REGION, ACCOUNT, FUNCTION, JOBS, settings))

    def send(self, *bodies: str, **options: Any) -> None:
        """Send messages."""
        for body in bodies:
            self.sqs.send(JOBS, body, **options)

    @property
    def seen(self) -> list[list[str]]:
        """The texts of every invocation."""
        return [invocation.bodies for invocation in self.invoker.seen]

    def left(self, arn: str = JOBS) -> list[str]:
        """What is still in a queue."""
        return [message.body for message in self.sqs.peek(arn)]


def on_bench(scenario: Callable[[Bench], Awaitable[T]], queue: str = JOBS, **attributes: str) -> T:
    """What a scenario finds."""

    async def run() -> T:
        clock, ids = VirtualClock(), SeededIds()
        sqs = Sqs(clock=clock, ids=ids)
        sqs.create(DEAD, {}, {})
        sqs.create(queue, attributes, {})
        invoker = FakeInvoker(clock)
        delivery = Delivery(clock=clock, ids=ids)
        pollers = EventPollers(clock=clock, ids=ids, queues=sqs, data=MotoServices(clock=clock), delivery=delivery)
        pollers.connect(invoker)
        try:
            return await scenario(Bench(clock, sqs, invoker, pollers))
        finally:
            await clock.close()

    return asyncio.run(run())


def test_messages_are_handed_over_in_batches_and_deleted_on_success() -> None:
    async def scenario(bench: Bench) -> tuple[list[list[str]], list[str]]:
        bench.map(BatchSize=2)
        bench.send("a", "b", "c")
        await bench.clock.settle()
        return bench.seen, bench.left()

    assert on_bench(scenario) == ([["a", "b"], ["c"]], [])


def test_a_failed_batch_returns_after_the_visibility_timeout_and_ends_in_the_dead_letter_queue() -> None:
    async def scenario(bench: Bench) -> tuple[list[float], list[str], list[str]]:
        start = bench.clock.now()
        bench.invoker.answering = lambda event: outcome(error="no")
        bench.map()
        bench.send("a")
        await bench.clock.run_until_idle(1_000)
        return [seen.at - start for seen in bench.invoker.seen], bench.left(), bench.left(DEAD)

    policy = json.dumps({"deadLetterTargetArn": DEAD, "maxReceiveCount": 3})

    assert on_bench(scenario, RedrivePolicy=policy, VisibilityTimeout="60") == ([0, 60, 120], [], ["a"])


def test_a_partial_response_returns_only_the_named_messages() -> None:
    async def scenario(bench: Bench) -> list[list[str]]:
        def answering(event: Any) -> Any:
            failed = [record["messageId"] for record in event["Records"] if record["body"] == "bad"]
            return outcome({"batchItemFailures": [{"itemIdentifier": name} for name in failed]})

        bench.invoker.answering = answering
        bench.map(FunctionResponseTypes=["ReportBatchItemFailures"])
        bench.send("good", "bad")
        await bench.clock.advance(30)
        return bench.seen

    assert on_bench(scenario) == [["good", "bad"], ["bad"]]


@pytest.mark.parametrize(
    ("answer", "is_success"),
    [
        (None, True),
        ({}, True),
        ("", True),
        ({"batchItemFailures": []}, True),
        ({"batchItemFailures": None}, True),
        ({"batchItemFailures": [{"itemIdentifier": ""}]}, False),
        ({"batchItemFailures": [{"itemIdentifier": None}]}, False),
        ({"batchItemFailures": [{"itemIdentifier": 7}]}, False),
        ({"batchItemFailures": [{"itemIdentifier": "unknown"}]}, False),
        ({"batchItemFailures": [{"wrong": "a"}]}, False),
        ({"wrong": []}, False),
    ],
)
def test_answers_mean_success_or_failure_of_the_whole_batch(answer: Any, is_success: bool) -> None:
    async def scenario(bench: Bench) -> bool:
        bench.invoker.answering = lambda event: outcome(answer)
        bench.map(FunctionResponseTypes=["ReportBatchItemFailures"])
        bench.send("a")
        await bench.clock.settle()
        return bench.left() == []

    assert on_bench(scenario) is is_success


def test_without_the_switch_the_body_of_an_answer_is_ignored() -> None:
    async def scenario(bench: Bench) -> list[str]:
        bench.invoker.answering = lambda event: outcome({"batchItemFailures": [{"itemIdentifier": "x"}]})
        bench.map()
        bench.send("a")
        await bench.clock.settle()
        return bench.left()

    assert on_bench(scenario) == []


def test_a_window_collects_messages_from_the_first_one_on() -> None:
    async def scenario(bench: Bench) -> tuple[int, list[list[str]]]:
        bench.map(BatchSize=100, MaximumBatchingWindowInSeconds=20)
        bench.send("a")
        await bench.clock.advance(15)
        bench.send("b")
        await bench.clock.advance(4.9)
        early = len(bench.seen)
        await bench.clock.advance(0.1)
        return early, bench.seen

    assert on_bench(scenario) == (0, [["a", "b"]])


def test_a_full_batch_does_not_wait_for_its_window() -> None:
    async def scenario(bench: Bench) -> list[list[str]]:
        bench.map(BatchSize=2, MaximumBatchingWindowInSeconds=20)
        bench.send("a", "b", "c")
        await bench.clock.settle()
        return bench.seen

    assert on_bench(scenario) == [["a", "b"]]


def test_filtered_messages_are_deleted_and_do_not_fill_a_batch() -> None:
    async def scenario(bench: Bench) -> tuple[list[list[str]], list[str]]:
        pattern = json.dumps({"body": {"kind": ["order"]}})
        bench.map(BatchSize=2, FilterCriteria={"Filters": [{"Pattern": pattern}]})
        bench.send('{"kind":"order"}', '{"kind":"other"}', "text", '{"kind":"order","n":2}')
        await bench.clock.settle()
        return bench.seen, bench.left()

    assert on_bench(scenario) == ([['{"kind":"order"}', '{"kind":"order","n":2}']], [])


def test_a_filter_on_text_drops_json_and_other_text() -> None:
    async def scenario(bench: Bench) -> list[list[str]]:
        bench.map(FilterCriteria={"Filters": [{"Pattern": '{"body": ["go"]}'}]})
        bench.send('{"go":1}', "go", "stop")
        await bench.clock.settle()
        return bench.seen

    assert on_bench(scenario) == [["go"]]


def test_maximum_concurrency_holds_back_batches_that_wait_their_turn() -> None:
    async def scenario(bench: Bench) -> tuple[int, list[float]]:
        start = bench.clock.now()
        bench.invoker.duration = 10
        bench.map(BatchSize=1, ScalingConfig={"MaximumConcurrency": 2})
        bench.send("a", "b", "c")
        await bench.clock.advance(20)
        return bench.invoker.most_running, [seen.at - start for seen in bench.invoker.seen]

    assert on_bench(scenario) == (2, [0, 0, 10])


def test_concurrency_begins_with_five_and_grows_by_five_a_second() -> None:
    async def scenario(bench: Bench) -> list[int]:
        bench.invoker.duration = 100
        bench.map(BatchSize=1)
        bench.send(*(str(number) for number in range(30)))
        running = list[int]()
        for _ in range(3):
            await bench.clock.advance(0 if not running else 1)
            running.append(bench.invoker.running)
        return running

    assert on_bench(scenario, VisibilityTimeout="200") == [5, 10, 15]


def test_a_fifo_group_is_never_in_two_batches_at_once_and_keeps_its_order() -> None:
    async def scenario(bench: Bench) -> list[list[str]]:
        bench.invoker.duration = 5
        mapping = EventMapping("mapping", REGION, ACCOUNT, FUNCTION, f"{JOBS}.fifo", {"BatchSize": 2})
        bench.pollers.start(mapping)
        for body, group in [("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b")]:
            bench.sqs.send(f"{JOBS}.fifo", body, group=group)
        await bench.clock.advance(20)
        return bench.seen

    fifo = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}

    assert on_bench(scenario, f"{JOBS}.fifo", **fifo) == [["a1", "a2"], ["b1"], ["a3"]]


def test_a_failing_fifo_group_blocks_only_itself() -> None:
    async def scenario(bench: Bench) -> list[list[str]]:
        bench.invoker.answering = lambda event: outcome(error="no" if event["Records"][0]["body"] == "a1" else None)
        bench.pollers.start(EventMapping("mapping", REGION, ACCOUNT, FUNCTION, f"{JOBS}.fifo", {"BatchSize": 1}))
        for body, group in [("a1", "a"), ("a2", "a"), ("b1", "b")]:
            bench.sqs.send(f"{JOBS}.fifo", body, group=group)
        await bench.clock.advance(30)
        return bench.seen

    fifo = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}

    assert on_bench(scenario, f"{JOBS}.fifo", **fifo) == [["a1"], ["b1"], ["a1"]]


def test_a_throttled_batch_is_tried_again_while_its_messages_stay_hidden() -> None:
    async def scenario(bench: Bench) -> tuple[list[float], list[str]]:
        start = bench.clock.now()
        bench.invoker.answering = in_turn(refusal(), refusal(), outcome())
        bench.map()
        bench.send("a")
        await bench.clock.run_until_idle(100)
        return [seen.at - start for seen in bench.invoker.seen], bench.left()

    assert on_bench(scenario) == ([0, 1, 3], [])


def test_a_throttled_batch_is_let_go_when_its_messages_are_about_to_show() -> None:
    async def scenario(bench: Bench) -> list[tuple[float, str]]:
        start = bench.clock.now()
        bench.invoker.answering = lambda event: refusal()
        bench.map()
        bench.send("a")
        await bench.clock.advance(10)
        return [
            (seen.at - start, seen.event["Records"][0]["attributes"]["ApproximateReceiveCount"])
            for seen in bench.invoker.seen
        ]

    assert on_bench(scenario, VisibilityTimeout="10") == [(0, "1"), (1, "1"), (3, "1"), (7, "1"), (10, "2")]


def test_a_record_has_the_keys_of_lambdas_event() -> None:
    async def scenario(bench: Bench) -> dict[str, Any]:
        bench.map()
        bench.sqs.send(JOBS, "a", {"n": Attribute("Number", "7"), "b": Attribute("Binary", b"\x01")})
        await bench.clock.settle()
        return bench.invoker.seen[0].event["Records"][0]

    record = on_bench(scenario)

    assert set(record) == {
        "messageId",
        "receiptHandle",
        "body",
        "attributes",
        "messageAttributes",
        "md5OfMessageAttributes",
        "md5OfBody",
        "eventSource",
        "eventSourceARN",
        "awsRegion",
    }
    assert record["messageAttributes"] == {
        "n": {"stringValue": "7", "stringListValues": [], "binaryListValues": [], "dataType": "Number"},
        "b": {"binaryValue": "AQ==", "stringListValues": [], "binaryListValues": [], "dataType": "Binary"},
    }
    assert all(isinstance(value, str) for value in record["attributes"].values())
    assert (record["eventSource"], record["eventSourceARN"]) == ("aws:sqs", JOBS)


def test_a_stopped_mapping_takes_nothing() -> None:
    async def scenario(bench: Bench) -> tuple[list[list[str]], list[str]]:
        bench.map()
        bench.pollers.stop("mapping")
        bench.send("a")
        await bench.clock.advance(100)
        return bench.seen, bench.left()

    assert on_bench(scenario) == ([], ["a"])


def test_new_settings_of_a_mapping_hold_from_the_next_batch_on() -> None:
    async def scenario(bench: Bench) -> list[list[str]]:
        bench.map(BatchSize=1)
        bench.send("a")
        await bench.clock.settle()
        bench.map(BatchSize=2)
        bench.send("b", "c")
        await bench.clock.settle()
        return bench.seen

    assert on_bench(scenario) == [["a"], ["b", "c"]]


def test_a_restored_mapping_still_holds_what_it_had_collected() -> None:
    async def scenario(bench: Bench) -> list[list[str]]:
        bench.map(BatchSize=10, MaximumBatchingWindowInSeconds=20)
        bench.send("a")
        await bench.clock.advance(5)
        queues, mappings = bench.sqs.checkpoint(), bench.pollers.checkpoint()
        bench.pollers.reset()
        bench.sqs.reset()
        bench.sqs.restore(queues)
        bench.pollers.restore(mappings)
        bench.send("b")
        await bench.clock.advance(15)
        return bench.seen

    assert on_bench(scenario) == [["a", "b"]]


def test_a_payload_of_six_megabytes_is_a_batch() -> None:
    large = 2 * 1024 * 1024

    decision = batching.decide_batch([large] * 4, 0, 0, batch_size=10, window=60)

    assert decision == batching.Send(2)


@pytest.mark.parametrize(
    ("queue", "window", "timeout", "expected"), [(30, 0, 30, 30), (60, 20, 40, 60), (60, 21, 40, 91)]
)
def test_lambda_hides_messages_longer_when_window_and_timeout_exceed_the_queues_own(
    queue: int, window: int, timeout: int, expected: int
) -> None:
    assert batching.visibility(queue, window, timeout) == expected
