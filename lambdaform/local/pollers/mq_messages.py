"""What the events of Amazon MQ have in common, whichever engine a broker runs. Pure functions.

https://docs.aws.amazon.com/lambda/latest/dg/with-mq.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from lambdaform.local.ports import Json


def queue_of(settings: Mapping[str, Json]) -> str:
    """The queue that a mapping reads."""
    return str(cast(Sequence[str], settings["Queues"])[0])


def virtual_host_of(settings: Mapping[str, Json]) -> str | None:
    """The virtual host that a mapping names among its ways in; None when it names none."""
    access = cast(Sequence[Mapping[str, str]], settings.get("SourceAccessConfigurations") or ())
    return next((each["URI"] for each in access if each.get("Type") == "VIRTUAL_HOST"), None)


def read_ahead(batch_size: int, at_once: int) -> int:
    """Messages that a broker hands over before any of them is acknowledged: all batches at work, and one that fills."""
    return max(100, batch_size * (at_once + 1))
