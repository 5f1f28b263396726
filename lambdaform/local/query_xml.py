"""AWS's query protocol: form fields in, XML out. SNS speaks it, and SQS with old clients."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from xml.sax.saxutils import escape

from lambdaform.local.models import Member, Model, Operation, Shape
from lambdaform.local.ports import AwsFault, Json

SQS_NAMES: Mapping[str, str] = {
    "ActionNames": "ActionName",
    "Actions": "ActionName",
    "AWSAccountIds": "AWSAccountId",
    "AttributeNames": "AttributeName",
    "Attributes": "Attribute",
    "MessageAttributeNames": "MessageAttributeName",
    "MessageAttributes": "MessageAttribute",
    "MessageSystemAttributes": "MessageSystemAttribute",
    "MessageSystemAttributeNames": "MessageSystemAttributeName",
    "Messages": "Message",
    "QueueUrls": "QueueUrl",
    "TagKeys": "TagKey",
    "Tags": "Tag",
    "queueUrls": "QueueUrl",
    "SendMessageBatchRequestEntryList": "SendMessageBatchRequestEntry",
    "DeleteMessageBatchRequestEntryList": "DeleteMessageBatchRequestEntry",
    "ChangeMessageVisibilityBatchRequestEntryList": "ChangeMessageVisibilityBatchRequestEntry",
    "SendMessageBatchResultEntryList": "SendMessageBatchResultEntry",
    "DeleteMessageBatchResultEntryList": "DeleteMessageBatchResultEntry",
    "ChangeMessageVisibilityBatchResultEntryList": "ChangeMessageVisibilityBatchResultEntry",
    "BatchResultErrorEntryList": "BatchResultErrorEntry",
}
"""What SQS's query protocol calls its lists and maps, by member or by shape: the model has lost these names since SQS
speaks JSON, but old clients still use them. https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/"""


def parse(model: Model, shape: Shape, form: Mapping[str, str]) -> dict[str, Json]:
    """The parameters of a form, such as `Attributes.entry.1.key=...`, as the shape structures them."""
    return _structure_in(model, shape, form, "")


def answer(
    model: Model, operation: Operation, shape: Shape | None, members: Mapping[str, Json], request_id: str
) -> bytes:
    """The XML document of a result."""
    inner = _structure_out(model, shape, members) if shape is not None else ""
    if operation.result_wrapper or (shape is not None and shape.members):
        wrapper = operation.result_wrapper or f"{operation.name}Result"
        inner = f"<{wrapper}>{inner}</{wrapper}>"
    metadata = f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>"
    name = f"{operation.name}Response"
    return f'<{name} xmlns="{model.xml_namespace}">{inner}{metadata}</{name}>'.encode()


def refuse(model: Model, code: str, fault: AwsFault, request_id: str) -> bytes:
    """The XML document of a fault."""
    side = "Sender" if fault.status < 500 else "Receiver"
    message = "" if fault.message is None else f"<Message>{_escaped(fault.message)}</Message>"
    return (
        f'<ErrorResponse xmlns="{model.xml_namespace}"><Error><Type>{side}</Type><Code>{_escaped(code)}</Code>'
        f"{message}</Error><RequestId>{request_id}</RequestId></ErrorResponse>"
    ).encode()


def _structure_in(model: Model, shape: Shape, form: Mapping[str, str], prefix: str) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for name, member in shape.members.items():
        # A flattened list's own location name names its items, so the member's name is tried as well.
        for wire in dict.fromkeys((_old_name(model, member), member.wire_name, name)):
            value = _value_in(model, member, form, prefix + wire)
            if value is not None:
                found[name] = value
                break
    return found


def _value_in(model: Model, member: Member, form: Mapping[str, str], at: str) -> Json:
    shape = model.shape(member.shape_name)
    match shape.type:
        case "structure":
            return _structure_in(model, shape, form, at + ".") if _has(form, at + ".") else None
        case "list" if shape.item is not None:
            if form.get(at) == "":
                return []
            item_names = dict.fromkeys((shape.item.wire_name, "member"))
            for lead in (*(f"{at}.{item}." for item in item_names), f"{at}."):
                if _has(form, f"{lead}1"):
                    return [_value_in(model, shape.item, form, f"{lead}{n}") for n in _count(form, lead)]
            return None
        case "map" if shape.key is not None and shape.value is not None:
            for lead in (f"{at}.entry.", f"{at}."):
                if not _has(form, f"{lead}1"):
                    continue
                is_sqs = model.service == "sqs"
                key = shape.key.location_name or ("Name" if is_sqs else "key")
                value = shape.value.location_name or ("Value" if is_sqs else "value")
                if is_sqs and member.shape_name == "TagMap":
                    key = "Key"
                return {
                    form.get(f"{lead}{n}.{key}", ""): _value_in(model, shape.value, form, f"{lead}{n}.{value}")
                    for n in _count(form, lead)
                }
            return None
        case _:
            text = form.get(at)
            return None if text is None else _scalar_in(shape, text)


def _old_name(model: Model, member: Member) -> str:
    """A member's name in a form or document: SQS's old one where there is one."""
    if model.service != "sqs":
        return member.wire_name
    return SQS_NAMES.get(member.shape_name) or SQS_NAMES.get(member.name) or member.wire_name


def _scalar_in(shape: Shape, text: str) -> Json:
    try:
        match shape.type:
            case "integer" | "long":
                return int(text)
            case "float" | "double":
                return float(text)
            case "boolean":
                return text.lower() == "true"
            case "blob":
                return base64.b64decode(text)
            case "timestamp":
                return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
            case _:
                return text
    except ValueError as error:
        raise AwsFault("MalformedInput", f"{text} is not valid here") from error


def _has(form: Mapping[str, str], prefix: str) -> bool:
    return any(key.startswith(prefix) for key in form)


def _count(form: Mapping[str, str], lead: str) -> range:
    """The numbers from 1 as far as the form goes on without a gap."""
    last = 1
    while _has(form, f"{lead}{last + 1}.") or f"{lead}{last + 1}" in form:
        last += 1
    return range(1, last + 1)


def _structure_out(model: Model, shape: Shape, members: Mapping[str, Json]) -> str:
    text: list[str] = []
    for name, value in members.items():
        if value is None:
            continue
        member = shape.members.get(name)
        if member is None:
            raise TypeError(f"{model.service} {shape.name} has no member {name}")
        text.append(_element(model, member, _old_name(model, member), value))
    return "".join(text)


def _element(model: Model, member: Member, name: str, value: Json) -> str:
    shape = model.shape(member.shape_name)
    is_flat = shape.is_flattened or member.is_flattened
    match shape.type:
        case "structure":
            return f"<{name}>{_structure_out(model, shape, value)}</{name}>"
        case "list" if shape.item is not None:
            item = shape.item
            item_name = name if is_flat else item.wire_name
            text = "".join(_element(model, item, item_name, element) for element in value)
            return text if is_flat else f"<{name}>{text}</{name}>"
        case "map" if shape.key is not None and shape.value is not None:
            key, inner = shape.key, shape.value
            pairs: Mapping[str, Json] = value
            entry = name if is_flat else "entry"
            key_name, value_name = key.wire_name, inner.wire_name
            if model.service == "sqs":
                key_name, value_name = ("Key" if member.shape_name == "TagMap" else "Name"), "Value"
            text = "".join(
                f"<{entry}>{_element(model, key, key_name, name_in)}"
                f"{_element(model, inner, value_name, element)}</{entry}>"
                for name_in, element in pairs.items()
            )
            return text if is_flat else f"<{name}>{text}</{name}>"
        case _:
            return f"<{name}>{_escaped(_scalar_out(value))}</{name}>"


def _scalar_out(value: Json) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case bytes():
            return base64.b64encode(value).decode()
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case _:
            return str(value)


def _escaped(text: str) -> str:
    return escape(text, {"\r": "&#13;"})
