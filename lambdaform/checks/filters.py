"""Filters of event source mappings: patterns Lambda can read, on keys the records have.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from lambdaform.checks.mappings import mappings
from lambdaform.checks.patterns import mistakes_in
from lambdaform.checks.rules import Finding, rule
from lambdaform.model.graph import references_in
from lambdaform.model.problem import Severity

if TYPE_CHECKING:
    from lambdaform.checks.view import View
    from lambdaform.model.graph import Node

FILTERS = "https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html"
DATA = {"sqs": "body", "kinesis": "data", "dynamodb": "dynamodb", "msk": "value", "kafka": "value", "mq": "data"}
"""The key of a record under which each service puts the data."""
DEFAULT_FILTERS = 5
"""What an account may have for each mapping until AWS raises it, to 10 at most."""


@rule(
    "filter-pattern",
    Severity.ERROR,
    "Filter patterns are made of keys, lists and operators that Lambda knows.",
    link=FILTERS,
    advisory=True,  # Lambda may come to know more of EventBridge's operators
)
def filter_pattern(view: View) -> Iterable[Finding]:
    """Every mistake in every pattern."""
    for node, _ in mappings(view):
        for number, pattern in enumerate(_filters(node)):
            if any(True for _ in references_in(pattern)):
                continue
            for path, what in mistakes_in(pattern):
                yield Finding(
                    node,
                    what,
                    f"filters[{number}]" + (f".{path}" if path else ""),
                    given=_cut(json.dumps(pattern, ensure_ascii=False)),
                    allowed='keys and, at their ends, lists of values or operators: {"body": {"kind": ["order"]}}',
                    hint="write the pattern in this form",
                )


def _cut(text: str) -> str:
    return text if len(text) <= 120 else text[:119] + "…"


def _filters(node: Node) -> list[Mapping[str, Any]]:
    filters = node.props.get("filters")
    return cast(list[Mapping[str, Any]], filters) if isinstance(filters, list) else []


@rule("filter-key", Severity.WARNING, "A filter looks where the data of its source is.", link=FILTERS)
def filter_key(view: View) -> Iterable[Finding]:
    """A filter on the data key of another source matches nothing, and a queue deletes what does not match."""
    for node, service in mappings(view, *DATA):
        for number, pattern in enumerate(_filters(node)):
            data = DATA.get(service)
            wrong = sorted({key for key in DATA.values() if key in pattern and key != data})
            for key in wrong:
                yield Finding(
                    node,
                    "records of this source have no such key, so nothing matches",
                    f"filters[{number}].{key}",
                    given=key,
                    allowed=f"{data}, or another key of the record",
                    hint=f"use {data}",
                )


@rule(
    "filter-count",
    Severity.WARNING,
    "A mapping has at most 5 filters, unless AWS has raised the account's quota.",
    link=FILTERS,
)
def filter_count(view: View) -> Iterable[Finding]:
    """More than 10 break the limit of the field."""
    for node, _ in mappings(view):
        count = len(_filters(node))
        if DEFAULT_FILTERS < count <= 10:
            yield Finding(
                node,
                "is more than accounts have unless AWS has raised the quota",
                "filters",
                given=str(count),
                allowed=f"at most {DEFAULT_FILTERS}, or up to 10 on request",
                hint="put values that can stand for each other into one list",
            )


RULES = (filter_pattern, filter_key, filter_count)
