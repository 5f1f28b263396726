"""The invocations of the recent past, for tests and for looking at."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import attrs

MOST_RECORDS = 2000
MOST_BYTES = 64 * 1024 * 1024


@attrs.frozen(eq=False)
class Record:
    """One invocation that ran."""

    function: str
    """Unqualified ARN."""
    version: str
    request_id: str
    event: bytes
    result: bytes
    error: str | None
    """`Unhandled` when the function failed."""
    attempt: int
    """How many times this request id has run, this one included."""
    is_cold: bool
    logs: str
    started: float
    """Seconds since the epoch, on the local AWS's clock."""
    duration: float
    """Milliseconds of real time."""


class Records:
    """A bounded list of records, oldest first."""

    def __init__(self) -> None:
        self._records: deque[Record] = deque()
        self._size = 0
        self._attempts: dict[str, int] = {}

    def add(self, record: Record) -> None:
        """Keep a record; the oldest ones go when there are too many, or too large ones."""
        self._records.append(record)
        self._size += _size(record)
        self._attempts[record.request_id] = self._attempts.get(record.request_id, 0) + 1
        while len(self._records) > MOST_RECORDS or (self._size > MOST_BYTES and len(self._records) > 1):
            oldest = self._records.popleft()
            self._size -= _size(oldest)
            self._attempts[oldest.request_id] -= 1
            if not self._attempts[oldest.request_id]:
                del self._attempts[oldest.request_id]

    def attempts(self, request_id: str) -> int:
        """How often a request id has run among the last records."""
        return self._attempts.get(request_id, 0)

    def of(self, name: str | None) -> Sequence[Record]:
        """The records of a function, by name or ARN; all of them for None."""
        if name is None:
            return tuple(self._records)
        return tuple(r for r in self._records if r.function == name or r.function.rpartition(":")[2] == name)

    def clear(self) -> None:
        """Forget all."""
        self._records.clear()
        self._attempts.clear()
        self._size = 0


def _size(record: Record) -> int:
    return len(record.event) + len(record.result) + len(record.logs)
