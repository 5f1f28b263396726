"""Waiting for real brokers, in real time: no clock of ours moves them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from lambdaform.local.brokers import Address
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


async def connect(
    address: Address,
    to: Callable[[str], Awaitable[None]],
    *,
    close: Callable[[], Awaitable[None]],
    wrong: tuple[type[Exception], ...],
    said: Callable[[BaseException], str],
) -> None:
    """Connect `to` the first of an address's hosts that answers; `close` lets go of one that does not.

    Raises `Trouble` with what the last one `said`, where it went `wrong` with each.
    """
    for number, host in enumerate(address.hosts, 1):
        try:
            await within(to(host))
            return
        except (*wrong, Trouble) as error:
            await close()
            if number == len(address.hosts):
                raise Trouble(f"cannot read from {address}: {said(error)}") from error
