"""Execution environment.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
"""

from __future__ import annotations

from typing import Any

from tests.conformance.facts import fact
from tests.local.conftest import Maker, payload

LIFECYCLE = "https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html"


@fact("reuse", "globals live on in a warm environment", source=LIFECYCLE)
def test_a_warm_environment_keeps_its_globals(awslambda: Any, function: Maker) -> None:
    name = function("count = 0\ndef handler(event, context):\n    global count\n    count += 1\n    return count\n")

    answers = [payload(awslambda.invoke(FunctionName=name)) for _ in range(3)]

    assert answers == [1, 2, 3]
