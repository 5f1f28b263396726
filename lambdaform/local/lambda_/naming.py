"""Function names and ARNs in every spelling AWS takes. Pure functions."""

from __future__ import annotations

import re

import attrs

from lambdaform.local.ports import AwsFault

LATEST = "$LATEST"

_SPELLING = re.compile(
    r"(?P<arn>arn:(aws[a-zA-Z-]*)?:lambda:)?((?P<region>(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d):)?"
    r"((?P<account>\d{12}):)?(function:)?(?P<name>[a-zA-Z0-9-_.]+)"
    r"(:(?P<qualifier>\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9-_]+))?"
)


@attrs.frozen
class Reference:
    """A function as a request names it."""

    account: str
    region: str
    name: str
    qualifier: str | None = None

    @property
    def arn(self) -> str:
        """The ARN, qualified when the request was."""
        arn = function_arn(self.account, self.region, self.name)
        return f"{arn}:{self.qualifier}" if self.qualifier else arn


def function_arn(account: str, region: str, name: str) -> str:
    """The unqualified ARN of a function."""
    return f"arn:aws:lambda:{region}:{account}:function:{name}"


def layer_arn(account: str, region: str, name: str) -> str:
    """The ARN of a layer, without a version."""
    return f"arn:aws:lambda:{region}:{account}:layer:{name}"


def refer(text: str, qualifier: str | None, *, account: str, region: str) -> Reference:
    """Read a FunctionName parameter, with the Qualifier parameter beside it.

    Raises `AwsFault` for another Region's or account's function, and where the two qualifiers differ.
    """
    match = _SPELLING.fullmatch(text)
    if match is None:
        raise AwsFault("InvalidParameterValueException", f"The function name {text} is invalid.")
    derived = match["qualifier"]
    if derived and qualifier and derived != qualifier:
        raise AwsFault(
            "InvalidParameterValueException",
            "The derived qualifier from the function name does not match the specified qualifier.",
        )
    if match["region"] and match["region"] != region:
        text = f"Functions from '{match['region']}' are not reachable in this region ('{region}')"
        raise AwsFault("ResourceNotFoundException", text, status=404)
    if match["account"] and match["account"] != account:
        raise AwsFault("AccessDeniedException", None, status=403, type=None)
    return Reference(account, region, match["name"], qualifier or derived)


def is_version(qualifier: str) -> bool:
    """Whether a qualifier is a published version's number."""
    return qualifier.isascii() and qualifier.isdigit()
