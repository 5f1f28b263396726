"""What all sample events have in common: where they come from, and the ids and times they carry."""

from __future__ import annotations

import json
from typing import Any

import attrs

TIME = "2026-01-01T12:00:00.000Z"
MILLIS = 1_767_268_800_000
ID = "00000000-0000-4000-8000-000000000001"


@attrs.frozen
class Origin:
    """The resource an event comes from."""

    region: str
    account: str
    name: str
    """Its name in AWS."""

    def arn(self, service: str, resource: str) -> str:
        """An ARN in the same region and account; `{}` stands for the name."""
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource.format(self.name)}"


def text_of(value: Any) -> str:
    """A text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)
