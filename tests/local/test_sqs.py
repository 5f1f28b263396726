"""Facts about queues: what readers see when, and what AWS refuses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import attrs
import pytest

from lambdaform.local.clock import SeededIds, SystemClock, VirtualClock
from lambdaform.local.sqs import Sqs
from tests.fakes.calls import Caller

T = TypeVar("T")
ARN = "arn:aws:sqs:eu-central-1:123456789012:"


@attrs.frozen
class Bench:
    """A local SQS on a virtual clock, and someone who calls it."""

    clock: VirtualClock
    sqs: Sqs
    call: Caller

    async def queue(self, name: str = "jobs", **attributes: str) -> str:
        """The URL of a new queue."""
        fifo = {"FifoQueue": "true"} if name.endswith(".fifo") else {}
        return (await self.call("CreateQueue", QueueName=name, Attributes={**fifo, **attributes}))["QueueUrl"]

    async def send(self, url: str, body: str, **params: Any) -> dict[str, Any]:
        """Send one message."""
        return await self.call("SendMessage", QueueUrl=url, MessageBody=body, **params)

    async def receive(self, url: str, **params: Any) -> list[dict[str, Any]]:
        """Up to ten messages."""
        answer = await self.call("ReceiveMessage", **{"QueueUrl": url, "MaxNumberOfMessages": 10, **params})
        return answer.get("Messages", [])

    async def bodies(self, url: str, **params: Any) -> list[str]:
        """The texts of up to ten messages."""
        return [message["Body"] for message in await self.receive(url, **params)]

    async def numbers(self, url: str) -> tuple[int, int, int]:
        """Visible, in flight, delayed."""
        held = (await self.call("GetQueueAttributes", QueueUrl=url, AttributeNames=["All"]))["Attributes"]
        prefix = "ApproximateNumberOfMessages"
        return int(held[prefix]), int(held[f"{prefix}NotVisible"]), int(held[f"{prefix}Delayed"])


def on_bench(scenario: Callable[[Bench], Awaitable[T]]) -> T:
    """What a scenario finds."""

    async def run() -> T:
        clock = VirtualClock()
        sqs = Sqs(clock=clock, ids=SeededIds())
        return await scenario(Bench(clock, sqs, Caller(sqs)))

    return asyncio.run(run())


def test_a_message_is_hidden_from_others_until_its_visibility_timeout_is_over() -> None:
    async def scenario(bench: Bench) -> list[list[str]]:
        url = await bench.queue(VisibilityTimeout="30")
        await bench.send(url, "a")
        first = await bench.bodies(url)
        await bench.clock.advance(29.9)
        hidden = await bench.bodies(url)
        await bench.clock.advance(0.1)
        return [first, hidden, await bench.bodies(url)]

    assert on_bench(scenario) == [["a"], [], ["a"]]


def test_a_deleted_message_does_not_return() -> None:
    async def scenario(bench: Bench) -> tuple[list[str], tuple[int, int, int]]:
        url = await bench.queue()
        await bench.send(url, "a")
        [message] = await bench.receive(url)
        await bench.call("DeleteMessage", QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        await bench.clock.advance(60)
        return await bench.bodies(url), await bench.numbers(url)

    assert on_bench(scenario) == ([], (0, 0, 0))


def test_only_the_latest_receipt_handle_deletes() -> None:
    async def scenario(bench: Bench) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        url = await bench.queue()
        await bench.send(url, "a")
        [first] = await bench.receive(url)
        await bench.clock.advance(30)
        [second] = await bench.receive(url)
        await bench.call("DeleteMessage", QueueUrl=url, ReceiptHandle=first["ReceiptHandle"])
        kept = await bench.numbers(url)
        await bench.call("DeleteMessage", QueueUrl=url, ReceiptHandle=second["ReceiptHandle"])
        return kept, await bench.numbers(url)

    assert on_bench(scenario) == ((0, 1, 0), (0, 0, 0))


def test_delays_of_message_and_queue_hide_a_new_message() -> None:
    async def scenario(bench: Bench) -> list[list[str]]:
        url = await bench.queue(DelaySeconds="5")
        await bench.send(url, "queue's delay")
        await bench.send(url, "own delay", DelaySeconds=2)
        seen = [await bench.bodies(url)]
        for _ in range(3):
            await bench.clock.advance(2)
            seen.append(await bench.bodies(url))
        return seen

    assert on_bench(scenario) == [[], ["own delay"], [], ["queue's delay"]]


def test_the_numbers_tell_visible_from_in_flight_from_delayed() -> None:
    async def scenario(bench: Bench) -> tuple[int, int, int]:
        url = await bench.queue()
        for number in range(3):
            await bench.send(url, str(number))
        await bench.send(url, "later", DelaySeconds=10)
        await bench.receive(url, MaxNumberOfMessages=1)
        return await bench.numbers(url)

    assert on_bench(scenario) == (2, 1, 1)


def test_messages_older_than_the_retention_period_are_gone() -> None:
    async def scenario(bench: Bench) -> tuple[int, list[str]]:
        url = await bench.queue(MessageRetentionPeriod="60")
        await bench.send(url, "old")
        await bench.clock.advance(30)
        await bench.send(url, "new")
        await bench.clock.advance(30)
        return sum(await bench.numbers(url)), await bench.bodies(url)

    assert on_bench(scenario) == (1, ["new"])


def test_a_changed_visibility_counts_from_the_change() -> None:
    async def scenario(bench: Bench) -> list[list[str]]:
        url = await bench.queue()
        await bench.send(url, "a")
        [message] = await bench.receive(url)
        await bench.clock.advance(20)
        handle = {"QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"]}
        await bench.call("ChangeMessageVisibility", **handle, VisibilityTimeout=30)
        await bench.clock.advance(29)
        hidden = await bench.bodies(url)
        await bench.call("ChangeMessageVisibility", **handle, VisibilityTimeout=0)
        return [hidden, await bench.bodies(url)]

    assert on_bench(scenario) == [[], ["a"]]


def test_a_message_received_too_often_moves_to_the_dead_letter_queue_with_its_past() -> None:
    async def scenario(bench: Bench) -> tuple[list[str], list[tuple[str, str, int]]]:
        dead = await bench.queue("dead")
        policy = json.dumps({"deadLetterTargetArn": f"{ARN}dead", "maxReceiveCount": 2})
        url = await bench.queue(VisibilityTimeout="10", RedrivePolicy=policy)
        sent = await bench.send(url, "poison")
        counts = list[str]()
        for _ in range(3):
            counts += [
                message["Attributes"]["ApproximateReceiveCount"]
                for message in await bench.receive(url, MessageSystemAttributeNames=["All"])
            ]
            await bench.clock.advance(10)
        letters = await bench.receive(dead, MessageSystemAttributeNames=["All"])
        return counts, [
            (letter["Body"], letter["Attributes"]["DeadLetterQueueSourceArn"], letter["MessageId"] == sent["MessageId"])
            for letter in letters
        ]

    assert on_bench(scenario) == (["1", "2"], [("poison", f"{ARN}jobs", True)])


def test_dead_letters_can_be_moved_back_to_where_they_came_from() -> None:
    async def scenario(bench: Bench) -> tuple[list[str], dict[str, Any]]:
        await bench.queue("dead")
        policy = json.dumps({"deadLetterTargetArn": f"{ARN}dead", "maxReceiveCount": 1})
        url = await bench.queue(VisibilityTimeout="0", RedrivePolicy=policy)
        await bench.send(url, "poison")
        await bench.receive(url)
        await bench.receive(url)
        await bench.call("StartMessageMoveTask", SourceArn=f"{ARN}dead")
        listed = await bench.call("ListMessageMoveTasks", SourceArn=f"{ARN}dead")
        return await bench.bodies(url), listed["Results"][0]

    bodies, task = on_bench(scenario)

    assert bodies == ["poison"]
    assert (task["Status"], task["ApproximateNumberOfMessagesMoved"]) == ("COMPLETED", 1)


def test_a_fifo_group_stands_still_while_one_of_its_messages_is_being_read() -> None:
    async def scenario(bench: Bench) -> list[list[str]]:
        url = await bench.queue("jobs.fifo", ContentBasedDeduplication="true")
        for body, group in [("a1", "a"), ("a2", "a"), ("b1", "b")]:
            await bench.send(url, body, MessageGroupId=group)
        [first] = await bench.receive(url, MaxNumberOfMessages=1)
        others = await bench.bodies(url)
        await bench.call("DeleteMessage", QueueUrl=url, ReceiptHandle=first["ReceiptHandle"])
        return [[first["Body"]], others, await bench.bodies(url)]

    assert on_bench(scenario) == [["a1"], ["b1"], ["a2"]]


def test_a_fifo_reader_that_fails_gets_the_same_messages_in_the_same_order() -> None:
    async def scenario(bench: Bench) -> list[list[str]]:
        url = await bench.queue("jobs.fifo", ContentBasedDeduplication="true")
        for body in ("1", "2", "3"):
            await bench.send(url, body, MessageGroupId="g")
        first = await bench.bodies(url, MaxNumberOfMessages=2)
        await bench.clock.advance(30)
        return [first, await bench.bodies(url)]

    assert on_bench(scenario) == [["1", "2"], ["1", "2", "3"]]


def test_a_fifo_queue_takes_a_deduplication_id_once_in_five_minutes_even_after_deletion() -> None:
    async def scenario(bench: Bench) -> tuple[bool, list[str], list[str]]:
        url = await bench.queue("jobs.fifo")
        ids = {"MessageGroupId": "g", "MessageDeduplicationId": "x"}
        first = await bench.send(url, "first", **ids)
        [message] = await bench.receive(url)
        await bench.call("DeleteMessage", QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        again = await bench.send(url, "again", **ids)
        none = await bench.bodies(url)
        await bench.clock.advance(300)
        await bench.send(url, "later", **ids)
        same = (first["MessageId"], first["SequenceNumber"]) == (again["MessageId"], again["SequenceNumber"])
        return same, none, await bench.bodies(url)

    assert on_bench(scenario) == (True, [], ["later"])


def test_sequence_numbers_have_twenty_digits_and_rise() -> None:
    async def scenario(bench: Bench) -> list[str]:
        url = await bench.queue("jobs.fifo", ContentBasedDeduplication="true")
        return [(await bench.send(url, body, MessageGroupId="g"))["SequenceNumber"] for body in "ab"]

    first, second = on_bench(scenario)

    assert len(first) == len(second) == 20
    assert first < second


def test_digests_are_those_of_aws() -> None:
    # Digests a real queue gave for these values.
    async def scenario(bench: Bench) -> tuple[dict[str, Any], dict[str, Any]]:
        url = await bench.queue()
        sent = await bench.send(
            url,
            "This is a test message",
            MessageAttributes={"timestamp": {"DataType": "Number", "StringValue": "1493147359900"}},
        )
        [received] = await bench.receive(url, MessageAttributeNames=["time.*", "timestamp"])
        return sent, received

    sent, received = on_bench(scenario)

    assert sent["MD5OfMessageBody"] == "fafb00f5732ab283681e124bf8747ed1"
    assert sent["MD5OfMessageAttributes"] == "235c5c510d26fb653d073faed50ae77c"
    assert received["MD5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]
    assert received["MessageAttributes"] == {"timestamp": {"DataType": "Number", "StringValue": "1493147359900"}}


def test_a_long_poll_ends_when_a_message_arrives() -> None:
    async def scenario(bench: Bench) -> tuple[list[str], float]:
        url = await bench.queue()
        start = bench.clock.now()
        polling = asyncio.ensure_future(bench.bodies(url, WaitTimeSeconds=20))
        await bench.clock.advance(3)
        await bench.send(url, "a", DelaySeconds=4)
        await bench.clock.advance(4)
        return await asyncio.wait_for(polling, 5), bench.clock.now() - start

    assert on_bench(scenario) == (["a"], 7)


def test_a_long_poll_that_finds_nothing_ends_at_its_deadline() -> None:
    async def scenario(bench: Bench) -> tuple[bool, list[str]]:
        url = await bench.queue(ReceiveMessageWaitTimeSeconds="10")
        polling = asyncio.ensure_future(bench.bodies(url))
        await bench.clock.advance(9.9)
        early = polling.done()
        await bench.clock.advance(0.1)
        return early, await asyncio.wait_for(polling, 5)

    assert on_bench(scenario) == (False, [])


def test_a_receive_without_long_polls_answers_at_once() -> None:
    async def scenario() -> dict[str, Any]:
        clock = VirtualClock()
        call = Caller(Sqs(clock=clock, ids=SeededIds(), long_polls=False))
        url = (await call("CreateQueue", QueueName="jobs"))["QueueUrl"]
        return await call("ReceiveMessage", QueueUrl=url, WaitTimeSeconds=20)

    assert asyncio.run(scenario()) == {}


def test_creating_the_same_queue_again_returns_it_and_another_one_is_refused() -> None:
    async def scenario(bench: Bench) -> tuple[bool, str, str | None, str]:
        url = await bench.queue(DelaySeconds="5")
        again = await bench.queue(DelaySeconds="5", VisibilityTimeout="30")
        refused = await bench.call.fault("CreateQueue", QueueName="jobs", Attributes={"DelaySeconds": "6"})
        return url == again, refused.code, refused.message, refused.headers["x-amzn-query-error"]

    assert on_bench(scenario) == (
        True,
        "QueueNameExists",
        "A queue already exists with the same name and a different value for attribute DelaySeconds",
        "QueueAlreadyExists;Sender",
    )


def test_the_name_of_a_deleted_queue_stays_blocked_for_a_minute() -> None:
    async def scenario(bench: Bench) -> tuple[str, str]:
        url = await bench.queue()
        await bench.call("DeleteQueue", QueueUrl=url)
        refused = await bench.call.fault("CreateQueue", QueueName="jobs")
        await bench.clock.advance(60)
        return refused.code, await bench.queue()

    assert on_bench(scenario) == ("QueueDeletedRecently", "http://127.0.0.1:4566/123456789012/jobs")


def test_a_missing_queue_is_told_by_both_of_its_codes() -> None:
    async def scenario(bench: Bench) -> tuple[str, str | None, str]:
        refused = await bench.call.fault("GetQueueUrl", QueueName="none")
        return refused.code, refused.message, refused.headers["x-amzn-query-error"]

    assert on_bench(scenario) == (
        "QueueDoesNotExist",
        "The specified queue does not exist.",
        "AWS.SimpleQueueService.NonExistentQueue;Sender",
    )


def test_a_batch_answers_for_every_entry_on_its_own() -> None:
    async def scenario(bench: Bench) -> dict[str, Any]:
        url = await bench.queue()
        entries = [
            {"Id": "good", "MessageBody": "a"},
            {"Id": "bad", "MessageBody": "b", "DelaySeconds": 901},
        ]
        return await bench.call("SendMessageBatch", QueueUrl=url, Entries=entries)

    answer = on_bench(scenario)

    assert [entry["Id"] for entry in answer["Successful"]] == ["good"]
    assert [(entry["Id"], entry["Code"], entry["SenderFault"]) for entry in answer["Failed"]] == [
        ("bad", "InvalidParameterValue", True)
    ]


@pytest.mark.parametrize(
    ("entries", "code"),
    [
        ([], "EmptyBatchRequest"),
        ([{"Id": "a", "MessageBody": "x"}] * 2, "BatchEntryIdsNotDistinct"),
        ([{"Id": "a b", "MessageBody": "x"}], "InvalidBatchEntryId"),
        ([{"Id": str(number), "MessageBody": "x"} for number in range(11)], "TooManyEntriesInBatchRequest"),
        ([{"Id": str(number), "MessageBody": "x" * 600_000} for number in range(2)], "BatchRequestTooLong"),
    ],
)
def test_a_batch_that_is_not_valid_is_refused_as_a_whole(entries: list[dict[str, str]], code: str) -> None:
    async def scenario(bench: Bench) -> str:
        url = await bench.queue()
        return (await bench.call.fault("SendMessageBatch", QueueUrl=url, Entries=entries)).code

    assert on_bench(scenario) == code


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"MessageBody": ""}, "MissingRequiredParameterException"),
        ({"MessageBody": "\x00"}, "InvalidMessageContents"),
        ({"MessageBody": "x" * 1_048_577}, "InvalidParameterValueException"),
        ({"MessageBody": "x", "DelaySeconds": 901}, "InvalidParameterValueException"),
        ({"MessageBody": "x", "MessageDeduplicationId": "d"}, "InvalidParameterValueException"),
        ({"MessageBody": "x", "MessageAttributes": {"a": {"DataType": "Odd"}}}, "InvalidParameterValueException"),
        (
            {"MessageBody": "x", "MessageAttributes": {"AWS.a": {"DataType": "String", "StringValue": "v"}}},
            "InvalidParameterValueException",
        ),
        (
            {
                "MessageBody": "x",
                "MessageAttributes": {f"a{n}": {"DataType": "String", "StringValue": "v"} for n in range(11)},
            },
            "InvalidParameterValueException",
        ),
    ],
)
def test_messages_aws_does_not_take_are_refused(params: dict[str, Any], code: str) -> None:
    async def scenario(bench: Bench) -> str:
        url = await bench.queue()
        return (await bench.call.fault("SendMessage", QueueUrl=url, **params)).code

    assert on_bench(scenario) == code


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({"VisibilityTimeout": "43201"}, "InvalidAttributeValue"),
        ({"DelaySeconds": "soon"}, "InvalidAttributeValue"),
        ({"MaximumMessageSize": "1023"}, "InvalidAttributeValue"),
        ({"Odd": "1"}, "InvalidAttributeName"),
        ({"QueueArn": "arn"}, "InvalidAttributeName"),
        ({"ContentBasedDeduplication": "true"}, "InvalidAttributeName"),
        ({"RedrivePolicy": "{}"}, "InvalidParameterValueException"),
        (
            {"RedrivePolicy": json.dumps({"deadLetterTargetArn": f"{ARN}none", "maxReceiveCount": 1})},
            "InvalidParameterValueException",
        ),
    ],
)
def test_attributes_aws_does_not_take_are_refused(attributes: dict[str, str], code: str) -> None:
    async def scenario(bench: Bench) -> str:
        return (await bench.call.fault("CreateQueue", QueueName="jobs", Attributes=attributes)).code

    assert on_bench(scenario) == code


def test_an_empty_text_removes_a_redrive_policy() -> None:
    async def scenario(bench: Bench) -> tuple[list[str], bool]:
        await bench.queue("dead")
        url = await bench.queue(RedrivePolicy=json.dumps({"deadLetterTargetArn": f"{ARN}dead", "maxReceiveCount": "3"}))
        dead = "http://127.0.0.1:4566/123456789012/dead"
        sources = (await bench.call("ListDeadLetterSourceQueues", QueueUrl=dead))["queueUrls"]
        await bench.call("SetQueueAttributes", QueueUrl=url, Attributes={"RedrivePolicy": ""})
        held = await bench.call("GetQueueAttributes", QueueUrl=url, AttributeNames=["All"])
        return sources, "RedrivePolicy" in held["Attributes"]

    assert on_bench(scenario) == (["http://127.0.0.1:4566/123456789012/jobs"], False)


def test_a_second_purge_within_a_minute_is_refused() -> None:
    async def scenario(bench: Bench) -> tuple[tuple[int, int, int], str]:
        url = await bench.queue()
        await bench.send(url, "a")
        await bench.call("PurgeQueue", QueueUrl=url)
        return await bench.numbers(url), (await bench.call.fault("PurgeQueue", QueueUrl=url)).code

    assert on_bench(scenario) == ((0, 0, 0), "PurgeQueueInProgress")


def test_permissions_stand_in_the_policy_until_they_are_removed() -> None:
    async def scenario(bench: Bench) -> tuple[dict[str, Any], dict[str, Any]]:
        url = await bench.queue()
        await bench.call(
            "AddPermission", QueueUrl=url, Label="one", AWSAccountIds=["111122223333"], Actions=["SendMessage"]
        )
        asked = {"QueueUrl": url, "AttributeNames": ["Policy"]}
        policy = json.loads((await bench.call("GetQueueAttributes", **asked))["Attributes"]["Policy"])
        await bench.call("RemovePermission", QueueUrl=url, Label="one")
        return policy["Statement"][0], await bench.call("GetQueueAttributes", **asked)

    statement, after = on_bench(scenario)

    assert statement["Principal"] == {"AWS": "arn:aws:iam::111122223333:root"}
    assert (statement["Action"], statement["Resource"]) == ("SQS:SendMessage", f"{ARN}jobs")
    assert after == {}


def test_listings_go_page_by_page_when_asked_to() -> None:
    async def scenario(bench: Bench) -> list[str]:
        for number in range(5):
            await bench.queue(f"q{number}")
        names, token = list[str](), None
        while True:
            answer = await bench.call("ListQueues", MaxResults=2, **({"NextToken": token} if token else {}))
            names += [url.rsplit("/", 1)[1] for url in answer["QueueUrls"]]
            token = answer.get("NextToken")
            if token is None:
                return names

    assert on_bench(scenario) == ["q0", "q1", "q2", "q3", "q4"]


def test_restoring_a_checkpoint_brings_messages_and_their_timers_back() -> None:
    async def scenario(bench: Bench) -> tuple[int, int]:
        url = await bench.queue()
        await bench.send(url, "a", DelaySeconds=5)
        state = bench.sqs.checkpoint()
        await bench.call("DeleteQueue", QueueUrl=url)
        bench.sqs.restore(state)
        heard = list[float]()
        bench.sqs.watch(f"{ARN}jobs", lambda: heard.append(bench.clock.now()))
        early = len(heard)
        await bench.clock.advance(5)
        return early, len(heard)

    assert on_bench(scenario) == (0, 1)


def test_looking_into_a_queue_receives_nothing() -> None:
    async def scenario(bench: Bench) -> tuple[list[tuple[str, int]], tuple[int, int, int]]:
        url = await bench.queue()
        await bench.send(url, "a")
        await bench.send(url, "b", DelaySeconds=5)
        return [(held.body, held.receives) for held in bench.sqs.peek(f"{ARN}jobs")], await bench.numbers(url)

    assert on_bench(scenario) == ([("a", 0), ("b", 0)], (1, 0, 1))


def test_an_operation_that_is_not_there_is_said_to_be_missing() -> None:
    async def scenario(bench: Bench) -> int:
        return (await bench.call.fault("Telepathy")).status

    assert on_bench(scenario) == 501


def test_queues_serve_the_real_clock_too() -> None:
    async def scenario() -> list[str]:
        clock = SystemClock()
        sqs = Sqs(clock=clock, ids=SeededIds())
        call = Caller(sqs)
        url = (await call("CreateQueue", QueueName="jobs"))["QueueUrl"]
        polling = asyncio.ensure_future(call("ReceiveMessage", QueueUrl=url, WaitTimeSeconds=5))
        await asyncio.sleep(0)
        await call("SendMessage", QueueUrl=url, MessageBody="a")
        return [message["Body"] for message in (await asyncio.wait_for(polling, 5))["Messages"]]

    assert asyncio.run(scenario()) == ["a"]
