"""CreateFunction, GetFunction, ListFunctions, UpdateFunctionCode, UpdateFunctionConfiguration, DeleteFunction.

https://docs.aws.amazon.com/lambda/latest/api/. Each operation takes the plane and the call and answers with the
members of its output.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import attrs

from lambdaform.local.lambda_ import configuration, running
from lambdaform.local.lambda_.code import LARGEST_UPLOAD, check_unzipped
from lambdaform.local.lambda_.layers import check_usable
from lambdaform.local.lambda_.listing import listing
from lambdaform.local.lambda_.naming import LATEST, is_version
from lambdaform.local.lambda_.plane import Plane, check_revision, conflict, invalid
from lambdaform.local.lambda_.signing import check_attached
from lambdaform.local.lambda_.store import Key
from lambdaform.local.lambda_.tags import check_tags
from lambdaform.local.lambda_.values import Code, Function, Version
from lambdaform.local.lambda_.versions import publish
from lambdaform.local.ports import AwsFault, Call, Json

LARGEST_REQUEST = 70_167_211
"""Bytes of a CreateFunction or UpdateFunctionCode request."""


async def create_function(plane: Plane, call: Call) -> Mapping[str, Json]:
    """Make a function from code; the answer shows it Pending."""
    params = call.params
    reference = plane.refer(call)
    if len(reference.name) > configuration.LONGEST_NAME:
        text = (
            f"1 validation error detected: Value '{reference.name}' at 'functionName' failed to satisfy constraint: "
            f"Member must have length less than or equal to {configuration.LONGEST_NAME}"
        )
        raise AwsFault("ValidationException", text, type=None)
    check_tags(params.get("Tags", {}))
    settings = configuration.created(params, reference.name)
    key: Key = (call.account, call.region, reference.name)
    if key in plane.store.functions:
        raise conflict(f"Function already exist: {reference.name}")
    if "CodeSigningConfigArn" in params:
        check_attached(plane, call, settings["PackageType"])
    code = await _code(plane, params["Code"], call, "CreateFunction", settings["PackageType"])
    _check_layers(plane, settings, code, call, are_new=True)
    if key in plane.store.functions:
        raise conflict(f"Function already exist: {reference.name}")
    version = Version(
        number=LATEST,
        settings=settings,
        code=code,
        last_modified=plane.stamp(),
        revision=plane.ids.uuid(),
        generation=plane.new_generation(),
    )
    function = Function(
        account=call.account,
        region=call.region,
        name=reference.name,
        latest=version,
        tags=params.get("Tags", {}),
        signing_config=params.get("CodeSigningConfigArn"),
    )
    number = None
    if params.get("Publish"):
        function = publish(plane, function)
        number = str(function.last_number)
    plane.store.put(function)
    plane.revise(key, became_active(plane))
    shown = function.latest if number is None else function.versions[number]
    return plane.describe(function, shown)


async def get_function(plane: Plane, call: Call) -> Mapping[str, Json]:
    """A version's configuration, where its code is, and what hangs on the function."""
    function, version, qualifier = plane.version(call)
    answer: dict[str, Json] = {"Configuration": plane.describe(function, version, qualifier=qualifier)}
    if version.code.key is None:
        answer["Code"] = {
            "RepositoryType": "ECR",
            "ImageUri": version.code.image_uri,
            "ResolvedImageUri": version.code.resolved_uri,
        }
    else:
        answer["Code"] = {
            "RepositoryType": "S3",
            "Location": f"{call.endpoint}/_lambdaform/code/{version.code.key}.zip",
        }
    if function.tags:
        answer["Tags"] = function.tags
    if function.reserved_concurrency is not None:
        answer["Concurrency"] = {"ReservedConcurrentExecutions": function.reserved_concurrency}
    return answer


async def get_function_configuration(plane: Plane, call: Call) -> Mapping[str, Json]:
    """A version's configuration."""
    function, version, qualifier = plane.version(call)
    return plane.describe(function, version, qualifier=qualifier)


