"""What the event services accept without honouring it, said out loud per resource. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

import attrs

from lambdaform.local.delivery import service_of
from lambdaform.local.event_sources import GROUPS, kind_of
from lambdaform.local.events.sending import DELIVERED
from lambdaform.local.events.values import Rule
from lambdaform.local.ports import EventMapping
from lambdaform.local.scheduler import ScheduleEntry
from lambdaform.local.sns.values import Topic
from lambdaform.local.sqs.values import Queue


@attrs.frozen
class Difference:
    """One setting and what becomes of it here."""

    setting: str
    says: str


GENERAL = (
    Difference("sqs: delivery", "standard queues keep order and deliver once; AWS promises neither"),
    Difference("sqs: ReceiveRequestAttemptId", "a repeated receive takes new messages"),
    Difference("sqs: RateLimits", "FIFO throughput and request rates are not limited"),
    Difference("sqs, sns, events: Policy", "resource policies are kept, not enforced"),
    Difference("logs: size", "a stream keeps its last 100,000 events, and 16 million characters of them"),
    Difference("lambda: extensions", "environments share ports: on a fixed one an extension serves one environment"),
    Difference("sns: Signature", "messages are not signed"),
    Difference("events: archives, replays, connections, API destinations", "are not there; calls answer 501"),
    Difference("mappings: low traffic", "batches of queues do not wait up to 20 seconds as they may in AWS"),
    Difference("streams: back-off", "failing batches wait 1 to 60 seconds, doubling; AWS does not say how long"),
    Difference(
        "streams: tumbling windows",
        "a window without any record is passed over, one that ends early is told so by an invocation without records; "
        "AWS does not say what it does",
    ),
    Difference("kafka: scaling", "every partition can be at work from the start; AWS begins with one reader for all"),
    Difference("kafka: back-off", "failing batches wait 1 to 60 seconds, doubling; AWS does not say how long"),
    Difference(
        "mq: scaling", "5 batches of ActiveMQ or 1 of RabbitMQ are at work at a time, which AWS raises on request"
    ),
    Difference(
        "mq: ActiveMQ",
        "is read over STOMP: a message with a length is of bytes, another of text; brokerInTime is when it was sent",
    ),
    Difference("mq: RabbitMQ", "a failing batch goes back after 1 to 60 seconds, doubling; AWS does not say how soon"),
    Difference("mq: messages over 6 MB", "are refused: a dead-letter queue of the broker gets them; AWS drops them"),
    Difference("documentdb: back-off", "failing batches wait 1 to 60 seconds, doubling; AWS does not say how long"),
    Difference("documentdb: expired changes", "are said in LastProcessingResult; AWS disables the mapping"),
    Difference("virtual clock: brokers", "a real broker is read when the clock is moved: it does not know this time"),
    Difference("kinesis: SplitShard, MergeShards", "records are still written to the shards that were split or merged"),
    Difference("virtual clock: WaitTimeSeconds", "a receive that finds nothing answers at once"),
)
"""What holds for all resources of a kind."""


def of_queue(queue: Queue) -> Iterator[Difference]:
    """The settings of a queue that have no effect here."""
    if queue.attributes.get("KmsMasterKeyId"):
        yield Difference("KmsMasterKeyId", "messages are not encrypted")
    if queue.attributes.get("Policy"):
        yield Difference("Policy", "the policy is not enforced")


def of_topic(topic: Topic) -> Iterator[Difference]:
    """The settings of a topic and its subscriptions that have no effect here."""
    for name, says in (
        ("KmsMasterKeyId", "messages are not encrypted"),
        ("Policy", "the policy is not enforced"),
        ("DeliveryPolicy", "endpoints over HTTP get nothing"),
        ("ArchivePolicy", "messages are not archived"),
        ("TracingConfig", "no traces are recorded"),
    ):
        if topic.attributes.get(name):
            yield Difference(name, says)
    for held in topic.subscriptions.values():
        if not held.is_delivered:
            yield Difference(f"subscription {held.endpoint}", f"nothing is delivered by {held.protocol}")
        if held.attributes.get("ReplayPolicy"):
            yield Difference(f"subscription {held.endpoint}", "nothing is replayed")


def of_rule(rule: Rule) -> Iterator[Difference]:
    """The settings of a rule and its targets that have no effect here."""
    if rule.role_arn:
        yield Difference("RoleArn", "the role's permissions are not enforced")
    for name, target in rule.targets.items():
        if service_of(str(target["Arn"])) not in DELIVERED:
            yield Difference(f"target {name}", f"nothing is delivered to {target['Arn']}")


def of_schedule(entry: ScheduleEntry) -> Iterator[Difference]:
    """The settings of a schedule that have no effect here."""
    target = cast(Mapping[str, Any], entry.given["Target"])
    if service_of(str(target["Arn"])) not in DELIVERED:
        yield Difference("Target", f"nothing is delivered to {target['Arn']}")
    if entry.given.get("KmsKeyArn"):
        yield Difference("KmsKeyArn", "the input is not encrypted")
    yield Difference("Target.RoleArn", "the role's permissions are not enforced")


def of_mapping(mapping: EventMapping, *, unread: str | None = None) -> Iterator[Difference]:
    """The settings of an event source mapping that have no effect here; `unread` is why nothing is read by it."""
    settings = mapping.settings
    if settings.get("ProvisionedPollerConfig"):
        yield Difference("ProvisionedPollerConfig", "polls and bytes a second of a poller are not limited")
    if settings.get("KMSKeyArn"):
        yield Difference("KMSKeyArn", "filters are not encrypted")
    if unread is not None:
        field = "EventSourceArn" if mapping.source_arn else "SelfManagedEventSource"
        yield Difference(field, f"nothing is read, the function is not invoked: {unread}")
        return
    if settings.get("SourceAccessConfigurations"):
        yield Difference("SourceAccessConfigurations", "not used: the broker's address says how to log in")
    if settings.get("LoggingConfig"):
        yield Difference("LoggingConfig", "the mapping writes no system logs")
    kind = kind_of(mapping.source_arn, settings)
    config = cast(Mapping[str, Any], settings.get(GROUPS.get(kind, "") if kind is not None else "") or {})
    if config.get("SchemaRegistryConfig"):
        yield Difference("SchemaRegistryConfig", "schemas are not looked up: records come as they were written")
