"""Secrets and parameters kept in AWS: referred to by name, never stored by lambdaform."""

from __future__ import annotations

import attrs

from lambdaform.model.output import ACCOUNT_ID, PARTITION, REGION, Output, text
from lambdaform.model.resource import Grant
from lambdaform.model.source import Source, caller
from lambdaform.model.value import Value


@attrs.frozen(eq=False, repr=False)
class Secret(Value, Output[str]):
    """A secret in AWS Secrets Manager.

    As a value (`environment={"KEY": Secret("shop/key")}`) it is looked up when it is deployed; state, plan and logs
    hold only its name. With `read()` in `uses`, the function looks it up itself: the better way for what rotates.
    """

    name: str
    """What it is called there."""
    key: str | None = None
    """A member of a secret that is a JSON object."""
    where: Source = attrs.field(init=False, factory=caller, eq=False, repr=False)

    def read(self) -> Grant:
        """Permission to read it; in `uses`, the variable holds its name."""
        # AWS adds six characters of its own to the name in a secret's ARN.
        arn = text("arn:{}:secretsmanager:{}:{}:secret:{}-??????", PARTITION, REGION, ACCOUNT_ID, self.name)
        return Grant(("secretsmanager:GetSecretValue",), (arn,), value=self.name, verb="read secret")


@attrs.frozen(eq=False, repr=False)
class Parameter(Value, Output[str]):
    """A parameter in AWS Systems Manager Parameter Store; looked up when it is deployed, never stored."""

    path: str
    """What it is called there, such as `/shop/colour`."""
    where: Source = attrs.field(init=False, factory=caller, eq=False, repr=False)

    def read(self) -> Grant:
        """Permission to read it; in `uses`, the variable holds its path."""
        path = self.path if self.path.startswith("/") else "/" + self.path
        arn = text("arn:{}:ssm:{}:{}:parameter{}", PARTITION, REGION, ACCOUNT_ID, path)
        return Grant(("ssm:GetParameter",), (arn,), value=self.path, verb="read parameter")
