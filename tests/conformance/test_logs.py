"""CloudWatch Logs.

CloudWatch Logs through boto3, and its filter patterns.
"""

from __future__ import annotations

import base64
import gzip
import json
import time
from typing import Any

import pytest

from lambdaform.local.logs.filters import compile_pattern
from lambdaform.local.ports import AwsFault
from tests.conformance.facts import fact
from tests.local.conftest import Aws, Maker, own, refusal, unique, until


@pytest.fixture(scope="module")
def logs(aws: Aws) -> Any:
    return aws.client("logs")


@pytest.fixture
def group(logs: Any) -> str:
    name = unique("/group")
    logs.create_log_group(logGroupName=name)
    return name


def put(logs: Any, group: str, stream: str, *messages: str) -> None:
    now = int(time.time() * 1000)
    logs.put_log_events(
        logGroupName=group,
        logStreamName=stream,
        logEvents=[{"timestamp": now + number, "message": message} for number, message in enumerate(messages)],
    )


@fact(
    "CreateLogGroup",
    "a name is taken once; groups are described",
    source="https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_CreateLogGroup.html",
)
def test_a_group_is_made_once_and_described(logs: Any, group: str) -> None:
    again = refusal(logs.create_log_group, logGroupName=group)
    logs.put_retention_policy(logGroupName=group, retentionInDays=7)

    found = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]

    assert (again.code, again.message) == (
        "ResourceAlreadyExistsException",
        "The specified log group already exists",
    )
    assert [each["logGroupName"] for each in found] == [group]
    assert found[0]["retentionInDays"] == 7
    assert found[0]["arn"] == f"arn:aws:logs:us-east-1:123456789012:log-group:{group}:*"
    assert refusal(logs.put_retention_policy, logGroupName=group, retentionInDays=2).code == "InvalidParameterException"


@fact(
    "GetLogEvents",
    "reads forwards and backwards by tokens",
    source="https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetLogEvents.html",
)
def test_events_are_read_forwards_and_backwards(logs: Any, group: str) -> None:
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    put(logs, group, "s", *"abcde")

    def read(**options: Any) -> tuple[list[str], str, str]:
        answer = logs.get_log_events(logGroupName=group, logStreamName="s", **options)
        return (
            [event["message"] for event in answer["events"]],
            answer["nextForwardToken"],
            answer["nextBackwardToken"],
        )

    first, forward, _ = read(limit=2, startFromHead=True)
    second, forward, _ = read(limit=2, nextToken=forward)
    third, end, _ = read(limit=2, nextToken=forward)
    rest, same, _ = read(limit=2, nextToken=end)
    last, _, backward = read(limit=2)
    before, _, _ = read(limit=2, nextToken=backward)

    assert [first, second, third, rest] == [["a", "b"], ["c", "d"], ["e"], []]
    assert same == end
    assert [last, before] == [["d", "e"], ["b", "c"]]


@fact(
    "FilterLogEvents",
    "refuses a token that comes from no listing",
    source="https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html",
)
def test_a_token_that_is_none_is_refused(logs: Any, group: str) -> None:
    refused = refusal(logs.filter_log_events, logGroupName=group, nextToken="junk")

    assert (refused.code, refused.message) == ("InvalidParameterException", "The specified nextToken is invalid.")


@fact(
    "FilterLogEvents",
    "goes over all streams by time",
    source="https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html",
)
def test_filtering_goes_over_all_streams_by_time(logs: Any, group: str) -> None:
    for stream in ("one", "two"):
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
        put(logs, group, stream, f"keep {stream}", "drop")

    found = logs.filter_log_events(logGroupName=group, filterPattern="keep")["events"]
    named = logs.filter_log_events(logGroupName=group, logStreamNamePrefix="tw")["events"]

    assert sorted(event["message"] for event in found) == ["keep one", "keep two"]
    assert [event["message"] for event in named] == ["keep two", "drop"]


@fact(
    "PutLogEvents",
    "refuses what is out of order",
    source="https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html",
)
def test_events_out_of_order_are_refused(logs: Any, group: str) -> None:
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    now = int(time.time() * 1000)

    refused = refusal(
        logs.put_log_events,
        logGroupName=group,
        logStreamName="s",
        logEvents=[{"timestamp": now, "message": "b"}, {"timestamp": now - 5, "message": "a"}],
    )

    assert refused.code == "InvalidParameterException"


