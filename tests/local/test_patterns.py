"""Facts about event patterns, as tables."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lambdaform.local.patterns import Dialect, PatternError, matches, parse

CASES: list[tuple[str, Any, Any, bool]] = [
    ("equal text", {"a": ["x", "y"]}, {"a": "y"}, True),
    ("other text", {"a": ["x"]}, {"a": "X"}, False),
    ("all keys", {"a": ["x"], "b": [1]}, {"a": "x", "b": 2}, False),
    ("nested", {"a": {"b": [1]}}, {"a": {"b": 1, "c": 2}}, True),
    ("missing object", {"a": {"b": [1]}}, {}, False),
    ("number by value", {"a": [300]}, {"a": 300.0}, True),
    ("true is not one", {"a": [1]}, {"a": True}, False),
    ("text is not number", {"a": [1]}, {"a": "1"}, False),
    ("null", {"a": [None]}, {"a": None}, True),
    ("missing is not null", {"a": [None]}, {}, False),
    ("empty text", {"a": [""]}, {"a": ""}, True),
    ("one of a list", {"a": ["x"]}, {"a": ["w", "x"]}, True),
    (
        "one object of a list as a whole",
        {"a": {"b": [1], "c": [2]}},
        {"a": [{"b": 1, "c": 3}, {"b": 2, "c": 2}]},
        False,
    ),
    ("an object of a list", {"a": {"b": [1], "c": [2]}}, {"a": [{"b": 0}, {"b": 1, "c": 2}]}, True),
    ("prefix", {"a": [{"prefix": "ab"}]}, {"a": "abc"}, True),
    ("prefix of a number", {"a": [{"prefix": "1"}]}, {"a": 12}, False),
    ("prefix ignoring case", {"a": [{"prefix": {"equals-ignore-case": "AB"}}]}, {"a": "abc"}, True),
    ("suffix", {"a": [{"suffix": ".png"}]}, {"a": "x.png"}, True),
    ("suffix ignoring case", {"a": [{"suffix": {"equals-ignore-case": ".PNG"}}]}, {"a": "x.png"}, True),
    ("equals ignoring case", {"a": [{"equals-ignore-case": "Ab"}]}, {"a": "aB"}, True),
    ("anything but", {"a": [{"anything-but": "x"}]}, {"a": "y"}, True),
    ("anything but this", {"a": [{"anything-but": ["x", "y"]}]}, {"a": "y"}, False),
    ("anything but matches null", {"a": [{"anything-but": "x"}]}, {"a": None}, True),
    ("anything but needs the key", {"a": [{"anything-but": "x"}]}, {}, False),
    ("anything but a prefix", {"a": [{"anything-but": {"prefix": "x"}}]}, {"a": "xy"}, False),
    ("anything but prefixes", {"a": [{"anything-but": {"prefix": ["x", "y"]}}]}, {"a": "zy"}, True),
    ("anything but a suffix", {"a": [{"anything-but": {"suffix": "y"}}]}, {"a": "xy"}, False),
    ("anything but, ignoring case", {"a": [{"anything-but": {"equals-ignore-case": "X"}}]}, {"a": "x"}, False),
    ("anything but a wildcard", {"a": [{"anything-but": {"wildcard": "*/x"}}]}, {"a": "a/x"}, False),
    ("numeric range", {"a": [{"numeric": [">", 0, "<=", 5]}]}, {"a": 5}, True),
    ("outside the range", {"a": [{"numeric": [">", 0, "<=", 5]}]}, {"a": 0}, False),
    ("numeric of a text", {"a": [{"numeric": ["=", 5]}]}, {"a": "5"}, False),
    ("exists", {"a": [{"exists": True}]}, {"a": None}, True),
    ("exists only as a leaf", {"a": [{"exists": True}]}, {"a": {"b": 1}}, False),
    ("absent", {"a": [{"exists": False}]}, {"b": 1}, True),
    ("absent below", {"a": {"b": [{"exists": False}]}}, {}, True),
    ("not absent", {"a": [{"exists": False}]}, {"a": 0}, False),
    ("cidr", {"a": [{"cidr": "10.0.0.0/24"}]}, {"a": "10.0.0.255"}, True),
    ("outside the cidr", {"a": [{"cidr": "10.0.0.0/24"}]}, {"a": "10.0.1.0"}, False),
    ("wildcard", {"a": [{"wildcard": "dir/*.png"}]}, {"a": "dir/a/b.png"}, True),
    ("wildcard misses", {"a": [{"wildcard": "dir/*.png"}]}, {"a": "dir/a.jpg"}, False),
    ("escaped star", {"a": [{"wildcard": "a\\*b"}]}, {"a": "axb"}, False),
    ("or", {"$or": [{"a": [1]}, {"b": [2]}], "c": [3]}, {"b": 2, "c": 3}, True),
    ("or, but not the rest", {"$or": [{"a": [1]}, {"b": [2]}], "c": [3]}, {"b": 2}, False),
    ("neither", {"$or": [{"a": [1]}, {"b": [2]}]}, {"a": 2, "b": 1}, False),
]


@pytest.mark.parametrize(
    ("pattern", "event", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_a_pattern_matches_as_eventbridge_says(pattern: Any, event: Any, expected: bool) -> None:
    assert matches(parse(json.dumps(pattern), "events"), event) is expected


@pytest.mark.parametrize(
    ("text", "dialect", "reason"),
    [
        ("{", "events", "not valid JSON"),
        ("[]", "events", "not an object"),
        ("{}", "events", "Empty objects"),
        ('{"a": "x"}', "events", '"a" must be an object or an array'),
        ('{"a": []}', "events", "Empty arrays"),
        ('{"a": [["x"]]}', "events", "Match value must be"),
        ('{"a": [{"odd": 1}]}', "events", "Unrecognized match type odd"),
        ('{"a": [{"prefix": "x", "suffix": "y"}]}', "events", "Only one key"),
        ('{"a": [{"prefix": 1}]}', "events", "must be a string"),
        ('{"a": [{"exists": "yes"}]}', "events", "either true or false"),
        ('{"a": [{"numeric": [">"]}]}', "events", "numeric"),
        ('{"a": [{"numeric": ["~", 1]}]}', "events", "Unrecognized numeric range operator"),
        ('{"a": [{"cidr": "10.0.0"}]}', "events", "CIDR"),
        ('{"a": [{"wildcard": "a**"}]}', "events", "Consecutive wildcard"),
        ('{"a": [{"wildcard": "a*"}]}', "lambda", "Unrecognized match type wildcard"),
        ('{"a": [{"anything-but": {"prefix": "a"}}]}', "lambda", "Unsupported anything-but"),
    ],
)
def test_a_pattern_that_is_none_is_refused(text: str, dialect: Dialect, reason: str) -> None:
    with pytest.raises(PatternError, match=reason):
        parse(text, dialect)


@pytest.mark.parametrize(("bottom", "is_kept"), [("1", True), ("2", False), ("", False)])
def test_lists_may_be_nested_as_deeply_as_json_can_be(bottom: str, is_kept: bool) -> None:
    value = json.loads("[" * 900 + bottom + "]" * 900)

    assert matches({"a": [1]}, {"a": value}) is is_kept
    assert matches({"a": {"b": [1]}}, {"a": json.loads("[" * 900 + '{"b": 1}' + "]" * 900)})
