"""Addresses of real brokers: what the local AWS may connect to for mappings of Kafka and other brokers.

Without an address given here nothing is connected to, whatever a mapping names; only a Kafka of one's own whose every
address is on loopback is its own address. A password stays in `Address` and is in no text made from one.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast
from urllib.parse import parse_qsl, unquote, urlsplit

import attrs

from lambdaform.local.event_sources import BROKERS, Kind, kind_of
from lambdaform.local.ports import Json
from lambdaform.model.problem import LambdaformError

VARIABLE = "LAMBDAFORM_BROKERS"
"""The same as the option, separated by spaces: command lines can be seen by other users of a machine."""

_SERVER = re.compile(r"(?:\[[0-9a-fA-F:]+\]|[A-Za-z0-9.\-]+):[0-9]{1,5}")


@attrs.frozen
class Scheme:
    """What a scheme of addresses is for, and what reads it."""

    kinds: frozenset[Kind]
    port: int
    """Where such a broker listens when an address names no port."""
    library: str | None = None
    """The package that speaks its protocol, as it is imported; None where we do."""
    extra: str | None = None
    """The extra of lambdaform that installs it."""
    is_encrypted: bool = False
    """Whether it is the TLS variant of another."""


_KAFKA = Scheme(frozenset({"kafka", "msk"}), 9092, "aiokafka", "kafka")
_KAFKA_TLS = attrs.evolve(_KAFKA, is_encrypted=True)
_MQ: frozenset[Kind] = frozenset({"mq"})
SCHEMES: Mapping[str, Scheme] = {
    "kafka": _KAFKA,
    "kafka+ssl": _KAFKA_TLS,
    "amqp": Scheme(_MQ, 5672, "aiormq", "mq"),
    "amqps": Scheme(_MQ, 5671, "aiormq", "mq", is_encrypted=True),
    "stomp": Scheme(_MQ, 61613),
    "stomp+ssl": Scheme(_MQ, 61614, is_encrypted=True),
    "mongodb": Scheme(frozenset({"documentdb"}), 27017, "pymongo", "documentdb"),
}
"""Each scheme that can be read."""


class BadAddress(LambdaformError):
    """What is given as the address of a broker is none."""


@attrs.frozen
class Address:
    """Where a broker really is, and how to log in there."""

    scheme: str
    hosts: tuple[str, ...]
    """Each as `host:port`."""
    user: str | None = None
    password: str | None = attrs.field(default=None, repr=False)
    path: str = ""
    """What follows the hosts, without its first slash: a virtual host, for those that have them."""
    query: Mapping[str, str] = attrs.field(factory=dict[str, str], repr=False)

    def __str__(self) -> str:
        return f"{self.scheme}://{','.join(self.hosts)}"


@attrs.frozen
class Brokers:
    """Which addresses were given for which sources."""

    by_source: Mapping[str, Address] = attrs.field(factory=dict[str, Address])
    """By the ARN of a source, by one bootstrap server of a Kafka of one's own, or by kind."""

    @classmethod
    def of(cls, given: Mapping[str, str]) -> Brokers:
        """The addresses in URLs by source. Raises `BadAddress`."""
        return cls({source: address_of(source, url) for source, url in given.items()})

    def address(self, source_arn: str, settings: Mapping[str, Json]) -> Address | None:
        """Where a mapping is to read; None when nothing was said and it is no Kafka on loopback."""
        kind = kind_of(source_arn, settings)
        if kind is None:
            return None
        servers = servers_of(settings) if kind == "kafka" else ()
        for name in (source_arn, *servers, kind):
            if name in self.by_source:
                return self.by_source[name]
        if servers and all(_is_loopback(server) for server in servers):
            return Address("kafka", servers)
        return None


def split_options(options: Iterable[str]) -> dict[str, str]:
    """URLs by source of options `SOURCE=URL`, each checked. Raises `BadAddress`."""
    found: dict[str, str] = {}
    for option in options:
        source, equals, url = option.partition("=")
        if not equals:
            raise BadAddress("a broker is given as SOURCE=URL, such as kafka=kafka://localhost:9092")
        address_of(source, url)
        if source in found:
            raise BadAddress(f"{source} is given twice")
        found[source] = url
    return found


def as_variable(given: Mapping[str, str]) -> str:
    """URLs by source as `VARIABLE` holds them."""
    return " ".join(f"{source}={url}" for source, url in given.items())


def forget_variable() -> None:
    """Take the addresses out of this process's environment: nothing that it starts is to know a password."""
    os.environ.pop(VARIABLE, None)


def address_of(source: str, url: str) -> Address:
    """What one option says, checked for its source. Raises `BadAddress`, which tells no part of the URL but its
    scheme: the rest may hold a password.
    """
    kind = _kind_named(source)
    try:
        parts = urlsplit(url)
    except ValueError:
        raise BadAddress(f"the address of {source} is no URL") from None
    scheme = SCHEMES.get(parts.scheme)
    known = ", ".join(f"{name}://" for name, each in SCHEMES.items() if kind in each.kinds)
    if scheme is None or kind not in scheme.kinds:
        wrong = f"{parts.scheme}:// is not" if "://" in url else "that is not"
        raise BadAddress(f"{wrong} how {BROKERS[kind]} is read; {source} takes {known}host:port")
    login, _, places = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    hosts = tuple(_with_port(place, source, scheme.port) for place in places.split(","))
    if any(character.isspace() for character in url):
        raise BadAddress(f"the address of {source} has a space in it; write it as %20")
    return Address(
        parts.scheme,
        hosts,
        unquote(user) or None,
        unquote(password) or None,
        unquote(parts.path.removeprefix("/")),
        dict(parse_qsl(parts.query)),
    )


def place_of_host(host: str) -> tuple[str, int]:
    """The name and the port in one of an address's hosts."""
    name, _, port = host.rpartition(":")
    return name.strip("[]"), int(port)


def servers_of(settings: Mapping[str, Json]) -> tuple[str, ...]:
    """The bootstrap servers that a mapping of a Kafka of one's own names."""
    source = cast(Mapping[str, Any], settings.get("SelfManagedEventSource") or {})
    endpoints = cast(Mapping[str, Sequence[str]], source.get("Endpoints") or {})
    return tuple(endpoints.get("KAFKA_BOOTSTRAP_SERVERS") or ())


def _kind_named(source: str) -> Kind:
    """The kind of source that an option is for."""
    if source in BROKERS:
        return cast(Kind, source)
    if source.startswith("arn:"):
        kind = kind_of(source, {})
        if kind is None or kind not in BROKERS:
            raise BadAddress(f"{source} is no ARN of a broker or cluster that mappings read")
        return kind
    if _SERVER.fullmatch(source):
        return "kafka"
    near = difflib.get_close_matches(source, BROKERS, n=1)
    meant = f"; did you mean {near[0]}?" if near else ""
    raise BadAddress(f"{source!r} is neither an ARN, nor host:port, nor one of {', '.join(BROKERS)}{meant}")


def _with_port(place: str, source: str, port: int) -> str:
    server = place if _SERVER.fullmatch(place) else f"{place}:{port}"
    if not _SERVER.fullmatch(server) or not 0 < int(server.rpartition(":")[2]) < 65_536:
        raise BadAddress(f"the address of {source} must name its brokers as host:port[,host:port]")
    return server


def _is_loopback(server: str) -> bool:
    host = server.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
