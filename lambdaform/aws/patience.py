"""Which refusals of AWS mean "not visible yet" and are worth asking again, and for how long.

Every row names the call, the code and a piece of AWS's text, so nothing else is ever retried by mistake.
"""

from __future__ import annotations

import attrs

from lambdaform.model.driver import AwsError


@attrs.frozen
class Patience:
    """One refusal that goes away by itself."""

    service: str
    operation: str
    """Start of the operation's name; empty for all of the service."""
    code: str
    text: str
    """A piece of AWS's message, lower case; empty for any."""
    seconds: float
    """How long it is worth waiting."""
    why: str

    def fits(self, error: AwsError) -> bool:
        """Whether this refusal is the one described."""
        return (
            error.service == self.service
            and error.operation.startswith(self.operation)
            and error.code == self.code
            and self.text in error.message.lower()
        )


NOT_YET = (
    Patience(
        "lambda",
        "",
        "InvalidParameterValueException",
        "cannot be assumed by lambda",
        60,
        "a new role takes seconds to be known everywhere",
    ),
    Patience(
        "lambda",
        "",
        "InvalidParameterValueException",
        "execution role does not have permissions",
        60,
        "a new policy takes seconds to be known everywhere",
    ),
    Patience(
        "lambda",
        "",
        "InvalidParameterValueException",
        "cannot access stream",
        60,
        "a new policy takes seconds to be known everywhere",
    ),
    Patience("lambda", "", "ResourceConflictException", "an update is in progress", 300, "one change at a time"),
    Patience("lambda", "", "ResourceConflictException", "in the following state: pending", 300, "still being created"),
    Patience("lambda", "UpdateEventSourceMapping", "ResourceInUseException", "", 300, "one change at a time"),
    Patience("lambda", "PutProvisioned", "ResourceNotFoundException", "", 30, "a new alias takes a moment to be known"),
    Patience("iam", "PutRolePolicy", "NoSuchEntity", "", 30, "a new role takes a moment to be known to all of IAM"),
    Patience(
        "iam", "AttachRolePolicy", "NoSuchEntity", "role", 30, "a new role takes a moment to be known to all of IAM"
    ),
    Patience("iam", "DeleteRole", "DeleteConflict", "", 30, "a removed policy takes a moment to be gone everywhere"),
    Patience("scheduler", "", "ValidationException", "to assume the role", 60, "a new role takes seconds to be known"),
    Patience("sqs", "CreateQueue", "QueueDeletedRecently", "", 75, "AWS blocks a deleted queue's name for 60 seconds"),
    Patience(
        "sqs",
        "CreateQueue",
        "AWS.SimpleQueueService.QueueDeletedRecently",
        "",
        75,
        "AWS blocks a deleted queue's name for 60 seconds",
    ),
    Patience(
        "s3",
        "PutBucketNotification",
        "InvalidArgument",
        "unable to validate the following destination",
        60,
        "a new permission takes seconds to be known to S3",
    ),
    Patience("s3", "CreateBucket", "OperationAborted", "", 60, "one change of a bucket at a time"),
    Patience("dynamodb", "", "ResourceInUseException", "being", 300, "one change of a table at a time"),
)


def patience_for(error: AwsError) -> Patience | None:
    """The row that describes this refusal; None when it is final."""
    return next((row for row in NOT_YET if row.fits(error)), None)
