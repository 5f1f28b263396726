"""Trying a delivery again within the retry policy of an EventBridge target, of a rule or of a schedule.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-retry-policy.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import attrs

from lambdaform.local.ports import AwsFault, Clock, Json

MAX_RETRIES = 185
MAX_AGE = 86_400
"""Retries and seconds after which a delivery is given up, by default and at most."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 300.0
"""Seconds between attempts, doubling. AWS says that waits grow, and not by how much."""


@attrs.frozen
class GivenUp:
    """How a delivery ended that did not succeed."""

    error: AwsFault
    retries: int
    exhausted: Literal["MaximumRetryAttempts", "MaximumEventAgeInSeconds"] | None
    """What of the policy ended it; None when trying again would not have helped."""


def may_retry(error: AwsFault) -> bool:
    """Whether trying again may help: the target is throttled, or has trouble of its own."""
    return error.status == 429 or error.status >= 500


async def try_again(
    clock: Clock, policy: Mapping[str, Json], error: AwsFault, deliver: Callable[[int], None]
) -> GivenUp | None:
    """What to do after a first attempt that ended with `error`; None when a later one succeeded.

    `deliver` is given the number of its attempt, from 2 on, and raises `AwsFault`.
    """
    most = int(policy.get("MaximumRetryAttempts", MAX_RETRIES))
    last = clock.now() + float(policy.get("MaximumEventAgeInSeconds", MAX_AGE))
    retries = 0
    while may_retry(error):
        pause = min(FIRST_PAUSE * 2.0**retries, LONGEST_PAUSE)
        if retries >= most:
            return GivenUp(error, retries, "MaximumRetryAttempts")
        if clock.now() + pause > last:
            return GivenUp(error, retries, "MaximumEventAgeInSeconds")
        await clock.sleep(pause)
        retries += 1
        try:
            deliver(retries + 1)
        except AwsFault as found:
            error = found
        else:
            return None
    return GivenUp(error, retries, None)
