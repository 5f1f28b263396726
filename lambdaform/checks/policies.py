"""Policies: whom a function lets in, and how much of a policy IAM and Lambda take.

https://docs.aws.amazon.com/lambda/latest/dg/access-control-resource-based.html
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from lambdaform.checks.rules import Finding, rule
from lambdaform.model.graph import is_known
from lambdaform.model.marks import QUOTAS
from lambdaform.model.problem import Severity

if TYPE_CHECKING:
    from lambdaform.checks.view import View
    from lambdaform.model.graph import Node

PERMISSIONS = "https://docs.aws.amazon.com/lambda/latest/dg/access-control-resource-based.html"
IAM_QUOTAS = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"
ROLE_POLICY = 10_240
"""Characters of all inline policies of a role together, white space not counted."""
FUNCTION_POLICY = 20_480
"""Bytes of one function's (or alias's) policy."""
STATEMENT = 250
"""Bytes that a statement made by AddPermission has at the very least: its keys, two ARNs, a principal."""


@rule(
    "permission-open",
    Severity.WARNING,
    "A service may invoke a function for one resource or account only.",
    link=PERMISSIONS,
)
def permission_open(view: View) -> Iterable[Finding]:
    """Otherwise it may do so for anybody's resource; a bucket's ARN does not name the account."""
    for node in view.of("lambda.permission"):
        principal = node.props.get("principal")
        if not isinstance(principal, str) or not principal.endswith(".amazonaws.com"):
            continue
        if node.props.keys() & {"source_account", "organisation", "event_source_token"}:
            continue
        source = view.target(node.props.get("source_arn"))
        if "source_arn" not in node.props or (source is not None and source.service == "s3"):
            yield Finding(
                node,
                "lets the service invoke the function for any account's resources",
                "source_account" if "source_arn" in node.props else "source_arn",
                given=principal,
                hint="add source_account=ACCOUNT_ID" + ("" if "source_arn" in node.props else ", and source_arn="),
            )


def _least(value: Any) -> Any:
    """A value with everything that is known only after deploy left out."""
    if not is_known(value):
        return ""
    if isinstance(value, dict):
        return {key: _least(each) for key, each in cast(dict[str, Any], value).items()}
    if isinstance(value, list):
        return [_least(each) for each in cast(list[Any], value)]
    return value


@rule("role-policy-size", Severity.ERROR, "A role's own policies have at most 10,240 characters.", link=IAM_QUOTAS)
def role_policy_size(view: View) -> Iterable[Finding]:
    """Without the ARNs that are known only after deploy, so this never errs early."""
    for node in view.of("iam.role_policy"):
        statements = node.props.get("statements", [])
        if len(statements) * 60 < ROLE_POLICY and len(str(statements)) < ROLE_POLICY:
            continue
        size = len("".join(json.dumps(_least(statements), separators=(",", ":")).split()))
        if size > ROLE_POLICY:
            yield Finding(
                node,
                "is more than a role's own policies may be",
                "statements",
                given=f"at least {size:,} characters in {len(statements):,} statements",
                allowed=f"at most {ROLE_POLICY:,} characters",
                hint="split the function, or give it a role with managed policies",
            )


@rule("function-policy-size", Severity.ERROR, "A function's policy has at most 20,480 bytes.", link=QUOTAS)
def function_policy_size(view: View) -> Iterable[Finding]:
    """By the number of statements, each at its least."""
    doors: dict[str, list[Node]] = {}
    for node in view.of("lambda.permission"):
        doors.setdefault(repr(node.props.get("function")), []).append(node)
    for nodes in doors.values():
        function = view.function_of(nodes[0].props.get("function"))
        if len(nodes) * STATEMENT > FUNCTION_POLICY and function is not None:
            yield Finding(
                function,
                "so many permissions do not fit the function's policy",
                given=f"{len(nodes)} permissions, at least {len(nodes) * STATEMENT:,} bytes",
                allowed=f"at most {FUNCTION_POLICY:,} bytes",
                hint="let sources share a permission with a wildcard in source_arn",
            )


RULES = (permission_open, role_policy_size, function_policy_size)
