"""Code signing configurations: kept and handed back. Signatures are not checked here; the fidelity list says so."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from lambdaform.local.lambda_.listing import listing
from lambdaform.local.lambda_.plane import Plane, conflict, invalid
from lambdaform.local.lambda_.tags import check_tags, find_config
from lambdaform.local.lambda_.values import SigningConfig
from lambdaform.local.ports import AwsFault, Call, Json


async def create_code_signing_config(plane: Plane, call: Call) -> Mapping[str, Json]:
    """A new configuration."""
    id_ = f"csc-{plane.ids.hex(17)}"
    check_tags(call.params.get("Tags", {}))
    config = SigningConfig(
        id=id_,
        arn=f"arn:aws:lambda:{call.region}:{call.account}:code-signing-config:{id_}",
        description=call.params.get("Description", ""),
        publishers=call.params["AllowedPublishers"]["SigningProfileVersionArns"],
        untrusted=call.params.get("CodeSigningPolicies", {}).get("UntrustedArtifactOnDeployment", "Warn"),
        modified=plane.stamp(),
        tags=call.params.get("Tags", {}),
    )
    plane.store.signing[config.arn] = config
    return {"CodeSigningConfig": _describe(config)}


async def get_code_signing_config(plane: Plane, call: Call) -> Mapping[str, Json]:
    """One configuration."""
    return {"CodeSigningConfig": _describe(_config(plane, call))}


async def list_code_signing_configs(plane: Plane, call: Call) -> Mapping[str, Json]:
    """All of the account's in this Region."""
    lead = f"arn:aws:lambda:{call.region}:{call.account}:"
    found: list[Json] = [_describe(each) for arn, each in plane.store.signing.items() if arn.startswith(lead)]
    return listing(call, "CodeSigningConfigs", found)


async def update_code_signing_config(plane: Plane, call: Call) -> Mapping[str, Json]:
    """Change what is given."""
    config, params = _config(plane, call), call.params
    publishers = params.get("AllowedPublishers", {}).get("SigningProfileVersionArns", config.publishers)
    changed = attrs.evolve(
        config,
        description=params.get("Description", config.description),
        publishers=publishers,
        untrusted=params.get("CodeSigningPolicies", {}).get("UntrustedArtifactOnDeployment", config.untrusted),
        modified=plane.stamp(),
    )
    plane.store.signing[config.arn] = changed
    return {"CodeSigningConfig": _describe(changed)}


async def delete_code_signing_config(plane: Plane, call: Call) -> Mapping[str, Json]:
    """Delete one that no function uses."""
    config = _config(plane, call)
    if any(function.signing_config == config.arn for function in plane.store.functions.values()):
        raise conflict(f"Cannot delete the code signing config {config.arn}: it is used by functions.")
    del plane.store.signing[config.arn]
    return {}


async def list_functions_by_code_signing_config(plane: Plane, call: Call) -> Mapping[str, Json]:
    """The functions that use a configuration."""
    config = _config(plane, call)
    found: list[Json] = [each.arn for each in plane.store.functions.values() if each.signing_config == config.arn]
    return listing(call, "FunctionArns", found)


async def put_function_code_signing_config(plane: Plane, call: Call) -> Mapping[str, Json]:
    """Attach a configuration to a function."""
    function, _ = plane.function(call)
    config = check_attached(plane, call, function.latest.settings["PackageType"])
    plane.store.put(attrs.evolve(function, signing_config=config.arn))
    return {"CodeSigningConfigArn": config.arn, "FunctionName": function.name}


async def get_function_code_signing_config(plane: Plane, call: Call) -> Mapping[str, Json]:
    """The function's configuration; nothing when it has none."""
    function, _ = plane.function(call)
    _check_package(function.latest.settings["PackageType"])
    if function.signing_config is None:
        return {}
    return {"CodeSigningConfigArn": function.signing_config, "FunctionName": function.name}


async def delete_function_code_signing_config(plane: Plane, call: Call) -> Mapping[str, Json]:
    """Detach it."""
    function, _ = plane.function(call)
    plane.store.put(attrs.evolve(function, signing_config=None))
    return {}


def check_attached(plane: Plane, call: Call, package: str) -> SigningConfig:
    """The configuration that a function of a package type is to have. Raises `AwsFault`."""
    _check_package(package)
    config = find_config(plane, call, call.params["CodeSigningConfigArn"])
    if config is None:
        text = (
            "The code signing configuration cannot be found. "
            f"Check that the provided configuration is not deleted: {call.params['CodeSigningConfigArn']}."
        )
        raise AwsFault("CodeSigningConfigNotFoundException", text, status=404)
    return config


def _check_package(package: str) -> None:
    if package == "Image":
        raise invalid("Code signing is not supported for functions created with container images.")


def _config(plane: Plane, call: Call) -> SigningConfig:
    arn: str = call.params["CodeSigningConfigArn"]
    config = find_config(plane, call, arn)
    if config is None:
        text = f"The Lambda code signing configuration {arn} can not be found."
        raise AwsFault("ResourceNotFoundException", text, status=404)
    return config


def _describe(config: SigningConfig) -> dict[str, Json]:
    return {
        "CodeSigningConfigId": config.id,
        "CodeSigningConfigArn": config.arn,
        "Description": config.description,
        "AllowedPublishers": {"SigningProfileVersionArns": list(config.publishers)},
        "CodeSigningPolicies": {"UntrustedArtifactOnDeployment": config.untrusted},
        "LastModified": config.modified,
    }
