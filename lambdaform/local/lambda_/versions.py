"""PublishVersion and ListVersionsByFunction. https://docs.aws.amazon.com/lambda/latest/dg/configuration-versions.html"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from lambdaform.local.lambda_.listing import listing
from lambdaform.local.lambda_.naming import LATEST
from lambdaform.local.lambda_.plane import Plane, check_revision, conflict, invalid
from lambdaform.local.lambda_.values import Function
from lambdaform.local.ports import Call, Json


def publish(plane: Plane, function: Function, description: str | None = None) -> Function:
    """The function with `$LATEST` frozen under the next number; unchanged when nothing changed since the last one."""
    if function.published_generation == function.latest.generation and str(function.last_number) in function.versions:
        return function
    number = str(function.last_number + 1)
    settings = dict(function.latest.settings)
    if description is not None:
        settings["Description"] = description
    version = attrs.evolve(
        function.latest,
        number=number,
        settings=settings,
        revision=plane.ids.uuid(),
        generation=plane.new_generation(),
        state="Pending",
        update=None,
    )
    return attrs.evolve(
        function,
        versions={**function.versions, number: version},
        last_number=int(number),
        published_generation=function.latest.generation,
    )


async def publish_version(plane: Plane, call: Call) -> Mapping[str, Json]:
    """Freeze `$LATEST`; the same code and configuration again gives the version there is."""
    function, qualifier = plane.function(call)
    if qualifier not in (None, LATEST):
        raise invalid("The operation cannot be performed on a published version or an alias.")
    check_revision(call.params.get("RevisionId"), function.latest.revision)
    if function.latest.state == "Pending" or function.latest.update == "InProgress":
        raise conflict(
            f"The operation cannot be performed at this time. An update is in progress for resource: {function.arn}"
        )
    sha, current = call.params.get("CodeSha256"), function.latest.code.sha256
    if sha and sha != current:
        raise invalid(
            f"CodeSHA256 ({sha}) is different from current CodeSHA256 in $LATEST ({current}). "
            "Please try again with the CodeSHA256 in $LATEST."
        )
    published = publish(plane, function, call.params.get("Description"))
    if published is not function:
        plane.store.put(published)
        key = (function.account, function.region, function.name)
        plane.revise(key, lambda now: settled(plane, now, str(published.last_number)))
    return plane.describe(published, published.versions[str(published.last_number)])


def settled(plane: Plane, function: Function, number: str) -> Function:
    """The function with a new version ready."""
    version = function.versions.get(number)
    if version is None or version.state != "Pending" or version.has_snapshot:
        return function
    ready = attrs.evolve(version, state="Active", update="Successful", revision=plane.ids.uuid())
    return attrs.evolve(function, versions={**function.versions, number: ready})


async def list_versions_by_function(plane: Plane, call: Call) -> Mapping[str, Json]:
    """`$LATEST` and every published version, oldest first."""
    function, _ = plane.function(call)
    found: list[Json] = []
    for version in (function.latest, *function.versions.values()):
        shown = plane.describe(function, version, with_state=False)
        if version.number == LATEST:
            shown["FunctionArn"] += f":{LATEST}"
        found.append(shown)
    return listing(call, "Versions", found)
