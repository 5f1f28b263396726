"""Facts about the process of the library's services. They start it once."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar

import attrs
import pytest

from lambdaform.local.clock import VirtualClock
from lambdaform.local.data import MotoServices, child_environment
from lambdaform.local.ports import AwsFault

T = TypeVar("T")
REGION = "eu-central-1"
TABLE = {
    "TableName": "orders",
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    "BillingMode": "PAY_PER_REQUEST",
}


@attrs.frozen
class Bench:
    """A process of the library's services on a virtual clock, and the event loop it is used from."""

    runner: asyncio.Runner
    clock: VirtualClock
    data: MotoServices

    def __call__(self, scenario: Callable[[MotoServices], Awaitable[T]]) -> T:
        """What a scenario finds, beginning with nothing."""

        async def run() -> T:
            await self.data.reset()
            return await scenario(self.data)

        return self.runner.run(run())


@pytest.fixture(scope="module")
def bench() -> Generator[Bench]:
    """One process for all tests of this module."""
    with asyncio.Runner() as runner:
        clock = VirtualClock()
        data = MotoServices(clock=clock)
        yield Bench(runner, clock, data)
        runner.run(data.close())


async def tables(data: MotoServices) -> list[str]:
    """The names of all tables."""
    return list((await data.call("dynamodb", "ListTables", {}, region=REGION))["TableNames"])


