"""Messages on their way in and out: what AWS takes, its MD5 digests, its receipt handles."""

from __future__ import annotations

import base64
import hashlib
import re
import struct
from collections.abc import Iterable, Mapping
from typing import Any, cast

import attrs

from lambdaform.local.sqs.faults import fault, invalid_handle, invalid_parameter, missing_parameter
from lambdaform.local.sqs.rules import Draft
from lambdaform.local.sqs.values import SENDER, Attribute, Message, Queue

MAX_ATTRIBUTES = 10

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ATTRIBUTE_NAME = re.compile(r"(?!\.)(?!(?i:aws|amazon)\.)(?!.*\.\.)[A-Za-z0-9_.-]{1,256}(?<!\.)")
_TYPE = re.compile(r"(String|Number|Binary)(\..+)?")
_FIFO_ID = re.compile(r"[A-Za-z0-9!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]{1,128}")


def attributes_of(params: Mapping[str, Any]) -> dict[str, Attribute]:
    """The message attributes of a request, checked."""
    given = cast(Mapping[str, Mapping[str, Any]], params.get("MessageAttributes") or {})
    if len(given) > MAX_ATTRIBUTES:
        raise fault(
            "InvalidParameterValueException",
            f"Number of message attributes [{len(given)}] exceeds the allowed maximum [{MAX_ATTRIBUTES}].",
        )
    return {name: _attribute(name, value) for name, value in given.items()}


def _attribute(name: str, value: Mapping[str, Any]) -> Attribute:
    if not _ATTRIBUTE_NAME.fullmatch(name):
        raise fault("InvalidParameterValueException", f"Message (user) attribute name '{name}' is invalid.")
    kind = str(value.get("DataType") or "")
    if not kind:
        raise fault("InvalidParameterValueException", f"The message attribute '{name}' must contain a non-empty type.")
    if not _TYPE.fullmatch(kind) or len(kind) > 256:
        raise fault(
            "InvalidParameterValueException",
            f"The message attribute '{name}' has an invalid message attribute type, "
            "the set of supported type prefixes is Binary, Number, and String.",
        )
    field = "BinaryValue" if kind.startswith("Binary") else "StringValue"
    content: str | bytes | None = value.get(field)
    if not content:
        raise fault(
            "InvalidParameterValueException",
            f"The message attribute '{name}' must contain a non-empty message attribute value for message "
            f"attribute type '{kind}'.",
        )
    if kind.startswith("Number") and not _is_number(str(content)):
        raise fault(
            "InvalidParameterValueException",
            f"Can't cast the value of message (user) attribute '{name}' to a number.",
        )
    if isinstance(content, str) and _FORBIDDEN.search(content):
        raise _forbidden()
    return Attribute(kind, content)


def draft(queue: Queue, params: Mapping[str, Any]) -> Draft:
    """The message a request sends, checked against its queue (its size apart)."""
    body = str(params.get("MessageBody") or "")
    if not body:
        raise missing_parameter("MessageBody")
    if _FORBIDDEN.search(body):
        raise _forbidden()
    attributes = attributes_of(params)
    delay = cast(int | None, params.get("DelaySeconds"))
    group = cast(str | None, params.get("MessageGroupId"))
    deduplication = cast(str | None, params.get("MessageDeduplicationId"))
    if delay is not None and not 0 <= delay <= 900:
        raise invalid_parameter("DelaySeconds", delay, "DelaySeconds must be >= 0 and <= 900.")
    if group is not None and not _FIFO_ID.fullmatch(group):
        raise _bad_fifo_id("MessageGroupId", group)
    if queue.is_fifo:
        if group is None:
            raise missing_parameter("MessageGroupId")
        if delay is not None and delay != queue.seconds("DelaySeconds"):
            reason = "The request include parameter that is not valid for this queue type."
            raise invalid_parameter("DelaySeconds", delay, reason)
        if deduplication is None and queue.attributes.get("ContentBasedDeduplication") != "true":
            raise fault(
                "InvalidParameterValueException",
                "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId "
                "provided explicitly",
            )
        if deduplication is not None and not _FIFO_ID.fullmatch(deduplication):
            raise _bad_fifo_id("MessageDeduplicationId", deduplication)
        delay = None
    elif deduplication is not None:
        reason = "The request includes a parameter that is not valid for this queue type."
        raise invalid_parameter("MessageDeduplicationId", deduplication, reason)
    return Draft(
        body=body,
        attributes=attributes,
        delay=delay,
        group=group,
        deduplication=deduplication,
        trace=_trace(params),
    )


