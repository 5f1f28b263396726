"""CloudWatch Logs: groups, streams and events, written by Lambda itself and by whoever calls the API.

`store` holds them, `filters` matches filter patterns, `service` is the API.
"""

from lambdaform.local.logs.service import Logs
from lambdaform.local.logs.store import LogStore

__all__ = ["LogStore", "Logs"]
