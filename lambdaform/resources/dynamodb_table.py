"""DynamoDB tables: the declaration and its driver.

https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateTable.html
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Self, cast

import attrs

from lambdaform.model.driver import Aws, AwsError, Desired, Found, Record, changed_tags, is_missing
from lambdaform.model.marks import Length, OneOf, Pattern, Range, Replaces
from lambdaform.model.output import Input, output, text
from lambdaform.model.resource import Grant, Naming, Resource
from lambdaform.model.units import Seconds, items
from lambdaform.model.value import Value
from lambdaform.triggers.table_changes import TableChanges

CREATE = "https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateTable.html"
DYNAMODB_QUOTAS = "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html"


@attrs.frozen(eq=False, repr=False)
class Key(Value):
    """An attribute that items are found by."""

    name: Annotated[str, Length(1, 255, source=DYNAMODB_QUOTAS)]
    """What the attribute is called."""
    type: Annotated[str, OneOf(("S", "N", "B"), CREATE)] = "S"
    """A string, a number or bytes."""


@attrs.frozen(eq=False, repr=False)
class Capacity(Value):
    """Reads and writes per second that are paid for, used or not."""

    read: Annotated[Input[int], Range(1, 40_000, "units", source=DYNAMODB_QUOTAS)]
    """Reads of up to 4 KB a second."""
    write: Annotated[Input[int], Range(1, 40_000, "units", source=DYNAMODB_QUOTAS)]
    """Writes of up to 1 KB a second."""


def _key(value: str | Key) -> Key:
    return Key(value) if isinstance(value, str) else value


def _optional_key(value: str | Key | None) -> Key | None:
    return None if value is None else _key(value)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class GlobalIndex(Value):
    """Finds a table's items by other attributes than its own keys."""

    name: Annotated[str, Pattern(r"[A-Za-z0-9_.-]{3,255}", "3 to 255 letters, digits or _.-", CREATE)] = attrs.field(
        kw_only=False
    )
    """What queries call it."""
    partition_key: Key = attrs.field(converter=_key)
    """The attribute that items are found by: a name (of a string), or `Key("total", "N")`."""
    sort_key: Key | None = attrs.field(default=None, converter=_optional_key)
    """The attribute that items of one partition are ordered by."""
    projection: Annotated[str, OneOf(("ALL", "KEYS_ONLY", "INCLUDE"), CREATE)] = "ALL"
    """Which attributes it holds."""
    include: Annotated[tuple[str, ...], Length(0, 100, "attributes", CREATE)] = attrs.field(default=(), converter=items)
    """With `INCLUDE`: attributes besides the keys."""
    capacity: Capacity | None = None
    """Needed when the table has one."""


