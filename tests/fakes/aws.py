# botocore comes without types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""AWS for tests of drivers: remembers every call, checks it against AWS's own models, answers what the test says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeVar

import attrs

from lambdaform.model.driver import AwsError
from lambdaform.model.problem import LambdaformError

T = TypeVar("T")
Answer = Mapping[str, Any] | AwsError | Callable[[Mapping[str, Any]], Mapping[str, Any]]


@lru_cache(maxsize=32)
def _model(service: str) -> Any:
    import botocore.session

    return botocore.session.Session().get_service_model(service)


def refusals(service: str, operation: str, params: Mapping[str, Any]) -> str:
    """What AWS's model of a call says against these parameters; empty when it takes them."""
    from botocore.validate import ParamValidator

    shape = _model(service).operation_model(operation).input_shape
    if shape is None:
        return "" if not params else f"{operation} takes no parameters"
    return str(ParamValidator().validate(dict(params), shape).generate_report())


@attrs.frozen
class MadeCall:
    """One call a driver made."""

    service: str
    operation: str
    params: Mapping[str, Any]


@attrs.define
class FakeAws:
    """`model.driver.Aws` without AWS.

    `answers` maps `service:Operation` to an answer, to a fault to raise, to a function of the parameters, or to a list
    of these, which are used up one by one and whose last one stays. A call without an answer gets an empty one.
    """

    answers: dict[str, Answer | list[Answer]] = attrs.field(factory=dict[str, "Answer | list[Answer]"])
    calls: list[MadeCall] = attrs.field(factory=list[MadeCall])
    account: str = "123456789012"
    region: str = "eu-central-1"
    partition: str = "aws"
    endpoint: str | None = None

    def call(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        """The answer the test gave for this call."""
        wrong = refusals(service, operation, params)
        assert not wrong, f"{service}:{operation} would be refused: {wrong}"
        self.calls.append(MadeCall(service, operation, params))
        answer = self.answers.get(f"{service}:{operation}", {})
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if isinstance(answer, AwsError):
            raise answer
        return dict(answer if isinstance(answer, Mapping) else answer(params))

    def wait_for(self, what: str, look: Callable[[], T | None], *, seconds: float = 300) -> T:
        """Looks a hundred times at once."""
        for _ in range(100):
            found = look()
            if found is not None:
                return found
        raise LambdaformError(f"waited for {what}, and it did not happen")

    def made(self) -> list[str]:
        """The calls by name, in order."""
        return [f"{call.service}:{call.operation}" for call in self.calls]

    def params_of(self, name: str) -> Mapping[str, Any]:
        """What the last call of this name was given."""
        return next(call.params for call in reversed(self.calls) if f"{call.service}:{call.operation}" == name)


def fault(name: str, code: str, message: str = "", status: int = 400) -> AwsError:
    """A refusal of `service:Operation`."""
    service, _, operation = name.partition(":")
    return AwsError(service, operation, code, message, status)
