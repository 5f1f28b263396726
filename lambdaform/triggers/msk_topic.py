"""The trigger `MskTopic`: Lambda reads a topic of Amazon MSK.

https://docs.aws.amazon.com/lambda/latest/dg/with-msk.html
"""

from collections.abc import Iterable
from typing import ClassVar

import attrs

from lambdaform.model.output import Input, Output
from lambdaform.model.resource import Grant, Resource, Scope
from lambdaform.resources.lambda_event_source_mapping import SourceAccess
from lambdaform.triggers.broker_batches import KafkaBatches, right_to_enter, right_to_read


@attrs.frozen(kw_only=True, eq=False, repr=False, slots=False)
class MskTopic(KafkaBatches):
    """Runs a function with a topic's records: `MskTopic("orders", cluster="arn:aws:kafka:...")`.

    It becomes an event source mapping and the rights to find and reach the cluster. Lambda logs in with `secret` or
    `certificate`, else with the function's role (IAM). The local AWS reads where `--broker msk=...` says.
    """

    event: ClassVar[str] = "msk"

    cluster: Input[str]
    """ARN of the cluster."""
    secret: Input[str] | None = None
    """ARN of the secret to log in with, by SASL/SCRAM-512."""
    certificate: Input[str] | None = None
    """ARN of the secret with a client certificate to log in with, by mutual TLS."""

    def attach(self, function: Resource, target: Output[str], scope: Scope) -> Iterable[Grant]:
        """An event source mapping, and the rights of AWS's AWSLambdaMSKExecutionRole on this cluster."""
        access = [
            SourceAccess(type, uri)
            for type, uri in (
                ("SASL_SCRAM_512_AUTH", self.secret),
                ("CLIENT_CERTIFICATE_TLS_AUTH", self.certificate),
            )
            if uri is not None
        ]
        find = Grant(
            ("kafka:DescribeCluster", "kafka:DescribeClusterV2", "kafka:GetBootstrapBrokers"),
            (self.cluster,),
            verb="read by trigger",
        )
        delivering = self.topic_mapping(target, function, scope, source=self.cluster, access=access)
        log_in = right_to_read(self.secret, self.certificate) if access else self._rights_by_role(scope)
        return [find, right_to_enter(), *log_in, *delivering]

    def _rights_by_role(self, scope: Scope) -> list[Grant]:
        """What the role needs in a cluster that knows its readers by IAM."""
        cluster, topic, group = scope.plain(self.cluster), scope.plain(self.topic), scope.plain(self.consumer_group)
        places: tuple[Input[str], ...] = ("*",)  # of a cluster whose ARN is not known yet
        if isinstance(cluster, str) and ":cluster/" in cluster:
            inside = (f":topic/{{}}/{topic}", f":group/{{}}/{group or '*'}")  # the group is named by the mapping's id
            name = cluster.partition(":cluster/")[2]
            lead = cluster.partition(":cluster/")[0]
            places = (cluster, *(lead + place.format(name) for place in inside))
        actions = (
            "kafka-cluster:AlterGroup",
            "kafka-cluster:Connect",
            "kafka-cluster:DescribeClusterDynamicConfiguration",
            "kafka-cluster:DescribeGroup",
            "kafka-cluster:DescribeTopic",
            "kafka-cluster:ReadData",
        )
        return [Grant(actions, places, verb="read by trigger")]
