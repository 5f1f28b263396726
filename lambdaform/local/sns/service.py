"""The operations of SNS: topics, subscriptions, and publishing for clients and for other services of ours."""

from __future__ import annotations

import copy
import json
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, cast

from lambdaform.local import patterns
from lambdaform.local.clock import Ids
from lambdaform.local.delivery import Delivery, service_of
from lambdaform.local.operations import Answer, answer, page
from lambdaform.local.ports import AwsFault, Call, Clock
from lambdaform.local.sns.publishing import MAX_BYTES, Publishing, invalid
from lambdaform.local.sns.values import TAKEN, Subscription, Topic
from lambdaform.local.sqs import messages
from lambdaform.local.sqs.values import Attribute

_PAGE = 100
_TOPIC_ATTRIBUTES = (
    "ArchivePolicy",
    "ContentBasedDeduplication",
    "DeliveryPolicy",
    "DisplayName",
    "FifoThroughputScope",
    "FifoTopic",
    "KmsMasterKeyId",
    "Policy",
    "SignatureVersion",
    "TracingConfig",
)
_SUBSCRIPTION_ATTRIBUTES = (
    "DeliveryPolicy",
    "FilterPolicy",
    "FilterPolicyScope",
    "RawMessageDelivery",
    "RedrivePolicy",
    "ReplayPolicy",
    "SubscriptionRoleArn",
)


