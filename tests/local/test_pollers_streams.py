"""Facts about streams that feed functions: with the library's own Kinesis and DynamoDB, and of the pure rules."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar

import attrs
import pytest

from lambdaform.local.clock import SeededIds, VirtualClock
from lambdaform.local.data import MotoServices
from lambdaform.local.delivery import Delivery
from lambdaform.local.pollers import EventPollers, retries
from lambdaform.local.pollers.answers import Settled
from lambdaform.local.pollers.retries import Again, Done, GiveUp, Piece, StreamPolicy, StreamRecord
from lambdaform.local.ports import ACCOUNT, AwsFault, EventMapping
from lambdaform.local.sqs import Sqs
from tests.fakes.invoker import FUNCTION, FakeInvoker, outcome, refusal

T = TypeVar("T")
REGION = "eu-central-1"
STREAM = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/clicks"
DEAD = f"arn:aws:sqs:{REGION}:{ACCOUNT}:dead"


@attrs.frozen
class Bench:
    """A Kinesis stream `clicks`, a queue `dead`, a function, and the pollers between them."""

    clock: VirtualClock
    data: MotoServices
    sqs: Sqs
    invoker: FakeInvoker
    pollers: EventPollers

    def map(self, arn: str = STREAM, **settings: Any) -> None:
        """Let the function read a stream."""
        given = {"StartingPosition": "TRIM_HORIZON", **settings}
        self.pollers.start(EventMapping("mapping", REGION, ACCOUNT, FUNCTION, arn, given))

    async def call(self, service: str, operation: str, **params: Any) -> Any:
        """Call the library."""
        return await self.data.call(service, operation, params, region=REGION)

    async def put(self, *texts: str) -> None:
        """Put records into the stream, all of one shard."""
        records = [{"Data": text.encode(), "PartitionKey": "p"} for text in texts]
        await self.call("kinesis", "PutRecords", StreamName="clicks", Records=records)

    @property
    def seen(self) -> list[list[str]]:
        """The data of every invocation."""
        return [
            [base64.b64decode(record["kinesis"]["data"]).decode() for record in invocation.event["Records"]]
            for invocation in self.invoker.seen
        ]

    def dead(self) -> list[dict[str, Any]]:
        """The documents in the queue."""
        return [json.loads(message.body) for message in self.sqs.peek(DEAD)]


@attrs.frozen
class Library:
    """One process of the library's services for all tests, and the loop it is used from."""

    runner: asyncio.Runner
    clock: VirtualClock
    data: MotoServices

    def __call__(self, scenario: Callable[[Bench], Awaitable[T]]) -> T:
        """What a scenario finds."""

        async def run() -> T:
            await self.data.reset()
            ids = SeededIds()
            sqs = Sqs(clock=self.clock, ids=ids)
            sqs.create(DEAD, {}, {})
            invoker = FakeInvoker(self.clock)
            delivery = Delivery(clock=self.clock, ids=ids)
            delivery.attach(queues=sqs, data=self.data)
            pollers = EventPollers(clock=self.clock, ids=ids, queues=sqs, data=self.data, delivery=delivery)
            pollers.connect(invoker)
            bench = Bench(self.clock, self.data, sqs, invoker, pollers)
            await bench.call("kinesis", "CreateStream", StreamName="clicks", ShardCount=1)
            try:
                return await scenario(bench)
            finally:
                pollers.reset()
                await self.clock.close()

        return self.runner.run(run())


@pytest.fixture(scope="module")
def library() -> Generator[Library]:
    """The library's process, started once."""
    with asyncio.Runner() as runner:
        clock = VirtualClock()
        data = MotoServices(clock=clock)
        yield Library(runner, clock, data)
        runner.run(data.close())


def test_records_are_handed_over_in_order_and_in_batches(library: Library) -> None:
    async def scenario(bench: Bench) -> tuple[list[list[str]], str | None]:
        await bench.put("a", "b", "c")
        bench.map(BatchSize=2)
        await bench.clock.settle()
        await bench.put("d")
        await bench.clock.advance(1)
        return bench.seen, bench.pollers.last_result("mapping")

    assert library(scenario) == ([["a", "b"], ["c"], ["d"]], "OK")


