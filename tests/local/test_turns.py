"""Facts about waiting for an environment's processes."""

from __future__ import annotations

import asyncio

from lambdaform.local.lambda_.turns import Turns


def test_the_limit_of_a_turn_is_not_that_of_the_next() -> None:
    async def scenario() -> str:
        turns, is_later = Turns(lambda: 0, 1), asyncio.Event()
        turns.begin()
        turns.then(0.0, lambda turn: None)
        turns.resolve("exited")
        turns.begin()
        asyncio.get_running_loop().call_later(0.03, is_later.set)
        await is_later.wait()
        turns.resolve("ready")
        return await turns.wait(5)

    assert asyncio.run(scenario()) == "ready"


def test_a_turn_ends_at_its_limit() -> None:
    async def scenario() -> list[str]:
        turns, told = Turns(lambda: 0, 1), list[str]()
        turns.begin()
        turns.then(0.02, told.append)
        turns.begin()
        told.append(await turns.wait(0.02))
        return told

    assert asyncio.run(scenario()) == ["timeout"]


def test_too_much_memory_ends_a_turn() -> None:
    async def scenario() -> str:
        turns = Turns(lambda: 2, 1)
        turns.begin()
        return await turns.wait(5)

    assert asyncio.run(scenario()) == "out-of-memory"


def test_what_came_before_it_is_waited_for_is_told_at_once() -> None:
    async def scenario() -> list[str]:
        turns, told = Turns(lambda: 0, 1), list[str]()
        turns.begin()
        turns.resolve("ready")
        turns.then(5, told.append)
        return told

    assert asyncio.run(scenario()) == ["ready"]
