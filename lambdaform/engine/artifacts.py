"""Archives too big for a request go through a bucket of lambdaform's own, in the region of the function."""

from __future__ import annotations

from typing import Any

from lambdaform.model.code import Package
from lambdaform.model.driver import Aws, AwsError


def bucket_name(aws: Aws) -> str:
    """The artifact bucket of an account and region."""
    return f"lambdaform-artifacts-{aws.account}-{aws.region}"


def upload(aws: Aws, package: Package) -> tuple[str, str]:
    """Put the archive of a package into the artifact bucket, once; gives bucket and key."""
    if package.archive is None:
        raise AssertionError("only a package with an archive can be uploaded")
    bucket, key = bucket_name(aws), f"{package.hash}/{package.archive.name}"
    try:
        aws.call("s3", "HeadObject", Bucket=bucket, Key=key)
    except AwsError:
        _bucket(aws, bucket)
        with package.archive.open("rb") as body:
            aws.call("s3", "PutObject", Bucket=bucket, Key=key, Body=body)
    return bucket, key


def _bucket(aws: Aws, bucket: str) -> None:
    request: dict[str, Any] = {}
    if aws.region != "us-east-1":  # S3 refuses its own default region as a constraint
        request["CreateBucketConfiguration"] = {"LocationConstraint": aws.region}
    try:
        aws.call("s3", "CreateBucket", Bucket=bucket, **request)
    except AwsError as error:
        if error.code not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
            raise
        return
    blocked = dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True)
    aws.call("s3", "PutPublicAccessBlock", Bucket=bucket, PublicAccessBlockConfiguration=blocked)
    aws.call(
        "s3",
        "PutBucketLifecycleConfiguration",
        Bucket=bucket,
        LifecycleConfiguration={
            "Rules": [{"ID": "archives", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 7}}]
        },
    )
