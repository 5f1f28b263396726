"""Publishing: what AWS takes, FIFO deduplication, and the fan-out to every subscription."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Mapping
from typing import Any, cast

import attrs

from lambdaform.local.clock import Ids
from lambdaform.local.delivery import Delivery, Parcel
from lambdaform.local.ports import AwsFault, Clock
from lambdaform.local.sns import documents
from lambdaform.local.sns.values import Publication, Subscription, Topic
from lambdaform.local.sqs import messages
from lambdaform.local.sqs.rules import DEDUPLICATION_INTERVAL, Draft
from lambdaform.local.sqs.values import Attribute, Duplicate

MAX_BYTES = 262_144
"""https://docs.aws.amazon.com/sns/latest/api/API_Publish.html"""

_FIRST_SEQUENCE = 10_000_000_000_000_000_000


def invalid(reason: str) -> AwsFault:
    """A parameter AWS does not take."""
    return AwsFault("InvalidParameterException", f"Invalid parameter: {reason}")


class Publishing:
    """The way of a message from its publisher to all subscriptions. Holds no state of its own."""

    def __init__(self, *, clock: Clock, ids: Ids, delivery: Delivery) -> None:
        self._clock = clock
        self._ids = ids
        self._delivery = delivery

    def publish(self, topic: Topic, params: Mapping[str, Any]) -> Publication:
        """Publish one message; raises `AwsFault` when AWS would not take it."""
        text, by_protocol = _texts(params)
        subject = cast(str | None, params.get("Subject"))
        if subject is not None and not re.fullmatch(r"[^\x00-\x1f]{1,100}", subject):
            raise invalid("Subject")
        attributes = _attributes(params)
        if messages.size(Draft(body=text, attributes=attributes)) > MAX_BYTES:
            raise invalid("Message too long")
        group, deduplication = _fifo_ids(topic, params, text)
        now = self._clock.now()
        known = self._known(topic, deduplication, now)
        publication = Publication(
            id=self._ids.uuid() if known is None else known.message_id,
            topic_arn=topic.arn,
            text=text,
            by_protocol=by_protocol,
            subject=subject,
            attributes=attributes,
            at=now,
            group=group,
            deduplication=deduplication,
            sequence=self._sequence(topic) if known is None else known.sequence,
        )
        if known is None:
            if topic.is_fifo and deduplication is not None and publication.sequence is not None:
                until = now + DEDUPLICATION_INTERVAL
                topic.duplicates[deduplication] = Duplicate(until, publication.id, publication.sequence)
            trace = self._delivery.trace
            with trace.under(trace.add("message", topic.arn, id=publication.id)):
                self._fan_out(topic, publication)
        return publication

    def _known(self, topic: Topic, deduplication: str | None, now: float) -> Duplicate | None:
        known = topic.duplicates.get(deduplication) if deduplication is not None else None
        return known if known is not None and known.until > now else None

    def _sequence(self, topic: Topic) -> str | None:
        if not topic.is_fifo:
            return None
        topic.sequence += 1
        return str(_FIRST_SEQUENCE + topic.sequence * 1_000)

    def _fan_out(self, topic: Topic, publication: Publication) -> None:
        for subscription in list(topic.subscriptions.values()):
            if not documents.passes(subscription, publication):
                continue
            if not subscription.is_delivered:
                sys.stderr.write(
                    f"lambdaform: not delivered: {topic.arn} to {subscription.protocol}:{subscription.endpoint} "
                    "(the local AWS delivers to queues and functions)\n"
                )
                continue
            parcel = _parcel(subscription, publication)
            try:
                self._delivery.send(subscription.endpoint, parcel, source=topic.arn)
            except AwsFault as error:
                self._failed(subscription, parcel, error)

    def _failed(self, subscription: Subscription, parcel: Parcel, error: AwsFault) -> None:
        """An endpoint that is gone or refuses is not tried again: the message goes to the dead letter queue.

        https://docs.aws.amazon.com/sns/latest/dg/sns-dead-letter-queues.html
        """
        policy = json.loads(subscription.attributes.get("RedrivePolicy") or "{}")
        target = cast(str | None, policy.get("deadLetterTargetArn"))
        try:
            if target is None:
                raise error
            details = {
                "RequestID": Attribute("String", self._ids.uuid()),
                "ErrorCode": Attribute("Number", str(error.status)),
                "ErrorMessage": Attribute("String", (error.message or error.code)[:1024]),
            }
            letter = Parcel(parcel.body, details, group=parcel.group, deduplication=parcel.deduplication)
            self._delivery.send(target, letter, source=subscription.topic_arn)
        except AwsFault as last:
            sys.stderr.write(f"lambdaform: a message from {subscription.topic_arn} is lost: {last}\n")


