"""Stacks that use each other's resources: which ones a stack needs, in the order of deploys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lambdaform.model.graph import Graph
from lambdaform.model.problem import LambdaformError


def needed_stacks(stack: Any, graph_of: Callable[[Any], Graph]) -> list[Any]:
    """Every stack class that `stack` needs, each after what it needs itself, `stack` last.

    Raises `LambdaformError` when stacks need each other in a circle.
    """
    ordered: list[Any] = []
    path: list[Any] = []

    def visit(each: Any) -> None:
        if each in ordered:
            return
        if each in path:
            names = " needs ".join(one.stack_name() for one in [*path[path.index(each) :], each])
            raise LambdaformError(
                f"stacks need each other in a circle: {names}", hint="move what they share to a third one"
            )
        path.append(each)
        for other in graph_of(each).stacks:
            visit(other)
        path.pop()
        ordered.append(each)

    visit(stack)
    return ordered
