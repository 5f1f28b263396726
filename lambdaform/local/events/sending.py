"""The way of an event from a rule to one of its targets, and into the target's dead letter queue."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from typing import Any, cast

from lambdaform.local.clock import iso
from lambdaform.local.delivery import Delivery, Parcel, service_of
from lambdaform.local.events.transform import RuleContext, input_of
from lambdaform.local.events.values import Event, Rule
from lambdaform.local.ports import AwsFault, Clock
from lambdaform.local.retrying import GivenUp, may_retry, try_again
from lambdaform.local.sqs.values import Attribute

DELIVERED = ("lambda", "sqs", "sns", "events")
"""The kinds of targets the local AWS delivers to."""
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_SHALLOW, _DEEPER = 500, 100
"""Python reads JSON that it cannot write a few calls further on: from so many brackets on that is tried, with the depth
that an event and those calls add at most."""


class Sending:
    """Sends events to targets. Holds no state."""

    def __init__(self, *, clock: Clock, delivery: Delivery) -> None:
        self._clock = clock
        self._delivery = delivery

    def send(self, rule: Rule, target: Mapping[str, Any], event: Event) -> None:
        """Deliver an event to a target; what cannot be delivered goes to the target's dead letter queue.

        A target that is throttled or has trouble is tried again, within its policy; one that is gone or refuses is not,
        as AWS does with errors that a retry would not change.
        https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-retry-policy.html
        """
        context = RuleContext(rule.arn, rule.name, iso(self._clock.now()))
        text = input_of(target, event, context)
        try:
            self._deliver(target, text, event, rule)
        except AwsFault as error:
            if may_retry(error):
                self._clock.run(self._retry(rule, target, text, event, error))
            else:
                self._failed(rule, target, text, GivenUp(error, 0, None))

    async def _retry(self, rule: Rule, target: Mapping[str, Any], text: str, event: Event, error: AwsFault) -> None:
        policy = cast(Mapping[str, int], target.get("RetryPolicy") or {})
        given_up = await try_again(self._clock, policy, error, lambda _: self._deliver(target, text, event, rule))
        if given_up is not None:
            self._failed(rule, target, text, given_up)

    def _deliver(self, target: Mapping[str, Any], text: str, event: Event, rule: Rule) -> None:
        arn = str(target["Arn"])
        if service_of(arn) == "events":
            self._delivery.put_event(arn, event)
            return
        if service_of(arn) not in DELIVERED:
            raise AwsFault("InvalidParameterException", f"the local AWS does not deliver to {arn}")
        queue = cast(Mapping[str, str], target.get("SqsParameters") or {})
        self._delivery.send(arn, Parcel(text, group=queue.get("MessageGroupId")), source=rule.arn)

    def _failed(self, rule: Rule, target: Mapping[str, Any], text: str, given_up: GivenUp) -> None:
        """Put what could not be delivered into the dead letter queue.

        https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
        """
        letters = cast(Mapping[str, str], target.get("DeadLetterConfig") or {}).get("Arn")
        error = given_up.error
        try:
            if letters is None:
                raise error
            details = {
                "RULE_ARN": rule.arn,
                "TARGET_ARN": str(target["Arn"]),
                "ERROR_CODE": error.code,
                "ERROR_MESSAGE": (error.message or error.code)[:1024],
            }
            attributes = {name: Attribute("String", value) for name, value in details.items()}
            attributes["RETRY_ATTEMPTS"] = Attribute("Number", str(given_up.retries))
            if given_up.exhausted is not None:
                attributes["EXHAUSTED_RETRY_CONDITION"] = Attribute("String", given_up.exhausted)
            self._delivery.send(letters, Parcel(text, attributes), source=rule.arn)
        except AwsFault as last:
            sys.stderr.write(f"lambdaform: an event for {target['Arn']} from {rule.arn} is lost: {last}\n")


def event_size(entry: Mapping[str, Any]) -> int:
    """Bytes of one entry of PutEvents.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevent-size.html
    """
    texts = [entry.get("Source"), entry.get("DetailType"), entry.get("Detail"), *(entry.get("Resources") or ())]
    return sum(len(str(text).encode()) for text in texts if text) + (14 if entry.get("Time") is not None else 0)


def detail_of(text: str) -> dict[str, Any] | None:
    """The detail of an entry; None when it is no JSON object, or one that no target could be sent.

    That is when it is nested too deeply, or has half a surrogate pair in a text.
    """
    try:
        detail: object = json.loads(text)
        if text.count("{") + text.count("[") > _SHALLOW:
            written = detail
            for _ in range(_DEEPER):
                written = [written]
            json.dumps(written)
        if _HALF.search(text):
            json.dumps(detail, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return cast(dict[str, Any], detail) if isinstance(detail, dict) else None
