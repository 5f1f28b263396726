"""Sample events of every source, shaped as AWS delivers them, for a resource of a declaration or for one made up.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-services.html. Ids and times are fixed: the same call gives the
same event.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any, cast
from urllib.parse import quote_plus, urlencode

from lambdaform.model.problem import LambdaformError
from lambdaform.testing import broker_events
from lambdaform.testing.origin import ID, MILLIS, TIME, Origin, text_of

Json = Any


def sqs(origin: Origin, *, body: Json = None, attributes: Mapping[str, str] | None = None, group: str = "1") -> Json:
    """One message of a queue. `body` is sent as it is when it is a text, anything else as JSON."""
    text = text_of({"id": "1"} if body is None else body)
    system = {
        "ApproximateReceiveCount": "1",
        "SentTimestamp": str(MILLIS),
        "SenderId": origin.account,
        "ApproximateFirstReceiveTimestamp": str(MILLIS),
    }
    if origin.name.endswith(".fifo"):
        system |= {
            "SequenceNumber": "18850000000000000000",
            "MessageGroupId": group,
            "MessageDeduplicationId": hashlib.sha256(text.encode()).hexdigest(),
        }
    return {
        "Records": [
            {
                "messageId": ID,
                "receiptHandle": "sample",
                "body": text,
                "attributes": system,
                "messageAttributes": {name: _message_attribute(value) for name, value in (attributes or {}).items()},
                "md5OfBody": hashlib.md5(text.encode(), usedforsecurity=False).hexdigest(),
                "eventSource": "aws:sqs",
                "eventSourceARN": origin.arn("sqs", "{}"),
                "awsRegion": origin.region,
            }
        ]
    }


def _message_attribute(value: str) -> Json:
    return {"stringValue": value, "stringListValues": [], "binaryListValues": [], "dataType": "String"}


def sns(
    origin: Origin, *, message: Json = None, subject: str | None = None, attributes: Mapping[str, str] | None = None
) -> Json:
    """One message of a topic. `message` is published as it is when it is a text, anything else as JSON."""
    topic = origin.arn("sns", "{}")
    return {
        "Records": [
            {
                "EventSource": "aws:sns",
                "EventVersion": "1.0",
                "EventSubscriptionArn": f"{topic}:{ID}",
                "Sns": {
                    "Type": "Notification",
                    "MessageId": ID,
                    "TopicArn": topic,
                    "Subject": subject,
                    "Message": text_of({"id": "1"} if message is None else message),
                    "Timestamp": TIME,
                    "SignatureVersion": "1",
                    "Signature": "sample",
                    "SigningCertUrl": "https://sns.example/cert.pem",
                    "UnsubscribeUrl": "https://sns.example/unsubscribe",
                    "MessageAttributes": {
                        name: {"Type": "String", "Value": value} for name, value in (attributes or {}).items()
                    },
                },
            }
        ]
    }


def s3(origin: Origin, *, key: str = "folder/file.txt", event: str = "ObjectCreated:Put", size: int = 4) -> Json:
    """One notification of a bucket about the object `key`."""
    thing: dict[str, Json] = {"key": quote_plus(key, safe="/"), "sequencer": "0"}
    if event.startswith("ObjectCreated"):
        thing |= {"size": size, "eTag": "sample"}
    return {
        "Records": [
            {
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "awsRegion": origin.region,
                "eventTime": TIME,
                "eventName": event,
                "userIdentity": {"principalId": "sample"},
                "requestParameters": {"sourceIPAddress": "127.0.0.1"},
                "responseElements": {"x-amz-request-id": "sample", "x-amz-id-2": "sample"},
                "s3": {
                    "s3SchemaVersion": "1.0",
                    "configurationId": "sample",
                    "bucket": {
                        "name": origin.name,
                        "ownerIdentity": {"principalId": "sample"},
                        "arn": f"arn:aws:s3:::{origin.name}",
                    },
                    "object": thing,
                },
            }
        ]
    }


def dynamodb(
    origin: Origin,
    *,
    keys: Mapping[str, Json] | None = None,
    new: Mapping[str, Json] | None = None,
    old: Mapping[str, Json] | None = None,
) -> Json:
    """One change of a table: an insert with `new`, a removal with `old`, a modification with both; plain values."""
    if new is None and old is None:
        new = {"id": "1"}
    images = {"NewImage": new, "OldImage": old}
    found = {name: _typed(image) for name, image in images.items() if image is not None}
    kind = "MODIFY" if new is not None and old is not None else "INSERT" if new is not None else "REMOVE"
    image = new if new is not None else (old or {})
    chosen: dict[str, Json] = dict(keys) if keys is not None else dict(list(image.items())[:1])
    view = {"MODIFY": "NEW_AND_OLD_IMAGES", "INSERT": "NEW_IMAGE", "REMOVE": "OLD_IMAGE"}[kind]
    return {
        "Records": [
            {
                "eventID": "1",
                "eventName": kind,
                "eventVersion": "1.1",
                "eventSource": "aws:dynamodb",
                "awsRegion": origin.region,
                "dynamodb": {
                    "ApproximateCreationDateTime": MILLIS // 1000,
                    "Keys": _typed(chosen),
                    **found,
                    "SequenceNumber": "1",
                    "SizeBytes": len(json.dumps(found)),
                    "StreamViewType": view,
                },
                "eventSourceARN": origin.arn("dynamodb", "table/{}/stream/2026-01-01T00:00:00.000"),
            }
        ]
    }


def _typed(item: Mapping[str, Json]) -> dict[str, Json]:
    return {name: _attribute(value) for name, value in item.items()}


def _attribute(value: Json) -> Json:
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case int() | float():
            return {"N": str(value)}
        case bytes():
            return {"B": base64.b64encode(value).decode()}
        case list() | tuple():
            return {"L": [_attribute(each) for each in cast("list[Json]", value)]}
        case dict():
            return {"M": _typed(cast("dict[str, Json]", value))}
        case _:
            return {"S": str(value)}


def kinesis(origin: Origin, *, data: Json = None, partition_key: str = "1") -> Json:
    """One record of a stream. `data` goes as it is when it is text or bytes, anything else as JSON."""
    content = data if isinstance(data, bytes) else text_of({"id": "1"} if data is None else data).encode()
    return {
        "Records": [
            {
                "kinesis": {
                    "kinesisSchemaVersion": "1.0",
                    "partitionKey": partition_key,
                    "sequenceNumber": "1",
                    "data": base64.b64encode(content).decode(),
                    "approximateArrivalTimestamp": MILLIS / 1000,
                },
                "eventSource": "aws:kinesis",
                "eventVersion": "1.0",
                "eventID": "shardId-000000000000:1",
                "eventName": "aws:kinesis:record",
                "invokeIdentityArn": f"arn:aws:iam::{origin.account}:role/sample",
                "awsRegion": origin.region,
                "eventSourceARN": origin.arn("kinesis", "stream/{}"),
            }
        ]
    }


def eventbridge(
    origin: Origin, *, source: str = "sample", detail_type: str = "sample", detail: Json = None, time: str = TIME
) -> Json:
    """One event of a bus."""
    return {
        "version": "0",
        "id": ID,
        "detail-type": detail_type,
        "source": source,
        "account": origin.account,
        "time": time[:19] + "Z",
        "region": origin.region,
        "resources": [],
        "detail": {"id": "1"} if detail is None else detail,
    }


def schedule(origin: Origin, *, time: str = TIME) -> Json:
    """What a schedule without an input of its own sends."""
    return {
        "version": "0",
        "id": ID,
        "detail-type": "Scheduled Event",
        "source": "aws.scheduler",
        "account": origin.account,
        "time": time[:19] + "Z",
        "region": origin.region,
        "resources": [origin.arn("scheduler", "schedule/default/{}")],
        "detail": "{}",
    }


def http(
    origin: Origin,
    *,
    method: str = "POST",
    path: str = "/",
    body: Json = None,
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
    cookies: tuple[str, ...] = (),
) -> Json:
    """One request to a function URL. `body` goes as it is when it is a text, base64 when bytes, else as JSON."""
    domain = f"{origin.name}.lambda-url.{origin.region}.on.aws"
    given = {name.lower(): value for name, value in (headers or {}).items()}
    if body is None and method in ("POST", "PUT", "PATCH"):
        body = {"id": "1"}
    if body is not None and not isinstance(body, bytes):
        given.setdefault("content-type", "text/plain" if isinstance(body, str) else "application/json")
    event: dict[str, Json] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": urlencode(query or {}),
        **({"cookies": list(cookies)} if cookies else {}),
        "headers": {"host": domain, "x-forwarded-for": "127.0.0.1", **given},
        **({"queryStringParameters": dict(query)} if query else {}),
        "requestContext": {
            "accountId": "anonymous",
            "apiId": origin.name,
            "domainName": domain,
            "domainPrefix": origin.name,
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
                "userAgent": "sample",
            },
            "requestId": ID,
            "routeKey": "$default",
            "stage": "$default",
            "time": "01/Jan/2026:12:00:00 +0000",
            "timeEpoch": MILLIS,
        },
        "isBase64Encoded": isinstance(body, bytes),
    }
    if body is not None:
        event["body"] = base64.b64encode(body).decode() if isinstance(body, bytes) else text_of(body)
    return event


def logs(origin: Origin, *, messages: tuple[str, ...] = ("sample",), stream: str = "sample") -> Json:
    """Some lines of a log group, packed as a subscription sends them."""
    document = {
        "messageType": "DATA_MESSAGE",
        "owner": origin.account,
        "logGroup": origin.name,
        "logStream": stream,
        "subscriptionFilters": ["sample"],
        "logEvents": [
            {"id": f"{number:056d}", "timestamp": MILLIS, "message": text} for number, text in enumerate(messages)
        ],
    }
    packed = gzip.compress(json.dumps(document).encode(), mtime=0)
    return {"awslogs": {"data": base64.b64encode(packed).decode()}}


EVENTS: Mapping[str, Callable[..., Json]] = {
    "sqs": sqs,
    "sns": sns,
    "s3": s3,
    "dynamodb": dynamodb,
    "kinesis": kinesis,
    "eventbridge": eventbridge,
    "schedule": schedule,
    "http": http,
    "logs": logs,
    "msk": broker_events.msk,
    "kafka": broker_events.kafka,
    "mq": broker_events.mq,
    "rabbitmq": broker_events.rabbitmq,
    "documentdb": broker_events.documentdb,
}
"""Kind of event to what makes a sample of it."""

OF_RESOURCE: Mapping[str, str] = {
    "sqs.queue": "sqs",
    "sns.topic": "sns",
    "s3.bucket": "s3",
    "dynamodb.table": "dynamodb",
    "kinesis.stream": "kinesis",
    "events.rule": "eventbridge",
    "events.bus": "eventbridge",
    "scheduler.schedule": "schedule",
    "lambda.url": "http",
    "logs.group": "logs",
}
"""Kind of resource to the kind of event it sends."""


OF_BROKER: Mapping[str, str] = {"msk": "topic", "kafka": "topic", "mq": "queue", "documentdb": "database"}
"""Kind of a mapping's source, which is the kind of its events, to the prop that names what is read."""


def sample_event(kind: str, *, region: str, account: str, name: str = "sample", **fields: Json) -> Json:
    """A sample event. Raises `LambdaformError` for a kind there is not, and for a field its kind does not have."""
    make = EVENTS.get(kind)
    if make is None:
        raise LambdaformError(f"there is no kind of event called {kind}", hint=f"kinds: {', '.join(sorted(EVENTS))}")
    takes = [name for name in inspect.signature(make).parameters if name != "origin"]
    unknown = [name for name in fields if name not in takes]
    if unknown:
        raise LambdaformError(f"an event of {kind} has no {unknown[0]}", hint=f"it takes {', '.join(takes)}")
    return make(Origin(region, account, name), **fields)
