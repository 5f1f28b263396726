"""Facts about topics: who gets what in which form."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import attrs
import pytest

from lambdaform.local.clock import SeededIds, VirtualClock
from lambdaform.local.delivery import Delivery
from lambdaform.local.ports import ACCOUNT
from lambdaform.local.sns import Sns
from lambdaform.local.sqs import Message, Sqs
from tests.fakes.calls import Caller
from tests.fakes.invoker import FUNCTION, FakeInvoker

T = TypeVar("T")
QUEUE = f"arn:aws:sqs:eu-central-1:{ACCOUNT}:jobs"
DEAD = f"arn:aws:sqs:eu-central-1:{ACCOUNT}:dead"
TOPIC = f"arn:aws:sns:eu-central-1:{ACCOUNT}:news"


@attrs.frozen
class Bench:
    """A topic's surroundings: two queues, a function."""

    clock: VirtualClock
    sqs: Sqs
    invoker: FakeInvoker
    sns: Sns
    call: Caller

    async def topic(self, name: str = "news", **attributes: str) -> str:
        """The ARN of a new topic."""
        return (await self.call("CreateTopic", Name=name, Attributes=attributes))["TopicArn"]

    async def subscribe(self, endpoint: str, protocol: str = "sqs", topic: str = TOPIC, **attributes: str) -> str:
        """The ARN of a new subscription."""
        given = {"TopicArn": topic, "Protocol": protocol, "Endpoint": endpoint, "Attributes": attributes}
        return (await self.call("Subscribe", **given))["SubscriptionArn"]

    async def publish(self, message: str, topic: str = TOPIC, **params: Any) -> dict[str, Any]:
        """Publish a message."""
        return await self.call("Publish", TopicArn=topic, Message=message, **params)

    def held(self, arn: str = QUEUE) -> list[Message]:
        """The messages of a queue."""
        return self.sqs.peek(arn)


def on_bench(scenario: Callable[[Bench], Awaitable[T]]) -> T:
    """What a scenario finds."""

    async def run() -> T:
        clock, ids = VirtualClock(), SeededIds()
        sqs = Sqs(clock=clock, ids=ids)
        sqs.create(QUEUE, {}, {})
        sqs.create(DEAD, {}, {})
        sqs.create(f"{QUEUE}.fifo", {"FifoQueue": "true"}, {})
        invoker = FakeInvoker(clock)
        delivery = Delivery(clock=clock, ids=ids)
        sns = Sns(clock=clock, ids=ids, delivery=delivery)
        delivery.attach(queues=sqs, topics=sns, invoker=invoker)
        return await scenario(Bench(clock, sqs, invoker, sns, Caller(sns)))

    return asyncio.run(run())


def string(value: str) -> dict[str, str]:
    """A message attribute that is a text."""
    return {"DataType": "String", "StringValue": value}


def test_a_queue_gets_the_message_in_aws_envelope() -> None:
    async def scenario(bench: Bench) -> tuple[str, str, str]:
        await bench.topic()
        subscription = await bench.subscribe(QUEUE)
        answer = await bench.publish("hällo", Subject="hi", MessageAttributes={"kind": string("x")})
        [message] = bench.held()
        return message.body, answer["MessageId"], subscription

    body, message_id, subscription = on_bench(scenario)

    members = json.loads(body)
    assert list(members) == [
        "Type",
        "MessageId",
        "TopicArn",
        "Subject",
        "Message",
        "Timestamp",
        "SignatureVersion",
        "Signature",
        "SigningCertURL",
        "UnsubscribeURL",
        "MessageAttributes",
    ]
    assert (members["MessageId"], members["Message"], members["Subject"]) == (message_id, "hällo", "hi")
    assert members["Timestamp"] == "2026-11-18T11:06:40.000Z"
    assert members["MessageAttributes"] == {"kind": {"Type": "String", "Value": "x"}}
    assert members["UnsubscribeURL"].endswith(subscription)
    assert body.startswith('{\n  "Type" : "Notification",\n  "MessageId" : ')
    assert '\n    "kind" : {"Type":"String","Value":"x"}\n' in body


def test_raw_delivery_hands_over_message_and_attributes_as_they_are() -> None:
    async def scenario(bench: Bench) -> tuple[str, dict[str, Any]]:
        await bench.topic()
        await bench.subscribe(QUEUE, RawMessageDelivery="true")
        await bench.publish("plain", MessageAttributes={"kind": string("x")})
        [message] = bench.held()
        return message.body, {name: value.value for name, value in message.attributes.items()}

    assert on_bench(scenario) == ("plain", {"kind": "x"})


