"""Listings that come in pages."""

from __future__ import annotations

import pytest

from lambdaform.local.operations import page
from lambdaform.local.ports import AwsFault, Json

REFUSED = AwsFault("Invalid", "no such token")


def test_pages_go_on_with_what_came_first_on_the_next() -> None:
    before: list[Json] = [{"Arn": name} for name in "abcdef"]
    shown, token = page(before, None, 2, refused=REFUSED)
    rest, last = page(before[1:], token, 4, refused=REFUSED)

    assert (shown, rest, last) == (before[:2], before[2:], None)


@pytest.mark.parametrize("name", ["UUID", "AliasArn", "FunctionArn", "logStreamName", "eventId", "Arn", "Id"])
def test_an_item_that_has_changed_is_still_the_same(name: str) -> None:
    before: list[Json] = [{name: letter, "State": "Creating"} for letter in "abcd"]
    after: list[Json] = [{name: letter, "State": "Enabled"} for letter in "cd"]
    _, token = page(before, None, 2, refused=REFUSED)

    assert page(after, token, 2, refused=REFUSED) == (after, None)


def test_where_that_is_gone_they_go_on_at_the_same_place() -> None:
    before: list[Json] = ["a", "b", "c", "d"]
    _, token = page(before, None, 2, refused=REFUSED)
    after: list[Json] = ["a", "b", "d", "e"]

    assert page(after, token, 2, refused=REFUSED) == (["d", "e"], None)


@pytest.mark.parametrize("token", ["junk", "2", "-1", "2-xyz", "2-" + "0" * 31, "\N{SUPERSCRIPT TWO}-" + "0" * 32])
def test_what_no_listing_gave_out_is_refused(token: str) -> None:
    with pytest.raises(AwsFault) as refused:
        page(["a"], token, 2, refused=REFUSED)

    assert refused.value is REFUSED