class Sns:
    """Amazon SNS. One per local AWS."""

    name = "sns"

    def __init__(self, *, clock: Clock, ids: Ids, delivery: Delivery) -> None:
        self._ids = ids
        self._delivery = delivery
        self._publishing = Publishing(clock=clock, ids=ids, delivery=delivery)
        self._topics: dict[str, Topic] = {}
        self._operations = {
            "AddPermission": self._add_permission,
            "ConfirmSubscription": self._confirm_subscription,
            "CreateTopic": self._create_topic,
            "DeleteTopic": self._delete_topic,
            "GetSubscriptionAttributes": self._get_subscription_attributes,
            "GetTopicAttributes": self._get_topic_attributes,
            "ListSubscriptions": self._list_subscriptions,
            "ListSubscriptionsByTopic": self._list_subscriptions_by_topic,
            "ListTagsForResource": self._list_tags,
            "ListTopics": self._list_topics,
            "Publish": self._publish,
            "PublishBatch": self._publish_batch,
            "RemovePermission": self._remove_permission,
            "SetSubscriptionAttributes": self._set_subscription_attributes,
            "SetTopicAttributes": self._set_topic_attributes,
            "Subscribe": self._subscribe,
            "TagResource": self._tag,
            "Unsubscribe": self._unsubscribe,
            "UntagResource": self._untag,
        }

    async def handle(self, call: Call) -> Answer:
        """Answer one call; raises `AwsFault`."""
        return await answer(self._operations, call)

    def publish(
        self, arn: str, message: str, *, subject: str | None = None, attributes: Mapping[str, Attribute] | None = None
    ) -> str:
        """Publish for another service; returns the message's id, raises `AwsFault`."""
        params: dict[str, Any] = {"Message": message, "Subject": subject}
        if attributes:
            params["MessageAttributes"] = {
                name: messages.attribute_members(value) for name, value in attributes.items()
            }
        return self._publishing.publish(self._topic(arn), params).id

    def exists(self, arn: str) -> bool:
        """Whether there is such a topic."""
        return arn in self._topics

    def every(self) -> list[Topic]:
        """All topics."""
        return list(self._topics.values())

    def checkpoint(self) -> object:
        """All topics, for `restore`."""
        return copy.deepcopy(self._topics)

    def restore(self, state: object) -> None:
        """Be as at the checkpoint."""
        self._topics = copy.deepcopy(cast(dict[str, Topic], state))

    def reset(self) -> None:
        """Forget all topics."""
        self._topics = {}

    # Topics

    def _create_topic(self, call: Call) -> Answer:
        name = str(call.params["Name"])
        attributes = _attributes(call)
        is_fifo = attributes.get("FifoTopic") == "true"
        if is_fifo != name.endswith(".fifo") or (is_fifo and not re.fullmatch(r"[A-Za-z0-9_-]{1,251}\.fifo", name)):
            if is_fifo:
                raise invalid(
                    "Fifo Topic names must end with .fifo and must be made up of only uppercase and lowercase ASCII "
                    "letters, numbers, underscores, and hyphens, and must be between 1 and 256 characters long."
                )
            raise invalid("Topic Name")
        if not is_fifo and not re.fullmatch(r"[A-Za-z0-9_-]{1,256}", name):
            raise invalid("Topic Name")
        if attributes.get("FifoTopic") == "false":
            del attributes["FifoTopic"]
        _check_topic_attributes(attributes, is_fifo=is_fifo)
        tags = _tags(call.params.get("Tags"))
        arn = f"arn:aws:sns:{call.region}:{call.account}:{name}"
        held = self._topics.get(arn)
        if held is None:
            self._topics[arn] = Topic(arn=arn, attributes=attributes, tags=tags)
        else:
            if any(held.attributes.get(key) != value for key, value in attributes.items()):
                raise invalid("Attributes Reason: Topic already exists with different attributes")
            if tags and tags != held.tags:
                raise invalid("Tags Reason: Topic already exists with different tags")
        return {"TopicArn": arn}

    def _delete_topic(self, call: Call) -> Answer:
        self._topics.pop(str(call.params["TopicArn"]), None)
        return {}

    def _list_topics(self, call: Call) -> Answer:
        arns: list[Any] = [{"TopicArn": arn} for arn in sorted(self._topics) if _is_at(arn, call)]
        return _page("Topics", arns, call)

    def _get_topic_attributes(self, call: Call) -> Answer:
        topic = self._topic(str(call.params["TopicArn"]))
        confirmed = sum(subscription.is_delivered for subscription in topic.subscriptions.values())
        fifo = {"FifoTopic": "true", "ContentBasedDeduplication": "false"} if topic.is_fifo else {}
        return {
            "Attributes": {
                "TopicArn": topic.arn,
                "Owner": topic.arn.split(":")[4],
                "DisplayName": "",
                "Policy": json.dumps(_policy(topic)),
                "SubscriptionsConfirmed": str(confirmed),
                "SubscriptionsPending": str(len(topic.subscriptions) - confirmed),
                "SubscriptionsDeleted": str(topic.deleted_subscriptions),
                **fifo,
                **topic.attributes,
            }
        }

    def _set_topic_attributes(self, call: Call) -> Answer:
        topic = self._topic(str(call.params["TopicArn"]))
        name, value = str(call.params["AttributeName"]), str(call.params.get("AttributeValue") or "")
        if name == "FifoTopic":
            raise invalid("AttributeName")
        _check_topic_attributes({name: value} if value else {name: "false"}, is_fifo=topic.is_fifo)
        if value:
            topic.attributes[name] = value
        else:
            topic.attributes.pop(name, None)
        return {}

    def _add_permission(self, call: Call) -> Answer:
        topic = self._topic(str(call.params["TopicArn"]))
        label = str(call.params["Label"])
        policy = _policy(topic)
        if any(statement.get("Sid") == label for statement in policy["Statement"]):
            raise invalid("Statement already exists")
        principals = [f"arn:aws:iam::{account}:root" for account in call.params["AWSAccountId"]]
        actions = [f"SNS:{action}" for action in call.params["ActionName"]]
        policy["Statement"].append(
            {
                "Sid": label,
                "Effect": "Allow",
                "Principal": {"AWS": principals[0] if len(principals) == 1 else principals},
                "Action": actions[0] if len(actions) == 1 else actions,
                "Resource": topic.arn,
            }
        )
        topic.attributes["Policy"] = json.dumps(policy)
        return {}

    def _remove_permission(self, call: Call) -> Answer:
        topic = self._topic(str(call.params["TopicArn"]))
        policy = _policy(topic)
        kept = [statement for statement in policy["Statement"] if statement.get("Sid") != call.params["Label"]]
        topic.attributes["Policy"] = json.dumps({**policy, "Statement": kept})
        return {}

    def _tag(self, call: Call) -> Answer:
        self._tagged(call).tags.update(_tags(call.params["Tags"]))
        return {}

    def _untag(self, call: Call) -> Answer:
        tags = self._tagged(call).tags
        for key in cast(Sequence[str], call.params["TagKeys"]):
            tags.pop(key, None)
        return {}

    def _list_tags(self, call: Call) -> Answer:
        return {"Tags": [{"Key": key, "Value": value} for key, value in self._tagged(call).tags.items()]}

    def _tagged(self, call: Call) -> Topic:
        topic = self._topics.get(str(call.params["ResourceArn"]))
        if topic is None:
            raise AwsFault("ResourceNotFoundException", "Resource does not exist", status=404)
        return topic

    # Subscriptions

    def _subscribe(self, call: Call) -> Answer:
        topic = self._topic(str(call.params["TopicArn"]))
        protocol, endpoint = str(call.params["Protocol"]), str(call.params.get("Endpoint") or "")
        attributes = _attributes(call)
        if protocol not in TAKEN:
            raise invalid(f"Amazon SNS does not support this protocol string: {protocol}")
        if protocol == "sqs" and service_of(endpoint) != "sqs":
            raise invalid("SQS endpoint ARN")
        if protocol == "lambda" and service_of(endpoint) != "lambda":
            raise invalid("Lambda endpoint ARN")
        if protocol == "sqs" and endpoint.endswith(".fifo") and not topic.is_fifo:
            raise invalid("Endpoint Reason: FIFO SQS Queues can not be subscribed to standard SNS topics")
        _check_subscription_attributes(attributes)
        for held in topic.subscriptions.values():
            if (held.protocol, held.endpoint) == (protocol, endpoint):
                if any(held.attributes.get(key) != value for key, value in attributes.items()):
                    raise invalid("Attributes Reason: Subscription already exists with different attributes")
                return {"SubscriptionArn": self._shown_arn(held, call)}
        subscription = Subscription(
            arn=f"{topic.arn}:{self._ids.uuid()}",
            topic_arn=topic.arn,
            protocol=protocol,
            endpoint=endpoint,
            owner=call.account,
            attributes=attributes,
        )
        topic.subscriptions[subscription.arn] = subscription
        if not subscription.is_delivered:
            sys.stderr.write(f"lambdaform: the local AWS will not deliver {topic.arn} to {protocol}:{endpoint}\n")
        return {"SubscriptionArn": self._shown_arn(subscription, call)}

    def _shown_arn(self, subscription: Subscription, call: Call) -> str:
        if subscription.is_delivered or call.params.get("ReturnSubscriptionArn"):
            return subscription.arn
        return "pending confirmation"

    def _confirm_subscription(self, call: Call) -> Answer:
        self._topic(str(call.params["TopicArn"]))
        raise invalid("Token")  # the local AWS sends no confirmation, so no token is right

    def _unsubscribe(self, call: Call) -> Answer:
        arn = str(call.params["SubscriptionArn"])
        topic = self._topics.get(arn.rpartition(":")[0])
        if topic is not None and topic.subscriptions.pop(arn, None) is not None:
            topic.deleted_subscriptions += 1
        return {}

    def _get_subscription_attributes(self, call: Call) -> Answer:
        held = self._subscription(str(call.params["SubscriptionArn"]))
        scope = {"FilterPolicyScope": "MessageAttributes"} if "FilterPolicy" in held.attributes else {}
        return {
            "Attributes": {
                "SubscriptionArn": held.arn,
                "TopicArn": held.topic_arn,
                "Protocol": held.protocol,
                "Endpoint": held.endpoint,
                "Owner": held.owner,
                "RawMessageDelivery": "false",
                "PendingConfirmation": "false" if held.is_delivered else "true",
                "ConfirmationWasAuthenticated": "true" if held.is_delivered else "false",
                "SubscriptionPrincipal": f"arn:aws:iam::{held.owner}:root",
                **scope,
                **held.attributes,
            }
        }

    def _set_subscription_attributes(self, call: Call) -> Answer:
        held = self._subscription(str(call.params["SubscriptionArn"]))
        name, value = str(call.params["AttributeName"]), str(call.params.get("AttributeValue") or "")
        removes = value == "" or (name == "FilterPolicy" and value.strip() == "{}")
        _check_subscription_attributes({name: "" if removes else value})
        if removes:
            held.attributes.pop(name, None)
        else:
            held.attributes[name] = value
        return {}

    def _list_subscriptions(self, call: Call) -> Answer:
        held = [
            each for topic in self._topics.values() if _is_at(topic.arn, call) for each in topic.subscriptions.values()
        ]
        return _page("Subscriptions", [_shown(each) for each in held], call)

    def _list_subscriptions_by_topic(self, call: Call) -> Answer:
        topic = self._topic(str(call.params["TopicArn"]))
        return _page("Subscriptions", [_shown(each) for each in topic.subscriptions.values()], call)

    # Publishing

    def _publish(self, call: Call) -> Answer:
        if call.params.get("PhoneNumber"):
            raise AwsFault(
                "NotImplemented", "the local AWS sends no text messages; nothing was done", status=501, type="Service"
            )
        arn = call.params.get("TopicArn") or call.params.get("TargetArn")
        if not arn:
            raise invalid("TopicArn or TargetArn Reason: no value for required parameter")
        return _published(self._publishing.publish(self._topic(str(arn)), call.params))

    def _publish_batch(self, call: Call) -> Answer:
        topic = self._topic(str(call.params["TopicArn"]))
        entries = cast(Sequence[Mapping[str, Any]], call.params.get("PublishBatchRequestEntries") or ())
        _check_batch(entries)
        successful, failed = list[dict[str, Any]](), list[dict[str, Any]]()
        for entry in entries:
            try:
                successful.append({"Id": entry["Id"], **_published(self._publishing.publish(topic, entry))})
            except AwsFault as error:
                code = error.code.removesuffix("Exception")
                failed.append({"Id": entry["Id"], "Code": code, "Message": error.message or "", "SenderFault": True})
        return {"Successful": successful, "Failed": failed}

    def _topic(self, arn: str) -> Topic:
        topic = self._topics.get(arn)
        if topic is None:
            raise AwsFault("NotFoundException", "Topic does not exist", status=404)
        return topic

    def _subscription(self, arn: str) -> Subscription:
        topic = self._topics.get(arn.rpartition(":")[0])
        held = topic.subscriptions.get(arn) if topic is not None else None
        if held is None:
            raise AwsFault("NotFoundException", "Subscription does not exist", status=404)
        return held


