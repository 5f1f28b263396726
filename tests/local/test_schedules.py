"""Facts about schedule expressions."""

from __future__ import annotations

import datetime

import pytest

from lambdaform.local.schedules import ScheduleError, parse


def at(text: str) -> float:
    """Seconds of a UTC time such as `2026-11-18 11:06`."""
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC).timestamp()


def times(expression: str, after: str, count: int, timezone: str = "UTC") -> list[str]:
    """The next times of a schedule, in UTC."""
    schedule, moment = parse(expression, timezone=timezone, allows_at=True), at(after)
    found = list[str]()
    for _ in range(count):
        following = schedule.next_after(moment, at(after))
        if following is None:
            break
        moment = following
        found.append(datetime.datetime.fromtimestamp(moment, datetime.UTC).strftime("%Y-%m-%d %H:%M"))
    return found


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("rate(5 minutes)", ["2026-11-18 11:11", "2026-11-18 11:16"]),
        ("rate(1 day)", ["2026-11-19 11:06", "2026-11-20 11:06"]),
        ("cron(0 12 * * ? *)", ["2026-11-18 12:00", "2026-11-19 12:00"]),
        ("cron(0/15 * * * ? *)", ["2026-11-18 11:15", "2026-11-18 11:30"]),
        ("cron(0 18 ? * MON-FRI *)", ["2026-11-18 18:00", "2026-11-19 18:00"]),
        ("cron(0 8 1 * ? *)", ["2026-12-01 08:00", "2027-01-01 08:00"]),
        ("cron(0 8 31 * ? *)", ["2026-12-31 08:00", "2027-01-31 08:00"]),
        ("cron(0 8 L * ? *)", ["2026-11-30 08:00", "2026-12-31 08:00"]),
        ("cron(0 8 L-2 * ? *)", ["2026-11-28 08:00", "2026-12-29 08:00"]),
        ("cron(0 8 15W * ? *)", ["2026-12-15 08:00", "2027-01-15 08:00"]),
        ("cron(0 8 1W 8 ? 2027)", ["2027-08-02 08:00"]),
        ("cron(0 8 ? * 6L *)", ["2026-11-27 08:00", "2026-12-25 08:00"]),
        ("cron(0 8 ? * 6#3 *)", ["2026-11-20 08:00", "2026-12-18 08:00"]),
        ("cron(0 8 ? * SUN *)", ["2026-11-22 08:00", "2026-11-29 08:00"]),
        ("cron(30 22-1 ? * 4 *)", ["2026-11-18 22:30", "2026-11-18 23:30"]),
        ("cron(0 0 29 FEB ? *)", ["2028-02-29 00:00", "2032-02-29 00:00"]),
        ("cron(0 8 1 1 ? 2020)", []),
        ("at(2026-12-24T18:00:00)", ["2026-12-24 18:00"]),
        ("at(2020-12-24T18:00:00)", []),
    ],
)
def test_a_schedule_comes_up_at(expression: str, expected: list[str]) -> None:
    assert times(expression, "2026-11-18 11:06", 2) == expected


def test_a_zone_keeps_its_wall_clock_time_through_the_year() -> None:
    winter = times("cron(0 3 * * ? *)", "2026-11-18 11:06", 1, "Europe/Berlin")
    summer = times("cron(0 3 * * ? *)", "2026-07-01 11:06", 1, "Europe/Berlin")

    assert (winter, summer) == (["2026-11-19 02:00"], ["2026-07-02 01:00"])


def test_an_hour_that_summer_time_skips_is_passed_over() -> None:
    assert times("cron(30 2 * * ? *)", "2027-03-27 12:00", 1, "Europe/Berlin") == ["2027-03-29 00:30"]


def test_an_hour_that_occurs_twice_counts_once() -> None:
    found = times("cron(30 2 * * ? *)", "2026-10-24 12:00", 2, "Europe/Berlin")

    assert found == ["2026-10-25 00:30", "2026-10-26 01:30"]


@pytest.mark.parametrize(
    "expression",
    [
        "rate(1 minutes)",
        "rate(5 minute)",
        "rate(0 minutes)",
        "rate(5 seconds)",
        "cron(0 12 * * * *)",
        "cron(0 12 ? * ? *)",
        "cron(0 12 * * ?)",
        "cron(60 12 * * ? *)",
        "cron(0 12 32 * ? *)",
        "cron(0 12 ? * 8 *)",
        "cron(0 12 * XYZ ? *)",
        "cron(0 12 * * ? 2200)",
        "at(tomorrow)",
        "every day",
    ],
)
def test_what_is_no_schedule_is_refused(expression: str) -> None:
    with pytest.raises(ScheduleError):
        parse(expression, allows_at=True)


def test_rules_know_no_single_moments_and_zones_must_exist() -> None:
    with pytest.raises(ScheduleError):
        parse("at(2026-12-24T18:00:00)")
    with pytest.raises(ScheduleError):
        parse("cron(0 12 * * ? *)", timezone="Mars/Olympus")
