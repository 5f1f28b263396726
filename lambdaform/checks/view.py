"""The graph as rules look at it: nodes by kind, what a reference leads to, which function is meant, who feeds whom."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, cast

from lambdaform.checks.rules import Facts
from lambdaform.checks.targets import Target
from lambdaform.model.graph import Graph, Node, references_in
from lambdaform.model.output import ByStage, Output
from lambdaform.model.resource import Resource, Trigger

# Kinds that stand for a function: what is connected to one of them is connected to the function.
_OF_FUNCTION = ("lambda.alias", "lambda.version")
# Kinds that hand events to Lambda's asynchronous queue, and the prop that says where to.
DELIVERING: Mapping[str, str] = {
    "sns.subscription": "endpoint",
    "s3.notification": "target",
    "events.rule": "targets",
    "scheduler.schedule": "target",
    "logs.subscription_filter": "to",
}
# The same kinds with the event of the trigger that makes them.
_EVENTS: Mapping[str, str] = {
    "sns.subscription": "sns",
    "s3.notification": "s3",
    "events.rule": "eventbridge",
    "scheduler.schedule": "schedule",
    "logs.subscription_filter": "logs",
}


class View:
    """One graph and the facts beside it; one is made for each run of the checks."""

    def __init__(self, graph: Graph, facts: Facts) -> None:
        self.graph = graph
        self.facts = facts
        self.kinds: dict[str, list[Node]] = {}
        """Kind to all its nodes, in order."""
        for node in graph.nodes.values():
            self.kinds.setdefault(node.kind, []).append(node)

    def of(self, *kinds: str) -> Iterable[Node]:
        """All nodes of these kinds."""
        for kind in kinds:
            yield from self.kinds.get(kind, ())

    def plain(self, value: Any) -> Any:
        """A field's own value with its `by_stage` resolved; None when it is known only after deploy."""
        while isinstance(value, ByStage):
            value = cast(Any, value).at(self.graph.stage)
        return None if isinstance(value, Output) else value

    def lines(self, node: Node) -> Iterable[Node]:
        """A node, the node whose shorthand made it, and so on upwards."""
        at: Node | None = node
        while at is not None:
            yield at
            at = self.graph.nodes.get(at.parent) if at.parent else None

    def root(self, node: Node) -> Node:
        """What the user wrote that this node comes from."""
        return list(self.lines(node))[-1]

    def suppression(self, node: Node, rule: str) -> str:
        """The reason why a rule is suppressed for a node, or for what it was made from; empty when it is not."""
        for each in self.lines(node):
            if reason := each.resource.suppress.get(rule, "").strip():
                return reason
        return ""

    # -- references

    def node_at(self, value: Any) -> Node | None:
        """The node of this stack whose output a prop holds."""
        match value:
            case {"@ref": [str() as address, _]}:
                return self.graph.nodes.get(address)
            case _:
                return None

    def target(self, value: Any) -> Target | None:
        """What an ARN leads to, wherever it is declared; None when that cannot be known."""
        match value:
            case {"@ref": [str() as address, _]}:
                node = self.graph.nodes.get(address)
                return Target.of_node(node) if node is not None else None
            case {"@existing": [str() as kind, arn, _]}:
                return Target.of_kind(kind, arn if isinstance(arn, str) else None)
            case {"@stack": [_, str() as address, _]}:
                service, kind = address.split(".")[:2]
                return Target.of_kind(f"{service}.{kind}", None)
            case str():
                return Target.of_arn(value)
            case _:
                return None

    def function_of(self, value: Any) -> Node | None:
        """The function of this stack that an ARN or name leads to, directly or through its alias or version."""
        node = self.node_at(value)
        for _ in range(3):  # an alias of a version of a function is the longest there is
            if node is None or node.kind == "lambda.function":
                return node
            if node.kind not in _OF_FUNCTION:
                return None
            node = self.node_at(node.props.get("function"))
        return None

    # -- functions and what makes them run

    @cached_property
    def functions(self) -> list[Node]:
        """All functions of the stack."""
        return list(self.of("lambda.function"))

    @cached_property
    def mappings(self) -> Mapping[str, list[Node]]:
        """Address of a function to the event source mappings that feed it."""
        found: dict[str, list[Node]] = {}
        for mapping in self.of("lambda.event_source_mapping"):
            function = self.function_of(mapping.props.get("function"))
            if function is not None:
                found.setdefault(function.address, []).append(mapping)
        return found

    def triggers(self, function: Node) -> tuple[Trigger, ...]:
        """The triggers written at a function."""
        return cast(tuple[Trigger, ...], getattr(function.resource, "triggers", ()))

    def trigger_of(self, node: Node) -> Trigger | None:
        """The trigger that made a node, when it can be told which one did."""
        parent = self.graph.nodes.get(node.parent) if node.parent else None
        if parent is None:
            return None
        event = _EVENTS.get(node.kind) or node.props.get("source_kind", "sqs")
        candidates = [each for each in self.triggers(parent) if each.event == event]
        ends = {
            *node.needs,
            *(
                content[1]
                for key, content in references_in(node.props)
                if key == "@existing" and isinstance(content[1], str)
            ),
        }
        fitting = [
            each
            for each in candidates
            if (each.source() is None or self.address_of(each.source()) in ends)
            and ((name := getattr(each, "name", None)) is None or node.name.endswith(f".{name}"))
        ]
        return fitting[0] if fitting else None

    def address_of(self, resource: Resource | None) -> str | None:
        """The address of a resource in this stack; for another stack's or an existing one, its ARN or name."""
        if resource is None:
            return None
        address = self.graph.address_of(resource)
        if address is not None:
            return address
        return resource.existing_arn if isinstance(resource.existing_arn, str) else None

    @cached_property
    def invoked_asynchronously(self) -> Mapping[str, str]:
        """Address of a function to the node or trigger that hands it events through Lambda's asynchronous queue."""
        found: dict[str, str] = {}
        for function in self.functions:
            for trigger in self.triggers(function):
                if trigger.asynchronous:
                    found.setdefault(function.address, f"its {trigger.event} trigger")
        for node in self.of(*DELIVERING):
            target = node.props.get(DELIVERING[node.kind])
            for function in self.functions_in(target):
                found.setdefault(function.address, node.address)
        for config in self.of("lambda.event_invoke_config"):
            for prop in ("on_success", "on_failure"):
                function = self.function_of(config.props.get(prop))
                if function is not None:
                    found.setdefault(function.address, f"{config.address}.{prop}")
        return found

    def functions_in(self, value: Any) -> Iterable[Node]:
        """The functions that any part of a prop leads to."""
        for key, content in references_in(value):
            if key == "@ref" and (function := self.function_of({key: content})) is not None:
                yield function

    @cached_property
    def asynchronous_settings(self) -> Mapping[str, list[Node]]:
        """Address of a function to the asynchronous settings of it and its aliases."""
        found: dict[str, list[Node]] = {}
        for config in self.of("lambda.event_invoke_config"):
            function = self.function_of(config.props.get("function"))
            if function is not None:
                found.setdefault(function.address, []).append(config)
        return found
