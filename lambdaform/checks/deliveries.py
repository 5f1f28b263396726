"""Topics, buckets and rules that hand events on: to what they can, and each event to one entry.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-services.html
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from lambdaform.checks.rules import Finding, rule
from lambdaform.model.problem import Severity

if TYPE_CHECKING:
    from lambdaform.checks.view import View
    from lambdaform.model.graph import Node

FIFO_TOPICS = "https://docs.aws.amazon.com/sns/latest/dg/fifo-message-delivery.html"
S3 = "https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-event-types-and-destinations.html"
FILTERING = "https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-filtering.html"
RULE_TARGETS = "https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-targets.html"


@rule(
    "subscription-fifo",
    Severity.ERROR,
    "A FIFO topic hands on to queues, and a FIFO queue hears FIFO topics.",
    link=FIFO_TOPICS,
)
def subscription_fifo(view: View) -> Iterable[Finding]:
    """Functions, addresses and the rest hear standard topics only."""
    for node in view.of("sns.subscription"):
        topic, protocol = view.target(node.props.get("topic")), node.props.get("protocol")
        queue = view.target(node.props.get("endpoint"))
        if topic is None or topic.fifo is None or not isinstance(protocol, str):
            continue
        if topic.fifo and protocol != "sqs":
            yield Finding(
                node,
                "a FIFO topic hands messages on to queues only",
                "topic",
                given=f"the protocol {protocol}",
                allowed="sqs",
                hint="put a queue between the two: topic.to(queue), and let the function read the queue",
            )
        elif not topic.fifo and queue is not None and queue.service == "sqs" and queue.fifo:
            yield Finding(
                node,
                "a FIFO queue cannot hear a standard topic",
                "endpoint",
                given=queue.shown,
                allowed="a standard queue, or a FIFO topic",
                hint="make the topic FIFO, or the queue standard",
            )


@rule("notification-fifo", Severity.ERROR, "A bucket's events go to standard queues and topics.", link=S3)
def notification_fifo(view: View) -> Iterable[Finding]:
    """S3 refuses FIFO ones."""
    for node in view.of("s3.notification"):
        target = view.target(node.props.get("target"))
        if target is not None and target.service in ("sqs", "sns") and target.fifo:
            yield Finding(
                node,
                "a bucket's events cannot go to FIFO queues and topics",
                "target",
                given=target.shown,
                allowed="a standard queue or topic, or a function",
                hint="use a standard one",
            )


@rule("rule-fifo", Severity.ERROR, "An event rule's queue is a standard one.", link=RULE_TARGETS)
def rule_fifo(view: View) -> Iterable[Finding]:
    """A FIFO queue needs a message group, which targets here cannot give."""
    for node in view.of("events.rule"):
        for target in cast(list[Any], node.props.get("targets", [])):
            to = view.target(cast(dict[str, Any], target).get("to"))
            if to is not None and to.service in ("sqs", "sns") and to.fifo:
                yield Finding(
                    node,
                    "a FIFO target needs a message group, which an event rule here does not give",
                    "targets",
                    given=to.shown,
                    allowed="a standard queue or topic",
                    hint="use a standard one, or let a function send to it",
                )


@rule("notification-overlap", Severity.ERROR, "No event of a bucket goes to two entries.", link=FILTERING)
def notification_overlap(view: View) -> Iterable[Finding]:
    """S3 refuses two entries for one event whose prefixes and suffixes both may fit one key."""
    buckets: dict[str, list[Node]] = {}
    for node in view.of("s3.notification"):
        buckets.setdefault(repr(node.props.get("bucket")), []).append(node)
    for nodes in buckets.values():
        for number, node in enumerate(nodes):
            other = next((each for each in nodes[:number] if _overlap(node, each)), None)
            if other is not None:
                yield Finding(
                    node,
                    "another entry of the bucket gets the same events",
                    "prefix" if "prefix" in node.props else "events",
                    given=f"the other one is {other.name}",
                    allowed="prefixes or suffixes that no key fits both of",
                    hint="narrow one of the two, or let a topic hand the events on to both",
                )


def _overlap(one: Node, other: Node) -> bool:
    created = ["s3:ObjectCreated:*"]
    if not any(_same(a, b) for a in one.props.get("events", created) for b in other.props.get("events", created)):
        return False
    for prop, fits in (("prefix", str.startswith), ("suffix", str.endswith)):
        first, second = one.props.get(prop, ""), other.props.get(prop, "")
        if not isinstance(first, str) or not isinstance(second, str):
            return False  # known only after deploy
        if not fits(first, second) and not fits(second, first):
            return False
    return True


def _same(one: str, other: str) -> bool:
    return one == other or _covers(one, other) or _covers(other, one)


def _covers(event: str, other: str) -> bool:
    return event.endswith("*") and other.startswith(event[:-1])


RULES = (subscription_fifo, notification_fifo, rule_fifo, notification_overlap)
