"""What endpoints of a topic get, and whether they get it: envelopes, events, filter policies. Pure functions.

https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html
"""

from __future__ import annotations

import base64
import json
from typing import Any

from lambdaform.local import patterns
from lambdaform.local.clock import iso
from lambdaform.local.sns.values import Publication, Subscription
from lambdaform.local.sqs.values import Attribute

_SIGNATURE = base64.b64encode(b"the local AWS does not sign").decode()


def passes(subscription: Subscription, publication: Publication) -> bool:
    """Whether a subscription's filter policy lets a message through."""
    policy = subscription.attributes.get("FilterPolicy")
    if not policy:
        return True
    pattern = patterns.parse(policy, "sns")
    if subscription.attributes.get("FilterPolicyScope") == "MessageBody":
        try:
            body = json.loads(publication.for_protocol(subscription.protocol))
        except (ValueError, RecursionError):
            return False
        return isinstance(body, dict) and patterns.matches(pattern, body)
    return patterns.matches(pattern, {name: _comparable(value) for name, value in publication.attributes.items()})


def envelope(subscription: Subscription, publication: Publication) -> str:
    """The text a queue gets without raw delivery."""
    region = publication.topic_arn.split(":")[3]
    optional = {
        "SequenceNumber": publication.sequence,
        "TopicArn": publication.topic_arn,
        "Subject": publication.subject,
    }
    members: dict[str, str] = {
        "Type": "Notification",
        "MessageId": publication.id,
        **{name: value for name, value in optional.items() if value is not None},
        "Message": publication.for_protocol(subscription.protocol),
        "Timestamp": iso(publication.at),
        "SignatureVersion": "1",
        "Signature": _SIGNATURE,
        "SigningCertURL": _certificate(region),
        "UnsubscribeURL": _unsubscribe(region, subscription.arn),
    }
    # AWS writes it in just this way, and people compare texts.
    lines = [f"  {_quoted(name)} : {_quoted(value)}" for name, value in members.items()]
    if publication.attributes:
        attributes = [
            f'    {_quoted(name)} : {{"Type":{_quoted(value["Type"])},"Value":{_quoted(value["Value"])}}}'
            for name, value in _attributes(publication).items()
        ]
        lines.append('  "MessageAttributes" : {\n' + ",\n".join(attributes) + "\n  }")
    return "{\n" + ",\n".join(lines) + "\n}"


def event(subscription: Subscription, publication: Publication) -> bytes:
    """The event a function gets: always one record."""
    region = publication.topic_arn.split(":")[3]
    record = {
        "EventSource": "aws:sns",
        "EventVersion": "1.0",
        "EventSubscriptionArn": subscription.arn,
        "Sns": {
            "Type": "Notification",
            "MessageId": publication.id,
            "TopicArn": publication.topic_arn,
            "Subject": publication.subject,
            "Message": publication.for_protocol(subscription.protocol),
            "Timestamp": iso(publication.at),
            "SignatureVersion": "1",
            "Signature": _SIGNATURE,
            "SigningCertUrl": _certificate(region),
            "UnsubscribeUrl": _unsubscribe(region, subscription.arn),
            "MessageAttributes": _attributes(publication),
        },
    }
    return json.dumps({"Records": [record]}).encode()


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _attributes(publication: Publication) -> dict[str, dict[str, str]]:
    return {name: {"Type": value.type, "Value": _text(value)} for name, value in publication.attributes.items()}


def _text(attribute: Attribute) -> str:
    return base64.b64encode(attribute.value).decode() if isinstance(attribute.value, bytes) else attribute.value


def _comparable(attribute: Attribute) -> Any:
    """An attribute as filter policies see it: numbers and lists by their meaning, binary values not at all."""
    if isinstance(attribute.value, bytes):
        return {}
    if attribute.type == "String.Array" or attribute.type.startswith("Number"):
        try:
            return json.loads(attribute.value)
        except (ValueError, RecursionError):
            return attribute.value
    return attribute.value


def _certificate(region: str) -> str:
    return f"https://sns.{region}.amazonaws.com/SimpleNotificationService-local.pem"


def _unsubscribe(region: str, subscription_arn: str) -> str:
    return f"https://sns.{region}.amazonaws.com/?Action=Unsubscribe&SubscriptionArn={subscription_arn}"