def test_a_stream_has_one_record_for_each_change_of_an_item(bench: Bench) -> None:
    async def scenario(data: MotoServices) -> list[tuple[str, str | None, str | None]]:
        stream = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
        made = await data.call("dynamodb", "CreateTable", {**TABLE, "StreamSpecification": stream}, region=REGION)

        async def update(number: str) -> None:
            values = {"UpdateExpression": "SET n = :n", "ExpressionAttributeValues": {":n": {"N": number}}}
            params = {"TableName": "orders", "Key": {"id": {"S": "a"}}, **values}
            await data.call("dynamodb", "UpdateItem", params, region=REGION)

        for number in ("1", "1", "2"):
            await update(number)
        for number in ("2", "3"):
            item = {"TableName": "orders", "Item": {"id": {"S": "a"}, "n": {"N": number}}}
            await data.call("dynamodb", "PutItem", item, region=REGION)
        await data.call("dynamodb", "DeleteItem", {"TableName": "orders", "Key": {"id": {"S": "a"}}}, region=REGION)
        await update("4")
        arn = made["TableDescription"]["LatestStreamArn"]
        found = await data.call("dynamodbstreams", "DescribeStream", {"StreamArn": arn}, region=REGION)
        shard = found["StreamDescription"]["Shards"][0]["ShardId"]
        place = {"StreamArn": arn, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"}
        start = await data.call("dynamodbstreams", "GetShardIterator", place, region=REGION)
        read = await data.call(
            "dynamodbstreams", "GetRecords", {"ShardIterator": start["ShardIterator"]}, region=REGION
        )

        def number_in(record: Any, image: str) -> str | None:
            return record["dynamodb"][image]["n"]["N"] if image in record["dynamodb"] else None

        return [
            (each["eventName"], number_in(each, "OldImage"), number_in(each, "NewImage")) for each in read["Records"]
        ]

    assert bench(scenario) == [
        ("INSERT", None, "1"),
        ("MODIFY", "1", "2"),
        ("MODIFY", "2", "3"),
        ("REMOVE", "3", None),
        ("INSERT", None, "4"),
    ]


@pytest.mark.parametrize(
    ("service", "target", "what"),
    [
        ("nonsense", "Nonsense.Do", "the service 'nonsense'"),
        ("codecommit", "CodeCommit_20150413.ListRepositories", "this operation"),
        ("dynamodb", "DynamoDB_20120810.Nonsense", "this operation (Nonsense)"),
    ],
)
def test_what_the_library_does_not_have_is_said_without_a_traceback(
    bench: Bench, capfd: pytest.CaptureFixture[str], service: str, target: str, what: str
) -> None:
    scope = f"AWS4-HMAC-SHA256 Credential=local/20260101/{REGION}/{service}/aws4_request, SignedHeaders=host"
    headers = {"Authorization": f"{scope}, Signature=0", "X-Amz-Target": target}

    status, _, body = bench(lambda data: data.request("POST", "/", headers, b"{}"))

    assert status == 501
    assert json.loads(body)["message"].startswith(f"the local AWS does not have {what}")
    assert "Traceback" not in capfd.readouterr().err


def test_a_checkpoint_comes_back_as_often_as_wanted_and_a_reset_forgets_all(bench: Bench) -> None:
    async def scenario(data: MotoServices) -> list[list[str]]:
        await data.call("dynamodb", "CreateTable", TABLE, region=REGION)
        await data.checkpoint()
        seen = list[list[str]]()
        for _ in range(2):
            await data.call("dynamodb", "CreateTable", {**TABLE, "TableName": "more"}, region=REGION)
            seen.append(await tables(data))
            await data.restore()
            seen.append(await tables(data))
        await data.reset()
        return [*seen, await tables(data)]

    assert bench(scenario) == [["orders", "more"], ["orders"], ["orders", "more"], ["orders"], []]


def test_objects_roles_and_refusals_come_through(bench: Bench) -> None:
    async def scenario(data: MotoServices) -> tuple[bytes, str, str]:
        await data.call("s3", "CreateBucket", {"Bucket": "files"}, region="us-east-1")
        await data.call("s3", "PutObject", {"Bucket": "files", "Key": "a b/c", "Body": b"text"}, region="us-east-1")
        held = await data.call("s3", "GetObject", {"Bucket": "files", "Key": "a b/c"}, region="us-east-1")
        policy = {"PolicyArn": "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"}
        found = await data.call("iam", "GetPolicy", policy, region="us-east-1")
        with pytest.raises(AwsFault) as refused:
            await data.call("iam", "GetRole", {"RoleName": "none"}, region="us-east-1")
        return held["Body"], found["Policy"]["PolicyName"], refused.value.code

    assert bench(scenario) == (b"text", "AWSLambdaBasicExecutionRole", "NoSuchEntity")


def test_the_library_sees_the_virtual_time(bench: Bench) -> None:
    start = bench.clock.now()

    async def scenario(data: MotoServices) -> float:
        await data.call("kinesis", "CreateStream", {"StreamName": "s", "ShardCount": 1}, region=REGION)
        await bench.clock.advance(3600)
        record = {"StreamName": "s", "Data": b"x", "PartitionKey": "p"}
        put = await data.call("kinesis", "PutRecord", record, region=REGION)
        place = {"StreamName": "s", "ShardId": put["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
        iterator = (await data.call("kinesis", "GetShardIterator", place, region=REGION))["ShardIterator"]
        read = await data.call("kinesis", "GetRecords", {"ShardIterator": iterator}, region=REGION)
        return read["Records"][0]["ApproximateArrivalTimestamp"].timestamp()

    assert bench(scenario) == start + 3600


def test_listeners_hear_the_operation_of_every_request(bench: Bench) -> None:
    async def scenario(data: MotoServices) -> list[str]:
        heard = list[str]()
        data.listen(heard.append)
        await tables(data)
        return heard

    assert bench(scenario) == ["DynamoDB_20120810.ListTables"]


def test_a_caller_that_goes_away_does_not_disturb_the_next(bench: Bench) -> None:
    async def scenario(data: MotoServices) -> list[str]:
        first = asyncio.ensure_future(data.call("dynamodb", "CreateTable", TABLE, region=REGION))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        return await tables(data)

    assert bench(scenario) == ["orders"]


def test_a_process_that_ends_is_told_as_the_service_being_unavailable() -> None:
    async def scenario() -> int:
        with pytest.raises(AwsFault) as refused:
            await tables(MotoServices(executable=shutil.which("false") or "false"))
        return refused.value.status

    assert asyncio.run(scenario()) == 503


def test_the_process_gets_no_credentials_and_no_configuration() -> None:
    own = {"AWS_ACCESS_KEY_ID": "AKIAREAL", "AWS_PROFILE": "work", "HOME": "/home/me", "PATH": "/bin", "ODD": "1"}

    environment = child_environment(own)

    assert environment["AWS_ACCESS_KEY_ID"] == "local"
    assert environment["AWS_CONFIG_FILE"] == os.devnull
    assert environment["HOME"] != "/home/me"
    assert "AWS_PROFILE" not in environment
    assert "ODD" not in environment


async def execution_of(data: MotoServices, seconds: int) -> str:
    """The ARN of an execution of a state machine that waits, and no more."""
    definition = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": seconds, "End": True}}}
    machine = {"name": "waits", "definition": json.dumps(definition), "roleArn": "arn:aws:iam::123456789012:role/any"}
    arn = (await data.call("stepfunctions", "CreateStateMachine", machine, region=REGION))["stateMachineArn"]
    started = await data.call("stepfunctions", "StartExecution", {"stateMachineArn": arn, "input": "{}"}, region=REGION)
    return str(started["executionArn"])


async def status_of(data: MotoServices, execution: str) -> str:
    found = await data.call("stepfunctions", "DescribeExecution", {"executionArn": execution}, region=REGION)
    return str(found["status"])


def test_running_until_idle_goes_to_the_end_of_an_execution_and_no_further(bench: Bench) -> None:
    async def scenario(data: MotoServices) -> tuple[float, str]:
        execution = await execution_of(data, 86_400)
        passed = await bench.clock.run_until_idle(1_000_000)
        return passed, await status_of(data, execution)

    assert bench(scenario) == (86_400, "SUCCEEDED")


def test_a_stopped_execution_waits_no_longer(bench: Bench) -> None:
    async def scenario(data: MotoServices) -> tuple[float, str]:
        execution = await execution_of(data, 86_400)
        await bench.clock.advance(100)
        await data.call("stepfunctions", "StopExecution", {"executionArn": execution}, region=REGION)
        return await bench.clock.run_until_idle(1_000_000), await status_of(data, execution)

    assert bench(scenario) == (0, "ABORTED")


def test_a_state_that_is_brought_back_waits_for_nothing(bench: Bench) -> None:
    async def scenario(data: MotoServices) -> tuple[float, int]:
        await data.checkpoint()
        await execution_of(data, 86_400)
        await data.restore()
        machines = await data.call("stepfunctions", "ListStateMachines", {}, region=REGION)
        return await bench.clock.run_until_idle(1_000_000), len(machines["stateMachines"])

    assert bench(scenario) == (0, 0)
