"""Filter criteria of event source mappings: which records reach the function. Pure functions.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from lambdaform.local import patterns
from lambdaform.local.patterns import Pattern
from lambdaform.local.ports import AwsFault, Json

MAX_FILTERS = 10
"""5 by default, 10 by quota; the local AWS takes what the quota can be raised to."""


def of_settings(settings: Mapping[str, Json]) -> tuple[Pattern, ...]:
    """The patterns of a mapping's `FilterCriteria`; raises `AwsFault` for one Lambda does not take."""
    criteria = cast(Mapping[str, Any], settings.get("FilterCriteria") or {})
    filters = cast(Sequence[Mapping[str, Any]], criteria.get("Filters") or ())
    if len(filters) > MAX_FILTERS:
        raise _refused()
    try:
        return tuple(patterns.parse(str(each.get("Pattern") or ""), "lambda") for each in filters)
    except patterns.PatternError as error:
        raise _refused() from error


def keeps_message(filters: Sequence[Pattern], record: Mapping[str, Json]) -> bool:
    """Whether an SQS record reaches the function."""
    seen = {key: value for key, value in record.items() if key != "messageAttributes"}
    return not filters or any(_matches_data(each, seen, "body", str(record["body"])) for each in filters)


def keeps_kinesis(filters: Sequence[Pattern], record: Mapping[str, Json]) -> bool:
    """Whether a Kinesis record reaches the function: its data is decoded, its metadata lies beside."""
    if not filters:
        return True
    inner = cast(Mapping[str, Json], record["kinesis"])
    seen = {**record, **inner}
    data = base64.b64decode(inner["data"]).decode("utf-8", "replace")
    return any(_matches_data(each, seen, "data", data) for each in filters)


def keeps_dynamodb(filters: Sequence[Pattern], record: Mapping[str, Json]) -> bool:
    """Whether a record of a table's stream reaches the function."""
    return not filters or any(patterns.matches(each, record) for each in filters)


def keeps_kafka(filters: Sequence[Pattern], record: Mapping[str, Json]) -> bool:
    """Whether a Kafka record reaches the function: where its value and a pattern for it differ in format, the pattern
    holds for the rest of the record alone.

    https://docs.aws.amazon.com/lambda/latest/dg/kafka-filtering.html
    """
    value = base64.b64decode(record.get("value") or "").decode("utf-8", "replace")
    is_json = _decoded(value) is not None

    def fitting(pattern: Pattern) -> Pattern:
        wanted = pattern.get("value")
        differs = (isinstance(wanted, Mapping) and not is_json) or (isinstance(wanted, list) and is_json)
        return {key: each for key, each in pattern.items() if key != "value"} if differs else pattern

    return not filters or any(_matches_data(fitting(each), record, "value", value) for each in filters)


def keeps_mq(filters: Sequence[Pattern], record: Mapping[str, Json]) -> bool:
    """Whether a message of Amazon MQ reaches the function: filters look into its data alone.

    https://docs.aws.amazon.com/lambda/latest/dg/with-mq-filtering.html
    """
    data = base64.b64decode(record["data"]).decode("utf-8", "replace")
    return not filters or any(_matches_data(each, {"data": data}, "data", data) for each in filters)


def _matches_data(pattern: Pattern, record: Mapping[str, Json], key: str, data: str) -> bool:
    """Match with the data as JSON if the pattern looks into it, as text if the pattern is about the whole.

    Formats that differ do not match: JSON data with a text pattern, text with a pattern for JSON.
    """
    wanted = pattern.get(key)
    if wanted is None and "$or" not in pattern:
        return patterns.matches(pattern, record)
    decoded = _decoded(data)
    if isinstance(wanted, Mapping) and decoded is None:
        return False
    if isinstance(wanted, list) and decoded is not None:
        return False
    return patterns.matches(pattern, {**record, key: data if decoded is None else decoded})


def _decoded(data: str) -> Json | None:
    """What JSON the data is; None for text, which a bare number or word is too."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return cast(Json, value) if isinstance(value, dict | list) else None


def _refused() -> AwsFault:
    return AwsFault("InvalidParameterValueException", "Invalid filter pattern definition.")
