"""What listeners of a bucket are told. Pure functions.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
"""

from __future__ import annotations

import urllib.parse
from typing import Any

import attrs

from lambdaform.local.clock import iso
from lambdaform.local.events.rules import iso_seconds

_OWNER = "A1LAMBDAFORMLOCAL"
_PRINCIPAL = "AWS:AIDALAMBDAFORMLOCAL00"
_REASONS = {
    "ObjectCreated:Put": "PutObject",
    "ObjectCreated:Post": "POST Object",
    "ObjectCreated:Copy": "CopyObject",
    "ObjectCreated:CompleteMultipartUpload": "CompleteMultipartUpload",
    "ObjectRemoved:Delete": "DeleteObject",
    "ObjectRemoved:DeleteMarkerCreated": "DeleteObject",
}
_DETAIL_TYPES = {
    "ObjectCreated": "Object Created",
    "ObjectRemoved": "Object Deleted",
    "ObjectAcl": "Object ACL Updated",
    "ObjectTagging:Put": "Object Tags Added",
    "ObjectTagging:Delete": "Object Tags Deleted",
}


@attrs.frozen(kw_only=True)
class Happening:
    """Something that happened to an object."""

    event: str
    """Such as `ObjectCreated:Put`."""
    bucket: str
    key: str
    size: int | None = None
    etag: str | None = None
    version: str | None = None


@attrs.frozen(kw_only=True)
class Circumstances:
    """When and in which request it happened."""

    at: float
    region: str
    account: str
    request_id: str
    sequencer: str


def record(happening: Happening, circumstances: Circumstances, listener_id: str) -> dict[str, Any]:
    """The one record of a notification."""
    thing: dict[str, Any] = {"key": urllib.parse.quote_plus(happening.key, safe="/")}
    if happening.size is not None:
        thing["size"] = happening.size
    if happening.etag is not None:
        thing["eTag"] = happening.etag
    if happening.version is not None:
        thing["versionId"] = happening.version
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": circumstances.region,
        "eventTime": iso(circumstances.at),
        "eventName": happening.event,
        "userIdentity": {"principalId": _PRINCIPAL},
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "responseElements": {"x-amz-request-id": circumstances.request_id, "x-amz-id-2": circumstances.request_id},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": listener_id,
            "bucket": {
                "name": happening.bucket,
                "ownerIdentity": {"principalId": _OWNER},
                "arn": f"arn:aws:s3:::{happening.bucket}",
            },
            "object": {**thing, "sequencer": circumstances.sequencer},
        },
    }


def bus_event(happening: Happening, circumstances: Circumstances) -> dict[str, Any] | None:
    """The event the default bus is told; None for what it is not told of.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
    """
    family = happening.event.partition(":")[0]
    kind = _DETAIL_TYPES.get(happening.event) or _DETAIL_TYPES.get(family)
    if kind is None:
        return None
    thing: dict[str, Any] = {"key": happening.key}
    optional = {"size": happening.size, "etag": happening.etag, "version-id": happening.version}
    thing |= {name: value for name, value in optional.items() if value is not None}
    detail: dict[str, Any] = {
        "version": "0",
        "bucket": {"name": happening.bucket},
        "object": {**thing, "sequencer": circumstances.sequencer},
        "request-id": circumstances.request_id,
        "requester": circumstances.account,
        "source-ip-address": "127.0.0.1",
    }
    if (reason := _REASONS.get(happening.event)) is not None:
        detail["reason"] = reason
    if family == "ObjectRemoved":
        is_marker = happening.event.endswith("DeleteMarkerCreated")
        detail["deletion-type"] = "Delete Marker Created" if is_marker else "Permanently Deleted"
    return {
        "source": "aws.s3",
        "detail-type": kind,
        "time": iso_seconds(circumstances.at),
        "resources": [f"arn:aws:s3:::{happening.bucket}"],
        "detail": detail,
    }


def trial(bucket: str, circumstances: Circumstances) -> dict[str, str]:
    """What queues and topics are told when they are set as listeners."""
    return {
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Time": iso(circumstances.at),
        "Bucket": bucket,
        "RequestId": circumstances.request_id,
        "HostId": circumstances.request_id,
    }
