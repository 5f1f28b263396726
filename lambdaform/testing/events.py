"""Sample events of every trigger, shaped as AWS delivers them.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-services.html
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

Json = Any
_TIME = "2026-01-01T12:00:00.000Z"
_MILLIS = 1_767_268_800_000
_ID = "00000000-0000-4000-8000-000000000001"


def _sqs(region: str, account: str) -> Json:
    body = json.dumps({"id": "1"})
    return {
        "Records": [
            {
                "messageId": _ID,
                "receiptHandle": "sample",
                "body": body,
                "attributes": {
                    "ApproximateReceiveCount": "1",
                    "SentTimestamp": str(_MILLIS),
                    "SenderId": account,
                    "ApproximateFirstReceiveTimestamp": str(_MILLIS),
                },
                "messageAttributes": dict[str, Json](),
                "md5OfBody": hashlib.md5(body.encode(), usedforsecurity=False).hexdigest(),
                "eventSource": "aws:sqs",
                "eventSourceARN": f"arn:aws:sqs:{region}:{account}:sample",
                "awsRegion": region,
            }
        ]
    }


def _sns(region: str, account: str) -> Json:
    topic = f"arn:aws:sns:{region}:{account}:sample"
    return {
        "Records": [
            {
                "EventSource": "aws:sns",
                "EventVersion": "1.0",
                "EventSubscriptionArn": f"{topic}:{_ID}",
                "Sns": {
                    "Type": "Notification",
                    "MessageId": _ID,
                    "TopicArn": topic,
                    "Subject": None,
                    "Message": json.dumps({"id": "1"}),
                    "Timestamp": _TIME,
                    "SignatureVersion": "1",
                    "Signature": "sample",
                    "SigningCertUrl": "https://sns.example/cert.pem",
                    "UnsubscribeUrl": "https://sns.example/unsubscribe",
                    "MessageAttributes": dict[str, Json](),
                },
            }
        ]
    }


def _s3(region: str, account: str) -> Json:
    return {
        "Records": [
            {
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "awsRegion": region,
                "eventTime": _TIME,
                "eventName": "ObjectCreated:Put",
                "userIdentity": {"principalId": "sample"},
                "requestParameters": {"sourceIPAddress": "127.0.0.1"},
                "responseElements": {"x-amz-request-id": "sample", "x-amz-id-2": "sample"},
                "s3": {
                    "s3SchemaVersion": "1.0",
                    "configurationId": "sample",
                    "bucket": {
                        "name": "sample",
                        "ownerIdentity": {"principalId": "sample"},
                        "arn": "arn:aws:s3:::sample",
                    },
                    "object": {"key": "folder/file.txt", "size": 4, "eTag": "sample", "sequencer": "0"},
                },
            }
        ]
    }


def _dynamodb(region: str, account: str) -> Json:
    return {
        "Records": [
            {
                "eventID": "1",
                "eventName": "INSERT",
                "eventVersion": "1.1",
                "eventSource": "aws:dynamodb",
                "awsRegion": region,
                "dynamodb": {
                    "ApproximateCreationDateTime": _MILLIS // 1000,
                    "Keys": {"id": {"S": "1"}},
                    "NewImage": {"id": {"S": "1"}},
                    "SequenceNumber": "1",
                    "SizeBytes": 6,
                    "StreamViewType": "NEW_IMAGE",
                },
                "eventSourceARN": f"arn:aws:dynamodb:{region}:{account}:table/sample/stream/2026-01-01T00:00:00.000",
            }
        ]
    }


def _kinesis(region: str, account: str) -> Json:
    return {
        "Records": [
            {
                "kinesis": {
                    "kinesisSchemaVersion": "1.0",
                    "partitionKey": "1",
                    "sequenceNumber": "1",
                    "data": base64.b64encode(b'{"id": "1"}').decode(),
                    "approximateArrivalTimestamp": _MILLIS / 1000,
                },
                "eventSource": "aws:kinesis",
                "eventVersion": "1.0",
                "eventID": "shardId-000000000000:1",
                "eventName": "aws:kinesis:record",
                "invokeIdentityArn": f"arn:aws:iam::{account}:role/sample",
                "awsRegion": region,
                "eventSourceARN": f"arn:aws:kinesis:{region}:{account}:stream/sample",
            }
        ]
    }


def _eventbridge(region: str, account: str) -> Json:
    return {
        "version": "0",
        "id": _ID,
        "detail-type": "sample",
        "source": "sample",
        "account": account,
        "time": "2026-01-01T12:00:00Z",
        "region": region,
        "resources": [],
        "detail": {"id": "1"},
    }


def _schedule(region: str, account: str) -> Json:
    return {
        "version": "0",
        "id": _ID,
        "detail-type": "Scheduled Event",
        "source": "aws.scheduler",
        "account": account,
        "time": "2026-01-01T12:00:00Z",
        "region": region,
        "resources": [f"arn:aws:scheduler:{region}:{account}:schedule/default/sample"],
        "detail": "{}",
    }


def _http(region: str, account: str) -> Json:
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/",
        "rawQueryString": "",
        "headers": {"content-type": "application/json", "host": "sample.lambda-url.on.aws"},
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "sample",
            "domainName": "sample.lambda-url.on.aws",
            "domainPrefix": "sample",
            "http": {
                "method": "POST",
                "path": "/",
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
                "userAgent": "sample",
            },
            "requestId": _ID,
            "routeKey": "$default",
            "stage": "$default",
            "time": "01/Jan/2026:12:00:00 +0000",
            "timeEpoch": _MILLIS,
        },
        "body": '{"id": "1"}',
        "isBase64Encoded": False,
    }


EVENTS: Mapping[str, Callable[[str, str], Json]] = {
    "sqs": _sqs,
    "sns": _sns,
    "s3": _s3,
    "dynamodb": _dynamodb,
    "kinesis": _kinesis,
    "eventbridge": _eventbridge,
    "schedule": _schedule,
    "http": _http,
}
"""Kind of event to what makes a sample of it."""


def sample_event(kind: str, *, region: str, account: str) -> Json:
    """A sample event. Raises `KeyError` for a kind there is not."""
    return EVENTS[kind](region, account)
