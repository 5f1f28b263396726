"""Layers: files that several functions share, published as numbered versions.

https://docs.aws.amazon.com/lambda/latest/dg/chapter-layers.html
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

import attrs

from lambdaform.model.code import Build, Code, PythonCode
from lambdaform.model.driver import STACK_TAG, STAGE_TAG, Aws, AwsError, Desired, Found, Record, is_missing
from lambdaform.model.marks import Expands, Length, OneOf, Pattern, Replaces
from lambdaform.model.output import Input, output
from lambdaform.model.resource import Naming, Resource, Scope
from lambdaform.model.runtimes import DEFAULT, RUNTIMES
from lambdaform.resources.lambda_function_driver import ZIP_LIMIT

PUBLISH = "https://docs.aws.amazon.com/lambda/latest/api/API_PublishLayerVersion.html"
PATHS = "https://docs.aws.amazon.com/lambda/latest/dg/packaging-layers.html"


@attrs.frozen(kw_only=True, eq=False, repr=False, slots=False)
class Layer(Resource):
    """Files below /opt of every function that has it in `layers`: `Layer(PythonCode(requirements="requirements.txt"))`.

    A change publishes a new version and moves the stack's functions to it. Earlier versions stay, since published
    versions of functions go on naming them; all that lambdaform made go when the layer is deleted.
    """

    kind: ClassVar[str] = "lambda.layer"
    title: ClassVar[str] = "layer"
    # AWS takes 140 characters for the name or for the whole ARN in the same place, of which up to 50 are not the name.
    naming: ClassVar[Naming | None] = Naming(90)

    code: Annotated[Code, Expands()] = attrs.field(kw_only=False)
    """The files, or Python packages to install."""
    name: Annotated[
        Input[str] | None, Pattern(r"[a-zA-Z0-9-_]{1,140}", "1 to 140 letters, digits, - or _", PUBLISH), Replaces()
    ] = None
    """Its name in AWS; made from stack, stage and attribute name when not given."""
    into: Annotated[
        str | None,
        OneOf(("", "python", "nodejs", "bin", "extensions", "lib", "ruby/gems", "ruby/lib", "java/lib"), PATHS),
        Expands(),
    ] = None
    """The folder of /opt the files go to; `python` for `PythonCode` and /opt itself for other code when not given."""
    runtime: Input[str] = DEFAULT
    """The runtime it is made for: wheels are chosen for it, and AWS lists it as compatible."""
    architecture: Annotated[Input[str], OneOf(("x86_64", "arm64"), PUBLISH)] = "x86_64"
    """The processor it is made for."""
    license: Annotated[Input[str], Length(0, 512, source=PUBLISH)] = ""
    """The licence: an SPDX name, an address, or the text."""
    description: Annotated[Input[str], Length(0, 256, source=PUBLISH)] = ""
    """For people; says which stack and stage it belongs to when not given."""

    arn = output(str, "The ARN of the latest version.", volatile=True)
    layer_arn = output(str, "The layer's ARN, without a version.")
    version = output(int, "The number of the latest version.", volatile=True)
    versions = output(list[int], "The numbers of all versions lambdaform made.", volatile=True)

    @classmethod
    def existing(cls, arn: Input[str]) -> Self:
        """A layer version that lambdaform does not manage, by its ARN with the version."""
        return cls.refer(arn, code=Code())

    @classmethod
    def outputs_of_arn(cls, arn: str) -> Mapping[str, Any]:
        """The ARN with and without the version, and the version."""
        layer, _, version = arn.rpartition(":")
        number = int(version) if version.isdigit() else 0
        return {"arn": arn, "layer_arn": layer, "version": number, "versions": [number]}

    def expand(self, scope: Scope) -> None:
        """Says which archive to make, and where in it the files stand."""
        prefix = self.into if self.into is not None else "python" if isinstance(self.code, PythonCode) else ""
        runtime, architecture = str(scope.plain(self.runtime)), str(scope.plain(self.architecture))
        scope.package(Build(self.code, runtime, architecture, prefix))


class LayerDriver:
    """Publishes versions of layers."""

    # PublishLayerVersion always makes a new version.
    exists = ()

    def create(self, aws: Aws, desired: Desired) -> Mapping[str, Any]:
        """PublishLayerVersion."""
        return self._publish(aws, desired, [])

    def update(self, aws: Aws, desired: Desired, record: Record, changed: frozenset[str]) -> Mapping[str, Any]:
        """PublishLayerVersion again, since a version never changes; the earlier ones stay."""
        return self._publish(aws, desired, record.outputs.get("versions", [record.outputs["version"]]))

    def find(self, aws: Aws, desired: Desired) -> Found | None:
        """The newest version when it is one we published; a layer has no tags, but its description says whose it is."""
        found = _newest(aws, desired.physical_name)
        if found is None or not _is_ours(found, _request(desired)):
            return None
        return Found(_outputs(found, []), None)

    def read(self, aws: Aws, record: Record) -> Mapping[str, Any] | None:
        """Its outputs while the latest version exists."""
        name, version = record.outputs["layer_arn"], record.outputs["version"]
        return None if _version(aws, name, version) is None else record.outputs

    def delete(self, aws: Aws, record: Record) -> None:
        """DeleteLayerVersion for every version we made; functions that use one keep it."""
        for version in record.outputs.get("versions", [record.outputs["version"]]):
            try:
                aws.call("lambda", "DeleteLayerVersion", LayerName=record.outputs["layer_arn"], VersionNumber=version)
            except AwsError as error:
                if not is_missing(error):
                    raise

    def _publish(self, aws: Aws, desired: Desired, earlier: list[int]) -> Mapping[str, Any]:
        package = desired.package
        if package is None or package.archive is None:
            raise AssertionError(f"{desired.address} came to its driver without an archive")
        name = desired.physical_name
        archive = package.archive.read_bytes()
        request = _request(desired)
        # An interrupted run may have published exactly this; again would leave a version that nobody deletes.
        answer = _newest(aws, name)
        if answer is None or not _is_ours(answer, request, archive):
            content: dict[str, Any] = {"ZipFile": archive}
            if len(archive) > ZIP_LIMIT and desired.artifacts is not None:
                bucket, key = desired.artifacts(package)
                content = {"S3Bucket": bucket, "S3Key": key}
            answer = aws.call("lambda", "PublishLayerVersion", LayerName=name, Content=content, **request)
        return _outputs(answer, earlier)


_MEMBERS = ("CompatibleRuntimes", "CompatibleArchitectures", "Description", "LicenseInfo")


def _request(desired: Desired) -> dict[str, Any]:
    request: dict[str, Any] = {"CompatibleArchitectures": [desired.get("architecture", "x86_64")]}
    runtime = desired.get("runtime", DEFAULT)
    if runtime in RUNTIMES:
        request["CompatibleRuntimes"] = [runtime]
    if desired.get("license"):
        request["LicenseInfo"] = desired.props["license"]
    owner = f"{desired.tags.get(STACK_TAG)} {desired.tags.get(STAGE_TAG)} {desired.address}"
    request["Description"] = desired.get("description") or owner[:256]
    return request


def _is_ours(found: Mapping[str, Any], request: Mapping[str, Any], archive: bytes | None = None) -> bool:
    """Whether a version was published with this request (and this archive)."""
    if archive is not None:
        import base64
        import hashlib

        digest = base64.b64encode(hashlib.sha256(archive).digest()).decode()
        if found.get("Content", {}).get("CodeSha256") != digest:
            return False
    return all((found.get(member) or None) == (request.get(member) or None) for member in _MEMBERS)


def _newest(aws: Aws, name: str) -> Mapping[str, Any] | None:
    try:
        versions = aws.call("lambda", "ListLayerVersions", LayerName=name, MaxItems=1).get("LayerVersions", [])
    except AwsError as error:
        if is_missing(error):
            return None
        raise
    return _version(aws, name, max(each["Version"] for each in versions)) if versions else None


def _outputs(answer: Mapping[str, Any], earlier: list[int]) -> Mapping[str, Any]:
    version = answer["Version"]
    return {
        "arn": answer["LayerVersionArn"],
        "layer_arn": answer["LayerVersionArn"].rpartition(":")[0],
        "version": version,
        "versions": [*(each for each in earlier if each != version), version],
    }


def _version(aws: Aws, name: str, version: int) -> Mapping[str, Any] | None:
    try:
        return aws.call("lambda", "GetLayerVersion", LayerName=name, VersionNumber=version)
    except AwsError as error:
        if is_missing(error):
            return None
        raise


DRIVER = LayerDriver()
