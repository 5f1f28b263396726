"""SnapStart.

https://docs.aws.amazon.com/lambda/latest/dg/snapstart.html
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from lambdaform.local.lambda_.phases import RESTORE_LIMIT, init_limit
from lambdaform.local.lambda_.refusals import unrestored
from lambdaform.local.lambda_.running import RestoreFailed
from tests.conformance.facts import fact
from tests.local.conftest import ROLE, Aws, Virtual, environments, payload, refusal, start, stop, unique, zipped
from tests.local.programs import LISTEN, extensions, said
from tests.patience import PATIENCE

SNAPSTART = "https://docs.aws.amazon.com/lambda/latest/dg/snapstart.html"
HOOKS = "https://docs.aws.amazon.com/lambda/latest/dg/snapstart-runtime-hooks-python.html"
MONITORING = "https://docs.aws.amazon.com/lambda/latest/dg/snapstart-monitoring.html"
ACTIVATE = "https://docs.aws.amazon.com/lambda/latest/dg/snapstart-activate.html"
LIFECYCLE = "https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html"
EXCEPTIONS = "https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html"
RUNTIMES = ["python3.12", "python3.14"]
"""One that runs under its own Python where that is installed, one under the local AWS's where it is not."""

HOOKED = """
import os
from snapshot_restore_py import register_before_snapshot, register_after_restore

print("initialising")
seen = ["init"]

@register_before_snapshot
def first():
    print("before")
    seen.append("before 1")

register_before_snapshot(seen.append, "before 2")
register_after_restore(seen.append, "after 1")

@register_after_restore
def last():
    print("after")
    seen.append("after 2")

def handler(event, context):
    return seen
"""


def published(awslambda: Any, source: str, *, runtime: str = "python3.12", **settings: Any) -> str:
    name = unique("snap")
    awslambda.create_function(
        FunctionName=name,
        Runtime=runtime,
        Handler="app.handler",
        Role=ROLE,
        Code={"ZipFile": zipped({"app.py": source})},
        SnapStart={"ApplyOn": "PublishedVersions"},
        Publish=True,
        **{"Timeout": 10, **settings},
    )
    return name


def settled(awslambda: Any, name: str, version: str = "1") -> Mapping[str, Any]:
    """A version's configuration once it is not Pending any more."""
    deadline = time.monotonic() + PATIENCE
    while True:
        found: Mapping[str, Any] = awslambda.get_function_configuration(FunctionName=name, Qualifier=version)
        if found["State"] != "Pending":
            return found
        assert time.monotonic() < deadline, "the snapshot was not made in time"
        time.sleep(0.01)


def streams(aws: Aws, name: str) -> list[list[str]]:
    """The lines of every log stream of a function."""
    logs = aws.client("logs")
    group = f"/aws/lambda/{name}"
    return [
        [
            event["message"]
            for event in logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"])["events"]
        ]
        for stream in logs.describe_log_streams(logGroupName=group)["logStreams"]
    ]


@fact(
    "PublishedVersions",
    "a version is Pending until its snapshot is made; OptimizationStatus is On for it and Off for $LATEST",
    source=ACTIVATE,
)
def test_a_version_is_pending_until_its_snapshot_is_made(awslambda: Any) -> None:
    name = published(awslambda, "import time\ntime.sleep(0.2)\ndef handler(event, context):\n    return 1\n")

    refused = refusal(awslambda.invoke, FunctionName=name, Qualifier="1")
    version = settled(awslambda, name)
    latest = awslambda.get_function_configuration(FunctionName=name)

    assert (refused.status, refused.code) == (409, "SnapStartNotReadyException")
    assert version["State"] == "Active"
    assert version["SnapStart"] == {"ApplyOn": "PublishedVersions", "OptimizationStatus": "On"}
    assert latest["SnapStart"] == {"ApplyOn": "PublishedVersions", "OptimizationStatus": "Off"}
    assert payload(awslambda.invoke(FunctionName=name, Qualifier="1")) == 1


