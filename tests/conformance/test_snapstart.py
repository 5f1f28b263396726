"""SnapStart.

https://docs.aws.amazon.com/lambda/latest/dg/snapstart.html
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import pytest

from tests.conformance.facts import fact
from tests.local.conftest import ROLE, Aws, payload, refusal, unique, zipped

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
    deadline = time.monotonic() + 20
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
    assert (refused.status, refused.code) == (409, "ResourceConflictException")


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
