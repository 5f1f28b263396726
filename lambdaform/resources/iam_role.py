"""IAM roles: the declaration and its driver.

https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

import attrs

from lambdaform.model.driver import Aws, AwsError, Desired, Found, Record, changed_tags, is_missing
from lambdaform.model.marks import Length, Pattern, Range, Replaces
from lambdaform.model.output import Input, output
from lambdaform.model.resource import Naming, Resource
from lambdaform.model.units import items, seconds

IAM_QUOTAS = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"


@attrs.frozen(kw_only=True, eq=False, repr=False, slots=False)
class Role(Resource):
    """Who a function (or a service) is towards the rest of AWS. A function without `role` gets one of its own."""

    kind: ClassVar[str] = "iam.role"
    title: ClassVar[str] = "role"
    # IAM's names are global, so two regions of one stage would meet.
    naming: ClassVar[Naming | None] = Naming(64, allowed="A-Za-z0-9_+=,.@-", with_region=True)
    taggable: ClassVar[bool] = True

    name: Annotated[
        Input[str] | None, Pattern(r"[\w+=,.@-]{1,64}", "1 to 64 letters, digits or +=,.@-_", IAM_QUOTAS), Replaces()
    ] = None
    """Its name in AWS; made from stack, stage, attribute name and region when not given."""
    assumed_by: Annotated[tuple[str, ...], Length(1, 10, "services")] = attrs.field(
        default=("lambda.amazonaws.com",), converter=items
    )
    """The services that may act as this role."""
    managed_policies: Annotated[tuple[Input[str], ...], Length(0, 20, "policies", IAM_QUOTAS)] = attrs.field(
        default=(), converter=items
    )
    """ARNs of managed policies to attach."""
    permissions_boundary: Input[str] | None = None
    """ARN of a policy that limits what the role can ever do."""
    path: Annotated[str, Replaces("IAM cannot move a role")] = "/"
    """IAM path."""
    description: Annotated[Input[str], Length(0, 1000)] = ""
    """For people."""
    max_session: Annotated[Input[int], Range(3_600, 43_200, "s", source=IAM_QUOTAS)] = attrs.field(
        default=3_600, converter=seconds
    )
    """How long a session of this role may last."""
    tags: Annotated[Mapping[str, Input[str]], Length(0, 50, "tags")] = attrs.field(factory=dict[str, Input[str]])
    """Tags besides the stack's."""

    arn = output(str, "The role's ARN.")
    role_name = output(str, "The role's name.")

    @classmethod
    def existing(cls, arn: Input[str]) -> Self:
        """A role that lambdaform does not manage: nothing is attached to it, whatever the function needs."""
        return cls.refer(arn)

    @classmethod
    def outputs_of_arn(cls, arn: str) -> Mapping[str, str]:
        """ARN and name; a role's name is what follows its path."""
        return {"arn": arn, "role_name": arn.rsplit("/", 1)[-1]}


def _trust(services: list[str]) -> str:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": services[0] if len(services) == 1 else services},
        "Action": "sts:AssumeRole",
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


