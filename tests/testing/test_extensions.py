"""A declared extension, from a folder to a process beside its function."""

from collections.abc import Generator
from pathlib import Path

import pytest

from lambdaform.model.code import Code, PythonCode
from lambdaform.resources.lambda_function import Function
from lambdaform.resources.lambda_layer import Layer
from lambdaform.stack import Stack
from lambdaform.testing.session import LocalAws
from tests.local.programs import LISTEN, PRELUDE


@pytest.fixture
def app(tmp_path: Path) -> Function:
    """A function with an extension."""
    for name, text in (("src/app.py", "def handler(event, context):\n    return 1\n"), ("agent/ear", PRELUDE + LISTEN)):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    (tmp_path / "agent" / "ear").chmod(0o755)
    agent = Layer(Code(str(tmp_path / "agent")), into="extensions")
    return Function("app.handler", PythonCode(str(tmp_path / "src")), layers=[agent])


@pytest.fixture
def aws(app: Function) -> Generator[LocalAws]:
    class Heard(Stack):
        function = app
        agent = app.layers[0]

    with Heard.local(clock="virtual") as running:
        yield running


def test_a_declared_extension_hears_of_invocations(aws: LocalAws, app: Function) -> None:
    assert aws.invoke(app).json() == 1

    [invocation] = aws.invocations(app)
    assert '"eventType": "INVOKE"' in invocation.logs
    assert "REPORT RequestId" in invocation.logs


def test_under_the_virtual_clock_an_invocation_is_over_when_its_extensions_are(aws: LocalAws, app: Function) -> None:
    for _ in range(3):
        aws.invoke(app)

    assert [each.cold for each in aws.invocations(app)] == [True, False, False]
