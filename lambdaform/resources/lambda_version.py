"""Published versions: a function's code and configuration, frozen under a number.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-versions.html
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import attrs

from lambdaform.model.driver import Aws, AwsError, Desired, Found, Record, is_missing
from lambdaform.model.marks import Length, Replaces
from lambdaform.model.output import Attribute, Input, output
from lambdaform.model.problem import LambdaformError
from lambdaform.model.resource import Resource, Scope
from lambdaform.resources.lambda_target import addressed


@attrs.frozen(kw_only=True, eq=False, repr=False, slots=False)
class Version(Resource):
    """The latest published version of a function: `Version(function=api)` publishes one whenever `api` changes.

    Earlier versions stay, so that an alias can be moved back to them; they go with the function.
    """

    kind: ClassVar[str] = "lambda.version"
    title: ClassVar[str] = "version"

    function: Annotated[Input[str] | Resource, Replaces("a version belongs to one function")]
    """The function, or its name."""
    revision: Input[str] | None = None
    """A new version is published when this changes; settled when `function` is a function of the stack."""
    description: Annotated[Input[str], Length(0, 256)] = ""
    """For people; the next version that is published carries it."""

    arn = output(str, "The version's ARN.", volatile=True)
    version = output(str, "The version's number.", volatile=True)

    def expand(self, scope: Scope) -> None:
        """Name and revision of the function, where it is given as a resource."""
        if isinstance(self.function, Resource):
            function = scope.current(self.function)
            scope.settle("function", Attribute(function, "function_name"))
            # An existing function is not changed by us, so there is nothing to follow.
            if self.revision is None and function.existing_arn is None:
                scope.settle("revision", Attribute(function, "revision"))


class VersionDriver:
    """Publishes versions and waits until they can be invoked."""

    # PublishVersion answers with the version that is there when nothing has changed since.
    exists = ()

    def create(self, aws: Aws, desired: Desired) -> Mapping[str, Any]:
        """PublishVersion, then wait: a version with SnapStart or in a VPC takes minutes."""
        request: dict[str, Any] = {"Description": desired.props["description"]} if desired.get("description") else {}
        function = desired.props["function"]
        answer = aws.call("lambda", "PublishVersion", FunctionName=function, **request)
        version = answer["Version"]

        def look() -> bool | None:
            found = aws.call("lambda", "GetFunctionConfiguration", FunctionName=function, Qualifier=version)
            if found.get("State") == "Failed":
                raise LambdaformError(
                    f"AWS could not make version {version} of {function} ready: "
                    f"{found.get('StateReason') or 'no reason given'}",
                    hint="mend what the reason names, then deploy again",
                )
            return True if found.get("State", "Active") in ("Active", "Inactive") else None

        aws.wait_for(f"version {version} of {function} to be active", look, seconds=900)
        return {"arn": answer["FunctionArn"], "version": version}

    def update(self, aws: Aws, desired: Desired, record: Record, changed: frozenset[str]) -> Mapping[str, Any]:
        """PublishVersion when the function has changed."""
        return self.create(aws, desired) if "revision" in changed else record.outputs

    def find(self, aws: Aws, desired: Desired) -> Found | None:
        """Never in the way: publishing again gives the same version or the next."""
        return None

    def read(self, aws: Aws, record: Record) -> Mapping[str, Any] | None:
        """Its outputs while it exists."""
        try:
            aws.call(
                "lambda",
                "GetFunctionConfiguration",
                FunctionName=record.props["function"],
                Qualifier=record.outputs["version"],
            )
        except AwsError as error:
            if is_missing(error):
                return None
            raise
        return record.outputs

    def delete(self, aws: Aws, record: Record) -> None:
        """Delete the latest version of ours, unless something else (another alias) uses it."""
        try:
            aws.call(
                "lambda",
                "DeleteFunction",
                **addressed(f"{record.props['function']}:{record.outputs['version']}"),
            )
        except AwsError as error:
            if not is_missing(error) and error.code != "ResourceConflictException":
                raise


DRIVER = VersionDriver()
