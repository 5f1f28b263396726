"""A step of the trace on one line: how it ended, in words."""

from typing import Any

import pytest

from lambdaform.render.traces import step_text


def step(**details: Any) -> str:
    return step_text(
        {
            "number": 3,
            "causes": [],
            "what": "invocation",
            "subject": "arn:aws:lambda:us-east-1:123456789012:function:worker",
            "at": 0.0,
            "details": details,
        }
    )


@pytest.mark.parametrize(
    ("details", "says"),
    [
        ({"error": None}, "ok"),
        ({"error": "ValueError"}, "failed: ValueError"),
        ({"error": None, "failed": "2 of 10"}, "2 of 10 failed"),
    ],
)
def test_an_invocation_says_how_it_ended(details: dict[str, Any], says: str) -> None:
    assert step(**details).endswith(f"worker  {says}")
