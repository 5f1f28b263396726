"""The pages in which the listings of logs come."""

from __future__ import annotations

from lambdaform.local.operations import Answer, page
from lambdaform.local.ports import AwsFault, Call, Json

MOST = 50
"""Items of one page where a call does not say."""


def listing(call: Call, member: str, found: list[Json], *, most: int = MOST) -> Answer:
    """The page of a listing that a call asks for. Raises `AwsFault` for a token that comes from no listing."""
    shown, following = page(found, call.params.get("nextToken"), call.params.get("limit", most), refused=foreign())
    return {member: shown, "nextToken": following}


def foreign() -> AwsFault:
    """What a token that comes from no listing is answered."""
    return AwsFault("InvalidParameterException", "The specified nextToken is invalid.")
