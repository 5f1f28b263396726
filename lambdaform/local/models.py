"""AWS's own service models, as botocore ships them: operations, shapes, and the constraints on them.

Read straight from botocore's JSON without importing botocore: the local AWS starts in a fraction of the time that
takes, and needs only the facts. Shapes are built when first asked for, once per process.
"""

from __future__ import annotations

import functools
import gzip
import importlib.util
import json
import re
import unicodedata
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Protocol
from urllib.parse import parse_qsl, unquote

import attrs

from lambdaform.local.ports import Json

_KEPT_TARGETS = 512
"""Request lines whose operation is remembered: clients ask for the same ones again and again."""


_ASCII_OF = {"L": "a-zA-Z", "N": "0-9", "Z": " "}
"""What ASCII has of Unicode's letters, numbers and separators."""
_READ_AS = {"L": "a", "N": "0", "Z": " "}


class Regex(Protocol):
    """A pattern that can be compared with a text."""

    def fullmatch(self, string: str, /) -> object | None:
        """None where the text as a whole does not match."""
        ...


@attrs.frozen(eq=False)
class UnicodeRegex:
    """A pattern with Java's `\\p{L}`, `\\p{N}` and `\\p{Z}` in its `[...]`, which Python does not have.

    Tables of these categories would take long to make. Instead the pattern has what ASCII has of them, and of a text's
    other letters, numbers and separators each is read as one of ASCII's.
    """

    pattern: re.Pattern[str]

    def fullmatch(self, string: str, /) -> object | None:
        """None where the text as a whole does not match."""
        return self.pattern.fullmatch(string if string.isascii() else "".join(map(_plain, string)))


def _plain(character: str) -> str:
    return character if character.isascii() else _READ_AS.get(unicodedata.category(character)[0], character)


@attrs.frozen(eq=False)
class Member:
    """A member of a structure, or the item of a list, or the key or value of a map."""

    name: str
    shape_name: str
    location: str | None = None
    """`uri`, `querystring`, `header`, `headers`, `statusCode`, or None for the body."""
    location_name: str | None = None
    timestamp_format: str | None = None
    is_flattened: bool = False
    is_idempotency_token: bool = False

    @property
    def wire_name(self) -> str:
        """What the member is called outside: its location name where it has one."""
        return self.location_name or self.name


@attrs.frozen(eq=False)
class Shape:
    """A type of the model with its constraints."""

    name: str
    type: str
    members: Mapping[str, Member] = attrs.field(factory=lambda: MappingProxyType[str, Member]({}))
    required: frozenset[str] = frozenset()
    item: Member | None = None
    key: Member | None = None
    value: Member | None = None
    minimum: float | None = None
    maximum: float | None = None
    pattern: str | None = None
    enum: tuple[str, ...] = ()
    payload: str | None = None
    timestamp_format: str | None = None
    is_flattened: bool = False
    is_sensitive: bool = False
    is_event_stream: bool = False
    is_union: bool = False
    http_status: int | None = None
    query_code: str | None = None

    @functools.cached_property
    def placed(self) -> tuple[tuple[str, Member, str, str], ...]:
        """The members outside of a REST body: name, member, location, and what it is called there."""

        def called(member: Member) -> str:
            return member.wire_name.lower() if member.location == "header" else member.wire_name

        return tuple(
            (name, member, member.location, called(member))
            for name, member in self.members.items()
            if member.location is not None
        )

    @functools.cached_property
    def is_in_body(self) -> bool:
        """Whether a REST body is made of this structure's members, and not of one that is the whole payload."""
        return any(member.location is None and name != self.payload for name, member in self.members.items())

    @functools.cached_property
    def is_free(self) -> bool:
        """Whether any value of the type will do: a scalar without a constraint."""
        return (
            self.type not in ("structure", "list", "map")
            and (self.minimum, self.maximum, self.pattern) == (None, None, None)
            and not self.enum
        )

    @functools.cached_property
    def regex(self) -> Regex | None:
        """The pattern compiled, or None when Python cannot read it (Java's rarer `\\p{...}` classes)."""
        if self.pattern is None:
            return None
        plain = re.sub(r"\\p\{([LNZ])\}", lambda found: _ASCII_OF[found[1]], self.pattern)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)
                compiled = re.compile(plain, re.ASCII)
        except re.error:
            return None
        return compiled if plain == self.pattern else UnicodeRegex(compiled)


@attrs.frozen(eq=False)
class Route:
    """Where a REST operation is found: its method, path segments (None for a label), and fixed query parameters."""

    method: str
    segments: tuple[str | None, ...]
    labels: tuple[str, ...]
    query: Mapping[str, str]


@attrs.frozen(eq=False)
class Operation:
    """One operation of a service."""

    name: str
    input: str | None
    output: str | None
    result_wrapper: str | None
    status: int
    route: Route


