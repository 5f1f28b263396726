"""Filter patterns and schedule expressions: which are valid, and what is said of the others."""

from __future__ import annotations

from typing import Any

import pytest

from lambdaform.checks.environment import measured
from lambdaform.checks.patterns import mistakes_in
from lambdaform.checks.schedules import mistake_in

VALID: list[dict[str, Any]] = [
    {"body": {"kind": ["order", 1, True, None, ""]}},
    {"body": {"kind": [{"prefix": "a"}, {"suffix": "b"}, {"equals-ignore-case": "c"}]}},
    {"body": {"n": [{"numeric": [">", 0, "<=", 5]}]}},
    {"body": {"n": [{"numeric": ["=", 1.5]}]}},
    {"body": {"kind": [{"anything-but": ["a", "b"]}, {"anything-but": "c"}]}},
    {"body": {"kind": [{"exists": False}]}},
    {"$or": [{"body": {"a": ["x"]}}, {"body": {"b": ["y"]}}]},
]
INVALID: list[tuple[Any, str, str]] = [
    ({}, "", "a pattern without keys says nothing"),
    ("order", "", "a pattern is a mapping of keys"),
    ({"body": {}}, "body", "a pattern without keys says nothing"),
    ({"body": {"kind": "order"}}, "body.kind", 'a value stands in a list: ["order"]'),
    ({"body": {"kind": []}}, "body.kind", "an empty list matches nothing"),
    ({"body": {"kind": [["a"]]}}, "body.kind", "a list cannot stand in a list"),
    ({"body": {"kind": [{"prefix": 1}]}}, "body.kind", "prefix takes a text"),
    ({"body": {"kind": [{"exists": "true"}]}}, "body.kind", "exists takes true or false"),
    ({"body": {"kind": [{"prefix": "a", "suffix": "b"}]}}, "body.kind", "an operator is a mapping with one key"),
    (
        {"body": {"kind": [{"anything-but": {"prefix": "a"}}]}},
        "body.kind",
        "anything-but takes a value or a list of values",
    ),
    (
        {"body": {"n": [{"numeric": [">", "0"]}]}},
        "body.n",
        'numeric takes comparisons and numbers: [">", 0, "<=", 5]',
    ),
    (
        {"body": {"n": [{"numeric": ["!=", 0]}]}},
        "body.n",
        'numeric takes comparisons and numbers: [">", 0, "<=", 5]',
    ),
    (
        {"body": {"kind": [{"prefx": "a"}]}},
        "body.kind",
        "there is no operator prefx in Lambda's filters; did you mean prefix?",
    ),
    ({"$or": [{"a": ["x"]}]}, "$or", "$or takes a list of two or more patterns"),
]
EXPRESSIONS: list[tuple[str, bool]] = [
    ("cron(0 3 * * ? *)", True),
    ("cron(0/5 8-17 ? * MON-FRI *)", True),
    ("cron(0 8 ? * 2#1 *)", True),
    ("cron(0 8 L-2 * ? *)", True),
    ("cron(0 8 15W JAN,JUL ? 2027)", True),
    ("cron(0 8 ? * 6L *)", True),
    ("rate(1 day)", True),
    ("at(2027-01-31T08:00:00)", True),
    ("cron(60 3 * * ? *)", False),
    ("cron(0 3 ? * ? *)", False),
    ("cron(0 3 0 * ? *)", False),
    ("cron(0 3 ? * 8 *)", False),
    ("cron(0 3 * FOO ? *)", False),
    ("cron(0 3 * * ? 1969)", False),
    ("cron(0/0 3 * * ? *)", False),
    ("rate(0 minutes)", False),
    ("rate(5minutes)", False),
    ("at(2027-01-31 08:00)", False),
]


@pytest.mark.parametrize("pattern", VALID)
def test_a_valid_pattern_has_no_mistakes(pattern: dict[str, Any]) -> None:
    assert list(mistakes_in(pattern)) == []


@pytest.mark.parametrize(("pattern", "path", "what"), INVALID)
def test_a_mistake_in_a_pattern_is_told_with_its_path(pattern: Any, path: str, what: str) -> None:
    assert list(mistakes_in(pattern)) == [(path, what)]


@pytest.mark.parametrize(("expression", "valid"), EXPRESSIONS)
def test_schedule_expressions_are_read_as_aws_reads_them(expression: str, valid: bool) -> None:
    assert (mistake_in(expression) is None) is valid


def test_an_environment_is_measured_with_its_punctuation() -> None:
    assert measured({"A1": "b", "C2": "ü"}) == (len('{"A1":"b","C2":"ü"}'.encode()), True)
    assert measured({"A1": {"@ref": ["sqs.queue.q", "url"]}}) == (len('{"A1":""}'), False)
