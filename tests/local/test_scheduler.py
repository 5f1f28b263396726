"""Facts about schedules of the Scheduler."""

from __future__ import annotations

import asyncio
import datetime
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import attrs
import pytest

from lambdaform.local.clock import SeededIds, VirtualClock
from lambdaform.local.delivery import Delivery
from lambdaform.local.events import EventBridge
from lambdaform.local.ports import ACCOUNT
from lambdaform.local.scheduler import Scheduler
from lambdaform.local.sqs import Message, Sqs
from tests.fakes.calls import Caller
from tests.fakes.invoker import FUNCTION, FakeInvoker

T = TypeVar("T")
QUEUE = f"arn:aws:sqs:eu-central-1:{ACCOUNT}:jobs"
BUS = f"arn:aws:events:eu-central-1:{ACCOUNT}:event-bus/default"
ARN = f"arn:aws:scheduler:eu-central-1:{ACCOUNT}:schedule/default/nightly"


@attrs.frozen
class Bench:
    """The Scheduler, a queue, a function."""

    clock: VirtualClock
    sqs: Sqs
    invoker: FakeInvoker
    scheduler: Scheduler
    events: EventBridge
    call: Caller
    start: float

    async def schedule(self, expression: str, target: dict[str, Any] | None = None, **params: Any) -> None:
        """A schedule for the function, if for no other target."""
        given = {"Arn": FUNCTION, "RoleArn": "arn:aws:iam::123456789012:role/r", **(target or {})}
        whole = {"Name": "nightly", "FlexibleTimeWindow": {"Mode": "OFF"}, **params}
        await self.call("CreateSchedule", ScheduleExpression=expression, Target=given, **whole)

    @property
    def times(self) -> list[float]:
        """When the function got something, from the start."""
        return [accepted.at - self.start for accepted in self.invoker.accepted]

    def held(self) -> list[Message]:
        """The messages of the queue."""
        return self.sqs.peek(QUEUE)


def on_bench(scenario: Callable[[Bench], Awaitable[T]]) -> T:
    """What a scenario finds."""

    async def run() -> T:
        clock, ids = VirtualClock(), SeededIds()
        sqs = Sqs(clock=clock, ids=ids)
        sqs.create(QUEUE, {}, {})
        invoker = FakeInvoker(clock)
        delivery = Delivery(clock=clock, ids=ids)
        events = EventBridge(clock=clock, ids=ids, delivery=delivery)
        delivery.attach(queues=sqs, buses=events, invoker=invoker)
        scheduler = Scheduler(clock=clock, ids=ids, delivery=delivery)
        return await scenario(Bench(clock, sqs, invoker, scheduler, events, Caller(scheduler), clock.now()))

    return asyncio.run(run())


def test_a_rate_begins_at_once_and_goes_on() -> None:
    async def scenario(bench: Bench) -> list[float]:
        await bench.schedule("rate(5 minutes)")
        await bench.clock.advance(600)
        return bench.times

    assert on_bench(scenario) == [0, 300, 600]


def test_start_and_end_dates_bound_a_schedule() -> None:
    async def scenario(bench: Bench) -> list[float]:
        await bench.schedule("rate(5 minutes)", StartDate=bench.start + 100, EndDate=bench.start + 750)
        await bench.clock.advance(3_000)
        return bench.times

    assert on_bench(scenario) == [100, 400, 700]


def test_cron_follows_the_wall_clock_of_its_zone() -> None:
    async def scenario(bench: Bench) -> list[str]:
        await bench.schedule(
            "cron(0 3 * * ? *)",
            {"Arn": QUEUE, "Input": "<aws.scheduler.scheduled-time>"},
            ScheduleExpressionTimezone="Europe/Berlin",
        )
        await bench.clock.advance(86_400)
        return [message.body for message in bench.held()]

    assert on_bench(scenario) == ["2026-11-19T02:00:00Z"]


def test_a_one_time_schedule_comes_up_once_and_can_delete_itself() -> None:
    async def scenario(bench: Bench) -> tuple[list[float], str]:
        await bench.schedule("at(2026-11-18T12:06:40)", ActionAfterCompletion="DELETE")
        await bench.clock.advance(86_400)
        return bench.times, (await bench.call.fault("GetSchedule", Name="nightly")).code

    assert on_bench(scenario) == ([3_600], "ResourceNotFoundException")


def test_context_attributes_are_replaced() -> None:
    async def scenario(bench: Bench) -> dict[str, str]:
        template = {"arn": "<aws.scheduler.schedule-arn>", "attempt": "<aws.scheduler.attempt-number>"}
        await bench.schedule("at(2026-11-18T12:06:40)", {"Arn": QUEUE, "Input": json.dumps(template)})
        await bench.clock.advance(3_600)
        return json.loads(bench.held()[0].body)

    assert on_bench(scenario) == {"arn": ARN, "attempt": "1"}


def test_a_function_without_input_gets_an_event_that_tells_of_the_schedule() -> None:
    async def scenario(bench: Bench) -> dict[str, Any]:
        await bench.schedule("at(2026-11-18T12:06:40)")
        await bench.clock.advance(3_600)
        return bench.invoker.accepted[0].event

    event = on_bench(scenario)

    assert (event["source"], event["time"], event["resources"]) == ("aws.scheduler", "2026-11-18T12:06:40Z", [ARN])


