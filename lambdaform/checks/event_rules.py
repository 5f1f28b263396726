"""Rules of EventBridge: patterns that it can read.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern.html
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from lambdaform.checks.patterns import mistakes_in
from lambdaform.checks.rules import Finding, rule
from lambdaform.model.graph import references_in
from lambdaform.model.problem import Severity

if TYPE_CHECKING:
    from lambdaform.checks.view import View

PATTERNS = "https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html"


@rule(
    "event-pattern",
    Severity.ERROR,
    "A rule's pattern is made of keys, lists and operators that EventBridge knows.",
    link=PATTERNS,
    advisory=True,  # EventBridge may come to know more operators
)
def event_pattern(view: View) -> Iterable[Finding]:
    """Every mistake in every pattern that is known before deploy."""
    for node in view.of("events.rule"):
        pattern = node.props.get("pattern")
        if pattern is None or any(True for _ in references_in(pattern)):
            continue
        for path, what in mistakes_in(pattern, of_bus=True):
            yield Finding(
                node,
                what,
                f"pattern.{path}" if path else "pattern",
                allowed='keys and, at their ends, lists of values or operators: {"source": ["shop"]}',
                hint="write the pattern in this form",
            )


RULES = (event_pattern,)
