"""Calls that AWS refuses for a while, waiting, and what is said when there is nothing to call with."""

from collections.abc import Callable
from typing import Any

import attrs
import pytest
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

from lambdaform.aws.endpoint import is_loopback
from lambdaform.aws.session import AwsSession, connect
from lambdaform.model.driver import AwsError
from lambdaform.model.problem import LambdaformError


@attrs.define
class CountedPauses:
    """Time that passes only by pausing."""

    passed: float = 0
    pauses: list[float] = attrs.field(factory=list[float])

    def now(self) -> float:
        return self.passed

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.passed += seconds


class Boto:
    """A boto3 session whose every call goes to one function."""

    def __init__(self, answer: Callable[[], dict[str, Any]]) -> None:
        self._answer = answer

    def client(self, service: str, **options: Any) -> "Boto":
        return self

    def get_partition_for_region(self, region: str) -> str:
        return "aws"

    def __getattr__(self, operation: str) -> Callable[..., dict[str, Any]]:
        def call(**params: Any) -> dict[str, Any]:
            return self._answer()

        return call


def refusal(code: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "Operation")


def session(*answers: dict[str, Any] | Exception) -> tuple[AwsSession, CountedPauses]:
    left = list(answers)

    def answer() -> dict[str, Any]:
        found = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(found, Exception):
            raise found
        return dict(found)

    pauses = CountedPauses()
    return AwsSession(Boto(answer), "eu-central-1", None, pauses), pauses


NOT_ASSUMABLE = refusal(
    "InvalidParameterValueException", "The role defined for the function cannot be assumed by Lambda."
)


def test_a_role_that_is_not_assumable_yet_is_asked_for_again() -> None:
    aws, pauses = session(NOT_ASSUMABLE, NOT_ASSUMABLE, {"FunctionArn": "arn"})

    assert aws.call("lambda", "CreateFunction") == {"FunctionArn": "arn"}
    assert len(pauses.pauses) == 2
    assert pauses.pauses[0] < pauses.pauses[1]


def test_what_never_becomes_visible_is_raised_after_its_time() -> None:
    aws, pauses = session(NOT_ASSUMABLE)

    with pytest.raises(AwsError, match="cannot be assumed"):
        aws.call("lambda", "CreateFunction")
    assert 50 < pauses.passed <= 60


@pytest.mark.parametrize(
    ("service", "code", "message"),
    [
        ("lambda", "InvalidParameterValueException", "Handler is wrong"),
        ("sqs", "InvalidParameterValueException", "cannot be assumed by Lambda"),
        ("lambda", "AccessDeniedException", "cannot be assumed by Lambda"),
    ],
)
def test_any_other_refusal_is_raised_at_once(service: str, code: str, message: str) -> None:
    aws, pauses = session(refusal(code, message))

    with pytest.raises(AwsError):
        aws.call(service, "CreateFunction")
    assert pauses.pauses == []


def test_waiting_looks_with_growing_pauses_until_there_is_something() -> None:
    aws, pauses = session({})
    looks = iter([None, None, None, "ready"])

    assert aws.wait_for("it", lambda: next(looks)) == "ready"
    assert pauses.pauses == sorted(pauses.pauses)
    assert len(pauses.pauses) == 3


def test_waiting_gives_up_and_names_what_it_waited_for() -> None:
    aws, _ = session({})

    with pytest.raises(LambdaformError, match="the table to be ready"):
        aws.wait_for("the table to be ready", lambda: None, seconds=5)


def test_an_answer_that_is_none_of_aws_s_is_said() -> None:
    aws, _ = session(ResponseParserError("Unable to parse response (not well-formed): <!doctype html>"))

    with pytest.raises(LambdaformError, match="does not speak as AWS does"):
        aws.call("sqs", "CreateQueue", QueueName="q")


def test_refused_credentials_are_said_with_what_to_do() -> None:
    aws, _ = session(refusal("ExpiredToken", "The security token included in the request is expired"))

    with pytest.raises(LambdaformError, match="expired") as caught:
        _ = aws.account
    assert "aws sso login" in (caught.value.hint or "")


def test_the_local_aws_gets_made_up_credentials_and_no_real_ones() -> None:
    aws = connect(region="us-east-1", endpoint="http://127.0.0.1:1", local=True)

    assert aws.endpoint == "http://127.0.0.1:1"
    assert aws.region == "us-east-1"


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("http://127.0.0.1:4566", True),
        ("http://localhost:1", True),
        ("http://[::1]:1", True),
        ("http://aws.localhost:1", True),
        ("https://sqs.eu-central-1.amazonaws.com", False),
        (None, False),
    ],
)
def test_which_endpoints_are_on_this_machine(endpoint: str | None, expected: bool) -> None:
    assert is_loopback(endpoint) is expected