@attrs.frozen(kw_only=True, eq=False, repr=False, slots=False)
class Table(Resource):
    """Items found by a key.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Introduction.html
    """

    kind: ClassVar[str] = "dynamodb.table"
    title: ClassVar[str] = "table"
    naming: ClassVar[Naming | None] = Naming(255, allowed="-A-Za-z0-9_.")
    taggable: ClassVar[bool] = True
    holds_data: ClassVar[bool] = True

    partition_key: Annotated[Key, Replaces("a table's keys are fixed")] = attrs.field(converter=_key)
    """The attribute that items are found by: a name (of a string), or `Key("id", "N")`."""
    sort_key: Annotated[Key | None, Replaces("a table's keys are fixed")] = attrs.field(
        default=None, converter=_optional_key
    )
    """The attribute that items of one partition are ordered by."""
    name: Annotated[
        Input[str] | None,
        Pattern(r"[A-Za-z0-9_.-]{3,255}", "3 to 255 letters, digits or _.-", CREATE),
        Replaces(),
    ] = None
    """Its name in AWS; made from stack, stage and attribute name when not given."""
    indexes: Annotated[tuple[GlobalIndex, ...], Length(0, 20, "indexes", DYNAMODB_QUOTAS)] = attrs.field(
        default=(), converter=items
    )
    """Global secondary indexes; AWS changes one of them at a time."""
    capacity: Capacity | None = None
    """Reads and writes per second to pay for; paid per request when not given."""
    stream: Annotated[
        Input[str] | None, OneOf(("KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES"), CREATE)
    ] = None
    """What a record of the stream of changes holds; no stream is kept when not given."""
    ttl: Annotated[Input[str] | None, Length(1, 255)] = None
    """The attribute with the time (seconds since 1970) after which an item is deleted."""
    point_in_time_recovery: Input[bool] = False
    """Whether the table can be restored to any second of the last 35 days."""
    deletion_protection: Input[bool] = False
    """Whether AWS refuses to delete it."""
    table_class: Annotated[Input[str], OneOf(("STANDARD", "STANDARD_INFREQUENT_ACCESS"), CREATE)] = "STANDARD"
    """What storage and requests cost."""
    kms_key: Annotated[Input[str] | None, Length(1, 2_048)] = None
    """Id, alias or ARN of a KMS key; items are encrypted with DynamoDB's own key when not given."""
    tags: Annotated[Mapping[str, Input[str]], Length(0, 50, "tags")] = attrs.field(factory=dict[str, Input[str]])
    """Tags besides the stack's."""

    arn = output(str, "The table's ARN.")
    table_name = output(str, "The table's name.")
    stream_arn = output(str, "The ARN of its stream; a new one when the stream is switched off and on.", volatile=True)

    @classmethod
    def existing(cls, arn: Input[str]) -> Self:
        """A table that lambdaform does not manage, by its ARN, or by its stream's to read its changes as well."""
        return cls.refer(arn, partition_key="-")

    @classmethod
    def outputs_of_arn(cls, arn: str) -> Mapping[str, str]:
        """ARN and name, and the stream's ARN when it is one."""
        table = arn.partition("/stream/")[0]
        found = {"arn": table, "table_name": table.rpartition("/")[2]}
        return found if table == arn else {**found, "stream_arn": arn}

    def changes(
        self,
        *,
        starting_position: Input[str] = "LATEST",
        batch_size: Input[int] = 100,
        window: Seconds = 0,
        partial_failures: Input[bool] = False,
        filters: Iterable[Mapping[str, Any]] = (),
        parallelization: Input[int] | None = None,
        bisect_on_error: Input[bool] = False,
        max_retries: Input[int] | None = None,
        max_record_age: Seconds | None = None,
        tumbling_window: Seconds | None = None,
        on_failure: Input[str] | Resource | None = None,
        metrics: Input[bool] = False,
        enabled: Input[bool] = True,
    ) -> TableChanges:
        """A trigger: the function gets the changes of this table's items, in order for each key.

        A batch that fails blocks its shard until it succeeds or expires: limit `max_retries` or `max_record_age`, and
        give `on_failure`, to get past it.

        Args:
            starting_position: `LATEST`, or `TRIM_HORIZON` for everything of the last 24 hours.
            batch_size: most changes in one invocation, 1 to 10,000.
            window: how long to collect a batch.
            partial_failures: whether the answer may name the first change that failed (`batchItemFailures`).
            filters: patterns; a change that matches none is passed over.
            parallelization: batches of one shard handled at a time, 1 to 10.
            bisect_on_error: whether a failing batch is halved.
            max_retries: retries of a failing batch, up to 10,000; without end when not given.
            max_record_age: older changes are dropped.
            tumbling_window: length of an aggregation window, up to 15 minutes.
            on_failure: queue, topic or bucket that hears of batches given up.
            metrics: whether CloudWatch gets counts of this mapping's events, which AWS bills.
            enabled: whether it reads.
        """
        return TableChanges(
            table=self,
            starting_position=starting_position,
            batch_size=batch_size,
            window=window,
            partial_failures=partial_failures,
            filters=filters,
            parallelization=parallelization,
            bisect_on_error=bisect_on_error,
            max_retries=max_retries,
            max_record_age=max_record_age,
            tumbling_window=tumbling_window,
            on_failure=on_failure,
            metrics=metrics,
            enabled=enabled,
        )

    def read(self) -> Grant:
        """Permission to get, query and scan, also by its indexes; in `uses`, the variable holds the table's name."""
        return self._grant("read", *_READ)

    def write(self) -> Grant:
        """Permission to put, update and delete items; in `uses`, the variable holds the table's name."""
        return Grant(_WRITE, (self.arn,), value=self.table_name, target=self, verb="write")

    def read_write(self) -> Grant:
        """Permission to do both; in `uses`, the variable holds the table's name."""
        return self._grant("read and write", *_READ, *_WRITE)

    def _grant(self, verb: str, *actions: str) -> Grant:
        # An index of an existing table is not known, one of ours is.
        named: tuple[Input[str], ...] = (
            (text("{}/index/*", self.arn),) if self.indexes or self.existing_arn is not None else ()
        )
        unique = tuple(sorted(set(actions)))
        return Grant(unique, (self.arn, *named), value=self.table_name, target=self, verb=verb)