@fact(
    "ResourceNotFoundException",
    "names what is missing",
    source="https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetLogEvents.html",
)
def test_what_is_missing_is_named(logs: Any, group: str) -> None:
    no_group = refusal(logs.describe_log_streams, logGroupName="/nothing")
    no_stream = refusal(logs.get_log_events, logGroupName=group, logStreamName="nothing")

    assert (no_group.code, no_group.message) == (
        "ResourceNotFoundException",
        "The specified log group does not exist.",
    )
    assert no_stream.message == "The specified log stream does not exist."


def test_tags_go_by_name_and_by_arn(logs: Any, group: str) -> None:
    arn = f"arn:aws:logs:us-east-1:123456789012:log-group:{group}"

    logs.tag_log_group(logGroupName=group, tags={"a": "1"})
    logs.tag_resource(resourceArn=arn, tags={"b": "2"})
    logs.untag_resource(resourceArn=arn, tagKeys=["a"])

    assert logs.list_tags_for_resource(resourceArn=arn)["tags"] == {"b": "2"}


SUBSCRIPTIONS = "https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/logs/SubscriptionFilters.html"


def permit(awslambda: Any, name: str, group: str) -> str:
    """Let a log group invoke a function; gives the function's ARN."""
    awslambda.add_permission(
        FunctionName=name,
        StatementId="logs",
        Action="lambda:InvokeFunction",
        Principal="logs.amazonaws.com",
        SourceArn=f"arn:aws:logs:us-east-1:123456789012:log-group:{group}:*",
    )
    return awslambda.get_function_configuration(FunctionName=name)["FunctionArn"]


def received(aws: Aws, name: str) -> list[Any]:
    """What a function got, unpacked."""
    events = [each["event"] for each in own(aws, "GET", f"invocations?function={name}")[1]]
    return [json.loads(gzip.decompress(base64.b64decode(event["awslogs"]["data"]))) for event in events]


@fact(
    "PutSubscriptionFilter",
    "sends the lines that match to a function, several at once, packed with where they are from",
    here="partly",
    gap="to functions only; one to a stream or a delivery stream is refused with 501",
    source="https://docs.aws.amazon.com/lambda/latest/dg/services-cloudwatchlogs.html",
)
def test_lines_that_match_a_subscription_reach_its_function(
    aws: Aws, awslambda: Any, function: Maker, logs: Any, group: str
) -> None:
    name = function("def handler(event, context):\n    return None\n")
    arn = permit(awslambda, name, group)
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    logs.put_subscription_filter(logGroupName=group, filterName="bad", filterPattern="ERROR", destinationArn=arn)
    elsewhere = refusal(
        logs.put_subscription_filter,
        logGroupName=group,
        filterName="stream",
        filterPattern="",
        destinationArn="arn:aws:kinesis:us-east-1:123456789012:stream/s",
    )

    put(logs, group, "s", "ERROR 1", "fine", "ERROR 2")
    until(lambda: received(aws, name) != [])
    (found,) = received(aws, name)

    assert {key: value for key, value in found.items() if key != "logEvents"} == {
        "messageType": "DATA_MESSAGE",
        "owner": "123456789012",
        "logGroup": group,
        "logStream": "s",
        "subscriptionFilters": ["bad"],
    }
    assert [event["message"] for event in found["logEvents"]] == ["ERROR 1", "ERROR 2"]
    assert all(set(event) == {"id", "timestamp", "message"} for event in found["logEvents"])
    assert (elsewhere.code, elsewhere.status) == ("NotImplemented", 501)


@fact("PutSubscriptionFilter", "hands on what functions log", source=SUBSCRIPTIONS)
def test_what_a_function_logs_reaches_the_function_that_subscribed(
    aws: Aws, awslambda: Any, function: Maker, logs: Any
) -> None:
    writer = function("def handler(event, context):\n    print('ERROR', event)\n")
    reader = function("def handler(event, context):\n    return None\n")
    group = f"/aws/lambda/{writer}"
    logs.create_log_group(logGroupName=group)
    arn = permit(awslambda, reader, group)
    logs.put_subscription_filter(logGroupName=group, filterName="f", filterPattern="ERROR", destinationArn=arn)

    awslambda.invoke(FunctionName=writer, Payload=b"7")
    until(lambda: received(aws, reader) != [])

    assert [event["message"] for event in received(aws, reader)[0]["logEvents"]] == ["ERROR 7\n"]


@fact("PutSubscriptionFilter", "needs the function's permission", source=SUBSCRIPTIONS)
def test_a_function_that_does_not_permit_it_cannot_subscribe(
    awslambda: Any, function: Maker, logs: Any, group: str
) -> None:
    name = function("def handler(event, context):\n    return None\n")
    arn = awslambda.get_function_configuration(FunctionName=name)["FunctionArn"]

    refused = refusal(
        logs.put_subscription_filter, logGroupName=group, filterName="f", filterPattern="", destinationArn=arn
    )

    assert refused.code == "InvalidParameterException"
    assert refused.message.startswith("Could not execute the lambda function.")


