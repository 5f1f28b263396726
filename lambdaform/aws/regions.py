"""The regions that AWS has, as far as the installed botocore knows. AWS opens new ones from time to time."""

from __future__ import annotations

import importlib.util
import json
from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=1)
def regions() -> frozenset[str]:
    """Their names; empty when they cannot be told. botocore itself is not imported: it is a slow start for a list."""
    found = importlib.util.find_spec("botocore")
    if found is None or found.origin is None:
        return frozenset()
    try:
        text = (Path(found.origin).parent / "data" / "partitions.json").read_text(encoding="utf-8")
        partitions = json.loads(text)["partitions"]
        return frozenset(name for each in partitions for name in each["regions"] if not name.endswith("-global"))
    except (OSError, ValueError, KeyError, TypeError):
        return frozenset()  # another botocore may keep them elsewhere