def _parcel(subscription: Subscription, publication: Publication) -> Parcel:
    if subscription.protocol == "lambda":
        return Parcel(documents.event(subscription, publication).decode())
    fifo = subscription.endpoint.endswith(".fifo")
    if subscription.is_raw:
        parcel = Parcel(publication.for_protocol("sqs"), publication.attributes)
    else:
        parcel = Parcel(documents.envelope(subscription, publication))
    if not fifo:
        return parcel
    return attrs.evolve(parcel, group=publication.group, deduplication=publication.deduplication)


def _texts(params: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """The message, and its texts for single protocols."""
    text = str(params.get("Message") or "")
    if not text:
        raise invalid("Empty message")
    structure = params.get("MessageStructure")
    if structure is None:
        return text, {}
    if structure != "json":
        raise invalid("MessageStructure")
    try:
        parts: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise invalid("Message Structure - JSON message body failed to parse") from error
    if not isinstance(parts, dict) or not isinstance(cast(dict[str, object], parts).get("default"), str):
        raise invalid("Message Structure - No default entry in JSON message body")
    texts = {key: value for key, value in cast(dict[str, object], parts).items() if isinstance(value, str)}
    return texts["default"], texts


def _attributes(params: Mapping[str, Any]) -> dict[str, Attribute]:
    given = cast(Mapping[str, Mapping[str, Any]], params.get("MessageAttributes") or {})
    found = dict[str, Attribute]()
    for name, value in given.items():
        kind = str(value.get("DataType") or "")
        content: str | bytes | None = value.get("BinaryValue" if kind == "Binary" else "StringValue")
        if not re.fullmatch(r"(String|Number|Binary|String\.Array)(\..+)?", kind):
            raise AwsFault(
                "InvalidParameterValueException",
                f"The message attribute '{name}' has an invalid message attribute type, "
                "the set of supported type prefixes is Binary, Number, and String.",
            )
        if not content:
            raise AwsFault(
                "InvalidParameterValueException",
                f"The message attribute '{name}' must contain non-empty message attribute value for message "
                f"attribute type '{kind}'.",
            )
        found[name] = Attribute(kind, content)
    return found


def _fifo_ids(topic: Topic, params: Mapping[str, Any], text: str) -> tuple[str | None, str | None]:
    group = cast(str | None, params.get("MessageGroupId"))
    deduplication = cast(str | None, params.get("MessageDeduplicationId"))
    if not topic.is_fifo:
        if deduplication is not None:
            raise invalid("MessageDeduplicationId Reason: The request includes MessageDeduplicationId parameter "
                          "that is not valid for this topic type")  # fmt: skip
        return group, None
    if group is None:
        raise invalid("The MessageGroupId parameter is required for FIFO topics")
    if deduplication is None:
        if topic.attributes.get("ContentBasedDeduplication") != "true":
            raise invalid("The topic should either have ContentBasedDeduplication enabled or "
                          "MessageDeduplicationId provided explicitly")  # fmt: skip
        deduplication = hashlib.sha256(text.encode()).hexdigest()
    return group, deduplication
