"""Function URL configs. https://docs.aws.amazon.com/lambda/latest/dg/urls-configuration.html

The URL in answers is a path of this local AWS, because hosts under `localhost` do not resolve with every resolver
(glibc knows `localhost` alone). The host form, `<id>.lambda-url.<region>.localhost`, is answered as well.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from lambdaform.local.lambda_.listing import listing
from lambdaform.local.lambda_.naming import LATEST, is_version
from lambdaform.local.lambda_.plane import Plane, conflict, invalid, resource_missing
from lambdaform.local.lambda_.values import Function, UrlConfig
from lambdaform.local.ports import AwsFault, Call, Json


async def create_function_url_config(plane: Plane, call: Call) -> Mapping[str, Json]:
    """Give a function or an alias a URL."""
    reference = plane.refer(call)
    function = plane.find(reference)
    if function is None:
        raise AwsFault("ResourceNotFoundException", "Function does not exist", status=404)
    qualifier = _qualifier(function, reference.qualifier)
    if function.latest.is_per_tenant:
        raise invalid("Function URLs are not supported for functions with tenant isolation.")
    if qualifier in function.urls:
        arn = f"{function.arn}:{qualifier}" if qualifier else function.arn
        raise conflict(
            f"Failed to create function url config for [functionArn = {arn}]. "
            "Error message:  FunctionUrlConfig exists for this Lambda function"
        )
    config = UrlConfig(
        id=plane.ids.hex(32),
        auth_type=call.params["AuthType"],
        cors=call.params.get("Cors"),
        invoke_mode=call.params.get("InvokeMode"),
        created=_iso(plane),
        modified=_iso(plane),
    )
    plane.store.put(attrs.evolve(function, urls={**function.urls, qualifier: config}))
    answer = describe(plane, function, qualifier, config)
    if config.invoke_mode is None:
        del answer["InvokeMode"]
    del answer["LastModifiedTime"]
    return answer


async def get_function_url_config(plane: Plane, call: Call) -> Mapping[str, Json]:
    """The URL of a function or alias."""
    function, qualifier, config = _existing(plane, call)
    return describe(plane, function, qualifier, config)


async def update_function_url_config(plane: Plane, call: Call) -> Mapping[str, Json]:
    """Change what is given."""
    function, qualifier, config = _existing(plane, call)
    changed = attrs.evolve(
        config,
        auth_type=call.params.get("AuthType", config.auth_type),
        cors=(call.params["Cors"] or None) if "Cors" in call.params else config.cors,
        invoke_mode=call.params.get("InvokeMode", config.invoke_mode),
        modified=_iso(plane),
    )
    plane.store.put(attrs.evolve(function, urls={**function.urls, qualifier: changed}))
    return describe(plane, function, qualifier, changed)


async def delete_function_url_config(plane: Plane, call: Call) -> Mapping[str, Json]:
    """Remove the URL; the policy's statements stay."""
    function, qualifier, _ = _existing(plane, call)
    rest = {key: value for key, value in function.urls.items() if key != qualifier}
    plane.store.put(attrs.evolve(function, urls=rest))
    return {}


async def list_function_url_configs(plane: Plane, call: Call) -> Mapping[str, Json]:
    """All URLs of a function."""
    function = plane.find(plane.refer(call))
    if function is None:
        raise resource_missing()
    found: list[Json] = [describe(plane, function, each, config) for each, config in sorted(function.urls.items())]
    return listing(call, "FunctionUrlConfigs", found)


def url(plane: Plane, config: UrlConfig) -> str:
    """Where a function URL is called."""
    return f"{plane.address()}/_lambdaform/url/{config.id}/"


def describe(plane: Plane, function: Function, qualifier: str, config: UrlConfig) -> dict[str, Json]:
    """The FunctionUrlConfig."""
    answer: dict[str, Json] = {
        "FunctionUrl": url(plane, config),
        "FunctionArn": f"{function.arn}:{qualifier}" if qualifier else function.arn,
        "AuthType": config.auth_type,
        "CreationTime": config.created,
        "LastModifiedTime": config.modified,
        "InvokeMode": config.invoke_mode or "BUFFERED",
    }
    if config.cors is not None:
        answer["Cors"] = config.cors
    return answer


def _iso(plane: Plane) -> str:
    return plane.stamp().replace("+0000", "Z")


def _qualifier(function: Function, qualifier: str | None) -> str:
    """The alias, or nothing for `$LATEST`. Raises `AwsFault` 404 for an alias that is missing."""
    if qualifier is None or qualifier == LATEST:
        return ""
    if is_version(qualifier) or qualifier not in function.aliases:
        raise resource_missing()
    return qualifier


def _existing(plane: Plane, call: Call) -> tuple[Function, str, UrlConfig]:
    reference = plane.refer(call)
    function = plane.find(reference)
    qualifier = reference.qualifier or ""
    config = function.urls.get(qualifier) if function is not None else None
    if function is None or config is None:
        raise resource_missing()
    return function, qualifier, config
