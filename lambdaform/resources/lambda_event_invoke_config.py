"""What becomes of asynchronous invocations: retries, age and destinations.

https://docs.aws.amazon.com/lambda/latest/api/API_PutFunctionEventInvokeConfig.html
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import attrs

from lambdaform.model.driver import Aws, AwsError, Desired, Found, Record, is_missing
from lambdaform.model.marks import Range, Replaces
from lambdaform.model.output import Input, output
from lambdaform.model.resource import Resource
from lambdaform.model.units import optional_seconds
from lambdaform.resources.lambda_target import addressed

ASYNC = "https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-configuring.html"


@attrs.frozen(kw_only=True, eq=False, repr=False, slots=False)
class EventInvokeConfig(Resource):
    """Settings of a function's (or alias's) asynchronous invocations; made by a function's own fields of these names.

    At least one of its settings must be given.
    """

    kind: ClassVar[str] = "lambda.event_invoke_config"
    title: ClassVar[str] = "asynchronous settings"
    reference: ClassVar[str] = "function_arn"
    replacement: ClassVar[str] = "delete first"

    function: Annotated[Input[str] | Resource, Replaces("these settings belong to one function or alias")]
    """The function, alias or version, or its ARN."""
    max_retries: Annotated[Input[int] | None, Range(0, 2, "retries", source=ASYNC)] = None
    """How often an event is tried again that the function failed on; AWS's default is 2."""
    max_event_age: Annotated[Input[int] | None, Range(60, 21_600, "s", source=ASYNC)] = attrs.field(
        default=None, converter=optional_seconds
    )
    """How long an event may wait; AWS's default is 6 hours."""
    on_success: Input[str] | Resource | None = None
    """Queue, topic, function or event bus that hears of successes."""
    on_failure: Input[str] | Resource | None = None
    """Queue, topic, function, event bus or bucket that hears of events given up."""

    function_arn = output(str, "The ARN of the function with its qualifier.")


class EventInvokeConfigDriver:
    """Writes a function's asynchronous settings."""

    # PutFunctionEventInvokeConfig replaces whatever is there.
    exists = ()

    def create(self, aws: Aws, desired: Desired) -> Mapping[str, Any]:
        """PutFunctionEventInvokeConfig."""
        request: dict[str, Any] = {}
        if desired.get("max_retries") is not None:
            request["MaximumRetryAttempts"] = desired.props["max_retries"]
        if desired.get("max_event_age") is not None:
            request["MaximumEventAgeInSeconds"] = desired.props["max_event_age"]
        destinations = {
            member: {"Destination": desired.props[prop]}
            for prop, member in (("on_success", "OnSuccess"), ("on_failure", "OnFailure"))
            if desired.get(prop)
        }
        if destinations:
            request["DestinationConfig"] = destinations
        answer = aws.call("lambda", "PutFunctionEventInvokeConfig", **addressed(desired.props["function"]), **request)
        return _outputs(answer, desired.props["function"])

    def update(self, aws: Aws, desired: Desired, record: Record, changed: frozenset[str]) -> Mapping[str, Any]:
        """PutFunctionEventInvokeConfig again: it replaces everything, so what is no longer set goes back."""
        return self.create(aws, desired)

    def find(self, aws: Aws, desired: Desired) -> Found | None:
        """The settings that are there, which Put overwrites."""
        answer = _get(aws, desired.props["function"])
        return None if answer is None else Found(_outputs(answer, desired.props["function"]), None)

    def read(self, aws: Aws, record: Record) -> Mapping[str, Any] | None:
        """Its outputs while the settings exist."""
        answer = _get(aws, record.props["function"])
        return None if answer is None else _outputs(answer, record.props["function"])

    def delete(self, aws: Aws, record: Record) -> None:
        """DeleteFunctionEventInvokeConfig."""
        try:
            aws.call("lambda", "DeleteFunctionEventInvokeConfig", **addressed(record.props["function"]))
        except AwsError as error:
            if not is_missing(error):
                raise


def _get(aws: Aws, function: str) -> Mapping[str, Any] | None:
    try:
        return aws.call("lambda", "GetFunctionEventInvokeConfig", **addressed(function))
    except AwsError as error:
        if is_missing(error):
            return None
        raise


def _outputs(answer: Mapping[str, Any], function: str) -> Mapping[str, Any]:
    return {"function_arn": answer.get("FunctionArn", function)}


DRIVER = EventInvokeConfigDriver()
