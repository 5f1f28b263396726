"""`event` and `trace` on a running local AWS, as their users run them."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.patience import PATIENCE

APP = """
from lambdaform import Function, PythonCode, Queue, Stack

class Shop(Stack):
    inbox = Queue()
    worker = Function("worker.handler", PythonCode("src"), runtime="python3.12", triggers=[inbox.messages()])
    other = Function("worker.handler", PythonCode("src"), runtime="python3.12")

if __name__ == "__main__":
    Shop.main()
"""


def run(folder: Path, *arguments: str, given: str | None = None) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "app.py", *arguments],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        input=given if given is not None else "",
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("shop")
    (made / "pyproject.toml").write_text("")
    (made / "app.py").write_text(APP)
    (made / "src").mkdir()
    (made / "src" / "worker.py").write_text(
        "def handler(event, context):\n    return event['Records'][0]['body'] if 'Records' in event else None\n"
    )
    return made


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[Path]:
    """The project with a local AWS running for it."""
    local = subprocess.Popen(
        [sys.executable, "app.py", "local", "--port", "0"],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "TMPDIR": str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while run(folder, "invoke", "other", "--local").returncode != 0:
        assert time.monotonic() < deadline, "the local AWS was not ready in time"
        assert local.poll() is None
    yield folder
    local.terminate()
    local.wait(PATIENCE)


def test_an_event_is_printed_as_the_queue_would_send_it(folder: Path) -> None:
    result = run(folder, "event", "inbox", "--set", 'body={"id": 7}')

    [record] = json.loads(result.stdout)["Records"]
    assert json.loads(record["body"]) == {"id": 7}
    assert record["eventSourceARN"].endswith(":shop-dev-inbox")


def test_a_function_without_a_source_has_no_event(folder: Path) -> None:
    result = run(folder, "event", "other")

    assert result.returncode == 1
    assert "other has no source of events" in result.stderr


def test_a_field_an_event_does_not_have_is_named_with_those_it_has(folder: Path) -> None:
    result = run(folder, "event", "inbox", "--set", "text=x")

    assert result.returncode == 1
    assert "an event of sqs has no text" in result.stderr
    assert "it takes body, attributes, group" in result.stderr


def test_what_happened_is_shown_and_replayed(running: Path) -> None:
    event = run(running, "event", "inbox", "--set", "body=hello").stdout
    invoked = run(running, "invoke", "worker", "--event", "-", "--local", given=event)
    shown = run(running, "trace", "worker")
    number = shown.stdout.split()[0].removeprefix("#")

    replayed = run(running, "trace", "--replay", number)
    steps = json.loads(run(running, "trace", "--json").stdout)["steps"]

    assert invoked.stdout == '"hello"\n'
    assert "invocation  shop-dev-worker  ok" in shown.stdout
    assert replayed.stdout == '"hello"\n'
    assert [step["what"] for step in steps if "worker" in step["subject"]] == ["invocation", "invocation"]


def test_a_step_that_is_no_invocation_is_not_replayed(running: Path) -> None:
    result = run(running, "trace", "--replay", "4000")

    assert result.returncode == 1
    assert "no invocation is recorded as step 4000" in result.stderr


def test_nothing_of_that_name_is_said(running: Path) -> None:
    result = run(running, "trace", "nobody")

    assert result.returncode == 0
    assert "nothing that happened is about nobody" in result.stderr
