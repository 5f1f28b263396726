"""Every message ends exactly where the rules say, whatever fails and whatever is set: tried with random courses."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from lambdaform.local.asynchronous import AsynchronousQueue
from lambdaform.local.clock import SeededIds, VirtualClock
from lambdaform.local.data import MotoServices
from lambdaform.local.delivery import Delivery
from lambdaform.local.pollers import EventPollers
from lambdaform.local.ports import ACCOUNT, EventMapping, Outcome
from lambdaform.local.sqs import Sqs
from tests.fakes.invoker import FUNCTION, FakeInvoker, outcome, refusal

T = TypeVar("T")
REGION = "eu-central-1"
ARN = f"arn:aws:sqs:{REGION}:{ACCOUNT}:"
DAY = 86_400.0


@attrs.frozen
class Sent:
    """One message of a course, and how it fares."""

    number: int
    after: float
    """Seconds after the one before."""
    group: str
    failures: int
    """How many of its deliveries fail before one succeeds."""


def messages(most_failures: int = 6) -> st.SearchStrategy[list[Sent]]:
    """Some messages, most of them good."""
    one = st.tuples(
        st.sampled_from((0.0, 0.0, 1.0, 40.0)),
        st.sampled_from("ab"),
        st.sampled_from((0, 0, 0, 1, 2, most_failures)),
    )
    return st.lists(one, min_size=1, max_size=30).map(
        lambda found: [Sent(number, *each) for number, each in enumerate(found)]
    )


def on_clock(scenario: Callable[[VirtualClock], Awaitable[T]]) -> T:
    """What a scenario finds on a clock of its own."""

    async def run() -> T:
        clock = VirtualClock()
        try:
            return await scenario(clock)
        finally:
            await clock.close()

    return asyncio.run(run())


@attrs.define
class Course:
    """What a function that reads a queue saw and did."""

    plan: Sequence[Sent]
    is_partial: bool
    is_fifo: bool
    refusals: int
    """How many invocations are throttled before any runs."""
    tried: Counter[int] = attrs.field(factory=Counter[int])
    done: list[int] = attrs.field(factory=list[int])

    def answer(self, event: Any) -> Outcome:
        """Fail the messages that are to fail; a FIFO group is not gone on with after a failure."""
        if self.refusals:
            self.refusals -= 1
            return refusal()
        failed: dict[str, int] = {}
        stopped = set[str]()
        good = list[int]()
        for record in event["Records"]:
            number = int(record["body"])
            sent = self.plan[number]
            if self.is_fifo and sent.group in stopped:
                failed[record["messageId"]] = number
                continue
            self.tried[number] += 1
            if self.tried[number] <= sent.failures:
                failed[record["messageId"]] = number
                stopped.add(sent.group)
            else:
                good.append(number)
        if failed and not self.is_partial:
            for number in good:
                self.tried[number] -= 1  # nothing of a batch that fails as a whole is done
            return outcome(error="failed")
        self.done += good
        return outcome({"batchItemFailures": [{"itemIdentifier": each} for each in failed]})


@settings(max_examples=120, deadline=None)
@given(
    plan=messages(),
    is_fifo=st.booleans(),
    is_partial=st.booleans(),
    batch_size=st.integers(1, 10),
    window=st.sampled_from((0, 0, 3)),
    maximum=st.sampled_from((None, 2)),
    receives=st.integers(1, 4),
    refusals=st.integers(0, 3),
    lasts=st.sampled_from((0.0, 2.0)),
)
def test_a_message_of_a_queue_is_done_or_dead_and_never_both(
    plan: list[Sent],
    is_fifo: bool,
    is_partial: bool,
    batch_size: int,
    window: int,
    maximum: int | None,
    receives: int,
    refusals: int,
    lasts: float,
) -> None:
    end = ".fifo" if is_fifo else ""
    jobs, dead = f"{ARN}jobs{end}", f"{ARN}dead{end}"
    course = Course(plan, is_partial, is_fifo, refusals)

    async def scenario(clock: VirtualClock) -> list[int]:
        ids = SeededIds()
        sqs = Sqs(clock=clock, ids=ids)
        fifo = {"FifoQueue": "true"} if is_fifo else {}
        sqs.create(dead, {**fifo, "MessageRetentionPeriod": "1209600"}, {})
        redrive = json.dumps({"deadLetterTargetArn": dead, "maxReceiveCount": receives})
        sqs.create(jobs, {**fifo, "VisibilityTimeout": "30", "RedrivePolicy": redrive}, {})
        invoker = FakeInvoker(clock, answering=course.answer, duration=lasts)
        delivery = Delivery(clock=clock, ids=ids)
        pollers = EventPollers(clock=clock, ids=ids, queues=sqs, data=MotoServices(clock=clock), delivery=delivery)
        pollers.connect(invoker)
        reported = {"FunctionResponseTypes": ["ReportBatchItemFailures"]} if is_partial else {}
        scaling = {"ScalingConfig": {"MaximumConcurrency": maximum}} if maximum else {}
        wait = {"MaximumBatchingWindowInSeconds": window} if window and not is_fifo else {}
        mapping = {"BatchSize": batch_size, **reported, **scaling, **wait}
        pollers.start(EventMapping("mapping", REGION, ACCOUNT, FUNCTION, jobs, mapping))
        for sent in plan:
            await clock.advance(sent.after)
            group, once = (sent.group, str(sent.number)) if is_fifo else (None, None)
            sqs.send(jobs, str(sent.number), group=group, deduplication=once)
        await clock.advance(DAY)
        assert sqs.peek(jobs) == []
        return [int(message.body) for message in sqs.peek(dead)]

    given_up = on_clock(scenario)

    assert sorted(course.done + given_up) == [sent.number for sent in plan]
    for number in given_up:
        assert course.tried[number] <= receives
    if is_partial and not is_fifo and not refusals:
        assert set(given_up) == {sent.number for sent in plan if sent.failures >= receives}
    if is_fifo:
        by_group: dict[str, list[int]] = defaultdict(list)
        for number in course.done:
            by_group[plan[number].group].append(number)
        assert all(order == sorted(order) for order in by_group.values())


@settings(max_examples=120, deadline=None)
@given(
    plan=messages(most_failures=3),
    retries=st.integers(0, 2),
    age=st.sampled_from((60, 100, 21_600)),
    refusals=st.integers(0, 4),
)
def test_an_asynchronous_event_succeeds_or_is_given_up_once(
    plan: list[Sent], retries: int, age: int, refusals: int
) -> None:
    tried = Counter[int]()
    throttles = Counter[int]()

    def answer(event: Any) -> Outcome:
        number = int(event)
        if throttles[number] < refusals and number % 2:
            throttles[number] += 1
            return refusal()
        tried[number] += 1
        return outcome(number) if tried[number] > plan[number].failures else outcome(error="failed")

    async def scenario(clock: VirtualClock) -> dict[str, list[dict[str, Any]]]:
        ids = SeededIds()
        sqs = Sqs(clock=clock, ids=ids)
        for name in ("done", "failed"):
            sqs.create(ARN + name, {"MessageRetentionPeriod": "1209600"}, {})
        delivery = Delivery(clock=clock, ids=ids)
        delivery.attach(queues=sqs)
        invoker = FakeInvoker(clock, answering=answer)
        invoker.set(
            maximum_retry_attempts=retries, maximum_event_age=age, on_success=ARN + "done", on_failure=ARN + "failed"
        )
        events = AsynchronousQueue(clock=clock, ids=ids, delivery=delivery)
        events.connect(invoker)
        for sent in plan:
            await clock.advance(sent.after)
            events.put(invoker.settings_, str(sent.number).encode(), region=REGION, source="test", trace=None)
        await clock.advance(DAY)
        assert events.waiting() == []
        return {name: [json.loads(each.body) for each in sqs.peek(ARN + name)] for name in ("done", "failed")}

    records = on_clock(scenario)

    ended = {name: [int(each["requestPayload"]) for each in held] for name, held in records.items()}
    assert sorted(ended["done"] + ended["failed"]) == [sent.number for sent in plan]
    if age == 21_600:
        assert set(ended["failed"]) == {sent.number for sent in plan if sent.failures > retries}
    for record in records["failed"]:
        number, context = int(record["requestPayload"]), record["requestContext"]
        assert context["approximateInvokeCount"] == tried[number] <= 1 + retries
        is_spent = tried[number] == 1 + retries
        assert context["condition"] == ("RetriesExhausted" if is_spent else "EventAgeExceeded")
