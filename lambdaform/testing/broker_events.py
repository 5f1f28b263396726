"""Sample events of Kafka, Amazon MQ and DocumentDB, for functions whose broker is not at hand.

https://docs.aws.amazon.com/lambda/latest/dg/with-msk.html and its neighbours.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from lambdaform.testing.origin import ID, MILLIS, Origin, text_of

Json = Any


def _encoded(value: Json) -> str:
    content = value if isinstance(value, bytes) else text_of({"id": "1"} if value is None else value).encode()
    return base64.b64encode(content).decode()


def _records(topic: str, value: Json, key: str | None, headers: Mapping[str, str] | None) -> Json:
    record: dict[str, Json] = {
        "topic": topic,
        "partition": 0,
        "offset": 0,
        "timestamp": MILLIS,
        "timestampType": "CREATE_TIME",
        **({} if key is None else {"key": _encoded(key)}),
        "value": _encoded(value),
        "headers": [{name: list(text.encode())} for name, text in (headers or {}).items()],
    }
    return {f"{topic}-0": [record]}


def msk(
    origin: Origin, *, value: Json = None, key: str | None = None, headers: Mapping[str, str] | None = None
) -> Json:
    """One record of an Amazon MSK topic. `value` goes as it is when it is text or bytes, anything else as JSON."""
    return {
        "eventSource": "aws:kafka",
        "eventSourceArn": origin.arn("kafka", f"cluster/sample/{ID}-1"),
        "bootstrapServers": "b-1.sample.kafka.example:9092",
        "records": _records(origin.name, value, key, headers),
    }


def kafka(
    origin: Origin, *, value: Json = None, key: str | None = None, headers: Mapping[str, str] | None = None
) -> Json:
    """One record of a topic of one's own Kafka. `value` goes as it is when it is text or bytes, else as JSON."""
    return {
        "eventSource": "SelfManagedKafka",
        "bootstrapServers": "broker.example:9092",
        "records": _records(origin.name, value, key, headers),
    }


def mq(origin: Origin, *, data: Json = None, properties: Mapping[str, Json] | None = None) -> Json:
    """One message of an ActiveMQ queue. `data` goes as it is when it is text or bytes, anything else as JSON."""
    return {
        "eventSource": "aws:mq",
        "eventSourceArn": origin.arn("mq", f"broker:sample:b-{ID}"),
        "messages": [
            {
                "messageID": f"ID:b-{ID}-1.mq.example-1:4:1:1:1:1",
                "messageType": "jms/bytes-message" if isinstance(data, bytes) else "jms/text-message",
                "deliveryMode": 1,
                "replyTo": None,
                "type": None,
                "expiration": 0,
                "priority": 4,
                "correlationId": "",
                "redelivered": False,
                "destination": {"physicalName": origin.name},
                "data": _encoded(data),
                "timestamp": MILLIS,
                "brokerInTime": MILLIS,
                "brokerOutTime": MILLIS,
                "properties": dict(properties or {}),
            }
        ],
    }


def rabbitmq(origin: Origin, *, data: Json = None, virtual_host: str = "/") -> Json:
    """One message of a RabbitMQ queue. `data` goes as it is when it is text or bytes, anything else as JSON."""
    encoded = _encoded(data)
    nothing = ("contentEncoding", "priority", "correlationId", "replyTo", "expiration", "messageId", "type", "userId")
    properties: dict[str, Json] = {
        "contentType": "text/plain",
        **dict.fromkeys((*nothing, "appId", "clusterId")),
        "headers": {},
        "deliveryMode": 1,
        "timestamp": "Jan 1, 2026, 12:00:00 PM",
        "bodySize": len(base64.b64decode(encoded)),
    }
    message = {"basicProperties": properties, "redelivered": False, "data": encoded}
    return {
        "eventSource": "aws:rmq",
        "eventSourceArn": origin.arn("mq", f"broker:sample:b-{ID}"),
        "rmqMessagesByQueue": {f"{origin.name}::{virtual_host}": [message]},
    }


def documentdb(origin: Origin, *, operation: str = "insert", document: Json = None, collection: str = "sample") -> Json:
    """One change of a collection; the name is the database's."""
    oid = {"_id": {"$oid": "65928f00e7d418cd98afb1c1"}}
    event: dict[str, Json] = {
        "_id": {"_data": "0165928f00000000010100000001000041e1"},
        "clusterTime": {"$timestamp": {"t": MILLIS // 1000, "i": 1}},
        "documentKey": oid,
        "ns": {"db": origin.name, "coll": collection},
        "operationType": operation,
    }
    if operation != "delete":
        event["fullDocument"] = {**oid, **({"id": "1"} if document is None else document)}
    return {
        "eventSourceArn": origin.arn("rds", "cluster:sample"),
        "events": [{"event": event}],
        "eventSource": "aws:docdb",
    }
