"""Concurrency: what is reserved and provisioned fits together, and fits the account.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from lambdaform.checks.rules import Finding, rule
from lambdaform.model.problem import Severity

if TYPE_CHECKING:
    from lambdaform.checks.view import View
    from lambdaform.model.graph import Node

RESERVED = "https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html"
PROVISIONED = "https://docs.aws.amazon.com/lambda/latest/dg/provisioned-concurrency.html"
QUEUES = "https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html"
UNRESERVED = 100
"""What reservations must leave to everybody else."""


def _reserved(node: Node) -> int | None:
    value = node.props.get("reserved_concurrency")
    return value if isinstance(value, int) else None


def _provisioned(view: View) -> dict[str, int]:
    """Address of a function to the environments kept initialised for all its aliases and versions."""
    found: dict[str, int] = {}
    for node in view.of("lambda.provisioned_concurrency"):
        function = view.function_of(node.props.get("function"))
        executions = node.props.get("executions")
        if function is not None and isinstance(executions, int):
            found[function.address] = found.get(function.address, 0) + executions
    return found


@rule(
    "provisioned-above-reserved",
    Severity.ERROR,
    "Provisioned concurrency is not above the function's reserved concurrency.",
    link=PROVISIONED,
)
def above_reserved(view: View) -> Iterable[Finding]:
    """All aliases and versions of the function together."""
    for address, provisioned in _provisioned(view).items():
        node = view.graph.nodes[address]
        reserved = _reserved(node)
        if reserved is not None and provisioned > reserved:
            yield Finding(
                node,
                "more is provisioned than is reserved",
                "concurrency",
                given=f"{provisioned:,} provisioned",
                allowed=f"at most the {reserved:,} reserved",
                hint=f"reserve at least {provisioned:,}, or provision at most {reserved:,}",
            )


@rule(
    "reserved-floor",
    Severity.ERROR,
    "Reservations leave 100 concurrent executions to everybody else.",
    link=RESERVED,
    advisory=True,  # the account's own limit may not be known here
)
def floor(view: View) -> Iterable[Finding]:
    """This stack's alone; what other stacks of the account reserve is known only to AWS."""
    provisioned = _provisioned(view)
    taken = {
        node.address: reserved if (reserved := _reserved(node)) is not None else provisioned.get(node.address, 0)
        for node in view.functions
    }
    total = sum(taken.values())
    room = view.facts.account_concurrency - UNRESERVED
    if total > room:
        largest = max(taken, key=lambda address: taken[address])
        yield Finding(
            view.graph.nodes[largest],
            f"the functions of this stack reserve more than the account has: {UNRESERVED} must stay unreserved",
            "concurrency",
            given=f"{total:,} in all, {taken[largest]:,} of them here",
            allowed=f"at most {room:,} of the account's {view.facts.account_concurrency:,}",
            hint="reserve less, or ask AWS for a higher limit and tell it to the checks",
        )


@rule("reserved-zero", Severity.NOTE, "A function that reserves nothing at all is switched off.", link=RESERVED)
def switched_off(view: View) -> Iterable[Finding]:
    """Every invocation is throttled; asynchronous events go to the failure destination at once."""
    for node in view.functions:
        if _reserved(node) == 0:
            yield Finding(node, "the function is switched off: every invocation is refused", "concurrency", given="0")


@rule(
    "mapping-above-reserved",
    Severity.WARNING,
    "The queues of a function do not ask for more invocations at a time than it reserves.",
    link=QUEUES,
)
def mappings_above_reserved(view: View) -> Iterable[Finding]:
    """Messages that meet a throttle come back and count as received, up to the dead-letter queue."""
    for address, mappings in view.mappings.items():
        reserved = _reserved(view.graph.nodes[address])
        limits = [limit for m in mappings if isinstance(limit := m.props.get("max_concurrency"), int)]
        if reserved is not None and reserved > 0 and sum(limits) > reserved:
            yield Finding(
                mappings[0],
                "the function's queues together may ask for more invocations at a time than it reserves",
                "max_concurrency",
                given=f"{sum(limits):,}",
                allowed=f"at most {reserved:,}",
                hint=f"lower max_concurrency, or reserve at least {sum(limits):,}",
            )


RULES = (above_reserved, floor, switched_off, mappings_above_reserved)
