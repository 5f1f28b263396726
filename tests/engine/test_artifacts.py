"""Archives that are too big for a request go through a bucket, once."""

from pathlib import Path
from typing import Any

import pytest

from lambdaform.engine.artifacts import upload
from lambdaform.model.code import Package
from lambdaform.model.driver import AwsError


class Buckets:
    """S3, as far as uploads need it."""

    account = "123456789012"
    partition = "aws"
    endpoint = None

    def __init__(self, region: str) -> None:
        self.region = region
        self.objects: dict[str, bytes] = {}
        self.buckets: dict[str, Any] = {}
        self.calls: list[str] = []

    def call(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        self.calls.append(operation)
        match operation:
            case "HeadObject":
                if params["Key"] not in self.objects:
                    raise AwsError(service, operation, "404", "Not Found", 404)
            case "CreateBucket":
                self.buckets[params["Bucket"]] = params.get("CreateBucketConfiguration")
            case "PutObject":
                self.objects[params["Key"]] = params["Body"].read()
            case _:
                pass
        return {}

    def wait_for(self, what: str, look: Any, *, seconds: float = 300) -> Any:
        return look()


@pytest.fixture
def package(tmp_path: Path) -> Package:
    (tmp_path / "code.zip").write_bytes(b"zip")
    return Package("hash", (), 3, tmp_path / "code.zip")


def test_an_archive_is_uploaded_once_to_a_bucket_of_the_region(package: Package) -> None:
    aws = Buckets("eu-central-1")

    first, again = upload(aws, package), upload(aws, package)

    assert first == again == ("lambdaform-artifacts-123456789012-eu-central-1", "hash/code.zip")
    assert aws.buckets == {first[0]: {"LocationConstraint": "eu-central-1"}}
    assert aws.calls.count("PutObject") == 1


def test_s3s_own_default_region_is_not_named_as_a_constraint(package: Package) -> None:
    aws = Buckets("us-east-1")
    bucket, _ = upload(aws, package)

    assert aws.buckets == {bucket: None}