async def list_functions(plane: Plane, call: Call) -> Mapping[str, Json]:
    """`$LATEST` of every function, or every version of all of them."""
    found: list[Json] = []
    if call.params.get("MasterRegion") and call.params.get("FunctionVersion") != "ALL":
        raise invalid("MasterRegion is supported only with FunctionVersion ALL.")
    for function in plane.store.functions_in(call.account, call.region):
        versions = [function.latest]
        if call.params.get("FunctionVersion") == "ALL":
            versions += function.versions.values()
        for version in versions:
            shown = plane.describe(function, version, with_state=False)
            if call.params.get("FunctionVersion") == "ALL" and version.number == LATEST:
                shown["FunctionArn"] += f":{LATEST}"
            found.append(shown)
    return listing(call, "Functions", found)


async def delete_function(plane: Plane, call: Call) -> Mapping[str, Json]:
    """Delete a function with everything on it, or one published version."""
    function, qualifier = plane.function(call)
    key: Key = (function.account, function.region, function.name)
    if qualifier == LATEST:
        raise invalid("$LATEST version cannot be deleted without deleting the function.")
    if qualifier is not None:
        if not is_version(qualifier):
            raise invalid("Deletion of aliases is not currently supported.")
        users = [a.name for a in function.aliases.values() if a.version == qualifier or qualifier in a.weights]
        if users:
            arns = ", ".join(f"{function.arn}:{name}" for name in users)
            text = f"Version with {function.arn}:{qualifier} is being used by aliases: [{arns}]"
            raise conflict(text)
        # A number that does not exist is gone already: AWS answers success, repeatedly.
        versions = {number: version for number, version in function.versions.items() if number != qualifier}
        plane.store.put(attrs.evolve(function.without(qualifier), versions=versions))
        plane.fleet.retire(lambda each: _is_of(each, key) and each.version == qualifier)
        return {"StatusCode": 204}
    plane.store.remove(key)
    plane.fleet.retire(lambda each: _is_of(each, key))
    return {"StatusCode": 204}


async def update_function_code(plane: Plane, call: Call) -> Mapping[str, Json]:
    """New code for `$LATEST`; its environments are retired."""
    params = call.params
    function = _updatable(plane, call)
    code = await _code(plane, params, call, "UpdateFunctionCode", function.latest.settings["PackageType"])
    settings = dict(function.latest.settings)
    if "Architectures" in params:
        settings["Architectures"] = params["Architectures"]
    _check_layers(plane, settings, code, call, are_new=False)
    if params.get("DryRun"):
        shown = attrs.evolve(function.latest, code=code, settings=settings)
        return plane.describe(function, shown)
    return _update(plane, function.arn, call, settings=settings, code=code, is_published=params.get("Publish", False))


async def update_function_configuration(plane: Plane, call: Call) -> Mapping[str, Json]:
    """New settings for `$LATEST`; its environments are retired."""
    function = _updatable(plane, call)
    settings = configuration.merged(function.latest.settings, call.params, function.name)
    if settings["PackageType"] == "Image" and any(call.params.get(each) for each in ("Runtime", "Handler", "Layers")):
        raise invalid("Please don't provide Handler or Runtime or Layer for a function that is an image.")
    _check_layers(plane, settings, function.latest.code, call, are_new="Layers" in call.params)
    return _update(plane, function.arn, call, settings=settings, code=function.latest.code, is_published=False)


def _updatable(plane: Plane, call: Call) -> Function:
    """The unqualified function a call changes, when nothing stands against it. Raises `AwsFault`."""
    function, qualifier = plane.function(call)
    if qualifier not in (None, LATEST):
        raise invalid("The operation cannot be performed on a published version or an alias.")
    check_revision(call.params.get("RevisionId"), function.latest.revision)
    if function.latest.state == "Pending" or function.latest.update == "InProgress":
        raise conflict(
            f"The operation cannot be performed at this time. An update is in progress for resource: {function.arn}"
        )
    return function


