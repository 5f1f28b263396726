"""Facts about event buses: what rules match, when schedules come up, what targets get."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import attrs
import pytest

from lambdaform.local.clock import SeededIds, VirtualClock
from lambdaform.local.delivery import Delivery
from lambdaform.local.events import EventBridge
from lambdaform.local.events.transform import RuleContext, input_of
from lambdaform.local.ports import ACCOUNT
from lambdaform.local.sqs import Message, Sqs
from tests.fakes.calls import Caller
from tests.fakes.invoker import FUNCTION, FakeInvoker

T = TypeVar("T")
START = f"arn:aws:events:eu-central-1:{ACCOUNT}"
QUEUE = f"arn:aws:sqs:eu-central-1:{ACCOUNT}:jobs"


@attrs.frozen
class Bench:
    """EventBridge, a queue, a function."""

    clock: VirtualClock
    sqs: Sqs
    invoker: FakeInvoker
    events: EventBridge
    call: Caller

    async def rule(self, *targets: dict[str, Any], name: str = "rule", **params: Any) -> None:
        """A rule with targets."""
        given = {"EventPattern": '{"source":["shop"]}'} if "ScheduleExpression" not in params else {}
        await self.call("PutRule", **{"Name": name, **given, **params})
        bus = {"EventBusName": params["EventBusName"]} if "EventBusName" in params else {}
        if targets:
            numbered = [{"Id": str(number), **target} for number, target in enumerate(targets)]
            await self.call("PutTargets", Rule=name, Targets=numbered, **bus)

    async def put(self, detail: Any = None, **entry: Any) -> dict[str, Any]:
        """Put one event."""
        whole = {"Source": "shop", "DetailType": "order", "Detail": json.dumps(detail or {}), **entry}
        return await self.call("PutEvents", Entries=[whole])

    @property
    def accepted(self) -> list[Any]:
        """The events the function got."""
        return [accepted.event for accepted in self.invoker.accepted]

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
        return await scenario(Bench(clock, sqs, invoker, events, Caller(events)))

    return asyncio.run(run())


def test_a_matching_event_reaches_all_targets_in_its_own_form() -> None:
    async def scenario(bench: Bench) -> tuple[list[Any], list[str], str]:
        await bench.rule({"Arn": FUNCTION}, {"Arn": QUEUE})
        answer = await bench.put({"id": 7}, Resources=["r"])
        await bench.put({"id": 8}, Source="other")
        return bench.accepted, [message.body for message in bench.held()], answer["Entries"][0]["EventId"]

    [event], [body], event_id = on_bench(scenario)

    assert event == {
        "version": "0",
        "id": event_id,
        "detail-type": "order",
        "source": "shop",
        "account": ACCOUNT,
        "time": "2026-11-18T11:06:40Z",
        "region": "eu-central-1",
        "resources": ["r"],
        "detail": {"id": 7},
    }
    assert json.loads(body) == event


def test_a_schedule_comes_up_until_its_rule_is_disabled() -> None:
    async def scenario(bench: Bench) -> tuple[list[str], Any]:
        await bench.rule({"Arn": FUNCTION}, ScheduleExpression="rate(5 minutes)")
        await bench.clock.advance(10 * 60)
        await bench.call("DisableRule", Name="rule")
        await bench.clock.advance(10 * 60)
        await bench.call("EnableRule", Name="rule")
        await bench.clock.advance(5 * 60)
        return [event["time"] for event in bench.accepted], bench.accepted[0]

    times, event = on_bench(scenario)

    assert times == ["2026-11-18T11:11:40Z", "2026-11-18T11:16:40Z", "2026-11-18T11:31:40Z"]
    assert (event["source"], event["detail-type"], event["detail"]) == ("aws.events", "Scheduled Event", {})
    assert event["resources"] == [f"{START}:rule/rule"]


def test_cron_schedules_come_up_at_their_minute() -> None:
    async def scenario(bench: Bench) -> list[str]:
        await bench.rule({"Arn": FUNCTION}, ScheduleExpression="cron(0 3 * * ? *)")
        await bench.clock.advance(2 * 86_400)
        return [event["time"] for event in bench.accepted]

    assert on_bench(scenario) == ["2026-11-19T03:00:00Z", "2026-11-20T03:00:00Z"]


EVENT = {"source": "shop", "detail": {"name": 'a "b"', "n": 1, "list": [{"x": 2}], "o": {"k": "v"}}}
CONTEXT = RuleContext("arn:rule", "rule", "2026-11-18T11:06:40.000Z")
INPUTS: list[tuple[str, dict[str, Any], str]] = [
    ("constant", {"Input": '{"a":1}'}, '{"a":1}'),
    ("path", {"InputPath": "$.detail.list[0].x"}, "2"),
    ("path to nothing", {"InputPath": "$.detail.none"}, "null"),
    (
        "template of values",
        {
            "InputPathsMap": {"n": "$.detail.n", "o": "$.detail.o", "s": "$.detail.name"},
            "InputTemplate": '{"n":<n>,"o":<o>,"s":<s>}',
        },
        '{"n":1,"o":{"k":"v"},"s":"a \\"b\\""}',
    ),
    (
        "template of text",
        {"InputPathsMap": {"s": "$.detail.name", "n": "$.detail.n"}, "InputTemplate": '"name is <s>, number <n>"'},
        '"name is a \\"b\\", number 1"',
    ),
    ("unknown left out of text", {"InputPathsMap": {"x": "$.detail.x"}, "InputTemplate": '"[<x>]"'}, '"[]"'),
    ("reserved", {"InputTemplate": '{"rule":"<aws.events.rule-name>"}'}, '{"rule":"rule"}'),
]


@pytest.mark.parametrize(("settings", "expected"), [case[1:] for case in INPUTS], ids=[case[0] for case in INPUTS])
def test_a_targets_input_becomes(settings: dict[str, Any], expected: str) -> None:
    target = {"InputTransformer": settings} if "InputTemplate" in settings else settings

    assert input_of(target, EVENT, CONTEXT) == expected


def test_an_event_for_a_target_that_is_gone_goes_to_its_dead_letter_queue() -> None:
    async def scenario(bench: Bench) -> dict[str, Any]:
        bench.invoker.missing.add(FUNCTION)
        await bench.rule({"Arn": FUNCTION, "DeadLetterConfig": {"Arn": QUEUE}})
        await bench.put({"id": 7})
        [letter] = bench.held()
        return {name: value.value for name, value in letter.attributes.items()}

    attributes = on_bench(scenario)

    assert attributes["RULE_ARN"] == f"{START}:rule/rule"
    assert attributes["TARGET_ARN"] == FUNCTION
    assert attributes["ERROR_CODE"] == "ResourceNotFoundException"


def test_a_target_in_trouble_is_tried_again_with_growing_waits() -> None:
    async def scenario(bench: Bench) -> list[float]:
        bench.invoker.troubles = 3
        began = bench.clock.now()
        await bench.rule({"Arn": FUNCTION})
        await bench.put({"id": 7})
        await bench.clock.run_until_idle(3600)
        return [accepted.at - began for accepted in bench.invoker.accepted]

    assert on_bench(scenario) == [1.0 + 2.0 + 4.0]


@pytest.mark.parametrize(
    ("policy", "retries", "condition"),
    [
        ({"MaximumRetryAttempts": 2}, "2", "MaximumRetryAttempts"),
        ({"MaximumRetryAttempts": 0}, "0", "MaximumRetryAttempts"),
        ({"MaximumEventAgeInSeconds": 60}, "5", "MaximumEventAgeInSeconds"),
    ],
)
def test_retries_of_a_target_end_by_its_policy(policy: dict[str, int], retries: str, condition: str) -> None:
    async def scenario(bench: Bench) -> dict[str, Any]:
        bench.invoker.troubles = 1000
        await bench.rule({"Arn": FUNCTION, "DeadLetterConfig": {"Arn": QUEUE}, "RetryPolicy": policy})
        await bench.put({"id": 7})
        await bench.clock.run_until_idle(3600)
        [letter] = bench.held()
        return {name: value.value for name, value in letter.attributes.items()}

    attributes = on_bench(scenario)

    assert (attributes["RETRY_ATTEMPTS"], attributes["EXHAUSTED_RETRY_CONDITION"]) == (retries, condition)
    assert attributes["ERROR_CODE"] == "ServiceException"


def test_a_rule_can_hand_events_on_to_another_bus_and_rings_come_to_an_end(capsys: pytest.CaptureFixture[str]) -> None:
    async def scenario(bench: Bench) -> list[str]:
        await bench.call("CreateEventBus", Name="orders")
        await bench.rule({"Arn": f"{START}:event-bus/orders"})
        await bench.rule({"Arn": FUNCTION}, {"Arn": f"{START}:event-bus/default"}, EventBusName="orders")
        await bench.put({"id": 7})
        return [event["id"] for event in bench.accepted]

    ids = on_bench(scenario)

    assert len(set(ids)) == 1
    assert 1 <= len(ids) <= 5
    assert "is lost" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        ({"Source": ""}, "InvalidArgument"),
        ({"Detail": "text"}, "MalformedDetail"),
        ({"Detail": "[]"}, "MalformedDetail"),
        ({"Detail": '{"a": "\\ud83d"}'}, "MalformedDetail"),
        ({"Source": "aws.s3"}, "NotAuthorizedForSourceException"),
    ],
)
def test_entries_aws_does_not_take_are_refused_one_by_one(entry: dict[str, str], code: str) -> None:
    async def scenario(bench: Bench) -> tuple[int, str]:
        answer = await bench.put(**entry)
        return answer["FailedEntryCount"], answer["Entries"][0]["ErrorCode"]

    assert on_bench(scenario) == (1, code)


def test_however_deeply_a_detail_is_nested_it_is_delivered_or_refused() -> None:
    async def scenario(bench: Bench) -> tuple[int, int]:
        shown = {"InputPathsMap": {"a": "$.detail"}, "InputTemplate": '{"x": [[<a>]]}'}
        await bench.rule({"Arn": FUNCTION}, {"Arn": QUEUE, "InputTransformer": shown})
        taken = 0
        for depth in range(800, 1_000):
            answer = await bench.put(Detail='{"a":' * depth + "1" + "}" * depth)
            taken += not answer["FailedEntryCount"]
        assert taken
        return len(bench.accepted) - taken, len(bench.held()) - taken

    assert on_bench(scenario) == (0, 0)


@pytest.mark.parametrize(
    ("operation", "params", "code"),
    [
        ("PutRule", {"Name": "r"}, "ValidationException"),
        ("PutRule", {"Name": "r", "EventPattern": '{"a":"x"}'}, "InvalidEventPatternException"),
        ("PutRule", {"Name": "r", "ScheduleExpression": "rate(1 minutes)"}, "ValidationException"),
        ("PutTargets", {"Rule": "none", "Targets": []}, "ResourceNotFoundException"),
        ("PutTargets", {"Rule": "rule", "Targets": [{"Id": "1", "Arn": "queue"}]}, "ValidationException"),
        ("PutTargets", {"Rule": "rule", "Targets": [{"Id": "1", "Arn": QUEUE, "Input": "{"}]}, "ValidationException"),
        (
            "PutTargets",
            {"Rule": "rule", "Targets": [{"Id": str(number), "Arn": QUEUE} for number in range(6)]},
            "LimitExceededException",
        ),
        ("DeleteRule", {"Name": "rule"}, "ValidationException"),
        ("DescribeEventBus", {"Name": "none"}, "ResourceNotFoundException"),
        ("CreateArchive", {}, "NotImplemented"),
    ],
)
def test_calls_aws_does_not_take_are_refused(operation: str, params: dict[str, Any], code: str) -> None:
    async def scenario(bench: Bench) -> str:
        await bench.rule({"Arn": QUEUE})
        return (await bench.call.fault(operation, **params)).code

    assert on_bench(scenario) == code


def test_patterns_can_be_tried_out() -> None:
    async def scenario(bench: Bench) -> tuple[bool, str | None]:
        event: dict[str, Any] = {
            "id": "1",
            "account": "a",
            "source": "shop",
            "time": "t",
            "region": "r",
            "resources": [],
        }
        pattern = {"EventPattern": '{"source":["shop"]}'}
        refused = await bench.call.fault("TestEventPattern", **pattern, Event=json.dumps(event))
        answer = await bench.call("TestEventPattern", **pattern, Event=json.dumps({**event, "detail-type": "d"}))
        return answer["Result"], refused.message

    assert on_bench(scenario) == (True, "Parameter Event is not valid. Reason: detail-type is a required argument.")


def test_rules_and_their_targets_are_listed_and_removed() -> None:
    async def scenario(bench: Bench) -> tuple[list[str], list[str], list[str]]:
        await bench.rule({"Arn": QUEUE}, name="one")
        await bench.rule({"Arn": QUEUE}, name="two")
        rules = [rule["Name"] for rule in (await bench.call("ListRules"))["Rules"]]
        by_target = (await bench.call("ListRuleNamesByTarget", TargetArn=QUEUE))["RuleNames"]
        await bench.call("RemoveTargets", Rule="one", Ids=["0"])
        await bench.call("DeleteRule", Name="one")
        return rules, by_target, [rule["Name"] for rule in (await bench.call("ListRules"))["Rules"]]

    assert on_bench(scenario) == (["one", "two"], ["one", "two"], ["two"])


def test_schedules_come_up_again_after_a_restore() -> None:
    async def scenario(bench: Bench) -> list[str]:
        await bench.rule({"Arn": FUNCTION}, ScheduleExpression="rate(5 minutes)")
        state = bench.events.checkpoint()
        bench.events.reset()
        await bench.clock.advance(5 * 60)
        bench.events.restore(state)
        await bench.clock.advance(5 * 60)
        return [event["time"] for event in bench.accepted]

    assert on_bench(scenario) == ["2026-11-18T11:16:40Z"]
