"""What tests of the checks share: a graph from a few resources, and what is found in it."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from lambdaform.checks.rules import Facts, check
from lambdaform.model.code import Code, Package, PackedFile
from lambdaform.model.graph import Graph, GraphBuilder
from lambdaform.model.problem import Problem
from lambdaform.model.resource import Resource
from lambdaform.resources.lambda_function import Function

TODAY = datetime.date(2026, 11, 21)
ACCOUNT = "123456789012"
HERE = f"eu-central-1:{ACCOUNT}"
THERE = f"us-west-2:{ACCOUNT}"


def function(handler: str = "app.handler", **settings: Any) -> Function:
    """A function with nothing wrong in it."""
    return Function(handler, settings.pop("code", Code("src")), **settings)


def graph_of(named: Mapping[str, Resource], region: str = "eu-central-1") -> Graph:
    """The graph of these resources in the stack `shop`, stage `dev`."""
    return GraphBuilder("shop", "dev", region).build(named)


def problems(named: Mapping[str, Resource], *, region: str = "eu-central-1", **facts: Any) -> list[Problem]:
    """Everything that is found."""
    return check(graph_of(named, region), Facts(today=facts.pop("today", TODAY), **facts))


def package(unzipped: int = 10, *paths: str, executable: bool = False) -> Package:
    """A package of one file of that size, or of files with these paths."""
    files = tuple(PackedFile(path, unzipped, "0" * 64, executable) for path in paths or ("app.py",))
    return Package("0" * 64, files, unzipped)
