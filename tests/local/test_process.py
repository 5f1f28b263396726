"""Starting the local AWS, finding the one that runs, and noticing that it is gone."""

from pathlib import Path

import pytest

from lambdaform.local.process import ADDRESS_FILE, announce, find_running, start
from lambdaform.model.problem import LambdaformError


def test_a_running_one_is_found_and_a_dead_one_is_forgotten(tmp_path: Path) -> None:
    process = start()
    try:
        announce(tmp_path, process.running)
        assert find_running(tmp_path) == process.running
    finally:
        process.close()

    assert find_running(tmp_path) is None
    assert not (tmp_path / ADDRESS_FILE).exists()


def test_a_damaged_note_is_no_local_aws(tmp_path: Path) -> None:
    (tmp_path / ADDRESS_FILE).write_text("{")

    assert find_running(tmp_path) is None


def test_what_keeps_it_from_starting_is_said_in_its_own_words() -> None:
    with pytest.raises(LambdaformError, match="cannot listen on"):
        start(host="192.0.2.1")
