"""Which function a setting belongs to: its ARN (or its alias's) as the members AWS's requests want."""

from __future__ import annotations


def addressed(function: str) -> dict[str, str]:
    """`FunctionName` and, for an alias or version, `Qualifier`.

    Most calls read both out of one qualified ARN as well, but not all of them, and not every stand-in for AWS.
    """
    parts = function.split(":")
    if len(parts) == 8:
        return {"FunctionName": ":".join(parts[:7]), "Qualifier": parts[7]}
    if len(parts) == 2:
        return {"FunctionName": parts[0], "Qualifier": parts[1]}
    return {"FunctionName": function}
