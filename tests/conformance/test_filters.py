"""Filters of event source mappings.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

import pytest

from tests.conformance.facts import fact
from tests.local.conftest import Virtual, own, refusal, unique

FILTERS = "https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html"
SYNTAX = f"{FILTERS}#filtering-syntax"
SQS = "https://docs.aws.amazon.com/lambda/latest/dg/with-sqs-filtering.html"
KINESIS = "https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis-filtering.html"
DYNAMODB = "https://docs.aws.amazon.com/lambda/latest/dg/with-ddb-filtering.html"
ECHO = "def handler(event, context):\n    return None\n"


def criteria(*patterns: Any) -> Any:
    texts = [each if isinstance(each, str) else json.dumps(each) for each in patterns]
    return {"Filters": [{"Pattern": each} for each in texts]}


def arrived(virtual: Virtual, function: str) -> list[dict[str, Any]]:
    """All records a function has got."""
    found: list[dict[str, Any]] = own(virtual.aws, "GET", f"invocations?function={function}")[1]
    return [record for each in found for record in each["event"]["Records"]]


def mapped(virtual: Virtual, arn: str, *patterns: Any, **settings: Any) -> str:
    name = virtual.function(ECHO)
    virtual.aws.client("lambda").create_event_source_mapping(
        FunctionName=name, EventSourceArn=arn, FilterCriteria=criteria(*patterns), **settings
    )
    virtual.advance(1)
    return name


def passed(virtual: Virtual, bodies: Sequence[Any], *patterns: Any) -> list[Any]:
    """Which bodies reach a function that reads a queue; text is sent as it is, anything else as JSON."""
    url, arn = virtual.queue()
    name = mapped(virtual, arn, *patterns)
    texts = {str(number): body if isinstance(body, str) else json.dumps(body) for number, body in enumerate(bodies)}
    entries = [{"Id": number, "MessageBody": text} for number, text in texts.items()]
    virtual.aws.client("sqs").send_message_batch(QueueUrl=url, Entries=entries)
    virtual.advance(1)
    seen = {record["body"] for record in arrived(virtual, name)}
    assert virtual.messages(arn) == [], "what does not match is deleted as well"
    return [body for number, body in enumerate(bodies) if texts[str(number)] in seen]


OPERATORS: list[tuple[str, Any, list[Any], list[Any]]] = [
    ("equals", ["x"], ["x"], ["X", "xy", 1, None]),
    ("one of several", ["x", 7], ["x", 7], ["7", "y"]),
    ("a truth value", [True], [True], [False, 1, "true"]),
    ("null", [None], [None], ["", 0]),
    ("empty", [""], [""], [None, " "]),
    ("equals-ignore-case", [{"equals-ignore-case": "aB"}], ["Ab", "AB"], ["abc"]),
    ("prefix", [{"prefix": "ab"}], ["ab", "abc"], ["xab", 12]),
    ("suffix", [{"suffix": ".png"}], ["a.png"], ["png", ".PNG"]),
    ("anything-but", [{"anything-but": ["x", "y"]}], ["z", 1, None], ["x", "y"]),
    ("numeric =", [{"numeric": ["=", 5]}], [5, 5.0], [4, "5"]),
    ("numeric range", [{"numeric": [">", 0, "<=", 5]}], [0.5, 5], [0, 5.1, "3"]),
    ("exists", [{"exists": True}], ["x", None], [{"b": 1}]),
]


@pytest.mark.parametrize(
    ("pattern", "passing", "others"), [each[1:] for each in OPERATORS], ids=[o[0] for o in OPERATORS]
)
@fact(
    "Pattern",
    "null, empty, equals, equals-ignore-case, prefix, suffix, anything-but, numeric, exists",
    source=SYNTAX,
)
def test_operators_compare_as_aws_says(virtual: Virtual, pattern: Any, passing: list[Any], others: list[Any]) -> None:
    bodies = [{"a": value} for value in (*passing, *others)]

    assert passed(virtual, bodies, {"body": {"a": pattern}}) == [{"a": value} for value in passing]


@fact("Pattern", "exists false means absent; anything-but needs the key, null will do", source=SYNTAX)
def test_absent_keys(virtual: Virtual) -> None:
    bodies = [{"a": 1}, {"a": None}, {"b": 1}]

    assert passed(virtual, bodies, {"body": {"a": [{"exists": False}]}}) == [{"b": 1}]
    assert passed(virtual, bodies, {"body": {"a": [{"anything-but": [1]}]}}) == [{"a": None}]


@fact("Pattern", "all keys of a pattern must match, one value of a list, one pattern of $or", source=SYNTAX)
def test_keys_are_and_lists_are_or(virtual: Virtual) -> None:
    bodies = [{"a": 1, "b": 2}, {"a": 1, "b": 3}, {"a": 9, "b": 2}, {"a": 9, "b": 9}]

    assert passed(virtual, bodies, {"body": {"a": [1, 5], "b": [2]}}) == bodies[:1]
    assert passed(virtual, bodies, {"body": {"$or": [{"a": [1]}, {"b": [2]}]}}) == bodies[:3]


@fact("FilterCriteria", "several filters: one that matches is enough", source=FILTERS)
def test_one_filter_is_enough(virtual: Virtual) -> None:
    bodies = [{"a": 1}, {"b": 2}, {"c": 3}]

    assert passed(virtual, bodies, {"body": {"a": [1]}}, {"body": {"b": [2]}}) == bodies[:2]


@fact("body", "a pattern for JSON drops what is none; one for text drops what is JSON", source=SQS)
def test_formats_that_differ_do_not_match(virtual: Virtual) -> None:
    bodies = ["x", {"a": 1}]

    assert passed(virtual, bodies, {"body": {"a": [1]}}) == [{"a": 1}]
    assert passed(virtual, bodies, {"body": ["x"]}) == ["x"]
    assert passed(virtual, ["x", '{"a": "x"}'], {"body": [{"prefix": "x"}]}) == ["x"]


@fact("metadata", "the other keys of a record can be filtered on, message attributes cannot", source=SQS)
def test_metadata_is_filtered_on(virtual: Virtual) -> None:
    assert passed(virtual, ["x"], {"eventSource": ["aws:sqs"]}) == ["x"]
    assert passed(virtual, ["x"], {"eventSource": ["aws:kinesis"]}) == []
    assert passed(virtual, ["x"], {"messageAttributes": {"a": [{"exists": False}]}, "body": ["y"]}) == []


@fact(
    "numbers",
    "compare by their text: 300, 300.0 and 3.0e2 differ",
    here="partly",
    gap="they compare by value, as EventBridge's TestEventPattern does",
    source=f"{SYNTAX}",
)
def test_numbers_compare_by_value_here(virtual: Virtual) -> None:
    bodies = ['{"a": 300}', '{"a": 300.0}', '{"a": 3.0e2}']

    assert passed(virtual, bodies, '{"body": {"a": [300]}}') == bodies


@fact("data", "of Kinesis is decoded; the partition key and other metadata stand beside it", source=KINESIS)
def test_data_of_a_stream_is_filtered_on(virtual: Virtual) -> None:
    kinesis, name = virtual.aws.client("kinesis"), unique("stream")
    kinesis.create_stream(StreamName=name, ShardCount=1)
    arn = kinesis.describe_stream(StreamName=name)["StreamDescription"]["StreamARN"]
    for key, data in (("a", '{"n": 1}'), ("b", '{"n": 1}'), ("a", '{"n": 2}'), ("a", "text")):
        kinesis.put_record(StreamName=name, PartitionKey=key, Data=data.encode())
    start = {"StartingPosition": "TRIM_HORIZON"}
    by_data = mapped(virtual, arn, {"data": {"n": [1]}}, **start)
    by_both = mapped(virtual, arn, {"data": {"n": [1]}, "partitionKey": ["a"]}, **start)
    by_text = mapped(virtual, arn, {"data": ["text"]}, **start)
    virtual.advance(2)

    def told(function: str) -> list[str]:
        return [base64.b64decode(each["kinesis"]["data"]).decode() for each in arrived(virtual, function)]

    assert (told(by_data), told(by_both), told(by_text)) == (['{"n": 1}'] * 2, ['{"n": 1}'], ["text"])


@fact("dynamodb", "numbers of an item are text under N, which numeric does not match", source=DYNAMODB)
def test_changes_of_a_table_are_filtered_on(virtual: Virtual) -> None:
    dynamodb, table = virtual.aws.client("dynamodb"), unique("table")
    dynamodb.create_table(
        TableName=table,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    )
    arn = dynamodb.describe_table(TableName=table)["Table"]["LatestStreamArn"]
    for key, number in (("a", "1"), ("b", "2")):
        dynamodb.put_item(TableName=table, Item={"id": {"S": key}, "n": {"N": number}})
    start = {"StartingPosition": "TRIM_HORIZON"}
    image = {"NewImage": {"n": {"N": ["2"]}}}
    by_text = mapped(virtual, arn, {"eventName": ["INSERT"], "dynamodb": image}, **start)
    by_number = mapped(virtual, arn, {"dynamodb": {"NewImage": {"n": {"N": [{"numeric": ["=", 2]}]}}}}, **start)
    virtual.advance(1)

    assert [each["dynamodb"]["Keys"]["id"]["S"] for each in arrived(virtual, by_text)] == ["b"]
    assert arrived(virtual, by_number) == []


@pytest.mark.parametrize(
    "pattern",
    [
        "no json",
        "[]",
        '{"body": "x"}',
        '{"body": []}',
        '{"body": {"a": [{"odd": 1}]}}',
        '{"body": {"a": [{"wildcard": "a*"}]}}',
        '{"body": {"a": [{"cidr": "10.0.0.0/8"}]}}',
        '{"body": {"a": [{"anything-but": {"prefix": "a"}}]}}',
        '{"body": {"a": [{"numeric": ["~", 1]}]}}',
    ],
)
@fact(
    "FilterCriteria",
    "refuses what is no pattern, and EventBridge's operators that Lambda does not list",
    source=SYNTAX,
)
def test_what_is_no_pattern_is_refused(virtual: Virtual, pattern: str) -> None:
    refused = refusal(
        virtual.aws.client("lambda").create_event_source_mapping,
        FunctionName=virtual.function(ECHO),
        EventSourceArn=virtual.queue()[1],
        FilterCriteria=criteria(pattern),
    )

    assert (refused.code, refused.message) == ("InvalidParameterValueException", "Invalid filter pattern definition.")


@fact(
    "FilterCriteria",
    "5 filters, 10 when AWS has raised the account's quota",
    here="partly",
    gap="10 are taken; `validate` warns of more than 5",
    source=FILTERS,
)
def test_ten_filters_are_taken(virtual: Virtual) -> None:
    settings = {"FunctionName": virtual.function(ECHO), "EventSourceArn": virtual.queue()[1]}
    patterns = [{"body": {"a": [number]}} for number in range(11)]
    create = virtual.aws.client("lambda").create_event_source_mapping

    assert refusal(create, **settings, FilterCriteria=criteria(*patterns)).status == 400
    assert len(create(**settings, FilterCriteria=criteria(*patterns[:10]))["FilterCriteria"]["Filters"]) == 10


@fact("KMSKeyArn", "encrypted filters are shown by GetEventSourceMapping alone", source=f"{FILTERS}#filter-encryption")
def test_encrypted_filters_are_not_listed(virtual: Virtual) -> None:
    client, name = virtual.aws.client("lambda"), virtual.function(ECHO)
    made = client.create_event_source_mapping(
        FunctionName=name,
        EventSourceArn=virtual.queue()[1],
        FilterCriteria=criteria({"body": {"a": [1]}}),
        KMSKeyArn="arn:aws:kms:us-east-1:123456789012:key/00000000-0000-4000-8000-000000000001",
    )
    [listed] = client.list_event_source_mappings(FunctionName=name)["EventSourceMappings"]

    assert client.get_event_source_mapping(UUID=made["UUID"])["FilterCriteria"] == criteria({"body": {"a": [1]}})
    assert "FilterCriteria" not in listed
