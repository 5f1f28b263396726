"""What triggers on streams have in common: settings of the batches and of what happens when one fails.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventsourcemapping.html
"""

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from lambdaform.model.output import Input, Output
from lambdaform.model.resource import Grant, Resource, Scope, Trigger, arn_of
from lambdaform.model.units import items, optional_seconds, seconds
from lambdaform.resources.lambda_destination import right_to_deliver
from lambdaform.resources.lambda_event_source_mapping import EventSourceMapping


@attrs.frozen(kw_only=True, eq=False, repr=False, slots=False)
class StreamBatches(Trigger):
    """Batches of a stream's records; one kind of stream each derives from it."""

    starting_position: Input[str] = "LATEST"
    batch_size: Input[int] = 100
    window: Input[int] = attrs.field(default=0, converter=seconds)
    partial_failures: Input[bool] = False
    filters: tuple[Mapping[str, Any], ...] = attrs.field(default=(), converter=items)
    parallelization: Input[int] | None = None
    bisect_on_error: Input[bool] = False
    max_retries: Input[int] | None = None
    max_record_age: Input[int] | None = attrs.field(default=None, converter=optional_seconds)
    tumbling_window: Input[int] | None = attrs.field(default=None, converter=optional_seconds)
    on_failure: Input[str] | Resource | None = None
    metrics: Input[bool] = False
    enabled: Input[bool] = True

    def mapping(
        self,
        kind: str,
        arn: Output[str],
        source: Resource,
        target: Output[str],
        scope: Scope,
        *,
        starting_timestamp: Input[float] | None = None,
    ) -> list[Grant]:
        """Derives the event source mapping; gives the right to deliver to `on_failure`."""
        on_failure = self.on_failure
        if isinstance(on_failure, Resource):
            on_failure = scope.current(on_failure)
        scope.derive(
            EventSourceMapping(
                function=target,
                source=arn,
                source_kind=kind,
                starting_position=self.starting_position,
                starting_timestamp=starting_timestamp,
                batch_size=self.batch_size,
                window=self.window,
                partial_failures=self.partial_failures,
                filters=self.filters,
                parallelization=self.parallelization,
                bisect_on_error=self.bisect_on_error,
                max_retries=self.max_retries,
                max_record_age=self.max_record_age,
                tumbling_window=self.tumbling_window,
                on_failure=arn_of(on_failure) if isinstance(on_failure, Resource) else on_failure,
                metrics=self.metrics,
                enabled=self.enabled,
            ),
            scope.name_of(source),
        )
        return right_to_deliver(on_failure)

    def attach(self, function: Resource, target: Output[str], scope: Scope) -> Iterable[Grant]:
        """Each kind of stream says what its mapping reads."""
        raise NotImplementedError
