"""The server side of AWS's protocols: requests into `Call` parameters, results and faults into answers.

rest-json (Lambda, Scheduler), json 1.0 and 1.1 (SQS, EventBridge, Logs) and query (SNS; SQS from old clients), all
driven by the service's model. Services know nothing of the wire: blobs are `bytes` both ways, timestamps are seconds
since the epoch as `float` on the way in and floats or aware datetimes on the way out, absent members are absent.

A result may carry `ResponseMetadata` with `RequestId` and `HTTPHeaders`, as a boto3 answer does: they win over the
door's own request id and are added to the answer's headers.
"""

from __future__ import annotations

import base64
import functools
import json
import sys
import time
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from email.utils import formatdate, parsedate_to_datetime
from typing import Literal, TypeGuard, cast
from urllib.parse import parse_qsl

import attrs

from lambdaform.local import query_xml
from lambdaform.local.http import Request, Response
from lambdaform.local.models import Member, Model, Operation, Shape
from lambdaform.local.ports import AwsFault, Json
from lambdaform.local.validation import check

Style = Literal["rest-json", "json", "query"]

QUERY_CODES: Mapping[str, str] = {
    "QueueDoesNotExist": "AWS.SimpleQueueService.NonExistentQueue",
    "QueueNameExists": "QueueAlreadyExists",
    "QueueDeletedRecently": "AWS.SimpleQueueService.QueueDeletedRecently",
    "BatchEntryIdsNotDistinct": "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
    "BatchRequestTooLong": "AWS.SimpleQueueService.BatchRequestTooLong",
    "EmptyBatchRequest": "AWS.SimpleQueueService.EmptyBatchRequest",
    "InvalidBatchEntryId": "AWS.SimpleQueueService.InvalidBatchEntryId",
    "MessageNotInflight": "AWS.SimpleQueueService.MessageNotInflight",
    "PurgeQueueInProgress": "AWS.SimpleQueueService.PurgeQueueInProgress",
    "TooManyEntriesInBatchRequest": "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
    "UnsupportedOperation": "AWS.SimpleQueueService.UnsupportedOperation",
}
"""SQS keeps the error codes of its old query protocol for clients that compare them."""

_FIRST_SECOND = datetime.min.replace(tzinfo=UTC).timestamp()
_LAST_SECOND = datetime.max.replace(tzinfo=UTC, microsecond=0).timestamp()


@attrs.frozen(eq=False)
class Parsed:
    """A request understood: which operation, with which parameters, and how to answer it."""

    operation: Operation
    style: Style
    params: Mapping[str, Json]


def style_of(model: Model, request: Request) -> Style:
    """Which protocol a request speaks: the service's own, or query where the body is a form."""
    if model.protocol == "rest-json":
        return "rest-json"
    if model.protocol == "json" and ("x-amz-target" in request.headers or not model.is_query_compatible):
        return "json"
    return "query"


def parse(model: Model, request: Request) -> Parsed:
    """Understand and check a request. Raises `AwsFault` in AWS's words when the model refuses it."""
    style = style_of(model, request)
    match style:
        case "rest-json":
            found = model.find(request.method, request.target)
            if found is None:
                raise AwsFault("UnknownOperationException", None, status=404, type=None)
            operation, labels = found
            params = _parse_rest(model, operation, labels, request)
        case "json":
            operation = _named(model, request.headers.get("x-amz-target", "").rpartition(".")[2])
            shape = model.shape(operation.input) if operation.input else None
            params = _json_structure(model, shape, _json_body(model, request.body)) if shape else {}
        case "query":
            form = dict(parse_qsl(request.query, keep_blank_values=True))
            form |= dict(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True))
            operation = _named(model, form.get("Action", ""))
            params = query_xml.parse(model, model.shape(operation.input), form) if operation.input else {}
    if operation.input:
        check(model, operation.input, params)
    return Parsed(operation, style, params)


