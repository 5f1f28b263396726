"""What happens to a batch of stream records after its invocation: go on, retry, split, give up. Pure functions.

https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-parameters.html and the pages on error handling beside it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, cast

import attrs

from lambdaform.local.pollers.answers import Settled
from lambdaform.local.ports import Outcome

Condition = Literal["RetryAttemptsExhausted", "RecordAgeExceeded", "MaximumPayloadSizeExceeded"]


@attrs.frozen
class StreamPolicy:
    """How a mapping of a stream retries; -1 for without limit."""

    max_retries: int = -1
    max_age: int = -1
    """Seconds."""
    splits: bool = False
    is_partial: bool = False

    @classmethod
    def of_settings(cls, settings: Mapping[str, Any]) -> StreamPolicy:
        """The policy in a mapping's settings."""

        def limit(name: str) -> int:
            value = cast(int | None, settings.get(name))
            return -1 if value is None else int(value)

        return cls(
            max_retries=limit("MaximumRetryAttempts"),
            max_age=limit("MaximumRecordAgeInSeconds"),
            splits=bool(settings.get("BisectBatchOnFunctionError")),
            is_partial="ReportBatchItemFailures" in (settings.get("FunctionResponseTypes") or ()),
        )


@attrs.frozen
class StreamRecord:
    """One record of a shard, or of a broker."""

    sequence: str
    arrived: float
    event: Mapping[str, Any]
    """As it stands in the function's event."""
    size: int
    lane: str = ""
    """What stays in order within a piece of several lanes: a partition of a topic."""
    handle: object = None
    """What its reader knows it by."""

    @property
    def partition_key(self) -> str:
        """What records have in common that stay in order: the partition key, or an item's primary key."""
        kinesis = self.event.get("kinesis")
        if kinesis is not None:
            return str(kinesis["partitionKey"])
        return json.dumps(self.event.get("dynamodb", {}).get("Keys", {}), sort_keys=True)


@attrs.frozen
class Piece:
    """Records that are tried together, and how often they have been."""

    records: tuple[StreamRecord, ...]
    attempts: int = 0
    """Invocations that ended in a function error; throttles are not counted."""
    refusals: int = 0
    """Throttles and service errors in a row."""


@attrs.frozen
class Done:
    """All records are through."""


@attrs.frozen
class Again:
    """These pieces are tried in this order, the first after `pause` seconds."""

    pieces: tuple[Piece, ...]
    pause: float


@attrs.frozen
class GiveUp:
    """These records go to the on-failure destination, and the shard goes on."""

    piece: Piece
    condition: Condition


SHORTEST_RETENTION = 86_400
"""Seconds for which every stream keeps its records at least."""


def expired(piece: Piece, now: float, max_age: float) -> tuple[Piece | None, Piece | None]:
    """Split a piece into what is older than that (-1 for without limit), and the rest."""
    if max_age < 0:
        return None, piece
    old = tuple(record for record in piece.records if now - record.arrived > max_age)
    if not old:
        return None, piece
    rest = tuple(record for record in piece.records if now - record.arrived <= max_age)
    return attrs.evolve(piece, records=old), (attrs.evolve(piece, records=rest) if rest else None)


def decide_next(piece: Piece, outcome: Outcome, settled: Settled, policy: StreamPolicy) -> Done | Again | GiveUp:
    """What happens to a piece whose invocation just ended.

    Throttles and service errors are retried without being counted. A partial response cuts every lane of the piece at
    its lowest reported record. Splitting does not use up a retry.
    """
    if outcome.fault is not None:
        refused = attrs.evolve(piece, refusals=piece.refusals + 1)
        return Again((refused,), back_off(refused.refusals))
    if not settled.failed:
        return Done()
    records = piece.records
    if settled.is_reported:
        records = _from_first_failed(records, settled.failed)
    tried = Piece(records, attempts=piece.attempts + 1)
    pause = back_off(tried.attempts)
    if policy.splits and len(piece.records) > 1:
        if settled.is_reported and len(records) < len(piece.records):
            return Again((attrs.evolve(tried, attempts=piece.attempts),), pause)
        middle = (len(records) + 1) // 2
        halves = (records[:middle], records[middle:])
        return Again(tuple(Piece(half, attempts=piece.attempts) for half in halves if half), pause)
    if policy.max_retries >= 0 and tried.attempts > policy.max_retries:
        return GiveUp(tried, "RetryAttemptsExhausted")
    return Again((tried,), pause)


def _from_first_failed(records: Sequence[StreamRecord], failed: Collection[str]) -> tuple[StreamRecord, ...]:
    """What is tried again of a piece: of each lane with a failure, everything from the first one on."""
    begun: set[str] = set()
    left: list[StreamRecord] = []
    for record in records:
        if record.sequence in failed:
            begun.add(record.lane)
        if record.lane in begun:
            left.append(record)
    return tuple(left)


def back_off(attempt: int) -> float:
    """Seconds before the `attempt`-th retry. AWS says that retries back off, not how: this is an assumption."""
    return min(60.0, 2.0 ** min(attempt - 1, 6))


def failure_head(
    *,
    give_up: GiveUp,
    outcome: Outcome | None,
    is_reported: bool,
    request_id: str,
    function_arn: str,
    timestamp: str,
) -> dict[str, Any]:
    """What every document for an on-failure destination begins with, whatever kind of source it is about."""
    context = {
        "requestId": request_id,
        "functionArn": function_arn,
        "condition": give_up.condition,
        "approximateInvokeCount": max(1, give_up.piece.attempts),
    }
    response: dict[str, Any] = {}
    if outcome is not None and give_up.condition == "RetryAttemptsExhausted":
        response["responseContext"] = {
            "statusCode": 200,
            "executedVersion": outcome.executed_version,
            "functionError": None if is_reported else "Unhandled",
        }
    return {"requestContext": context, **response, "version": "1.0", "timestamp": timestamp}


def failure_record(
    *,
    give_up: GiveUp,
    outcome: Outcome | None,
    is_reported: bool,
    request_id: str,
    function_arn: str,
    stream_arn: str,
    shard_id: str,
    timestamp: str,
    stamp: Sequence[str],
    batch_key: str,
) -> dict[str, Any]:
    """The document an on-failure destination gets for a stream: pointers to the records, not the records.

    `stamp` are the arrival times of the first and the last record in the source's own form, `batch_key` is
    `KinesisBatchInfo` or `DDBStreamBatchInfo`.
    https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-errors.html
    """
    records = give_up.piece.records
    head = failure_head(
        give_up=give_up,
        outcome=outcome,
        is_reported=is_reported,
        request_id=request_id,
        function_arn=function_arn,
        timestamp=timestamp,
    )
    return {
        **head,
        batch_key: {
            "shardId": shard_id,
            "startSequenceNumber": records[0].sequence,
            "endSequenceNumber": records[-1].sequence,
            "approximateArrivalOfFirstRecord": stamp[0],
            "approximateArrivalOfLastRecord": stamp[1],
            "batchSize": len(records),
            "streamArn": stream_arn,
        },
    }
