"""Event source mappings: what exists. Whether a source takes the settings, and the polling, is the pollers' business.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventsourcemapping.html
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from lambdaform.local.event_sources import DEFAULTS, check_change, kind_of, place_of, shown_group, tidied
from lambdaform.local.lambda_.listing import listing
from lambdaform.local.lambda_.naming import Reference, refer
from lambdaform.local.lambda_.plane import Plane, conflict, invalid, resource_missing
from lambdaform.local.lambda_.tags import check_tags
from lambdaform.local.lambda_.values import MappingState, SourceMapping
from lambdaform.local.ports import AwsFault, Call, EventMapping, Json

PAGE = 100

_NOT_SETTINGS = frozenset({"FunctionName", "EventSourceArn", "Enabled", "Tags", "UUID"})


async def create_event_source_mapping(plane: Plane, call: Call) -> Mapping[str, Json]:
    """Map a source to a function; the answer shows it Creating."""
    params = call.params
    source: str = params.get("EventSourceArn", "")
    kind = kind_of(source, params)
    if kind is None:
        raise invalid("Unrecognized event source.")
    function_arn = _function(plane, call)
    plane.pollers.validate(source, {**params, "FunctionName": function_arn}, region=call.region)
    await plane.pollers.check_source(source, region=call.region)
    _check_only(plane, place_of(source, params), function_arn)
    check_tags(params.get("Tags", {}))
    uuid = plane.ids.uuid()
    given = {key: value for key, value in params.items() if key not in _NOT_SETTINGS}
    mapping = SourceMapping(
        uuid=uuid,
        account=call.account,
        region=call.region,
        function_arn=function_arn,
        kind=kind,
        source_arn=source,
        settings=shown_group(kind, tidied(kind, {**DEFAULTS[kind], **given}), uuid),
        state="Creating",
        is_enabled=params.get("Enabled", True),
        modified=plane.clock.now(),
        tags=params.get("Tags", {}),
    )
    return _begin(plane, mapping, mapping)


async def get_event_source_mapping(plane: Plane, call: Call) -> Mapping[str, Json]:
    """One mapping."""
    return _describe(plane, _mapping(plane, call))


async def list_event_source_mappings(plane: Plane, call: Call) -> Mapping[str, Json]:
    """The account's mappings, of one function or source if asked for."""
    source, name = call.params.get("EventSourceArn"), call.params.get("FunctionName")
    wanted = refer(name, None, account=call.account, region=call.region).arn if name else None
    found: list[Json] = [
        _listed(_describe(plane, mapping))
        for mapping in plane.store.mappings.values()
        if (mapping.account, mapping.region) == (call.account, call.region)
        and source in (None, mapping.source_arn)
        and wanted in (None, mapping.function_arn)
    ]
    return listing(call, "EventSourceMappings", found, most=PAGE)


async def update_event_source_mapping(plane: Plane, call: Call) -> Mapping[str, Json]:
    """Change a mapping's settings, function, or whether it is on; the answer shows it Updating, Enabling, Disabling."""
    mapping = _settled(plane, call, "update")
    params = call.params
    given = {key: value for key, value in params.items() if key not in _NOT_SETTINGS}
    check_change(mapping.kind, mapping.settings, given)
    settings = shown_group(mapping.kind, tidied(mapping.kind, {**mapping.settings, **given}), mapping.uuid)
    function_arn = _function(plane, call) if "FunctionName" in params else mapping.function_arn
    checked = {key: value for key, value in settings.items() if value != DEFAULTS[mapping.kind].get(key)}
    plane.pollers.validate(
        mapping.source_arn, {**checked, **given, "FunctionName": function_arn}, region=mapping.region
    )
    if function_arn != mapping.function_arn:
        _check_only(plane, place_of(mapping.source_arn, settings), function_arn)
    changed = attrs.evolve(
        mapping,
        function_arn=function_arn,
        settings=settings,
        is_enabled=params.get("Enabled", mapping.is_enabled),
        modified=plane.clock.now(),
    )
    state: MappingState = "Updating"
    if changed.is_enabled != mapping.is_enabled:
        state = "Enabling" if changed.is_enabled else "Disabling"
    # A stream's mapping shows its new settings when they hold.
    shown = changed if mapping.kind == "sqs" else attrs.evolve(mapping, modified=changed.modified)
    return _begin(plane, attrs.evolve(shown, state=state), changed)


