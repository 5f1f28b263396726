"""CloudWatch Logs.

CloudWatch Logs through boto3, and its filter patterns.
"""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from lambdaform.local.logs.filters import compile_pattern
from lambdaform.local.ports import AwsFault
from tests.conformance.facts import fact
from tests.local.conftest import Aws, refusal, unique


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


@fact(
    "PutSubscriptionFilter",
    "sends matching lines on",
    here="not",
    gap="is refused with 501",
    source="https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/logs/SubscriptionFilters.html",
)
def test_a_subscription_filter_is_refused_not_ignored(logs: Any, group: str) -> None:
    refused = refusal(
        logs.put_subscription_filter,
        logGroupName=group,
        filterName="f",
        filterPattern="",
        destinationArn="arn:aws:lambda:us-east-1:123456789012:function:f",
    )

    assert (refused.code, refused.status) == ("NotImplemented", 501)


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
    ],
)
def test_a_filter_pattern_matches(pattern: str, message: str, matches: bool) -> None:
    assert compile_pattern(pattern)(message) is matches


@pytest.mark.parametrize("pattern", ["{ $.a ~ 1 }", "{ $.a = 1", '"open', "%(%"])
def test_a_pattern_that_makes_no_sense_is_refused(pattern: str) -> None:
    with pytest.raises(AwsFault, match="Invalid filter pattern"):
        compile_pattern(pattern)
