"""Snapshots beside what one function shows through boto3: time limits, checkpoints, machines that cannot copy."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from lambdaform.local.clock import SystemClock
from lambdaform.local.lambda_ import platform_log
from lambdaform.local.lambda_.blueprint import Blueprint
from lambdaform.local.lambda_.endings import Turn
from lambdaform.local.lambda_.environment import Environment
from lambdaform.local.lambda_.launching import Launch
from lambdaform.local.lambda_.processes import Executing
from lambdaform.local.lambda_.refusals import unrestored
from lambdaform.local.lambda_.running import MOST_SNAPSHOTS, RestoreFailed
from tests.local.conftest import ROLE, Aws, environments, own, payload, start, stop, unique, zipped
from tests.patience import PATIENCE

SLOW_TO_RESTORE = """
import http.client, os, time
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
api.request("GET", "/2018-06-01/runtime/restore/next")
assert api.getresponse().read() == b""
time.sleep(60)
"""


class Lines:
    """Keeps what is logged."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def write(self, text: str, at: float | None = None) -> None:
        self.lines.append(text)


def blueprint(folder: Path, source: str) -> Blueprint:
    return Blueprint(
        name="f",
        arn="arn",
        version="1",
        runtime="python:3.13",
        region="us-east-1",
        memory_size=512,
        timeout=3,
        log_group="/aws/lambda/f",
        log_style=platform_log.Style(),
        environ={"AWS_REGION": "us-east-1"},
        folder=folder,
        opt=None,
        path=[],
        scratch=512,
        is_isolated=False,
        launch=Launch((sys.executable, "-S", "-c", source)),
        has_snapshot=True,
    )


def test_hooks_after_a_restore_have_a_time_limit(tmp_path: Path) -> None:
    private, code = tmp_path / "private" / "environments", tmp_path / "private" / "code"
    private.mkdir(parents=True)
    code.mkdir()
    log = Lines()

    async def restored() -> Turn | None:
        spawner = Executing()

        def made() -> Environment:
            return Environment(
                blueprint(code, SLOW_TO_RESTORE),
                spawner=spawner,
                log=log,
                stream="s",
                parent_folder=private,
                now=time.time,
                work=SystemClock().run,
                initialization="snap-start",
                restore_limit=0.1,
            )

        snapshot = await made().become_snapshot()
        assert isinstance(snapshot, Environment)
        environment = made()
        try:
            return await environment.restore(snapshot)
        finally:
            environment.retire()
            snapshot.retire()
            await spawner.close()

    turn = asyncio.run(restored())

    assert turn == "timeout"
    assert log.lines[-1].startswith("RESTORE_REPORT Restore Duration: ")
    assert log.lines[-1].endswith(" ms\tStatus: timeout\n")


@pytest.mark.parametrize(
    ("turn", "status", "code"),
    [
        ("timeout", 408, "SnapStartTimeoutException"),
        ("restore-error", 400, "SnapStartException"),
        ("exited", 400, "SnapStartException"),
    ],
)
def test_a_failed_restore_answers_by_its_cause(turn: Turn, status: int, code: str) -> None:
    fault = unrestored(RestoreFailed(turn))

    assert (fault.status, fault.code) == (status, code)


def published(aws: Aws, source: str) -> tuple[Any, str]:
    client = aws.client("lambda")
    name = unique("snap")
    client.create_function(
        FunctionName=name,
        Runtime="python3.12",
        Handler="app.handler",
        Role=ROLE,
        Code={"ZipFile": zipped({"app.py": source})},
        SnapStart={"ApplyOn": "PublishedVersions"},
        Publish=True,
        Timeout=10,
    )
    return client, name


def settle(client: Any, name: str, version: str = "1") -> None:
    deadline = time.monotonic() + PATIENCE
    while client.get_function_configuration(FunctionName=name, Qualifier=version)["State"] != "Active":
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_version_that_was_pending_at_a_checkpoint_gets_its_snapshot_after_it(tmp_path: Path) -> None:
    process, aws = start(tmp_path)
    try:
        client, name = published(aws, "import time\ntime.sleep(0.3)\ndef handler(event, context):\n    return 5\n")
        own(aws, "POST", "checkpoint")
        settle(client, name)
        own(aws, "POST", "restore")
        settle(client, name)
        answer = payload(client.invoke(FunctionName=name, Qualifier="1"))
    finally:
        stop(process)

    assert answer == 5


def test_without_namespaces_environments_initialise_anew_and_that_is_said(tmp_path: Path) -> None:
    process, aws = start(tmp_path, "--isolation", "processes")
    source = (
        "from snapshot_restore_py import register_after_restore\n"
        "seen = ['init']\n"
        "register_after_restore(seen.append, 'restored')\n"
        "def handler(event, context):\n    return seen\n"
    )
    try:
        client, name = published(aws, source)
        settle(client, name)
        answer = payload(client.invoke(FunctionName=name, Qualifier="1"))
        [snapshot] = [each["snapshot"] for each in environments(aws, name) if each["phase"] == "snapshot"]
        _, fidelity = own(aws, "GET", f"fidelity?function={name}")
    finally:
        stop(process)

    assert answer == ["init", "restored"]
    assert snapshot == "this machine does not allow the namespaces that takes"
    [differences] = fidelity["functions"].values()
    assert {"setting": "SnapStart", "says": "environments initialise anew"} in differences


def test_the_snapshots_that_were_used_last_are_kept(tmp_path: Path) -> None:
    process, aws = start(tmp_path)
    source = "import uuid\nchosen = uuid.uuid4().hex\ndef handler(event, context):\n    return chosen\n"
    try:
        client, name = published(aws, source)
        settle(client, name)
        for number in range(2, MOST_SNAPSHOTS + 3):
            client.update_function_code(
                FunctionName=name, ZipFile=zipped({"app.py": f"{source}# {number}"}), Publish=True
            )
            settle(client, name, str(number))
        kept = sorted(int(each["version"]) for each in environments(aws, name) if each["phase"] == "snapshot")
        answer = payload(client.invoke(FunctionName=name, Qualifier="1"))
    finally:
        stop(process)

    assert kept == list(range(3, MOST_SNAPSHOTS + 3))
    assert len(answer) == 32
