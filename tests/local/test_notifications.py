"""Facts about buckets that tell of their objects; the objects are in the library's process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar

import attrs
import pytest

from lambdaform.local.clock import SeededIds, VirtualClock
from lambdaform.local.data import MotoServices
from lambdaform.local.notifications import configuration
from lambdaform.local.notifications.configuration import Configuration, ConfigurationError, Listener
from lambdaform.local.plumbing import Plumbing
from lambdaform.local.ports import ACCOUNT
from tests.fakes.calls import Caller
from tests.fakes.invoker import FUNCTION, FakeInvoker

T = TypeVar("T")
REGION = "us-east-1"
QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:jobs"


def listening(*elements: str) -> bytes:
    """The XML of a configuration."""
    return f'<NotificationConfiguration xmlns="{configuration.NAMESPACE}">{"".join(elements)}'.encode() + (
        b"</NotificationConfiguration>"
    )


def function(events: str = "s3:ObjectCreated:*", arn: str = FUNCTION, **affixes: str) -> str:
    """The XML of one function that listens."""
    rules = "".join(
        f"<FilterRule><Name>{name}</Name><Value>{value}</Value></FilterRule>" for name, value in affixes.items()
    )
    return (
        f"<CloudFunctionConfiguration><Id>mine</Id><CloudFunction>{arn}</CloudFunction><Event>{events}</Event>"
        f"<Filter><S3Key>{rules}</S3Key></Filter></CloudFunctionConfiguration>"
    )


@attrs.frozen
class Bench:
    """A bucket `files`, a queue, a function."""

    clock: VirtualClock
    data: MotoServices
    plumbing: Plumbing
    invoker: FakeInvoker

    async def s3(
        self, method: str, path: str, query: str = "", body: bytes = b"", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """A request to S3 as the door passes it on."""
        sent = {
            "host": "127.0.0.1:4566",
            "authorization": f"AWS4-HMAC-SHA256 Credential=a/20260101/{REGION}/s3/aws4_request, Signature=0",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        target = f"{path}?{query}" if query else path

        async def forward() -> tuple[int, list[tuple[str, str]], bytes]:
            return await self.data.request(method, target, sent, body)

        status, answered, content = await self.plumbing.notifications.around(
            method, path, query, sent, body, forward, region=REGION, account=ACCOUNT, request_id="R"
        )
        return status, {name.lower(): value for name, value in answered}, content

    async def listen(self, *elements: str, **headers: str) -> tuple[int, str]:
        """Set the bucket's configuration; status and body of the answer."""
        status, _, content = await self.s3("PUT", "/files", "notification", listening(*elements), **headers)
        return status, content.decode()

    @property
    def told(self) -> list[tuple[str, str]]:
        """Event and key of what the function was told."""
        return [
            (record["eventName"], record["s3"]["object"]["key"])
            for accepted in self.invoker.accepted
            for record in accepted.event["Records"]
        ]


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
            plumbing = Plumbing(clock=self.clock, ids=SeededIds(), data=self.data)
            plumbing.sqs.create(QUEUE, {}, {})
            invoker = FakeInvoker(self.clock)
            plumbing.connect(invoker)
            bench = Bench(self.clock, self.data, plumbing, invoker)
            await bench.s3("PUT", "/files")
            return await scenario(bench)

        return self.runner.run(run())


@pytest.fixture(scope="module")
def library() -> Generator[Library]:
    """The library's process, started once."""
    with asyncio.Runner() as runner:
        clock = VirtualClock()
        data = MotoServices(clock=clock)
        yield Library(runner, clock, data)
        runner.run(data.close())


def test_a_function_is_told_of_new_objects_in_lambdas_form(library: Library) -> None:
    async def scenario(bench: Bench) -> dict[str, Any]:
        await bench.listen(function())
        await bench.s3("PUT", "/files/a%20b/c.txt", body=b"hello")
        [accepted] = bench.invoker.accepted
        return accepted.event["Records"][0]

    record = library(scenario)

    assert (record["eventVersion"], record["eventSource"], record["awsRegion"]) == ("2.1", "aws:s3", REGION)
    assert record["eventName"] == "ObjectCreated:Put"
    assert record["s3"]["configurationId"] == "mine"
    assert record["s3"]["bucket"]["name"] == "files"
    assert record["s3"]["bucket"]["arn"] == "arn:aws:s3:::files"
    assert record["s3"]["object"]["key"] == "a+b/c.txt"
    assert record["s3"]["object"]["size"] == 5
    assert record["s3"]["object"]["eTag"] == "5d41402abc4b2a76b9719d911017c592"
    assert record["s3"]["object"]["sequencer"]


