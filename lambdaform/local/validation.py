"""The constraints of AWS's models checked on a request's parameters, worded as AWS words them.

A constraint that a service checks by itself with other words (Lambda's runtimes) is left to that service.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from lambdaform.local.models import Model, Shape
from lambdaform.local.ports import AwsFault, Json

_CODES: Mapping[str, str] = {"logs": "InvalidParameterException", "sns": "ValidationError"}
_LEFT_TO_THE_SERVICE = frozenset({("lambda", "Runtime")})
"""Lambda answers `InvalidParameterValueException` for an unknown runtime: its own check, after the model's."""


def check(model: Model, shape_name: str, params: Mapping[str, Json]) -> None:
    """Raise the service's validation fault, naming every violation at once, when `params` break the model."""
    violations = list(_structure(model, model.shape(shape_name), params, ""))
    if not violations:
        return
    if model.service == "sqs":
        # SQS words a missing parameter its own way and checks the rest itself.
        missing = next((name for name in model.shape(shape_name).required if name not in params), None)
        if missing is None:
            return
        raise AwsFault("MissingParameter", f"The request must contain the parameter {missing}.")
    plural = "error" if len(violations) == 1 else "errors"
    text = f"{len(violations)} validation {plural} detected: " + "; ".join(violations)
    # AWS's model layer answers without a `Type`.
    raise AwsFault(_CODES.get(model.service, "ValidationException"), text, type=None)


def _structure(model: Model, shape: Shape, value: Mapping[str, Json], path: str) -> Iterator[str]:
    for name, member in shape.members.items():
        if name in value:
            inner = model.shape(member.shape_name)
            if not inner.is_free:
                where = f"{path}.{_camel(name)}" if path else _camel(name)
                yield from _value(model, inner, value[name], where)
        elif name in shape.required and not member.is_idempotency_token:
            where = f"{path}.{_camel(name)}" if path else _camel(name)
            yield f"Value null at '{where}' failed to satisfy constraint: Member must not be null"


def _value(model: Model, shape: Shape, value: Json, path: str) -> Iterator[str]:
    for constraint in _violated(model, shape, value):
        shown = "Value" if shape.is_sensitive else f"Value '{_shown(value)}'"
        yield f"{shown} at '{path}' failed to satisfy constraint: {constraint}"
    if shape.type == "structure":
        yield from _structure(model, shape, value, path)
    elif shape.type == "list" and shape.item is not None:
        item = model.shape(shape.item.shape_name)
        if item.type in ("structure", "list", "map"):
            for number, element in enumerate(value, 1):
                yield from _value(model, item, element, f"{path}.{number}.member")
    elif shape.type == "map" and shape.value is not None:
        inner = model.shape(shape.value.shape_name)
        if inner.type in ("structure", "list", "map"):
            for key, element in value.items():
                yield from _value(model, inner, element, f"{path}.{key}.member")


def _violated(model: Model, shape: Shape, value: Json) -> Iterator[str]:
    if (model.service, shape.name) in _LEFT_TO_THE_SERVICE:
        return
    match shape.type:
        case "string" | "blob" | "list" | "map":
            if shape.minimum is not None and len(value) < shape.minimum:
                yield f"Member must have length greater than or equal to {shape.minimum}"
            if shape.maximum is not None and len(value) > shape.maximum:
                yield f"Member must have length less than or equal to {shape.maximum}"
        case "integer" | "long" | "float" | "double":
            if shape.minimum is not None and value < shape.minimum:
                yield f"Member must have value greater than or equal to {shape.minimum}"
            if shape.maximum is not None and value > shape.maximum:
                yield f"Member must have value less than or equal to {shape.maximum}"
        case _:
            pass
    if shape.type == "string":
        if shape.enum and value not in shape.enum:
            yield f"Member must satisfy enum value set: [{', '.join(shape.enum)}]"
        if shape.regex is not None and shape.regex.fullmatch(value) is None:
            yield f"Member must satisfy regular expression pattern: {shape.pattern}"
    if shape.type == "list" and shape.item is not None:
        yield from _nested(model, shape.item.shape_name, value, "Member must satisfy constraint")
    if shape.type == "map" and shape.key is not None and shape.value is not None:
        yield from _nested(model, shape.key.shape_name, value, "Map keys must satisfy constraint")
        yield from _nested(model, shape.value.shape_name, list(value.values()), "Map value must satisfy constraint")


def _nested(model: Model, shape_name: str, values: Sequence[Json] | Mapping[str, Json], lead: str) -> Iterator[str]:
    """A collection of scalars is refused as a whole, with every constraint of its items."""
    shape = model.shape(shape_name)
    if shape.type not in ("string", "integer", "long"):
        return
    if any(next(_violated(model, shape, value), None) is not None for value in values):
        yield f"{lead}: [{', '.join([*_constraints(shape), 'Member must not be null'])}]"


def _constraints(shape: Shape) -> Iterator[str]:
    noun = "length" if shape.type == "string" else "value"
    if shape.maximum is not None:
        yield f"Member must have {noun} less than or equal to {shape.maximum}"
    if shape.minimum is not None:
        yield f"Member must have {noun} greater than or equal to {shape.minimum}"
    if shape.pattern is not None:
        yield f"Member must satisfy regular expression pattern: {shape.pattern}"
    if shape.enum:
        yield f"Member must satisfy enum value set: [{', '.join(shape.enum)}]"


def _camel(name: str) -> str:
    return name[:1].lower() + name[1:]


def _shown(value: Json) -> str:
    """A value as Java prints it, which is what AWS's answers show."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return f"java.nio.HeapByteBuffer[pos=0 lim={len(value)} cap={len(value)}]"
    if isinstance(value, Mapping):
        pairs = cast("Mapping[str, Json]", value)
        return "{" + ", ".join(f"{key}={_shown(item)}" for key, item in pairs.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_shown(item) for item in cast("list[Json]", value)) + "]"
    return str(value)
