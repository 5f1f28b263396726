"""Provisioned concurrency: environments that are initialised before anybody calls.

https://docs.aws.amazon.com/lambda/latest/dg/provisioned-concurrency.html
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import attrs

from lambdaform.model.driver import Aws, AwsError, Desired, Found, Record, is_missing
from lambdaform.model.marks import QUOTAS, Range, Replaces
from lambdaform.model.output import Attribute, Input, output
from lambdaform.model.problem import LambdaformError
from lambdaform.model.resource import Resource, Scope


@attrs.frozen(kw_only=True, eq=False, repr=False, slots=False)
class ProvisionedConcurrency(Resource):
    """Keeps environments of an alias or version initialised; `concurrency=Provisioned(...)` of a function makes one."""

    kind: ClassVar[str] = "lambda.provisioned_concurrency"
    title: ClassVar[str] = "provisioned concurrency"
    reference: ClassVar[str] = "function_name"
    replacement: ClassVar[str] = "delete first"

    function: Annotated[Input[str] | Resource, Replaces("it belongs to one alias or version")]
    """The function, or its name."""
    qualifier: Annotated[Input[str], Replaces("it belongs to one alias or version")]
    """Name of an alias, or number of a version; `$LATEST` cannot have any."""
    executions: Annotated[Input[int], Range(1, 1_000_000, "executions", source=QUOTAS)]
    """How many environments."""

    function_name = output(str, "The function's name.")

    def expand(self, scope: Scope) -> None:
        """The function's name, where it is given as a resource."""
        if isinstance(self.function, Resource):
            scope.settle("function", Attribute(scope.current(self.function), "function_name"))


class ProvisionedConcurrencyDriver:
    """Asks for environments and waits until they are ready."""

    # PutProvisionedConcurrencyConfig replaces whatever is there.
    exists = ()

    def create(self, aws: Aws, desired: Desired) -> Mapping[str, Any]:
        """PutProvisionedConcurrencyConfig, then wait until all environments are initialised."""
        function, qualifier = desired.props["function"], desired.props["qualifier"]
        aws.call(
            "lambda",
            "PutProvisionedConcurrencyConfig",
            FunctionName=function,
            Qualifier=qualifier,
            ProvisionedConcurrentExecutions=desired.props["executions"],
        )

        def look() -> bool | None:
            answer = aws.call("lambda", "GetProvisionedConcurrencyConfig", FunctionName=function, Qualifier=qualifier)
            if answer["Status"] == "FAILED":
                raise LambdaformError(
                    f"AWS could not provide {desired.props['executions']} environments of {function}:{qualifier}: "
                    f"{answer.get('StatusReason') or 'no reason given'}",
                    hint="look at the function's log for its initialisation, then deploy again",
                )
            return True if answer["Status"] == "READY" else None

        aws.wait_for(f"the provisioned concurrency of {function}:{qualifier} to be ready", look, seconds=900)
        return {"function_name": function}

    def update(self, aws: Aws, desired: Desired, record: Record, changed: frozenset[str]) -> Mapping[str, Any]:
        """PutProvisionedConcurrencyConfig again."""
        return self.create(aws, desired)

    def find(self, aws: Aws, desired: Desired) -> Found | None:
        """What is provisioned there, which Put overwrites."""
        return Found({"function_name": desired.props["function"]}, None) if _exists(aws, desired.props) else None

    def read(self, aws: Aws, record: Record) -> Mapping[str, Any] | None:
        """Its outputs while it exists."""
        return record.outputs if _exists(aws, record.props) else None

    def delete(self, aws: Aws, record: Record) -> None:
        """DeleteProvisionedConcurrencyConfig."""
        try:
            aws.call(
                "lambda",
                "DeleteProvisionedConcurrencyConfig",
                FunctionName=record.props["function"],
                Qualifier=record.props["qualifier"],
            )
        except AwsError as error:
            if not is_missing(error):
                raise


def _exists(aws: Aws, props: Mapping[str, Any]) -> bool:
    try:
        aws.call(
            "lambda",
            "GetProvisionedConcurrencyConfig",
            FunctionName=props["function"],
            Qualifier=props["qualifier"],
        )
    except AwsError as error:
        if is_missing(error):
            return False
        raise
    return True


DRIVER = ProvisionedConcurrencyDriver()
