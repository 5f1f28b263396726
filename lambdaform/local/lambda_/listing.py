"""The pages in which Lambda's listings come.

https://docs.aws.amazon.com/lambda/latest/api/API_ListFunctions.html and the like.
"""

from __future__ import annotations

from collections.abc import Mapping

from lambdaform.local.operations import page
from lambdaform.local.ports import AwsFault, Call, Json

MOST = 50
"""Items of one page, for most listings."""


def listing(call: Call, member: str, found: list[Json], *, most: int = MOST) -> Mapping[str, Json]:
    """The page of a listing that a call asks for; more than `most` items at once are not to be had.

    Raises `AwsFault` for a marker that comes from no listing.
    """
    refused = AwsFault("InvalidParameterValueException", "The pagination token is invalid.")
    limit = min(call.params.get("MaxItems", most), most)
    shown, following = page(found, call.params.get("Marker"), limit, refused=refused)
    return {member: shown, "NextMarker": following}
