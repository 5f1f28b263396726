"""Facts about the event services together, and about what they do not honour."""

from __future__ import annotations

import asyncio

from lambdaform.local.clock import SeededIds, VirtualClock
from lambdaform.local.data import MotoServices
from lambdaform.local.plumbing import Plumbing
from lambdaform.local.ports import ACCOUNT, EventMapping
from tests.fakes.calls import Caller
from tests.fakes.invoker import FUNCTION, FakeInvoker

QUEUE = f"arn:aws:sqs:eu-central-1:{ACCOUNT}:jobs"


def plumbing(clock: VirtualClock) -> Plumbing:
    """Event services in front of a fake Lambda."""
    made = Plumbing(clock=clock, ids=SeededIds(), data=MotoServices(clock=clock))
    made.connect(FakeInvoker(clock))
    return made


def test_settings_without_effect_are_said_out_loud_and_others_are_not() -> None:
    async def scenario() -> dict[str, list[str]]:
        made = plumbing(VirtualClock())
        made.sqs.create(QUEUE, {"KmsMasterKeyId": "alias/mine"}, {})
        made.sqs.create(f"{QUEUE}-plain", {}, {})
        topics = Caller(made.sns)
        topic = (await topics("CreateTopic", Name="news"))["TopicArn"]
        await topics("Subscribe", TopicArn=topic, Protocol="email", Endpoint="me@shop.example")
        settings = {"KMSKeyArn": "arn:aws:kms:eu-central-1:1:key/k", "StartingPosition": "LATEST"}
        stream = f"arn:aws:kinesis:eu-central-1:{ACCOUNT}:stream/s"
        made.pollers.start(EventMapping("mapping", "eu-central-1", ACCOUNT, FUNCTION, stream, settings))
        said = {name: [each.setting for each in held] for name, held in made.not_honoured().items()}
        made.reset()
        return said

    assert asyncio.run(scenario()) == {
        QUEUE: ["KmsMasterKeyId"],
        f"arn:aws:sns:eu-central-1:{ACCOUNT}:news": ["subscription me@shop.example"],
        "mapping": ["KMSKeyArn"],
    }


def test_a_reset_leaves_nothing_and_no_timer_behind() -> None:
    async def scenario() -> tuple[float, object]:
        clock = VirtualClock()
        made = plumbing(clock)
        made.sqs.create(QUEUE, {}, {})
        made.pollers.start(EventMapping("mapping", "eu-central-1", ACCOUNT, FUNCTION, QUEUE, {}))
        made.sqs.send(QUEUE, "a")
        rules = Caller(made.events)
        await rules("PutRule", Name="r", ScheduleExpression="rate(1 hour)")
        made.reset()
        return await clock.run_until_idle(100_000), made.sqs.every()

    assert asyncio.run(scenario()) == (0, [])


def test_restoring_brings_all_services_back_together() -> None:
    async def scenario() -> tuple[list[str], int]:
        clock = VirtualClock()
        invoker = FakeInvoker(clock)
        made = plumbing(clock)
        made.connect(invoker)
        made.sqs.create(QUEUE, {}, {})
        made.pollers.start(EventMapping("mapping", "eu-central-1", ACCOUNT, FUNCTION, QUEUE, {}))
        rules = Caller(made.events)
        await rules("PutRule", Name="r", ScheduleExpression="rate(1 hour)")
        await rules("PutTargets", Rule="r", Targets=[{"Id": "1", "Arn": FUNCTION}])
        state = made.checkpoint()
        made.reset()
        made.restore(state)
        made.sqs.send(QUEUE, "a")
        await clock.advance(3_600)
        return [body for seen in invoker.seen for body in seen.bodies], len(invoker.accepted)

    assert asyncio.run(scenario()) == (["a"], 1)


def test_receives_do_not_wait_under_a_virtual_clock() -> None:
    async def scenario() -> dict[str, object]:
        made = plumbing(VirtualClock())
        made.sqs.create(QUEUE, {}, {})
        return await Caller(made.sqs)("ReceiveMessage", QueueUrl="jobs", WaitTimeSeconds=20)

    assert asyncio.run(scenario()) == {}
