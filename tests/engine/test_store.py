"""What a state's folder does when the disk refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from lambdaform.engine.state import State, StateKey
from lambdaform.engine.store import FolderStore, Journal
from lambdaform.model.problem import LambdaformError

KEY = StateKey("shop", "dev", "us-east-1", "123456789012", None)
FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="there is no disk here that is always full")
def test_a_full_disk_is_told_of_once(tmp_path: Path) -> None:
    journal = Journal(State(KEY), FULL, tmp_path / "state.json")

    with pytest.raises(LambdaformError, match="the state cannot be written to /dev/full: No space left"):
        journal.keep("lambda.function.f")
    journal.suspend()


def test_a_lock_holds_without_the_name_of_who_has_it(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.path(KEY).with_suffix(".owner").mkdir(parents=True)  # nothing can be written to that

    with store.lock(KEY):
        assert store.path(KEY).with_suffix(".lock").exists()
