"""What a topic, a subscription and a publication are."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from lambdaform.local.sqs.values import Attribute, Duplicate

DELIVERED = ("sqs", "lambda")
"""The protocols the local AWS delivers by."""

TAKEN = (*DELIVERED, "http", "https", "email", "email-json", "sms", "application", "firehose")


@attrs.define(kw_only=True, eq=False)
class Subscription:
    """One endpoint of a topic."""

    arn: str
    topic_arn: str
    protocol: str
    endpoint: str
    owner: str
    attributes: dict[str, str]
    """What was set: `FilterPolicy`, `FilterPolicyScope`, `RawMessageDelivery`, `RedrivePolicy` and the like."""

    @property
    def is_delivered(self) -> bool:
        """Whether the local AWS delivers to it; the others stay as AWS shows an unconfirmed one."""
        return self.protocol in DELIVERED

    @property
    def is_raw(self) -> bool:
        """Whether a queue gets the message as it was published."""
        return self.attributes.get("RawMessageDelivery") == "true"


@attrs.define(kw_only=True, eq=False)
class Topic:
    """One topic and its subscriptions, in the order they were made."""

    arn: str
    attributes: dict[str, str]
    tags: dict[str, str]
    subscriptions: dict[str, Subscription] = attrs.field(factory=dict[str, Subscription])
    duplicates: dict[str, Duplicate] = attrs.field(factory=dict[str, Duplicate])
    sequence: int = 0
    deleted_subscriptions: int = 0

    @property
    def is_fifo(self) -> bool:
        """Whether the topic keeps order."""
        return self.arn.endswith(".fifo")


@attrs.frozen(kw_only=True)
class Publication:
    """A message as it was published."""

    id: str
    topic_arn: str
    text: str
    by_protocol: Mapping[str, str]
    """Texts of their own for some protocols (`MessageStructure` json)."""
    subject: str | None
    attributes: Mapping[str, Attribute]
    at: float
    group: str | None = None
    deduplication: str | None = None
    sequence: str | None = None

    def for_protocol(self, protocol: str) -> str:
        """The text an endpoint of that protocol gets."""
        return self.by_protocol.get(protocol, self.text)
