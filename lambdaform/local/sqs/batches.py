"""The frame of batch calls: what a batch must be, and one result or error for each of its entries."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from lambdaform.local.ports import AwsFault
from lambdaform.local.sqs import messages
from lambdaform.local.sqs.faults import fault, query_code
from lambdaform.local.sqs.rules import Draft

MAX_ENTRIES = 10
MAX_BYTES = 1_048_576
"""https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html"""

Entry = Mapping[str, Any]
_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")


def entries_of(params: Mapping[str, Any], kind: str) -> Sequence[Entry]:
    """The entries of a batch; raises `AwsFault` when the batch as a whole is not valid."""
    entries = cast(Sequence[Entry], params.get("Entries") or ())
    if not entries:
        raise fault("EmptyBatchRequest", f"There should be at least one {kind} in the request.")
    if len(entries) > MAX_ENTRIES:
        raise fault(
            "TooManyEntriesInBatchRequest",
            f"Maximum number of entries per request are {MAX_ENTRIES}. You have sent {len(entries)}.",
        )
    seen = set[str]()
    for entry in entries:
        name = str(entry["Id"])
        if not _ID.fullmatch(name):
            raise fault(
                "InvalidBatchEntryId",
                "A batch entry id can only contain alphanumeric characters, hyphens and underscores. "
                "It can be at most 80 letters long.",
            )
        if name in seen:
            raise fault("BatchEntryIdsNotDistinct", f"Id {name} repeated.")
        seen.add(name)
    return entries


def check_total(entries: Sequence[Entry]) -> None:
    """Refuse a batch of messages that is too long altogether."""
    total = sum(
        messages.size(Draft(body=str(entry.get("MessageBody") or ""), attributes=messages.attributes_of(entry)))
        for entry in entries
    )
    if total > MAX_BYTES:
        raise fault(
            "BatchRequestTooLong",
            f"Batch requests cannot be longer than {MAX_BYTES} bytes. You have sent {total} bytes.",
        )


def run(entries: Sequence[Entry], act: Callable[[Entry], Mapping[str, Any]]) -> dict[str, Any]:
    """Act on every entry; a refusal of one is that entry's error and no other's."""
    successful, failed = list[dict[str, Any]](), list[dict[str, Any]]()
    for entry in entries:
        try:
            successful.append({"Id": entry["Id"], **act(entry)})
        except AwsFault as error:
            failed.append(
                {
                    "Id": entry["Id"],
                    "SenderFault": True,
                    "Code": query_code(error.code),
                    "Message": error.message or "",
                }
            )
    return {"Successful": successful, "Failed": failed} if failed else {"Successful": successful}
