"""CloudWatch log groups: the declaration and its driver.

https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_CreateLogGroup.html
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import attrs

from lambdaform.model.driver import Aws, AwsError, Desired, Found, Record, changed_tags, is_missing
from lambdaform.model.marks import Length, OneOf, Pattern, Replaces
from lambdaform.model.output import Input, output, text
from lambdaform.model.resource import Grant, Naming, Resource, arn_of
from lambdaform.model.units import optional_days

if TYPE_CHECKING:
    from lambdaform.triggers.log_lines import LogLines

RETENTION = "https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html"
RETENTION_DAYS = (
    1,
    3,
    5,
    7,
    14,
    30,
    60,
    90,
    120,
    150,
    180,
    365,
    400,
    545,
    731,
    1096,
    1827,
    2192,
    2557,
    2922,
    3288,
    3653,
)


@attrs.frozen(kw_only=True, eq=False, repr=False, slots=False)
class LogGroup(Resource):
    """Where a function's log lines go. A function without one of its own gets `/aws/lambda/<function>`."""

    kind: ClassVar[str] = "logs.group"
    title: ClassVar[str] = "log group"
    naming: ClassVar[Naming | None] = Naming(512, allowed="A-Za-z0-9_./#-")
    taggable: ClassVar[bool] = True
    # Logs under a fixed name are looked for there, so the name is kept and the old group goes first.
    replacement: ClassVar[str] = "delete first"

    name: Annotated[
        Input[str] | None, Pattern(r"[\.\-_/#A-Za-z0-9]{1,512}", "1 to 512 letters, digits or ._-/#"), Replaces()
    ] = None
    """Its name in AWS."""
    retention: Annotated[Input[int] | None, OneOf(RETENTION_DAYS, source=RETENTION)] = attrs.field(
        default=None, converter=optional_days
    )
    """Days until lines are deleted; kept for ever when not given."""
    kms_key: Annotated[Input[str] | None, Length(1, 256)] = None
    """ARN of a KMS key."""
    log_class: Annotated[str, OneOf(("STANDARD", "INFREQUENT_ACCESS")), Replaces("a log group's class is fixed")] = (
        "STANDARD"
    )
    """What the lines cost and can be used for."""
    tags: Annotated[Mapping[str, Input[str]], Length(0, 50, "tags")] = attrs.field(factory=dict[str, Input[str]])
    """Tags besides the stack's."""

    arn = output(str, "The log group's ARN, without the `:*` that means its streams.")
    group_name = output(str, "The log group's name.")

    @classmethod
    def existing(cls, arn: Input[str]) -> Self:
        """A log group that lambdaform does not manage."""
        return cls.refer(arn)

    @classmethod
    def outputs_of_arn(cls, arn: str) -> Mapping[str, str]:
        """ARN and name."""
        plain = arn.removesuffix(":*")
        return {"arn": plain, "group_name": plain.split(":", 6)[-1]}

    def write(self) -> Grant:
        """Permission to write lines."""
        return Grant(
            ("logs:CreateLogStream", "logs:PutLogEvents"),
            (text("{}:*", arn_of(self)),),
            value=self.group_name,
            target=self,
            verb="write",
        )

    def lines(self, pattern: Input[str] = "", *, name: str | None = None) -> "LogLines":
        """A trigger: the function gets this group's lines as they are written, packed, several each time.

        Args:
            pattern: which lines, as CloudWatch Logs writes patterns (`ERROR`, `{ $.level = "ERROR" }`); all when empty.
            name: tells two triggers of one function on one group apart.
        """
        from lambdaform.triggers.log_lines import LogLines  # most stacks have log groups, and few read them

        return LogLines(group=self, pattern=pattern, name=name)


class LogGroupDriver:
    """Makes and changes log groups."""

    exists = ("ResourceAlreadyExistsException",)

    def create(self, aws: Aws, desired: Desired) -> Mapping[str, Any]:
        """CreateLogGroup, then PutRetentionPolicy when a retention is declared."""
        request: dict[str, Any] = {}
        if desired.get("kms_key"):
            request["kmsKeyId"] = desired.props["kms_key"]
        if desired.get("log_class"):
            request["logGroupClass"] = desired.props["log_class"]
        aws.call("logs", "CreateLogGroup", logGroupName=desired.physical_name, tags=dict(desired.tags), **request)
        if (days := desired.get("retention")) is not None:
            aws.call("logs", "PutRetentionPolicy", logGroupName=desired.physical_name, retentionInDays=days)
        return _outputs(aws, desired.physical_name)

    def update(self, aws: Aws, desired: Desired, record: Record, changed: frozenset[str]) -> Mapping[str, Any]:
        """One call for each thing that changed."""
        name = record.physical_name
        if "retention" in changed:
            days = desired.get("retention")
            if days is None:
                aws.call("logs", "DeleteRetentionPolicy", logGroupName=name)
            else:
                aws.call("logs", "PutRetentionPolicy", logGroupName=name, retentionInDays=days)
        if "kms_key" in changed:
            key = desired.get("kms_key")
            if key:
                aws.call("logs", "AssociateKmsKey", logGroupName=name, kmsKeyId=key)
            else:
                aws.call("logs", "DisassociateKmsKey", logGroupName=name)
        if "tags" in changed:
            put, removed = changed_tags(record.props.get("tags"), desired.props.get("tags"))
            arn = record.outputs["arn"]
            if put:
                aws.call("logs", "TagResource", resourceArn=arn, tags=put)
            if removed:
                aws.call("logs", "UntagResource", resourceArn=arn, tagKeys=removed)
        return record.outputs

    def find(self, aws: Aws, desired: Desired) -> Found | None:
        """The group of that name and its tags."""
        if not _exists(aws, desired.physical_name):
            return None
        outputs = _outputs(aws, desired.physical_name)
        tags = aws.call("logs", "ListTagsForResource", resourceArn=outputs["arn"]).get("tags", {})
        # Lambda makes a group by itself, untagged, when a function logged before its group was there.
        return Found(outputs, tags or None)

    def read(self, aws: Aws, record: Record) -> Mapping[str, Any] | None:
        """Its outputs while it exists."""
        return record.outputs if _exists(aws, record.physical_name) else None

    def delete(self, aws: Aws, record: Record) -> None:
        """DeleteLogGroup."""
        try:
            aws.call("logs", "DeleteLogGroup", logGroupName=record.physical_name)
        except AwsError as error:
            if not is_missing(error):
                raise


def _exists(aws: Aws, name: str) -> bool:
    answer = aws.call("logs", "DescribeLogGroups", logGroupNamePrefix=name)
    return any(group["logGroupName"] == name for group in answer.get("logGroups", []))


def _outputs(aws: Aws, name: str) -> Mapping[str, Any]:
    return {"arn": f"arn:{aws.partition}:logs:{aws.region}:{aws.account}:log-group:{name}", "group_name": name}


DRIVER = LogGroupDriver()
