"""`diagram` as users run it."""

import subprocess
import sys
from pathlib import Path

import pytest

APP = """
from lambdaform import Function, PythonCode, Queue, Stack

class Shop(Stack):
    inbox = Queue(visibility_timeout="1 min")
    worker = Function("worker.handler", PythonCode("src"), triggers=[inbox.messages()])

if __name__ == "__main__":
    Shop.main()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


def run(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [sys.executable, "app.py", "diagram", *arguments],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder)},
        capture_output=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def test_a_picture_is_written_under_the_stacks_name(folder: Path) -> None:
    result = run(folder)

    assert result.returncode == 0, result.stderr
    assert b"worker" in (folder / "shop.svg").read_bytes()
    assert b"shop.svg" in result.stderr
    assert result.stdout == b""


@pytest.mark.parametrize(
    ("file", "begins"), [("a.png", b"\x89PNG"), ("a.dot", b"digraph"), ("a.mmd", b"flowchart"), ("a.svg", b"<?xml")]
)
def test_the_files_ending_tells_the_format(folder: Path, file: str, begins: bytes) -> None:
    assert run(folder, "-o", file).returncode == 0

    assert (folder / file).read_bytes().startswith(begins)


def test_a_dash_means_stdout(folder: Path) -> None:
    result = run(folder, "-o", "-", "--format", "mermaid", "--detail")

    assert result.stdout.startswith(b"flowchart LR")
    assert b"hidden for 1 min" in result.stdout
    assert result.stderr == b""


def test_an_ending_that_tells_nothing_is_wrong_usage(folder: Path) -> None:
    result = run(folder, "-o", "picture.txt")

    assert result.returncode == 64
    assert b"--format" in result.stderr
