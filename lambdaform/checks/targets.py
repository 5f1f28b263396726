"""What an ARN or a reference leads to: which service, standard or FIFO, in which region."""

from __future__ import annotations

import attrs

from lambdaform.model.graph import Node

# What people call the things that events are sent to.
_TITLES = {
    "sqs": "an SQS queue",
    "sns": "an SNS topic",
    "lambda": "a Lambda function",
    "events": "an EventBridge bus",
    "s3": "an S3 bucket",
    "kinesis": "a Kinesis stream",
    "dynamodb": "a DynamoDB table",
    "kafka": "an Amazon MSK cluster",
    "mq": "an Amazon MQ broker",
    "rds": "an Amazon DocumentDB cluster",
}


@attrs.frozen(eq=False, repr=False)
class Target:
    """The far end of a connection."""

    service: str
    """`sqs`, as in ARNs and in the first part of kinds."""
    node: Node | None = None
    """The node, when this stack declares it."""
    arn: str | None = None
    """The ARN, when it is written in the declaration."""
    fifo: bool | None = None
    """Whether it keeps order; None when that is not known."""

    @classmethod
    def of_node(cls, node: Node) -> Target:
        """A resource of this stack."""
        return cls(node.kind.split(".")[0], node, None, node.props.get("fifo") is True)

    @classmethod
    def of_kind(cls, kind: str, arn: str | None) -> Target:
        """A resource of another stack, or one that lambdaform does not manage."""
        return cls(kind.split(".")[0], None, arn, arn.endswith(".fifo") if arn is not None else None)

    @classmethod
    def of_arn(cls, arn: str) -> Target | None:
        """What a written ARN names; None for a text that is no ARN."""
        parts = arn.split(":")
        if len(parts) < 6 or parts[0] != "arn":
            return None
        return cls(parts[2], None, arn, arn.endswith(".fifo"))

    @property
    def region(self) -> str | None:
        """Its region, when it is written in the declaration; buckets have none in their ARN."""
        parts = self.arn.split(":") if self.arn is not None else []
        return (parts[3] or None) if len(parts) >= 6 else None

    @property
    def title(self) -> str:
        """What people call it."""
        title = _TITLES.get(self.service, f"something of {self.service}")
        if self.fifo and self.service in ("sqs", "sns"):
            return title.replace("an S", "a FIFO S")
        return title

    @property
    def shown(self) -> str:
        """What it is and which one."""
        name = self.node.name if self.node is not None else self.arn
        return f"{self.title} ({name})" if name else self.title