def test_latest_begins_with_what_comes_after_the_mapping(library: Library) -> None:
    async def scenario(bench: Bench) -> list[list[str]]:
        await bench.put("before")
        bench.map(StartingPosition="LATEST")
        await asyncio.sleep(0)
        await bench.put("after")
        await bench.clock.advance(1)
        return bench.seen

    assert library(scenario) == [["after"]]


def test_a_failing_batch_blocks_its_shard_until_it_is_given_up_with_a_document(library: Library) -> None:
    async def scenario(bench: Bench) -> tuple[list[list[str]], list[dict[str, Any]]]:
        bench.invoker.answering = lambda event: outcome(
            error="no" if len(bench.invoker.seen) <= 3 else None, request_id=f"r{len(bench.invoker.seen)}"
        )
        destination = {"OnFailure": {"Destination": DEAD}}
        await bench.put("a", "b")
        bench.map(BatchSize=1, MaximumRetryAttempts=2, DestinationConfig=destination)
        await bench.clock.advance(10)
        return bench.seen, bench.dead()

    seen, [document] = library(scenario)

    assert seen == [["a"], ["a"], ["a"], ["b"]]
    assert document["requestContext"] == {
        "requestId": "r3",
        "functionArn": FUNCTION,
        "condition": "RetryAttemptsExhausted",
        "approximateInvokeCount": 3,
    }
    assert document["responseContext"] == {
        "statusCode": 200,
        "executedVersion": "$LATEST",
        "functionError": "Unhandled",
    }
    assert document["KinesisBatchInfo"]["batchSize"] == 1
    assert "payload" not in document


def test_bisecting_finds_the_poisonous_record(library: Library) -> None:
    async def scenario(bench: Bench) -> list[list[str]]:
        def answering(event: Any) -> Any:
            data = [base64.b64decode(record["kinesis"]["data"]).decode() for record in event["Records"]]
            return outcome(error="no" if "bad" in data else None)

        bench.invoker.answering = answering
        await bench.put("a", "bad", "c", "d")
        bench.map(BisectBatchOnFunctionError=True, MaximumRetryAttempts=0)
        await bench.clock.advance(30)
        return bench.seen

    assert library(scenario) == [["a", "bad", "c", "d"], ["a", "bad"], ["a"], ["bad"], ["c", "d"]]


def test_a_partial_response_goes_on_from_the_lowest_reported_record(library: Library) -> None:
    async def scenario(bench: Bench) -> list[list[str]]:
        def answering(event: Any) -> Any:
            names = [record["kinesis"]["sequenceNumber"] for record in event["Records"]]
            failed = [names[2], names[1]] if len(names) == 3 else []
            return outcome({"batchItemFailures": [{"itemIdentifier": name} for name in failed]})

        bench.invoker.answering = answering
        await bench.put("a", "b", "c")
        bench.map(FunctionResponseTypes=["ReportBatchItemFailures"])
        await bench.clock.advance(5)
        return bench.seen

    assert library(scenario) == [["a", "b", "c"], ["b", "c"]]


def test_records_that_are_too_old_are_given_up_untried_and_the_rest_goes_on(library: Library) -> None:
    async def scenario(bench: Bench) -> tuple[list[list[str]], list[dict[str, Any]]]:
        await bench.put("old")
        await bench.clock.advance(100)
        await bench.put("new")
        bench.map(MaximumRecordAgeInSeconds=60, DestinationConfig={"OnFailure": {"Destination": DEAD}})
        await bench.clock.settle()
        return bench.seen, bench.dead()

    seen, [document] = library(scenario)

    assert seen == [["new"]]
    assert document["requestContext"]["condition"] == "RecordAgeExceeded"
    assert document["requestContext"]["approximateInvokeCount"] == 1
    assert "responseContext" not in document


def test_filtered_records_are_passed_over(library: Library) -> None:
    async def scenario(bench: Bench) -> list[list[str]]:
        await bench.put('{"n": 1}', "text", '{"n": 2}')
        bench.map(FilterCriteria={"Filters": [{"Pattern": '{"data": {"n": [2]}}'}]})
        await bench.clock.settle()
        return bench.seen

    assert library(scenario) == [['{"n": 2}']]


