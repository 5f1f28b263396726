"""When a batch is sent, how many go at once, and how long to wait after a throttle. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import attrs

MAX_PAYLOAD = 6 * 1024 * 1024
"""Bytes of one synchronous invocation's event, its envelope included."""

ENVELOPE = len('{"Records": []}')

PER_POLLER = 10
"""Concurrent invocations of one provisioned poller."""
MOST_PROVISIONED = 20_000
"""Concurrent invocations of all of them."""


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


@attrs.frozen
class Scaling:
    """How many batches of one queue may be in flight at a time, as long as there is a backlog."""

    first: int = 5
    last: int = 1_250
    growth: float = 5.0
    """More of them a second."""
    is_provisioned: bool = False

    @classmethod
    def of_settings(cls, settings: Mapping[str, Any], *, is_fifo: bool) -> Scaling:
        """How a mapping scales: 5 batches at first, 300 more a minute, 1,250 at most, unless its settings say else.

        A FIFO queue has a batch in flight for each active message group, which the queue itself sees to. Provisioned
        pollers run 10 invocations each, and there are 1,000 more a minute.
        https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
        """
        maximum = cast(Mapping[str, int], settings.get("ScalingConfig") or {}).get("MaximumConcurrency")
        if maximum is not None:
            return cls(maximum, maximum)
        if settings.get("ProvisionedPollerConfig"):
            config = cast(Mapping[str, int], settings["ProvisionedPollerConfig"])
            fewest, most = config.get("MinimumPollers", 2), config.get("MaximumPollers", 200)
            return cls(
                min(fewest * PER_POLLER, MOST_PROVISIONED),
                min(most * PER_POLLER, MOST_PROVISIONED),
                growth=1_000 / 60,
                is_provisioned=True,
            )
        return cls(first=cls().last) if is_fifo else cls()

    def allowed(self, busy_since: float, now: float) -> int:
        """How many may be in flight now, given since when there has been a backlog."""
        return min(self.first + self._steps(busy_since, now), self.last)

    def next_growth(self, busy_since: float, now: float) -> float | None:
        """When one more may be in flight than now; None when there will not be more."""
        if self.allowed(busy_since, now) >= self.last:
            return None
        return busy_since + (self._steps(busy_since, now) + 1) / self.growth

    def _steps(self, busy_since: float, now: float) -> int:
        # Seconds since the epoch are exact to a quarter of a microsecond only.
        return int((now - busy_since) * self.growth + 1e-5)


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