def test_a_flexible_window_moves_a_schedule_always_in_the_same_way() -> None:
    async def scenario(bench: Bench) -> list[float]:
        window = {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 30}
        await bench.schedule("at(2026-11-18T12:06:40)", FlexibleTimeWindow=window)
        await bench.clock.advance(7_200)
        return bench.times

    first, second = on_bench(scenario), on_bench(scenario)

    assert first == second
    assert 3_600 < first[0] < 5_400


def test_a_target_that_is_gone_is_not_tried_again_and_leaves_a_dead_letter() -> None:
    async def scenario(bench: Bench) -> dict[str, Any]:
        bench.invoker.missing.add(FUNCTION)
        await bench.schedule("at(2026-11-18T12:06:40)", {"DeadLetterConfig": {"Arn": QUEUE}, "Input": "{}"})
        await bench.clock.advance(3_600)
        [letter] = bench.held()
        return {name: value.value for name, value in letter.attributes.items()}

    attributes = on_bench(scenario)

    assert attributes["SCHEDULE_ARN"] == ARN
    assert attributes["RETRY_ATTEMPTS"] == "0"


def test_a_bus_gets_an_event_made_of_the_input() -> None:
    async def scenario(bench: Bench) -> list[Any]:
        rules = Caller(bench.events)
        await rules("PutRule", Name="r", EventPattern='{"source":["clock"]}')
        await rules("PutTargets", Rule="r", Targets=[{"Id": "1", "Arn": QUEUE, "InputPath": "$.detail"}])
        parameters = {"Source": "clock", "DetailType": "tick"}
        target = {"Arn": BUS, "Input": '{"n":1}', "EventBridgeParameters": parameters}
        await bench.schedule("at(2026-11-18T12:06:40)", target)
        await bench.clock.advance(3_600)
        return [json.loads(message.body) for message in bench.held()]

    assert on_bench(scenario) == [{"n": 1}]


def test_a_disabled_schedule_rests_until_it_is_updated() -> None:
    async def scenario(bench: Bench) -> tuple[list[float], str]:
        await bench.schedule("rate(5 minutes)", State="DISABLED")
        await bench.clock.advance(600)
        before = bench.times
        got = await bench.call("GetSchedule", Name="nightly")
        same = {key: got[key] for key in ("ScheduleExpression", "Target", "FlexibleTimeWindow")}
        await bench.call("UpdateSchedule", Name="nightly", State="ENABLED", **same)
        await bench.clock.settle()
        return before, (await bench.call("GetSchedule", Name="nightly"))["State"]

    assert on_bench(scenario) == ([], "ENABLED")


def test_deleting_a_group_deletes_its_schedules() -> None:
    async def scenario(bench: Bench) -> tuple[list[str], list[str]]:
        await bench.call("CreateScheduleGroup", Name="batch", Tags=[{"Key": "a", "Value": "1"}])
        await bench.schedule("rate(1 day)", GroupName="batch")
        before = [each["Name"] for each in (await bench.call("ListSchedules", GroupName="batch"))["Schedules"]]
        await bench.call("DeleteScheduleGroup", Name="batch")
        return before, [each["Name"] for each in (await bench.call("ListSchedules"))["Schedules"]]

    assert on_bench(scenario) == (["nightly"], [])


@pytest.mark.parametrize(
    ("params", "code", "message"),
    [
        ({"ScheduleExpression": "daily"}, "ValidationException", "Invalid Schedule Expression daily."),
        (
            {"ScheduleExpressionTimezone": "Mars"},
            "ValidationException",
            "Invalid ScheduleExpressionTimezone Mars.",
        ),
        (
            {"FlexibleTimeWindow": {"Mode": "FLEXIBLE"}},
            "ValidationException",
            "MaximumWindowInMinutes must be provided for FlexibleTimeWindow when Mode is FLEXIBLE.",
        ),
        ({"Target": {"Arn": "queue", "RoleArn": "r"}}, "ValidationException", "Provided Arn is not in correct format."),
        ({"GroupName": "none"}, "ResourceNotFoundException", "Schedule group none does not exist."),
        ({"Name": "nightly"}, "ConflictException", "Schedule nightly already exists."),
    ],
)
def test_schedules_aws_does_not_take_are_refused(params: dict[str, Any], code: str, message: str) -> None:
    async def scenario(bench: Bench) -> tuple[str, str | None]:
        await bench.schedule("rate(1 day)")
        whole: dict[str, Any] = {
            "Name": "other",
            "ScheduleExpression": "rate(1 day)",
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "Target": {"Arn": QUEUE, "RoleArn": "r"},
            **params,
        }
        refused = await bench.call.fault("CreateSchedule", **whole)
        return refused.code, refused.message

    assert on_bench(scenario) == (code, message)


def test_dates_may_come_as_the_parser_gives_them() -> None:
    async def scenario(bench: Bench) -> list[float]:
        start = datetime.datetime.fromtimestamp(bench.start + 60, datetime.UTC)
        await bench.schedule("rate(1 hour)", StartDate=start)
        await bench.clock.advance(120)
        return bench.times

    assert on_bench(scenario) == [60]


def test_schedules_come_up_again_after_a_restore() -> None:
    async def scenario(bench: Bench) -> list[float]:
        await bench.schedule("rate(5 minutes)")
        await bench.clock.settle()
        state = bench.scheduler.checkpoint()
        bench.scheduler.reset()
        await bench.clock.advance(100)
        bench.scheduler.restore(state)
        await bench.clock.advance(200)
        return bench.times

    assert on_bench(scenario) == [0, 300]
