"""Facts about asynchronous invocations."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import attrs
import pytest

from lambdaform.local.asynchronous import AsynchronousQueue
from lambdaform.local.clock import SeededIds, VirtualClock
from lambdaform.local.delivery import Delivery
from lambdaform.local.ports import ACCOUNT
from lambdaform.local.sqs import Sqs
from tests.fakes.invoker import FUNCTION, FakeInvoker, in_turn, outcome, refusal

T = TypeVar("T")
REGION = "eu-central-1"
DEAD = f"arn:aws:sqs:{REGION}:{ACCOUNT}:dead"
DONE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:done"


@attrs.frozen
class Bench:
    """A function, queues for what becomes of its events, and the queue of its events."""

    clock: VirtualClock
    sqs: Sqs
    invoker: FakeInvoker
    events: AsynchronousQueue
    start: float

    def put(self, payload: Any = None) -> str:
        """Give the function an event."""
        return self.events.put(
            self.invoker.settings_, json.dumps(payload).encode(), region=REGION, source="test", trace=None
        )

    @property
    def attempts(self) -> list[float]:
        """When the function was invoked, from the start."""
        return [seen.at - self.start for seen in self.invoker.seen]

    def documents(self, arn: str) -> list[dict[str, Any]]:
        """The messages of a queue, as JSON."""
        return [json.loads(message.body) for message in self.sqs.peek(arn)]


def on_bench(scenario: Callable[[Bench], Awaitable[T]], **settings: Any) -> T:
    """What a scenario finds."""

    async def run() -> T:
        clock, ids = VirtualClock(), SeededIds()
        sqs = Sqs(clock=clock, ids=ids)
        sqs.create(DEAD, {}, {})
        sqs.create(DONE, {}, {})
        invoker = FakeInvoker(clock)
        invoker.set(**settings)
        delivery = Delivery(clock=clock, ids=ids)
        delivery.attach(queues=sqs, invoker=invoker)
        events = AsynchronousQueue(clock=clock, ids=ids, delivery=delivery)
        events.connect(invoker)
        return await scenario(Bench(clock, sqs, invoker, events, clock.now()))

    return asyncio.run(run())


def test_function_errors_are_retried_after_one_and_two_minutes_with_the_same_request_id() -> None:
    async def scenario(bench: Bench) -> tuple[list[float], set[str | None], str]:
        bench.invoker.answering = lambda event: outcome(error="no")
        request_id = bench.put()
        await bench.clock.run_until_idle(100_000)
        return bench.attempts, {seen.request_id for seen in bench.invoker.seen}, request_id

    attempts, ids, request_id = on_bench(scenario)

    assert attempts == [0, 60, 180]
    assert ids == {request_id}


def test_an_event_given_up_goes_to_both_its_destination_and_its_dead_letter_queue() -> None:
    async def scenario(bench: Bench) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, Any], str]:
        bench.invoker.answering = lambda event: outcome(error="no")
        request_id = bench.put({"n": 1})
        await bench.clock.run_until_idle(100_000)
        [letter] = bench.sqs.peek(DEAD)
        attributes = {name: (value.type, value.value) for name, value in letter.attributes.items()}
        return bench.documents(DONE), bench.documents(DEAD), attributes, request_id

    [record], letters, attributes, request_id = on_bench(scenario, on_failure=DONE, dead_letter_arn=DEAD)

    assert record == {
        "version": "1.0",
        "timestamp": "2026-11-18T11:09:40.000Z",
        "requestContext": {
            "requestId": request_id,
            "functionArn": f"{FUNCTION}:$LATEST",
            "condition": "RetriesExhausted",
            "approximateInvokeCount": 3,
        },
        "requestPayload": {"n": 1},
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "responsePayload": {"errorMessage": "no", "errorType": "Error"},
    }
    assert letters == [{"n": 1}]
    assert attributes == {
        "RequestID": ("String", request_id),
        "ErrorCode": ("Number", "200"),
        "ErrorMessage": ("String", "no"),
    }


def test_success_goes_to_its_own_destination_only() -> None:
    async def scenario(bench: Bench) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        bench.invoker.answering = in_turn(outcome(error="no"), outcome({"ok": True}))
        bench.put()
        await bench.clock.run_until_idle(100_000)
        return bench.documents(DONE), bench.documents(DEAD)

    [record], letters = on_bench(scenario, on_success=DONE, on_failure=DEAD, dead_letter_arn=DEAD)

    assert record["requestContext"]["condition"] == "Success"
    assert record["requestContext"]["approximateInvokeCount"] == 2
    assert record["responsePayload"] == {"ok": True}
    assert "functionError" not in record["responseContext"]
    assert letters == []


@pytest.mark.parametrize(("retries", "attempts"), [(0, [0]), (1, [0, 60])])
def test_fewer_retries_can_be_set(retries: int, attempts: list[float]) -> None:
    async def scenario(bench: Bench) -> list[float]:
        bench.invoker.answering = lambda event: outcome(error="no")
        bench.put()
        await bench.clock.run_until_idle(100_000)
        return bench.attempts

    assert on_bench(scenario, maximum_retry_attempts=retries) == attempts


def test_throttles_back_off_from_a_second_to_five_minutes_and_count_for_nothing() -> None:
    async def scenario(bench: Bench) -> list[float]:
        bench.invoker.answering = in_turn(*[refusal()] * 11, outcome())
        bench.put()
        await bench.clock.run_until_idle(100_000)
        return bench.attempts

    attempts = on_bench(scenario, maximum_retry_attempts=0)

    waits = [after - before for before, after in itertools.pairwise(attempts)]
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


def test_throttled_events_end_at_their_age_before_an_attempt_that_would_come_too_late() -> None:
    async def scenario(bench: Bench) -> tuple[list[float], float, dict[str, Any]]:
        bench.invoker.answering = lambda event: refusal()
        bench.put()
        passed = await bench.clock.run_until_idle(100_000)
        return bench.attempts, passed, bench.documents(DONE)[0]

    attempts, passed, record = on_bench(scenario, maximum_event_age=60, on_failure=DONE)

    assert attempts == [0, 1, 3, 7, 15, 31]
    assert passed == 31
    assert record["requestContext"]["condition"] == "EventAgeExceeded"
    assert record["requestContext"]["approximateInvokeCount"] == 0
    assert "responseContext" not in record


def test_a_failed_event_that_gets_too_old_shows_its_last_answer() -> None:
    async def scenario(bench: Bench) -> dict[str, Any]:
        bench.invoker.answering = lambda event: outcome(error="no")
        bench.put()
        await bench.clock.run_until_idle(100_000)
        return bench.documents(DONE)[0]

    record = on_bench(scenario, maximum_event_age=100, on_failure=DONE)

    assert record["requestContext"]["condition"] == "EventAgeExceeded"
    assert record["requestContext"]["approximateInvokeCount"] == 2
    assert record["responseContext"]["functionError"] == "Unhandled"


def test_a_function_that_is_switched_off_never_sees_its_events() -> None:
    async def scenario(bench: Bench) -> tuple[list[float], dict[str, Any]]:
        bench.put()
        await bench.clock.settle()
        return bench.attempts, bench.documents(DONE)[0]

    attempts, record = on_bench(scenario, reserved_concurrency=0, on_failure=DONE)

    assert attempts == []
    assert record["requestContext"]["condition"] == "ZeroReservedConcurrency"
    assert record["requestContext"]["approximateInvokeCount"] == 0
    assert "responsePayload" not in record


def test_a_destination_can_be_another_function() -> None:
    async def scenario(bench: Bench) -> list[str]:
        bench.put()
        await bench.clock.settle()
        return [accepted.function for accepted in bench.invoker.accepted]

    assert on_bench(scenario, on_success=f"{FUNCTION}2") == [f"{FUNCTION}2"]


def test_settings_of_the_moment_decide() -> None:
    async def scenario(bench: Bench) -> list[float]:
        bench.invoker.answering = lambda event: outcome(error="no")
        bench.put()
        await bench.clock.advance(30)
        bench.invoker.set(maximum_retry_attempts=1)
        await bench.clock.run_until_idle(100_000)
        return bench.attempts

    assert on_bench(scenario) == [0, 60]


def test_a_refusing_destination_loses_the_event_out_loud(capsys: pytest.CaptureFixture[str]) -> None:
    async def scenario(bench: Bench) -> None:
        bench.put()
        await bench.clock.settle()

    on_bench(scenario, on_success=f"{DONE}-missing")

    assert "refused event" in capsys.readouterr().err


def test_waiting_events_come_back_with_a_checkpoint() -> None:
    async def scenario(bench: Bench) -> list[float]:
        bench.invoker.answering = lambda event: outcome(error="no")
        bench.put()
        await bench.clock.advance(10)
        state = bench.events.checkpoint()
        bench.events.reset()
        await bench.clock.advance(10)
        bench.events.restore(state)
        await bench.clock.run_until_idle(100_000)
        return bench.attempts

    assert on_bench(scenario) == [0, 60, 180]


def test_an_event_whose_function_is_gone_is_dropped_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    async def scenario(bench: Bench) -> str:
        bench.invoker.answering = in_turn(outcome(error="no"))
        request_id = bench.put({"n": 1})
        await bench.clock.settle()
        bench.invoker.missing.add(bench.invoker.settings_.arn)
        await bench.clock.advance(61)
        return request_id

    request_id = on_bench(scenario)

    assert f"event {request_id} is dropped" in capsys.readouterr().err
