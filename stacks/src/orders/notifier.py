"""Hears of shipped orders."""

import json
from typing import Any


def handler(event: dict[str, Any], context: object) -> None:
    """Tell the customer; here, the log."""
    for record in event["Records"]:
        order = json.loads(record["Sns"]["Message"])
        print(f"order {order['id']} is on its way")
