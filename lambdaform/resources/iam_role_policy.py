"""Inline policies of roles: what a function's grants, triggers and destinations come to.

https://docs.aws.amazon.com/IAM/latest/APIReference/API_PutRolePolicy.html
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import attrs

from lambdaform.model.driver import Aws, AwsError, Desired, Found, Record, is_missing
from lambdaform.model.marks import Length, Replaces
from lambdaform.model.output import Input, output
from lambdaform.model.resource import Naming, Resource
from lambdaform.model.units import items


@attrs.frozen(kw_only=True, eq=False, repr=False, slots=False)
class RolePolicy(Resource):
    """Rights of one role, written into the role itself."""

    kind: ClassVar[str] = "iam.role_policy"
    title: ClassVar[str] = "policy"
    naming: ClassVar[Naming | None] = Naming(128, allowed="A-Za-z0-9_+=,.@-")
    reference: ClassVar[str] = "policy_name"
    replacement: ClassVar[str] = "delete first"

    role: Annotated[Input[str], Replaces("an inline policy belongs to one role")]
    """Name of the role."""
    statements: Annotated[tuple[Mapping[str, Any], ...], Length(1, 500, "statements")] = attrs.field(converter=items)
    """IAM statements."""

    policy_name = output(str, "The policy's name within the role.")


class RolePolicyDriver:
    """Writes inline policies."""

    exists = ()

    def create(self, aws: Aws, desired: Desired) -> Mapping[str, Any]:
        """PutRolePolicy, which also replaces what was there."""
        document = {"Version": "2012-10-17", "Statement": desired.props["statements"]}
        aws.call(
            "iam",
            "PutRolePolicy",
            RoleName=desired.props["role"],
            PolicyName=desired.physical_name,
            PolicyDocument=json.dumps(document),
        )
        return {"policy_name": desired.physical_name}

    def update(self, aws: Aws, desired: Desired, record: Record, changed: frozenset[str]) -> Mapping[str, Any]:
        """PutRolePolicy again."""
        return self.create(aws, desired)

    def find(self, aws: Aws, desired: Desired) -> Found | None:
        """Never in the way: PutRolePolicy overwrites."""
        return None

    def read(self, aws: Aws, record: Record) -> Mapping[str, Any] | None:
        """Its name while it exists."""
        try:
            aws.call("iam", "GetRolePolicy", RoleName=record.props["role"], PolicyName=record.physical_name)
        except AwsError as error:
            if is_missing(error):
                return None
            raise
        return record.outputs

    def delete(self, aws: Aws, record: Record) -> None:
        """DeleteRolePolicy."""
        try:
            aws.call("iam", "DeleteRolePolicy", RoleName=record.props["role"], PolicyName=record.physical_name)
        except AwsError as error:
            if not is_missing(error):
                raise


DRIVER = RolePolicyDriver()
