"""Answers that reach the caller while the function still runs.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-response-streaming.html. `Streamed` runs a version and lets
its caller wait for the first piece: what is refused before that is refused as any invocation is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from lambdaform.local.lambda_.invoking import Ran

Sink = Callable[[bytes, str], None]


class Streamed:
    """One invocation whose answer may come in pieces."""

    def __init__(self, run: Callable[[Sink], Awaitable[Ran]]) -> None:
        self.content_type = "application/json"
        """That of the answer; known once the first piece is there."""
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._begun = asyncio.Event()
        self._task = asyncio.ensure_future(self._run(run))

    async def begun(self) -> Ran | None:
        """Wait for the first piece, or for the end of an invocation that streams nothing, which is then returned.

        Raises what the invocation was refused with.
        """
        begun = asyncio.ensure_future(self._begun.wait())
        await asyncio.wait((begun, self._task), return_when=asyncio.FIRST_COMPLETED)
        begun.cancel()
        if self._begun.is_set():
            return None
        return await self._task

    async def pieces(self) -> AsyncIterator[bytes]:
        """The pieces as they come."""
        while (piece := await self._pieces.get()) is not None:
            yield piece

    async def ended(self) -> Ran:
        """How it ended, once the last piece is taken."""
        return await self._task

    async def _run(self, run: Callable[[Sink], Awaitable[Ran]]) -> Ran:
        try:
            return await run(self._take)
        finally:
            self._pieces.put_nowait(None)

    def _take(self, data: bytes, content_type: str) -> None:
        if not self._begun.is_set():
            self.content_type = content_type
            self._begun.set()
        self._pieces.put_nowait(data)


async def split_prelude(pieces: AsyncIterator[bytes]) -> tuple[bytes, bytes]:
    """What stands before the eight NUL bytes of a streamed HTTP answer, and what of the body came along with it."""
    seen = b""
    async for piece in pieces:
        seen += piece
        head, mark, rest = seen.partition(bytes(8))
        if mark:
            return head, rest
    return seen, b""
