"""Staying awake between invocations that come one after the other: when, and for how long."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lambdaform.local.lambda_.busy_poll import LONGEST, BusyPoll
from lambdaform.local.lambda_.cpu import processors, quota_in


class Turns:
    """A loop that turns when it is told to, and its time."""

    def __init__(self) -> None:
        self.now = 100.0
        self.soon: list[Callable[[], None]] = []
        self.poll = BusyPoll(call_soon=self.soon.append, now=lambda: self.now)

    @property
    def is_awake(self) -> bool:
        """Whether the next turn comes at once."""
        due, self.soon[:] = self.soon[:], []
        for each in due:
            each()
        return bool(self.soon)

    def invocation(self, *, after: float) -> None:
        """One that comes so long after the last."""
        self.now += after
        self.poll.begin()
        self.now += 0.1
        self.poll.rest()


def test_one_invocation_is_not_reason_enough_to_stay_awake() -> None:
    loop = Turns()

    loop.invocation(after=1.0)

    assert not loop.is_awake


def test_after_the_second_in_a_row_the_next_is_waited_for_awake() -> None:
    loop = Turns()

    loop.invocation(after=1.0)
    loop.invocation(after=LONGEST / 2)

    assert loop.is_awake
    loop.now += LONGEST / 2
    assert loop.is_awake
    loop.now += LONGEST / 2
    assert not loop.is_awake


def test_while_an_invocation_is_at_work_the_loop_may_sleep() -> None:
    loop = Turns()
    loop.invocation(after=1.0)
    loop.invocation(after=LONGEST / 2)

    loop.poll.begin()

    assert not loop.is_awake


def test_who_takes_longer_than_that_is_not_waited_for_again() -> None:
    loop = Turns()
    loop.invocation(after=1.0)
    loop.invocation(after=LONGEST / 2)

    loop.invocation(after=2 * LONGEST)

    assert not loop.is_awake


def test_what_comes_to_rest_without_such_a_request_keeps_nobody_awake() -> None:
    loop = Turns()
    loop.invocation(after=1.0)
    loop.invocation(after=LONGEST / 2)
    loop.now += 2 * LONGEST
    assert not loop.is_awake

    loop.poll.rest()

    assert not loop.is_awake


def test_there_is_a_part_of_a_processor_and_no_more_than_the_machine_has() -> None:
    assert 0 < processors() <= (os.cpu_count() or 1)


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.cfs_quota_us": "50000\n", "cpu.cfs_period_us": "100000\n"}, 0.5),
        ({"cpu.cfs_quota_us": "-1\n", "cpu.cfs_period_us": "100000\n"}, None),
        ({}, None),
    ],
    ids=["half as much again", "no limit", "half, by the older interface", "no limit there", "no such group"],
)
def test_the_quota_of_a_control_group_is_counted_in_processors(
    tmp_path: Path, files: dict[str, str], quota: float | None
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)

    assert quota_in(tmp_path) == quota
