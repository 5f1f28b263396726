"""What an invocation answers whose function does not run."""

from __future__ import annotations

from lambdaform.local.lambda_.plane import conflict
from lambdaform.local.lambda_.running import RestoreFailed
from lambdaform.local.lambda_.values import Version
from lambdaform.local.ports import RECURSION, AwsFault, Outcome


def not_ready(version: Version) -> AwsFault:
    """What a version answers that is Pending or Failed."""
    if version.has_snapshot and version.state == "Pending":
        text = "Lambda is initializing your function. You can invoke the function when its state is Active."
        return AwsFault("SnapStartNotReadyException", text, status=409)
    return conflict(
        "The operation cannot be performed at this time. "
        f"The function is currently in the following state: {version.state}"
    )


def throttled(reason: str) -> AwsFault:
    """429 with its reason."""
    return AwsFault(
        "TooManyRequestsException",
        "Rate Exceeded.",
        status=429,
        fields={"Reason": reason},
        headers={"Retry-After": "1"},
    )


def unrestored(failed: RestoreFailed) -> AwsFault:
    """What an invocation answers whose environment did not come out of its snapshot."""
    if failed.turn == "timeout":
        text = "Lambda couldn't restore the snapshot within the timeout limit."
        return AwsFault("SnapStartTimeoutException", text, status=408)
    text = (
        "The afterRestore() runtime hook encountered an error. For more information, check the Amazon CloudWatch logs."
    )
    return AwsFault("SnapStartException", text, status=400)


def recursive() -> AwsFault:
    """What stops a function that invokes itself, directly or by way of a queue, topic or bucket."""
    return AwsFault(RECURSION, "Recursive invocation detected.", status=400)


def refused(fault: AwsFault, request_id: str) -> Outcome:
    """The outcome of a function that did not run."""
    return Outcome(fault.status, b"", None, "", request_id, fault)
