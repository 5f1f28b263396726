"""The notification configuration of a bucket: XML to values and back, and what AWS refuses. Pure functions.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketNotificationConfiguration.html
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import attrs

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"

EVENTS = frozenset(
    f"s3:{name}"
    for name in (
        "ObjectCreated:*",
        "ObjectCreated:Put",
        "ObjectCreated:Post",
        "ObjectCreated:Copy",
        "ObjectCreated:CompleteMultipartUpload",
        "ObjectRemoved:*",
        "ObjectRemoved:Delete",
        "ObjectRemoved:DeleteMarkerCreated",
        "ObjectRestore:*",
        "ObjectRestore:Post",
        "ObjectRestore:Completed",
        "ObjectRestore:Delete",
        "ReducedRedundancyLostObject",
        "Replication:*",
        "Replication:OperationFailedReplication",
        "Replication:OperationNotTracked",
        "Replication:OperationMissedThreshold",
        "Replication:OperationReplicatedAfterThreshold",
        "LifecycleTransition",
        "IntelligentTiering",
        "ObjectAcl:Put",
        "LifecycleExpiration:*",
        "LifecycleExpiration:Delete",
        "LifecycleExpiration:DeleteMarkerCreated",
        "ObjectTagging:*",
        "ObjectTagging:Put",
        "ObjectTagging:Delete",
    )
)
"""https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-event-types-and-destinations.html"""

Kind = Literal["Topic", "Queue", "CloudFunction"]
_KINDS: Sequence[Kind] = ("Topic", "Queue", "CloudFunction")


class ConfigurationError(ValueError):
    """A configuration AWS refuses, with the code and message it does so by."""

    def __init__(self, code: str, message: str, argument: tuple[str, str] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.argument = argument
        """The name and value of the argument that is wrong."""


@attrs.frozen(kw_only=True)
class Listener:
    """One destination and what it is told of."""

    kind: Kind
    id: str
    arn: str
    events: tuple[str, ...]
    prefix: str = ""
    suffix: str = ""

    def hears(self, event: str, key: str) -> bool:
        """Whether it is told of an event such as `ObjectCreated:Put` of an object."""
        family = event.partition(":")[0]
        is_event = f"s3:{event}" in self.events or f"s3:{family}:*" in self.events
        return is_event and key.startswith(self.prefix) and key.endswith(self.suffix)


@attrs.frozen
class Configuration:
    """What a bucket notifies of."""

    listeners: tuple[Listener, ...] = ()
    has_bus: bool = False
    """Whether the default event bus is told of everything."""


def parse(body: bytes, new_id: Callable[[], str]) -> Configuration:
    """Read a configuration; raises `ConfigurationError`."""
    try:
        root = ElementTree.fromstring(body) if body.strip() else ElementTree.Element("NotificationConfiguration")
    except ElementTree.ParseError as error:
        raise _malformed() from error
    listeners, has_bus = list[Listener](), False
    for element in root:
        name = _name(element)
        if name == "EventBridgeConfiguration":
            has_bus = True
            continue
        kind: Kind | None = next((kind for kind in _KINDS if name == f"{kind}Configuration"), None)
        if kind is None:
            raise _malformed()
        listeners.append(_listener(kind, element, new_id))
    return Configuration(tuple(listeners), has_bus)


def check(configuration: Configuration) -> None:
    """Refuse unknown events and listeners that could both be told of one event of one object."""
    for listener in configuration.listeners:
        for event in listener.events:
            if event not in EVENTS:
                raise ConfigurationError(
                    "InvalidArgument", "The event is not supported for notifications", ("Event", event)
                )
    listeners = configuration.listeners
    for place, one in enumerate(listeners):
        for other in listeners[place + 1 :]:
            if _share_an_event(one, other) and _overlap(one, other):
                raise ConfigurationError(
                    "InvalidArgument",
                    "Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules if the "
                    "prefixes are overlapping for the same event type.",
                )


def text(configuration: Configuration) -> bytes:
    """A configuration as AWS answers it."""
    parts = [f'<?xml version="1.0" encoding="UTF-8"?>\n<NotificationConfiguration xmlns="{NAMESPACE}">']
    for listener in configuration.listeners:
        events = "".join(f"<Event>{escape(event)}</Event>" for event in listener.events)
        rules = "".join(
            f"<FilterRule><Name>{name}</Name><Value>{escape(value)}</Value></FilterRule>"
            for name, value in (("Prefix", listener.prefix), ("Suffix", listener.suffix))
            if value
        )
        chosen = f"<Filter><S3Key>{rules}</S3Key></Filter>" if rules else ""
        parts.append(
            f"<{listener.kind}Configuration><Id>{escape(listener.id)}</Id>"
            f"<{listener.kind}>{escape(listener.arn)}</{listener.kind}>{events}{chosen}</{listener.kind}Configuration>"
        )
    if configuration.has_bus:
        parts.append("<EventBridgeConfiguration></EventBridgeConfiguration>")
    return "".join((*parts, "</NotificationConfiguration>")).encode()


def _listener(kind: Kind, element: ElementTree.Element, new_id: Callable[[], str]) -> Listener:
    arn, name, events = "", "", list[str]()
    affixes = {"prefix": "", "suffix": ""}
    for child in element:
        value = (child.text or "").strip()
        match _name(child):
            case "Id":
                name = value
            case "Event":
                events.append(value)
            case "Filter":
                for rule in child.iter():
                    if _name(rule) == "FilterRule":
                        fields = {_name(field): field.text or "" for field in rule}
                        affix = fields.get("Name", "").lower()
                        if affix not in affixes:
                            raise ConfigurationError(
                                "InvalidArgument", "filter rule name must be either prefix or suffix"
                            )
                        affixes[affix] = fields.get("Value", "")
            case "Topic" | "Queue" | "CloudFunction":
                arn = value
            case _:
                raise _malformed()
    if not arn or not events:
        raise _malformed()
    return Listener(kind=kind, id=name or new_id(), arn=arn, events=tuple(events), **affixes)


def _share_an_event(one: Listener, other: Listener) -> bool:
    def families(events: Sequence[str]) -> set[str]:
        return {event.removesuffix("*") for event in events}

    return any(
        first.startswith(second) or second.startswith(first)
        for first in families(one.events)
        for second in families(other.events)
    )


def _overlap(one: Listener, other: Listener) -> bool:
    prefixes = one.prefix.startswith(other.prefix) or other.prefix.startswith(one.prefix)
    return prefixes and (one.suffix.endswith(other.suffix) or other.suffix.endswith(one.suffix))


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _malformed() -> ConfigurationError:
    return ConfigurationError(
        "MalformedXML",
        "The XML you provided was not well-formed or did not validate against our published schema",
    )
