"""When a batch is sent, how many go at once, and how long to wait after a throttle. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

MAX_PAYLOAD = 6 * 1024 * 1024
"""Bytes of one synchronous invocation's event, its envelope included."""

ENVELOPE = len('{"Records": []}')

FIRST_CONCURRENCY = 5
GROWTH_PER_SECOND = 5.0
MAX_CONCURRENCY = 1_250
"""Concurrent batches of one queue: 5 at first, 300 more a minute, 1,250 at most.
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html"""


@attrs.frozen
class Send:
    """The first `count` records go now."""

    count: int


@attrs.frozen
class Wait:
    """More records may come until then."""

    until: float


def decide_batch(
    sizes: Sequence[int], first_at: float, now: float, *, batch_size: int, window: float, envelope: int = ENVELOPE
) -> Send | Wait | None:
    """Whether the records at hand are a batch: enough of them, the window over, or the payload full.

    `sizes` are the records' bytes in order, `envelope` those of the event around them, `first_at` is when the first of
    them was taken. None without records.
    """
    if not sizes:
        return None
    total = envelope
    for count, size in enumerate(sizes[:batch_size]):
        total += size + 2
        if total > MAX_PAYLOAD:
            # One record too many is carried over; a record too large on its own goes alone and is refused as such.
            return Send(max(1, count))
    if len(sizes) >= batch_size:
        return Send(batch_size)
    if now >= first_at + window:
        return Send(len(sizes))
    return Wait(first_at + window)


def decide_concurrency(busy_since: float, now: float, maximum: int | None) -> int:
    """How many batches of one queue may be in flight, given since when there has been a backlog."""
    return min(FIRST_CONCURRENCY + _steps(busy_since, now), MAX_CONCURRENCY) if maximum is None else maximum


def next_growth(busy_since: float, now: float) -> float:
    """When one more batch may be in flight than now."""
    return busy_since + (_steps(busy_since, now) + 1) / GROWTH_PER_SECOND


def _steps(busy_since: float, now: float) -> int:
    # Seconds since the epoch are exact to a quarter of a microsecond only.
    return int((now - busy_since) * GROWTH_PER_SECOND + 1e-5)


def back_off(attempt: int, first: float = 1.0, last: float = 60.0) -> float:
    """Seconds to wait after the `attempt`-th refusal in a row (1 for the first)."""
    return min(last, first * 2.0 ** min(attempt - 1, 30))


def visibility(queue_visibility: int, window: int, timeout: int) -> int:
    """How long Lambda hides the messages it takes.

    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
    """
    if window > 0 and window + timeout > queue_visibility:
        return window + timeout + 30
    return queue_visibility
