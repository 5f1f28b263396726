"""What becomes of extensions where the local AWS itself begins anew or ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.local.conftest import ROLE, Aws, environments, own, start, stop, unique, zipped
from tests.local.programs import REGISTER, extensions, lines, until
from tests.processes import below, command_line

WRITES = REGISTER + (
    "for _ in range(2):\n"
    "    event = following(ID)\n"
    "open(os.environ['PLACE'], 'w').write(event['shutdownReason'])\n"
    "print('told of the end', flush=True)\n"
)


def invoked(aws: Aws, **variables: str) -> str:
    """A function that has an extension and was invoked once; its name."""
    client, name = aws.client("lambda"), unique()
    client.create_function(
        FunctionName=name,
        Runtime="python3.11",
        Handler="app.handler",
        Role=ROLE,
        Code={"ZipFile": zipped({"app.py": "def handler(event, context):\n    return 1\n"})},
        Environment={"Variables": variables},
        Layers=extensions(aws, one=WRITES),
    )
    client.invoke(FunctionName=name)
    until(lambda: environments(aws, name)[0]["phases"][-1]["phase"] == "ready")
    return name


def running(pid: int) -> list[int]:
    """The extensions that run below a process."""
    return [each for each in below(pid) if any("extensions/one" in part for part in command_line(each))]


@pytest.mark.parametrize("clock", ["system", "virtual"])
def test_a_reset_ends_extensions_at_once(tmp_path: Path, clock: str) -> None:
    process, aws = start(tmp_path, "--clock", clock)
    name = invoked(aws, PLACE="/tmp/told")
    assert running(aws.pid)

    own(aws, "POST", "reset")

    until(lambda: not running(aws.pid))
    assert lines(aws, name) == []
    stop(process)


def test_extensions_hear_that_the_local_aws_ends(tmp_path: Path) -> None:
    told = tmp_path / "told"
    process, aws = start(tmp_path, "--isolation", "processes")
    invoked(aws, PLACE=str(told))

    stop(process)

    assert told.read_text() == "SPINDOWN"
