"""EventBridge event buses.

https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_CreateEventBus.html
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

import attrs

from lambdaform.model.driver import Aws, AwsError, Desired, Found, Record, changed_tags, is_missing
from lambdaform.model.marks import Length, Pattern, Replaces
from lambdaform.model.output import ACCOUNT_ID, PARTITION, REGION, Input, output, text
from lambdaform.model.resource import Grant, Naming, Resource

CREATE = "https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_CreateEventBus.html"


@attrs.frozen(kw_only=True, eq=False, repr=False, slots=False)
class EventBus(Resource):
    """Events of your own, apart from AWS's, for rules to match."""

    kind: ClassVar[str] = "events.bus"
    title: ClassVar[str] = "event bus"
    naming: ClassVar[Naming | None] = Naming(256, allowed="-A-Za-z0-9_.")
    taggable: ClassVar[bool] = True

    name: Annotated[
        Input[str] | None,
        Pattern(r"(?!default$)[.\-_A-Za-z0-9]{1,256}", "1 to 256 letters, digits or .-_, not default", CREATE),
        Replaces(),
    ] = None
    """Its name in AWS; made from stack, stage and attribute name when not given."""
    description: Annotated[Input[str], Length(0, 512, source=CREATE)] = ""
    """For people."""
    tags: Annotated[Mapping[str, Input[str]], Length(0, 50, "tags")] = attrs.field(factory=dict[str, Input[str]])
    """Tags besides the stack's."""

    arn = output(str, "The bus's ARN.")
    bus_name = output(str, "The bus's name.")

    @classmethod
    def existing(cls, arn: Input[str]) -> Self:
        """A bus that lambdaform does not manage."""
        return cls.refer(arn)

    @classmethod
    def default(cls) -> Self:
        """The bus every account has, where AWS's own events arrive."""
        return cls.refer(text("arn:{}:events:{}:{}:event-bus/default", PARTITION, REGION, ACCOUNT_ID))

    @classmethod
    def outputs_of_arn(cls, arn: str) -> Mapping[str, str]:
        """ARN and name."""
        return {"arn": arn, "bus_name": arn.partition("/")[2]}

    def put(self) -> Grant:
        """Permission to put events; in `uses`, the variable holds the bus's name."""
        return Grant(("events:PutEvents",), (self.arn,), value=self.bus_name, target=self, verb="put")


class EventBusDriver:
    """Makes and changes event buses."""

    exists = ("ResourceAlreadyExistsException",)

    def create(self, aws: Aws, desired: Desired) -> Mapping[str, Any]:
        """CreateEventBus."""
        request: dict[str, Any] = {"Description": desired.props["description"]} if desired.get("description") else {}
        tags = [{"Key": key, "Value": value} for key, value in desired.tags.items()]
        answer = aws.call("events", "CreateEventBus", Name=desired.physical_name, Tags=tags, **request)
        return {"arn": answer["EventBusArn"], "bus_name": desired.physical_name}

    def update(self, aws: Aws, desired: Desired, record: Record, changed: frozenset[str]) -> Mapping[str, Any]:
        """UpdateEventBus; tags by their difference."""
        if "description" in changed:
            description = desired.get("description", "")
            aws.call("events", "UpdateEventBus", Name=record.physical_name, Description=description)
        if "tags" in changed:
            put, removed = changed_tags(record.props.get("tags"), desired.props.get("tags"))
            arn = record.outputs["arn"]
            if put:
                pairs = [{"Key": key, "Value": value} for key, value in put.items()]
                aws.call("events", "TagResource", ResourceARN=arn, Tags=pairs)
            if removed:
                aws.call("events", "UntagResource", ResourceARN=arn, TagKeys=removed)
        return record.outputs

    def find(self, aws: Aws, desired: Desired) -> Found | None:
        """The bus of that name and its tags."""
        bus = _describe(aws, desired.physical_name)
        if bus is None:
            return None
        tags = aws.call("events", "ListTagsForResource", ResourceARN=bus["Arn"]).get("Tags", [])
        outputs = {"arn": bus["Arn"], "bus_name": desired.physical_name}
        return Found(outputs, {tag["Key"]: tag["Value"] for tag in tags})

    def read(self, aws: Aws, record: Record) -> Mapping[str, Any] | None:
        """Its outputs while it exists."""
        return None if _describe(aws, record.physical_name) is None else record.outputs

    def delete(self, aws: Aws, record: Record) -> None:
        """DeleteEventBus."""
        try:
            aws.call("events", "DeleteEventBus", Name=record.physical_name)
        except AwsError as error:
            if not is_missing(error):
                raise


def _describe(aws: Aws, name: str) -> Mapping[str, Any] | None:
    try:
        return aws.call("events", "DescribeEventBus", Name=name)
    except AwsError as error:
        if is_missing(error):
            return None
        raise


DRIVER = EventBusDriver()
