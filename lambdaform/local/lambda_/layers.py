"""Layers, their versions and permissions. https://docs.aws.amazon.com/lambda/latest/dg/chapter-layers.html

A layer may be named by its ARN, which says whose it is. Another account's layer version can be read and used once a
permission on it allows that, and never be changed or listed.
https://docs.aws.amazon.com/lambda/latest/dg/permissions-layer-cross-account.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import cast

import attrs

from lambdaform.local.lambda_.code import LARGEST_UPLOAD
from lambdaform.local.lambda_.listing import listing
from lambdaform.local.lambda_.naming import layer_arn
from lambdaform.local.lambda_.permissions import make_statement
from lambdaform.local.lambda_.plane import Plane, check_revision, conflict, invalid, resource_missing
from lambdaform.local.lambda_.store import Key
from lambdaform.local.lambda_.values import Layer, LayerVersion, Policy
from lambdaform.local.ports import AwsFault, Call, Json


async def publish_layer_version(plane: Plane, call: Call) -> Mapping[str, Json]:
    """A new version of a layer, always with a new number."""
    layer = _layer(plane, call) or Layer(*_own(call))
    content: Mapping[str, Json] = call.params["Content"]
    if "ZipFile" in content:
        data: bytes = content["ZipFile"]
        if len(data) > LARGEST_UPLOAD:
            text = f"Zipped size must be smaller than {LARGEST_UPLOAD} bytes"
            raise AwsFault("RequestEntityTooLargeException", text, status=413)
    elif "S3Bucket" in content and "S3Key" in content:
        data = await plane.object(content, call.region)
    else:
        raise invalid("Please provide a source for layer code.")
    code = plane.codes.keep(data)
    layer = _layer(plane, call) or layer  # another version may have come while the code was read
    number = layer.last_number + 1
    version = LayerVersion(
        number=number,
        description=call.params.get("Description", ""),
        code=code,
        created=plane.stamp(),
        runtimes=call.params.get("CompatibleRuntimes", ()),
        architectures=call.params.get("CompatibleArchitectures", ()),
        license=call.params.get("LicenseInfo"),
    )
    plane.store.put_layer(attrs.evolve(layer, versions={**layer.versions, number: version}, last_number=number))
    return _with_content(call, layer, version)


async def get_layer_version(plane: Plane, call: Call) -> Mapping[str, Json]:
    """One version of a layer, with where its content is."""
    account, region, name = _named(call)
    number = _number(call)
    return _read(plane, call, f"{layer_arn(account, region, name)}:{number}")


async def get_layer_version_by_arn(plane: Plane, call: Call) -> Mapping[str, Json]:
    """The same, found by its ARN."""
    return _read(plane, call, call.params["Arn"])


async def list_layers(plane: Plane, call: Call) -> Mapping[str, Json]:
    """Every layer with its newest version that fits."""
    found: list[Json] = []
    for key in sorted(plane.store.layers):
        layer = plane.store.layers[key]
        if key[:2] != (call.account, call.region):
            continue
        fitting = [version for version in layer.versions.values() if _fits(version, call.params)]
        if fitting:
            newest = max(fitting, key=lambda version: version.number)
            found.append(
                {"LayerName": layer.name, "LayerArn": _arn(layer), "LatestMatchingVersion": _item(layer, newest)}
            )
    return listing(call, "Layers", found)


async def list_layer_versions(plane: Plane, call: Call) -> Mapping[str, Json]:
    """A layer's versions, newest first."""
    layer = _layer(plane, call)
    versions = sorted(layer.versions.values(), key=lambda version: -version.number) if layer is not None else []
    found: list[Json] = [_item(layer, version) for version in versions if layer and _fits(version, call.params)]
    return listing(call, "LayerVersions", found)


async def delete_layer_version(plane: Plane, call: Call) -> Mapping[str, Json]:
    """Take a version out of sight; functions that use it keep it."""
    layer = _layer(plane, call)
    number = _number(call)
    if layer is not None and number in layer.versions:
        plane.store.put_layer(
            attrs.evolve(
                layer,
                versions={key: value for key, value in layer.versions.items() if key != number},
                deleted={**layer.deleted, number: layer.versions[number]},
            )
        )
    return {}


async def add_layer_version_permission(plane: Plane, call: Call) -> Mapping[str, Json]:
    """Let others use a layer version."""
    layer, version = _version(plane, call)
    policy = version.policy or Policy({}, "")
    check_revision(call.params.get("RevisionId"), policy.revision, of="GetLayerPolicy")
    sid = call.params["StatementId"]
    if sid in policy.statements:
        raise conflict(
            f"The statement id ({sid}) provided already exists. "
            "Please provide a new statement id, or remove the existing statement."
        )
    params = dict(call.params)
    if "OrganizationId" in params:
        params["PrincipalOrgID"] = params["OrganizationId"]
    statement = make_statement(params, f"{_arn(layer)}:{version.number}")
    changed = Policy({**policy.statements, sid: statement}, plane.ids.uuid())
    _put(plane, layer, attrs.evolve(version, policy=changed))
    return {"Statement": json.dumps(statement, separators=(",", ":")), "RevisionId": changed.revision}


async def remove_layer_version_permission(plane: Plane, call: Call) -> Mapping[str, Json]:
    """Take that back."""
    layer, version = _version(plane, call)
    sid = call.params["StatementId"]
    if version.policy is None:
        raise AwsFault("ResourceNotFoundException", "No policy is associated with the given resource.", status=404)
    check_revision(call.params.get("RevisionId"), version.policy.revision, of="GetLayerPolicy")
    if sid not in version.policy.statements:
        raise AwsFault("ResourceNotFoundException", f"Statement {sid} is not found in resource policy.", status=404)
    statements = {key: value for key, value in version.policy.statements.items() if key != sid}
    policy = Policy(statements, plane.ids.uuid()) if statements else None
    _put(plane, layer, attrs.evolve(version, policy=policy))
    return {}