def _check_topic_attributes(attributes: Mapping[str, str], *, is_fifo: bool) -> None:
    for name in attributes:
        if name not in _TOPIC_ATTRIBUTES or (name in ("FifoTopic", "ContentBasedDeduplication") and not is_fifo):
            raise invalid("AttributeName")


def _check_subscription_attributes(attributes: Mapping[str, str]) -> None:
    for name, value in attributes.items():
        if name not in _SUBSCRIPTION_ATTRIBUTES:
            raise invalid("AttributeName")
        if not value:
            continue
        if name == "RawMessageDelivery" and value not in ("true", "false"):
            raise invalid(f"RawMessageDelivery: Invalid value [{value}]. Must be true or false.")
        if name == "FilterPolicyScope" and value not in ("MessageAttributes", "MessageBody"):
            raise invalid(
                f"FilterPolicyScope: Invalid value [{value}]. Please use either MessageBody or MessageAttributes"
            )
        if name == "FilterPolicy":
            try:
                patterns.parse(value, "sns")
            except patterns.PatternError as error:
                raise invalid(f"FilterPolicy: {error}") from error
        if name == "RedrivePolicy":
            try:
                service = service_of(str(json.loads(value)["deadLetterTargetArn"]))
            except (ValueError, KeyError, TypeError) as error:
                raise invalid("RedrivePolicy: failed to parse JSON.") from error
            if service != "sqs":
                raise invalid("RedrivePolicy: deadLetterTargetArn is an invalid arn")