_READ = (
    "dynamodb:BatchGetItem",
    "dynamodb:ConditionCheckItem",
    "dynamodb:DescribeTable",
    "dynamodb:GetItem",
    "dynamodb:Query",
    "dynamodb:Scan",
)
_WRITE = (
    "dynamodb:BatchWriteItem",
    "dynamodb:ConditionCheckItem",
    "dynamodb:DeleteItem",
    "dynamodb:DescribeTable",
    "dynamodb:PutItem",
    "dynamodb:UpdateItem",
)


class TableDriver:
    """Makes and changes tables; AWS takes one kind of change at a time, so each is waited for."""

    exists = ("ResourceInUseException",)

    def create(self, aws: Aws, desired: Desired) -> Mapping[str, Any]:
        """CreateTable, wait until it is active, then the settings that have calls of their own."""
        name = desired.physical_name
        request: dict[str, Any] = {**_billing(desired)}
        if desired.get("indexes"):
            request["GlobalSecondaryIndexes"] = [_index(each) for each in desired.props["indexes"]]
        if desired.get("stream"):
            request["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": desired.props["stream"]}
        if desired.get("deletion_protection"):
            request["DeletionProtectionEnabled"] = True
        if desired.get("table_class"):
            request["TableClass"] = desired.props["table_class"]
        if desired.get("kms_key"):
            request["SSESpecification"] = _encryption(desired)
        aws.call(
            "dynamodb",
            "CreateTable",
            TableName=name,
            KeySchema=_schema(desired.props),
            AttributeDefinitions=_attributes(desired.props, desired.get("indexes", [])),
            Tags=[{"Key": key, "Value": value} for key, value in desired.tags.items()],
            **request,
        )
        table = _active(aws, name)
        self._own_calls(aws, desired, None, frozenset(desired.props))
        return _outputs(table)

    def update(self, aws: Aws, desired: Desired, record: Record, changed: frozenset[str]) -> Mapping[str, Any]:
        """UpdateTable for each thing that changed, each waited for; then the rest."""
        name = record.physical_name
        table = _active(aws, name)
        changes: list[dict[str, Any]] = []
        if "capacity" in changed:
            own = _billing(desired)
            if own["BillingMode"] == "PROVISIONED" and desired.get("indexes"):
                own["GlobalSecondaryIndexUpdates"] = [
                    {"Update": {"IndexName": each["name"], "ProvisionedThroughput": _throughput(each["capacity"])}}
                    for each in desired.props["indexes"]
                    if each.get("capacity") and each["name"] in _index_names(table)
                ]
            if own["BillingMode"] != _billing_now(table) or own["BillingMode"] == "PROVISIONED":
                changes.append(own)
        if "stream" in changed:
            view, current = desired.get("stream"), table.get("StreamSpecification", {})
            if current.get("StreamEnabled") and current.get("StreamViewType") != view:
                changes.append({"StreamSpecification": {"StreamEnabled": False}})
            if view and current.get("StreamViewType") != view:
                changes.append({"StreamSpecification": {"StreamEnabled": True, "StreamViewType": view}})
        if "deletion_protection" in changed:
            changes.append({"DeletionProtectionEnabled": bool(desired.get("deletion_protection"))})
        if "table_class" in changed:
            changes.append({"TableClass": desired.get("table_class", "STANDARD")})
        if "kms_key" in changed:
            changes.append({"SSESpecification": _encryption(desired)})
        if "indexes" in changed:
            changes.extend(_index_changes(desired, record, table, with_capacity="capacity" not in changed))
        for change in changes:
            aws.call("dynamodb", "UpdateTable", TableName=name, **change)
            table = _active(aws, name)
        self._own_calls(aws, desired, record, changed)
        if "tags" in changed:
            put, removed = changed_tags(record.props.get("tags"), desired.props.get("tags"))
            if put:
                pairs = [{"Key": key, "Value": value} for key, value in put.items()]
                aws.call("dynamodb", "TagResource", ResourceArn=record.outputs["arn"], Tags=pairs)
            if removed:
                aws.call("dynamodb", "UntagResource", ResourceArn=record.outputs["arn"], TagKeys=removed)
        return _outputs(table)

    def _own_calls(self, aws: Aws, desired: Desired, record: Record | None, changed: frozenset[str]) -> None:
        name = desired.physical_name if record is None else record.physical_name
        if "ttl" in changed:
            before = record.props.get("ttl") if record else None
            after = desired.get("ttl")
            # AWS takes one such change an hour, and wants the old attribute named to switch it off.
            for attribute, enabled in ((before, False), (after, True)):
                if attribute and before != after:
                    _set_ttl(aws, name, attribute, enabled)
        if "point_in_time_recovery" in changed:
            on = bool(desired.get("point_in_time_recovery"))
            aws.call(
                "dynamodb",
                "UpdateContinuousBackups",
                TableName=name,
                PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": on},
            )

    def find(self, aws: Aws, desired: Desired) -> Found | None:
        """The table of that name and its tags."""
        table = _describe(aws, desired.physical_name)
        if table is None:
            return None
        tags: dict[str, str] = {}
        marker: dict[str, str] = {}
        while True:
            answer = aws.call("dynamodb", "ListTagsOfResource", ResourceArn=table["TableArn"], **marker)
            tags.update((tag["Key"], tag["Value"]) for tag in answer.get("Tags", []))
            if not answer.get("NextToken"):
                return Found(_outputs(table), tags)
            marker = {"NextToken": answer["NextToken"]}

    def read(self, aws: Aws, record: Record) -> Mapping[str, Any] | None:
        """Its outputs while it exists."""
        table = _describe(aws, record.physical_name)
        return None if table is None or table.get("TableStatus") == "DELETING" else _outputs(table)

    def delete(self, aws: Aws, record: Record) -> None:
        """DeleteTable with all its items, then wait until it is gone."""
        name = record.physical_name

        def gone() -> bool | None:
            table = _describe(aws, name)
            if table is None:
                return True
            if table.get("TableStatus") != "DELETING":
                try:
                    aws.call("dynamodb", "DeleteTable", TableName=name)
                except AwsError as error:
                    if is_missing(error):
                        return True
                    if error.code != "ResourceInUseException":  # being made or changed: look again
                        raise
            return None

        aws.wait_for(f"the table {name} to be deleted", gone, seconds=600)