async def get_layer_version_policy(plane: Plane, call: Call) -> Mapping[str, Json]:
    """Who may use a layer version."""
    _, version = _version(plane, call)
    if version.policy is None:
        raise AwsFault("ResourceNotFoundException", "No policy is associated with the given resource.", status=404)
    document = {"Version": "2012-10-17", "Id": "default", "Statement": list(version.policy.statements.values())}
    return {"Policy": json.dumps(document, separators=(",", ":")), "RevisionId": version.policy.revision}


def check_usable(plane: Plane, arn: str, *, account: str, region: str) -> None:
    """Refuse another account's layer version that an account may not use in a Region. Raises `AwsFault`."""
    where, owner = arn.split(":")[3:5]
    if owner in (account, ""):  # AWS's own are nobody's; there are none here
        return
    # One in another Region has no policy in this, so it is refused for that. A deleted one keeps its policy.
    version = plane.layer_version(arn, with_deleted=True) if where == region else None
    if version is None or version.policy is None or not _lets_in(version.policy, account):
        raise _denied(account, "GetLayerVersion", arn)


def _lets_in(policy: Policy, account: str) -> bool:
    """Whether a layer version's policy names an account, or everybody.

    An OrganizationId keeps nobody out: which organization an account is in is not known here.
    """
    for statement in policy.statements.values():
        who = statement["Principal"]
        if who == "*" or cast("Mapping[str, str]", who).get("AWS", "").split(":")[4:5] == [account]:
            return True
    return False


def _denied(account: str, action: str, resource: str) -> AwsFault:
    """What IAM answers for a resource of another account that has no policy for it."""
    text = (
        f"User: arn:aws:iam::{account}:root is not authorized to perform: lambda:{action} on resource: {resource} "
        f"because no resource-based policy allows the lambda:{action} action"
    )
    return AwsFault("AccessDeniedException", text, status=403, type=None)


def _check_region(region: str, call: Call) -> None:
    if region != call.region:
        text = f"Layers from '{region}' are not reachable in this region ('{call.region}')"
        raise AwsFault("ResourceNotFoundException", text, status=404)


def _named(call: Call) -> Key:
    """The layer that a LayerName stands for, which may be an ARN."""
    text: str = call.params["LayerName"]
    if not text.startswith("arn:"):
        return call.account, call.region, text
    *_, region, account, _kind, name = text.split(":")
    return account, region, name


def _own(call: Call) -> Key:
    """The layer a call changes or lists: one of the caller's own in this Region. Raises `AwsFault`."""
    account, region, name = _named(call)
    if account != call.account:
        arn, number = layer_arn(account, region, name), call.params.get("VersionNumber")
        raise _denied(call.account, call.operation, arn if number is None else f"{arn}:{number}")
    _check_region(region, call)
    return account, region, name


def _number(call: Call) -> int:
    number: int = call.params["VersionNumber"]
    if number < 1:
        raise invalid("Layer Version Cannot be less than 1")
    return number


def _arn(layer: Layer) -> str:
    return layer_arn(layer.account, layer.region, layer.name)


def _layer(plane: Plane, call: Call) -> Layer | None:
    return plane.store.layers.get(_own(call))


def _read(plane: Plane, call: Call, arn: str) -> Mapping[str, Json]:
    """A layer version as its readers see it. Raises `AwsFault`."""
    *_, region, account, kind, name, _number = arn.split(":")
    if kind != "layer":
        raise resource_missing()  # one of AWS's own
    check_usable(plane, arn, account=call.account, region=call.region)
    _check_region(region, call)
    version = plane.layer_version(arn)
    if version is None:
        raise resource_missing()
    return _with_content(call, Layer(account, region, name), version)


def _version(plane: Plane, call: Call) -> tuple[Layer, LayerVersion]:
    layer = _layer(plane, call)
    number = _number(call)
    version = layer.versions.get(number) if layer is not None else None
    if layer is None or version is None:
        raise resource_missing()
    return layer, version


def _put(plane: Plane, layer: Layer, version: LayerVersion) -> None:
    plane.store.put_layer(attrs.evolve(layer, versions={**layer.versions, version.number: version}))


def _fits(version: LayerVersion, params: Mapping[str, Json]) -> bool:
    runtime, architecture = params.get("CompatibleRuntime"), params.get("CompatibleArchitecture")
    return (runtime is None or runtime in version.runtimes) and (
        architecture is None or architecture in version.architectures
    )


def _item(layer: Layer | None, version: LayerVersion) -> dict[str, Json]:
    assert layer is not None
    answer: dict[str, Json] = {
        "LayerVersionArn": f"{_arn(layer)}:{version.number}",
        "Version": version.number,
        "Description": version.description,
        "CreatedDate": version.created,
    }
    if version.runtimes:
        answer["CompatibleRuntimes"] = list(version.runtimes)
    if version.architectures:
        answer["CompatibleArchitectures"] = list(version.architectures)
    if version.license is not None:
        answer["LicenseInfo"] = version.license
    return answer


def _with_content(call: Call, layer: Layer, version: LayerVersion) -> dict[str, Json]:
    return {
        **_item(layer, version),
        "LayerArn": _arn(layer),
        "Content": {
            "Location": f"{call.endpoint}/_lambdaform/code/{version.code.key}.zip",
            "CodeSha256": version.code.sha256,
            "CodeSize": version.code.size,
        },
    }