def test_prefix_and_suffix_choose_objects(library: Library) -> None:
    async def scenario(bench: Bench) -> list[tuple[str, str]]:
        await bench.listen(function(prefix="in/", suffix=".jpg"))
        for path in ("/files/in/a.jpg", "/files/in/a.png", "/files/out/a.jpg"):
            await bench.s3("PUT", path, body=b"x")
        return bench.told

    assert library(scenario) == [("ObjectCreated:Put", "in/a.jpg")]


def test_every_way_an_object_comes_or_goes_has_its_event(library: Library) -> None:
    async def scenario(bench: Bench) -> list[tuple[str, str]]:
        await bench.listen(function(), function("s3:ObjectRemoved:*"))
        await bench.s3("PUT", "/files/a", body=b"x")
        await bench.s3("PUT", "/files/b", x_amz_copy_source="/files/a")
        _, _, begun = await bench.s3("POST", "/files/c", "uploads")
        upload = begun.decode().split("<UploadId>")[1].split("</UploadId>")[0]
        _, part, _ = await bench.s3("PUT", "/files/c", f"partNumber=1&uploadId={upload}", body=b"x")
        parts = f"<Part><PartNumber>1</PartNumber><ETag>{part['etag']}</ETag></Part>"
        complete = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        await bench.s3("POST", "/files/c", f"uploadId={upload}", body=complete)
        await bench.s3("DELETE", "/files/a")
        several = b"<Delete><Object><Key>b</Key></Object><Object><Key>c</Key></Object></Delete>"
        await bench.s3("POST", "/files", "delete", body=several)
        return bench.told

    assert library(scenario) == [
        ("ObjectCreated:Put", "a"),
        ("ObjectCreated:Copy", "b"),
        ("ObjectCreated:CompleteMultipartUpload", "c"),
        ("ObjectRemoved:Delete", "a"),
        ("ObjectRemoved:Delete", "b"),
        ("ObjectRemoved:Delete", "c"),
    ]


def test_a_deletion_in_a_versioned_bucket_is_a_marker(library: Library) -> None:
    async def scenario(bench: Bench) -> list[tuple[str, str]]:
        versioning = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
        await bench.s3("PUT", "/files", "versioning", versioning)
        await bench.listen(function("s3:ObjectRemoved:*"))
        await bench.s3("PUT", "/files/a", body=b"x")
        await bench.s3("DELETE", "/files/a")
        return bench.told

    assert library(scenario) == [("ObjectRemoved:DeleteMarkerCreated", "a")]


def test_copies_know_the_size_of_their_object(library: Library) -> None:
    async def scenario(bench: Bench) -> int:
        await bench.s3("PUT", "/files/a", body=b"hello")
        await bench.listen(function())
        await bench.s3("PUT", "/files/b", x_amz_copy_source="/files/a")
        return bench.invoker.accepted[0].event["Records"][0]["s3"]["object"]["size"]

    assert library(scenario) == 5


def test_what_fails_and_what_only_reads_tells_nobody(library: Library) -> None:
    async def scenario(bench: Bench) -> tuple[int, list[tuple[str, str]]]:
        await bench.listen(function())
        await bench.s3("GET", "/files/a")
        status, _, _ = await bench.s3("PUT", "/none/a", body=b"x")
        return status, bench.told

    assert library(scenario) == (404, [])


def test_a_bucket_is_found_by_host_too(library: Library) -> None:
    async def scenario(bench: Bench) -> list[tuple[str, str]]:
        await bench.listen(function())
        await bench.s3("PUT", "/a", body=b"x", host="files.s3.amazonaws.com")
        return bench.told

    assert library(scenario) == [("ObjectCreated:Put", "a")]


def test_a_queue_is_told_first_that_it_listens(library: Library) -> None:
    async def scenario(bench: Bench) -> list[Any]:
        await bench.listen(
            f"<QueueConfiguration><Queue>{QUEUE}</Queue><Event>s3:ObjectCreated:Put</Event></QueueConfiguration>"
        )
        await bench.s3("PUT", "/files/a", body=b"x")
        return [json.loads(message.body) for message in bench.plumbing.sqs.peek(QUEUE)]

    trial, told = library(scenario)

    assert (trial["Event"], trial["Bucket"]) == ("s3:TestEvent", "files")
    assert told["Records"][0]["eventName"] == "ObjectCreated:Put"


