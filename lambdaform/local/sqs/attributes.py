"""The attributes of a queue: their defaults, what values AWS takes, and what it says about others."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, cast

from lambdaform.local.ports import AwsFault
from lambdaform.local.sqs import rules
from lambdaform.local.sqs.faults import fault, invalid_parameter
from lambdaform.local.sqs.values import Queue

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html
_RANGES: Mapping[str, tuple[int, int]] = {
    "DelaySeconds": (0, 900),
    "MaximumMessageSize": (1_024, 1_048_576),
    "MessageRetentionPeriod": (60, 1_209_600),
    "ReceiveMessageWaitTimeSeconds": (0, 20),
    "VisibilityTimeout": (0, 43_200),
    "KmsDataKeyReusePeriodSeconds": (60, 86_400),
}
_DEFAULTS: Mapping[str, str] = {
    "VisibilityTimeout": "30",
    "MaximumMessageSize": "1048576",
    "MessageRetentionPeriod": "345600",
    "DelaySeconds": "0",
    "ReceiveMessageWaitTimeSeconds": "0",
    "SqsManagedSseEnabled": "true",
}
_FIFO_DEFAULTS: Mapping[str, str] = {
    "FifoQueue": "true",
    "ContentBasedDeduplication": "false",
    "DeduplicationScope": "queue",
    "FifoThroughputLimit": "perQueue",
}
_WORDS: Mapping[str, tuple[str, ...]] = {
    "SqsManagedSseEnabled": ("true", "false"),
    "ContentBasedDeduplication": ("true", "false"),
    "DeduplicationScope": ("messageGroup", "queue"),
    "FifoThroughputLimit": ("perQueue", "perMessageGroupId"),
}
_TEXTS = ("Policy", "KmsMasterKeyId", "RedrivePolicy", "RedriveAllowPolicy")
_READ_ONLY = (
    "QueueArn",
    "CreatedTimestamp",
    "LastModifiedTimestamp",
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)
_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")

Find = Callable[[str], Queue | None]
"""Finds a queue by its ARN."""


def check_name(name: str) -> None:
    """Refuse a queue name AWS does not take."""
    if name.endswith(".fifo"):
        if not _NAME.fullmatch(name.removesuffix(".fifo")) or len(name) > 80:
            raise fault(
                "InvalidParameterValueException",
                "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, "
                "must end with .fifo suffix and be 1 to 80 in length.",
            )
    elif not _NAME.fullmatch(name):
        raise fault(
            "InvalidParameterValueException",
            "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length",
        )


def of_new_queue(name: str, given: Mapping[str, str]) -> dict[str, str]:
    """All settable attributes of a queue that is being created."""
    is_fifo = name.endswith(".fifo")
    if given.get("FifoQueue") == "true" and not is_fifo:
        raise fault(
            "InvalidParameterValueException",
            "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, "
            "must end with .fifo suffix and be 1 to 80 in length.",
        )
    if is_fifo and given.get("FifoQueue") != "true":
        raise fault(
            "InvalidParameterValueException",
            "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length",
        )
    fixed = {**_DEFAULTS, **(_FIFO_DEFAULTS if is_fifo else {})}
    if given.get("KmsMasterKeyId"):
        fixed["SqsManagedSseEnabled"] = "false"
    return {**fixed, **{key: value for key, value in given.items() if value != ""}}


def check(name: str, arn: str, given: Mapping[str, str], find: Find, *, creating: bool) -> None:
    """Refuse attributes AWS does not take for the queue `name`; `find` looks other queues up."""
    is_fifo = name.endswith(".fifo")
    for attribute, value in given.items():
        if attribute in _READ_ONLY or (attribute in _FIFO_DEFAULTS and not is_fifo):
            raise fault("InvalidAttributeName", f"Unknown Attribute {attribute}.")
        if attribute == "FifoQueue":
            if value != "true" or not creating:
                raise _invalid_value(attribute)
        elif attribute in _RANGES:
            if value == "" and attribute == "KmsDataKeyReusePeriodSeconds":
                continue
            low, high = _RANGES[attribute]
            if not re.fullmatch(r"-?\d+", value) or not low <= int(value) <= high:
                raise _invalid_value(attribute)
        elif attribute in _WORDS:
            if value not in _WORDS[attribute]:
                raise _invalid_value(attribute)
        elif attribute not in _TEXTS:
            raise fault("InvalidAttributeName", f"Unknown Attribute {attribute}.")
        elif attribute == "Policy" and value:
            if not isinstance(_json(value), dict):
                raise _invalid_value(attribute)
        elif attribute == "RedrivePolicy" and value:
            _check_redrive(arn, is_fifo, value, find)
        elif attribute == "RedriveAllowPolicy" and value:
            _check_redrive_allow(value)
    if given.get("KmsMasterKeyId") and given.get("SqsManagedSseEnabled") == "true":
        raise fault("InvalidAttributeValue", "You can use one type of server-side encryption (SSE) at one time.")


def differing(queue: Queue, given: Mapping[str, str]) -> str | None:
    """The first given attribute that differs from an existing queue's, if any."""
    for attribute, value in given.items():
        held = queue.attributes.get(attribute)
        same = held == value or (attribute in _TEXTS and held is not None and _json(held) == _json(value))
        if not same:
            return attribute
    return None