def test_a_function_gets_one_record_with_the_keys_of_lambdas_event() -> None:
    async def scenario(bench: Bench) -> dict[str, Any]:
        await bench.topic()
        await bench.subscribe(FUNCTION, "lambda")
        await bench.publish("hello")
        [accepted] = bench.invoker.accepted
        return accepted.event

    [record] = on_bench(scenario)["Records"]

    assert set(record) == {"EventSource", "EventVersion", "EventSubscriptionArn", "Sns"}
    assert set(record["Sns"]) == {
        "Type",
        "MessageId",
        "TopicArn",
        "Subject",
        "Message",
        "Timestamp",
        "SignatureVersion",
        "Signature",
        "SigningCertUrl",
        "UnsubscribeUrl",
        "MessageAttributes",
    }
    assert (record["Sns"]["Message"], record["Sns"]["Subject"], record["Sns"]["MessageAttributes"]) == (
        "hello",
        None,
        {},
    )


FILTERS: list[tuple[str, dict[str, str], dict[str, Any], str, bool]] = [
    ("by attribute", {"FilterPolicy": '{"kind":["x"]}'}, {"kind": string("x")}, "m", True),
    ("other attribute", {"FilterPolicy": '{"kind":["x"]}'}, {"kind": string("y")}, "m", False),
    ("no attributes", {"FilterPolicy": '{"kind":["x"]}'}, {}, "m", False),
    ("absent", {"FilterPolicy": '{"kind":[{"exists":false}]}'}, {}, "m", True),
    (
        "number",
        {"FilterPolicy": '{"n":[{"numeric":[">",3]}]}'},
        {"n": {"DataType": "Number", "StringValue": "4"}},
        "m",
        True,
    ),
    (
        "list",
        {"FilterPolicy": '{"n":["b"]}'},
        {"n": {"DataType": "String.Array", "StringValue": '["a","b"]'}},
        "m",
        True,
    ),
    (
        "binary",
        {"FilterPolicy": '{"n":["b"]}'},
        {"n": {"DataType": "Binary", "BinaryValue": b"b"}},
        "m",
        False,
    ),
    ("body", {"FilterPolicy": '{"a":{"b":[1]}}', "FilterPolicyScope": "MessageBody"}, {}, '{"a":{"b":1}}', True),
    ("text body", {"FilterPolicy": '{"a":[1]}', "FilterPolicyScope": "MessageBody"}, {}, "text", False),
]


@pytest.mark.parametrize(
    ("policy", "attributes", "message", "passes"), [case[1:] for case in FILTERS], ids=[case[0] for case in FILTERS]
)
def test_filter_policies_let_through(
    policy: dict[str, str], attributes: dict[str, Any], message: str, passes: bool
) -> None:
    async def scenario(bench: Bench) -> bool:
        await bench.topic()
        await bench.subscribe(QUEUE, **policy)
        await bench.publish(message, MessageAttributes=attributes)
        return bool(bench.held())

    assert on_bench(scenario) is passes


def test_a_message_for_an_endpoint_that_is_gone_goes_to_the_subscriptions_dead_letter_queue() -> None:
    async def scenario(bench: Bench) -> tuple[list[str], list[Message]]:
        await bench.topic()
        gone = f"{FUNCTION}-gone"
        bench.invoker.missing.add(gone)
        await bench.subscribe(gone, "lambda", RedrivePolicy=json.dumps({"deadLetterTargetArn": DEAD}))
        await bench.publish("hello")
        return [seen.function for seen in bench.invoker.accepted], bench.held(DEAD)

    accepted, [letter] = on_bench(scenario)

    assert accepted == []
    assert letter.attributes["ErrorCode"].value == "404"


def test_texts_can_differ_by_protocol() -> None:
    async def scenario(bench: Bench) -> tuple[str, str]:
        await bench.topic()
        await bench.subscribe(QUEUE)
        await bench.subscribe(FUNCTION, "lambda")
        await bench.publish(json.dumps({"default": "all", "lambda": "functions"}), MessageStructure="json")
        queued = json.loads(bench.held()[0].body)["Message"]
        return queued, bench.invoker.accepted[0].event["Records"][0]["Sns"]["Message"]

    assert on_bench(scenario) == ("all", "functions")


def test_a_fifo_topic_keeps_groups_and_drops_duplicates_on_the_way_to_a_fifo_queue() -> None:
    async def scenario(bench: Bench) -> list[tuple[str | None, str | None]]:
        topic = await bench.topic("news.fifo", FifoTopic="true")
        await bench.subscribe(f"{QUEUE}.fifo", topic=topic, RawMessageDelivery="true")
        for deduplication in ("1", "1", "2"):
            await bench.publish("m", topic, MessageGroupId="g", MessageDeduplicationId=deduplication)
        return [(message.group, message.deduplication) for message in bench.held(f"{QUEUE}.fifo")]

    assert on_bench(scenario) == [("g", "1"), ("g", "2")]


