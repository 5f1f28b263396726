"""Subscriptions to telemetry: what may be asked for, and the form in which each gets what was told. Pure functions.

https://docs.aws.amazon.com/lambda/latest/dg/telemetry-api-reference.html,
https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html, and for the older API
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-logs-api.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Literal, cast
from urllib.parse import urlsplit

import attrs

from lambdaform.local.clock import iso
from lambdaform.local.lambda_.tail import Told
from lambdaform.local.ports import Json

Api = Literal["telemetry", "logs"]
SCHEMAS: Mapping[Api, tuple[str, ...]] = {
    "telemetry": ("2022-07-01", "2022-12-13", "2025-01-29"),
    "logs": ("2020-08-15", "2021-03-18"),
}
"""The schema versions of each API, oldest first."""
TYPES = ("platform", "function", "extension")
LIMITS = {
    "maxItems": (1_000, 10_000, 10_000),
    "maxBytes": (262_144, 262_144, 1_048_576),
    "timeoutMs": (25, 1_000, 30_000),
}
"""Least, default and most of each setting of buffering."""
HOSTS = ("sandbox.localdomain", "sandbox")
RESERVED_PORT = 9001


@attrs.frozen
class Subscription:
    """What one extension wants to hear of, and where."""

    extension: str
    api: Api
    schema: str
    types: tuple[str, ...]
    protocol: Literal["HTTP", "TCP"]
    port: int
    path: str = "/"
    method: str = "POST"
    max_items: int = LIMITS["maxItems"][1]
    max_bytes: int = LIMITS["maxBytes"][1]
    timeout_ms: int = LIMITS["timeoutMs"][1]


def read(body: bytes, *, api: Api, extension: str) -> Subscription | str:
    """The subscription a request asks for; else everything that is wrong with it."""
    try:
        given: Json = json.loads(body)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        return "the request is no JSON object"
    asked = cast("dict[str, Json]", given)
    problems: list[str] = []
    schemas = SCHEMAS[api]
    schema = asked.get("schemaVersion", schemas[0] if api == "logs" else None)
    if schema is None:
        problems.append("schemaVersion is not provided")
    elif schema not in schemas:
        problems.append(f"schemaVersion should be one of {', '.join(schemas)}")
    destination = asked.get("destination")
    where = _destination(cast("dict[str, Json]", destination) if isinstance(destination, dict) else {}, problems)
    types = asked.get("types")
    if not isinstance(types, list) or not types:
        problems.append("types should not be empty")
        types = []
    unknown = [each for each in cast("list[Json]", types) if each not in TYPES]
    if unknown:
        problems.append(f"types should be of {', '.join(TYPES)}, not {unknown[0]}")
    buffering = _buffering(asked.get("buffering", {}), problems)
    if problems or where is None:
        return "; ".join(problems)
    protocol, port, path = where
    method = cast("dict[str, Json]", destination).get("method", "POST")
    return Subscription(
        extension=extension,
        api=api,
        schema=str(schema),
        types=tuple(dict.fromkeys(cast("list[str]", types))),
        protocol=protocol,
        port=port,
        path=path,
        method="PUT" if api == "logs" and method == "PUT" else "POST",
        max_items=buffering["maxItems"],
        max_bytes=buffering["maxBytes"],
        timeout_ms=buffering["timeoutMs"],
    )


def shape(told: Told, subscription: Subscription, *, is_json: bool) -> Iterator[dict[str, Json]]:
    """What was told as events of a subscription; nothing when it is not of its types.

    `is_json` says that the function's log format is JSON.
    """
    if told.category not in subscription.types:
        return
    if told.category != "platform":
        record: Json = told.text
        if is_json and subscription.schema >= "2022-12-13":
            record = _document(told.text)
        yield {"time": iso(told.at), "type": told.category, "record": record}
        return
    event: dict[str, Json] = json.loads(told.text)
    if subscription.api == "logs":
        yield from _of_logs(event, subscription.schema)
        return
    if subscription.schema < "2025-01-29":
        hidden = ("functionName", "functionVersion", "instanceId", "instanceMaxMemory", "functionArn")
        event["record"] = {key: value for key, value in event["record"].items() if key not in hidden}
    yield event


def dropped(at: float, *, records: int, size: int) -> dict[str, Json]:
    """The event that tells of others that were not sent."""
    record = {
        "droppedBytes": size,
        "droppedRecords": records,
        "reason": "Some logs were dropped because the downstream consumer is slower than the logs production rate",
    }
    return {"time": iso(at), "type": "platform.logsDropped", "record": record}


def _of_logs(event: dict[str, Json], schema: str) -> Iterator[dict[str, Json]]:
    """A platform event in the forms of the Logs API, which knows nothing of initialisation."""
    record: dict[str, Json] = event["record"]
    match event["type"]:
        case "platform.start":
            yield {**event, "record": {"requestId": record["requestId"], "version": record["version"]}}
        case "platform.runtimeDone":
            if schema >= "2021-03-18":
                status = "failure" if record["status"] == "error" else record["status"]
                yield {**event, "record": {"requestId": record["requestId"], "status": status}}
        case "platform.report":
            request_id: str = record["requestId"]
            if record["status"] == "error":
                text = f"RequestId: {request_id} Process exited before completing request"
                yield {**event, "type": "platform.fault", "record": text}
            yield {**event, "type": "platform.end", "record": {"requestId": request_id}}
            yield {**event, "record": {"requestId": request_id, "metrics": record["metrics"]}}
        case "platform.extension" | "platform.logsSubscription" | "platform.telemetrySubscription":
            yield event
        case _:
            return


def _document(line: str) -> Json:
    """A line that is a JSON object as that; any other as it is."""
    if line.startswith("{"):
        try:
            return json.loads(line)
        except (ValueError, RecursionError):
            pass
    return line


def _destination(given: Mapping[str, Json], problems: list[str]) -> tuple[Literal["HTTP", "TCP"], int, str] | None:
    protocol = given.get("protocol")
    if protocol not in ("HTTP", "TCP"):
        problems.append("protocol should be HTTP or TCP")
        return None
    uri = given.get("URI")
    port = given.get("port")
    path = "/"
    if isinstance(uri, str):
        parts = urlsplit(uri)
        try:
            port = parts.port
        except ValueError:
            port = None
        path = parts.path or "/"
        if parts.hostname not in HOSTS:
            problems.append(f"URI host should be {HOSTS[0]}")
        if protocol == "HTTP" and parts.scheme != "http":
            problems.append("URI scheme should be http")
    elif protocol == "HTTP":
        problems.append("URI is not provided")
        return None
    if not isinstance(port, int):
        problems.append("URI port is not provided")
        return None
    if port == RESERVED_PORT:
        problems.append(f"port {RESERVED_PORT} is reserved")
    return protocol, port, path


def _buffering(given: Json, problems: list[str]) -> dict[str, int]:
    asked = cast("dict[str, Json]", given) if isinstance(given, dict) else {}
    found: dict[str, int] = {}
    for name, (least, default, most) in LIMITS.items():
        value = asked.get(name, default)
        if not isinstance(value, int) or not least <= value <= most:
            problems.append(f"{name} should be from {least} to {most}")
            value = default
        found[name] = value
    return found
