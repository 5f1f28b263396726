"""Versions with SnapStart: each stays Pending until a snapshot of an initialised environment is made, or cannot be.

https://docs.aws.amazon.com/lambda/latest/dg/snapstart.html. What a snapshot is here, and how environments come out of
it, is told in `snapshots.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from lambdaform.local.lambda_ import functions, versions
from lambdaform.local.lambda_.blueprints import Blueprints, why_not_run
from lambdaform.local.lambda_.endings import Turn
from lambdaform.local.lambda_.plane import Plane
from lambdaform.local.lambda_.targets import key_of
from lambdaform.local.lambda_.values import Function, Version
from lambdaform.local.ports import AwsFault, Call, Json

REASONS: Mapping[Turn, str] = {
    "timeout": "the initialization did not end in time",
    "out-of-memory": "the initialization took more memory than the function has",
    "unstartable": "the runtime could not be started",
    "exited": "the runtime ended",
}
"""Why there is no snapshot. AWS does not publish its wording."""


async def create_function(plane: Plane, blueprints: Blueprints, call: Call) -> Mapping[str, Json]:
    """Make a function, and the snapshot of its first version where that is published with it."""
    answer = await functions.create_function(plane, call)
    _begin(plane, blueprints, call)
    return answer


async def update_function_code(plane: Plane, blueprints: Blueprints, call: Call) -> Mapping[str, Json]:
    """New code for `$LATEST`, and the snapshot of a version that is published with it."""
    answer = await functions.update_function_code(plane, call)
    if not call.params.get("DryRun"):
        _begin(plane, blueprints, call)
    return answer


async def publish_version(plane: Plane, blueprints: Blueprints, call: Call) -> Mapping[str, Json]:
    """Freeze `$LATEST`, and make the snapshot of a new version."""
    answer = await versions.publish_version(plane, call)
    _begin(plane, blueprints, call)
    return answer


def take_all(plane: Plane, blueprints: Blueprints) -> None:
    """Make the snapshots that versions still wait for: those under way do not outlive a restored checkpoint."""
    for function in list(plane.store.functions.values()):
        _take_pending(plane, blueprints, function)


def _begin(plane: Plane, blueprints: Blueprints, call: Call) -> None:
    function, _ = plane.function(call)
    _take_pending(plane, blueprints, function)


def _take_pending(plane: Plane, blueprints: Blueprints, function: Function) -> None:
    """Make the snapshots that versions wait for, in the background. One that is being made is not made twice."""
    for version in function.versions.values():
        if version.state == "Pending" and version.has_snapshot:
            plane.clock.run(_take(plane, blueprints, function, version))


async def _take(plane: Plane, blueprints: Blueprints, function: Function, version: Version) -> None:
    """Make a version's snapshot, then say how that went."""
    if plane.settle_after > 0:
        await plane.clock.sleep(plane.settle_after)
    failure: str | None = None
    if why_not_run(version) is None:  # else that is said by whoever invokes it
        try:
            blueprint = await blueprints.of(function, version)
            failed = await plane.fleet.take_snapshot(key_of(function, version), blueprint)
            if failed is not None:
                failure = failed.said or REASONS.get(failed.turn, "the function's initialization failed")
        except (AwsFault, OSError) as error:
            failure = str(error)

    def change(now: Function) -> Function:
        current = now.versions.get(version.number)
        if current is None or current.generation != version.generation or current.state != "Pending":
            return now
        if failure is None:
            done = attrs.evolve(current, state="Active", update="Successful")
        else:
            done = attrs.evolve(
                current,
                state="Failed",
                update="Failed",
                reason=f"The snapshot could not be created, see the function's log: {failure}",
                reason_code="FunctionError",
            )
        revised = attrs.evolve(done, revision=plane.ids.uuid())
        return attrs.evolve(now, versions={**now.versions, version.number: revised})

    plane.store.change((function.account, function.region, function.name), change)