class RoleDriver:
    """Makes and changes roles."""

    exists = ("EntityAlreadyExists", "EntityAlreadyExistsException")

    def create(self, aws: Aws, desired: Desired) -> Mapping[str, Any]:
        """CreateRole, then AttachRolePolicy for each managed policy."""
        request: dict[str, Any] = {}
        if desired.get("description"):
            request["Description"] = desired.props["description"]
        if desired.get("permissions_boundary"):
            request["PermissionsBoundary"] = desired.props["permissions_boundary"]
        if desired.get("max_session"):
            request["MaxSessionDuration"] = desired.props["max_session"]
        role = aws.call(
            "iam",
            "CreateRole",
            RoleName=desired.physical_name,
            Path=desired.get("path", "/"),
            AssumeRolePolicyDocument=_trust(desired.get("assumed_by", ["lambda.amazonaws.com"])),
            Tags=[{"Key": key, "Value": value} for key, value in desired.tags.items()],
            **request,
        )["Role"]
        for policy in desired.get("managed_policies", []):
            aws.call("iam", "AttachRolePolicy", RoleName=desired.physical_name, PolicyArn=policy)
        return {"arn": role["Arn"], "role_name": desired.physical_name}

    def update(self, aws: Aws, desired: Desired, record: Record, changed: frozenset[str]) -> Mapping[str, Any]:
        """One call for each thing that changed."""
        name = record.physical_name
        if "assumed_by" in changed:
            trust = _trust(desired.get("assumed_by", ["lambda.amazonaws.com"]))
            aws.call("iam", "UpdateAssumeRolePolicy", RoleName=name, PolicyDocument=trust)
        if changed & {"description", "max_session"}:
            aws.call(
                "iam",
                "UpdateRole",
                RoleName=name,
                Description=desired.get("description", ""),
                MaxSessionDuration=desired.get("max_session", 3_600),
            )
        if "permissions_boundary" in changed:
            boundary = desired.get("permissions_boundary")
            if boundary:
                aws.call("iam", "PutRolePermissionsBoundary", RoleName=name, PermissionsBoundary=boundary)
            else:
                aws.call("iam", "DeleteRolePermissionsBoundary", RoleName=name)
        if "managed_policies" in changed:
            answer = aws.call("iam", "ListAttachedRolePolicies", RoleName=name)
            attached = {policy["PolicyArn"] for policy in answer.get("AttachedPolicies", [])}
            wanted = set(desired.get("managed_policies", []))
            for policy in sorted(wanted - attached):
                aws.call("iam", "AttachRolePolicy", RoleName=name, PolicyArn=policy)
            for policy in sorted(attached - wanted):
                aws.call("iam", "DetachRolePolicy", RoleName=name, PolicyArn=policy)
        if "tags" in changed:
            put, removed = changed_tags(record.props.get("tags"), desired.props.get("tags"))
            if put:
                pairs = [{"Key": key, "Value": value} for key, value in put.items()]
                aws.call("iam", "TagRole", RoleName=name, Tags=pairs)
            if removed:
                aws.call("iam", "UntagRole", RoleName=name, TagKeys=removed)
        return record.outputs

    def find(self, aws: Aws, desired: Desired) -> Found | None:
        """The role of that name and its tags."""
        role = _get(aws, desired.physical_name)
        if role is None:
            return None
        tags = {tag["Key"]: tag["Value"] for tag in role.get("Tags", [])}
        return Found({"arn": role["Arn"], "role_name": desired.physical_name}, tags)

    def read(self, aws: Aws, record: Record) -> Mapping[str, Any] | None:
        """Its outputs while it exists."""
        role = _get(aws, record.physical_name)
        return None if role is None else {"arn": role["Arn"], "role_name": record.physical_name}

    def delete(self, aws: Aws, record: Record) -> None:
        """Detach and delete what is in it (IAM refuses otherwise), then the role."""
        name = record.physical_name
        try:
            for policy in aws.call("iam", "ListAttachedRolePolicies", RoleName=name).get("AttachedPolicies", []):
                aws.call("iam", "DetachRolePolicy", RoleName=name, PolicyArn=policy["PolicyArn"])
            for policy in aws.call("iam", "ListRolePolicies", RoleName=name).get("PolicyNames", []):
                aws.call("iam", "DeleteRolePolicy", RoleName=name, PolicyName=policy)
            aws.call("iam", "DeleteRole", RoleName=name)
        except AwsError as error:
            if not is_missing(error):
                raise


def _get(aws: Aws, name: str) -> Mapping[str, Any] | None:
    try:
        return aws.call("iam", "GetRole", RoleName=name)["Role"]
    except AwsError as error:
        if is_missing(error):
            return None
        raise


DRIVER = RoleDriver()