def test_changes_of_a_table_arrive_as_records_of_its_stream(library: Library) -> None:
    async def scenario(bench: Bench) -> list[dict[str, Any]]:
        made = await bench.call(
            "dynamodb",
            "CreateTable",
            TableName="orders",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )
        bench.map(made["TableDescription"]["LatestStreamArn"], StartingPosition="LATEST")
        await bench.clock.settle()
        item = {"id": {"S": "1"}, "b": {"B": b"\x01"}}
        await bench.call("dynamodb", "PutItem", TableName="orders", Item=item)
        await bench.clock.advance(1)
        await bench.call("dynamodb", "DeleteItem", TableName="orders", Key={"id": {"S": "1"}})
        await bench.clock.advance(1)
        return [record for seen in bench.invoker.seen for record in seen.event["Records"]]

    put, removed = library(scenario)

    assert (put["eventName"], put["eventSource"], put["eventVersion"]) == ("INSERT", "aws:dynamodb", "1.1")
    assert put["dynamodb"]["NewImage"] == {"id": {"S": "1"}, "b": {"B": "AQ=="}}
    assert isinstance(put["dynamodb"]["ApproximateCreationDateTime"], int)
    assert removed["eventName"] == "REMOVE"


def test_a_stream_switched_off_and_on_goes_on_where_it_was(library: Library) -> None:
    async def scenario(bench: Bench) -> list[list[str]]:
        await bench.put("a")
        bench.map()
        await bench.clock.settle()
        bench.pollers.stop("mapping")
        await bench.put("b")
        bench.map()
        await bench.clock.settle()
        return bench.seen

    assert library(scenario) == [["a"], ["b"]]


def test_a_missing_stream_is_refused(library: Library) -> None:
    async def scenario(bench: Bench) -> str | None:
        await bench.pollers.check_source(STREAM, region=REGION)
        with pytest.raises(AwsFault) as refused:
            await bench.pollers.check_source(f"{STREAM}2", region=REGION)
        return refused.value.message

    assert library(scenario) == f"Stream not found: {STREAM}2"


def piece(count: int, attempts: int = 0) -> Piece:
    """That many records, numbered from 1."""
    return Piece(tuple(StreamRecord(str(number), 0.0, {}, 10) for number in range(1, count + 1)), attempts)


def names(next_step: Again) -> list[list[str]]:
    """The records of the pieces that come next."""
    return [[record.sequence for record in part.records] for part in next_step.pieces]


ALL = Settled(frozenset(("1", "2", "3")))


def test_throttles_are_never_counted() -> None:
    decision = retries.decide_next(piece(3, 5), refusal(), ALL, StreamPolicy(max_retries=5))

    assert isinstance(decision, Again)
    assert [part.attempts for part in decision.pieces] == [5]


@pytest.mark.parametrize(("attempts", "gives_up"), [(0, False), (1, False), (2, True)])
def test_a_batch_is_tried_once_and_then_as_often_as_its_retries(attempts: int, gives_up: bool) -> None:
    decision = retries.decide_next(piece(3, attempts), outcome(error="no"), ALL, StreamPolicy(max_retries=2))

    assert isinstance(decision, GiveUp) is gives_up


def test_without_limits_a_batch_is_tried_forever() -> None:
    assert isinstance(retries.decide_next(piece(3, 9_999), outcome(error="no"), ALL, StreamPolicy()), Again)


def test_splitting_uses_up_no_retry() -> None:
    policy = StreamPolicy(max_retries=0, splits=True)

    decision = retries.decide_next(piece(3), outcome(error="no"), ALL, policy)

    assert isinstance(decision, Again)
    assert names(decision) == [["1", "2"], ["3"]]
    assert [part.attempts for part in decision.pieces] == [0, 0]


def test_success_of_all_is_done() -> None:
    assert retries.decide_next(piece(3), outcome(), Settled(frozenset()), StreamPolicy()) == Done()
