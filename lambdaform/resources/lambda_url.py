"""Function URLs: an HTTPS address for one function or alias.

https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunctionUrlConfig.html
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar

import attrs

from lambdaform.model.driver import Aws, AwsError, Desired, Found, Record, is_missing
from lambdaform.model.marks import Length, OneOf, Range, Replaces
from lambdaform.model.output import Input, output
from lambdaform.model.resource import Resource
from lambdaform.model.units import items, seconds
from lambdaform.model.value import Value
from lambdaform.resources.lambda_target import addressed

URLS = "https://docs.aws.amazon.com/lambda/latest/dg/urls-configuration.html"
CORS = "https://docs.aws.amazon.com/lambda/latest/api/API_Cors.html"


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Cors(Value):
    """Which web pages may call the function; it replaces CORS headers that the function itself sets."""

    allow_origins: Annotated[tuple[Input[str], ...], Length(0, 100, "origins", CORS)] = attrs.field(
        default=(), converter=items
    )
    """Origins that may call, such as `https://shop.example`; `*` is everybody."""
    allow_methods: Annotated[tuple[Input[str], ...], Length(0, 6, "methods", CORS)] = attrs.field(
        default=(), converter=items
    )
    """Methods they may use, of at most 6 characters; `*` is all of them."""
    allow_headers: Annotated[tuple[Input[str], ...], Length(0, 100, "headers", CORS)] = attrs.field(
        default=(), converter=items
    )
    """Request headers they may send."""
    expose_headers: Annotated[tuple[Input[str], ...], Length(0, 100, "headers", CORS)] = attrs.field(
        default=(), converter=items
    )
    """Response headers they may read."""
    allow_credentials: Input[bool] = False
    """Whether cookies are sent along."""
    max_age: Annotated[Input[int], Range(0, 86_400, "s", source=CORS)] = attrs.field(default=0, converter=seconds)
    """How long a browser may remember these answers."""


@attrs.frozen(kw_only=True, eq=False, repr=False, slots=False)
class FunctionUrl(Resource):
    """An HTTPS address of a function's own; given to a function as `function_url=`.

    With `auth="NONE"` everybody may call it, and the function gets the two public permissions that this takes.
    """

    kind: ClassVar[str] = "lambda.url"
    title: ClassVar[str] = "function URL"
    reference: ClassVar[str] = "url"
    replacement: ClassVar[str] = "delete first"

    function: Annotated[Input[str] | Resource | None, Replaces("a URL belongs to one function or alias for life")] = (
        None
    )
    """ARN of the function or alias; settled by the function that it is given to."""
    auth: Annotated[Input[str], OneOf(("NONE", "AWS_IAM"), URLS)] = "AWS_IAM"
    """`AWS_IAM` answers signed requests of who has the right; `NONE` answers everybody."""
    cors: Cors | None = None
    """Which web pages may call it."""
    stream: Input[bool] = False
    """Whether the response is sent while it is still being made (`RESPONSE_STREAM`)."""

    url = output(str, "The address, with a slash at its end.")
    arn = output(str, "The ARN of the function or alias it belongs to.")


class FunctionUrlDriver:
    """Makes and changes function URLs."""

    exists = ("ResourceConflictException",)

    def _settings(self, desired: Desired, names: Iterable[str]) -> dict[str, Any]:
        request: dict[str, Any] = {}
        for name in names:
            if name == "auth":
                request["AuthType"] = desired.get("auth", "AWS_IAM")
            elif name == "stream":
                request["InvokeMode"] = "RESPONSE_STREAM" if desired.get("stream") else "BUFFERED"
            elif name == "cors":
                request["Cors"] = _cors(desired.get("cors") or {})
        return request

    def create(self, aws: Aws, desired: Desired) -> Mapping[str, Any]:
        """CreateFunctionUrlConfig."""
        answer = aws.call(
            "lambda",
            "CreateFunctionUrlConfig",
            **addressed(desired.props["function"]),
            **self._settings(desired, {"auth", *desired.props}),
        )
        return _outputs(answer)

    def update(self, aws: Aws, desired: Desired, record: Record, changed: frozenset[str]) -> Mapping[str, Any]:
        """UpdateFunctionUrlConfig for what changed."""
        answer = aws.call(
            "lambda",
            "UpdateFunctionUrlConfig",
            **addressed(desired.props["function"]),
            **self._settings(desired, changed),
        )
        return _outputs(answer)

    def find(self, aws: Aws, desired: Desired) -> Found | None:
        """The URL of the same function or alias."""
        answer = _get(aws, desired.props["function"])
        return None if answer is None else Found(_outputs(answer), None)

    def read(self, aws: Aws, record: Record) -> Mapping[str, Any] | None:
        """Its outputs while it exists."""
        answer = _get(aws, record.props["function"])
        return None if answer is None else _outputs(answer)

    def delete(self, aws: Aws, record: Record) -> None:
        """DeleteFunctionUrlConfig."""
        try:
            aws.call("lambda", "DeleteFunctionUrlConfig", **addressed(record.props["function"]))
        except AwsError as error:
            if not is_missing(error):
                raise


def _cors(value: Mapping[str, Any]) -> dict[str, Any]:
    members = {
        "allow_origins": "AllowOrigins",
        "allow_methods": "AllowMethods",
        "allow_headers": "AllowHeaders",
        "expose_headers": "ExposeHeaders",
        "allow_credentials": "AllowCredentials",
        "max_age": "MaxAge",
    }
    return {member: value[prop] for prop, member in members.items() if value.get(prop)}


def _get(aws: Aws, function: str) -> Mapping[str, Any] | None:
    try:
        return aws.call("lambda", "GetFunctionUrlConfig", **addressed(function))
    except AwsError as error:
        if is_missing(error):
            return None
        raise


def _outputs(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"url": answer["FunctionUrl"], "arn": answer["FunctionArn"]}


DRIVER = FunctionUrlDriver()
