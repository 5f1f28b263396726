"""Statements of a function's resource policy: who may invoke it from outside.

https://docs.aws.amazon.com/lambda/latest/api/API_AddPermission.html
"""

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import attrs

from lambdaform.model.driver import STACK_TAG, STAGE_TAG, Aws, AwsError, Desired, Found, Record, is_missing
from lambdaform.model.marks import Length, OneOf, Pattern
from lambdaform.model.output import Input, output
from lambdaform.model.resource import Resource
from lambdaform.resources.lambda_target import addressed

ADD = "https://docs.aws.amazon.com/lambda/latest/api/API_AddPermission.html"


@attrs.frozen(kw_only=True, eq=False, repr=False, slots=False)
class Permission(Resource):
    """Lets a service, an account or a role invoke a function. Triggers bring the ones they need."""

    kind: ClassVar[str] = "lambda.permission"
    title: ClassVar[str] = "permission"
    reference: ClassVar[str] = "statement_id"

    function: Input[str] | Resource
    """The function or alias, or its ARN; a function's permission does not hold for its aliases."""
    principal: Annotated[Input[str], Length(1, 2_048, source=ADD), Pattern(r"\S+", "a text without spaces", ADD)]
    """A service (`s3.amazonaws.com`), the ARN of a role or user, an account id, or `*`."""
    action: Annotated[Input[str], Pattern(r"lambda:(\*|[a-zA-Z]+)|\*", "lambda: and the name of a call", ADD)] = (
        "lambda:InvokeFunction"
    )
    """What they may do."""
    source_arn: Input[str] | Resource | None = None
    """Services only: the resource they must act for."""
    source_account: Annotated[Input[str] | None, Pattern(r"\d{12}", "an account id of 12 digits", ADD)] = None
    """Services only: the account they must act for; needed where `source_arn` holds none, as with buckets."""
    organisation: Annotated[
        Input[str] | None, Pattern(r"o-[a-z0-9]{10,32}", "o- and 10 to 32 letters or digits", ADD)
    ] = None
    """The id of an AWS organisation; whoever calls must belong to it."""
    url_auth: Annotated[Input[str] | None, OneOf(("NONE", "AWS_IAM"), ADD)] = None
    """With `lambda:InvokeFunctionUrl`: only while the URL has this `auth`."""
    via_url: Input[bool] = False
    """Only through the function's URL, not through the Invoke call."""
    event_source_token: Annotated[
        Input[str] | None, Pattern(r"[a-zA-Z0-9._\-]{1,256}", "letters, digits or .-_", ADD)
    ] = None
    """Alexa only: the id of the skill."""

    statement_id = output(str, "The id of the statement in the function's policy.", volatile=True)


_MEMBERS = {
    "source_arn": "SourceArn",
    "source_account": "SourceAccount",
    "organisation": "PrincipalOrgID",
    "url_auth": "FunctionUrlAuthType",
    "via_url": "InvokedViaFunctionUrl",
    "event_source_token": "EventSourceToken",
}


def statement_id(desired: Desired) -> str:
    """A legal id that is the same for the same statement and another one when the statement changes.

    So a changed statement can stand beside the old one for a moment, and no caller is ever shut out.
    """
    import hashlib  # loads OpenSSL, and only a deployment needs it

    name = re.sub(r"[^a-zA-Z0-9-_]+", "-", desired.address.removeprefix("lambda.permission."))
    owner = [desired.tags.get(STACK_TAG), desired.tags.get(STAGE_TAG), desired.address]
    content = json.dumps([owner, dict(desired.props)], sort_keys=True)
    return f"{name[:83]}-{hashlib.sha256(content.encode()).hexdigest()[:16]}"


class PermissionDriver:
    """Adds and removes statements; a change is a new statement, then the old one goes."""

    exists = ("ResourceConflictException",)

    def create(self, aws: Aws, desired: Desired) -> Mapping[str, Any]:
        """AddPermission."""
        sid = statement_id(desired)
        aws.call(
            "lambda",
            "AddPermission",
            **addressed(desired.props["function"]),
            StatementId=sid,
            Action=desired.get("action", "lambda:InvokeFunction"),
            Principal=desired.props["principal"],
            **{member: desired.props[prop] for prop, member in _MEMBERS.items() if desired.get(prop)},
        )
        return {"statement_id": sid}

    def update(self, aws: Aws, desired: Desired, record: Record, changed: frozenset[str]) -> Mapping[str, Any]:
        """AddPermission for the statement as it shall be, then RemovePermission for the one that was."""
        try:
            outputs = self.create(aws, desired)
        except AwsError as error:
            if error.code not in self.exists:
                raise
            outputs = {"statement_id": statement_id(desired)}  # an interrupted run got this far
        # A record without props stands for a statement that was found, which is this very one.
        if record.props and (outputs != dict(record.outputs) or record.props["function"] != desired.props["function"]):
            self.delete(aws, record)
        return outputs

    def find(self, aws: Aws, desired: Desired) -> Found | None:
        """The statement with the same id: ours, since the id is made from the address and the contents."""
        sid = statement_id(desired)
        return Found({"statement_id": sid}, None) if _has(aws, desired.props["function"], sid) else None

    def read(self, aws: Aws, record: Record) -> Mapping[str, Any] | None:
        """Its id while it stands in the function's policy."""
        return record.outputs if _has(aws, record.props["function"], record.outputs["statement_id"]) else None

    def delete(self, aws: Aws, record: Record) -> None:
        """RemovePermission."""
        try:
            aws.call(
                "lambda",
                "RemovePermission",
                **addressed(record.props["function"]),
                StatementId=record.outputs["statement_id"],
            )
        except AwsError as error:
            if not is_missing(error):
                raise


def _has(aws: Aws, function: str, sid: str) -> bool:
    try:
        policy = json.loads(aws.call("lambda", "GetPolicy", **addressed(function))["Policy"])
    except AwsError as error:
        if is_missing(error):
            return False
        raise
    return any(statement.get("Sid") == sid for statement in policy.get("Statement", []))


DRIVER = PermissionDriver()
