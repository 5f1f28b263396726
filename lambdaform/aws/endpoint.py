"""What an endpoint's address tells, before anything is called."""

from __future__ import annotations

from urllib.parse import urlsplit

LOCAL_REGION = "us-east-1"
"""The region of an endpoint on this machine when nobody names one."""


def flaw_of(endpoint: str) -> str | None:
    """Why an address cannot be an endpoint's, in words; None when it can."""
    try:
        parts = urlsplit(endpoint)
        is_whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        return str(error).lower()
    return None if is_whole else "it has the form http://HOST:PORT or https://HOST"


def is_aws(endpoint: str) -> bool:
    """Whether an endpoint is one of AWS's own, such as that of a VPC."""
    host = urlsplit(endpoint).hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn", ".api.aws"))


def is_loopback(endpoint: str | None) -> bool:
    """Whether an endpoint is on this machine."""
    host = urlsplit(endpoint).hostname if endpoint else None
    return host is not None and (host in ("localhost", "::1") or host.startswith("127.") or host.endswith(".localhost"))