def changed(queue: Queue, given: Mapping[str, str]) -> dict[str, str]:
    """The queue's attributes with the given ones in place; an empty text removes a policy or key."""
    merged = {**queue.attributes, **given}
    if given.get("KmsMasterKeyId"):
        merged["SqsManagedSseEnabled"] = "false"
    if given.get("SqsManagedSseEnabled") == "true":
        merged.pop("KmsMasterKeyId", None)
    return {key: value for key, value in merged.items() if value != ""}


def read(queue: Queue, names: list[str], now: float) -> dict[str, str]:
    """The attributes asked for, `All` for all; those that do not apply to the queue are left out."""
    known = {*_RANGES, *_WORDS, *_TEXTS, *_READ_ONLY, "FifoQueue", "All"}
    for name in names:
        if name not in known:
            raise fault("InvalidAttributeName", f"Unknown Attribute {name}.")
    counts = rules.count(queue, now)
    every = {
        "QueueArn": queue.arn,
        "ApproximateNumberOfMessages": str(counts.visible),
        "ApproximateNumberOfMessagesNotVisible": str(counts.in_flight),
        "ApproximateNumberOfMessagesDelayed": str(counts.delayed),
        "CreatedTimestamp": str(int(queue.created)),
        "LastModifiedTimestamp": str(int(queue.modified)),
        **queue.attributes,
    }
    return every if "All" in names else {name: every[name] for name in names if name in every}


def allows_redrive(target: Queue, source_arn: str) -> bool:
    """Whether a dead letter queue takes messages of the queue `source_arn`."""
    policy = _json(target.attributes.get("RedriveAllowPolicy", ""))
    if not isinstance(policy, dict):
        return True
    members = cast(dict[str, Any], policy)
    match members.get("redrivePermission"):
        case "denyAll":
            return False
        case "byQueue":
            return source_arn in cast(list[str], members.get("sourceQueueArns", []))
        case _:
            return True


def _check_redrive(arn: str, is_fifo: bool, text: str, find: Find) -> None:
    def refused(reason: str) -> AwsFault:
        return invalid_parameter("RedrivePolicy", text, reason)

    policy = _json(text)
    if not isinstance(policy, dict):
        raise refused("Redrive policy is not a valid JSON map.")
    members = cast(dict[str, Any], policy)
    for member in ("maxReceiveCount", "deadLetterTargetArn"):
        if not members.get(member) and members.get(member) != 0:
            raise refused(f"Redrive policy does not contain mandatory attribute: {member}.")
    for member in members:
        if member not in ("maxReceiveCount", "deadLetterTargetArn"):
            raise refused("Only following attributes are supported: [deadLetterTargetArn, maxReceiveCount].")
    limit = members["maxReceiveCount"]
    if not re.fullmatch(r"\d+", str(limit)) or not 1 <= int(limit) <= 1_000:
        raise refused(f"Invalid value for maxReceiveCount: {limit}, valid values are from 1 to 1000 both inclusive.")
    target_arn = str(members["deadLetterTargetArn"])
    if target_arn.split(":")[:5] != arn.split(":")[:5]:
        raise refused("Dead letter target must be in the same region and account as the source.")
    target = find(target_arn)
    if target is None:
        raise refused("Dead letter target does not exist.")
    if target.is_fifo != is_fifo:
        raise refused("Dead-letter queue must be same type of queue as the source.")
    if not allows_redrive(target, arn):
        raise refused("Queue is not permitted to use the dead letter target.")


def _check_redrive_allow(text: str) -> None:
    policy = _json(text)
    if not isinstance(policy, dict):
        raise invalid_parameter("RedriveAllowPolicy", text, "RedriveAllowPolicy is not a valid JSON map.")
    members = cast(dict[str, Any], policy)
    permission = members.get("redrivePermission", "allowAll")
    sources = cast(list[str] | None, members.get("sourceQueueArns"))
    if permission not in ("allowAll", "denyAll", "byQueue"):
        raise invalid_parameter("RedriveAllowPolicy", text, "Amazon SQS can't create the redrive allow policy.")
    if (permission == "byQueue") != bool(sources) or len(sources or ()) > 10:
        reason = "sourceQueueArns must hold 1 to 10 ARNs with redrivePermission byQueue, and only then."
        raise invalid_parameter("RedriveAllowPolicy", text, reason)


def _invalid_value(attribute: str) -> AwsFault:
    return fault("InvalidAttributeValue", f"Invalid value for the parameter {attribute}.")


def _json(text: str) -> object:
    """What a text holds as JSON, or the text itself when it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
