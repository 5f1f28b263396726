"""Layers of a function: each once, in its region, made for its runtime and processor.

https://docs.aws.amazon.com/lambda/latest/dg/chapter-layers.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from lambdaform.checks.rules import Finding, rule
from lambdaform.checks.runtimes import runtime_of
from lambdaform.model.problem import Severity
from lambdaform.model.runtimes import RUNTIMES, Language

if TYPE_CHECKING:
    from lambdaform.checks.view import View
    from lambdaform.model.graph import Node

PAGE = "https://docs.aws.amazon.com/lambda/latest/dg/adding-layers.html"
_ARN = r"arn:aws[a-z-]*:lambda:[a-z0-9-]+:\d{12}:layer:[a-zA-Z0-9-_]+:\d+"


def layers_of(function: Node) -> list[Any]:
    """The layers of a function as its props hold them."""
    layers = function.props.get("layers")
    return cast(list[Any], layers) if isinstance(layers, list) else []


def _written(view: View, function: Node) -> Iterable[str]:
    """The ARNs that stand in the declaration."""
    for value in layers_of(function):
        target = view.target(value) if isinstance(value, dict) else None
        if isinstance(value, str):
            yield value
        elif target is not None and target.arn is not None:
            yield target.arn


@rule("layer-arn", Severity.ERROR, "A layer's ARN ends in its version.", link=PAGE)
def arn(view: View) -> Iterable[Finding]:
    """AWS attaches versions of layers, never a layer as such."""
    for node in view.functions:
        for written in _written(view, node):
            if re.fullmatch(_ARN, written) is None:
                bare = re.fullmatch(_ARN, written + ":1") is not None
                yield Finding(
                    node,
                    "has no version" if bare else "is not the ARN of a layer version",
                    "layers",
                    given=written,
                    allowed="arn:aws:lambda:REGION:ACCOUNT:layer:NAME:VERSION",
                    hint="add the number of a version at its end" if bare else "write the ARN with its version",
                )


@rule("layer-twice", Severity.ERROR, "A function has each layer once, in one version.", link=PAGE)
def twice(view: View) -> Iterable[Finding]:
    """The same layer twice, or two versions of one."""
    for node in view.functions:
        names: list[str] = []
        for value in layers_of(node):
            layer = view.node_at(value)
            if layer is not None:
                names.append(layer.address)
        names.extend(written.rpartition(":")[0] for written in _written(view, node) if re.fullmatch(_ARN, written))
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield Finding(
                node,
                "a function can have a layer only once, and in one version",
                "layers",
                given=f"{name}, {names.count(name)} times",
                hint="keep one of them",
            )


@rule("layer-region", Severity.ERROR, "A layer is in the function's region.", link=PAGE)
def region(view: View) -> Iterable[Finding]:
    """AWS reads layers from its own region only."""
    if not view.facts.region_is_known:
        return
    for node in view.functions:
        for written in _written(view, node):
            if re.fullmatch(_ARN, written) is not None and written.split(":")[3] != view.graph.region:
                yield Finding(
                    node,
                    "the layer is in another region than the function",
                    "layers",
                    given=written,
                    allowed=view.graph.region,
                    hint=f"use the layer's ARN in {view.graph.region}, or publish it there",
                )


def _declared(view: View) -> Iterable[tuple[Node, Node]]:
    for node in view.functions:
        for value in layers_of(node):
            layer = view.node_at(value)
            if layer is not None and layer.kind == "lambda.layer":
                yield node, layer


@rule(
    "layer-runtime",
    Severity.WARNING,
    "A layer is made for the runtime of the function that has it.",
    link="https://docs.aws.amazon.com/lambda/latest/dg/python-layers.html",
)
def runtime(view: View) -> Iterable[Finding]:
    """Wheels with compiled parts are for one version of Python only; AWS attaches the layer all the same."""
    for node, layer in _declared(view):
        mine, theirs = RUNTIMES.get(runtime_of(node) or ""), RUNTIMES.get(runtime_of(layer) or "")
        if mine is None or theirs is None or mine is theirs or Language.CUSTOM in (mine.language, theirs.language):
            continue
        prefix = layer.build.prefix if layer.build is not None else ""
        if prefix in ("", "bin", "extensions", "lib") and mine.language is theirs.language:
            continue  # plain files do not mind which version reads them
        yield Finding(
            node,
            f"the layer {layer.name} is made for another runtime",
            "layers",
            given=f"{theirs.name}, and the function runs {mine.name}",
            hint=f'give the layer runtime="{mine.name}", or the function a layer of its own',
        )


@rule(
    "layer-architecture", Severity.WARNING, "A layer is made for the processor of the function that has it.", link=PAGE
)
def architecture(view: View) -> Iterable[Finding]:
    """Compiled files of one processor do not run on the other; AWS attaches the layer all the same."""
    for node, layer in _declared(view):
        mine = node.props.get("architecture", "x86_64")
        theirs = layer.props.get("architecture", "x86_64")
        if isinstance(mine, str) and isinstance(theirs, str) and mine != theirs:
            yield Finding(
                node,
                f"the layer {layer.name} is made for another processor",
                "layers",
                given=f"{theirs}, and the function runs on {mine}",
                hint=f'give the layer architecture="{mine}"',
            )


RULES = (arn, twice, region, runtime, architecture)
