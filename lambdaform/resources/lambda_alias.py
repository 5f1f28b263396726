"""Aliases: a name that points at a version and can be moved.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-aliases.html
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

import attrs

from lambdaform.model.driver import Aws, AwsError, Desired, Found, Record, is_missing
from lambdaform.model.marks import Length, Pattern, Replaces
from lambdaform.model.output import Attribute, Input, output
from lambdaform.model.resource import Grant, Resource, Scope
from lambdaform.resources.lambda_version import Version

ALIASES = "https://docs.aws.amazon.com/lambda/latest/dg/configuration-aliases.html"


@attrs.frozen(kw_only=True, eq=False, repr=False, slots=False)
class Alias(Resource):
    """A fixed name for a version that moves with every publish: `Alias(function=api, version=v, name="live")`."""

    kind: ClassVar[str] = "lambda.alias"
    title: ClassVar[str] = "alias"

    function: Annotated[Input[str] | Resource, Replaces("an alias belongs to one function")]
    """The function, or its name."""
    version: Input[str] | Resource
    """The version it points at, or its number."""
    name: Annotated[
        Input[str],
        Pattern(r"(?!^[0-9]+$)[a-zA-Z0-9-_]{1,128}", "1 to 128 letters, digits, - or _, not a number", ALIASES),
        Replaces("an alias cannot be renamed"),
    ]
    """What it is called."""
    weights: Annotated[Mapping[str, Input[float]], Length(0, 1, "versions", ALIASES)] = attrs.field(
        factory=dict[str, Input[float]]
    )
    """A second version's number and its share of the invocations, 0.0 to 1.0."""
    description: Annotated[Input[str], Length(0, 256)] = ""
    """For people."""

    arn = output(str, "The alias's ARN.")
    alias_name = output(str, "The alias's name.")

    @classmethod
    def existing(cls, arn: Input[str]) -> Self:
        """An alias that lambdaform does not manage."""
        return cls.refer(arn, function="-", version="-", name="-")

    @classmethod
    def outputs_of_arn(cls, arn: str) -> Mapping[str, str]:
        """ARN and name."""
        return {"arn": arn, "alias_name": arn.rsplit(":", 1)[-1]}

    def invoke(self) -> Grant:
        """Permission to invoke the function by this alias; in `uses`, the variable holds the alias's ARN."""
        return Grant(("lambda:InvokeFunction",), (self.arn,), value=self.arn, target=self, verb="invoke")

    def expand(self, scope: Scope) -> None:
        """The function's name and the version's number, where they are given as resources."""
        if isinstance(self.function, Resource):
            scope.settle("function", Attribute(scope.current(self.function), "function_name"))
        if isinstance(self.version, Version):
            scope.settle("version", scope.current(self.version).version)


class AliasDriver:
    """Makes and moves aliases."""

    exists = ("ResourceConflictException",)

    def create(self, aws: Aws, desired: Desired) -> Mapping[str, Any]:
        """CreateAlias."""
        request: dict[str, Any] = {}
        if desired.get("weights"):
            request["RoutingConfig"] = {"AdditionalVersionWeights": desired.props["weights"]}
        if desired.get("description"):
            request["Description"] = desired.props["description"]
        answer = aws.call(
            "lambda",
            "CreateAlias",
            FunctionName=desired.props["function"],
            Name=desired.props["name"],
            FunctionVersion=desired.props["version"],
            **request,
        )
        return _outputs(answer)

    def update(self, aws: Aws, desired: Desired, record: Record, changed: frozenset[str]) -> Mapping[str, Any]:
        """UpdateAlias for what changed."""
        request: dict[str, Any] = {}
        if "version" in changed:
            request["FunctionVersion"] = desired.props["version"]
        if changed & {"version", "weights"}:
            # A weight left from before would be refused, or mean something else, beside the new version.
            request["RoutingConfig"] = {"AdditionalVersionWeights": desired.get("weights", {})}
        if "description" in changed:
            request["Description"] = desired.get("description", "")
        answer = aws.call(
            "lambda",
            "UpdateAlias",
            FunctionName=desired.props["function"],
            Name=desired.props["name"],
            **request,
        )
        return _outputs(answer)

    def find(self, aws: Aws, desired: Desired) -> Found | None:
        """The function's alias of that name."""
        answer = _get(aws, desired.props)
        return None if answer is None else Found(_outputs(answer), None)

    def read(self, aws: Aws, record: Record) -> Mapping[str, Any] | None:
        """Its outputs while it exists."""
        answer = _get(aws, record.props)
        return None if answer is None else _outputs(answer)

    def delete(self, aws: Aws, record: Record) -> None:
        """DeleteAlias."""
        try:
            aws.call("lambda", "DeleteAlias", FunctionName=record.props["function"], Name=record.props["name"])
        except AwsError as error:
            if not is_missing(error):
                raise


def _get(aws: Aws, props: Mapping[str, Any]) -> Mapping[str, Any] | None:
    try:
        return aws.call("lambda", "GetAlias", FunctionName=props["function"], Name=props["name"])
    except AwsError as error:
        if is_missing(error):
            return None
        raise


def _outputs(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"arn": answer["AliasArn"], "alias_name": answer["Name"]}


DRIVER = AliasDriver()