def answer(model: Model, parsed: Parsed, result: Mapping[str, Json], request_id: str) -> Response:
    """The HTTP answer for an operation's result. Raises `TypeError` for a member the model does not have (a bug)."""
    operation = parsed.operation
    metadata: Mapping[str, Json] = result.get("ResponseMetadata", {})
    request_id = metadata.get("RequestId", request_id)
    extra: Mapping[str, str] = metadata.get("HTTPHeaders", {})
    headers = [("x-amzn-RequestId", request_id), ("Date", date(int(time.time()))), *extra.items()]
    members = {key: value for key, value in result.items() if key != "ResponseMetadata" and value is not None}
    shape = model.shape(operation.output) if operation.output else None
    if shape is not None and (unknown := members.keys() - shape.members.keys()):
        raise TypeError(f"{model.service} {operation.name} has no output member {sorted(unknown)}")
    match parsed.style:
        case "json":
            body = _dump(_json_out(model, shape, members)) if shape else b"{}"
            return Response(200, body, [("Content-Type", f"application/x-amz-json-{model.json_version}"), *headers])
        case "query":
            text = query_xml.answer(model, operation, shape, members, request_id)
            return Response(200, text, [("Content-Type", "text/xml"), *headers])
        case "rest-json":
            return _rest_answer(model, operation, shape, members, headers)


def refuse(model: Model, style: Style, fault: AwsFault, request_id: str) -> Response:
    """The HTTP answer for a fault, in the shape the service's own clients read."""
    headers = [("x-amzn-RequestId", request_id), *fault.headers.items()]
    shape = model.error(fault.code)
    status = fault.status if fault.status != 400 or shape is None else shape.http_status or fault.status
    match style:
        case "query":
            code = QUERY_CODES.get(fault.code, (shape.query_code if shape else None) or fault.code)
            return Response(
                status, query_xml.refuse(model, code, fault, request_id), [("Content-Type", "text/xml"), *headers]
            )
        case "json":
            prefix = "com.amazonaws.sqs#" if model.is_query_compatible else ""
            document = {"__type": prefix + fault.code, **_message(shape, fault, "message"), **fault.fields}
            if model.is_query_compatible and "x-amzn-query-error" not in fault.headers:
                code = QUERY_CODES.get(fault.code, fault.code)
                headers.append(("x-amzn-query-error", f"{code};{'Sender' if status < 500 else 'Receiver'}"))
            headers.append(("Content-Type", f"application/x-amz-json-{model.json_version}"))
            return Response(status, _dump(document), headers)
        case "rest-json":
            body: dict[str, Json] = dict(fault.fields)
            if fault.type is not None and (shape is None or "Type" in shape.members):
                body["Type"] = fault.type
            body |= _message(shape, fault, "message")
            headers += [("x-amzn-ErrorType", fault.code), ("Content-Type", "application/json")]
            return Response(status, _dump(body), headers)


# Requests


def _named(model: Model, name: str) -> Operation:
    operation = model.operations.get(name)
    if operation is None:
        code = "InvalidAction" if model.protocol == "query" else "UnknownOperationException"
        text = f"The action {name} is not valid for this endpoint." if name else None
        raise AwsFault(code, text, status=400)
    return operation


def _json_body(model: Model, body: bytes) -> Mapping[str, Json]:
    if not body:
        return {}
    try:
        document: Json = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        if model.service == "lambda":
            text = f"Could not parse request body into json: {error}"
            raise AwsFault("InvalidRequestContentException", text) from error
        raise AwsFault("SerializationException", None, type=None) from error
    if not isinstance(document, dict):
        raise AwsFault("SerializationException", "Start of structure or map found where not expected.", type=None)
    return cast("dict[str, Json]", document)


def _no_constant(name: str) -> Json:
    raise ValueError(f"{name} is not JSON")


def _parse_rest(model: Model, operation: Operation, labels: Mapping[str, str], request: Request) -> dict[str, Json]:
    if operation.input is None:
        return {}
    shape = model.shape(operation.input)
    params: dict[str, Json] = {}
    query: list[tuple[str, str]] | None = None
    for name, member, location, called in shape.placed:
        match location:
            case "uri":
                value = labels.get(called)
                if value is not None:
                    params[name] = _from_text(model, member, value)
            case "querystring":
                if query is None:
                    query = parse_qsl(request.query, keep_blank_values=True) if request.query else []
                values = [value for key, value in query if key == called]
                if not values:
                    continue
                inner = model.shape(member.shape_name)
                if inner.type == "list" and inner.item is not None:
                    params[name] = [_from_text(model, inner.item, value) for value in values]
                else:
                    params[name] = _from_text(model, member, values[-1])
            case "header":
                text = request.headers.get(called)
                if text is not None:
                    params[name] = _from_text(model, member, text)
            case "headers":
                prefix = (member.location_name or "").lower()
                params[name] = {k[len(prefix) :]: v for k, v in request.headers.items() if k.startswith(prefix)}
            case _:
                pass
    if shape.payload is not None:
        member = shape.members[shape.payload]
        inner = model.shape(member.shape_name)
        if inner.type == "structure":
            if request.body:
                params[shape.payload] = _json_structure(model, inner, _json_body(model, request.body))
        elif request.body:
            params[shape.payload] = request.body if inner.type == "blob" else request.body.decode("utf-8", "replace")
    elif shape.is_in_body:
        params |= _json_structure(model, shape, _json_body(model, request.body))
    return params


