"""Queues: long enough hidden for their functions, and with dead-letter queues that fit.

https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from lambdaform.checks.rules import Finding, rule
from lambdaform.model.problem import Severity

if TYPE_CHECKING:
    from lambdaform.checks.view import View
    from lambdaform.model.graph import Node

CONFIGURE = "https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html"
DEAD_LETTERS = "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html"
FIFO = "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/FIFO-queues.html"
VISIBILITY = 30
RETENTION = 345_600
TIMEOUT = 3
RECEIVES = 5
"""AWS advises at least this many receives for queues that a function reads: throttles count as well."""


def _visibility(view: View, mapping: Node) -> tuple[Node, int] | None:
    """Where a queue's visibility timeout is written, and how long it is; None when it is not known."""
    node = view.node_at(mapping.props.get("source"))
    if node is not None:
        value = node.props.get("visibility_timeout", VISIBILITY)
        return (node, value) if node.kind == "sqs.queue" and isinstance(value, int) else None
    # An existing queue may say its setting, for exactly this rule; its default says nothing.
    trigger = view.trigger_of(mapping)
    queue = trigger.source() if trigger is not None else None
    value = view.plain(getattr(queue, "visibility_timeout", None))
    return (mapping, value) if isinstance(value, int) and value != VISIBILITY else None


def _readers(view: View) -> Iterable[tuple[Node, Node, Node, int, int]]:
    """Mapping, function, where the queue is written, its visibility timeout, the function's timeout."""
    for address, mappings in view.mappings.items():
        function = view.graph.nodes[address]
        timeout = function.props.get("timeout", TIMEOUT)
        if not isinstance(timeout, int):
            continue
        for mapping in mappings:
            if mapping.props.get("source_kind", "sqs") == "sqs" and (found := _visibility(view, mapping)) is not None:
                yield mapping, function, found[0], found[1], timeout


@rule(
    "queue-visibility",
    Severity.ERROR,
    "A queue's messages stay hidden at least as long as its function may run.",
    link=CONFIGURE,
)
def visibility(view: View) -> Iterable[Finding]:
    """AWS refuses a mapping that breaks this."""
    for _, function, place, visibility, timeout in _readers(view):
        if visibility < timeout:
            yield Finding(
                place,
                f"is shorter than the timeout of {function.name}, which reads the queue",
                "visibility_timeout",
                given=f"{visibility:,} s",
                allowed=f"at least {timeout:,} s",
                hint=f"raise it to {6 * timeout:,} s, six times the timeout, or lower the timeout",
            )


@rule(
    "queue-visibility-advice",
    Severity.WARNING,
    "A queue's messages stay hidden for six timeouts of its function and the batching window.",
    link=CONFIGURE,
)
def visibility_advice(view: View) -> Iterable[Finding]:
    """So that a batch that was throttled can be tried again before others see its messages."""
    for mapping, function, place, visibility, timeout in _readers(view):
        window = mapping.props.get("window", 0)
        advised = 6 * timeout + (window if isinstance(window, int) else 0)
        if timeout <= visibility < advised:
            yield Finding(
                place,
                f"is short for {function.name}, which reads the queue with a timeout of {timeout:,} s",
                "visibility_timeout",
                given=f"{visibility:,} s",
                allowed=f"at least {advised:,} s: six timeouts and the batching window",
                hint=f"raise it to {min(advised, 43_200):,} s",
            )


def _dead_letters(view: View) -> Iterable[tuple[Node, dict[str, Any]]]:
    for node in view.of("sqs.queue"):
        dead = node.props.get("dead_letter")
        if isinstance(dead, dict):
            yield node, cast(dict[str, Any], dead)


