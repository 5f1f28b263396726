"""Facts about the processes of one environment and what they hold open."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from lambdaform.local.lambda_ import platform_log
from lambdaform.local.lambda_.blueprint import Blueprint
from lambdaform.local.lambda_.launching import Launch
from lambdaform.local.lambda_.processes import Companion, Order, Process
from lambdaform.local.lambda_.sandbox import Sandbox


class Starting:
    """Starts a process that has ended already; something happens meanwhile."""

    def __init__(self, log: list[int]) -> None:
        self.log = log
        self.meanwhile: Callable[[], None] = lambda: None

    async def spawn(
        self, order: Order, log: int, *, companions: Sequence[Companion] = (), gate: int | None = None
    ) -> Process:
        self.log += [log] if gate is None else [log, gate]
        self.meanwhile()
        process = Process(2**22 - 3)
        process.exited.set_result(9)
        return process


def blueprint(folder: Path) -> Blueprint:
    return Blueprint(
        name="f",
        arn="arn",
        version="1",
        runtime="python:3.13",
        region="us-east-1",
        memory_size=128,
        timeout=3,
        log_group="/aws/lambda/f",
        log_style=platform_log.Style(),
        environ={},
        folder=folder,
        opt=None,
        path=[],
        scratch=512,
        is_isolated=False,
        launch=Launch(),
    )


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


@pytest.mark.parametrize("goes", [False, True])
def test_a_process_s_ends_of_its_pipes_are_closed_here_also_when_it_goes_meanwhile(tmp_path: Path, goes: bool) -> None:
    folder, given = tmp_path / "private" / "environments", list[int]()
    folder.mkdir(parents=True)

    async def scenario() -> list[bool]:
        starting = Starting(given)
        sandbox = Sandbox(
            blueprint(folder),
            spawner=starting,
            parent_folder=folder,
            take_line=lambda line: None,
            on_exit=lambda: None,
            take_extension_line=lambda line: None,
            on_extension_exit=lambda name, process: None,
        )
        if goes:
            starting.meanwhile = sandbox.remove
        await sandbox.start({}, is_held=True)
        left = [is_open(descriptor) for descriptor in given]
        sandbox.remove()
        return left

    assert asyncio.run(scenario()) == [False, False]