@fact("PublishVersion and UpdateFunctionCode", "publish with a snapshot too, one for each version", source=ACTIVATE)
def test_every_way_to_publish_makes_a_snapshot(aws: Aws, awslambda: Any) -> None:
    source = "def handler(event, context):\n    return context.function_version\n"
    name = published(awslambda, source)
    settled(awslambda, name)
    awslambda.update_function_code(FunctionName=name, ZipFile=zipped({"app.py": source + "#"}), Publish=True)
    settled(awslambda, name, "2")
    awslambda.update_function_configuration(FunctionName=name, Description="third")
    awslambda.get_waiter("function_updated_v2").wait(FunctionName=name)
    awslambda.publish_version(FunctionName=name)
    settled(awslambda, name, "3")

    assert [lines[-1].startswith("INIT_REPORT") for lines in streams(aws, name)] == [True] * 3
    assert payload(awslambda.invoke(FunctionName=name, Qualifier="3")) == "3"


@pytest.mark.parametrize("runtime", RUNTIMES)
@fact(
    "register_before_snapshot, register_after_restore",
    "run before the snapshot in reverse order of registration, after a restore in that order",
    source=HOOKS,
)
def test_hooks_run_in_their_order(awslambda: Any, runtime: str) -> None:
    name = published(awslambda, HOOKED, runtime=runtime)
    settled(awslambda, name)

    seen = payload(awslambda.invoke(FunctionName=name, Qualifier="1"))

    assert seen == ["init", "before 2", "before 1", "after 1", "after 2"]


@fact("$LATEST", "starts without a snapshot and runs no hooks", source=SNAPSTART)
def test_the_unpublished_version_has_no_snapshot(awslambda: Any) -> None:
    name = published(awslambda, HOOKED)
    settled(awslambda, name)

    answer = awslambda.invoke(FunctionName=name)

    assert payload(answer) == ["init"]


@pytest.mark.parametrize("runtime", RUNTIMES)
@fact(
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "is snap-start; AWS_LAMBDA_LOG_GROUP_NAME and AWS_LAMBDA_LOG_STREAM_NAME are not there",
    source=MONITORING,
)
def test_the_environment_says_how_it_was_started(awslambda: Any, runtime: str) -> None:
    source = (
        "import os\n"
        "NAMES = ('AWS_LAMBDA_INITIALIZATION_TYPE', 'AWS_LAMBDA_LOG_GROUP_NAME', 'AWS_LAMBDA_LOG_STREAM_NAME')\n"
        "def handler(event, context):\n"
        "    return [os.environ.get(name) for name in NAMES] + [context.log_stream_name]\n"
    )
    name = published(awslambda, source, runtime=runtime)
    settled(awslambda, name)

    assert payload(awslambda.invoke(FunctionName=name, Qualifier="1")) == ["snap-start", None, None, None]


@fact(
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "gives the role's credentials, which are not in variables; AWS's SDKs find them",
    source=ACTIVATE,
)
def test_credentials_are_those_of_a_container(awslambda: Any) -> None:
    source = (
        "import os, boto3\n"
        "def handler(event, context):\n"
        "    found = boto3.Session().get_credentials()\n"
        "    account = boto3.client('sts').get_caller_identity()['Account']\n"
        "    return [found.method, account, 'AWS_ACCESS_KEY_ID' in os.environ]\n"
    )
    name = published(awslambda, source, runtime="python3.14", Timeout=30)
    settled(awslambda, name)

    answer = payload(awslambda.invoke(FunctionName=name, Qualifier="1"))

    assert answer == ["container-role", "123456789012", False]


@fact(
    "INIT_REPORT, RESTORE_START, RESTORE_REPORT",
    "INIT is reported when the version is published; a restore instead of INIT before the first event",
    source=MONITORING,
)
def test_the_log_tells_of_the_snapshot_and_the_restore(aws: Aws, awslambda: Any) -> None:
    name = published(awslambda, HOOKED)
    settled(awslambda, name)
    awslambda.invoke(FunctionName=name, Qualifier="1")
    awslambda.invoke(FunctionName=name, Qualifier="1")

    taken, restored = sorted(streams(aws, name), key=len)

    assert [line.split()[0] for line in taken] == ["INIT_START", "initialising", "before", "INIT_REPORT"]
    heads = [line.split()[0] for line in restored if line.strip() not in ("initialising", "before")]
    assert heads[:4] == ["RESTORE_START", "after", "RESTORE_REPORT", "START"]
    [first, second] = [line for line in restored if line.startswith("REPORT")]
    assert "\tRestore Duration: " in first
    assert "\tBilled Restore Duration: " in first
    assert "Init Duration" not in first
    assert "Restore Duration" not in second


