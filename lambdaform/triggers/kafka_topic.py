"""The trigger `KafkaTopic`: Lambda reads a topic of a Kafka that is not Amazon MSK.

https://docs.aws.amazon.com/lambda/latest/dg/with-kafka.html
"""

from collections.abc import Iterable
from typing import ClassVar

import attrs

from lambdaform.model.output import Input, Output, text
from lambdaform.model.resource import Grant, Resource, Scope
from lambdaform.model.units import items
from lambdaform.resources.lambda_event_source_mapping import SourceAccess
from lambdaform.triggers.broker_batches import KafkaBatches, right_to_enter, right_to_read


@attrs.frozen(kw_only=True, eq=False, repr=False, slots=False)
class KafkaTopic(KafkaBatches):
    """Runs a function with a topic's records: `KafkaTopic("orders", servers=["broker.example:9092"], secret=...)`.

    It becomes an event source mapping, the right to read its secrets, and to reach its subnets. The local AWS reads
    servers on loopback, and others where `--broker kafka=...` says.
    """

    event: ClassVar[str] = "kafka"

    servers: tuple[Input[str], ...] = attrs.field(converter=items)
    """Addresses of brokers, `host:port`."""
    secret: Input[str] | None = None
    """ARN of the secret to log in with."""
    auth: Input[str] = "SASL_SCRAM_512_AUTH"
    """How the secret is used: `BASIC_AUTH`, `SASL_SCRAM_256_AUTH`, `SASL_SCRAM_512_AUTH`, `OAUTHBEARER_AUTH`,
    `CLIENT_CERTIFICATE_TLS_AUTH`."""
    root_certificate: Input[str] | None = None
    """ARN of the secret with the certificate of the brokers' own authority."""
    subnets: tuple[Input[str], ...] = attrs.field(default=(), converter=items)
    """Ids of the subnets the brokers are in, when they are in a VPC."""
    security_groups: tuple[Input[str], ...] = attrs.field(default=(), converter=items)
    """Ids of security groups for the way to them."""

    def attach(self, function: Resource, target: Output[str], scope: Scope) -> Iterable[Grant]:
        """An event source mapping, and the rights to its secrets and subnets."""
        access = [
            *([SourceAccess(self.auth, self.secret)] if self.secret is not None else []),
            *([SourceAccess("SERVER_ROOT_CA_CERTIFICATE", self.root_certificate)] if self.root_certificate else []),
            *(SourceAccess("VPC_SUBNET", text("subnet:{}", subnet)) for subnet in self.subnets),
            *(SourceAccess("VPC_SECURITY_GROUP", text("security_group:{}", group)) for group in self.security_groups),
        ]
        delivering = self.topic_mapping(target, function, scope, bootstrap_servers=self.servers, access=access)
        reaching = [right_to_enter()] if self.subnets else []
        return [*right_to_read(self.secret, self.root_certificate), *reaching, *delivering]
