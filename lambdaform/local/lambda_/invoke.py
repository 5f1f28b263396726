"""Invoke and its older and newer siblings. https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html"""

from __future__ import annotations

import base64
import binascii
import json
import struct
import zlib
from collections.abc import AsyncIterator, Awaitable, Mapping
from typing import cast

from lambdaform.local.lambda_.invoking import LARGEST_REQUEST, Invoking, Ran, check_json, tail
from lambdaform.local.lambda_.plane import Plane, invalid
from lambdaform.local.lambda_.streaming import Sink, Streamed
from lambdaform.local.lambda_.targets import find_target
from lambdaform.local.ports import AwsFault, Call, Json

LARGEST_OLD_EVENT = 262_144
LARGEST_CONTEXT = 3583
_API = "lambda"


async def invoke(plane: Plane, invoking: Invoking, call: Call) -> Mapping[str, Json]:
    """Run a function, put an event on its queue, or only look whether it could."""
    payload: bytes = call.params.get("Payload", b"")
    kind = call.params.get("InvocationType", "RequestResponse")
    target = find_target(plane, plane.refer(call), tenant=call.params.get("TenantId"))
    if kind == "DryRun":
        return {"StatusCode": 204}
    _check_size(payload)
    check_json(payload)
    trace = call.headers.get("x-amzn-trace-id")
    if kind == "Event":
        request_id = invoking.enqueue(target, payload, source=_API, trace=trace)
        return {"StatusCode": 202, "ResponseMetadata": {"RequestId": request_id}}
    wants_log = call.params.get("LogType") == "Tail"
    ran = await invoking.run(
        target,
        payload,
        request_id=call.request_id,
        trace=trace,
        client_context=_client_context(call),
        is_rated=True,
    )
    return {
        "StatusCode": 200,
        "Payload": ran.outcome.payload,
        "FunctionError": ran.outcome.function_error,
        "ExecutedVersion": ran.outcome.executed_version,
        "LogResult": tail(await ran.whole_log()) if wants_log else None,
    }


async def invoke_async(plane: Plane, invoking: Invoking, call: Call) -> Mapping[str, Json]:
    """The operation Invoke replaced."""
    payload: bytes = call.params["InvokeArgs"]
    target = find_target(plane, plane.refer(call))
    if len(payload) > LARGEST_OLD_EVENT:
        text = f"Request must be smaller than {LARGEST_OLD_EVENT} bytes for the InvokeAsync operation"
        raise AwsFault("RequestTooLargeException", text, status=413)
    check_json(payload)
    trace = call.headers.get("x-amzn-trace-id")
    request_id = invoking.enqueue(target, payload, source=_API, trace=trace)
    return {"Status": 202, "ResponseMetadata": {"RequestId": request_id}}


async def invoke_with_response_stream(plane: Plane, invoking: Invoking, call: Call) -> Mapping[str, Json]:
    """The result as an event stream, each piece sent as the function writes it."""
    payload: bytes = call.params.get("Payload", b"")
    target = find_target(plane, plane.refer(call), tenant=call.params.get("TenantId"))
    if call.params.get("InvocationType") == "DryRun":
        return {"StatusCode": 204}
    _check_size(payload)
    check_json(payload)
    context = _client_context(call)

    def run(sink: Sink) -> Awaitable[Ran]:
        trace = call.headers.get("x-amzn-trace-id")
        return invoking.run(
            target,
            payload,
            request_id=call.request_id,
            trace=trace,
            client_context=context,
            sink=sink,
            is_rated=True,
        )

    streamed = Streamed(run)
    await streamed.begun()
    return {
        "StatusCode": 200,
        "ExecutedVersion": target.version.number,
        "EventStream": _events(streamed, with_log=call.params.get("LogType") == "Tail"),
        "ResponseStreamContentType": "application/vnd.amazon.eventstream",
    }


async def _events(streamed: Streamed, *, with_log: bool) -> AsyncIterator[bytes]:
    """The pieces of an answer as messages, and how it ended as the last one."""
    async for piece in streamed.pieces():
        yield message("PayloadChunk", piece, "application/octet-stream")
    ran = await streamed.ended()
    complete: dict[str, Json] = {}
    if ran.outcome.function_error is not None:
        try:
            error: Json = json.loads(ran.outcome.payload)
        except (ValueError, RecursionError):
            error = None
        described = cast("dict[str, Json]", error) if isinstance(error, dict) else {}
        complete["ErrorCode"] = described.get("errorType", "Unhandled")
        complete["ErrorDetails"] = ran.outcome.payload.decode("utf-8", "replace")
    elif not ran.is_streamed:
        yield message("PayloadChunk", ran.outcome.payload, "application/octet-stream")
    if with_log:
        complete["LogResult"] = tail(await ran.whole_log())
    yield message("InvokeComplete", json.dumps(complete).encode(), "application/json")


def message(kind: str, payload: bytes, content_type: str) -> bytes:
    """One message of AWS's event stream encoding: lengths, headers, payload, checksums."""
    headers = b"".join(
        struct.pack(">B", len(name)) + name + struct.pack(">BH", 7, len(value)) + value
        for name, value in (
            (b":event-type", kind.encode()),
            (b":content-type", content_type.encode()),
            (b":message-type", b"event"),
        )
    )
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    prelude += struct.pack(">I", zlib.crc32(prelude))
    body = prelude + headers + payload
    return body + struct.pack(">I", zlib.crc32(body))


def _check_size(payload: bytes) -> None:
    if len(payload) > LARGEST_REQUEST:
        text = f"Request must be smaller than {LARGEST_REQUEST} bytes for the InvokeFunction operation"
        raise AwsFault("RequestTooLargeException", text, status=413)


def _client_context(call: Call) -> str | None:
    """The client context out of its base64. Raises `AwsFault` when it is too long or no base64."""
    given = call.params.get("ClientContext")
    if not given:
        return None
    if len(given) > LARGEST_CONTEXT:
        raise invalid(f"Client context must be no more than {LARGEST_CONTEXT} bytes long")
    try:
        return base64.b64decode(given, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        text = "Client context must be a valid Base64-encoded JSON object."
        raise AwsFault("InvalidRequestContentException", text) from error