@fact("PutSubscriptionFilter", "takes two filters for a group; a name of before is replaced", source=SUBSCRIPTIONS)
def test_a_group_has_two_subscriptions_at_most(awslambda: Any, function: Maker, logs: Any, group: str) -> None:
    arn = permit(awslambda, function("def handler(event, context):\n    return None\n"), group)
    for name, pattern in (("a", "1"), ("b", "2"), ("a", "3")):
        logs.put_subscription_filter(logGroupName=group, filterName=name, filterPattern=pattern, destinationArn=arn)

    third = refusal(
        logs.put_subscription_filter, logGroupName=group, filterName="c", filterPattern="", destinationArn=arn
    )
    described = logs.describe_subscription_filters(logGroupName=group)["subscriptionFilters"]
    logs.delete_subscription_filter(logGroupName=group, filterName="a")
    again = refusal(logs.delete_subscription_filter, logGroupName=group, filterName="a")
    left = logs.describe_subscription_filters(logGroupName=group)["subscriptionFilters"]

    assert third.code == "LimitExceededException"
    assert [(each["filterName"], each["filterPattern"]) for each in described] == [("a", "3"), ("b", "2")]
    assert again.code == "ResourceNotFoundException"
    assert [each["filterName"] for each in left] == ["b"]


@pytest.mark.parametrize(
    ("pattern", "message", "matches"),
    [
        ("", "anything", True),
        ("ERROR", "an ERROR here", True),
        ("ERROR", "an error here", False),
        ("ERROR timeout", "ERROR of a timeout", True),
        ("ERROR timeout", "ERROR", False),
        ('"two words"', "here two words are", True),
        ('"two words"', "two other words", False),
        ("?a1 ?b2", "has b2", True),
        ("?a1 ?b2", "has neither", False),
        ("ERROR -ignore", "ERROR but ignore", False),
        ("%id-[0-9]+%", "an id-42", True),
        ("%id-[0-9]+%", "an id-x", False),
        ('{ $.level = "ERROR" }', json.dumps({"level": "ERROR"}), True),
        ('{ $.level = "ERROR" }', json.dumps({"level": "INFO"}), False),
        ('{ $.level = "ERR*" }', json.dumps({"level": "ERROR"}), True),
        ('{ $.level != "INFO" }', json.dumps({"level": "ERROR"}), True),
        ("{ $.n >= 5 && $.n < 7 }", json.dumps({"n": 6}), True),
        ("{ $.n >= 5 && $.n < 7 }", json.dumps({"n": 7}), False),
        ("{ ($.a = 1) || ($.b.c[1] = 2) }", json.dumps({"b": {"c": [0, 2]}}), True),
        ("{ $.a IS TRUE }", json.dumps({"a": True}), True),
        ("{ $.a IS NULL }", json.dumps({}), False),
        ("{ $.a NOT EXISTS }", json.dumps({}), True),
        ("{ $.a = 1 }", "no json", False),
        ("[host, user, status]", "h u 404", True),
        ("[host, user, status]", "h u", False),
        ("[host, user, status=404]", "h u 404", True),
        ("[host, user, status=4*]", 'h "a user" 404', True),
        ("[host, user, status=4*]", "h u 200", False),
        ("[..., size > 1000 && size < 2000]", "h [1 Jan 2026] GET 1500", True),
        ("[..., size > 1000 && size < 2000]", "h [1 Jan 2026] GET 2500", False),
        ("[host, ..., status = 404 || status = 410, size]", "h a b c 410 9", True),
        ("[level = ERROR, ...]", "ERROR and more", True),
        ("[level != ERROR, ...]", "ERROR and more", False),
        ('[level = "ERROR", ...]', "INFO more", False),
        (r"[ip = %127\.0\.0\.[1-9]%, ...]", "127.0.0.3 and more", True),
    ],
)
def test_a_filter_pattern_matches(pattern: str, message: str, matches: bool) -> None:
    assert compile_pattern(pattern)(message) is matches


@pytest.mark.parametrize("pattern", ["{ $.a ~ 1 }", "{ $.a = 1", '"open', "%(%"])
def test_a_pattern_that_makes_no_sense_is_refused(pattern: str) -> None:
    with pytest.raises(AwsFault, match="Invalid filter pattern"):
        compile_pattern(pattern)
