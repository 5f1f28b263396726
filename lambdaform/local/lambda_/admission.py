"""Whether an invocation may run now, and on which concurrency: provisioned, reserved, or what the account has left.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html. Rules are functions of numbers; the counting that
needs a memory (rates) takes the time as an argument.
"""

from __future__ import annotations

from typing import Literal

import attrs

ACCOUNT_CONCURRENCY = 1000
"""Environments busy at once in an account's Region."""
UNRESERVED_MINIMUM = 100
SCALING = 1000
"""New environments of one function in `SCALING_SECONDS`; what was not used does not add up.
https://docs.aws.amazon.com/lambda/latest/dg/scaling-behavior.html"""
SCALING_SECONDS = 10.0
REQUESTS_PER_ENVIRONMENT = 10
"""Synchronous requests a second for each unit of concurrency: the account's, reserved, or provisioned."""

Place = Literal["provisioned", "on-demand"]
Reason = Literal[
    "ReservedFunctionConcurrentInvocationLimitExceeded",
    "ConcurrentInvocationLimitExceeded",
    "ReservedFunctionInvocationRateLimitExceeded",
    "FunctionInvocationRateLimitExceeded",
]
"""Why not, in the words of Lambda's answer."""


@attrs.frozen
class Limits:
    """What a function, and the version asked for, may use."""

    reserved: int | None
    """Reserved for the function; None when nothing is."""
    provisioned: int
    """Environments kept ready for this version."""
    function_provisioned: int
    """Environments kept ready for all versions of the function: a reservation holds them as well."""


def decide_admission(limits: Limits, *, on_demand: int, left: int, has_ready: bool) -> Place | Reason:
    """Where one more invocation runs; what provisioned environments cannot take runs on demand.

    Busy are `on_demand` environments of the function outside its provisioned ones; of those that functions without a
    reservation may use together so many are `left`; `has_ready` says whether a provisioned one of the version is idle.
    """
    if has_ready:
        return "provisioned"
    if limits.reserved is not None:
        if on_demand < limits.reserved - limits.function_provisioned:
            return "on-demand"
        return "ReservedFunctionConcurrentInvocationLimitExceeded"
    return "on-demand" if left > 0 else "ConcurrentInvocationLimitExceeded"


@attrs.define(eq=False)
class Bucket:
    """How many environments a function may still add: refilled continuously, up to its size."""

    tokens: float = SCALING
    at: float = 0.0

    def take(self, now: float) -> bool:
        """Add one environment, if that may be."""
        self.tokens = min(SCALING, self.tokens + max(0.0, now - self.at) * SCALING / SCALING_SECONDS)
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


@attrs.define(eq=False)
class Rate:
    """Counts requests of the present second."""

    second: int = 0
    count: int = 0

    def take(self, now: float, limit: int) -> bool:
        """Count one request, if there have been fewer than `limit` in this second."""
        second = int(now)
        if second != self.second:
            self.second, self.count = second, 0
        if self.count >= limit:
            return False
        self.count += 1
        return True
