"""What a local AWS that was killed leaves behind goes at the next start."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from lambdaform.local.folders import PrivateFolder, remove_abandoned
from tests.local.conftest import start, stop
from tests.patience import PATIENCE


def test_the_folder_of_a_killed_local_aws_goes_at_the_next_start(tmp_path: Path) -> None:
    killed, _ = start(tmp_path)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait(PATIENCE)
    [left] = tmp_path.glob("lambdaform-*")

    process, _ = start(tmp_path)
    deadline = time.monotonic() + PATIENCE
    while left.exists():  # it is removed beside the first requests
        assert time.monotonic() < deadline
    held = list(tmp_path.glob("lambdaform-*"))
    stop(process)

    assert len(held) == 1
    assert not list(tmp_path.glob("lambdaform-*"))


def test_the_folder_of_a_local_aws_that_runs_stays() -> None:
    mine = PrivateFolder()

    remove_abandoned()

    assert mine.path.exists()
    mine.remove()
    assert not mine.path.exists()
