"""CloudWatch Logs: groups, streams and events, written by Lambda itself and by whoever calls the API.

`store` holds them, `filters` matches filter patterns, `subscriptions` hands lines on, `service` is the API.
"""

from lambdaform.local.logs.service import Logs
from lambdaform.local.logs.store import LogStore
from lambdaform.local.logs.subscriptions import Subscriptions

__all__ = ["LogStore", "Logs", "Subscriptions"]
