"""S3 buckets: the declaration and its driver.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Self

import attrs

from lambdaform.model.driver import Aws, AwsError, Desired, Found, Record, is_missing
from lambdaform.model.marks import Length, OneOf, Pattern, Range, Replaces
from lambdaform.model.output import Input, output, text
from lambdaform.model.resource import Grant, Naming, Resource
from lambdaform.model.units import items, optional_days, seconds
from lambdaform.model.value import Value
from lambdaform.triggers.bucket_objects import BucketObjects

NAMES = "https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html"
LIFECYCLE = "https://docs.aws.amazon.com/AmazonS3/latest/API/API_LifecycleRule.html"
CORS = "https://docs.aws.amazon.com/AmazonS3/latest/API/API_CORSRule.html"
ENCRYPTION = "https://docs.aws.amazon.com/AmazonS3/latest/API/API_ServerSideEncryptionByDefault.html"


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Expire(Value):
    """Which objects are deleted by themselves, and when."""

    after: Annotated[Input[int] | None, Range(1, 2_147_483_647, "days", source=LIFECYCLE)] = attrs.field(
        default=None, converter=optional_days
    )
    """Days after an object was written."""
    prefix: Annotated[Input[str], Length(0, 1_024)] = ""
    """Only objects whose keys begin with this."""
    old_versions_after: Annotated[Input[int] | None, Range(1, 2_147_483_647, "days", source=LIFECYCLE)] = attrs.field(
        default=None, converter=optional_days
    )
    """Days after a version was replaced by a newer one."""
    unfinished_uploads_after: Annotated[Input[int] | None, Range(1, 2_147_483_647, "days", source=LIFECYCLE)] = (
        attrs.field(default=None, converter=optional_days)
    )
    """Days after an upload in parts was begun and not finished."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class BucketCors(Value):
    """Which web pages may use the bucket directly."""

    allow_origins: Annotated[tuple[Input[str], ...], Length(1, 100, "origins", CORS)] = attrs.field(converter=items)
    """Origins, such as `https://shop.example`; `*` is everybody."""
    allow_methods: Annotated[tuple[Input[str], ...], Length(1, 5, "methods", CORS)] = attrs.field(converter=items)
    """`GET`, `PUT`, `HEAD`, `POST`, `DELETE`."""
    allow_headers: Annotated[tuple[Input[str], ...], Length(0, 100, "headers", CORS)] = attrs.field(
        default=(), converter=items
    )
    """Request headers they may send."""
    expose_headers: Annotated[tuple[Input[str], ...], Length(0, 100, "headers", CORS)] = attrs.field(
        default=(), converter=items
    )
    """Response headers they may read."""
    max_age: Annotated[Input[int], Range(0, 86_400, "s", source=CORS)] = attrs.field(default=0, converter=seconds)
    """How long a browser may remember the answer."""