@fact("REPORT", "the billed part of a restore is billed with the duration", source=MONITORING)
def test_a_restore_is_billed(aws: Aws, awslambda: Any) -> None:
    name = published(awslambda, "def handler(event, context):\n    return 1\n")
    settled(awslambda, name)
    awslambda.invoke(FunctionName=name, Qualifier="1")

    [report] = [line for lines in streams(aws, name) for line in lines if line.startswith("REPORT")]
    fields = dict(part.split(": ") for part in report.strip().split("\t"))
    duration, billed, restore = (
        float(fields[each].split()[0]) for each in ("Duration", "Billed Duration", "Billed Restore Duration")
    )

    assert restore >= 1
    assert duration + restore <= billed <= duration + restore + 1


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(
    "source",
    [
        "raise ValueError('no')",
        "from snapshot_restore_py import register_before_snapshot\nregister_before_snapshot(lambda: 1 / 0)\n"
        "def handler(event, context):\n    return 1\n",
    ],
    ids=["code", "hook"],
)
@fact(
    "Failed",
    "a version whose initialisation or hook before the snapshot fails cannot be invoked",
    here="partly",
    gap="StateReasonCode is FunctionError; the wording of StateReason is not AWS's",
    source="https://docs.aws.amazon.com/lambda/latest/dg/functions-states.html",
)
def test_a_version_without_a_snapshot_has_failed(awslambda: Any, runtime: str, source: str) -> None:
    name = published(awslambda, source, runtime=runtime)

    version = settled(awslambda, name)
    refused = refusal(awslambda.invoke, FunctionName=name, Qualifier="1")

    assert (version["State"], version["StateReasonCode"]) == ("Failed", "FunctionError")
    assert version["StateReason"].endswith(("ValueError: no", "ZeroDivisionError: division by zero"))
    assert (refused.status, refused.code) == (409, "ResourceConflictException")


@fact(
    "platform.restoreStart, platform.restoreReport",
    "tell of a restore where logs are JSON; platform.report has restoreDurationMs",
    source="https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html",
)
def test_a_restore_is_told_in_json(aws: Aws, awslambda: Any) -> None:
    logging = {"LogFormat": "JSON", "SystemLogLevel": "DEBUG"}
    name = published(awslambda, "def handler(event, context):\n    return 1\n", LoggingConfig=logging)
    settled(awslambda, name)
    awslambda.invoke(FunctionName=name, Qualifier="1")

    taken, restored = sorted(([json.loads(line) for line in lines] for lines in streams(aws, name)), key=len)

    assert [(each["type"], each["record"]["initializationType"]) for each in taken] == [
        ("platform.initStart", "snap-start"),
        ("platform.initRuntimeDone", "snap-start"),
        ("platform.initReport", "snap-start"),
    ]
    start, done, report, *_, last = restored
    assert (start["type"], start["record"]["functionVersion"]) == ("platform.restoreStart", "1")
    assert start["record"]["instanceId"] != taken[0]["record"]["instanceId"]
    assert start["record"]["instanceMaxMemory"] == 128
    assert (done["type"], done["record"]["status"]) == ("platform.restoreRuntimeDone", "success")
    assert (report["type"], report["record"]["status"]) == ("platform.restoreReport", "success")
    assert last["record"]["metrics"]["restoreDurationMs"] == report["record"]["metrics"]["durationMs"] > 0


