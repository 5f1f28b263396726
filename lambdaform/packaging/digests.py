"""SHA-256 of what is packed.

`hashlib` loads OpenSSL, which takes some milliseconds of every command that looks at a package, so small contents are
hashed by what Python itself is built with, where it has that under a name known here. Large ones are worth OpenSSL.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

_LARGE = 256 * 1024
"""Bytes from which loading OpenSSL takes less time than doing without."""


def sha256(content: bytes) -> str:
    """The hash of contents, in hexadecimal."""
    make = _built_in() if len(content) < _LARGE else None
    if make is None:
        import hashlib

        make = hashlib.sha256
    return make(content).hexdigest()


def _built_in() -> Callable[[bytes], Any] | None:
    for name in ("_sha2", "_sha256"):  # from 3.12 on, and before
        try:
            return importlib.import_module(name).sha256
        except (ImportError, AttributeError):
            continue
    return None
