"""The trigger made by `table.changes(...)`: Lambda reads a table's stream.

https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

import attrs

from lambdaform.model.output import Output
from lambdaform.model.resource import Grant, Resource, Scope
from lambdaform.triggers.stream_batches import StreamBatches

if TYPE_CHECKING:
    from lambdaform.resources.dynamodb_table import Table


@attrs.frozen(kw_only=True, eq=False, repr=False, slots=False)
class TableChanges(StreamBatches):
    """Changes of a table's items; made by `Table.changes`, which explains the settings."""

    event: ClassVar[str] = "dynamodb"

    table: "Table"

    def attach(self, function: Resource, target: Output[str], scope: Scope) -> Iterable[Grant]:
        """An event source mapping, and the right to read the stream."""
        table = scope.current(self.table)
        if not _has_stream(table, scope):
            scope.problem(
                "stream-off",
                f"reads the changes of {scope.name_of(table)}, which keeps no stream of them",
                prop="triggers",
                hint="give the ARN of its stream to Table.existing(...)"
                if table.existing_arn is not None
                else 'add stream="NEW_AND_OLD_IMAGES" to the table',
                link="https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html",
            )
            return []
        # The actions of AWS's AWSLambdaDynamoDBExecutionRole, on this stream alone.
        read = Grant(
            (
                "dynamodb:DescribeStream",
                "dynamodb:GetRecords",
                "dynamodb:GetShardIterator",
                "dynamodb:ListStreams",
            ),
            (table.stream_arn,),
            target=table,
            verb="read by trigger",
        )
        return [read, *self.mapping("dynamodb", table.stream_arn, table, target, scope)]

    def source(self) -> Resource | None:
        """The table."""
        return self.table


def _has_stream(table: "Table", scope: Scope) -> bool:
    if table.existing_arn is None:
        return scope.plain(table.stream) is not None
    arn = scope.plain(table.existing_arn)
    return not isinstance(arn, str) or "/stream/" in arn
