"""Schedule expressions of EventBridge rules and of the Scheduler: `rate(...)`, `cron(...)`, `at(...)`. Pure functions.

https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
"""

from __future__ import annotations

import calendar
import datetime
import re
import zoneinfo
from collections.abc import Iterator, Mapping

import attrs

LAST_YEAR = 2199
_UNITS: Mapping[str, int] = {"minute": 60, "hour": 3_600, "day": 86_400}
_MONTHS = {name: number for number, name in enumerate(calendar.month_abbr) if name}
_DAYS = {name: number for number, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"), start=1)}


class ScheduleError(ValueError):
    """An expression that is no schedule."""


@attrs.frozen
class Rate:
    """Every so many seconds, counted from a start."""

    seconds: int

    def next_after(self, moment: float, start: float) -> float | None:
        """The first time after `moment`; the first of all is one interval after `start`."""
        passed = max(0, int((moment - start) // self.seconds))
        due = start + (passed + 1) * self.seconds
        return due if due > moment else due + self.seconds


@attrs.frozen
class At:
    """Once, at a wall clock time of a zone."""

    wall: datetime.datetime
    zone: zoneinfo.ZoneInfo

    def next_after(self, moment: float, start: float) -> float | None:
        """The time, if it is not over."""
        due = self.wall.replace(tzinfo=self.zone).timestamp()
        return due if due > moment else None


@attrs.frozen
class Cron:
    """AWS's six fields, in the wall clock time of a zone."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: str
    months: tuple[int, ...]
    weekdays: str
    years: tuple[int, ...]
    zone: zoneinfo.ZoneInfo

    def next_after(self, moment: float, start: float) -> float | None:
        """The first time after `moment`; None when there is none any more.

        A wall clock time that a change to summer time skips is passed over on that day; one that occurs twice counts
        once, at its first occurrence. https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html#daylist-savings-time
        """
        now = datetime.datetime.fromtimestamp(moment, self.zone)
        for day in self._dates(now.date()):
            for hour in self.hours:
                for minute in self.minutes:
                    wall = datetime.datetime.combine(day, datetime.time(hour, minute), self.zone)
                    due = wall.timestamp()
                    if due > moment and datetime.datetime.fromtimestamp(due, self.zone).hour == hour:
                        return due
        return None

    def _dates(self, first: datetime.date) -> Iterator[datetime.date]:
        for year in self.years:
            if year < first.year:
                continue
            for month in self.months:
                if (year, month) < (first.year, first.month):
                    continue
                for day in self._days_of(year, month):
                    date = datetime.date(year, month, day)
                    if date >= first:
                        yield date

    def _days_of(self, year: int, month: int) -> list[int]:
        if self.days != "?":
            return _month_days(self.days, year, month)
        return _week_days(self.weekdays, year, month)


Schedule = Rate | At | Cron


def parse(text: str, *, timezone: str = "UTC", allows_at: bool = False) -> Schedule:
    """The schedule a text says; raises `ScheduleError`. Only the Scheduler knows `at(...)` and zones."""
    match = re.fullmatch(r"(rate|cron|at)\((.*)\)", text.strip())
    if match is None:
        raise ScheduleError(text)
    kind, inner = match[1], match[2].strip()
    if kind == "rate":
        return _rate(inner)
    zone = _zone(timezone)
    if kind == "cron":
        return _cron(inner, zone)
    if not allows_at:
        raise ScheduleError(text)
    try:
        return At(datetime.datetime.strptime(inner, "%Y-%m-%dT%H:%M:%S"), zone)
    except ValueError as error:
        raise ScheduleError(text) from error


def _zone(name: str) -> zoneinfo.ZoneInfo:
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ScheduleError(name) from error


def _rate(inner: str) -> Rate:
    match = re.fullmatch(r"(\d+)\s+(minute|hour|day)(s?)", inner)
    if match is None:
        raise ScheduleError(inner)
    count = int(match[1])
    # AWS wants the right number: "1 minute", "5 minutes".
    if count < 1 or (count == 1) == bool(match[3]):
        raise ScheduleError(inner)
    return Rate(count * _UNITS[match[2]])


def _cron(inner: str, zone: zoneinfo.ZoneInfo) -> Cron:
    fields = inner.upper().split()
    if len(fields) != 6:
        raise ScheduleError(inner)
    minute, hour, day, month, weekday, year = fields
    if (day == "?") == (weekday == "?"):
        raise ScheduleError(inner)
    # Read once for a month, so that a mistake shows now and not when it is due.
    if day != "?":
        _month_days(day, 2_000, 1)
    else:
        _week_days(weekday, 2_000, 1)
    return Cron(
        minutes=_values(minute, 0, 59),
        hours=_values(hour, 0, 23),
        days=day,
        months=_values(_named(month, {name.upper(): number for name, number in _MONTHS.items()}), 1, 12),
        weekdays=weekday,
        years=_values(year, 1970, LAST_YEAR),
        zone=zone,
    )


def _named(field: str, names: Mapping[str, int]) -> str:
    return re.sub(r"[A-Z]{3}", lambda match: str(names.get(match[0], match[0])), field)


def _values(field: str, low: int, high: int) -> tuple[int, ...]:
    """The numbers of a field of lists, ranges, steps and `*`; a range may wrap around (`22-2`)."""
    found = set[int]()
    for part in field.split(","):
        match = re.fullmatch(r"(?:(\*)|(\d+)(?:-(\d+))?)(?:/(\d+))?", part)
        if match is None:
            raise ScheduleError(field)
        star, first, last, step = match.groups()
        begin = low if star else int(first)
        end = high if star or (step and last is None) else int(last if last is not None else first)
        stride = int(step or 1)
        if not (low <= begin <= high and low <= end <= high and stride >= 1):
            raise ScheduleError(field)
        span = range(begin, end + 1) if begin <= end else [*range(begin, high + 1), *range(low, end + 1)]
        found.update(list(span)[::stride])
    return tuple(sorted(found))


def _month_days(field: str, year: int, month: int) -> list[int]:
    """The days of a month: numbers, `L` (last), `L-3`, `15W` (nearest weekday), `LW`."""
    last = calendar.monthrange(year, month)[1]
    if match := re.fullmatch(r"L(?:-(\d+))?", field):
        day = last - int(match[1] or 0)
        return [day] if day >= 1 else []
    if match := re.fullmatch(r"(\d+|L)W", field):
        wanted = last if match[1] == "L" else int(match[1])
        if not 1 <= wanted <= 31:
            raise ScheduleError(field)
        return [_nearest_weekday(wanted, year, month)] if wanted <= last else []
    return [day for day in _values(field, 1, 31) if day <= last]


def _nearest_weekday(day: int, year: int, month: int) -> int:
    last = calendar.monthrange(year, month)[1]
    weekday = calendar.weekday(year, month, day)
    if weekday == calendar.SATURDAY:
        return day - 1 if day > 1 else day + 2
    if weekday == calendar.SUNDAY:
        return day + 1 if day < last else day - 2
    return day


def _week_days(field: str, year: int, month: int) -> list[int]:
    """The days of a month by weekday (1 is Sunday): numbers or names, `6L` (last Friday), `6#3` (third Friday)."""
    named = _named(field, _DAYS)
    last = calendar.monthrange(year, month)[1]

    def of(weekday: int) -> list[int]:
        return [day for day in range(1, last + 1) if (calendar.weekday(year, month, day) + 1) % 7 + 1 == weekday]

    if named == "L":
        return of(7)
    if match := re.fullmatch(r"([1-7])L", named):
        return of(int(match[1]))[-1:]
    if match := re.fullmatch(r"([1-7])#([1-5])", named):
        place = int(match[2])
        return of(int(match[1]))[place - 1 : place]
    return sorted(day for weekday in _values(named, 1, 7) for day in of(weekday))
