"""What an event source mapping tells CloudWatch: the metrics of its `MetricsConfig`, and those every stream has.

https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html#event-source-mapping-metrics
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Literal, cast

from lambdaform.local.lambda_.metrics import Metrics, Unit
from lambdaform.local.ports import Clock, EventMapping

EventCount = Literal[
    "PolledEventCount",
    "FilteredOutEventCount",
    "InvokedEventCount",
    "FailedInvokeEventCount",
    "CommittedEventCount",
    "DeletedEventCount",
    "DroppedEventCount",
    "OnFailureDestinationDeliveredEventCount",
]
ErrorCount = Literal[
    "PollingErrorCount", "InvokeErrorCount", "OnFailureDestinationDeliveryErrorCount", "CommitErrorCount"
]


class Counting:
    """The counts of one mapping."""

    def __init__(self, mapping: EventMapping, *, clock: Clock, metrics: Metrics | None) -> None:
        self._mapping = mapping
        self._clock = clock
        self._metrics = metrics
        config = cast(dict[str, Any], mapping.settings.get("MetricsConfig") or {})
        self._wanted = frozenset(cast(Iterable[str], config.get("Metrics") or ()))
        self._function, *qualifier = mapping.function_arn.split(":")[6:]
        self._qualifier = qualifier[0] if qualifier else None

    def events(self, name: EventCount, number: int) -> None:
        """Count events, if the mapping is to."""
        if "EventCount" in self._wanted and number:
            self._of_mapping(name, number)

    def error(self, name: ErrorCount) -> None:
        """Count an error on the way, if the mapping is to."""
        if "ErrorCount" in self._wanted:
            self._of_mapping(name, 1)

    def pollers(self, number: int) -> None:
        """Tell how many provisioned pollers are at work."""
        self._of_mapping("ProvisionedPollers", number)

    def iterator_age(self, seconds: float) -> None:
        """Tell how old the last record of a batch was when the function got it."""
        self._of_function("IteratorAge", max(0.0, seconds) * 1000, "Milliseconds")

    def lags(self, numbers: Collection[int]) -> None:
        """Tell how many records of each partition are not through."""
        if not numbers:
            return
        self._of_function("OffsetLag", max(numbers), "Count")
        if "KafkaMetrics" in self._wanted:
            self._of_mapping("MaxOffsetLag", max(numbers))
            self._of_mapping("SumOffsetLag", sum(numbers))

    def oversized(self) -> None:
        """Count a record that is larger than an event may be."""
        self._of_function("OversizedRecordCount", 1.0, "Count")

    def undelivered(self) -> None:
        """Count a document that its destination did not take."""
        self._of_function("DestinationDeliveryFailures", 1.0, "Count")

    def _of_function(self, name: str, number: float, unit: Unit) -> None:
        if self._metrics is not None:
            value = (name, float(number), unit)
            self._metrics.count(
                self._clock.now(), self._mapping.region, self._function, value, qualifier=self._qualifier
            )

    def _of_mapping(self, name: str, number: int) -> None:
        if self._metrics is not None:
            value = (name, float(number), "Count")
            self._metrics.count(self._clock.now(), self._mapping.region, "", value, mapping=self._mapping.uuid)