@pytest.mark.parametrize("runtime", RUNTIMES)
@fact("SnapStartException", "is what an invocation answers whose hook after the restore fails", source=EXCEPTIONS)
def test_a_failing_hook_after_the_restore_fails_the_invocation(aws: Aws, awslambda: Any, runtime: str) -> None:
    source = (
        "from snapshot_restore_py import register_after_restore\n"
        "@register_after_restore\n"
        "def fails():\n    raise ValueError('not restored')\n"
        "def handler(event, context):\n    return 1\n"
    )
    name = published(awslambda, source, runtime=runtime)
    settled(awslambda, name)

    refused = refusal(awslambda.invoke, FunctionName=name, Qualifier="1")
    lines = [line for lines in streams(aws, name) for line in lines]

    assert (refused.status, refused.code) == (400, "SnapStartException")
    assert any(line.startswith("[ERROR] ValueError: not restored") for line in lines)
    [report] = [line for line in lines if line.startswith("RESTORE_REPORT")]
    assert report.endswith("ms\tStatus: error\tError Type: Runtime.ExitError\n")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"Runtime": "nodejs22.x"}, "nodejs22.x is not supported for SnapStart enabled functions."),
        ({"Runtime": "python3.11"}, "python3.11 is not supported for SnapStart enabled functions."),
        ({"Runtime": "python3.12", "EphemeralStorage": {"Size": 1024}}, "SnapStart enabled functions."),
        (
            {
                "Runtime": "python3.12",
                "FileSystemConfigs": [
                    {
                        "Arn": "arn:aws:elasticfilesystem:us-east-1:123456789012:access-point/fsap-00112233445566778",
                        "LocalMountPath": "/mnt/data",
                    }
                ],
            },
            "SnapStart enabled functions.",
        ),
    ],
    ids=["nodejs", "python3.11", "storage", "efs"],
)
@fact(
    "SnapStart.ApplyOn",
    "is refused with other runtimes, with EFS and with more than 512 MB of /tmp",
    here="partly",
    gap="for EFS and /tmp the wording is not AWS's",
    source=SNAPSTART,
)
def test_what_snapstart_does_not_go_with(awslambda: Any, settings: Mapping[str, Any], told: str) -> None:
    refused = refusal(
        awslambda.create_function,
        FunctionName=unique(),
        Handler="app.handler",
        Role=ROLE,
        Code={"ZipFile": zipped({"app.py": ""})},
        SnapStart={"ApplyOn": "PublishedVersions"},
        **settings,
    )

    assert (refused.status, refused.code) == (400, "InvalidParameterValueException")
    assert told in refused.message


@fact(
    "provisioned concurrency",
    "is refused for versions with SnapStart",
    here="partly",
    gap="the wording is not AWS's",
    source=SNAPSTART,
)
def test_snapstart_excludes_provisioned_concurrency(awslambda: Any) -> None:
    name = published(awslambda, "def handler(event, context):\n    return 1\n")
    settled(awslambda, name)

    refused = refusal(
        awslambda.put_provisioned_concurrency_config,
        FunctionName=name,
        Qualifier="1",
        ProvisionedConcurrentExecutions=1,
    )

    assert (refused.status, refused.code) == (400, "InvalidParameterValueException")


def together(aws: Aws, name: str, event: bytes = b'{"wait": 0.2}', count: int = 2) -> list[Any]:
    """What concurrent invocations answer, each in an environment of its own."""

    def ask(client: Any) -> Any:
        return payload(client.invoke(FunctionName=name, Qualifier="1", Payload=event))

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(ask, [aws.client("lambda") for _ in range(count)]))


STATEFUL = """
import os, random, time, uuid

with open("/tmp/model", "w") as file:
    file.write("weights")
book = open(__file__)
book.readline()
chosen = uuid.uuid4().hex
served = 0

def handler(event, context):
    global served
    served += 1
    time.sleep(event.get("wait", 0))
    with open("/tmp/model", "a") as file:
        file.write("+")
    return {
        "chosen": chosen, "next": random.random(), "fresh": uuid.uuid4().hex, "served": served,
        "files": open("/tmp/model").read(), "line": book.readline(), "pid": os.getpid(),
    }
"""


