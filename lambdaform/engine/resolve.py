"""From references to values: what the graph wrote as one-key mappings, looked up in records, states and AWS."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, cast

import attrs

from lambdaform.model.driver import Aws, AwsError, is_missing
from lambdaform.model.graph import REFERENCES
from lambdaform.model.problem import LambdaformError

Json = Any


@attrs.frozen
class Unknown:
    """A value that only the deploy will tell, and whose output it is."""

    of: str

    def __str__(self) -> str:
        return f"(known after deploy: {self.of})"


Outputs = Callable[[str], Mapping[str, Json] | None]
"""An address to its outputs; None when they are not known yet."""


class Resolver:
    """Resolves encoded props. `aws` is None while planning, when secrets and identities stay unknown."""

    def __init__(
        self,
        outputs: Outputs,
        *,
        stacks: Callable[[str], Mapping[str, Mapping[str, Json]] | None],
        existing: Callable[[str, str], Mapping[str, str]],
        pseudo: Mapping[str, str],
        aws: Aws | None = None,
    ) -> None:
        self._outputs = outputs
        self._stacks = stacks
        self._existing = existing
        self._pseudo = pseudo
        self._aws = aws
        self.secrets: set[str] = set()
        """Every secret value that was looked up, so that it can be blacked out of messages."""

    def resolve(self, value: Json, *, reveal: bool) -> Json:
        """A value without references; secrets stay references unless `reveal`. Unknown parts are `Unknown`."""
        if isinstance(value, dict):
            mapping = cast(dict[str, Json], value)
            if len(mapping) == 1:
                key, content = next(iter(mapping.items()))
                if key in REFERENCES:
                    return self._reference(key, content, reveal)
            return {key: self.resolve(each, reveal=reveal) for key, each in mapping.items()}
        if isinstance(value, list):
            return [self.resolve(each, reveal=reveal) for each in cast(list[Json], value)]
        return value

    def _reference(self, key: str, content: Json, reveal: bool) -> Json:
        match key:
            case "@ref":
                address, output = content
                outputs = self._outputs(address)
                if outputs is None or output not in outputs:
                    return Unknown(f"{output} of {address}")
                return outputs[output]
            case "@existing":
                kind, arn, output = content
                known = self.resolve(arn, reveal=reveal)
                return known if isinstance(known, Unknown) else self._of_arn(kind, known, output)
            case "@stack":
                return self._other_stack(*content)
            case "@text":
                template, parts = content
                known = [self.resolve(part, reveal=reveal) for part in parts]
                unknown = next((part for part in known if isinstance(part, Unknown)), None)
                if unknown is not None:
                    return unknown
                if any(isinstance(part, dict) for part in known):
                    return {key: [template, known]}  # a secret inside a text stays a reference as a whole
                return template.format(*known)
            case "@pseudo":
                return self._pseudo.get(content, Unknown(f"the {content}"))
            case "@secret":
                return self._secret(*content) if reveal else {key: content}
            case _:
                return self._parameter(content) if reveal else {key: content}

    def _of_arn(self, kind: str, arn: str, output: str) -> Json:
        outputs = self._existing(kind, arn)
        if output not in outputs:
            raise LambdaformError(
                f"the {output} of an existing {kind} ({arn}) cannot be read from its ARN",
                hint="give the value itself instead",
            )
        return outputs[output]

    def _other_stack(self, stack: str, address: str, output: str) -> Json:
        outputs = self._stacks(stack)
        if outputs is None or address not in outputs or output not in outputs[address]:
            return Unknown(f"{output} of {address} in {stack}")
        return outputs[address][output]

    def _secret(self, name: str, member: str | None) -> str:
        assert self._aws is not None
        try:
            value = self._aws.call("secretsmanager", "GetSecretValue", SecretId=name)["SecretString"]
        except AwsError as error:
            raise _lookup_failed("secret", name, error) from None
        except KeyError:
            raise LambdaformError(f"the secret {name!r} is binary, which a variable cannot hold") from None
        self.secrets.add(value)
        if member is None:
            return value
        try:
            found = str(json.loads(value)[member])
        except (ValueError, KeyError, TypeError):
            raise LambdaformError(
                f"the secret {name!r} has no member {member!r}", hint="it must be a JSON object with that key"
            ) from None
        self.secrets.add(found)
        return found

    def _parameter(self, path: str) -> str:
        assert self._aws is not None
        try:
            value = self._aws.call("ssm", "GetParameter", Name=path, WithDecryption=True)["Parameter"]["Value"]
        except AwsError as error:
            raise _lookup_failed("parameter", path, error) from None
        self.secrets.add(value)
        return value

    def blacked_out(self, message: str) -> str:
        """A message without any secret that was looked up."""
        for secret in sorted(self.secrets, key=len, reverse=True):
            if secret:
                message = message.replace(secret, "(secret)")
        return message


def _lookup_failed(what: str, name: str, error: AwsError) -> LambdaformError:
    if is_missing(error) or error.code.startswith("ParameterNotFound"):
        return LambdaformError(
            f"there is no {what} called {name!r} in this account and region",
            hint="create it first, or correct the name",
        )
    return LambdaformError(f"the {what} {name!r} cannot be read: {error.code}: {error.message}")


def unknowns_in(value: Json) -> bool:
    """Whether something in a resolved value is not known yet."""
    if isinstance(value, Unknown):
        return True
    if isinstance(value, dict):
        return any(unknowns_in(each) for each in cast(dict[str, Json], value).values())
    if isinstance(value, list):
        return any(unknowns_in(each) for each in cast(list[Json], value))
    return False
