"""Sizes of packages, where they have been made.

https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from lambdaform.checks.layers import layers_of
from lambdaform.checks.rules import Finding, rule
from lambdaform.model.marks import QUOTAS
from lambdaform.model.problem import Severity

if TYPE_CHECKING:
    from lambdaform.checks.view import View
    from lambdaform.model.code import Package

UNZIPPED = 262_144_000
"""Bytes of a function's files and those of all its layers together."""


def _archive_size(archive: Path | None) -> int | None:
    try:
        return archive.stat().st_size if archive is not None else None
    except OSError:
        return None  # cleaned away since; it is made again before it is needed


def _largest(package: Package) -> str:
    """The folder that holds most, for whoever has to make room."""
    sizes: dict[str, int] = {}
    for file in package.files:
        top = "/".join(file.path.split("/")[:2]) if "/" in file.path else file.path
        sizes[top] = sizes.get(top, 0) + file.size
    if not sizes:
        return ""
    name = max(sizes, key=lambda each: sizes[each])
    return f"; {name} is the largest, with {sizes[name] / 1_048_576:,.0f} MB"


@rule("package-unzipped", Severity.ERROR, "A function's files and layers have at most 250 MB, unzipped.", link=QUOTAS)
def unzipped(view: View) -> Iterable[Finding]:
    """With the layers of this stack; the size of other layers is known only to AWS."""
    packages = view.facts.packages
    for node in view.functions:
        package = packages.get(node.address)
        if package is None:
            continue
        layers = {
            layer.name: packages[layer.address].unzipped
            for value in layers_of(node)
            if (layer := view.node_at(value)) is not None and layer.address in packages
        }
        total = package.unzipped + sum(layers.values())
        if total > UNZIPPED:
            parts = "".join(f", {size:,} in the layer {name}" for name, size in layers.items())
            yield Finding(
                node,
                "the unzipped files are too large for a function",
                "code",
                given=f"{total:,} bytes: {package.unzipped:,} of its own{parts}",
                allowed=f"at most {UNZIPPED:,} bytes with all layers",
                hint=f"leave out what is not needed at run time{_largest(package)}",
            )


@rule("package-layer", Severity.ERROR, "A layer has at most 250 MB, unzipped.", link=QUOTAS)
def layer(view: View) -> Iterable[Finding]:
    """No function could have it."""
    for node in view.of("lambda.layer"):
        package = view.facts.packages.get(node.address)
        if package is not None and package.unzipped > UNZIPPED:
            yield Finding(
                node,
                "the unzipped files are too large for a layer",
                "code",
                given=f"{package.unzipped:,} bytes",
                allowed=f"at most {UNZIPPED:,} bytes",
                hint=f"leave out what is not needed{_largest(package)}",
            )


@rule("package-zipped", Severity.ERROR, "A zip that is uploaded in a request has at most 50 MB.", link=QUOTAS)
def zipped(view: View) -> Iterable[Finding]:
    """Only where no bucket stands between; the unzipped limit holds in any case."""
    limit = view.facts.upload_limit
    if limit is None:
        return
    for node in view.of("lambda.function", "lambda.layer"):
        package = view.facts.packages.get(node.address)
        size = _archive_size(package.archive) if package is not None else None
        if package is not None and size is not None and size > limit:
            yield Finding(
                node,
                "the zip is too large to be uploaded in a request",
                "code",
                given=f"{size:,} bytes",
                allowed=f"at most {limit:,} bytes",
                hint=f"deploy through a bucket for artifacts, or make it smaller{_largest(package)}",
            )


@rule("package-empty", Severity.ERROR, "A package has at least one file.", link=QUOTAS)
def empty(view: View) -> Iterable[Finding]:
    """AWS refuses an empty zip."""
    for node in view.of("lambda.function", "lambda.layer"):
        package = view.facts.packages.get(node.address)
        if package is not None and not package.files:
            yield Finding(
                node, "the package has no files", "code", given="0 files", hint="look at its path and exclude"
            )


RULES = (unzipped, layer, zipped, empty)
