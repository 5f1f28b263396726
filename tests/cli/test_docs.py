"""`docs` as users run it."""

import subprocess
import sys
from pathlib import Path

import pytest

APP = '''
from lambdaform import Function, PythonCode, Queue, Stack

class Shop(Stack):
    """A small shop.

    With a second paragraph.
    """
    inbox = Queue(visibility_timeout="1 min")
    worker = Function("worker.handler", PythonCode("src"), triggers=[inbox.messages()])

if __name__ == "__main__":
    Shop.main()
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "stacks").mkdir()
    (tmp_path / "stacks" / "app.py").write_text(APP)
    return tmp_path


def run(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "stacks/app.py", "docs", *arguments],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def test_the_page_goes_to_stdout(folder: Path) -> None:
    result = run(folder)

    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("# shop\n\nA small shop.\n\nWith a second paragraph.\n")
    assert "`stacks/app.py:9`" in result.stdout
    assert result.stderr == ""


def test_the_page_is_written_to_a_file(folder: Path) -> None:
    result = run(folder, "-o", "docs/shop.md", "--stage", "prod")

    assert result.returncode == 0, result.stderr
    assert "Stage `prod`" in (folder / "docs" / "shop.md").read_text()
    assert result.stdout == ""


def test_a_place_that_cannot_be_written_to_is_named(folder: Path) -> None:
    result = run(folder, "-o", "stacks/app.py/page.md")

    assert result.returncode == 1
    assert "stacks/app.py/page.md" in result.stderr
