"""What an endpoint's address tells, before anything is called."""

from __future__ import annotations

from urllib.parse import urlsplit

LOCAL_REGION = "us-east-1"
"""The region of an endpoint on this machine when nobody names one."""


def is_loopback(endpoint: str | None) -> bool:
    """Whether an endpoint is on this machine."""
    host = urlsplit(endpoint).hostname if endpoint else None
    return host is not None and (host in ("localhost", "::1") or host.startswith("127.") or host.endswith(".localhost"))
