"""Where an invocation runs, and when it may not: rules over numbers."""

from __future__ import annotations

import pytest

from lambdaform.local.lambda_.admission import Bucket, Limits, Rate, decide_admission


def limits(*, reserved: int | None = None, provisioned: int = 0) -> Limits:
    return Limits(reserved, provisioned, provisioned)


def decided(limits: Limits, on_demand: int, left: int, *, has_ready: bool = False) -> str:
    return decide_admission(limits, on_demand=on_demand, left=left, has_ready=has_ready)


@pytest.mark.parametrize(
    ("reserved", "busy", "left", "decision"),
    [
        (None, 5, 1, "on-demand"),
        (None, 0, 0, "ConcurrentInvocationLimitExceeded"),
        (None, 0, -1, "ConcurrentInvocationLimitExceeded"),
        (2, 1, 0, "on-demand"),
        (2, 2, 1000, "ReservedFunctionConcurrentInvocationLimitExceeded"),
        (0, 0, 0, "ReservedFunctionConcurrentInvocationLimitExceeded"),
    ],
)
def test_a_reservation_is_a_floor_and_a_ceiling(reserved: int | None, busy: int, left: int, decision: str) -> None:
    assert decided(limits(reserved=reserved), busy, left) == decision


def test_a_provisioned_environment_is_used_whatever_else_is_busy() -> None:
    assert decided(limits(provisioned=1), 0, 0, has_ready=True) == "provisioned"


def test_what_is_provisioned_leaves_the_rest_of_the_reservation() -> None:
    held = limits(reserved=3, provisioned=2)

    assert decided(held, 0, 0) == "on-demand"
    assert decided(held, 1, 0) == "ReservedFunctionConcurrentInvocationLimitExceeded"


def test_a_function_grows_by_a_thousand_and_then_by_a_hundred_a_second() -> None:
    bucket = Bucket(at=50.0)

    assert sum(bucket.take(50.0) for _ in range(1200)) == 1000
    assert sum(bucket.take(51.0) for _ in range(1200)) == 100
    assert sum(bucket.take(5000.0) for _ in range(1200)) == 1000  # what was not used does not add up


def test_a_rate_begins_anew_every_second() -> None:
    rate = Rate()

    assert [rate.take(at, 2) for at in (7.0, 7.5, 7.9, 8.0)] == [True, True, False, True]
