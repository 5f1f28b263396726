"""Resources as a driver gets them, without an engine: props encoded by the graph, references replaced by plain text."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from lambdaform.model.code import Package
from lambdaform.model.driver import ADDRESS_TAG, STACK_TAG, STAGE_TAG, Desired, Record
from lambdaform.model.graph import GraphBuilder
from lambdaform.model.resource import Resource

ACCOUNT = "123456789012"
REGION = "eu-central-1"


def package(folder: Path, content: str = "def handler(event, context):\n    return event\n") -> Package:
    """A zip with one file, `app.py`."""
    digest = hashlib.sha256(content.encode()).hexdigest()
    archive = folder / f"{digest[:12]}.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr(zipfile.ZipInfo("app.py"), content)
    return Package(hash=digest, files=(), unzipped=len(content), archive=archive)


def desired(resource: Resource, name: str = "thing", *, package: Package | None = None) -> Desired:
    """What the engine would hand to the driver of `resource`, whose inputs are all plain values."""
    graph = GraphBuilder("shop", "dev", REGION).build({name: resource})
    node = graph.nodes[f"{resource.kind}.{name}"]
    props = cast(dict[str, Any], _plain(node.props))
    own = {STACK_TAG: "shop", STAGE_TAG: "dev", ADDRESS_TAG: node.address}
    return Desired(
        address=node.address,
        kind=node.kind,
        physical_name=(node.physical_name or node.name).replace("{account}", ACCOUNT),
        props=props,
        tags={**own, **props.get("tags", {})},
        package=package,
    )


def record(wanted: Desired, outputs: Mapping[str, Any]) -> Record:
    """What the engine would remember after a create or update."""
    return Record(
        address=wanted.address,
        kind=wanted.kind,
        physical_name=wanted.physical_name,
        declared=wanted.props,
        props=wanted.props,
        outputs=outputs,
        package=wanted.package.hash if wanted.package else None,
    )


def changes(before: Desired, after: Desired) -> frozenset[str]:
    """The names of the props that differ, and `code` when the archive does."""
    names = {*before.props, *after.props}
    changed = {name for name in names if before.props.get(name) != after.props.get(name)}
    if before.package is not None and after.package is not None and before.package.hash != after.package.hash:
        changed.add("code")
    return frozenset(changed)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        mapping = cast(dict[str, Any], value)
        if set(mapping) == {"@existing"}:
            from lambdaform.resources.catalog import class_of

            kind, arn, output = mapping["@existing"]
            return class_of(kind).outputs_of_arn(_plain(arn))[output]
        if set(mapping) == {"@pseudo"}:
            return {"account": ACCOUNT, "region": REGION, "partition": "aws"}[mapping["@pseudo"]]
        if set(mapping) == {"@text"}:
            template, parts = mapping["@text"]
            return str(template).format(*(_plain(part) for part in parts))
        return {key: _plain(each) for key, each in mapping.items()}
    if isinstance(value, list):
        return [_plain(each) for each in cast(list[Any], value)]
    return value
