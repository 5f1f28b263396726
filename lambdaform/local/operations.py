"""How a service of ours finds the method for an operation, and what it says of one it does not have."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import cast

from lambdaform.local.ports import AwsFault, Call, Json

Answer = Mapping[str, Json]
Operation = Callable[[Call], Answer | Awaitable[Answer]]
_NAMES = (
    *("UUID", "AliasArn", "LayerVersionArn", "LayerArn", "CodeSigningConfigArn", "FunctionArn"),
    *("SubscriptionArn", "TopicArn"),
    *("eventId", "logStreamName", "filterName", "logGroupName"),
    *("Id", "Arn"),
)
"""Members that name the items of listings; the first one that an item has is its own."""
_TOKEN = re.compile("(?P<position>[0-9]{1,9})-(?P<first>[0-9a-f]{32})")


async def answer(operations: Mapping[str, Operation], call: Call) -> Answer:
    """Run the operation a call asks for.

    Raises `AwsFault` with status 501 for an operation the local AWS does not have: never a made-up success.
    """
    operation = operations.get(call.operation)
    if operation is None:
        raise AwsFault(
            "NotImplemented",
            f"the local AWS does not have {call.service}:{call.operation}; nothing was done",
            status=501,
            type="Service",
        )
    result = operation(call)
    return result if isinstance(result, Mapping) else await result


def page(items: list[Json], token: str | None, limit: int, *, refused: AwsFault) -> tuple[list[Json], str | None]:
    """One page of a listing and the token of the next, which says what comes first there, and where that was.

    So nothing is left out where what was listed before has been deleted meanwhile. Raises `refused` for a token that
    is none.
    """
    start = 0
    if token:
        match = _TOKEN.fullmatch(token)
        if match is None:
            raise refused
        start = int(match["position"])
        if start >= len(items) or _mark(items[start]) != match["first"]:
            start = next((at for at, item in enumerate(items) if _mark(item) == match["first"]), start)
    following = start + limit
    shown = items[start:following]
    return shown, (f"{following}-{_mark(items[following])}" if following < len(items) else None)


def _mark(item: Json) -> str:
    """What an item is recognised by, also when something about it has changed."""
    name = item
    if isinstance(item, dict):
        members = cast("dict[str, Json]", item)
        name = next((members[each] for each in _NAMES if each in members), None)
    return hashlib.sha256(str(name).encode()).hexdigest()[:32]