async def delete_event_source_mapping(plane: Plane, call: Call) -> Mapping[str, Json]:
    """Stop polling; the answer shows the mapping Deleting."""
    mapping = attrs.evolve(_settled(plane, call, "delete"), state="Deleting", modified=plane.clock.now())
    plane.pollers.stop(mapping.uuid)
    return _begin(plane, mapping, None)


def _begin(plane: Plane, shown: SourceMapping, mapping: SourceMapping | None) -> Mapping[str, Json]:
    """Show a mapping in transition, and let it become `mapping` (nothing: be gone) when that has settled."""
    plane.store.mappings[shown.uuid] = shown

    def settled() -> None:
        if plane.store.mappings.get(shown.uuid) is not shown:
            return
        if mapping is None:
            del plane.store.mappings[shown.uuid]
            plane.pollers.forget(shown.uuid)
            return
        state: MappingState = "Enabled" if mapping.is_enabled else "Disabled"
        plane.store.mappings[mapping.uuid] = attrs.evolve(mapping, state=state)
        plane.pollers.start(
            EventMapping(
                uuid=mapping.uuid,
                region=mapping.region,
                account=mapping.account,
                function_arn=mapping.function_arn,
                source_arn=mapping.source_arn,
                settings={**mapping.settings, "Enabled": mapping.is_enabled},
            )
        )

    plane.once_settled(settled)
    return _describe(plane, shown)


def _settled(plane: Plane, call: Call, verb: str) -> SourceMapping:
    """A mapping that may be changed now. Raises `AwsFault` while it is in transition."""
    mapping = _mapping(plane, call)
    if mapping.state not in ("Enabled", "Disabled"):
        text = f"Cannot {verb} the event source mapping because it is in use."
        raise AwsFault("ResourceInUseException", text)
    return mapping


def _function(plane: Plane, call: Call) -> str:
    """The ARN of the function a mapping is to feed, qualified as given. Raises `AwsFault`."""
    reference: Reference = refer(call.params["FunctionName"], None, account=call.account, region=call.region)
    function = plane.find(reference)
    if function is None:
        raise invalid("Function does not exist")
    if plane.resolve(function, reference.qualifier).is_per_tenant:
        raise invalid("Event source mappings are not supported for functions with tenant isolation.")
    return reference.arn


def _mapping(plane: Plane, call: Call) -> SourceMapping:
    mapping = plane.store.mappings.get(call.params["UUID"])
    if mapping is None or (mapping.account, mapping.region) != (call.account, call.region):
        raise resource_missing()
    return mapping


def _listed(described: dict[str, Json]) -> dict[str, Json]:
    """Filters that a key encrypts are shown one mapping at a time."""
    if described.get("KMSKeyArn"):
        described.pop("FilterCriteria", None)
    return described


def _check_only(plane: Plane, place: tuple[object, ...], function_arn: str) -> None:
    """Raise `AwsFault` 409 when there is a mapping of what is read to a function already."""
    for other in plane.store.mappings.values():
        if place_of(other.source_arn, other.settings) == place and other.function_arn == function_arn:
            raise conflict(_duplicate(other))


def _duplicate(other: SourceMapping) -> str:
    tail = f"Please update or delete the existing mapping with UUID {other.uuid}"
    function = other.function_arn.split(":")[6]
    if other.kind == "sqs":
        return (
            f'An event source mapping with SQS arn (" {other.source_arn} ") and function (" {function} ") '
            f"already exists. {tail}"
        )
    return (
        f'The event source arn (" {other.source_arn} ") and function (" {function} ") '
        f"provided mapping already exists. {tail}"
    )


def _describe(plane: Plane, mapping: SourceMapping) -> dict[str, Json]:
    is_stream = mapping.kind in ("kinesis", "dynamodb")
    lead = f"arn:aws:lambda:{mapping.region}:{mapping.account}:event-source-mapping"
    answer: dict[str, Json] = {
        **mapping.settings,
        "UUID": mapping.uuid,
        **({"EventSourceArn": mapping.source_arn} if mapping.source_arn else {}),
        "FunctionArn": mapping.function_arn,
        "State": mapping.state,
        "StateTransitionReason": "User action" if is_stream else "USER_INITIATED",
        "LastModified": mapping.modified,
        "EventSourceMappingArn": f"{lead}:{mapping.uuid}",
    }
    if mapping.kind != "sqs":
        answer["LastProcessingResult"] = plane.pollers.last_result(mapping.uuid) or "No records processed"
    return answer
