"""The trigger `DocumentDbStream`: Lambda reads the change stream of an Amazon DocumentDB cluster.

https://docs.aws.amazon.com/lambda/latest/dg/with-documentdb.html
"""

from collections.abc import Iterable
from typing import ClassVar

import attrs

from lambdaform.model.output import Input, Output
from lambdaform.model.resource import Grant, Resource, Scope
from lambdaform.resources.lambda_event_source_mapping import SourceAccess
from lambdaform.triggers.broker_batches import BrokerBatches, right_to_enter, right_to_read


@attrs.frozen(kw_only=True, eq=False, repr=False, slots=False)
class DocumentDbStream(BrokerBatches):
    """Runs a function with a database's changes: `DocumentDbStream("shop", cluster="arn:aws:rds:...", secret=...)`.

    It becomes an event source mapping and the rights to find, reach and enter the cluster. The local AWS reads where
    `--broker documentdb=...` says.
    """

    event: ClassVar[str] = "documentdb"

    database: Input[str] = attrs.field(kw_only=False)
    """The database."""
    cluster: Input[str]
    """ARN of the cluster."""
    secret: Input[str]
    """ARN of the secret with user name and password."""
    collection: Input[str] | None = None
    """The collection; all of the database's when not given."""
    full_document: Input[str] | None = None
    """`UpdateLookup` sends the whole document with an update as well."""
    starting_position: Input[str] = "LATEST"
    """`LATEST`, `TRIM_HORIZON` for everything there is, or `AT_TIMESTAMP`."""
    starting_timestamp: Input[float] | None = None
    """Seconds since 1970, with `AT_TIMESTAMP`."""

    def label(self, scope: Scope) -> str:
        """The database, and the collection if there is one."""
        database = scope.name_of(self.database)
        return database if self.collection is None else f"{database}-{scope.name_of(self.collection)}"

    def attach(self, function: Resource, target: Output[str], scope: Scope) -> Iterable[Grant]:
        """An event source mapping, and the rights that DocumentDB asks for."""
        self.mapping(
            self.label(scope),
            target,
            function,
            scope,
            source=self.cluster,
            database=self.database,
            collection=self.collection,
            full_document=self.full_document,
            starting_position=self.starting_position,
            starting_timestamp=self.starting_timestamp,
            access=[SourceAccess("BASIC_AUTH", self.secret)],
        )
        find = Grant(
            ("rds:DescribeDBClusterParameters", "rds:DescribeDBClusters", "rds:DescribeDBSubnetGroups"),
            ("*",),  # as AWS's own example has it: the parameters and subnet groups are resources of their own
            verb="read by trigger",
        )
        return [find, *right_to_read(self.secret), right_to_enter()]
