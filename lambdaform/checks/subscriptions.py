"""Subscription filters of log groups.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from lambdaform.checks.rules import Finding, rule
from lambdaform.model.problem import Severity

if TYPE_CHECKING:
    from lambdaform.checks.view import View
    from lambdaform.model.graph import Node

QUOTAS = "https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html"
MOST_FILTERS = 2


@rule("log-filters", Severity.ERROR, "A log group has at most 2 subscription filters.", link=QUOTAS)
def log_filters(view: View) -> Iterable[Finding]:
    """One finding for each filter too many, in the order of the declaration."""
    groups: dict[str, list[Node]] = {}
    for node in view.of("logs.subscription_filter"):
        groups.setdefault(json.dumps(node.props.get("group"), sort_keys=True), []).append(node)
    for nodes in groups.values():
        for node in nodes[MOST_FILTERS:]:
            first = ", ".join(each.address for each in nodes[:MOST_FILTERS])
            yield Finding(
                node,
                "is one subscription too many for its log group",
                given=f"the others are {first}",
                allowed=f"at most {MOST_FILTERS} of a group",
                hint="let one function take the lines and hand them on",
            )


RULES = (log_filters,)
