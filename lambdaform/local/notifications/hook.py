"""Around every request to S3: answers those about notifications itself, and tells listeners of what the others did."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import cast
from xml.sax.saxutils import escape

import attrs

from lambdaform.local.clock import Ids
from lambdaform.local.delivery import Delivery, Parcel, service_of
from lambdaform.local.notifications import configuration, documents, requests
from lambdaform.local.notifications.configuration import Configuration, ConfigurationError, Listener
from lambdaform.local.notifications.documents import Circumstances, Happening
from lambdaform.local.ports import AwsFault, Clock, DataServices, Permits

Answered = tuple[int, list[tuple[str, str]], bytes]
Forward = Callable[[], Awaitable[Answered]]

_NAMES = {"CloudFunction": "Lambda function", "Queue": "queue", "Topic": "topic"}


class Notifications:
    """The notification configurations of all buckets. One per local AWS."""

    def __init__(self, *, clock: Clock, ids: Ids, data: DataServices, delivery: Delivery) -> None:
        self._clock = clock
        self._ids = ids
        self._data = data
        self._delivery = delivery
        self._configurations: dict[str, Configuration] = {}
        self._count = 0
        self.permits: Permits | None = None
        """Asked before a function becomes a listener; without it every function may."""

    async def around(
        self,
        method: str,
        path: str,
        query: str,
        headers: Mapping[str, str],
        body: bytes,
        forward: Forward,
        *,
        region: str,
        account: str,
        request_id: str,
    ) -> Answered:
        """Pass a request on and answer what the client gets. Header names are in lower case."""
        place, asked = requests.place_of(path, headers), requests.query_of(query)
        if place.bucket and not place.key and "notification" in asked and method in ("GET", "PUT"):
            self._count += 1
            circumstances = self._circumstances(region, account, request_id)
            return await self._configure(method, place.bucket, headers, body, forward, circumstances)
        status, answered, content = await forward()
        if not 200 <= status < 300:
            return status, answered, content
        if method == "DELETE" and place.bucket and not place.key and not asked:
            self._configurations.pop(place.bucket, None)
        held = self._configurations.get(place.bucket)
        if held is not None and (held.listeners or held.has_bus):
            found = {name.lower(): value for name, value in answered}
            for happening in requests.happenings(method, place, asked, headers, body, found, content):
                trace = self._delivery.trace
                subject = f"arn:aws:s3:::{happening.bucket}/{happening.key}"
                with trace.under(trace.add("object", subject, event=happening.event)):
                    await self._tell(held, happening, self._circumstances(region, account, request_id))
        return status, answered, content

    # Configuring

    async def _configure(
        self,
        method: str,
        bucket: str,
        headers: Mapping[str, str],
        body: bytes,
        forward: Forward,
        circumstances: Circumstances,
    ) -> Answered:
        xml = [("Content-Type", "application/xml"), ("x-amz-request-id", circumstances.request_id)]
        if method == "GET":
            status, answered, content = await forward()  # only the library knows whether the bucket is there
            if status >= 400:
                return status, answered, content
            return 200, xml, configuration.text(self._configurations.get(bucket, Configuration()))
        try:
            await self._data.call("s3", "HeadBucket", {"Bucket": bucket}, region=circumstances.region)
        except AwsFault:
            missing = ConfigurationError("NoSuchBucket", "The specified bucket does not exist", ("BucketName", bucket))
            return 404, xml, _error(missing, circumstances.request_id)
        try:
            wanted = configuration.parse(body, self._ids.uuid)
            configuration.check(wanted)
            if headers.get("x-amz-skip-destination-validation", "").lower() != "true":
                self._check_destinations(bucket, wanted, circumstances)
        except ConfigurationError as error:
            return 400, xml, _error(error, circumstances.request_id)
        self._configurations[bucket] = wanted
        self._try_out(bucket, wanted, circumstances)
        return 200, xml, b""

    def _check_destinations(self, bucket: str, wanted: Configuration, circumstances: Circumstances) -> None:
        for listener in wanted.listeners:
            reason: str | None = None
            expected = {"CloudFunction": "lambda", "Queue": "sqs", "Topic": "sns"}[listener.kind]
            if service_of(listener.arn) != expected:
                raise ConfigurationError("InvalidArgument", "The ARN could not be parsed", ("ARN", listener.arn))
            if not self._delivery.exists(listener.arn, region=circumstances.region):
                reason = f"The destination {_NAMES[listener.kind]} does not exist"
            elif listener.kind == "CloudFunction" and self.permits is not None:
                if not self.permits(listener.arn, "s3.amazonaws.com", f"arn:aws:s3:::{bucket}"):
                    reason = "Not authorized to invoke function [" + listener.arn + "]"
            elif listener.kind == "Queue" and listener.arn.endswith(".fifo"):
                reason = "FIFO queues are not supported"
            if reason is not None:
                raise ConfigurationError(
                    "InvalidArgument",
                    "Unable to validate the following destination configurations",
                    (listener.arn, reason),
                )

    def _try_out(self, bucket: str, wanted: Configuration, circumstances: Circumstances) -> None:
        """Tell new queues and topics that they are listeners now; functions are not told."""
        text = json.dumps(documents.trial(bucket, circumstances))
        for listener in wanted.listeners:
            if listener.kind != "CloudFunction":
                self._send(listener, text, bucket)

    # Telling

    async def _tell(self, held: Configuration, happening: Happening, circumstances: Circumstances) -> None:
        if happening.event.startswith("ObjectCreated:") and happening.size is None:
            happening = await self._completed(happening, circumstances)
        for listener in held.listeners:
            if listener.hears(happening.event, happening.key):
                told = documents.record(happening, circumstances, listener.id)
                self._send(listener, json.dumps({"Records": [told]}), happening.bucket)
        event = documents.bus_event(happening, circumstances) if held.has_bus else None
        if event is not None:
            bus = f"arn:aws:events:{circumstances.region}:{circumstances.account}:event-bus/default"
            self._delivery.put_event(bus, event)

    async def _completed(self, happening: Happening, circumstances: Circumstances) -> Happening:
        """Size and tag of a new object, as the library has it."""
        try:
            params = {"Bucket": happening.bucket, "Key": happening.key}
            found = await self._data.call("s3", "HeadObject", params, region=circumstances.region)
        except AwsFault:
            return happening  # gone again already
        return attrs.evolve(happening, size=int(found["ContentLength"]), etag=str(found["ETag"]).strip('"'))

    def _send(self, listener: Listener, text: str, bucket: str) -> None:
        try:
            subject = "Amazon S3 Notification" if listener.kind == "Topic" else None
            self._delivery.send(listener.arn, Parcel(text, subject=subject), source=f"arn:aws:s3:::{bucket}")
        except AwsFault as error:
            # S3 has no dead letters: what a destination refuses is gone.
            sys.stderr.write(f"lambdaform: a notification of {bucket} for {listener.arn} is lost: {error}\n")

    def _circumstances(self, region: str, account: str, request_id: str) -> Circumstances:
        self._count += 1
        return Circumstances(
            at=self._clock.now(),
            region=region,
            account=account,
            request_id=request_id,
            sequencer=f"{int(self._clock.now() * 1000):012X}{self._count:06X}",
        )

    # State

    def checkpoint(self) -> object:
        """The configurations of all buckets, for `restore`."""
        return dict(self._configurations)

    def restore(self, state: object) -> None:
        """Be as at the checkpoint."""
        self._configurations = dict(cast(dict[str, Configuration], state))

    def reset(self) -> None:
        """Forget all configurations."""
        self._configurations = {}


def _error(error: ConfigurationError, request_id: str) -> bytes:
    argument = ""
    if error.argument is not None:
        name, value = error.argument
        argument = (
            f"<BucketName>{escape(value)}</BucketName>"
            if name == "BucketName"
            else f"<ArgumentName>{escape(name)}</ArgumentName><ArgumentValue>{escape(value)}</ArgumentValue>"
        )
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{error.code}</Code><Message>{escape(error.message)}'
        f"</Message>{argument}<RequestId>{request_id}</RequestId></Error>"
    ).encode()
