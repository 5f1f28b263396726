"""Every record of a stream ends exactly where the rules say, whatever fails and whatever is set: random courses."""

from __future__ import annotations

import base64
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from lambdaform.local.ports import Outcome
from tests.fakes.invoker import outcome, refusal
from tests.fakes.stream import DEAD, StreamBench, bench

DAY = 86_400.0
POISON = 1_000_000


@attrs.frozen
class Put:
    """One record of a course, and how it fares."""

    number: int
    after: float
    """Seconds after the one before."""
    key: str
    failures: int
    """How often it fails before it succeeds."""


def records(most_failures: int) -> st.SearchStrategy[list[Put]]:
    """Some records, most of them good."""
    one = st.tuples(
        st.sampled_from((0.0, 0.0, 0.0, 1.0, 40.0)),
        st.sampled_from("abc"),
        st.sampled_from((0, 0, 0, 1, most_failures)),
    )
    return st.lists(one, min_size=1, max_size=25).map(
        lambda found: [Put(number, *each) for number, each in enumerate(found)]
    )


@attrs.define
class Course:
    """What a function that reads a stream saw and did."""

    plan: Sequence[Put]
    is_partial: bool
    refusals: int
    tried: Counter[int] = attrs.field(factory=Counter[int])
    done: list[int] = attrs.field(factory=list[int])
    counted: list[int] = attrs.field(factory=list[int])
    """What each window came to."""

    def answer(self, event: Any) -> Outcome:
        """Fail at the first record that is to fail; what came before is done where that can be said."""
        if self.refusals:
            self.refusals -= 1
            return refusal()
        state: dict[str, int] = event.get("state", {})
        if event.get("isFinalInvokeForWindow"):
            self.counted.append(state.get("count", 0))
            return outcome()
        good = list[int]()
        failed: list[dict[str, str]] = []
        for record in event["Records"]:
            number = int(base64.b64decode(record["kinesis"]["data"]))
            self.tried[number] += 1
            if self.tried[number] <= self.plan[number].failures:
                failed.append({"itemIdentifier": record["kinesis"]["sequenceNumber"]})
                break
            good.append(number)
        if failed and not self.is_partial:
            for number in good:
                self.tried[number] -= 1  # nothing of a batch that fails as a whole is done
            return outcome(error="failed")
        self.done += good
        state = {"count": state.get("count", 0) + len(good)} if "window" in event else {}
        return outcome({"batchItemFailures": failed, **({"state": state} if "window" in event else {})})


@attrs.frozen
class Rules:
    """Settings of a mapping."""

    batch_size: int
    window: int
    factor: int
    is_partial: bool
    splits: bool
    retries: int
    age: int
    tumbling: int

    def settings(self) -> dict[str, Any]:
        """In AWS's words."""
        return {
            "BatchSize": self.batch_size,
            "MaximumBatchingWindowInSeconds": self.window,
            "ParallelizationFactor": 1 if self.tumbling else self.factor,
            "FunctionResponseTypes": ["ReportBatchItemFailures"] if self.is_partial else [],
            "BisectBatchOnFunctionError": self.splits,
            "MaximumRetryAttempts": self.retries,
            "MaximumRecordAgeInSeconds": self.age,
            "TumblingWindowInSeconds": self.tumbling,
            "DestinationConfig": {"OnFailure": {"Destination": DEAD}},
        }


def rules(*, retries: Sequence[int], age: Sequence[int]) -> st.SearchStrategy[Rules]:
    return st.builds(
        Rules,
        batch_size=st.integers(1, 10),
        window=st.sampled_from((0, 0, 3)),
        factor=st.sampled_from((1, 1, 2, 10)),
        is_partial=st.booleans(),
        splits=st.booleans(),
        retries=st.sampled_from(retries),
        age=st.sampled_from(age),
        tumbling=st.sampled_from((0, 0, 60)),
    )


def played(
    plan: list[Put], rule: Rules, course: Course, *, lasts: float, renewals: frozenset[int] = frozenset()
) -> StreamBench:
    """The bench after a course, with a change of the mapping after the records of those numbers."""

    async def scenario(found: StreamBench) -> None:
        for each in plan:
            await found.clock.advance(each.after)
            found.put(str(each.number), key=each.key)
            if each.number in renewals:
                found.renew()
        await found.clock.advance(2 * DAY)

    found = bench(**rule.settings())
    found.invoker.answering = course.answer
    found.invoker.duration = lasts
    found.run(scenario)
    return found


def in_order(course: Course, *, by_key: bool) -> bool:
    """Whether records were done in order: of the shard, or of each key."""
    done: dict[str, list[int]] = defaultdict(list)
    for number in course.done:
        done[course.plan[number].key if by_key else ""].append(number)
    return all(numbers == sorted(numbers) for numbers in done.values())


@settings(max_examples=150, deadline=None)
@given(
    plan=records(POISON),
    rule=rules(retries=(0, 1, 2), age=(-1, 60, 100)),
    refusals=st.integers(0, 3),
    lasts=st.sampled_from((0.0, 2.0)),
)
def test_a_record_is_done_or_told_of_and_never_both(plan: list[Put], rule: Rules, refusals: int, lasts: float) -> None:
    course = Course(plan, rule.is_partial, refusals)

    found = played(plan, rule, course, lasts=lasts)

    given_up = found.dead()
    assert len(course.done) == len(set(course.done))
    assert len(course.done) + sum(each["KinesisBatchInfo"]["batchSize"] for each in given_up) == len(plan)
    assert in_order(course, by_key=rule.factor > 1 and not rule.tumbling)
    for each in given_up:
        batch = each["KinesisBatchInfo"]
        ends = {int(batch[name]) - 1 for name in ("startSequenceNumber", "endSequenceNumber")}
        assert not ends & {*course.done}
        context = each["requestContext"]
        if context["condition"] == "RetryAttemptsExhausted":
            assert context["approximateInvokeCount"] == rule.retries + 1
        else:
            assert rule.age > 0
    if rule.splits and rule.age < 0:
        assert {*course.done} >= {each.number for each in plan if each.failures <= rule.retries}
    if rule.tumbling:
        assert sum(course.counted) == len(course.done)


@settings(max_examples=60, deadline=None)
@given(
    plan=records(3),
    rule=rules(retries=(-1,), age=(-1,)),
    lasts=st.sampled_from((0.0, 2.0)),
    renewals=st.frozensets(st.integers(0, 24), max_size=3),
)
def test_a_changed_mapping_loses_nothing(plan: list[Put], rule: Rules, lasts: float, renewals: frozenset[int]) -> None:
    course = Course(plan, rule.is_partial, 0)

    found = played(plan, rule, course, lasts=lasts, renewals=renewals)

    assert found.dead() == []
    assert {*course.done} == {each.number for each in plan}
    assert len(course.done) == len(plan)
    assert in_order(course, by_key=rule.factor > 1 and not rule.tumbling)


@settings(max_examples=6, deadline=None)
@given(plan=records(POISON), rule=rules(retries=(-1,), age=(-1,)))
def test_what_cannot_be_done_is_gone_with_the_stream(plan: list[Put], rule: Rules) -> None:
    course = Course(plan, rule.is_partial, 0)

    found = played(plan, rule, course, lasts=0.0)

    assert found.dead() == []
    poison = {each.number for each in plan if each.failures == POISON}
    assert not {*course.done} & poison
    assert len(course.done) == len(set(course.done))