def _update(
    plane: Plane, arn: str, call: Call, *, settings: Mapping[str, Json], code: Code, is_published: bool
) -> Mapping[str, Json]:
    function, _ = plane.function(call)
    key: Key = (function.account, function.region, function.name)
    version = attrs.evolve(
        function.latest,
        settings=settings,
        code=code,
        last_modified=plane.stamp(),
        revision=plane.ids.uuid(),
        generation=plane.new_generation(),
        update="InProgress",
        state="Active",
    )
    function = attrs.evolve(function, latest=version)
    number = None
    if is_published:
        function = publish(plane, function)
        number = str(function.last_number)
    plane.store.put(function)
    plane.fleet.retire(lambda each: _is_of(each, key) and each.version == LATEST)
    plane.revise(key, became_active(plane))
    return plane.describe(function, function.latest if number is None else function.versions[number])


def became_active(plane: Plane) -> Callable[[Function], Function]:
    """What settling does: Pending becomes Active, an update in progress successful, with a new revision."""

    def settle(version: Version) -> Version:
        update: Literal["Successful"] | None = "Successful"
        if version.has_snapshot and version.state == "Pending":
            return version  # until its snapshot is there
        if version.state == "Pending" or version.update == "InProgress":
            return attrs.evolve(version, state="Active", update=update, revision=plane.ids.uuid())
        return version

    def change(function: Function) -> Function:
        versions = {number: settle(version) for number, version in function.versions.items()}
        return attrs.evolve(function, latest=settle(function.latest), versions=versions)

    return change


async def _code(plane: Plane, given: Mapping[str, Json], call: Call, operation: str, package: str) -> Code:
    """The code a request brings, kept. Raises `AwsFault`."""
    if package == "Image":
        uri: str = given.get("ImageUri", "")
        if not uri and operation == "UpdateFunctionCode":
            raise invalid("Please provide ImageUri when updating a function with packageType Image.")
        if not uri:
            raise invalid("Please provide ImageUri when the intent is to use a container image.")
        sha = plane.ids.hex(64)
        return Code(sha, 0, 0, None, uri, f"{uri.rpartition(':')[0] or uri}@sha256:{sha}")
    if given.get("ImageUri") and operation == "UpdateFunctionCode":
        raise invalid("Please don't provide ImageUri when updating a function with packageType Zip.")
    if "ZipFile" in given:
        data: bytes = given["ZipFile"]
        if len(data) > LARGEST_UPLOAD:
            text = f"Zipped size must be smaller than {LARGEST_UPLOAD} bytes"
            raise AwsFault("RequestEntityTooLargeException", text, status=413)
        if int(call.headers.get("content-length", "0") or 0) > LARGEST_REQUEST:
            text = f"Request must be smaller than {LARGEST_REQUEST} bytes for the {operation} operation"
            raise AwsFault("RequestEntityTooLargeException", text, status=413)
    elif "S3Bucket" in given and "S3Key" in given:
        data = await plane.object(given, call.region)
    else:
        raise invalid("Please provide a source for function code.")
    return plane.codes.keep(data)


def _check_layers(plane: Plane, settings: Mapping[str, Json], code: Code, call: Call, *, are_new: bool) -> None:
    """The rules for a function's layers. Raises `AwsFault`.

    Those it has keep working when they are deleted, or the permission to use them is taken back: it is new ones that
    have to be there. https://docs.aws.amazon.com/lambda/latest/dg/adding-layers.html
    """
    region = call.region
    seen: dict[str, str] = {}
    unzipped = code.unzipped
    for arn in settings.get("Layers", ()):
        if are_new:
            check_usable(plane, arn, account=call.account, region=region)
        parts = str(arn).split(":")
        if parts[3] != region:
            text = f"Layers are not in the same region as the function. Layers are expected to be in region {region}."
            raise invalid(text)
        layer = plane.layer_version(arn, with_deleted=not are_new)
        if layer is None:
            raise invalid(f"Layer version {arn} does not exist.")
        base = arn.rpartition(":")[0]
        if base in seen:
            raise invalid(
                "Two different versions of the same layer are not allowed to be referenced in the same function. "
                f"{seen[base]} and {arn} are versions of the same layer."
            )
        seen[base] = arn
        unzipped += layer.code.unzipped
    check_unzipped(unzipped)


def _is_of(key: running.Key, function: Key) -> bool:
    return (key.account, key.region, key.name) == function
