"""Physical names: deterministic, within AWS's limits, the same on every machine."""

from __future__ import annotations

import re
from functools import lru_cache

from lambdaform.model.resource import Naming


@lru_cache(maxsize=32)
def _forbidden(allowed: str) -> re.Pattern[str]:
    return re.compile(rf"(?:(?![{{}}])[^{allowed}])+")


def physical_name(
    naming: Naming, stack: str, stage: str, name: str, region: str, *, suffix: str = "", generation: int = 0
) -> str:
    """`{stack}-{stage}-{name}` as AWS takes it; `{account}` stands in it where the account is part of the name.

    A name that is too long is cut and gets a short hash of the whole, so two long names never meet.
    """
    parts = [stack, stage, name]
    if naming.with_account:
        parts.append("{account}")
    if naming.with_region:
        parts.append(region)
    if generation:
        parts.append(f"g{generation}")
    whole = naming.prefix + "-".join(parts)
    if naming.lower:
        whole = whole.lower()
    cleaned = _forbidden(naming.allowed).sub("-", whole)
    # The account is 12 digits, its place holder 9 characters.
    length = len(cleaned) + (3 if naming.with_account else 0) + len(suffix)
    if length <= naming.limit:
        return cleaned + suffix
    import hashlib  # few names are too long

    digest = hashlib.sha256(whole.encode()).hexdigest()[:8]
    tail = (("-{account}" if naming.with_account else "") + (f"-{region}" if naming.with_region else "")) + "-" + digest
    room = naming.limit - len(tail) - (3 if naming.with_account else 0) - len(suffix)
    head = cleaned.replace("-{account}", "")[:room].rstrip("-")
    return head + tail + suffix
