"""`lambdaform init` as users run it: what it writes works at once."""

import subprocess
import sys
from pathlib import Path

import pytest

from lambdaform.render.project import project_files

FILES = [
    ".gitignore",
    "README.md",
    "pyproject.toml",
    "src/api.py",
    "src/worker.py",
    "stacks/app.py",
    "tests/test_app.py",
]


def run(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "AWS_REGION": "eu-central-1"},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def lambdaform(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return run(folder, "-c", "from lambdaform.cli.program import main; main()", *arguments)


def written(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_new_project_is_valid_can_be_planned_and_passes_its_tests(tmp_path: Path) -> None:
    made = lambdaform(tmp_path, "init", "my shop")

    folder = tmp_path / "my shop"
    assert made.returncode == 0, made.stderr
    assert written(folder) == FILES
    assert made.stdout.splitlines() == [f"my shop/{path}" for path in FILES]
    assert "cd 'my shop'" in made.stderr
    assert "class MyShop(Stack)" in (folder / "stacks/app.py").read_text()
    for arguments in (["stacks/app.py", "validate"], ["stacks/app.py", "plan"], ["-m", "pytest", "-q"]):
        result = run(folder, *arguments)
        assert result.returncode == 0, result.stdout + result.stderr
        assert "warning" not in result.stderr


def test_files_that_are_there_are_named_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")

    result = lambdaform(tmp_path, "init", "--name", "shop")

    assert result.returncode == 1
    assert "README.md" in result.stderr
    assert written(tmp_path) == ["README.md"]
    assert (tmp_path / "README.md").read_text() == "mine"


@pytest.mark.parametrize("name", ["1st", "-x", "a/b", "größe", ""])
def test_what_cannot_be_a_name_is_refused(tmp_path: Path, name: str) -> None:
    result = lambdaform(tmp_path, "init", f"--name={name}")

    assert result.returncode == 1
    assert "name" in result.stderr
    assert written(tmp_path) == []


@pytest.mark.parametrize(("name", "cls"), [("queue", "QueueApp"), ("none", "NoneApp"), ("web-shop_2", "WebShop2")])
def test_the_class_takes_no_name_that_means_something_else(name: str, cls: str) -> None:
    assert f"class {cls}(Stack):" in project_files(name, "0")["stacks/app.py"]


def test_the_program_tells_its_version_and_commands(tmp_path: Path) -> None:
    assert lambdaform(tmp_path, "--version").stdout.startswith("lambdaform ")
    assert "init" in lambdaform(tmp_path, "-h").stdout
    assert lambdaform(tmp_path, "deploy").returncode == 64