def _schema(value: Mapping[str, Any]) -> list[dict[str, str]]:
    keys = [{"AttributeName": value["partition_key"]["name"], "KeyType": "HASH"}]
    if value.get("sort_key"):
        keys.append({"AttributeName": value["sort_key"]["name"], "KeyType": "RANGE"})
    return keys


def _attributes(table: Mapping[str, Any], indexes: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    types: dict[str, str] = {}
    for owner in (table, *indexes):
        for key in (owner["partition_key"], owner.get("sort_key")):
            if key:
                types[key["name"]] = key.get("type", "S")
    return [{"AttributeName": name, "AttributeType": type} for name, type in types.items()]


def _throughput(capacity: Mapping[str, Any]) -> dict[str, int]:
    return {"ReadCapacityUnits": capacity["read"], "WriteCapacityUnits": capacity["write"]}


def _billing(desired: Desired) -> dict[str, Any]:
    capacity = desired.get("capacity")
    if not capacity:
        return {"BillingMode": "PAY_PER_REQUEST"}
    return {"BillingMode": "PROVISIONED", "ProvisionedThroughput": _throughput(capacity)}


def _billing_now(table: Mapping[str, Any]) -> str:
    return str(table.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED"))


def _set_ttl(aws: Aws, name: str, attribute: str, enabled: bool) -> None:
    try:
        specification = {"AttributeName": attribute, "Enabled": enabled}
        aws.call("dynamodb", "UpdateTimeToLive", TableName=name, TimeToLiveSpecification=specification)
    except AwsError as error:
        # An interrupted run got this far: "TimeToLive is already enabled".
        if error.code != "ValidationException" or "already" not in error.message:
            raise


def _encryption(desired: Desired) -> dict[str, Any]:
    key = desired.get("kms_key")
    return {"Enabled": True, "SSEType": "KMS", "KMSMasterKeyId": key} if key else {"Enabled": False}


def _index(value: Mapping[str, Any]) -> dict[str, Any]:
    projection: dict[str, Any] = {"ProjectionType": value.get("projection", "ALL")}
    if value.get("include"):
        projection["NonKeyAttributes"] = value["include"]
    index: dict[str, Any] = {"IndexName": value["name"], "KeySchema": _schema(value), "Projection": projection}
    if value.get("capacity"):
        index["ProvisionedThroughput"] = _throughput(value["capacity"])
    return index


def _index_names(table: Mapping[str, Any]) -> set[str]:
    return {each["IndexName"] for each in table.get("GlobalSecondaryIndexes", [])}


def _index_changes(
    desired: Desired, record: Record, table: Mapping[str, Any], *, with_capacity: bool
) -> list[dict[str, Any]]:
    """UpdateTable requests, one for each index that goes or comes; a changed one goes and comes again."""
    before: Mapping[str, Any] = {each["name"]: each for each in record.props.get("indexes", [])}
    after: Mapping[str, Any] = {each["name"]: each for each in desired.get("indexes", [])}
    there = _index_names(table)
    # A record without props stands for a table that was found; what it has under a wanted name is taken as wanted.
    shapes = {
        name: tuple({**_index(each), "ProvisionedThroughput": None} for each in (before[name], after[name]))
        for name in after
        if name in before
    }
    differing = {name for name, (old, new) in shapes.items() if old != new}
    changes: list[dict[str, Any]] = [
        {
            "GlobalSecondaryIndexUpdates": [
                {"Update": {"IndexName": name, "ProvisionedThroughput": _throughput(after[name]["capacity"])}}
            ]
        }
        for name in shapes
        if with_capacity
        and name not in differing
        and after[name].get("capacity")
        and after[name]["capacity"] != before[name].get("capacity")
    ]
    changes.extend(
        {"GlobalSecondaryIndexUpdates": [{"Delete": {"IndexName": name}}]}
        for name in sorted(there)
        if name not in after or name in differing
    )
    changes.extend(
        {
            # AWS refuses definitions that no key uses yet.
            "AttributeDefinitions": _attributes(desired.props, [value]),
            "GlobalSecondaryIndexUpdates": [{"Create": _index(value)}],
        }
        for name, value in after.items()
        if name not in there or name in differing
    )
    return changes


def _describe(aws: Aws, name: str) -> Mapping[str, Any] | None:
    try:
        table: Mapping[str, Any] = aws.call("dynamodb", "DescribeTable", TableName=name)["Table"]
    except AwsError as error:
        if is_missing(error):
            return None
        raise
    return table


def _active(aws: Aws, name: str) -> Mapping[str, Any]:
    def look() -> Mapping[str, Any] | None:
        # A table that has just been made may not be described yet.
        table = _describe(aws, name)
        if table is None or table.get("TableStatus", "ACTIVE") != "ACTIVE":
            return None
        indexes = cast("list[Mapping[str, Any]]", table.get("GlobalSecondaryIndexes", []))
        return table if all(each.get("IndexStatus", "ACTIVE") == "ACTIVE" for each in indexes) else None

    # Filling a new index of a big table takes hours; the plan goes on from there in the next run.
    return aws.wait_for(f"the table {name} to be active", look, seconds=1_800)


def _outputs(table: Mapping[str, Any]) -> Mapping[str, Any]:
    outputs = {"arn": table["TableArn"], "table_name": table["TableName"]}
    if table.get("StreamSpecification", {}).get("StreamEnabled") and table.get("LatestStreamArn"):
        outputs["stream_arn"] = table["LatestStreamArn"]
    return outputs


DRIVER = TableDriver()