def _check_batch(entries: Sequence[Mapping[str, Any]]) -> None:
    names = [str(entry["Id"]) for entry in entries]
    if not entries:
        raise AwsFault("EmptyBatchRequestException", "The batch request doesn't contain any entries.")
    if len(entries) > 10:
        raise AwsFault(
            "TooManyEntriesInBatchRequestException", "The batch request contains more entries than permissible."
        )
    if len(set(names)) < len(names):
        raise AwsFault(
            "BatchEntryIdsNotDistinctException", "Two or more batch entries in the request have the same Id."
        )
    if sum(len(str(entry.get("Message") or "").encode()) for entry in entries) > MAX_BYTES:
        raise AwsFault(
            "BatchRequestTooLongException", "The length of all the batch messages put together is more than the limit."
        )


def _published(publication: Any) -> dict[str, Any]:
    sequence = {} if publication.sequence is None else {"SequenceNumber": publication.sequence}
    return {"MessageId": publication.id, **sequence}


def _shown(held: Subscription) -> dict[str, str]:
    return {
        "SubscriptionArn": held.arn if held.is_delivered else "PendingConfirmation",
        "Owner": held.owner,
        "Protocol": held.protocol,
        "Endpoint": held.endpoint,
        "TopicArn": held.topic_arn,
    }


def _policy(topic: Topic) -> dict[str, Any]:
    """The topic's policy: what was set, or that its owner may do everything."""
    if text := topic.attributes.get("Policy"):
        return cast(dict[str, Any], json.loads(text))
    actions = (
        "GetTopicAttributes",
        "SetTopicAttributes",
        "AddPermission",
        "RemovePermission",
        "DeleteTopic",
        "Subscribe",
    )
    return {
        "Version": "2008-10-17",
        "Id": "__default_policy_ID",
        "Statement": [
            {
                "Sid": "__default_statement_ID",
                "Effect": "Allow",
                "Principal": {"AWS": "*"},
                "Action": [f"SNS:{action}" for action in (*actions, "ListSubscriptionsByTopic", "Publish")],
                "Resource": topic.arn,
                "Condition": {"StringEquals": {"AWS:SourceOwner": topic.arn.split(":")[4]}},
            }
        ],
    }


def _attributes(call: Call) -> dict[str, str]:
    """The attributes of a request; an empty text is as good as none."""
    given = cast(Mapping[str, str], call.params.get("Attributes") or {})
    return {key: value for key, value in given.items() if value != ""}


def _tags(given: Sequence[Mapping[str, str]] | None) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in given or ()}


def _is_at(arn: str, call: Call) -> bool:
    return arn.split(":")[3:5] == [call.region, call.account]


def _page(member: str, items: list[Any], call: Call) -> dict[str, Any]:
    shown, token = page(items, call.params.get("NextToken"), _PAGE, refused=invalid("NextToken"))
    return {member: shown, **({} if token is None else {"NextToken": token})}