class Model:
    """The model of one service. Nothing in it changes; shapes are built lazily."""

    def __init__(self, service: str, raw: Json) -> None:
        metadata: Mapping[str, Json] = raw["metadata"]
        self.service = service
        self.protocol: str = metadata["protocol"]
        self.target_prefix: str | None = metadata.get("targetPrefix")
        self.json_version: str = metadata.get("jsonVersion", "1.1")
        self.xml_namespace: str = metadata.get("xmlNamespace", f"http://{service}.amazonaws.com/doc/")
        self.api_version: str = metadata["apiVersion"]
        self.is_query_compatible: bool = "awsQueryCompatible" in metadata
        self.operations: Mapping[str, Operation] = MappingProxyType(
            {name: _operation(name, spec) for name, spec in raw["operations"].items()}
        )
        self._raw_shapes: Mapping[str, Json] = raw["shapes"]
        self._shapes: dict[str, Shape] = {}
        self._routes: dict[tuple[str, int], list[Operation]] = {}
        self._found: dict[tuple[str, str], tuple[Operation, Mapping[str, str]]] = {}
        for operation in self.operations.values():
            key = (operation.route.method, len(operation.route.segments))
            self._routes.setdefault(key, []).append(operation)
        for operations in self._routes.values():
            # Routes with fixed query parameters first: without them they look like their sibling.
            operations.sort(key=lambda operation: -len(operation.route.query))

    def shape(self, name: str) -> Shape:
        """The shape called `name`. Raises `KeyError` when the model has none."""
        shape = self._shapes.get(name)
        if shape is None:
            shape = self._shapes[name] = _shape(name, self._raw_shapes[name])
        return shape

    def error(self, code: str) -> Shape | None:
        """The error shape a code belongs to, if the model knows it."""
        raw = self._raw_shapes.get(code)
        return self.shape(code) if raw is not None and raw["type"] == "structure" else None

    def find(self, method: str, target: str) -> tuple[Operation, Mapping[str, str]] | None:
        """The REST operation behind a request line, with its path labels decoded.

        `target` is matched as sent: a percent-encoded ARN is one label although it contains slashes.
        """
        known = self._found.get((method, target))
        if known is not None:
            return known
        found = self._search(method, target)
        if found is not None:
            if len(self._found) >= _KEPT_TARGETS:
                self._found.clear()
            self._found[method, target] = found
        return found

    def _search(self, method: str, target: str) -> tuple[Operation, Mapping[str, str]] | None:
        path, _, query = target.partition("?")
        segments = path.split("/")[1:]
        if segments and segments[-1] == "":
            segments.pop()
        for operation in self._routes.get((method, len(segments)), ()):
            route = operation.route
            if any(fixed is not None and fixed != seen for fixed, seen in zip(route.segments, segments, strict=True)):
                continue
            if route.query:
                given = dict(parse_qsl(query, keep_blank_values=True))
                if any(given.get(name) != value for name, value in route.query.items()):
                    continue
            values = [unquote(seen) for fixed, seen in zip(route.segments, segments, strict=True) if fixed is None]
            return operation, dict(zip(route.labels, values, strict=True))
        return None


@functools.cache
def model(service: str) -> Model:
    """The newest model botocore has of `service` (botocore's own name for it). Raises `LookupError` if it has none."""
    folder = _data_folder() / service
    versions = sorted(folder.glob("*/service-2.json*")) if folder.is_dir() else []
    if not versions:
        raise LookupError(f"botocore has no service called {service!r}")
    path = versions[-1]
    data = path.read_bytes()
    return Model(service, json.loads(gzip.decompress(data) if path.suffix == ".gz" else data))


@functools.cache
def _data_folder() -> Path:
    spec = importlib.util.find_spec("botocore")
    if spec is None or spec.origin is None:
        raise LookupError("botocore is not installed")
    return Path(spec.origin).parent / "data"


def _operation(name: str, spec: Mapping[str, Json]) -> Operation:
    http: Mapping[str, Json] = spec.get("http", {"method": "POST", "requestUri": "/"})
    path, _, query = str(http["requestUri"]).partition("?")
    segments = path.split("/")[1:]
    if segments and segments[-1] == "":
        segments.pop()
    labels = tuple(segment[1:-1].rstrip("+") for segment in segments if segment.startswith("{"))
    return Operation(
        name=name,
        input=spec["input"]["shape"] if "input" in spec else None,
        output=spec["output"]["shape"] if "output" in spec else None,
        result_wrapper=spec.get("output", {}).get("resultWrapper"),
        status=int(http.get("responseCode", 200)),
        route=Route(
            method=http["method"],
            segments=tuple(None if segment.startswith("{") else segment for segment in segments),
            labels=labels,
            query=MappingProxyType(dict(parse_qsl(query, keep_blank_values=True))),
        ),
    )


def _shape(name: str, raw: Mapping[str, Json]) -> Shape:
    error: Mapping[str, Json] = raw.get("error", {})
    return Shape(
        name=name,
        type=raw["type"],
        members=MappingProxyType({key: _member(key, spec) for key, spec in raw.get("members", {}).items()}),
        required=frozenset(raw.get("required", ())),
        item=_member("member", raw["member"]) if "member" in raw else None,
        key=_member("key", raw["key"]) if "key" in raw else None,
        value=_member("value", raw["value"]) if "value" in raw else None,
        minimum=raw.get("min"),
        maximum=raw.get("max"),
        pattern=raw.get("pattern"),
        enum=tuple(raw.get("enum", ())),
        payload=raw.get("payload"),
        timestamp_format=raw.get("timestampFormat"),
        is_flattened=bool(raw.get("flattened")),
        is_sensitive=bool(raw.get("sensitive")),
        is_event_stream=bool(raw.get("eventstream")),
        is_union=bool(raw.get("union")),
        http_status=error.get("httpStatusCode"),
        query_code=error.get("code"),
    )


def _member(name: str, raw: Mapping[str, Json]) -> Member:
    return Member(
        name=name,
        shape_name=raw["shape"],
        location=raw.get("location"),
        location_name=raw.get("locationName"),
        timestamp_format=raw.get("timestampFormat"),
        is_flattened=bool(raw.get("flattened")),
        is_idempotency_token=bool(raw.get("idempotencyToken")),
    )
