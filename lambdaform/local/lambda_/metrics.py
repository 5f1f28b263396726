"""Lambda's metrics, counted as things happen and handed to CloudWatch when somebody asks it for them.

https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html. Counting is one append; CloudWatch itself is
the library's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Literal

import attrs

from lambdaform.local.ports import AwsFault, DataServices, Json

NAMESPACE = "AWS/Lambda"
MOST_POINTS = 50_000
"""Points kept until somebody reads them; the oldest go first."""
_AT_ONCE = 500
Unit = Literal["Count", "Milliseconds"]


@attrs.frozen(eq=False)
class Point:
    """Values of one moment that have their dimensions in common."""

    at: float
    """Seconds since the epoch, on the local AWS's clock."""
    region: str
    function: str
    """Its name; empty for what is told of a Region or a mapping only."""
    qualifier: str | None
    """The alias or version it was called by."""
    version: str | None
    """The version that ran, where an alias has more than one."""
    values: tuple[tuple[str, float, Unit], ...]
    mapping: str | None = None
    """The UUID of the event source mapping it is told of."""


class Metrics:
    """What has been counted and not been read yet."""

    def __init__(self, data: DataServices) -> None:
        self._data = data
        self._points: deque[Point] = deque(maxlen=MOST_POINTS)

    def count(
        self,
        at: float,
        region: str,
        function: str,
        *values: tuple[str, float, Unit],
        qualifier: str | None = None,
        version: str | None = None,
        mapping: str | None = None,
    ) -> None:
        """Count values of a function or an event source mapping at a moment."""
        self._points.append(Point(at, region, function, qualifier, version, values, mapping))

    def clear(self) -> None:
        """Forget what has not been read."""
        self._points.clear()

    async def hand_over(self) -> None:
        """Give CloudWatch what has been counted since the last time."""
        if not self._points:
            return
        points = list(self._points)
        self._points.clear()
        for region in {point.region for point in points}:
            data = [datum for point in points if point.region == region for datum in data_of(point)]
            for start in range(0, len(data), _AT_ONCE):
                params: dict[str, Json] = {"Namespace": NAMESPACE, "MetricData": data[start : start + _AT_ONCE]}
                try:
                    await self._data.call("cloudwatch", "PutMetricData", params, region=region)
                except AwsFault as fault:
                    raise AssertionError(f"bug in lambdaform: CloudWatch refused Lambda's metrics: {fault}") from fault


def data_of(point: Point) -> Iterator[dict[str, Json]]:
    """A point as CloudWatch takes it."""
    dimensions = dimensions_of(point)
    for name, value, unit in point.values:
        yield {
            "MetricName": name,
            "Dimensions": [{"Name": key, "Value": text} for key, text in dimensions.items()],
            "Timestamp": point.at,
            "Value": value,
            "Unit": unit,
        }


def dimensions_of(point: Point) -> dict[str, str]:
    """What a point is about, as exactly as Lambda tells it: function, alias or version, what ran behind the alias.

    AWS tells it by each shorter set of dimensions as well; the library finds it by those without.
    """
    found: dict[str, str] = {}
    if point.mapping is not None:
        found["EventSourceMappingUUID"] = point.mapping
    if point.function:
        found["FunctionName"] = point.function
    if point.qualifier is not None:
        found["Resource"] = f"{point.function}:{point.qualifier}"
        if point.version is not None:
            found["ExecutedVersion"] = point.version
    return found
