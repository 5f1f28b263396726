"""Tags of functions, event source mappings and code signing configs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs

from lambdaform.local.lambda_.naming import refer
from lambdaform.local.lambda_.plane import Plane, function_missing, invalid, resource_missing
from lambdaform.local.lambda_.values import SigningConfig
from lambdaform.local.ports import Call, Json

MOST_TAGS = 50


async def tag_resource(plane: Plane, call: Call) -> Mapping[str, Json]:
    """Add tags, or change their values."""
    tags, put = _tags(plane, call)
    merged = {**tags, **call.params["Tags"]}
    check_tags(merged)
    put(merged)
    return {}


def check_tags(tags: Mapping[str, str]) -> None:
    """Refuse tags that AWS keeps for itself, and too many. Raises `AwsFault`.

    https://docs.aws.amazon.com/lambda/latest/dg/configuration-tags.html
    """
    if len(tags) > MOST_TAGS:
        raise invalid("Number of tags exceeds resource tag limit.")
    if any(key.lower().startswith("aws:") for key in tags):
        raise invalid("Tag keys that begin with aws: are reserved for AWS.")


async def untag_resource(plane: Plane, call: Call) -> Mapping[str, Json]:
    """Take tags away."""
    tags, put = _tags(plane, call)
    put({key: value for key, value in tags.items() if key not in call.params["TagKeys"]})
    return {}


async def list_tags(plane: Plane, call: Call) -> Mapping[str, Json]:
    """All tags."""
    return {"Tags": dict(_tags(plane, call)[0])}


def find_config(plane: Plane, call: Call, arn: str) -> SigningConfig | None:
    """A code signing configuration of the caller's account and Region, by its ARN."""
    is_own = arn.split(":")[3:5] == [call.region, call.account]
    return plane.store.signing.get(arn) if is_own else None


def _tags(plane: Plane, call: Call) -> tuple[Mapping[str, str], Callable[[Mapping[str, str]], None]]:
    """The tags of a resource, and how to replace them. Raises `AwsFault`."""
    arn: str = call.params["Resource"]
    store = plane.store
    *_, region, account, resource = arn.split(":", 5)
    kind, _, name = resource.partition(":")
    if kind == "event-source-mapping":
        mapping = store.mappings.get(name)
        own = (call.account, call.region)
        if mapping is None or not own == (account, region) == (mapping.account, mapping.region):
            raise resource_missing()

        def put_mapping(tags: Mapping[str, str]) -> None:
            store.mappings[name] = attrs.evolve(mapping, tags=tags)

        return mapping.tags, put_mapping
    if kind == "code-signing-config":
        config = find_config(plane, call, arn)
        if config is None:
            raise resource_missing()

        def put_config(tags: Mapping[str, str]) -> None:
            store.signing[arn] = attrs.evolve(config, tags=tags)

        return config.tags, put_config
    if kind != "function":
        raise resource_missing()
    reference = refer(arn, None, account=call.account, region=call.region)
    if reference.qualifier is not None:
        raise invalid("Tags on function aliases and versions are not supported. Please specify a function ARN.")
    function = plane.find(reference)
    if function is None:
        raise function_missing(arn)

    def put_function(tags: Mapping[str, str]) -> None:
        store.put(attrs.evolve(function, tags=tags))

    return function.tags, put_function