def test_protocols_the_local_aws_does_not_deliver_by_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    async def scenario(bench: Bench) -> str:
        await bench.topic()
        arn = await bench.subscribe("me@shop.example", "email")
        await bench.publish("hello")
        return arn

    assert on_bench(scenario) == "pending confirmation"
    assert "not delivered" in capsys.readouterr().err


def test_a_batch_answers_for_every_entry() -> None:
    async def scenario(bench: Bench) -> dict[str, Any]:
        await bench.topic()
        entries = [{"Id": "good", "Message": "m"}, {"Id": "bad", "Message": ""}]
        return await bench.call("PublishBatch", TopicArn=TOPIC, PublishBatchRequestEntries=entries)

    answer = on_bench(scenario)

    assert [entry["Id"] for entry in answer["Successful"]] == ["good"]
    assert [(entry["Id"], entry["Code"]) for entry in answer["Failed"]] == [("bad", "InvalidParameter")]


@pytest.mark.parametrize(
    ("operation", "params", "code", "message"),
    [
        ("Publish", {"TopicArn": f"{TOPIC}2", "Message": "m"}, "NotFoundException", "Topic does not exist"),
        (
            "Publish",
            {"TopicArn": TOPIC, "Message": ""},
            "InvalidParameterException",
            "Invalid parameter: Empty message",
        ),
        (
            "Publish",
            {"TopicArn": TOPIC, "Message": "x" * 262_145},
            "InvalidParameterException",
            "Invalid parameter: Message too long",
        ),
        (
            "Subscribe",
            {"TopicArn": TOPIC, "Protocol": "sqs", "Endpoint": "jobs"},
            "InvalidParameterException",
            "Invalid parameter: SQS endpoint ARN",
        ),
        (
            "Subscribe",
            {"TopicArn": TOPIC, "Protocol": "sqs", "Endpoint": QUEUE, "Attributes": {"FilterPolicy": '{"a":1}'}},
            "InvalidParameterException",
            'Invalid parameter: FilterPolicy: "a" must be an object or an array',
        ),
        ("CreateTopic", {"Name": "a b"}, "InvalidParameterException", "Invalid parameter: Topic Name"),
        ("GetSubscriptionAttributes", {"SubscriptionArn": "x"}, "NotFoundException", "Subscription does not exist"),
    ],
)
def test_calls_aws_does_not_take_are_refused(operation: str, params: dict[str, Any], code: str, message: str) -> None:
    async def scenario(bench: Bench) -> tuple[str, str | None]:
        await bench.topic()
        refused = await bench.call.fault(operation, **params)
        return refused.code, refused.message

    assert on_bench(scenario) == (code, message)


def test_subscribing_again_returns_the_same_subscription_until_it_is_gone() -> None:
    async def scenario(bench: Bench) -> tuple[bool, int, list[Message]]:
        await bench.topic()
        first = await bench.subscribe(QUEUE)
        again = await bench.subscribe(QUEUE)
        count = len((await bench.call("ListSubscriptionsByTopic", TopicArn=TOPIC))["Subscriptions"])
        await bench.call("Unsubscribe", SubscriptionArn=first)
        await bench.publish("m")
        return first == again, count, bench.held()

    assert on_bench(scenario) == (True, 1, [])


def test_a_filter_policy_can_be_set_and_removed_later() -> None:
    async def scenario(bench: Bench) -> tuple[int, int]:
        await bench.topic()
        arn = await bench.subscribe(QUEUE)
        policy = {"SubscriptionArn": arn, "AttributeName": "FilterPolicy"}
        await bench.call("SetSubscriptionAttributes", **policy, AttributeValue='{"kind":["x"]}')
        await bench.publish("m")
        before = len(bench.held())
        await bench.call("SetSubscriptionAttributes", **policy, AttributeValue="{}")
        await bench.publish("m")
        return before, len(bench.held())

    assert on_bench(scenario) == (0, 1)


def test_tags_and_topics_come_back_with_a_checkpoint() -> None:
    async def scenario(bench: Bench) -> list[dict[str, str]]:
        await bench.call("CreateTopic", Name="news", Tags=[{"Key": "a", "Value": "1"}])
        state = bench.sns.checkpoint()
        await bench.call("DeleteTopic", TopicArn=TOPIC)
        bench.sns.restore(state)
        return (await bench.call("ListTagsForResource", ResourceArn=TOPIC))["Tags"]

    assert on_bench(scenario) == [{"Key": "a", "Value": "1"}]
