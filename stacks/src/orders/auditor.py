"""Hears of cancelled orders on the event bus."""

from typing import Any


def handler(event: dict[str, Any], context: object) -> None:
    """Write it down; an event without an order's id is a failure, which is retried and then kept."""
    print(f"order {event['detail']['id']} was cancelled at {event['time']}")
