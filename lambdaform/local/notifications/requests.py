"""What a request to S3 was about: its bucket and key, and what it did to objects. Pure functions."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Mapping
from xml.etree import ElementTree

import attrs

from lambdaform.local.notifications.documents import Happening

_HOST = re.compile(r"(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])\.s3[.-]")

# Sub-resources: with one of these in the query, a request is not about the object's content.
_OTHER = frozenset(
    ("acl", "tagging", "uploads", "partNumber", "legal-hold", "retention", "torrent", "restore", "select", "attributes",
     "renameObject")
)  # fmt: skip

Headers = list[tuple[str, str]]


@attrs.frozen
class Place:
    """Where a request goes: a bucket, and an object in it unless the key is empty."""

    bucket: str
    key: str


def place_of(path: str, headers: Mapping[str, str]) -> Place:
    """The bucket and key of a request, by its host or by its path."""
    decoded = urllib.parse.unquote(path.lstrip("/"))
    match = _HOST.match(headers.get("host", ""))
    if match is not None:
        return Place(match["bucket"], decoded)
    bucket, _, key = decoded.partition("/")
    return Place(bucket, key)


def query_of(query: str) -> dict[str, str]:
    """The parameters of a query; those without a value are there with an empty one."""
    return dict(urllib.parse.parse_qsl(query, keep_blank_values=True))


def happenings(
    method: str,
    place: Place,
    query: Mapping[str, str],
    headers: Mapping[str, str],
    body: bytes,
    answered: Mapping[str, str],
    answer: bytes,
) -> list[Happening]:
    """What a request that succeeded did to objects, as far as request and answer tell; `answered` are its headers.

    Size and tag are missing where only the object itself knows them.
    """
    if not place.key:
        if method == "POST" and "delete" in query:
            return _deleted(place.bucket, body, answer)
        if method == "POST" and "multipart/form-data" in headers.get("content-type", ""):
            key = urllib.parse.unquote(answered.get("location", "").rpartition("/")[2])
            return [Happening(event="ObjectCreated:Post", bucket=place.bucket, key=key)] if key else []
        return []
    event = _event(method, query, headers, answered)
    if event is None:
        return []
    version = answered.get("x-amz-version-id")
    is_plain = event == "ObjectCreated:Put"
    return [
        Happening(
            event=event,
            bucket=place.bucket,
            key=place.key,
            size=int(headers.get("x-amz-decoded-content-length") or len(body)) if is_plain else None,
            etag=answered.get("etag", "").strip('"') or None if is_plain else None,
            version=None if version in (None, "null") else version,
        )
    ]


def _event(
    method: str, query: Mapping[str, str], headers: Mapping[str, str], answered: Mapping[str, str]
) -> str | None:
    action = {"PUT": "Put", "DELETE": "Delete"}.get(method)
    if "tagging" in query and action is not None:
        return f"ObjectTagging:{action}"
    if "acl" in query and method == "PUT":
        return "ObjectAcl:Put"
    if method == "POST" and "uploadId" in query:
        return "ObjectCreated:CompleteMultipartUpload"
    if _OTHER & query.keys() or "uploadId" in query:
        return None
    if method == "PUT":
        return "ObjectCreated:Copy" if "x-amz-copy-source" in headers else "ObjectCreated:Put"
    if method == "DELETE":
        is_marker = answered.get("x-amz-delete-marker") == "true" and "versionId" not in query
        return "ObjectRemoved:DeleteMarkerCreated" if is_marker else "ObjectRemoved:Delete"
    return None


def _deleted(bucket: str, body: bytes, answer: bytes) -> list[Happening]:
    """The objects a DeleteObjects request removed: all it named, but for those the answer has an error for."""
    failed = {entry.get("Key") for entry in _entries(answer, "Error")}
    markers = {entry.get("Key") for entry in _entries(answer, "Deleted") if entry.get("DeleteMarker") == "true"}
    found = list[Happening]()
    for entry in _entries(body, "Object"):
        key = entry.get("Key", "")
        if key in failed:
            continue
        is_marker = key in markers and "VersionId" not in entry
        event = "ObjectRemoved:DeleteMarkerCreated" if is_marker else "ObjectRemoved:Delete"
        found.append(Happening(event=event, bucket=bucket, key=key, version=entry.get("VersionId")))
    return found


def _entries(document: bytes, name: str) -> list[dict[str, str]]:
    try:
        root = ElementTree.fromstring(document)
    except ElementTree.ParseError:
        return []
    return [
        {child.tag.rpartition("}")[2]: child.text or "" for child in element}
        for element in root.iter()
        if element.tag.rpartition("}")[2] == name
    ]
