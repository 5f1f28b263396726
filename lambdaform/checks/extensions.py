"""Extensions in layers: each can be started, and there are not too many.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-extensions.html
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from lambdaform.checks.layers import layers_of
from lambdaform.checks.rules import Finding, rule
from lambdaform.model.problem import Severity

if TYPE_CHECKING:
    from lambdaform.checks.view import View
    from lambdaform.model.code import PackedFile
    from lambdaform.model.graph import Node

PAGE = "https://docs.aws.amazon.com/lambda/latest/dg/lambda-extensions.html"
LIMITS = "https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"
MOST = 10


def _extensions(view: View, layer: Node) -> list[PackedFile]:
    """The files of a layer that Lambda starts: those right in `extensions`."""
    package = view.facts.packages.get(layer.address)
    found = package.files if package is not None else ()
    return [file for file in found if file.path.startswith("extensions/") and file.path.count("/") == 1]


@rule("extension-not-executable", Severity.ERROR, "Lambda can start every file in a layer's extensions/.", link=PAGE)
def executable(view: View) -> Iterable[Finding]:
    """Lambda starts every file there, and every invocation fails when one cannot be started."""
    for layer in view.graph.nodes.values():
        if layer.kind != "lambda.layer":
            continue
        for file in _extensions(view, layer):
            if not file.executable:
                name = file.path.partition("/")[2]
                yield Finding(
                    layer,
                    f"{file.path} is not executable: Lambda starts every file there",
                    "code",
                    hint=f"chmod +x {name}, or have it in a folder of its own",
                )


@rule("extension-count", Severity.ERROR, "A function has ten extensions at most.", link=LIMITS)
def count(view: View) -> Iterable[Finding]:
    """The eleventh one cannot register."""
    for node in view.functions:
        names: set[str] = set()
        for value in layers_of(node):
            layer = view.node_at(value)
            if layer is not None:
                names.update(file.path for file in _extensions(view, layer))
        if len(names) > MOST:
            yield Finding(
                node,
                "has more extensions than Lambda lets register",
                "layers",
                given=f"{len(names)} files in extensions/ of its layers",
                allowed=f"at most {MOST}",
                hint="leave out a layer, or have several in one program",
            )


RULES = (executable, count)
