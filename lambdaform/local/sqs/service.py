"""The operations of SQS: requests in, answers out. What happens to messages is in `rules`, who waits in `store`."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any, cast

from lambdaform.local.clock import Ids
from lambdaform.local.operations import Answer, answer, page
from lambdaform.local.ports import Call, Clock
from lambdaform.local.sqs import attributes, batches, messages
from lambdaform.local.sqs.faults import fault, invalid_handle, invalid_parameter, no_queue
from lambdaform.local.sqs.messages import Handle
from lambdaform.local.sqs.moves import Moves
from lambdaform.local.sqs.rules import MAX_IN_FLIGHT
from lambdaform.local.sqs.store import QueueStore
from lambdaform.local.sqs.values import Attribute, Message, Queue
from lambdaform.local.trace import Trace

PURGE_INTERVAL = 60.0
"""Seconds between two purges of one queue.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_PurgeQueue.html"""

_PAGE = 1_000


class Sqs(QueueStore):
    """Amazon SQS. `long_polls` says whether a receive that finds nothing waits for its `WaitTimeSeconds`.

    Under a virtual clock it must not: a handler would wait for a time that does not pass while it runs.
    """

    name = "sqs"

    def __init__(self, *, clock: Clock, ids: Ids, long_polls: bool = True, trace: Trace | None = None) -> None:
        super().__init__(clock=clock, ids=ids, trace=trace)
        self._long_polls = long_polls
        self._moves = Moves(store=self, clock=clock, ids=ids)
        self._operations = {
            "AddPermission": self._add_permission,
            "CancelMessageMoveTask": self._moves.cancel,
            "ChangeMessageVisibility": self._change_message_visibility,
            "ChangeMessageVisibilityBatch": self._change_message_visibility_batch,
            "CreateQueue": self._create_queue,
            "DeleteMessage": self._delete_message,
            "DeleteMessageBatch": self._delete_message_batch,
            "DeleteQueue": self._delete_queue,
            "GetQueueAttributes": self._get_queue_attributes,
            "GetQueueUrl": self._get_queue_url,
            "ListDeadLetterSourceQueues": self._list_dead_letter_source_queues,
            "ListMessageMoveTasks": self._moves.listing,
            "ListQueueTags": self._list_queue_tags,
            "ListQueues": self._list_queues,
            "PurgeQueue": self._purge_queue,
            "ReceiveMessage": self._receive_message,
            "RemovePermission": self._remove_permission,
            "SendMessage": self._send_message,
            "SendMessageBatch": self._send_message_batch,
            "SetQueueAttributes": self._set_queue_attributes,
            "StartMessageMoveTask": self._moves.start,
            "TagQueue": self._tag_queue,
            "UntagQueue": self._untag_queue,
        }

    async def handle(self, call: Call) -> Answer:
        """Answer one call; raises `AwsFault`."""
        return await answer(self._operations, call)

    def reset(self) -> None:
        """Forget all queues."""
        empty: tuple[dict[str, Queue], dict[str, float]] = ({}, {})
        super().restore(empty)
        self._moves.restore(list[object]())

    # Queues

    def _create_queue(self, call: Call) -> Answer:
        name = str(call.params["QueueName"])
        attributes.check_name(name)
        given = cast(Mapping[str, str], call.params.get("Attributes") or {})
        tags = cast(Mapping[str, str], call.params.get("tags") or {})
        queue = self.create(f"arn:aws:sqs:{call.region}:{call.account}:{name}", given, tags)
        return {"QueueUrl": queue_url(call, queue)}

    def _delete_queue(self, call: Call) -> Answer:
        self.drop(self._queue(call).arn)
        return {}

    def _get_queue_url(self, call: Call) -> Answer:
        account = call.params.get("QueueOwnerAWSAccountId") or call.account
        return {
            "QueueUrl": queue_url(call, self.get(f"arn:aws:sqs:{call.region}:{account}:{call.params['QueueName']}"))
        }

    def _list_queues(self, call: Call) -> Answer:
        prefix = str(call.params.get("QueueNamePrefix") or "")
        owned = [
            queue_url(call, queue)
            for queue in self.every()
            if (queue.region, queue.account) == (call.region, call.account) and queue.name.startswith(prefix)
        ]
        return _listing(call, "QueueUrls", owned)

    def _list_dead_letter_source_queues(self, call: Call) -> Answer:
        target = self._queue(call).arn
        sources = [
            queue_url(call, queue)
            for queue in self.every()
            if json.loads(queue.attributes.get("RedrivePolicy") or "{}").get("deadLetterTargetArn") == target
        ]
        return {"queueUrls": [], **_listing(call, "queueUrls", sources)}

    def _get_queue_attributes(self, call: Call) -> Answer:
        queue = self._queue(call)
        found = attributes.read(queue, call.params.get("AttributeNames") or [], self._clock.now())
        return {"Attributes": found} if found else {}

    def _set_queue_attributes(self, call: Call) -> Answer:
        queue = self._queue(call)
        given = cast(Mapping[str, str], call.params["Attributes"])
        attributes.check(queue.name, queue.arn, given, self.find, creating=False)
        queue.attributes = attributes.changed(queue, given)
        queue.modified = self._clock.now()
        return {}

    def _purge_queue(self, call: Call) -> Answer:
        queue = self._queue(call)
        if queue.purged is not None and self._clock.now() < queue.purged + PURGE_INTERVAL:
            raise fault(
                "PurgeQueueInProgress",
                f"Only one PurgeQueue operation on {queue.name} is allowed every 60 seconds.",
            )
        self.purge(queue.arn)
        return {}

    def _tag_queue(self, call: Call) -> Answer:
        self._queue(call).tags.update(cast(Mapping[str, str], call.params["Tags"]))
        return {}

    def _untag_queue(self, call: Call) -> Answer:
        tags = self._queue(call).tags
        for key in cast(list[str], call.params["TagKeys"]):
            tags.pop(key, None)
        return {}

    def _list_queue_tags(self, call: Call) -> Answer:
        tags = self._queue(call).tags
        return {"Tags": dict(tags)} if tags else {}

    def _add_permission(self, call: Call) -> Answer:
        queue = self._queue(call)
        label = str(call.params["Label"])
        policy = _policy(queue)
        if any(statement.get("Sid") == label for statement in policy["Statement"]):
            raise invalid_parameter("Label", label, "Already exists.")
        principals = [f"arn:aws:iam::{account}:root" for account in call.params["AWSAccountIds"]]
        actions = [f"SQS:{action}" for action in call.params["Actions"]]
        policy["Statement"].append(
            {
                "Sid": label,
                "Effect": "Allow",
                "Principal": {"AWS": principals[0] if len(principals) == 1 else principals},
                "Action": actions[0] if len(actions) == 1 else actions,
                "Resource": queue.arn,
            }
        )
        queue.attributes["Policy"] = json.dumps(policy)
        return {}

    def _remove_permission(self, call: Call) -> Answer:
        queue = self._queue(call)
        label = str(call.params["Label"])
        policy = _policy(queue)
        kept = [statement for statement in policy["Statement"] if statement.get("Sid") != label]
        if len(kept) == len(policy["Statement"]):
            raise invalid_parameter("Label", label, "can't find label on existing policy")
        if kept:
            queue.attributes["Policy"] = json.dumps({**policy, "Statement": kept})
        else:
            queue.attributes.pop("Policy", None)
        return {}

    # Messages

    def _send_message(self, call: Call) -> Answer:
        return self._sent(self._queue(call), call.params)

    def _send_message_batch(self, call: Call) -> Answer:
        queue = self._queue(call)
        entries = batches.entries_of(call.params, "SendMessageBatchRequestEntry")
        batches.check_total(entries)
        return batches.run(entries, lambda entry: self._sent(queue, entry))

    def _sent(self, queue: Queue, params: Mapping[str, Any]) -> dict[str, Any]:
        draft = messages.draft(queue, params)
        messages.check_size(queue, draft)
        sent = self.put(queue.arn, draft)
        trace = {} if draft.trace is None else {"AWSTraceHeader": Attribute("String", draft.trace)}
        optional = {
            "MD5OfMessageAttributes": messages.attributes_digest(draft.attributes),
            "MD5OfMessageSystemAttributes": messages.attributes_digest(trace),
            "SequenceNumber": sent.sequence,
        }
        return {
            "MessageId": sent.message_id,
            "MD5OfMessageBody": messages.digest(draft.body),
            **{name: value for name, value in optional.items() if value is not None},
        }

    async def _receive_message(self, call: Call) -> Answer:
        queue = self._queue(call)
        params = call.params
        limit = int(params.get("MaxNumberOfMessages") or (1 if params.get("MaxNumberOfMessages") is None else 0))
        if not 1 <= limit <= 10:
            raise invalid_parameter("MaxNumberOfMessages", limit, "Must be between 1 and 10, if provided.")
        visibility = cast(int | None, params.get("VisibilityTimeout"))
        if visibility is not None and not 0 <= visibility <= 43_200:
            raise invalid_parameter("VisibilityTimeout", visibility, "Must be between 0 and 43200, if provided.")
        wait = cast(int | None, params.get("WaitTimeSeconds"))
        if wait is not None and not 0 <= wait <= 20:
            raise invalid_parameter("WaitTimeSeconds", wait, "Must be >= 0 and <= 20, if provided.")
        if self.counts(queue.arn).in_flight >= MAX_IN_FLIGHT:
            raise fault("OverLimit", "Too many messages in flight.")
        deadline = self._clock.now() + (queue.seconds("ReceiveMessageWaitTimeSeconds") if wait is None else wait)
        taken = self.receive(queue.arn, limit=limit, visibility=visibility)
        while not taken and self._long_polls and self._clock.now() < deadline:
            await self._arrival(queue.arn, deadline)
            taken = self.receive(queue.arn, limit=limit, visibility=visibility)
        return {"Messages": [_received(queue, message, params) for message in taken]} if taken else {}

    async def _arrival(self, arn: str, deadline: float) -> None:
        """Wait until there may be something to receive, or the deadline."""
        heard = asyncio.Event()
        watch = self.watch(arn, heard.set)
        timer = self._clock.call_at(deadline, heard.set)
        try:
            await heard.wait()
        finally:
            watch.cancel()
            timer.cancel()

    def _delete_message(self, call: Call) -> Answer:
        self._delete(self._queue(call), str(call.params["ReceiptHandle"]))
        return {}

    def _delete_message_batch(self, call: Call) -> Answer:
        queue = self._queue(call)
        entries = batches.entries_of(call.params, "DeleteMessageBatchRequestEntry")
        return batches.run(entries, lambda entry: self._delete(queue, str(entry["ReceiptHandle"])))

    def _delete(self, queue: Queue, text: str) -> dict[str, Any]:
        handle = self._handle(queue, text)
        message = queue.messages.get(handle.message_id)
        if queue.is_fifo and message is not None and message.receipt == handle.token:
            self.counts(queue.arn)  # brings the queue up to now
            if not message.is_in_flight:
                raise invalid_parameter("ReceiptHandle", text, "The receipt handle has expired.")
        self.delete(queue.arn, handle.message_id, handle.token)
        return {}

    def _change_message_visibility(self, call: Call) -> Answer:
        self._change(self._queue(call), call.params)
        return {}

    def _change_message_visibility_batch(self, call: Call) -> Answer:
        queue = self._queue(call)
        entries = batches.entries_of(call.params, "ChangeMessageVisibilityBatchRequestEntry")
        return batches.run(entries, lambda entry: self._change(queue, entry))

    def _change(self, queue: Queue, params: Mapping[str, Any]) -> dict[str, Any]:
        text, seconds = str(params["ReceiptHandle"]), int(params.get("VisibilityTimeout") or 0)
        if not 0 <= seconds <= 43_200:
            raise invalid_parameter("VisibilityTimeout", seconds, "Must be between 0 and 43200, if provided.")
        handle = self._handle(queue, text)
        self.counts(queue.arn)  # brings the queue up to now
        message = queue.messages.get(handle.message_id)
        if message is None:
            reason = "Message does not exist or is not available for visibility timeout change."
            raise invalid_parameter("ReceiptHandle", text, reason)
        if not message.is_in_flight:
            raise fault("MessageNotInflight", "The specified message isn't in flight.")
        if message.receipt == handle.token:
            self.change_visibility(queue.arn, message, seconds)
        return {}

    def _handle(self, queue: Queue, text: str) -> Handle:
        handle = messages.parse_handle(text)
        if handle.queue_arn != queue.arn:
            raise invalid_handle(text)
        return handle

    def _queue(self, call: Call) -> Queue:
        """The queue a call names by its URL; of a URL only account and name count."""
        url = str(call.params["QueueUrl"])
        match = re.search(r"(?:/(\d{12}))?/?([A-Za-z0-9_.-]+)/?$", url)
        if match is None:
            raise no_queue()
        return self.get(f"arn:aws:sqs:{call.region}:{match[1] or call.account}:{match[2]}")

    # State

    def checkpoint(self) -> object:
        """Queues and move tasks as they are, for `restore`."""
        return (super().checkpoint(), self._moves.checkpoint())

    def restore(self, state: object) -> None:
        """Be as at the checkpoint."""
        queues, moves = cast(tuple[object, object], state)
        super().restore(queues)
        self._moves.restore(moves)


def queue_url(call: Call, queue: Queue) -> str:
    """The URL of a queue under the address the local AWS was called by."""
    return f"{call.endpoint}/{queue.account}/{queue.name}"


def _listing(call: Call, member: str, urls: list[str]) -> dict[str, Any]:
    limit = call.params.get("MaxResults")
    if limit is not None and not 1 <= int(limit) <= _PAGE:
        raise invalid_parameter("MaxResults", limit, "MaxResults must be an integer between 1 and 1000.")
    token = call.params.get("NextToken")
    shown, following = page(
        urls, token, int(limit or _PAGE), refused=invalid_parameter("NextToken", token, "Invalid token.")
    )
    # Only a caller who asked for pages gets told that there are more.
    return {
        **({member: shown} if shown else {}),
        **({"NextToken": following} if following is not None and limit is not None else {}),
    }


def _policy(queue: Queue) -> dict[str, Any]:
    text = queue.attributes.get("Policy")
    if text:
        return cast(dict[str, Any], json.loads(text))
    return {"Version": "2008-10-17", "Id": f"{queue.arn}/SQSDefaultPolicy", "Statement": []}


def _received(queue: Queue, message: Message, params: Mapping[str, Any]) -> dict[str, Any]:
    """A message as its reader gets it, with what the reader asked for."""
    wanted = {*(params.get("AttributeNames") or ()), *(params.get("MessageSystemAttributeNames") or ())}
    system = messages.system_attributes(message)
    shown = system if "All" in wanted else {name: value for name, value in system.items() if name in wanted}
    chosen = messages.selected(message.attributes, params.get("MessageAttributeNames") or ())
    digest = messages.attributes_digest(chosen)
    return {
        "MessageId": message.id,
        "ReceiptHandle": messages.handle_text(Handle(queue.arn, message.id, message.receipt or "")),
        "MD5OfBody": messages.digest(message.body),
        "Body": message.body,
        **({"Attributes": shown} if shown else {}),
        **({} if digest is None else {"MD5OfMessageAttributes": digest}),
        **(
            {"MessageAttributes": {name: messages.attribute_members(value) for name, value in chosen.items()}}
            if chosen
            else {}
        ),
    }
