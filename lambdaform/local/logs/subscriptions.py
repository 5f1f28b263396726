"""Subscription filters of log groups: lines that match go to a function, packed, soon after they were written.

https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/logs/SubscriptionFilters.html
"""

from __future__ import annotations

import base64
import gzip
import json
import sys
from collections.abc import Mapping
from functools import lru_cache

from lambdaform.local.delivery import Delivery, Parcel, service_of
from lambdaform.local.logs.filters import compile_pattern
from lambdaform.local.logs.listing import listing
from lambdaform.local.logs.store import Group, LogEvent, LogStore, Stream, Subscription
from lambdaform.local.ports import AwsFault, Call, Clock, Json, Permits

MOST = 2
"""Filters of one group. https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutSubscriptionFilter.html"""

_compiled = lru_cache(maxsize=256)(compile_pattern)


class Subscriptions:
    """Takes the filters and hands lines on. One per local AWS."""

    def __init__(self, *, clock: Clock, delivery: Delivery, store: LogStore, permits: Permits) -> None:
        self._clock = clock
        self._delivery = delivery
        self._permits = permits
        # By the group itself: after a restore there are others, and nobody waits for what they have.
        self._waiting: dict[tuple[Group, str, str], tuple[Stream, Subscription, list[LogEvent]]] = {}
        store.heard = self._heard

    # Filters

    def put(self, group: Group, call: Call) -> None:
        """Make or replace a filter. Raises `AwsFault`."""
        params = call.params
        name, destination = str(params["filterName"]), str(params["destinationArn"])
        compile_pattern(params["filterPattern"])
        if name not in group.subscriptions and len(group.subscriptions) >= MOST:
            raise AwsFault("LimitExceededException", "Resource limit exceeded.")
        if service_of(destination) != "lambda":
            raise NotImplementedError(f"log lines go to functions only here, not to {destination}")
        self._check(group, destination)
        before = group.subscriptions.get(name)
        group.subscriptions[name] = Subscription(
            name=name,
            pattern=params["filterPattern"],
            destination=destination,
            distribution=params.get("distribution") or "ByLogStream",
            created=before.created if before is not None else int(self._clock.now() * 1000),
        )

    def delete(self, group: Group, name: str) -> None:
        """Take a filter away. Raises `AwsFault`."""
        if group.subscriptions.pop(name, None) is None:
            raise AwsFault("ResourceNotFoundException", "The specified subscription filter does not exist.")

    def describe(self, group: Group, call: Call) -> Mapping[str, Json]:
        """The filters of a group, by name."""
        prefix = str(call.params.get("filterNamePrefix") or "")
        found: list[Json] = [
            {
                "filterName": each.name,
                "logGroupName": group.name,
                "filterPattern": each.pattern,
                "destinationArn": each.destination,
                "distribution": each.distribution,
                "creationTime": each.created,
            }
            for name, each in sorted(group.subscriptions.items())
            if name.startswith(prefix)
        ]
        return listing(call, "subscriptionFilters", found)

    def _check(self, group: Group, destination: str) -> None:
        """Refuse a function that is missing, or that the group may not invoke: AWS tries it at once."""
        if not self._permits(destination, "logs.amazonaws.com", f"{group.arn}:*"):
            raise AwsFault(
                "InvalidParameterException",
                "Could not execute the lambda function. Make sure you have given CloudWatch Logs permission to "
                "execute your function.",
            )

    # Lines

    def _heard(self, group: Group, stream: Stream, event: LogEvent) -> None:
        for subscription in group.subscriptions.values():
            if not _compiled(subscription.pattern)(event.message):
                continue
            place = (group, stream.name, subscription.name)
            held = self._waiting.get(place)
            if held is not None:
                held[2].append(event)
                continue
            self._waiting[place] = (stream, subscription, [event])
            self._clock.run(self._send(place))

    async def _send(self, place: tuple[Group, str, str]) -> None:
        """Hand on what one stream has collected for one filter: everything written until this has its turn."""
        group = place[0]
        stream, subscription, events = self._waiting.pop(place)
        text = json.dumps(envelope(group, stream, subscription, events))
        trace = self._delivery.trace
        with trace.under(trace.add("log-lines", group.arn, after="", lines=len(events))):
            try:
                self._delivery.send(subscription.destination, Parcel(text), source=f"{group.arn}:*")
            except AwsFault as fault:
                lost = f"{len(events)} lines of {group.name} for {subscription.destination}"
                sys.stderr.write(f"lambdaform: {lost} are lost: {fault}\n")


def envelope(group: Group, stream: Stream, subscription: Subscription, events: list[LogEvent]) -> dict[str, Json]:
    """Log lines as Lambda gets them.

    https://docs.aws.amazon.com/lambda/latest/dg/services-cloudwatchlogs.html
    """
    document = {
        "messageType": "DATA_MESSAGE",
        "owner": group.account,
        "logGroup": group.name,
        "logStream": stream.name,
        "subscriptionFilters": [subscription.name],
        "logEvents": [
            {"id": f"{event.number:056d}", "timestamp": event.timestamp, "message": event.message} for event in events
        ],
    }
    packed = gzip.compress(json.dumps(document, separators=(",", ":")).encode(), mtime=0)
    return {"awslogs": {"data": base64.b64encode(packed).decode()}}