def _from_text(model: Model, member: Member, text: str) -> Json:
    """A value that travelled as text: in the path, the query or a header."""
    shape = model.shape(member.shape_name)
    try:
        match shape.type:
            case "integer" | "long":
                return int(text)
            case "float" | "double":
                number = float(text)
                if not _is_finite(number):
                    raise ValueError(text)
                return number
            case "boolean":
                return text.lower() == "true"
            case "timestamp":
                return _time_in(text)
            case _:
                return text
    except ValueError as error:
        raise AwsFault("SerializationException", f"{text} can not be converted to a number", type=None) from error


def _json_structure(model: Model, shape: Shape, document: Mapping[str, Json]) -> dict[str, Json]:
    """The known members of a structure; unknown ones are ignored and nulls are absent, as in AWS."""
    return {
        name: _json_in(model, model.shape(member.shape_name), document[member.wire_name])
        for name, member in shape.members.items()
        if member.location is None and document.get(member.wire_name) is not None
    }


def _json_in(model: Model, shape: Shape, value: Json) -> Json:
    match shape.type:
        case "structure" if isinstance(value, dict):
            return _json_structure(model, shape, cast("dict[str, Json]", value))
        case "list" if isinstance(value, list) and shape.item is not None:
            item = model.shape(shape.item.shape_name)
            return [_json_in(model, item, each) for each in cast("list[Json]", value) if each is not None]
        case "map" if isinstance(value, dict) and shape.value is not None:
            inner = model.shape(shape.value.shape_name)
            pairs = cast("dict[str, Json]", value)
            return {
                _text_in(model, key): _json_in(model, inner, each) for key, each in pairs.items() if each is not None
            }
        case "string" if isinstance(value, str):
            return _text_in(model, value)
        case "integer" | "long" if _is_finite(value):
            return int(value)
        case "float" | "double" if _is_finite(value):
            return float(value)
        case "boolean" if isinstance(value, bool):
            return value
        case "timestamp" if isinstance(value, (int, float, str)) and not isinstance(value, bool):
            try:
                return _time_in(value)
            except ValueError as error:
                raise AwsFault("SerializationException", f"{value} is not a time", type=None) from error
        case "blob" if isinstance(value, str):
            try:
                return base64.b64decode(value, validate=True)
            except ValueError as error:  # also of text that is not ASCII
                raise AwsFault("SerializationException", "Invalid Base64 encoding", type=None) from error
        case _:
            raise AwsFault(
                "SerializationException", f"{_token(value)} can not be converted to {_noun(shape)}", type=None
            )


def _text_in(model: Model, text: str) -> str:
    """A string of a document. JSON can escape half a surrogate pair, which is no text and can be written nowhere."""
    # SQS has words of its own for characters that a message must not hold.
    if not text.isascii() and model.service != "sqs":
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise AwsFault("SerializationException", "A string is not valid Unicode text", type=None) from error
    return text


