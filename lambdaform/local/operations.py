"""How a service of ours finds the method for an operation, and what it says of one it does not have."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from lambdaform.local.ports import AwsFault, Call, Json

Answer = Mapping[str, Json]
Operation = Callable[[Call], Answer | Awaitable[Answer]]


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


def page(items: list[Json], token: str | None, limit: int) -> tuple[list[Json], str | None]:
    """One page of a listing and the token of the next; a token is the position it goes on at."""
    start = int(token) if token and token.isdigit() else 0
    following = start + limit
    return items[start:following], (str(following) if following < len(items) else None)
