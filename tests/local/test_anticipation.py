"""Facts about which environments are made ahead."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

import attrs
import pytest

from lambdaform.local.lambda_.anticipation import MOST, Anticipation


@attrs.frozen
class Some:
    """As much of a function and of its version as is looked at."""

    name: str
    state: str = "Active"
    has_snapshot: bool = False
    generation: str = "1"

    def version(self, number: str) -> Some:
        """All of its versions are it."""
        return self


class World:
    """What there is, and what was made."""

    def __init__(self, *functions: Some) -> None:
        self.functions = {each.name: each for each in functions}
        self.made: list[str] = []
        self.unpacking: Callable[[], None] = lambda: None
        self.is_done = asyncio.Event()
        self.anticipation = Anticipation(
            find=lambda key: cast(Any, self.functions.get(key[2])),
            blueprint=self._blueprint,
            make=self._make,
            run=self._run,
        )

    async def _blueprint(self, *_: object) -> Any:
        self.unpacking()
        return None

    async def _make(self, function: Any, *_: object) -> None:
        self.made.append(function.name)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.get_running_loop().create_task(work).add_done_callback(lambda _: self.is_done.set())

    async def expecting(self, *names: str) -> list[str]:
        """What is made when these were deployed, one after the other."""
        for name in names:
            self.anticipation.expect("a", "r", name, "$LATEST")
        await asyncio.wait_for(self.is_done.wait(), 5)
        return self.made


def test_the_newest_are_made_first_and_no_more_than_a_handful() -> None:
    names = [str(number) for number in range(MOST + 4)]

    async def scenario() -> list[str]:
        return await World(*map(Some, names)).expecting(*names)

    assert asyncio.run(scenario()) == names[: -MOST - 1 : -1]


def test_what_cannot_be_started_soon_is_not_made() -> None:
    async def scenario() -> list[str]:
        world = World(Some("pending", state="Pending"), Some("snapshot", has_snapshot=True), Some("well"))
        return await world.expecting("gone", "pending", "snapshot", "well")

    assert asyncio.run(scenario()) == ["well"]


@pytest.mark.parametrize("then", [{}, {"one": Some("one", generation="2")}, {"one": Some("one")}])
def test_what_changes_or_goes_while_it_is_unpacked_is_not_made(then: dict[str, Some]) -> None:
    async def scenario() -> list[str]:
        world = World(Some("one"))

        def unpacking() -> None:
            world.functions = then

        world.unpacking = unpacking
        return await world.expecting("one")

    assert asyncio.run(scenario()) == (["one"] if then == {"one": Some("one")} else [])


def test_nothing_is_made_after_the_end() -> None:
    async def scenario() -> list[str]:
        world = World(Some("one"), Some("two"))
        world.unpacking = world.anticipation.close
        await world.expecting("one", "two")
        world.anticipation.expect("a", "r", "one", "$LATEST")
        later = asyncio.Event()
        asyncio.get_running_loop().call_later(0.05, later.set)
        await later.wait()
        return world.made

    assert asyncio.run(scenario()) == []
