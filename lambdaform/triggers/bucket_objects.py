"""The trigger made by `bucket.objects(...)`: S3 invokes a function when objects come or go.

https://docs.aws.amazon.com/lambda/latest/dg/with-s3.html
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

import attrs

from lambdaform.model.output import ACCOUNT_ID, Input, Output
from lambdaform.model.resource import Grant, Resource, Scope, Trigger, arn_of
from lambdaform.model.units import items
from lambdaform.resources.lambda_permission import Permission
from lambdaform.resources.s3_notification import BucketNotification
from lambdaform.triggers.naming import is_named_apart

if TYPE_CHECKING:
    from lambdaform.resources.s3_bucket import Bucket


@attrs.frozen(kw_only=True, eq=False, repr=False, slots=False)
class BucketObjects(Trigger):
    """Events of a bucket's objects; made by `Bucket.objects`, which explains the settings."""

    event: ClassVar[str] = "s3"
    asynchronous: ClassVar[bool] = True

    bucket: "Bucket"
    events: tuple[str, ...] = attrs.field(default=("s3:ObjectCreated:*",), converter=items)
    prefix: Input[str] = ""
    suffix: Input[str] = ""
    name: str | None = None

    def attach(self, function: Resource, target: Output[str], scope: Scope) -> Iterable[Grant]:
        """S3's permission to invoke the function, then an entry in the bucket's notifications."""
        bucket = scope.current(self.bucket)
        names = (scope.name_of(bucket), *((self.name,) if self.name else ()))
        same = [
            each
            for each in getattr(function, "triggers", ())
            if isinstance(each, BucketObjects) and scope.current(each.bucket) is bucket and each.name == self.name
        ]
        if not is_named_apart(self, same, f"objects() of {names[0]}", scope):
            return []
        permission = scope.derive(
            # A bucket's ARN holds no account, so a bucket made anew by somebody else would match without the account.
            Permission(
                function=target, principal="s3.amazonaws.com", source_arn=arn_of(bucket), source_account=ACCOUNT_ID
            ),
            *names,
        )
        notification = scope.derive(
            BucketNotification(
                bucket=bucket.bucket_name,
                target=target,
                target_kind="function",
                events=self.events,
                prefix=self.prefix,
                suffix=self.suffix,
            ),
            *names,
        )
        scope.after(permission, notification)
        return []

    def source(self) -> Resource | None:
        """The bucket."""
        return self.bucket
