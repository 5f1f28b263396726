"""Environment variables: their size as AWS measures it, names it keeps for itself, the form of names.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from lambdaform.checks.rules import Finding, rule
from lambdaform.model.graph import is_known
from lambdaform.model.problem import Severity

if TYPE_CHECKING:
    from lambdaform.checks.view import View
    from lambdaform.model.graph import Node

PAGE = "https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html"
QUOTA = 4_096
RESERVED = frozenset(
    {
        "_HANDLER",
        "_X_AMZN_TRACE_ID",
        "AWS_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "AWS_DEFAULT_REGION",
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_VERSION",
        "AWS_LAMBDA_INITIALIZATION_TYPE",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_LAMBDA_MAX_CONCURRENCY",
        "AWS_LAMBDA_METADATA_API",
        "AWS_LAMBDA_METADATA_TOKEN",
        "AWS_LAMBDA_RUNTIME_API",
        "AWS_REGION",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "LAMBDA_RUNTIME_DIR",
        "LAMBDA_TASK_ROOT",
    }
)
"""Keys that Lambda sets itself and does not let anybody else set."""
_NAME = r"[a-zA-Z][a-zA-Z0-9_]+"


def _environments(view: View) -> Iterable[tuple[Node, dict[str, Any]]]:
    for node in view.functions:
        environment = node.props.get("environment")
        if isinstance(environment, dict):
            yield node, cast(dict[str, Any], environment)


def _written_in(node: Node, variable: str) -> str:
    """The prop a variable was given by."""
    return "uses" if variable in getattr(node.resource, "uses", ()) else "environment"


def measured(environment: Mapping[str, Any]) -> tuple[int, bool]:
    """The size in bytes as AWS measures it, and whether all of it is known; what is not counts as empty."""
    known = {name: value if is_known(value) else "" for name, value in environment.items()}
    text = json.dumps(known, separators=(",", ":"), ensure_ascii=False)
    return len(text.encode()), all(is_known(value) for value in environment.values())


@rule("environment-size", Severity.ERROR, "The environment, as compact JSON, has at most 4,096 bytes.", link=PAGE)
def size(view: View) -> Iterable[Finding]:
    """Braces, quotes, colons and commas count; values known after deploy count as empty, so this never errs early."""
    for node, environment in _environments(view):
        size, whole = measured(environment)
        if size > QUOTA:
            biggest = max(environment, key=lambda name: len(str(environment[name])))
            yield Finding(
                node,
                "is too large, measured as AWS does: as compact JSON",
                "environment",
                given=f"{size:,} bytes{'' if whole else ', without the values known after deploy'}",
                allowed=f"at most {QUOTA:,} bytes",
                hint=f"shorten it; {biggest} is the largest. A parameter or a file in the package has more room",
            )


@rule("environment-reserved", Severity.ERROR, "No variable has a name that Lambda keeps for itself.", link=PAGE)
def reserved(view: View) -> Iterable[Finding]:
    """Every reserved key that is set."""
    for node, environment in _environments(view):
        for name in environment:
            if name in RESERVED:
                yield Finding(
                    node,
                    "is set by Lambda itself and cannot be set by anybody else",
                    _written_in(node, name),
                    given=name,
                    hint="take it out, or give it another name",
                )


@rule(
    "environment-name",
    Severity.ERROR,
    "A variable's name is a letter followed by letters, digits or _.",
    link="https://docs.aws.amazon.com/lambda/latest/api/API_Environment.html",
)
def name(view: View) -> Iterable[Finding]:
    """Names of one character are refused as well."""
    for node, environment in _environments(view):
        for name in environment:
            if name not in RESERVED and re.fullmatch(_NAME, name) is None:
                yield Finding(
                    node,
                    "is not a name that AWS takes for a variable",
                    _written_in(node, name),
                    given=repr(name),
                    allowed="a letter and then at least one letter, digit or _",
                    hint="rename it",
                )


RULES = (size, reserved, name)
