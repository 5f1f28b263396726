"""Where the library's services answer otherwise than AWS, in the process that holds them (`data_child.py`).

Loaded by its file, as that process imports nothing of lambdaform.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from botocore.model import OperationNotFoundError
from moto.backends import get_service_from_url
from moto.cloudwatch.models import CloudWatchBackend, Dimension
from moto.dynamodb.models.table import StreamShard

LAMBDA = "AWS/Lambda"
"""The namespace of Lambda's metrics."""


def install() -> None:
    """Change the library; once in a process."""
    _find_metrics()
    _stream_changes_only()


def missing(error: Exception, headers: dict[str, str]) -> str | None:
    """What it is that the library does not have, if that is what an error says."""
    if isinstance(error, (NotImplementedError, OperationNotFoundError)):
        return f"the local AWS does not have this operation ({error}); nothing was done"
    scope = next((value for name, value in headers.items() if name.lower() == "authorization"), "").split(",")[0]
    parts = scope.rpartition("Credential=")[2].split("/")
    if len(parts) == 5 and get_service_from_url(f"https://{parts[3]}.{parts[2]}.amazonaws.com") is None:
        return f"the local AWS does not have the service {parts[3]!r}; nothing was done"
    return None


def _find_metrics() -> None:
    """Have metrics found by all their dimensions, and listed once.

    The library's GetMetricData does not find those of more than one. Lambda's are put with the most dimensions there
    are, and stand for those with fewer, as AWS tells them.
    """
    get_data: Callable[..., Any] = CloudWatchBackend.get_metric_data

    def own(datum: Any) -> list[tuple[str, str]]:
        return [(each.name, each.value) for each in datum.dimensions]

    def get_metric_data(self: Any, queries: list[dict[str, Any]], *args: Any, **named: Any) -> Any:
        # Each query asks for one dimension that no metric has, and is given what it means under that.
        asked = copy.deepcopy(queries)
        found: list[Any] = list(self.get_all_metrics())
        for number, query in enumerate(asked):
            if "MetricStat" not in query:
                continue
            metric: dict[str, Any] = query["MetricStat"]["Metric"]
            wanted = {(each["Name"], each["Value"]) for each in metric.get("Dimensions", [])}
            sign = f"query {number}"
            metric["Dimensions"] = [{"Name": sign, "Value": sign}]
            for datum in self.get_all_metrics():
                if (datum.namespace, datum.name) != (metric["Namespace"], metric["MetricName"]):
                    continue
                if wanted <= set(own(datum)) if datum.namespace == LAMBDA else wanted == set(own(datum)):
                    found.append(copy.copy(datum))
                    found[-1].dimensions = [Dimension(sign, sign)]
        seen = copy.copy(self)
        seen.get_all_metrics = lambda: found
        return get_data(seen, asked, *args, **named)

    def get_filtered_metrics(self: Any, metric_name: str, namespace: str, dimensions: list[dict[str, str]]) -> Any:
        listed = dict[tuple[str, str, tuple[tuple[str, str], ...]], Any]()
        for datum in self.get_all_metrics():
            held = datum.dimensions
            for count in range(len(held) + 1) if datum.namespace == LAMBDA else (len(held),):
                shown = copy.copy(datum)
                shown.dimensions = held[:count]
                if shown.filter(namespace=namespace, name=metric_name, dimensions=dimensions):
                    listed.setdefault((shown.namespace, shown.name, tuple(sorted(own(shown)))), shown)
        return list(listed.values())

    CloudWatchBackend.get_metric_data = get_metric_data
    CloudWatchBackend.get_filtered_metrics = get_filtered_metrics


def _stream_changes_only() -> None:
    """Have one record in the stream of a table for each change of an item, and none where nothing changes.

    The library has two for an update of an item that is new, of its key and of the whole, and one for a write that
    leaves an item as it was. https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html
    """
    add: Callable[[Any, Any, Any], None] = StreamShard.add

    def add_change(self: Any, old: Any, new: Any) -> None:
        if old is not None and new is not None and old == new:
            return
        add(self, old, new)
        records = [each.record for each in self.items[-2:]]
        is_twice = len(records) == 2 and [each["eventName"] for each in records] == ["INSERT", "INSERT"]
        if is_twice and records[0]["dynamodb"]["Keys"] == records[1]["dynamodb"]["Keys"]:
            records[1]["dynamodb"]["SequenceNumber"] = records[0]["dynamodb"]["SequenceNumber"]
            del self.items[-2]

    StreamShard.add = add_change
