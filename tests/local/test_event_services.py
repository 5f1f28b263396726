"""The event services end to end: boto3 over the wire, handlers in real processes, on the virtual clock."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Generator, Mapping
from typing import Any

import attrs
import pytest
from botocore.exceptions import ClientError

from tests.local.conftest import ROLE, Aws, start, stop, unique, zipped

ECHO = """
import json
def handler(event, context):
    if json.dumps(event).find("poison") >= 0:
        raise ValueError("poison")
    return {"seen": event}
"""


@attrs.frozen
class Virtual:
    """A local AWS whose time is moved by the tests."""

    aws: Aws

    def client(self, service: str) -> Any:
        """A boto3 client."""
        return self.aws.client(service)

    def own(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Ask the local AWS itself."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.aws.endpoint}/_lambdaform/{path}", data=data)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())

    def advance(self, seconds: float) -> None:
        """Move the time; everything that comes up on the way is done when this returns."""
        self.own("clock", {"advance": seconds})

    def function(self, **settings: Any) -> str:
        """The ARN of a function that echoes, and fails on poison."""
        name = unique()
        made = self.client("lambda").create_function(
            FunctionName=name,
            Runtime="python3.11",
            Handler="app.handler",
            Role=ROLE,
            Code={"ZipFile": zipped({"app.py": ECHO})},
            **settings,
        )
        return made["FunctionArn"]

    def queue(self, **attributes: str) -> tuple[str, str]:
        """URL and ARN of a new queue."""
        sqs = self.client("sqs")
        url = sqs.create_queue(QueueName=unique("q"), Attributes=attributes)["QueueUrl"]
        return url, sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]

    def messages(self, arn: str) -> list[Any]:
        """What lies in a queue, as JSON."""
        return [json.loads(message["body"]) for message in self.own(f"messages?queue={arn}")]

    def events(self, function: str) -> list[Any]:
        """The events a function was invoked with."""
        name = function.rsplit(":", 1)[1]
        return [record["event"] for record in self.own(f"invocations?function={name}")]

    def permit(self, function: str, principal: str, source: str) -> None:
        """Let a service invoke a function."""
        self.client("lambda").add_permission(
            FunctionName=function,
            StatementId=unique("s"),
            Action="lambda:InvokeFunction",
            Principal=principal,
            SourceArn=source,
        )


@pytest.fixture(scope="module")
def virtual(tmp_path_factory: pytest.TempPathFactory) -> Generator[Virtual]:
    """One local AWS on the virtual clock for all tests of this module."""
    process, found = start(tmp_path_factory.mktemp("virtual"), "--clock", "virtual")
    yield Virtual(found)
    stop(process)


def test_boto3_sends_and_receives_and_checks_the_digests(virtual: Virtual) -> None:
    sqs = virtual.client("sqs")
    url, _ = virtual.queue()
    attributes = {"n": {"DataType": "Number", "StringValue": "7"}, "b": {"DataType": "Binary", "BinaryValue": b"\x01"}}

    sqs.send_message(QueueUrl=url, MessageBody="hällo", MessageAttributes=attributes)
    [message] = sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"], AttributeNames=["All"])["Messages"]

    assert message["Body"] == "hällo"
    assert message["MessageAttributes"] == attributes
    assert message["Attributes"]["ApproximateReceiveCount"] == "1"
    assert url.startswith(virtual.aws.endpoint)


def test_boto3_knows_the_errors_of_sqs_by_their_names(virtual: Virtual) -> None:
    sqs = virtual.client("sqs")

    with pytest.raises(sqs.exceptions.QueueDoesNotExist) as refused:
        sqs.get_queue_url(QueueName="none")

    assert refused.value.response["Error"]["Code"] == "AWS.SimpleQueueService.NonExistentQueue"


def test_a_poison_message_ends_in_the_dead_letter_queue(virtual: Virtual) -> None:
    _, dead = virtual.queue()
    policy = json.dumps({"deadLetterTargetArn": dead, "maxReceiveCount": 2})
    url, arn = virtual.queue(VisibilityTimeout="30", RedrivePolicy=policy)
    function = virtual.function()
    virtual.client("lambda").create_event_source_mapping(EventSourceArn=arn, FunctionName=function)
    virtual.advance(5)

    virtual.client("sqs").send_message(QueueUrl=url, MessageBody='"poison"')
    virtual.client("sqs").send_message(QueueUrl=url, MessageBody='"good"')
    virtual.advance(120)

    assert virtual.messages(dead) == ["poison"]
    assert virtual.messages(arn) == []


def test_an_asynchronous_event_is_retried_and_ends_at_its_destination(virtual: Virtual) -> None:
    _, failed = virtual.queue()
    function = virtual.function()
    virtual.client("lambda").put_function_event_invoke_config(
        FunctionName=function, DestinationConfig={"OnFailure": {"Destination": failed}}
    )

    virtual.client("lambda").invoke(FunctionName=function, InvocationType="Event", Payload=b'"poison"')
    virtual.advance(179)
    before = virtual.messages(failed)
    virtual.advance(1)

    assert before == []
    [record] = virtual.messages(failed)
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["requestContext"]["approximateInvokeCount"] == 3
    assert record["responsePayload"]["errorMessage"] == "poison"


def test_a_topic_fans_out_to_a_queue_and_a_function(virtual: Virtual) -> None:
    sns = virtual.client("sns")
    topic = sns.create_topic(Name=unique("t"))["TopicArn"]
    _, queue = virtual.queue()
    function = virtual.function()
    virtual.permit(function, "sns.amazonaws.com", topic)
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue, Attributes={"RawMessageDelivery": "true"})
    sns.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=function)

    sns.publish(TopicArn=topic, Message='{"n": 1}')
    virtual.advance(0)

    assert virtual.messages(queue) == [{"n": 1}]
    assert [event["Records"][0]["Sns"]["Message"] for event in virtual.events(function)] == ['{"n": 1}']


def test_a_schedule_of_a_rule_invokes_a_function_at_its_time(virtual: Virtual) -> None:
    events = virtual.client("events")
    function = virtual.function()
    name = unique("r")
    rule = events.put_rule(Name=name, ScheduleExpression="rate(1 hour)")["RuleArn"]
    virtual.permit(function, "events.amazonaws.com", rule)
    events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": function}])

    virtual.advance(2 * 3_600)
    seen = virtual.events(function)
    events.disable_rule(Name=name)

    assert [event["detail-type"] for event in seen] == ["Scheduled Event"] * 2


def test_an_event_reaches_a_queue_by_a_rule(virtual: Virtual) -> None:
    events = virtual.client("events")
    _, queue = virtual.queue()
    name = unique("r")
    events.put_rule(Name=name, EventPattern=json.dumps({"source": [name]}))
    events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": queue, "InputPath": "$.detail"}])

    answer = events.put_events(Entries=[{"Source": name, "DetailType": "d", "Detail": '{"n": 1}'}])

    assert answer["FailedEntryCount"] == 0
    assert virtual.messages(queue) == [{"n": 1}]


def test_the_scheduler_sends_to_a_queue(virtual: Virtual) -> None:
    scheduler = virtual.client("scheduler")
    _, queue = virtual.queue()
    name = unique("s")
    scheduler.create_schedule(
        Name=name,
        ScheduleExpression="rate(1 hour)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": queue, "RoleArn": ROLE, "Input": '{"at": "<aws.scheduler.scheduled-time>"}'},
    )

    virtual.advance(3_600)
    held = virtual.messages(queue)
    got = scheduler.get_schedule(Name=name)
    scheduler.delete_schedule(Name=name)

    assert len(held) == 2
    assert got["Target"]["RetryPolicy"] == {"MaximumEventAgeInSeconds": 86_400, "MaximumRetryAttempts": 185}


def test_a_bucket_tells_a_function_of_its_objects(virtual: Virtual) -> None:
    s3 = virtual.client("s3")
    function, bucket = virtual.function(), unique("b")
    s3.create_bucket(Bucket=bucket)
    listener = {"LambdaFunctionArn": function, "Events": ["s3:ObjectCreated:*"]}

    with pytest.raises(ClientError) as refused:
        s3.put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration={"LambdaFunctionConfigurations": [listener]}
        )
    virtual.permit(function, "s3.amazonaws.com", f"arn:aws:s3:::{bucket}")
    s3.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"LambdaFunctionConfigurations": [listener]}
    )
    s3.put_object(Bucket=bucket, Key="a b.txt", Body=b"hello")
    virtual.advance(0)

    assert "InvalidArgument" in str(refused.value)
    [event] = virtual.events(function)
    assert event["Records"][0]["s3"]["object"]["key"] == "a+b.txt"
    assert event["Records"][0]["s3"]["object"]["size"] == 5
    held = s3.get_bucket_notification_configuration(Bucket=bucket)["LambdaFunctionConfigurations"]
    assert [each["LambdaFunctionArn"] for each in held] == [function]


def test_changes_of_a_table_reach_a_function(virtual: Virtual) -> None:
    dynamodb, name = virtual.client("dynamodb"), unique("t")
    made = dynamodb.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    )
    function = virtual.function()
    virtual.client("lambda").create_event_source_mapping(
        EventSourceArn=made["TableDescription"]["LatestStreamArn"], FunctionName=function, StartingPosition="LATEST"
    )
    virtual.advance(5)

    dynamodb.put_item(TableName=name, Item={"id": {"S": "1"}})
    virtual.advance(1)

    [event] = virtual.events(function)
    assert event["Records"][0]["dynamodb"]["NewImage"] == {"id": {"S": "1"}}


def test_queues_serve_long_polls_on_the_system_clock(aws: Aws) -> None:
    sqs = aws.client("sqs")
    url = sqs.create_queue(QueueName=unique("q"))["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="a", DelaySeconds=1)

    begun = time.monotonic()
    [message] = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=10)["Messages"]

    assert message["Body"] == "a"
    assert time.monotonic() - begun < 9  # before the wait is over
