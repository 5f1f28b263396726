"""Event source mappings of Kafka, Amazon MQ and DocumentDB, and the pollers that queues and Kafka can have kept.

https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from lambdaform.checks.mappings import BROKERS, KAFKA, mappings
from lambdaform.checks.rules import Finding, rule
from lambdaform.model.problem import Severity

if TYPE_CHECKING:
    from lambdaform.checks.view import View
    from lambdaform.model.graph import Node

API = "https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html"
POLLERS = "https://docs.aws.amazon.com/lambda/latest/api/API_ProvisionedPollerConfig.html"
RETRIES = "https://docs.aws.amazon.com/lambda/latest/dg/kafka-retry-configurations.html"
MQ = "https://docs.aws.amazon.com/lambda/latest/dg/with-mq.html"
LONGEST = 840
"""Seconds a function may run for a broker's messages without being run anew."""
FEWEST = {"sqs": 2, "msk": 1, "kafka": 1}
MOST = {"sqs": 10_000, "msk": 2_000, "kafka": 2_000}
NEEDED: Mapping[str, tuple[tuple[str, str], ...]] = {
    "msk": (("source", "the ARN of the cluster"), ("topic", "the name of the topic")),
    "kafka": (
        ("bootstrap_servers", "addresses of brokers, host:port"),
        ("topic", "the name of the topic"),
        ("access", "a secret to log in with, or the subnets of the brokers"),
    ),
    "mq": (
        ("source", "the ARN of the broker"),
        ("queue", "the name of the queue"),
        ("access", "the secret with user name and password, as BASIC_AUTH"),
    ),
    "documentdb": (
        ("source", "the ARN of the cluster"),
        ("database", "the name of the database"),
        ("access", "the secret with user name and password, as BASIC_AUTH"),
    ),
}
"""What AWS wants of each kind."""
HINTS = {"kafka": {"access": "add secret=, or subnets= and security_groups="}}


@rule("source-missing", Severity.ERROR, "A mapping says what it reads, and how it gets in.", link=API)
def missing(view: View) -> Iterable[Finding]:
    """AWS refuses a mapping without."""
    for node, service in mappings(view):
        for prop, allowed in NEEDED.get(service, (("source", "the ARN of the source"),)):
            if not node.props.get(prop):
                hint = HINTS.get(service, {}).get(prop, f"add {prop}=")
                yield Finding(node, "is needed for this kind of source", prop, allowed=allowed, hint=hint)


@rule("poller-numbers", Severity.ERROR, "A mapping's own pollers are as many as its source allows.", link=POLLERS)
def pollers(view: View) -> Iterable[Finding]:
    """And they are told either by numbers or by a greatest concurrency."""
    for node, service in mappings(view, *FEWEST):
        fewest, most = node.props.get("min_pollers"), node.props.get("max_pollers")
        for prop, number in (("min_pollers", fewest), ("max_pollers", most)):
            if isinstance(number, int) and not FEWEST[service] <= number <= MOST[service]:
                yield Finding(
                    node,
                    "is not a number of pollers for this kind of source",
                    prop,
                    given=f"{number:,}",
                    allowed=f"{FEWEST[service]} to {MOST[service]:,}",
                    hint="choose a number in between",
                )
        if isinstance(fewest, int) and isinstance(most, int) and most < fewest:
            yield Finding(
                node,
                "is less than min_pollers",
                "max_pollers",
                given=f"{most:,}",
                allowed=f"at least {fewest:,}",
                hint="raise it, or lower min_pollers",
            )
        if (fewest is not None or most is not None) and node.props.get("max_concurrency") is not None:
            yield Finding(
                node,
                "goes with no pollers of a mapping's own",
                "max_concurrency",
                given=f"{node.props['max_concurrency']}, and pollers",
                hint="keep one of the two: each poller has up to 10 invocations at a time",
            )


@rule("kafka-retries", Severity.ERROR, "Retries of Kafka's records need pollers of the mapping's own.", link=RETRIES)
def retries(view: View) -> Iterable[Finding]:
    """Without them AWS retries until a batch succeeds."""
    for node, _ in mappings(view, *KAFKA):
        if node.props.get("min_pollers") is not None or node.props.get("max_pollers") is not None:
            continue
        for prop in ("bisect_on_error", "max_record_age", "max_retries", "partial_failures"):
            if node.props.get(prop) not in (None, False):
                yield Finding(
                    node,
                    "is for Kafka with pollers of the mapping's own",
                    prop,
                    given=str(node.props[prop]),
                    hint="add min_pollers=1, which AWS bills, or take it out",
                )


@rule("broker-timeout", Severity.WARNING, "A function of a broker runs for at most 14 minutes.", link=MQ)
def timeout(view: View) -> Iterable[Finding]:
    """Lambda may run it again for the same messages when it takes longer."""
    for address, feeding in view.mappings.items():
        function = view.graph.nodes[address]
        limit = function.props.get("timeout", 3)
        if isinstance(limit, int) and limit > LONGEST and any(_kind(node) in BROKERS for node in feeding):
            yield Finding(
                function,
                "is more than a function may take for a broker's messages",
                "timeout",
                given=f"{limit} s",
                allowed=f"at most {LONGEST} s",
                hint="lower it to 14 minutes, and batch_size with it",
            )


def _kind(node: Node) -> str:
    return cast(str, cast(Mapping[str, Any], node.props).get("source_kind", "sqs"))


RULES = (missing, pollers, retries, timeout)
