"""How a service of ours finds the method for an operation, and what it says of one it does not have."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Mapping

from lambdaform.local.ports import AwsFault, Call, Json

Answer = Mapping[str, Json]
Operation = Callable[[Call], Answer | Awaitable[Answer]]
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
        start = next((at for at, item in enumerate(items) if _digest(item) == match["first"]), int(match["position"]))
    following = start + limit
    shown = items[start:following]
    return shown, (f"{following}-{_digest(items[following])}" if following < len(items) else None)


def _digest(item: Json) -> str:
    return hashlib.sha256(json.dumps(item, sort_keys=True, default=str).encode()).hexdigest()[:32]
