"""What is done with a request first: its cause is found, the clock comes to rest, trouble that was declared strikes.

A request with a trace header is a handler's own: AWS's SDKs send along in Lambda what the function was given.
"""

from __future__ import annotations

import asyncio
import os

from lambdaform.local.callers import is_below
from lambdaform.local.clock import SystemClock, VirtualClock
from lambdaform.local.data_waiting import EXECUTION_HEADER
from lambdaform.local.door import Destination
from lambdaform.local.faults import Faults
from lambdaform.local.http import Request
from lambdaform.local.lambda_.metrics import Metrics
from lambdaform.local.ports import AwsFault
from lambdaform.local.trace import Trace

HEADER = "x-amzn-trace-id"
GLANCE = 0.1
"""Seconds of real time a request waits for background work under a virtual clock before it is asked whose it is."""
PATIENCE = 2.0
"""Seconds it waits where nobody can tell whether it is a handler's, whose own end would be waited for."""
LONG_PATIENCE = 20.0
"""Seconds that somebody else's waits: long, as a busy machine is slow, but what is waited for may wait for them."""


class Arrivals:
    """One per local AWS, called by the door."""

    def __init__(self, *, clock: SystemClock | VirtualClock, faults: Faults, trace: Trace, metrics: Metrics) -> None:
        self._clock = clock
        self._faults = faults
        self._trace = trace
        self._metrics = metrics

    async def __call__(self, request: Request, where: Destination | None) -> None:
        """Called with whose request it is; None for what is no AWS service's. Raises the `AwsFault` of a trouble."""
        if where is not None and where.service == "monitoring":
            await self._metrics.hand_over()
        header = request.headers.get(HEADER)
        if header is None:
            if EXECUTION_HEADER.lower() in request.headers:
                return  # the clock waits for the execution, and the execution for this
            if isinstance(self._clock, VirtualClock) and not await self._clock.calm(GLANCE):
                is_ours = is_below(os.getpid(), request.peer_port)
                if not is_ours:
                    await self._clock.calm(PATIENCE if is_ours is None else LONG_PATIENCE)
            return
        self._trace.caused_by_header(header)
        if where is None or not self._faults.is_troubled:
            return
        trouble = self._faults.troubled(where.service)
        if trouble is None:
            return
        if trouble.delay:
            await asyncio.sleep(trouble.delay)  # handlers wait in real time
        if trouble.code is not None:
            text = f"{trouble.code} declared by the test"
            raise AwsFault(trouble.code, text, status=trouble.status)
