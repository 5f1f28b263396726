"""What a function's role needs so that Lambda can hand records to a destination or dead-letter queue."""

from __future__ import annotations

from lambdaform.model.output import Attribute, Input, text
from lambdaform.model.resource import Grant, Resource, arn_of

_DELIVER = {
    "sqs": ("sqs:SendMessage",),
    "sns": ("sns:Publish",),
    "lambda": ("lambda:InvokeFunction",),
    "events": ("events:PutEvents",),
    "s3": ("s3:ListBucket", "s3:PutObject"),
}


def right_to_deliver(destination: Input[str] | Resource | None) -> list[Grant]:
    """The grants for one destination; none for what is not known to be one.

    https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
    """
    if destination is None:
        return []
    if isinstance(destination, Attribute):
        destination = destination.resource
    if isinstance(destination, Resource):
        service = destination.kind.split(".")[0]
        arn: Input[str] = arn_of(destination)
        target: Resource | None = destination
    elif isinstance(destination, str):
        service = destination.split(":")[2] if destination.count(":") >= 5 else ""
        arn, target = destination, None
    else:
        return []
    actions = _DELIVER.get(service)
    if actions is None:
        return []
    resources = (arn, text("{}/*", arn)) if service == "s3" else (arn,)
    return [Grant(actions, resources, target=target, verb="deliver")]
