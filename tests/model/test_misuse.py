"""Calls that name what there is not are told in lambdaform's words, and nobody else's calls are."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lambdaform import Function, PythonCode, Queue
from lambdaform.model.misuse import problem_of
from lambdaform.model.problem import Problem

CODE = PythonCode("src")


def mine(first: int) -> int:
    """A function of the user's."""
    return first


anything: Any = {"Function": Function, "Queue": Queue, "mine": mine, "len": len}


def misread(call: Callable[[], object]) -> Problem | None:
    """What is said of a call that Python refuses."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which one it is, is what is asked
        call()
    return problem_of(caught.value)


@pytest.mark.parametrize(
    ("call", "address", "what", "hint"),
    [
        (lambda: anything["Function"]("a.b", CODE, memry=1), "Function", "takes no memry", "write memory"),
        (lambda: anything["Function"](), "Function", "was not given handler and code", "give handler and code"),
        (lambda: anything["Function"]("a.b", CODE, handler="c.d"), "Function", "twice", "leave one handler out"),
        (lambda: anything["Function"]("a.b", CODE, 3), "Function", "more values without a name", "Function(..., name="),
        (lambda: anything["Queue"](zzz=1), "Queue", "takes no zzz", "it takes suppress, name, visibility_timeout"),
        (lambda: anything["Queue"]().messages(batch=1), "Queue.messages", "takes no batch", "write batch_size"),
        (lambda: anything["Queue"].existing(), "Queue.existing", "was not given arn", "give arn"),
    ],
)
def test_a_call_that_is_misread_names_what_to_change(
    call: Callable[[], object], address: str, what: str, hint: str
) -> None:
    problem = misread(call)

    assert problem is not None
    assert problem.address == address
    assert what in problem.what
    assert hint in str(problem.hint)
    assert problem.where is not None
    assert problem.where.file == __file__


@pytest.mark.parametrize(
    "call",
    [
        lambda: anything["missing"],
        lambda: anything["mine"](),
        lambda: anything["mine"](second=2),
        lambda: anything["len"](1, 2),
        lambda: "a" + anything["Queue"],
    ],
)
def test_what_is_not_lambdaform_s_is_left_to_python(call: Callable[[], object]) -> None:
    assert misread(call) is None


def test_a_stack_s_file_ends_with_a_problem_and_the_exit_code_of_one(tmp_path: Path) -> None:
    file = tmp_path / "app.py"
    file.write_text("from lambdaform import Queue, Stack\n\nclass Shop(Stack):\n    inbox = Queue(visibility=3)\n")
    ran = subprocess.run([sys.executable, str(file), "validate"], capture_output=True, text=True, cwd=tmp_path)

    assert ran.returncode == 3
    assert "app.py:4  Queue" in ran.stderr
    assert "takes no visibility" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_mistake_of_the_user_s_own_keeps_its_traceback(tmp_path: Path) -> None:
    file = tmp_path / "app.py"
    file.write_text("from lambdaform import Stack\n\nclass Shop(Stack):\n    size = {}['size']\n")
    ran = subprocess.run([sys.executable, str(file)], capture_output=True, text=True, cwd=tmp_path)

    assert ran.returncode == 1
    assert "KeyError: 'size'" in ran.stderr
