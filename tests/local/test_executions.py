"""What executions of state machines wait for, on a virtual clock and against a process that is not there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import attrs

from lambdaform.local.clock import EPOCH, VirtualClock
from lambdaform.local.executions import Executions

T = TypeVar("T")


@attrs.frozen
class Bench:
    """Executions, and when they were told that the time had come for which wait."""

    clock: VirtualClock
    executions: Executions
    woken: list[tuple[int, float]]

    def waits(self, number: int, seconds: float) -> None:
        self.executions.told({"told": "waits", "wait": number, "seconds": seconds})

    def told(self, what: str) -> None:
        self.executions.told({"told": what})


def run(scenario: Callable[[Bench], Awaitable[T]]) -> T:
    async def whole() -> T:
        clock = VirtualClock()
        woken = list[tuple[int, float]]()

        async def wake(number: int) -> None:
            woken.append((number, clock.now() - EPOCH))

        return await scenario(Bench(clock, Executions(clock, wake), woken))

    return asyncio.run(whole())


def test_waits_end_when_the_clock_gets_there_the_earliest_first() -> None:
    async def scenario(bench: Bench) -> list[tuple[int, float]]:
        bench.waits(1, 60)
        bench.waits(2, 30)
        bench.waits(3, 60)
        await bench.clock.advance(59)
        await bench.clock.advance(1)
        return bench.woken

    assert run(scenario) == [(2, 30), (1, 60), (3, 60)]


def test_time_stands_still_while_an_execution_runs() -> None:
    async def scenario(bench: Bench) -> tuple[bool, float]:
        bench.told("runs")
        moving = asyncio.create_task(bench.clock.advance(10))
        for _ in range(100):
            await asyncio.sleep(0)
        was_moving = bench.clock.now() > EPOCH
        bench.told("rests")
        await moving
        return was_moving, bench.clock.now() - EPOCH

    assert run(scenario) == (False, 10)


def test_a_wait_that_is_over_before_its_time_is_forgotten() -> None:
    async def scenario(bench: Bench) -> tuple[float, list[tuple[int, float]]]:
        bench.waits(1, 60)
        bench.executions.told({"told": "waits no longer", "wait": 1})
        return await bench.clock.run_until_idle(1000), bench.woken

    assert run(scenario) == (0, [])


def test_nothing_is_left_of_executions_whose_process_has_gone() -> None:
    async def scenario(bench: Bench) -> tuple[float, list[tuple[int, float]]]:
        bench.told("runs")
        bench.waits(1, 60)
        bench.executions.forget()
        return await bench.clock.run_until_idle(1000), bench.woken

    assert run(scenario) == (0, [])