@rule(
    "dead-letter-fifo",
    Severity.ERROR,
    "A FIFO queue has a FIFO dead-letter queue, a standard one a standard one.",
    link=DEAD_LETTERS,
)
def dead_letter_fifo(view: View) -> Iterable[Finding]:
    """AWS refuses the mixture."""
    for node, dead in _dead_letters(view):
        target = view.target(dead.get("queue"))
        if target is None or target.fifo is None:
            continue
        fifo = node.props.get("fifo") is True
        if target.service != "sqs":
            yield Finding(
                node,
                "only a queue can be the dead-letter queue of a queue",
                "dead_letter",
                given=target.shown,
                allowed="an SQS queue of the same type",
                hint="give it a queue",
            )
        elif target.fifo != fifo:
            kind = "FIFO" if fifo else "standard"
            which = target.node.name if target.node is not None else "it"
            yield Finding(
                node,
                f"the dead-letter queue of a {kind} queue must be {kind} as well",
                "dead_letter",
                given=f"{'a FIFO' if target.fifo else 'a standard'} queue",
                allowed=f"a {kind} queue",
                hint=f"make {which} {'FIFO with fifo=True' if fifo else 'standard'}, or use another one",
            )


@rule(
    "dead-letter-retention",
    Severity.WARNING,
    "A dead-letter queue keeps messages at least as long as the queue they come from.",
    link=DEAD_LETTERS,
)
def dead_letter_retention(view: View) -> Iterable[Finding]:
    """A message keeps the age it had, so a shorter retention may delete it as it arrives."""
    for node, dead in _dead_letters(view):
        target = view.node_at(dead.get("queue"))
        if target is None or target.kind != "sqs.queue":
            continue
        kept, source = target.props.get("retention", RETENTION), node.props.get("retention", RETENTION)
        if isinstance(kept, int) and isinstance(source, int) and kept < source:
            yield Finding(
                target,
                f"is shorter than that of {node.name}, and a message keeps its age when it moves here",
                "retention",
                given=f"{kept:,} s",
                allowed=f"at least {source:,} s",
                hint="raise it, best to 14 days",
            )


@rule(
    "dead-letter-receives",
    Severity.WARNING,
    "A queue that a function reads lets a message be received five times before it counts as dead.",
    link=CONFIGURE,
)
def dead_letter_receives(view: View) -> Iterable[Finding]:
    """Throttled invocations count as receives too."""
    read = {
        node.address: view.graph.nodes[function].name
        for function, mappings in view.mappings.items()
        for mapping in mappings
        if (node := view.node_at(mapping.props.get("source"))) is not None
    }
    for node, dead in _dead_letters(view):
        receives = dead.get("max_receives")
        if node.address in read and isinstance(receives, int) and 1 <= receives < RECEIVES:
            yield Finding(
                node,
                f"is low for a queue that a function ({read[node.address]}) reads: throttled invocations count too",
                "dead_letter.max_receives",
                given=str(receives),
                allowed=f"at least {RECEIVES}",
                hint=f"raise it to {RECEIVES}",
            )


@rule("fifo-settings", Severity.ERROR, "Settings of FIFO queues and topics are not given to standard ones.", link=FIFO)
def fifo_settings(view: View) -> Iterable[Finding]:
    """Deduplication and throughput per message group."""
    for node in view.of("sqs.queue", "sns.topic"):
        if node.props.get("fifo") is True:
            continue
        for prop in ("content_based_deduplication", "high_throughput"):
            if node.props.get(prop) is True:
                yield Finding(
                    node,
                    f"only a FIFO {node.resource.title} has this setting",
                    prop,
                    given="True",
                    hint=f"add fifo=True, or take {prop} out",
                )


@rule("fifo-name", Severity.ERROR, "Names of FIFO queues and topics end in .fifo, others do not.", link=FIFO)
def fifo_name(view: View) -> Iterable[Finding]:
    """Of names that are given; names that lambdaform makes end as they must."""
    for node in view.of("sqs.queue", "sns.topic"):
        name, fifo = node.props.get("name"), node.props.get("fifo") is True
        if isinstance(name, str) and name.endswith(".fifo") != fifo:
            yield Finding(
                node,
                f"the name of a FIFO {node.resource.title} ends in .fifo, and no other does",
                "name",
                given=repr(name),
                hint="add .fifo to the name, or leave the name out" if fifo else "add fifo=True, or take .fifo off",
            )


RULES = (
    visibility,
    visibility_advice,
    dead_letter_fifo,
    dead_letter_retention,
    dead_letter_receives,
    fifo_settings,
    fifo_name,
)