def _trace(params: Mapping[str, Any]) -> str | None:
    system = cast(Mapping[str, Mapping[str, Any]], params.get("MessageSystemAttributes") or {})
    for name, value in system.items():
        if name != "AWSTraceHeader" or value.get("DataType") != "String":
            raise fault("InvalidParameterValueException", f"Message system attribute name '{name}' is invalid.")
        return str(value.get("StringValue") or "")
    return None


def size(message: Draft) -> int:
    """How many bytes a message counts: its body and the names, types and values of its attributes."""
    return len(message.body.encode()) + sum(
        len(name.encode()) + len(attribute.type.encode()) + len(_content(attribute))
        for name, attribute in message.attributes.items()
    )


def check_size(queue: Queue, message: Draft) -> None:
    """Refuse a message longer than its queue takes."""
    limit = queue.seconds("MaximumMessageSize")
    if size(message) > limit:
        raise fault(
            "InvalidParameterValueException",
            f"One or more parameters are invalid. Reason: Message must be shorter than {limit} bytes.",
        )


def digest(text: str) -> str:
    """The MD5 digest of a message body."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def attributes_digest(attributes: Mapping[str, Attribute]) -> str | None:
    """The MD5 digest of message attributes, None when there are none.

    Sorted by name; name, type and value each with their length before them, a byte for text or binary before the value.
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html
    """
    if not attributes:
        return None
    whole = hashlib.md5(usedforsecurity=False)
    for name, attribute in sorted(attributes.items()):
        content = _content(attribute)
        whole.update(_sized(name.encode()) + _sized(attribute.type.encode()))
        whole.update((b"\x02" if isinstance(attribute.value, bytes) else b"\x01") + _sized(content))
    return whole.hexdigest()


@attrs.frozen
class Handle:
    """What a receipt handle says."""

    queue_arn: str
    message_id: str
    token: str


def handle_text(handle: Handle) -> str:
    """A receipt handle as its reader sees it."""
    return base64.b64encode(f"{handle.queue_arn} {handle.message_id} {handle.token}".encode()).decode()


def parse_handle(text: str) -> Handle:
    """What a reader's receipt handle says; raises `ReceiptHandleIsInvalid`."""
    try:
        arn, message_id, token = base64.b64decode(text, validate=True).decode().split(" ")
    except ValueError as error:
        raise invalid_handle(text) from error
    return Handle(arn, message_id, token)


def system_attributes(message: Message) -> dict[str, str]:
    """Everything AWS says about a message beside its content, as texts."""
    optional = {
        "MessageGroupId": message.group,
        "MessageDeduplicationId": message.deduplication,
        "SequenceNumber": message.sequence,
        "AWSTraceHeader": message.trace,
        "DeadLetterQueueSourceArn": message.source_arn,
    }
    first = message.first_received
    return {
        "SenderId": SENDER,
        "SentTimestamp": str(int(message.sent * 1000)),
        "ApproximateReceiveCount": str(message.receives),
        **({} if first is None else {"ApproximateFirstReceiveTimestamp": str(int(first * 1000))}),
        **{name: value for name, value in optional.items() if value is not None},
    }


def selected(attributes: Mapping[str, Attribute], names: Iterable[str]) -> dict[str, Attribute]:
    """The message attributes a reader asked for: by name, by `prefix.*`, or `All`."""
    wanted = list(names)
    if "All" in wanted or ".*" in wanted:
        return dict(attributes)
    prefixes = tuple(name.removesuffix("*") for name in wanted if name.endswith(".*"))
    return {
        name: attribute
        for name, attribute in attributes.items()
        if name in wanted or (prefixes and name.startswith(prefixes))
    }


def attribute_members(attribute: Attribute) -> dict[str, str | bytes]:
    """An attribute as the members of AWS's MessageAttributeValue."""
    field = "BinaryValue" if isinstance(attribute.value, bytes) else "StringValue"
    return {field: attribute.value, "DataType": attribute.type}


def _content(attribute: Attribute) -> bytes:
    return attribute.value if isinstance(attribute.value, bytes) else attribute.value.encode()


def _sized(content: bytes) -> bytes:
    return struct.pack("!I", len(content)) + content


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _forbidden() -> Exception:
    return fault(
        "InvalidMessageContents",
        "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | "
        "#xE000 to #xFFFD | #x10000 to #x10FFFF",
    )


def _bad_fifo_id(name: str, value: str) -> Exception:
    return invalid_parameter(
        name, value, f"{name} can only include alphanumeric and punctuation characters. 1 to 128 in length."
    )