def _is_finite(value: Json) -> TypeGuard[int | float]:
    """Whether it is a number; JSON can write ones that are too large to be any, such as 1e400."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _token(value: Json) -> str:
    match value:
        case bool():
            return "TRUE_VALUE" if value else "FALSE_VALUE"
        case str():
            return "STRING_VALUE"
        case int() | float():
            return "NUMBER_VALUE"
        case list():
            return "START_ARRAY"
        case _:
            return "START_OBJECT"


def _noun(shape: Shape) -> str:
    article = "an" if shape.type[0] in "aeiou" else "a"
    return f"{article} {shape.type.capitalize()}"


def _time_in(value: float | str) -> float:
    """Seconds since the epoch. Raises `ValueError` for what is no time, and for years that no calendar has."""
    seconds = _seconds_in(value)
    if not _FIRST_SECOND <= seconds <= _LAST_SECOND:
        raise ValueError(f"{value} is not a time")
    return float(seconds)


def _seconds_in(value: float | str) -> float:
    if isinstance(value, (int, float)):
        return value
    try:
        return float(value)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(value).replace(tzinfo=datetime.fromisoformat(value).tzinfo or UTC).timestamp()
    except ValueError:
        return parsedate_to_datetime(value).timestamp()


# Answers


def _rest_answer(
    model: Model,
    operation: Operation,
    shape: Shape | None,
    members: Mapping[str, Json],
    headers: list[tuple[str, str]],
) -> Response:
    status = operation.status
    if shape is None:
        return Response(status, b"", headers)
    in_body: dict[str, Json] = {}
    for name, value in members.items():
        member = shape.members[name]
        match member.location:
            case "statusCode":
                status = int(value)
            case "header":
                headers.append((member.wire_name, _text_out(value)))
            case "headers":
                pairs: Mapping[str, str] = value
                headers += [(f"{member.location_name or ''}{key}", text) for key, text in pairs.items()]
            case _:
                in_body[name] = value
    if shape.payload is None:
        has_body = any(member.location is None for member in shape.members.values())
        body = _dump(_json_out(model, shape, in_body)) if has_body and status != 204 else b""
        return Response(status, body, [("Content-Type", "application/json"), *headers])
    payload: bytes | AsyncIterator[bytes] | Mapping[str, Json] = in_body.get(shape.payload, b"")
    inner = model.shape(shape.members[shape.payload].shape_name)
    if inner.type == "structure" and not inner.is_event_stream and isinstance(payload, Mapping):
        return Response(
            status, _dump(_json_out(model, inner, payload)), [("Content-Type", "application/json"), *headers]
        )
    if isinstance(payload, Mapping):
        raise TypeError(f"{operation.name} answers bytes or a stream")
    if not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(("Content-Type", "application/json"))
    return Response(status, payload, headers)


def _json_out(model: Model, shape: Shape, value: Json) -> Json:
    match shape.type:
        case "structure":
            pairs: Mapping[str, Json] = value
            out: dict[str, Json] = {}
            for name, element in pairs.items():
                if element is None:
                    continue
                member = shape.members.get(name)
                if member is None:
                    raise TypeError(f"{model.service} {shape.name} has no member {name}")
                inner = model.shape(member.shape_name)
                if inner.type == "timestamp":
                    out[member.wire_name] = time_out(element, member.timestamp_format or inner.timestamp_format)
                else:
                    out[member.wire_name] = _json_out(model, inner, element)
            return out
        case "list" if shape.item is not None:
            inner = model.shape(shape.item.shape_name)
            return [_json_out(model, inner, element) for element in value]
        case "map" if shape.value is not None:
            inner = model.shape(shape.value.shape_name)
            entries: Mapping[str, Json] = value
            return {key: _json_out(model, inner, element) for key, element in entries.items()}
        case "timestamp":
            return time_out(value, shape.timestamp_format)
        case "blob":
            return base64.b64encode(value).decode() if isinstance(value, bytes) else value
        case _:
            return value


def time_out(value: float | datetime | str, style: str | None) -> float | str:
    """A timestamp as the wire wants it: seconds unless the model names another format."""
    if isinstance(value, str):
        return value
    seconds = value.timestamp() if isinstance(value, datetime) else float(value)
    match style:
        case "iso8601":
            return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case "rfc822":
            return formatdate(seconds, usegmt=True)
        case _:
            return round(seconds, 3)


def _text_out(value: Json) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return formatdate(value.timestamp(), usegmt=True)
    return str(value)


@functools.lru_cache(maxsize=2)
def date(second: int) -> str:
    """The value of a Date header, made once a second: it takes longer than the rest of an answer's head."""
    return formatdate(second, usegmt=True)


def _message(shape: Shape | None, fault: AwsFault, usual: str) -> dict[str, Json]:
    """The message under the name the error's shape gives it: AWS writes both `message` and `Message`."""
    name = usual
    if shape is not None and usual not in shape.members:
        name = next((member for member in shape.members if member.lower() == "message"), usual)
    return {name: fault.message}


def _dump(document: Json) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")