@pytest.mark.parametrize("runtime", RUNTIMES)
@fact(
    "snapshot",
    "environments share the state INIT left: variables, /tmp, also the state of pseudorandom generators",
    here="partly",
    gap="where the machine allows namespaces, and INIT leaves no threads, processes, event loops or files for writing; "
    "else each environment initialises anew",
    source="https://docs.aws.amazon.com/lambda/latest/dg/snapstart-uniqueness.html",
)
def test_environments_share_what_was_in_the_snapshot(aws: Aws, awslambda: Any, runtime: str) -> None:
    name = published(awslambda, STATEFUL, runtime=runtime)
    settled(awslambda, name)

    one, two = together(aws, name)

    for shared in ("chosen", "next", "pid", "line"):
        assert one[shared] == two[shared], shared
    assert one["fresh"] != two["fresh"]
    assert one["files"] == two["files"] == "weights+"
    assert one["served"] == two["served"] == 1


@fact(
    "snapshot",
    "connections made during INIT are not established after a restore; the SDK makes them anew",
    source="https://docs.aws.amazon.com/lambda/latest/dg/snapstart-best-practices.html",
)
def test_connections_do_not_survive_the_snapshot(aws: Aws, awslambda: Any) -> None:
    source = (
        "import os, socket, boto3\n"
        "from urllib.parse import urlsplit\n"
        "found = urlsplit(os.environ['AWS_ENDPOINT_URL'])\n"
        "connection = socket.create_connection((found.hostname, found.port))\n"
        "sts = boto3.client('sts')\n"
        "sts.get_caller_identity()\n"
        "def handler(event, context):\n"
        "    try:\n"
        "        connection.sendall(b'GET / HTTP/1.1\\r\\n')\n"
        "        told = 'sent'\n"
        "    except OSError as error:\n"
        "        told = type(error).__name__\n"
        "    return [told, sts.get_caller_identity()['Account']]\n"
    )
    name = published(awslambda, source, runtime="python3.14", Timeout=30)
    settled(awslambda, name)

    assert together(aws, name) == [["BrokenPipeError", "123456789012"]] * 2


@pytest.mark.parametrize(
    "left",
    [
        "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()",
        "import subprocess; child = subprocess.Popen(['sleep', '60'])",
        "import asyncio; loop = asyncio.new_event_loop()",
        "log = open('/tmp/log', 'a')",
    ],
    ids=["thread", "process", "loop", "file"],
)
@fact(
    "snapshot",
    "threads, processes, event loops and open files are part of it",
    here="partly",
    gap="a version whose INIT leaves one initialises anew, hooks included, in each environment",
    source=SNAPSTART,
)
def test_what_cannot_be_copied_is_initialised_anew(aws: Aws, awslambda: Any, left: str) -> None:
    name = published(awslambda, f"{left}\n{STATEFUL}")
    settled(awslambda, name)

    one, two = together(aws, name)
    [why] = [each["snapshot"] for each in environments(aws, name) if each["phase"] == "snapshot"]

    assert one["chosen"] != two["chosen"]
    assert one["served"] == two["served"] == 1
    assert why.startswith("its initialization left ")


@fact(
    "extensions",
    "are part of the snapshot",
    here="partly",
    gap="a version with external extensions initialises anew, with them, in each environment",
    source="https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html",
)
def test_extensions_run_beside_a_restored_runtime(aws: Aws, awslambda: Any) -> None:
    name = published(awslambda, HOOKED, Layers=extensions(aws, one="say(started=NAME)\n" + LISTEN))
    version = settled(awslambda, name)

    answer = payload(awslambda.invoke(FunctionName=name, Qualifier="1"))
    [why] = [each["snapshot"] for each in environments(aws, name) if each["phase"] == "snapshot"]

    assert version["State"] == "Active"
    assert answer == ["init", "before 2", "before 1", "after 1", "after 2"]
    assert said(aws, name, "started") == ["one", "one"]
    assert why == "extensions run beside it"


