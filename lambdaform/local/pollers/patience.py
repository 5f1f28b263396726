"""How long real brokers are waited for, in real time: no clock of ours moves them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from lambdaform.local.pollers.reader import Trouble

T = TypeVar("T")
ANSWER = 10.0
"""Seconds within which a broker answers, or is not there."""


async def within(work: Awaitable[T], limit: float = ANSWER) -> T:
    """What the broker answers in time. Raises `Trouble` when it does not."""
    try:
        async with asyncio.timeout(limit):
            return await work
    except TimeoutError:
        raise Trouble(f"no answer within {limit:.0f} s") from None
