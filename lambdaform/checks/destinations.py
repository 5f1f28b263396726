"""Destinations and dead-letter queues of functions: of a kind Lambda delivers to, there where needed, and used.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, cast

from lambdaform.checks.rules import Finding, rule
from lambdaform.model.problem import Severity
from lambdaform.model.resource import Grant

if TYPE_CHECKING:
    from lambdaform.checks.targets import Target
    from lambdaform.checks.view import View
    from lambdaform.model.graph import Node

ASYNC = "https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html"
DEAD_LETTERS = "https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html#invocation-dlq"
STREAMS = "https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html"
_WORDS = {
    "sqs": "a standard SQS queue",
    "sns": "a standard SNS topic",
    "lambda": "a function",
    "events": "an EventBridge bus",
    "s3": "an S3 bucket",
}
_SUCCESS = ("sqs", "sns", "lambda", "events")
_FAILURE = (*_SUCCESS, "s3")
_DEAD_LETTER = ("sqs", "sns")
_STREAM_FAILURE = ("sqs", "sns", "s3")


def _refused(target: Target | None, allowed: tuple[str, ...], *, fifo: bool = False) -> bool:
    if target is None:
        return False
    return target.service not in allowed or (target.fifo is True and not fifo)


def _list(services: tuple[str, ...]) -> str:
    return ", ".join(_WORDS[service] for service in services)


def _configs(view: View) -> Iterator[tuple[Node, str, Target | None]]:
    for node in view.of("lambda.event_invoke_config"):
        for prop in ("on_success", "on_failure"):
            if prop in node.props:
                yield node, prop, view.target(node.props[prop])


@rule(
    "destination-kind",
    Severity.ERROR,
    "Records of asynchronous invocations go where Lambda can deliver them.",
    link=ASYNC,
)
def destination_kind(view: View) -> Iterable[Finding]:
    """Buckets hear of failures only; FIFO queues and topics of nothing."""
    for node, prop, target in _configs(view):
        allowed = _SUCCESS if prop == "on_success" else _FAILURE
        if target is not None and _refused(target, allowed):
            hint = "give the bucket to on_failure, or use a queue" if target.service == "s3" else "use one of these"
            yield Finding(
                node,
                "is nothing Lambda delivers records to",
                prop,
                given=target.shown,
                allowed=_list(allowed),
                hint=hint,
            )


@rule("destination-itself", Severity.ERROR, "A function is not its own destination.", link=ASYNC)
def destination_itself(view: View) -> Iterable[Finding]:
    """AWS refuses it; through an alias as well."""
    for node, prop, _ in _configs(view):
        function = view.function_of(node.props.get("function"))
        if function is not None and view.function_of(node.props[prop]) is function:
            yield Finding(
                node,
                "a function cannot be a destination of itself",
                prop,
                given=function.name,
                hint="send records to a queue or to another function",
            )


@rule(
    "dead-letter-kind", Severity.ERROR, "A function's dead letters go to a standard queue or topic.", link=DEAD_LETTERS
)
def dead_letter_kind(view: View) -> Iterable[Finding]:
    """Other kinds can be a failure destination."""
    for node in view.functions:
        target = view.target(node.props.get("dead_letter"))
        if target is not None and _refused(target, _DEAD_LETTER):
            hint = (
                "give it to on_failure instead"
                if target.service in _FAILURE and target.service not in _DEAD_LETTER
                else "use a standard queue"
            )
            yield Finding(
                node,
                "is nothing a function's dead letters can go to",
                "dead_letter",
                given=target.shown,
                allowed=_list(_DEAD_LETTER),
                hint=hint,
            )


@rule(
    "stream-destination-kind",
    Severity.ERROR,
    "Discarded batches of a stream are told to a queue, topic or bucket.",
    link=STREAMS,
)
def stream_destination_kind(view: View) -> Iterable[Finding]:
    """Queues have none at all, which is another rule."""
    for node in view.of("lambda.event_source_mapping"):
        target = view.target(node.props.get("on_failure"))
        streams = node.props.get("source_kind", "sqs") != "sqs"
        if streams and target is not None and _refused(target, _STREAM_FAILURE, fifo=True):
            yield Finding(
                node,
                "is nothing that hears of discarded batches",
                "on_failure",
                given=target.shown,
                allowed="an SQS queue, an SNS topic, an S3 bucket",
                hint="use one of these",
            )


def _hears_of_failures(view: View, function: Node) -> bool:
    configs = view.asynchronous_settings.get(function.address, ())
    return "dead_letter" in function.props or any("on_failure" in config.props for config in configs)


@rule(
    "failures-lost",
    Severity.WARNING,
    "What a function fails on when invoked asynchronously is kept somewhere.",
    link=ASYNC,
)
def failures_lost(view: View) -> Iterable[Finding]:
    """Only for functions that something in this stack does invoke asynchronously."""
    for address, cause in view.invoked_asynchronously.items():
        function = view.graph.nodes[address]
        if not _hears_of_failures(view, function):
            yield Finding(
                function,
                f"is invoked asynchronously ({cause}), and events it keeps failing on are lost",
                hint="add on_failure= or dead_letter=, with a queue",
            )


@rule(
    "destination-unused",
    Severity.WARNING,
    "Destinations and dead letters of functions are used by asynchronous invocations.",
    link="https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html",
)
def destination_unused(view: View) -> Iterable[Finding]:
    """A function that is only polled never uses them: failed messages are its queue's business."""
    invoked = set(_invoked_by_code(view))
    for address, mappings in view.mappings.items():
        if address in view.invoked_asynchronously or address in invoked:
            continue
        function = view.graph.nodes[address]
        queue = mappings[0].props.get("source_kind", "sqs") == "sqs"
        hint = (
            "put it on the queue: dead_letter=DeadLetter(...), and take it out here"
            if queue
            else "give on_failure to the trigger instead"
        )
        if "dead_letter" in function.props:
            yield Finding(function, _UNUSED, "dead_letter", hint=hint)
        for config in view.asynchronous_settings.get(address, ()):
            for prop in ("on_success", "on_failure"):
                if prop in config.props:
                    yield Finding(config, _UNUSED, prop, hint=hint)


_UNUSED = "is never used: it is for asynchronous invocations, and here Lambda only polls for the function"


def _invoked_by_code(view: View) -> Iterator[str]:
    """Functions that others of the stack may invoke, in a way only their code knows."""
    for function in view.functions:
        for grant in grants_of(function):
            if grant.target is not None and any("lambda:" in action for action in grant.actions):
                address = view.address_of(grant.target)
                node = view.graph.nodes.get(address or "")
                target = view.function_of({"@ref": [node.address, "arn"]}) if node is not None else None
                if target is not None:
                    yield target.address


def grants_of(function: Node) -> Iterator[Grant]:
    """What the code of a function may do, as its declaration says."""
    yield from cast(tuple[Grant, ...], getattr(function.resource, "grants", ()))
    uses = cast(dict[str, Grant | tuple[Grant, ...]], getattr(function.resource, "uses", {}))
    for use in uses.values():
        yield from use if isinstance(use, tuple) else (use,)


RULES = (
    destination_kind,
    destination_itself,
    dead_letter_kind,
    stream_destination_kind,
    failures_lost,
    destination_unused,
)
