"""Sizes and times in AWS's numbers, readable strings and timedeltas."""

from datetime import timedelta
from typing import Any

import pytest

from lambdaform.model.output import Unreadable, by_stage
from lambdaform.model.units import megabytes, optional_days, seconds


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (30, 30),
        ("30 s", 30),
        ("5 min", 300),
        ("1 h 30 min", 5400),
        ("14 days", 1_209_600),
        (timedelta(minutes=2), 120),
        ("1.5 min", 90),
    ],
)
def test_times_come_to_seconds(given: Any, expected: int) -> None:
    assert seconds(given) == expected


@pytest.mark.parametrize("given", ["", "5 minuets", "min", "5", "1 min and 2 s", 1.5, True, timedelta(microseconds=5)])
def test_what_is_no_time_is_kept_to_be_reported(given: Any) -> None:
    assert isinstance(seconds(given), Unreadable)


@pytest.mark.parametrize(("given", "expected"), [(512, 512), ("512 MB", 512), ("2 GB", 2048), ("1.5 GB", 1536)])
def test_sizes_come_to_megabytes(given: Any, expected: int) -> None:
    assert megabytes(given) == expected


@pytest.mark.parametrize(("given", "expected"), [(None, None), (14, 14), ("2 weeks", 14), (timedelta(days=3), 3)])
def test_retention_comes_to_days(given: Any, expected: int | None) -> None:
    assert optional_days(given) == expected


def test_a_setting_per_stage_is_read_in_every_stage() -> None:
    staged: Any = seconds(by_stage("10 s", prod="1 min"))

    assert (staged.at("dev"), staged.at("prod")) == (10, 60)
