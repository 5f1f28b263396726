"""What an event source mapping tells CloudWatch: the metrics of its `MetricsConfig`, and those every stream has.

https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html#event-source-mapping-metrics
"""

from __future__ import annotations

from typing import Any, Literal, cast

from lambdaform.local.lambda_.metrics import Metrics
from lambdaform.local.ports import Clock, EventMapping

EventCount = Literal[
    "PolledEventCount",
    "FilteredOutEventCount",
    "InvokedEventCount",
    "FailedInvokeEventCount",
    "DeletedEventCount",
    "DroppedEventCount",
    "OnFailureDestinationDeliveredEventCount",
]


class Counting:
    """The counts of one mapping."""

    def __init__(self, mapping: EventMapping, *, clock: Clock, metrics: Metrics | None) -> None:
        self._mapping = mapping
        self._clock = clock
        self._metrics = metrics
        config = cast(dict[str, Any], mapping.settings.get("MetricsConfig") or {})
        self._is_wanted = "EventCount" in (config.get("Metrics") or ())
        self._function, *qualifier = mapping.function_arn.split(":")[6:]
        self._qualifier = qualifier[0] if qualifier else None

    def events(self, name: EventCount, number: int) -> None:
        """Count events, if the mapping is to."""
        if self._is_wanted and number and self._metrics is not None:
            self._of_mapping(name, number)

    def pollers(self, number: int) -> None:
        """Tell how many provisioned pollers are at work."""
        self._of_mapping("ProvisionedPollers", number)

    def iterator_age(self, seconds: float) -> None:
        """Tell how old the last record of a batch was when the function got it."""
        if self._metrics is not None:
            value = ("IteratorAge", max(0.0, seconds) * 1000, "Milliseconds")
            self._metrics.count(
                self._clock.now(), self._mapping.region, self._function, value, qualifier=self._qualifier
            )

    def undelivered(self) -> None:
        """Count a document that its destination did not take."""
        if self._metrics is not None:
            value = ("DestinationDeliveryFailures", 1.0, "Count")
            self._metrics.count(
                self._clock.now(), self._mapping.region, self._function, value, qualifier=self._qualifier
            )

    def _of_mapping(self, name: str, number: int) -> None:
        if self._metrics is not None:
            value = (name, float(number), "Count")
            self._metrics.count(self._clock.now(), self._mapping.region, "", value, mapping=self._mapping.uuid)
