"""What a function's answer says about its batch: partial batch responses. Pure functions.

https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html#services-sqs-batchfailurereporting
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, cast

import attrs

from lambdaform.local.ports import Outcome


@attrs.frozen
class Settled:
    """Which items of a batch failed. `complaint` is set when the answer itself could not be understood."""

    failed: frozenset[str]
    is_reported: bool = False
    """Whether the function itself named the failed items in a partial batch response."""


def text_identifier(item: object) -> str | None:
    """The id that an `itemIdentifier` names; None for what names none."""
    return item if isinstance(item, str) and item else None


Identify = Callable[[object], str | None]
"""How a kind of source reads an `itemIdentifier`."""


def decide_settled(
    outcome: Outcome,
    ids: Sequence[str],
    *,
    is_partial: bool,
    is_windowed: bool = False,
    identify: Identify = text_identifier,
) -> Settled:
    """Which of a batch's items failed: all when the function did, else those a partial response names.

    In a tumbling window an answer has a state, and need not name failures beside it.
    """
    everything = frozenset(ids)
    if outcome.fault is not None or outcome.function_error is not None:
        return Settled(everything)
    if not is_partial:
        return Settled(frozenset())
    reported = reported_failures(outcome.payload, is_windowed=is_windowed, identify=identify)
    if reported is None or not reported <= everything:
        # A wrong key, an empty id, or an id that was not in the batch: AWS takes the whole batch as failed.
        return Settled(everything)
    return Settled(reported, is_reported=bool(reported))


def reported_failures(
    payload: bytes, *, is_windowed: bool = False, identify: Identify = text_identifier
) -> frozenset[str] | None:
    """The ids a partial batch response names; None when it is not one."""
    try:
        answer: object = json.loads(payload) if payload else None
    except (ValueError, RecursionError):
        return None
    if answer is None or answer in ("", [], {}):
        return frozenset()
    if not isinstance(answer, dict):
        return None
    if "batchItemFailures" not in answer:
        return frozenset() if is_windowed else None
    failures = cast(dict[str, Any], answer)["batchItemFailures"]
    if failures is None:
        return frozenset()
    if not isinstance(failures, list):
        return None
    names = [_identifier(failure, identify) for failure in cast(list[object], failures)]
    return frozenset(cast(list[str], names)) if all(names) else None


def _identifier(failure: object, identify: Identify) -> str | None:
    if not isinstance(failure, dict):
        return None
    return identify(cast(dict[str, object], failure).get("itemIdentifier"))