@attrs.frozen(kw_only=True, eq=False, repr=False, slots=False)
class Bucket(Resource):
    """Objects under keys. Private and encrypted unless said otherwise.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/Welcome.html
    """

    kind: ClassVar[str] = "s3.bucket"
    title: ClassVar[str] = "bucket"
    # Everybody's buckets share one name space; account and region make the name ours.
    naming: ClassVar[Naming | None] = Naming(63, allowed="-a-z0-9", with_account=True, with_region=True, lower=True)
    taggable: ClassVar[bool] = True
    holds_data: ClassVar[bool] = True

    name: Annotated[
        Input[str] | None,
        Pattern(r"(?!xn--)(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "3 to 63 small letters, digits, . or -", NAMES),
        Replaces(),
    ] = None
    """Its name, unlike everybody else's; made from stack, stage, attribute name, account and region when not given."""
    versioning: Input[bool] = False
    """Whether replaced and deleted objects are kept as old versions; once on, it can only be suspended."""
    encryption: Annotated[Input[str], OneOf(("AES256", "aws:kms", "aws:kms:dsse"), ENCRYPTION)] = "AES256"
    """How objects are encrypted that are written without saying so."""
    kms_key: Annotated[Input[str] | None, Length(1, 2_048)] = None
    """With `aws:kms`: id or ARN of the key; AWS's own when not given."""
    block_public_access: Input[bool] = True
    """Whether policies and ACLs that would open it to the public are refused."""
    expire: Annotated[tuple[Expire, ...], Length(0, 1_000, "rules", LIFECYCLE)] = attrs.field(
        default=(), converter=items
    )
    """What is deleted by itself."""
    cors: Annotated[tuple[BucketCors, ...], Length(0, 100, "rules", CORS)] = attrs.field(default=(), converter=items)
    """Which web pages may use it directly."""
    tags: Annotated[Mapping[str, Input[str]], Length(0, 50, "tags")] = attrs.field(factory=dict[str, Input[str]])
    """Tags besides the stack's."""

    arn = output(str, "The bucket's ARN, which holds neither region nor account.")
    bucket_name = output(str, "The bucket's name.")

    @classmethod
    def existing(cls, arn: Input[str]) -> Self:
        """A bucket that lambdaform does not manage."""
        return cls.refer(arn)

    @classmethod
    def outputs_of_arn(cls, arn: str) -> Mapping[str, str]:
        """ARN and name."""
        return {"arn": arn, "bucket_name": arn.rpartition(":")[2]}

    def objects(
        self,
        events: Iterable[str] = ("s3:ObjectCreated:*",),
        *,
        prefix: Input[str] = "",
        suffix: Input[str] = "",
        name: str | None = None,
    ) -> BucketObjects:
        """A trigger: the function hears of objects that come or go.

        Args:
            events: S3's names of what is to be told.
            prefix: only keys that begin with this.
            suffix: only keys that end with this.
            name: tells apart several triggers of one function on one bucket.
        """
        return BucketObjects(bucket=self, events=events, prefix=prefix, suffix=suffix, name=name)

    def read(self) -> Grant:
        """Permission to list and get objects; in `uses`, the variable holds the bucket's name."""
        return self._grant("read", "s3:GetObject", "s3:ListBucket")

    def write(self) -> Grant:
        """Permission to put objects; in `uses`, the variable holds the bucket's name."""
        return self._grant("write", "s3:AbortMultipartUpload", "s3:ListBucket", "s3:PutObject")

    def read_write(self) -> Grant:
        """Permission to list, get and put objects; in `uses`, the variable holds the bucket's name."""
        return self._grant("read and write", "s3:AbortMultipartUpload", "s3:GetObject", "s3:ListBucket", "s3:PutObject")

    def delete(self) -> Grant:
        """Permission to list and delete objects; in `uses`, the variable holds the bucket's name."""
        return self._grant("delete", "s3:DeleteObject", "s3:ListBucket")

    def _grant(self, verb: str, *actions: str) -> Grant:
        # Without s3:ListBucket, S3 answers 403 instead of 404 for a key that is not there.
        return Grant(actions, (self.arn, text("{}/*", self.arn)), value=self.bucket_name, target=self, verb=verb)


class BucketDriver:
    """Makes and changes buckets."""

    exists = ("BucketAlreadyOwnedByYou", "BucketAlreadyExists")

    def create(self, aws: Aws, desired: Desired) -> Mapping[str, Any]:
        """CreateBucket with its tags, then a call for each setting that was declared."""
        name = desired.physical_name
        # Tags come with the bucket, so that a run that is cut off here knows it again.
        where: dict[str, Any] = {"Tags": _pairs(desired.tags)}
        if aws.region == "us-east-1":
            # Here alone, creating a bucket of one's own again succeeds, which would hide whose it is.
            # https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html
            if _exists(aws, name):
                raise AwsError("s3", "CreateBucket", "BucketAlreadyOwnedByYou", f"there is a bucket {name}", 409)
        else:
            where["LocationConstraint"] = aws.region
        aws.call("s3", "CreateBucket", Bucket=name, CreateBucketConfiguration=where)
        # Not every stand-in for S3 takes them with the bucket.
        _tag(aws, name, desired.tags)
        self._settings(aws, desired, frozenset(desired.props))
        return _outputs(aws, name)

    def update(self, aws: Aws, desired: Desired, record: Record, changed: frozenset[str]) -> Mapping[str, Any]:
        """One call for each thing that changed."""
        self._settings(aws, desired, changed)
        if "tags" in changed:
            _tag(aws, record.physical_name, desired.tags)
        return record.outputs

    def _settings(self, aws: Aws, desired: Desired, changed: frozenset[str]) -> None:
        name = desired.physical_name
        if "versioning" in changed:
            status = "Enabled" if desired.get("versioning") else "Suspended"
            aws.call("s3", "PutBucketVersioning", Bucket=name, VersioningConfiguration={"Status": status})
        if changed & {"encryption", "kms_key"}:
            default: dict[str, Any] = {"SSEAlgorithm": desired.get("encryption", "AES256")}
            if desired.get("kms_key"):
                default["KMSMasterKeyID"] = desired.props["kms_key"]
            rule = {
                "ApplyServerSideEncryptionByDefault": default,
                "BucketKeyEnabled": default["SSEAlgorithm"] == "aws:kms",
            }
            aws.call("s3", "PutBucketEncryption", Bucket=name, ServerSideEncryptionConfiguration={"Rules": [rule]})
        if "block_public_access" in changed:
            on = bool(desired.get("block_public_access", True))
            settings = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
            aws.call(
                "s3",
                "PutPublicAccessBlock",
                Bucket=name,
                PublicAccessBlockConfiguration=dict.fromkeys(settings, on),
            )
        if "expire" in changed:
            rules = [_lifecycle(index, each) for index, each in enumerate(desired.get("expire", []))]
            if rules:
                aws.call("s3", "PutBucketLifecycleConfiguration", Bucket=name, LifecycleConfiguration={"Rules": rules})
            else:
                aws.call("s3", "DeleteBucketLifecycle", Bucket=name)
        if "cors" in changed:
            rules = [_cors(each) for each in desired.get("cors", [])]
            if rules:
                aws.call("s3", "PutBucketCors", Bucket=name, CORSConfiguration={"CORSRules": rules})
            else:
                aws.call("s3", "DeleteBucketCors", Bucket=name)

    def find(self, aws: Aws, desired: Desired) -> Found | None:
        """The bucket of that name and its tags; a bucket of somebody else's account has none for us."""
        name = desired.physical_name
        if not _exists(aws, name):
            return None
        pairs: list[dict[str, str]] = []
        try:
            pairs = aws.call("s3", "GetBucketTagging", Bucket=name).get("TagSet", [])
        except AwsError as error:
            if error.code not in ("NoSuchTagSet", "AccessDenied"):
                raise
        return Found(_outputs(aws, name), {pair["Key"]: pair["Value"] for pair in pairs})

    def read(self, aws: Aws, record: Record) -> Mapping[str, Any] | None:
        """Its outputs while it exists."""
        return record.outputs if _exists(aws, record.physical_name) else None

    def delete(self, aws: Aws, record: Record) -> None:
        """Delete every object with all its versions (S3 refuses otherwise), then the bucket."""
        name = record.physical_name
        try:
            while batch := _versions(aws, name):
                answer = aws.call("s3", "DeleteObjects", Bucket=name, Delete={"Objects": batch, "Quiet": True})
                for failed in answer.get("Errors", []):
                    raise AwsError("s3", "DeleteObjects", failed.get("Code", ""), failed.get("Message", ""))
            aws.call("s3", "DeleteBucket", Bucket=name)
        except AwsError as error:
            if not is_missing(error):
                raise


def _versions(aws: Aws, name: str) -> list[dict[str, str]]:
    answer = aws.call("s3", "ListObjectVersions", Bucket=name)
    found = [*answer.get("Versions", []), *answer.get("DeleteMarkers", [])]
    return [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in found]


def _tag(aws: Aws, name: str, tags: Mapping[str, str]) -> None:
    aws.call("s3", "PutBucketTagging", Bucket=name, Tagging={"TagSet": _pairs(tags)})


def _pairs(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _lifecycle(index: int, value: Mapping[str, Any]) -> dict[str, Any]:
    rule: dict[str, Any] = {
        "ID": f"lambdaform-{index}",
        "Status": "Enabled",
        "Filter": {"Prefix": value.get("prefix", "")},
    }
    if value.get("after") is not None:
        rule["Expiration"] = {"Days": value["after"]}
    if value.get("old_versions_after") is not None:
        rule["NoncurrentVersionExpiration"] = {"NoncurrentDays": value["old_versions_after"]}
    if value.get("unfinished_uploads_after") is not None:
        rule["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": value["unfinished_uploads_after"]}
    return rule


def _cors(value: Mapping[str, Any]) -> dict[str, Any]:
    members = {
        "allow_origins": "AllowedOrigins",
        "allow_methods": "AllowedMethods",
        "allow_headers": "AllowedHeaders",
        "expose_headers": "ExposeHeaders",
        "max_age": "MaxAgeSeconds",
    }
    return {member: value[prop] for prop, member in members.items() if value.get(prop)}


def _exists(aws: Aws, name: str) -> bool:
    try:
        aws.call("s3", "HeadBucket", Bucket=name)
    except AwsError as error:
        if is_missing(error):
            return False
        if error.status == 403:  # somebody else's
            return True
        raise
    return True


def _outputs(aws: Aws, name: str) -> Mapping[str, Any]:
    return {"arn": f"arn:{aws.partition}:s3:::{name}", "bucket_name": name}


DRIVER = BucketDriver()
