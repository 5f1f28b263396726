"""AddPermission, RemovePermission, GetPolicy, and who a policy lets in.

https://docs.aws.amazon.com/lambda/latest/dg/access-control-resource-based.html. There is one policy per qualifier.
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Mapping, Sequence
from typing import cast

import attrs

from lambdaform.local.lambda_.naming import LATEST, is_version
from lambdaform.local.lambda_.plane import (
    Plane,
    alias_missing,
    check_revision,
    conflict,
    function_missing,
    invalid,
    resource_missing,
)
from lambdaform.local.lambda_.values import Function, Policy
from lambdaform.local.ports import AwsFault, Call, Json

LARGEST_POLICY = 20_480

_ASSUMING = frozenset({"lambda", "sqs", "scheduler", "pipes", "states", "kinesis", "dynamodb"})
"""Sources that reach a function by a role, not by a statement on it."""


async def add_permission(plane: Plane, call: Call) -> Mapping[str, Json]:
    """Add a statement to the policy of a function, version or alias."""
    function, qualifier = _target(plane, call)
    if qualifier == LATEST:
        raise invalid("We currently do not support adding policies for $LATEST.")
    policy = function.policies.get(qualifier or "", Policy({}, ""))
    check_revision(call.params.get("RevisionId"), policy.revision or _revision(function, qualifier), of="GetPolicy")
    sid = call.params["StatementId"]
    if sid in policy.statements:
        raise conflict(
            f"The statement id ({sid}) provided already exists. "
            "Please provide a new statement id, or remove the existing statement."
        )
    arn = f"{function.arn}:{qualifier}" if qualifier else function.arn
    statement = make_statement(call.params, arn)
    statements = {**policy.statements, sid: statement}
    if len(_document(statements)) > LARGEST_POLICY:
        text = "The final policy size is bigger than the limit (20480)."
        raise AwsFault("PolicyLengthExceededException", text)
    _put(plane, function, qualifier, Policy(statements, plane.ids.uuid()))
    return {"Statement": json.dumps(statement, separators=(",", ":"))}


async def remove_permission(plane: Plane, call: Call) -> Mapping[str, Json]:
    """Take a statement out again."""
    function, qualifier = _target(plane, call)
    policy = function.policies.get(qualifier or "")
    if policy is None:
        text = "No policy is associated with the given resource."
        raise AwsFault("ResourceNotFoundException", text, status=404)
    check_revision(call.params.get("RevisionId"), policy.revision, of="GetPolicy")
    sid = call.params["StatementId"]
    if sid not in policy.statements:
        text = f"Statement {sid} is not found in resource policy."
        raise AwsFault("ResourceNotFoundException", text, status=404)
    statements = {key: value for key, value in policy.statements.items() if key != sid}
    _put(plane, function, qualifier, Policy(statements, plane.ids.uuid()) if statements else None)
    return {}


async def get_policy(plane: Plane, call: Call) -> Mapping[str, Json]:
    """The policy of a function, version or alias."""
    function, qualifier = _target(plane, call)
    policy = function.policies.get(qualifier or "")
    if policy is None:
        raise resource_missing()
    return {"Policy": _document(policy.statements), "RevisionId": policy.revision}


def make_statement(params: Mapping[str, Json], resource: str, *, action: str | None = None) -> dict[str, Json]:
    """The statement AddPermission makes of its parameters. Raises `AwsFault` for a principal that is none."""
    principal: str = params["Principal"]
    if principal == "*":
        shown: Json = "*"
    elif re.fullmatch(r"\d{12}", principal):
        shown = {"AWS": f"arn:aws:iam::{principal}:root"}
    elif principal.startswith("arn:"):
        shown = {"AWS": principal}
    elif re.fullmatch(r"[a-z0-9.-]+\.(amazonaws\.com(\.cn)?|amazon\.com)", principal):
        shown = {"Service": principal}
    else:
        raise invalid("The provided principal was invalid. Please check the principal and try again.")
    equals = {
        key: params[field]
        for field, key in (
            ("SourceAccount", "AWS:SourceAccount"),
            ("EventSourceToken", "lambda:EventSourceToken"),
            ("PrincipalOrgID", "aws:PrincipalOrgID"),
            ("FunctionUrlAuthType", "lambda:FunctionUrlAuthType"),
        )
        if field in params
    }
    condition: dict[str, Json] = {}
    if equals:
        condition["StringEquals"] = equals
    if "InvokedViaFunctionUrl" in params:
        condition["Bool"] = {"lambda:InvokedViaFunctionUrl": "true" if params["InvokedViaFunctionUrl"] else "false"}
    if "SourceArn" in params:
        condition["ArnLike"] = {"AWS:SourceArn": params["SourceArn"]}
    statement: dict[str, Json] = {
        "Sid": params["StatementId"],
        "Effect": "Allow",
        "Principal": shown,
        "Action": action or params["Action"],
        "Resource": resource,
    }
    if condition:
        statement["Condition"] = condition
    return statement


def decide_permitted(policy: Policy | None, source: str, account: str) -> bool:
    """Whether a policy lets an event source invoke: by its service, its ARN, and its account.

    Callers of the API itself and sources that use a role need no statement.
    """
    if not source.startswith("arn:"):
        return True
    service = source.split(":")[2]
    if service in _ASSUMING:
        return True
    principal = f"{service}.amazonaws.com"
    return policy is not None and any(
        _lets_in(statement, principal, source, account) for statement in policy.statements.values()
    )


def _lets_in(statement: Mapping[str, Json], principal: str, source: str, account: str) -> bool:
    who = statement["Principal"]
    services = cast("Mapping[str, str]", who).get("Service") if isinstance(who, Mapping) else None
    if who != "*" and services != principal:
        return False
    if not allows_action(statement, "lambda:InvokeFunction"):
        return False
    condition: Mapping[str, Mapping[str, str]] = statement.get("Condition", {})
    pattern = condition.get("ArnLike", {}).get("AWS:SourceArn")
    if pattern is not None and not _arn_like(source, pattern):
        return False
    owner = condition.get("StringEquals", {}).get("AWS:SourceAccount")
    # A bucket's ARN names no account: here every bucket is the function's own account's.
    return owner is None or owner == (source.split(":")[4] or account)


def allows_action(statement: Mapping[str, Json], action: str) -> bool:
    """Whether a statement is about an action."""
    return statement["Action"] in (action, "lambda:*", "*")


def _arn_like(arn: str, pattern: str) -> bool:
    """ArnLike: `*` and `?` in each of the six parts."""
    parts: Sequence[str] = arn.split(":", 5)
    patterns: Sequence[str] = pattern.split(":", 5)
    return len(parts) == len(patterns) and all(
        fnmatch.fnmatchcase(part, each.replace("[", "[[]")) for part, each in zip(parts, patterns, strict=True)
    )


def _target(plane: Plane, call: Call) -> tuple[Function, str | None]:
    reference = plane.refer(call)
    function = plane.find(reference)
    if function is None:
        if call.operation == "AddPermission":
            raise function_missing(reference.arn)
        text = f"No policy found for: {reference.arn}" if call.operation == "RemovePermission" else None
        if text is None:
            raise resource_missing()
        raise AwsFault("ResourceNotFoundException", text, status=404)
    qualifier = reference.qualifier
    if qualifier is not None and qualifier != LATEST:
        if is_version(qualifier):
            if function.version(qualifier) is None:
                raise function_missing(reference.arn)
        elif qualifier not in function.aliases:
            raise alias_missing(function, qualifier)
    return function, qualifier


def _revision(function: Function, qualifier: str | None) -> str:
    """Before there is a policy, the revision of what it would hang on."""
    if qualifier is None:
        return function.latest.revision
    alias = function.aliases.get(qualifier)
    version = function.version(qualifier)
    return alias.revision if alias is not None else version.revision if version is not None else ""


def _put(plane: Plane, function: Function, qualifier: str | None, policy: Policy | None) -> None:
    others = {key: value for key, value in function.policies.items() if key != (qualifier or "")}
    if policy is not None:
        others[qualifier or ""] = policy
    plane.store.put(attrs.evolve(function, policies=others))


def _document(statements: Mapping[str, Json]) -> str:
    document = {"Version": "2012-10-17", "Id": "default", "Statement": list(statements.values())}
    return json.dumps(document, separators=(",", ":"))
