"""Tumbling windows of a stream: which records belong together, and what a function is told of its window.

Pure functions. Windows lie end to end from the epoch on, a record is in the one it arrived in, and the state that the
function answers with comes back with its next batch of the same window.
https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-windows.html
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

import attrs

from lambdaform.local.pollers.answers import Settled
from lambdaform.local.pollers.retries import StreamRecord
from lambdaform.local.ports import Json

MAX_STATE = 1024 * 1024
"""Bytes of a state as JSON; a larger one ends its window early."""


@attrs.frozen
class Window:
    """One window of a shard, and what the function has made of it so far."""

    start: int
    end: int
    """Seconds since the epoch; the end is the start of the next one."""
    state: Json = attrs.field(factory=dict[str, Json])

    @property
    def is_too_large(self) -> bool:
        """Whether the window must end early."""
        return len(json.dumps(self.state, separators=(",", ":")).encode()) > MAX_STATE

    def begun_anew(self) -> Window:
        """The same window after it was ended early."""
        return Window(self.start, self.end)


def window_at(moment: float, length: int) -> Window:
    """The window of that length that a moment lies in."""
    start = int(moment // length) * length
    return Window(start, start + length)


def belonging(window: Window, records: Sequence[StreamRecord]) -> int:
    """How many of the first records belong to a window; one that comes late joins the window that is open."""
    return next((place for place, record in enumerate(records) if record.arrived >= window.end), len(records))


def told(window: Window, *, shard: str, source_arn: str, is_final: bool = False, is_early: bool = False) -> Json:
    """What stands beside the records in the function's event."""
    return {
        "window": {"start": _stamp(window.start), "end": _stamp(window.end)},
        "state": window.state,
        "shardId": shard,
        "eventSourceARN": source_arn,
        "isFinalInvokeForWindow": is_final,
        "isWindowTerminatedEarly": is_early,
    }


def answered_state(payload: bytes) -> Json | None:
    """The state in a function's answer; None when there is none, which fails the batch."""
    try:
        answer: object = json.loads(payload) if payload else None
    except (ValueError, RecursionError):
        return None
    return cast(Mapping[str, Any], answer).get("state") if isinstance(answer, dict) else None


def decide_state(window: Window, settled: Settled, payload: bytes, sequences: Sequence[str]) -> tuple[Window, Settled]:
    """The window after a batch, and what of the batch failed: all of it when the answer has no state.

    A partial response keeps its state: it stands for the records before the first that failed.
    """
    if len(settled.failed) == len(sequences) and not settled.is_reported:
        return window, settled
    state = answered_state(payload)
    if state is None:
        return window, Settled(frozenset(sequences))
    return attrs.evolve(window, state=state), settled


def _stamp(moment: int) -> str:
    return datetime.datetime.fromtimestamp(moment, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
