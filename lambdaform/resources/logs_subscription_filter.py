"""Subscription filters: the lines of a log group that match a pattern go to a function.

https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutSubscriptionFilter.html
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import attrs

from lambdaform.model.driver import Aws, AwsError, Desired, Found, Record, is_missing
from lambdaform.model.marks import Length, Replaces
from lambdaform.model.output import Input, output
from lambdaform.model.resource import Naming, Resource

PUT = "https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutSubscriptionFilter.html"


@attrs.frozen(kw_only=True, eq=False, repr=False, slots=False)
class SubscriptionFilter(Resource):
    """Hands matching log lines to a function; made by `LogGroup.lines`, which brings the permission along."""

    kind: ClassVar[str] = "logs.subscription_filter"
    title: ClassVar[str] = "subscription filter"
    naming: ClassVar[Naming | None] = Naming(512, allowed="A-Za-z0-9_./#-")
    reference: ClassVar[str] = "filter_name"

    group: Annotated[Input[str] | Resource, Replaces("a subscription filter belongs to one log group")]
    """The log group, or its name."""
    to: Input[str] | Resource
    """The function, or its ARN."""
    pattern: Annotated[Input[str], Length(0, 1_024, source=PUT)] = ""
    """Which lines; all of them when empty."""

    filter_name = output(str, "Its name in AWS.")


class SubscriptionFilterDriver:
    """Puts and deletes filters; putting one of a name that is there changes it."""

    exists: tuple[str, ...] = ()

    def create(self, aws: Aws, desired: Desired) -> Mapping[str, Any]:
        """PutSubscriptionFilter."""
        aws.call(
            "logs",
            "PutSubscriptionFilter",
            logGroupName=desired.props["group"],
            filterName=desired.physical_name,
            filterPattern=desired.get("pattern") or "",
            destinationArn=desired.props["to"],
        )
        return {"filter_name": desired.physical_name}

    def update(self, aws: Aws, desired: Desired, record: Record, changed: frozenset[str]) -> Mapping[str, Any]:
        """The same call, with the name it has."""
        return self.create(aws, attrs.evolve(desired, physical_name=record.physical_name))

    def find(self, aws: Aws, desired: Desired) -> Found | None:
        """The group's filter of that name."""
        group = desired.props["group"]
        return (
            Found({"filter_name": desired.physical_name}, None) if _exists(aws, group, desired.physical_name) else None
        )

    def read(self, aws: Aws, record: Record) -> Mapping[str, Any] | None:
        """Its outputs while it exists."""
        return record.outputs if _exists(aws, record.props["group"], record.physical_name) else None

    def delete(self, aws: Aws, record: Record) -> None:
        """DeleteSubscriptionFilter."""
        try:
            aws.call(
                "logs",
                "DeleteSubscriptionFilter",
                logGroupName=record.props["group"],
                filterName=record.physical_name,
            )
        except AwsError as error:
            if not is_missing(error):
                raise


def _exists(aws: Aws, group: str, name: str) -> bool:
    try:
        answer = aws.call("logs", "DescribeSubscriptionFilters", logGroupName=group, filterNamePrefix=name)
    except AwsError as error:
        if is_missing(error):
            return False
        raise
    return any(each["filterName"] == name for each in answer.get("subscriptionFilters", []))


DRIVER = SubscriptionFilterDriver()