@fact("restored environment", "serves further events without another restore", source=LIFECYCLE)
def test_a_restored_environment_is_used_again(aws: Aws, awslambda: Any) -> None:
    name = published(awslambda, STATEFUL)
    settled(awslambda, name)

    answers = [payload(awslambda.invoke(FunctionName=name, Qualifier="1")) for _ in range(3)]

    assert [each["served"] for each in answers] == [1, 2, 3]
    assert sum(line.startswith("RESTORE_REPORT") for lines in streams(aws, name) for line in lines) == 1


@fact("restored environment", "after a crash the state of the snapshot is there again", source=LIFECYCLE)
def test_a_crash_leads_back_to_the_snapshot(awslambda: Any) -> None:
    source = (
        "import os, uuid\nchosen = uuid.uuid4().hex\nserved = 0\n"
        "def handler(event, context):\n"
        "    global served\n    served += 1\n"
        "    if event.get('crash'):\n        os._exit(7)\n"
        "    return [chosen, served]\n"
    )
    name = published(awslambda, source)
    settled(awslambda, name)

    before = payload(awslambda.invoke(FunctionName=name, Qualifier="1"))
    crashed = awslambda.invoke(FunctionName=name, Qualifier="1", Payload=b'{"crash": true}')
    after = payload(awslambda.invoke(FunctionName=name, Qualifier="1"))

    assert payload(crashed)["errorMessage"].endswith("Runtime exited with error: exit status 7")
    assert before == after == [before[0], 1]


@fact(
    "restored environment",
    "ends with everything it started",
    source="https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html",
)
def test_nothing_of_a_snapshot_outlives_its_function(aws: Aws, awslambda: Any) -> None:
    source = (
        "import subprocess\n"
        "def handler(event, context):\n"
        "    subprocess.Popen(['sleep', '61.7'], start_new_session=True)\n"
    )
    name = published(awslambda, source)
    settled(awslambda, name)
    awslambda.invoke(FunctionName=name, Qualifier="1")
    [restored] = [each for each in environments(aws, name) if each["phase"] == "ready"]
    assert Path(f"/proc/{restored['pid']}").exists()

    awslambda.delete_function(FunctionName=name)

    deadline = time.monotonic() + PATIENCE
    while Path(f"/proc/{restored['pid']}").exists() or _sleepers():
        assert time.monotonic() < deadline, "processes of the function are still there"
        time.sleep(0.02)


def _sleepers() -> list[Path]:
    found: list[Path] = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if entry.read_bytes() == b"sleep\x0061.7\x00":
                found.append(entry)
        except OSError:
            continue
    return found


@fact(
    "SnapStartTimeoutException",
    "is what an invocation answers whose restore, with its hooks, takes longer than 10 seconds",
    source=HOOKS,
)
def test_a_restore_has_ten_seconds() -> None:
    fault = unrestored(RestoreFailed("timeout"))

    # That the limit ends a restore is shown in tests/local/test_snapshots.py, with a shorter one.
    assert RESTORE_LIMIT == 10.0
    assert (fault.status, fault.code) == (408, "SnapStartTimeoutException")


@fact(
    "initialization",
    "for a snapshot may take 130 seconds, or the function's timeout where that is longer",
    source=HOOKS,
)
@pytest.mark.parametrize(("timeout", "limit"), [(3, 130.0), (300, 300.0), (900, 900.0)])
def test_a_snapshot_may_take_its_time(timeout: float, limit: float) -> None:
    assert init_limit("snap-start", timeout) == limit


@fact(
    "Inactive",
    "is a version whose snapshot was not used for 14 days",
    here="not",
    gap="the ten that were used last are kept as long as the local AWS runs; others are made anew when they are needed",
    source=SNAPSTART,
)
def test_a_snapshot_is_kept_for_ever(tmp_path: Path) -> None:
    process, aws = start(tmp_path, "--clock", "virtual")  # of its own: what polls in another would do so for 15 days
    try:
        client = aws.client("lambda")
        name = published(client, "def handler(event, context):\n    return 1\n")
        settled(client, name)
        Virtual(aws).advance(15 * 86_400)
        later = settled(client, name)
        answer = payload(client.invoke(FunctionName=name, Qualifier="1"))
    finally:
        stop(process)

    assert later["State"] == "Active"
    assert answer == 1
