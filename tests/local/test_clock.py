"""Facts about the two clocks."""

from __future__ import annotations

import asyncio

import pytest

from lambdaform.local.clock import RandomIds, SeededIds, SystemClock, VirtualClock


def test_timers_run_by_due_time_and_then_by_arrival() -> None:
    async def scenario() -> list[str]:
        clock, seen = VirtualClock(0), list[str]()
        clock.call_at(2, lambda: seen.append("late"))
        clock.call_at(1, lambda: seen.append("first"))
        clock.call_at(1, lambda: seen.append("second"))
        await clock.advance(2)
        return seen

    assert asyncio.run(scenario()) == ["first", "second", "late"]


def test_a_cancelled_timer_never_runs_and_cancelling_twice_is_harmless() -> None:
    async def scenario() -> tuple[list[str], float]:
        clock, seen = VirtualClock(0), list[str]()
        timer = clock.call_at(1, lambda: seen.append("no"))
        timer.cancel()
        timer.cancel()
        passed = await clock.run_until_idle(100)
        return seen, passed

    assert asyncio.run(scenario()) == ([], 0)


def test_time_stands_still_while_work_is_busy_with_something_real() -> None:
    async def scenario() -> list[float]:
        clock, seen = VirtualClock(0), list[float]()

        async def work() -> None:
            for _ in range(50):
                await asyncio.sleep(0)
            seen.append(clock.now())

        clock.run(work())
        await clock.advance(10)
        return [*seen, clock.now()]

    assert asyncio.run(scenario()) == [0, 10]


def test_work_that_sleeps_lets_the_clock_move_and_wakes_in_order() -> None:
    async def scenario() -> list[tuple[str, float]]:
        clock, seen = VirtualClock(0), list[tuple[str, float]]()

        async def work(name: str, pause: float) -> None:
            for _ in range(2):
                await clock.sleep(pause)
                seen.append((name, clock.now()))

        clock.run(work("slow", 3))
        clock.run(work("fast", 2))
        await clock.advance(5)
        seen.append(("now", clock.now()))
        await clock.advance(1)
        return seen

    assert asyncio.run(scenario()) == [("fast", 2), ("slow", 3), ("fast", 4), ("now", 5), ("slow", 6)]


def test_parked_work_does_not_hold_the_time() -> None:
    async def scenario() -> list[float]:
        clock, seen = VirtualClock(0), list[float]()
        freed = asyncio.get_running_loop().create_future()

        async def waiter() -> None:
            async with clock.parked():
                await freed
            seen.append(clock.now())

        clock.run(waiter())
        clock.call_at(4, lambda: freed.set_result(None))
        await clock.advance(9)
        return seen

    assert asyncio.run(scenario()) == [4]


def test_running_until_idle_stops_at_its_limit() -> None:
    async def scenario() -> tuple[float, int]:
        clock, count = VirtualClock(0), 0

        def again() -> None:
            nonlocal count
            count += 1
            clock.call_at(clock.now() + 1, again)

        clock.call_at(1, again)
        passed = await clock.run_until_idle(10.5)
        return passed, count

    assert asyncio.run(scenario()) == (10.5, 10)


@pytest.mark.parametrize("kind", [SystemClock, VirtualClock])
def test_an_exception_that_leaves_background_work_is_reported(kind: type[SystemClock] | type[VirtualClock]) -> None:
    async def scenario() -> list[str]:
        bugs = list[str]()
        clock = kind(on_bug=lambda error: bugs.append(str(error)))

        async def work() -> None:
            raise ValueError("odd")

        clock.run(work())
        for _ in range(3):
            await asyncio.sleep(0)
        await clock.close()
        return bugs

    assert asyncio.run(scenario()) == ["odd"]


def test_cancelled_sleepers_leave_no_debt_behind() -> None:
    async def scenario() -> float:
        clock = VirtualClock(0)

        async def work() -> None:
            inner = asyncio.ensure_future(clock.sleep(100))
            await asyncio.sleep(0)
            inner.cancel()
            await asyncio.gather(inner, return_exceptions=True)
            await clock.sleep(5)

        clock.run(work())
        return await clock.run_until_idle(1000)

    assert asyncio.run(scenario()) == 5


def test_the_system_clock_runs_timers_that_are_overdue_at_once() -> None:
    async def scenario() -> bool:
        clock, ran = SystemClock(), asyncio.Event()
        clock.call_at(clock.now() - 5, ran.set)
        await asyncio.wait_for(ran.wait(), 2)
        return ran.is_set()

    assert asyncio.run(scenario())


def test_the_same_seed_gives_the_same_ids() -> None:
    one, two = SeededIds(7), SeededIds(7)

    assert [one.uuid(), one.hex(56), one.below(10)] == [two.uuid(), two.hex(56), two.below(10)]
    assert RandomIds().uuid() != RandomIds().uuid()


def test_what_outlives_its_work_holds_nothing() -> None:
    async def scenario() -> float:
        clock, left = VirtualClock(0), list[asyncio.Task[None]]()

        async def work() -> None:
            left.append(asyncio.create_task(clock.sleep(5)))
            await asyncio.sleep(0)

        clock.run(work())
        await clock.advance(1)
        assert not left[0].done()
        await clock.advance(10)
        return clock.now()

    async def in_time() -> float:
        return await asyncio.wait_for(scenario(), 5)

    assert asyncio.run(in_time()) == 11


def test_two_that_wait_for_quiet_are_both_woken() -> None:
    async def scenario() -> float:
        clock, go_on = VirtualClock(0), asyncio.Event()

        async def work() -> None:
            await go_on.wait()

        clock.run(work())
        advancing = asyncio.create_task(clock.advance(5))
        await asyncio.sleep(0)  # it waits from here on
        assert not await clock.calm(0.02)
        go_on.set()
        await asyncio.wait_for(advancing, 5)
        return clock.now()

    assert asyncio.run(scenario()) == 5
