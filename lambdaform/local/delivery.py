"""Sends a document to whatever an ARN names: a queue, a topic, a function, an event bus, a bucket.

Asynchronous invocations, pollers, topics, rules and schedules deliver through here and so do not know of each other.
One per local AWS; its parties are attached once all exist.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from typing import Protocol

import attrs

from lambdaform.local.clock import Ids
from lambdaform.local.ports import AwsFault, Clock, DataServices, Invoker, Json
from lambdaform.local.sqs.store import QueueStore
from lambdaform.local.sqs.values import Attribute
from lambdaform.local.trace import Trace


class Topics(Protocol):
    """SNS, as those who publish for themselves see it."""

    def publish(
        self, arn: str, message: str, *, subject: str | None = None, attributes: Mapping[str, Attribute] | None = None
    ) -> str:
        """Publish a message; returns its id, raises `AwsFault`."""
        ...

    def exists(self, arn: str) -> bool:
        """Whether there is such a topic."""
        ...


class Buses(Protocol):
    """EventBridge, as those who put events for themselves see it."""

    def put(self, bus_arn: str, event: Mapping[str, Json]) -> str:
        """Put an event that has `source`, `detail-type`, `detail` on a bus; returns its id, raises `AwsFault`."""
        ...


@attrs.frozen
class Parcel:
    """What is sent, with what only some destinations take of it."""

    body: str
    attributes: Mapping[str, Attribute] = attrs.field(factory=dict[str, Attribute])
    group: str | None = None
    deduplication: str | None = None
    subject: str | None = None
    trace: str | None = None


class Delivery:
    """The way to every destination. Raises `AwsFault` when a destination does not take what it is sent."""

    def __init__(self, *, clock: Clock, ids: Ids, trace: Trace | None = None) -> None:
        self._clock = clock
        self._ids = ids
        self.trace = trace or Trace(clock.now)
        self._queues: QueueStore | None = None
        self._topics: Topics | None = None
        self._buses: Buses | None = None
        self._invoker: Invoker | None = None
        self._data: DataServices | None = None

    def attach(
        self,
        *,
        queues: QueueStore | None = None,
        topics: Topics | None = None,
        buses: Buses | None = None,
        invoker: Invoker | None = None,
        data: DataServices | None = None,
    ) -> None:
        """Make destinations known; those not given stay as they are."""
        self._queues = queues or self._queues
        self._topics = topics or self._topics
        self._buses = buses or self._buses
        self._invoker = invoker or self._invoker
        self._data = data or self._data

    def send(self, arn: str, parcel: Parcel, *, source: str) -> None:
        """Send to a queue, a topic or a function; `source` is the ARN of the sender.

        Raises `AwsFault`: the destination is missing, refuses, or is of a kind that takes no plain document.
        """
        match service_of(arn):
            case "sqs" if self._queues is not None:
                self._queues.send(
                    arn,
                    parcel.body,
                    parcel.attributes,
                    group=parcel.group,
                    deduplication=parcel.deduplication,
                    trace=parcel.trace,
                )
            case "sns" if self._topics is not None:
                self._topics.publish(arn, parcel.body, subject=parcel.subject, attributes=parcel.attributes)
            case "lambda" if self._invoker is not None:
                region = arn.split(":")[3]
                self._invoker.accept(arn, parcel.body.encode(), region=region, source=source, trace=parcel.trace)
            case _:
                raise unsupported(arn)

    def put_event(self, bus_arn: str, event: Mapping[str, Json]) -> None:
        """Put an event on a bus; raises `AwsFault`."""
        if self._buses is None:
            raise unsupported(bus_arn)
        self._buses.put(bus_arn, event)

    async def put_object(self, bucket_arn: str, key: str, body: bytes, *, region: str) -> None:
        """Put an object into a bucket; raises `AwsFault`."""
        if self._data is None:
            raise unsupported(bucket_arn)
        params = {"Bucket": bucket_arn.split(":::", 1)[1], "Key": key, "Body": body}
        await self._data.call("s3", "PutObject", params, region=region)

    def exists(self, arn: str, *, region: str) -> bool:
        """Whether a queue, topic or function is there; anything else is taken to be."""
        match service_of(arn):
            case "sqs":
                return self._queues is not None and self._queues.find(arn) is not None
            case "sns":
                return self._topics is not None and self._topics.exists(arn)
            case "lambda":
                return self._has_function(arn, region)
            case _:
                return True

    def _has_function(self, arn: str, region: str) -> bool:
        if self._invoker is None:
            return False
        try:
            self._invoker.settings(arn, region=region)
        except AwsFault:
            return False
        return True

    def invocation_event(self, detail: Mapping[str, Json], *, bus_arn: str, function_arn: str) -> dict[str, Json]:
        """A destination record as an event on a bus."""
        is_success = detail["requestContext"]["condition"] == "Success"
        return {
            "source": "lambda",
            "detail-type": f"Lambda Function Invocation Result - {'Success' if is_success else 'Failure'}",
            "resources": [bus_arn, function_arn],
            "detail": dict(detail),
        }

    async def deliver_record(
        self, arn: str, record: Mapping[str, Json], *, function_arn: str, key_prefix: str, region: str
    ) -> None:
        """Deliver a destination record in the form each kind of destination gets; raises `AwsFault`.

        https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
        """
        match service_of(arn):
            case "events":
                self.put_event(arn, self.invocation_event(record, bus_arn=arn, function_arn=function_arn))
            case "s3":
                moment = datetime.datetime.fromtimestamp(self._clock.now(), datetime.UTC)
                name = f"{moment:%Y/%m/%d/%Y-%m-%dT%H.%M.%S}-{self._ids.uuid()}"
                await self.put_object(arn, f"{key_prefix}/{name}", json.dumps(record).encode(), region=region)
            case _:
                self.send(arn, Parcel(json.dumps(record)), source=function_arn)


def service_of(arn: str) -> str:
    """The service an ARN belongs to; an empty text for what is no ARN."""
    parts = arn.split(":")
    return parts[2] if len(parts) > 5 and parts[0] == "arn" else ""


def unsupported(arn: str) -> AwsFault:
    """A destination the local AWS does not deliver to; said out loud, never swallowed."""
    return AwsFault("InvalidParameterValueException", f"the local AWS does not deliver to {arn}")
