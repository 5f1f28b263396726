"""Which reader an address has. Each one's library is imported only when its kind of broker is read."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from typing import Any, cast

from lambdaform.local.brokers import SCHEMES, Address
from lambdaform.local.event_sources import BROKERS, GROUPS, Kind, kind_of
from lambdaform.local.pollers.reader import Reader
from lambdaform.local.ports import EventMapping, Json


def is_installed(library: str) -> bool:
    """Whether a package can be imported."""
    return importlib.util.find_spec(library) is not None


def why_not(
    source_arn: str,
    settings: Mapping[str, Json],
    address: Address | None,
    *,
    is_installed: Callable[[str], bool] = is_installed,
) -> str | None:
    """Why nothing is read by a mapping of a broker, in words; None when it is read."""
    kind = kind_of(source_arn, settings)
    if kind is None or kind not in BROKERS:
        raise AssertionError("bug in lambdaform: this mapping is of no broker")
    beginning = f"the local AWS does not read from {BROKERS[kind]}"
    if address is None:
        schemes = [scheme for scheme, each in SCHEMES.items() if kind in each.kinds and not each.is_encrypted]
        options = " or ".join(f"--broker {kind}={scheme}://HOST:PORT" for scheme in schemes)
        return f"{beginning} without an address: {options}"
    if _is_shared(kind, settings):
        return f"{beginning} in share groups (ConsumptionMode Queue)"
    scheme = SCHEMES[address.scheme]
    if scheme.library is not None and not is_installed(scheme.library):
        return f"{beginning} without {scheme.library}: pip install 'lambdaform[{scheme.extra}]'"
    return None


def reader_of(mapping: EventMapping, address: Address) -> Reader:
    """What reads a mapping's source at an address; only where `why_not` has nothing against it."""
    return READERS[address.scheme](mapping, address)


def _is_shared(kind: Kind, settings: Mapping[str, Json]) -> bool:
    config = cast(Mapping[str, Any], settings.get(GROUPS.get(kind, "")) or {})
    return config.get("ConsumptionMode") == "Queue"


def _kafka(mapping: EventMapping, address: Address) -> Reader:
    from lambdaform.local.pollers.kafka import KafkaReader

    return KafkaReader(mapping, address)


def _rabbitmq(mapping: EventMapping, address: Address) -> Reader:
    from lambdaform.local.pollers.rabbitmq import RabbitReader

    return RabbitReader(mapping, address)


def _activemq(mapping: EventMapping, address: Address) -> Reader:
    from lambdaform.local.pollers.activemq import ActiveReader

    return ActiveReader(mapping, address)


def _documentdb(mapping: EventMapping, address: Address) -> Reader:
    from lambdaform.local.pollers.documentdb import ChangeReader

    return ChangeReader(mapping, address)


READERS: Mapping[str, Callable[[EventMapping, Address], Reader]] = {
    "kafka": _kafka,
    "kafka+ssl": _kafka,
    "amqp": _rabbitmq,
    "amqps": _rabbitmq,
    "stomp": _activemq,
    "stomp+ssl": _activemq,
    "mongodb": _documentdb,
}
"""By scheme: each of `SCHEMES` is here."""