def test_the_default_bus_is_told_when_it_is_switched_on(library: Library) -> None:
    async def scenario(bench: Bench) -> Any:
        rules = Caller(bench.plumbing.events, region=REGION)
        await rules("PutRule", Name="r", EventPattern='{"source":["aws.s3"]}')
        await rules("PutTargets", Rule="r", Targets=[{"Id": "1", "Arn": QUEUE}])
        await bench.listen("<EventBridgeConfiguration/>")
        await bench.s3("PUT", "/files/a%20b", body=b"x")
        return json.loads(bench.plumbing.sqs.peek(QUEUE)[0].body)

    event = library(scenario)

    assert (event["detail-type"], event["resources"]) == ("Object Created", ["arn:aws:s3:::files"])
    assert event["detail"]["object"]["key"] == "a b"
    assert event["detail"]["reason"] == "PutObject"


def test_a_configuration_is_answered_as_it_was_set_and_goes_with_its_bucket(library: Library) -> None:
    async def scenario(bench: Bench) -> tuple[Configuration, Configuration, int]:
        await bench.listen(function(prefix="in/"))
        _, _, held = await bench.s3("GET", "/files", "notification")
        await bench.s3("DELETE", "/files")
        missing, _, _ = await bench.s3("GET", "/files", "notification")
        await bench.s3("PUT", "/files")
        _, _, anew = await bench.s3("GET", "/files", "notification")
        return configuration.parse(held, str), configuration.parse(anew, str), missing

    held, anew, missing = library(scenario)

    expected = Listener(kind="CloudFunction", id="mine", arn=FUNCTION, events=("s3:ObjectCreated:*",), prefix="in/")
    assert held == Configuration((expected,))
    assert anew == Configuration()
    assert missing == 404


def test_destinations_are_checked_unless_the_caller_says_not_to(library: Library) -> None:
    async def scenario(bench: Bench) -> tuple[tuple[int, str], tuple[int, str], int]:
        bench.invoker.missing.add(FUNCTION)
        missing = await bench.listen(function())
        bench.invoker.missing.clear()
        bench.plumbing.notifications.permits = lambda arn, principal, source: False
        forbidden = await bench.listen(function())
        skipped, _ = await bench.listen(function(), x_amz_skip_destination_validation="true")
        return missing, forbidden, skipped

    missing, forbidden, skipped = library(scenario)

    for status, body in (missing, forbidden):
        assert status == 400
        assert "<Code>InvalidArgument</Code>" in body
        assert "Unable to validate the following destination configurations" in body
    assert "does not exist" in missing[1]
    assert "Not authorized" in forbidden[1]
    assert skipped == 200


def test_a_missing_bucket_is_told_by_name(library: Library) -> None:
    async def scenario(bench: Bench) -> tuple[int, bytes]:
        status, _, body = await bench.s3("PUT", "/none", "notification", listening(function()))
        return status, body

    status, body = library(scenario)

    assert status == 404
    assert b"<Code>NoSuchBucket</Code>" in body


def test_everything_comes_back_with_a_checkpoint(library: Library) -> None:
    async def scenario(bench: Bench) -> list[tuple[str, str]]:
        await bench.listen(function())
        await bench.data.checkpoint()
        state = bench.plumbing.checkpoint()
        bench.plumbing.reset()
        await bench.s3("DELETE", "/files")
        await bench.data.restore()
        bench.plumbing.restore(state)
        await bench.s3("PUT", "/files/a", body=b"x")
        return bench.told

    assert library(scenario) == [("ObjectCreated:Put", "a")]


@pytest.mark.parametrize(
    ("elements", "code"),
    [
        (["<OddConfiguration/>"], "MalformedXML"),
        (["<QueueConfiguration><Queue>q</Queue></QueueConfiguration>"], "MalformedXML"),
        ([function("s3:ObjectImagined:*")], "InvalidArgument"),
        ([function(middle="x")], "InvalidArgument"),
        ([function(), function("s3:ObjectCreated:Put")], "InvalidArgument"),
        ([function(prefix="a"), function(prefix="ab")], "InvalidArgument"),
    ],
)
def test_configurations_aws_does_not_take_are_refused(elements: list[str], code: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        configuration.check(configuration.parse(listening(*elements), lambda: "id"))

    assert refused.value.code == code


@pytest.mark.parametrize(
    "elements",
    [
        [function(prefix="a"), function(prefix="b")],
        [function(suffix=".jpg"), function(suffix=".png")],
        [function(), function("s3:ObjectRemoved:*")],
    ],
)
def test_listeners_that_cannot_meet_may_stand_side_by_side(elements: list[str]) -> None:
    held = configuration.parse(listening(*elements), lambda: "id")

    configuration.check(held)

    assert len(held.listeners) == 2
