"""Concurrency.

Reserved, provisioned and unreserved concurrency through boto3.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from tests.conformance.facts import fact
from tests.local.conftest import Aws, Maker, environments, payload, refusal, unique, until, zipped
from tests.patience import PATIENCE

ECHO = "def handler(event, context):\n    return event\n"
KIND = "import os\ndef handler(event, context):\n    return os.environ['AWS_LAMBDA_INITIALIZATION_TYPE']\n"
SLOW = """\
import os, time
def handler(event, context):
    time.sleep(0.3)
    return os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"]
"""
PROVISIONED = "https://docs.aws.amazon.com/lambda/latest/dg/provisioned-concurrency.html"


def provision(awslambda: Any, name: str, qualifier: str, count: int) -> None:
    """Keep environments ready, and wait until they are."""
    awslambda.put_provisioned_concurrency_config(
        FunctionName=name, Qualifier=qualifier, ProvisionedConcurrentExecutions=count
    )

    def status() -> str:
        return awslambda.get_provisioned_concurrency_config(FunctionName=name, Qualifier=qualifier)["Status"]

    until(lambda: status() == "READY")


def at_once(awslambda: Any, count: int, **params: Any) -> list[Any]:
    """What so many invocations at the same time answer."""
    with ThreadPoolExecutor(count) as pool:
        calls = [pool.submit(awslambda.invoke, **params) for _ in range(count)]
    return [payload(call.result()) for call in calls]


def total(aws: Aws, metric: str, **dimensions: str) -> float:
    """The sum of a metric of the last hour."""
    now = time.time()
    answer = aws.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/Lambda",
        MetricName=metric,
        Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()],
        StartTime=datetime.fromtimestamp(now - 3600, UTC),
        EndTime=datetime.fromtimestamp(now + 60, UTC),
        Period=7200,
        Statistics=["Sum"],
    )
    return sum(point["Sum"] for point in answer["Datapoints"])


@fact(
    "ReservedConcurrentExecutions 0",
    "refuses with 429 and a `Reason`",
    source="https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html",
)
def test_reserved_concurrency_of_nothing_switches_a_function_off(awslambda: Any, function: Maker) -> None:
    name = function(ECHO)
    awslambda.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)

    refused = refusal(awslambda.invoke, FunctionName=name)

    assert refused.status == 429
    assert refused.code == "TooManyRequestsException"
    assert refused.body["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    assert refused.message == "Rate Exceeded."
    assert refused.body["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "1"


@fact(
    "ReservedConcurrentExecutions",
    "lets in ten synchronous requests a second for each unit; more are refused with a `Reason`",
    source="https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html",
)
def test_a_reservation_has_a_rate(awslambda: Any, function: Maker) -> None:
    name = function(ECHO)
    awslambda.invoke(FunctionName=name)
    awslambda.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)

    reasons: list[str] = []
    deadline = time.monotonic() + PATIENCE
    while not reasons and time.monotonic() < deadline:
        for _ in range(15):
            try:
                awslambda.invoke(FunctionName=name)
            except awslambda.exceptions.TooManyRequestsException as error:
                reasons.append(error.response["Reason"])

    assert set(reasons) == {"ReservedFunctionInvocationRateLimitExceeded"}


@fact(
    "ProvisionedConcurrency",
    "environments are initialised before any event",
    source="https://docs.aws.amazon.com/lambda/latest/dg/provisioned-concurrency.html",
)
def test_provisioned_environments_are_initialised_before_any_event(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(
        "import os\nkind = os.environ['AWS_LAMBDA_INITIALIZATION_TYPE']\n"
        "def handler(event, context):\n    return kind\n"
    )
    version = awslambda.publish_version(FunctionName=name)["Version"]
    awslambda.put_provisioned_concurrency_config(
        FunctionName=name, Qualifier=version, ProvisionedConcurrentExecutions=2
    )
    state: dict[str, Any] = {"Status": "IN_PROGRESS"}
    for _ in range(1000):
        state = awslambda.get_provisioned_concurrency_config(FunctionName=name, Qualifier=version)
        if state["Status"] != "IN_PROGRESS":
            break

    assert (state["Status"], state["AvailableProvisionedConcurrentExecutions"]) == ("READY", 2)
    assert payload(awslambda.invoke(FunctionName=name, Qualifier=version)) == "provisioned-concurrency"


@fact(
    "ProvisionedConcurrency", "what it cannot take runs on demand, and metrics tell the two apart", source=PROVISIONED
)
def test_what_provisioned_environments_cannot_take_spills_over(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(SLOW)
    version = awslambda.publish_version(FunctionName=name)["Version"]
    provision(awslambda, name, version, 1)

    answers = at_once(awslambda, 2, FunctionName=name, Qualifier=version)
    again = payload(awslambda.invoke(FunctionName=name, Qualifier=version))

    resource = {"FunctionName": name, "Resource": f"{name}:{version}"}
    assert sorted(answers) == ["on-demand", "provisioned-concurrency"]
    assert again == "provisioned-concurrency"  # although the other environment is idle as well
    assert total(aws, "ProvisionedConcurrencyInvocations", **resource) == 2
    assert total(aws, "ProvisionedConcurrencySpilloverInvocations", **resource) == 1


@fact(
    "ProvisionedConcurrency",
    "is taken out of the function's reservation: a reservation of the same size leaves nothing for other versions",
    source=PROVISIONED,
)
def test_provisioned_concurrency_is_part_of_the_reservation(awslambda: Any, function: Maker) -> None:
    name = function(KIND)
    version = awslambda.publish_version(FunctionName=name)["Version"]
    awslambda.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    provision(awslambda, name, version, 1)

    latest = refusal(awslambda.invoke, FunctionName=name)
    ready = payload(awslambda.invoke(FunctionName=name, Qualifier=version))
    too_little = refusal(awslambda.put_function_concurrency, FunctionName=name, ReservedConcurrentExecutions=0)

    assert (latest.status, latest.body["Reason"]) == (429, "ReservedFunctionConcurrentInvocationLimitExceeded")
    assert ready == "provisioned-concurrency"
    assert "should not be lower than function's total provisioned concurrency [1]" in too_little.message


@fact("ProvisionedConcurrency", "is on a version or on its alias, not on both", source=PROVISIONED)
def test_a_version_and_its_alias_are_not_both_provisioned(awslambda: Any, function: Maker) -> None:
    name = function(ECHO)
    version = awslambda.publish_version(FunctionName=name)["Version"]
    awslambda.create_alias(FunctionName=name, Name="live", FunctionVersion=version)
    provision(awslambda, name, "live", 1)

    refused = refusal(
        awslambda.put_provisioned_concurrency_config,
        FunctionName=name,
        Qualifier=version,
        ProvisionedConcurrentExecutions=1,
    )
    awslambda.delete_provisioned_concurrency_config(FunctionName=name, Qualifier="live")
    provision(awslambda, name, version, 1)

    assert (refused.code, refused.status) == ("InvalidParameterValueException", 400)


@fact(
    "ProvisionedConcurrency",
    "follows its alias to another version",
    source="https://docs.aws.amazon.com/lambda/latest/dg/provisioned-concurrency.html",
)
def test_provisioned_environments_follow_their_alias(awslambda: Any, function: Maker) -> None:
    source = "import os\ndef handler(event, context):\n    return os.environ['AWS_LAMBDA_INITIALIZATION_TYPE']\n"
    name = function(source)
    awslambda.publish_version(FunctionName=name)
    awslambda.update_function_configuration(FunctionName=name, Timeout=5)
    awslambda.get_function(FunctionName=name)
    awslambda.publish_version(FunctionName=name)
    awslambda.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    awslambda.put_provisioned_concurrency_config(FunctionName=name, Qualifier="live", ProvisionedConcurrentExecutions=1)

    awslambda.update_alias(FunctionName=name, Name="live", FunctionVersion="2")
    for _ in range(1000):
        state = awslambda.get_provisioned_concurrency_config(FunctionName=name, Qualifier="live")["Status"]
        if state == "READY":
            break
    answer = awslambda.invoke(FunctionName=name, Qualifier="live")

    assert (answer["ExecutedVersion"], payload(answer)) == ("2", "provisioned-concurrency")


@fact("ProvisionedConcurrency", "a smaller number ends what is too many", source=PROVISIONED)
def test_fewer_provisioned_environments_are_fewer(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(SLOW)
    version = awslambda.publish_version(FunctionName=name)["Version"]
    provision(awslambda, name, version, 3)

    provision(awslambda, name, version, 1)

    assert [each["initialization"] for each in environments(aws, name)] == ["provisioned-concurrency"]
    assert sorted(at_once(awslambda, 2, FunctionName=name, Qualifier=version)) == [
        "on-demand",
        "provisioned-concurrency",
    ]


@fact("ProvisionedConcurrency", "an environment at work when it is deleted goes when it is done", source=PROVISIONED)
def test_an_environment_at_work_does_not_outlive_its_configuration(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(SLOW)
    version = awslambda.publish_version(FunctionName=name)["Version"]
    provision(awslambda, name, version, 1)

    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(awslambda.invoke, FunctionName=name, Qualifier=version)
        until(lambda: environments(aws, name)[0]["phase"] == "invoke")
        awslambda.delete_provisioned_concurrency_config(FunctionName=name, Qualifier=version)

    assert payload(call.result()) == "provisioned-concurrency"
    until(lambda: environments(aws, name) == [])


@fact("ProvisionedConcurrency", "goes with its version", source=PROVISIONED)
def test_a_deleted_version_leaves_nothing_provisioned(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(KIND)
    awslambda.publish_version(FunctionName=name)
    awslambda.update_function_configuration(FunctionName=name, Timeout=7)
    awslambda.get_waiter("function_updated_v2").wait(FunctionName=name)
    awslambda.publish_version(FunctionName=name)
    provision(awslambda, name, "1", 2)

    awslambda.delete_function(FunctionName=name, Qualifier="1")

    assert awslambda.list_provisioned_concurrency_configs(FunctionName=name)["ProvisionedConcurrencyConfigs"] == []
    assert environments(aws, name) == []
    awslambda.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    provision(awslambda, name, "2", 1)


@fact("ProvisionedConcurrency", "of several aliases of a version adds up", source=PROVISIONED)
def test_aliases_that_meet_at_a_version_keep_what_each_has(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(KIND)
    awslambda.publish_version(FunctionName=name)
    awslambda.update_function_configuration(FunctionName=name, Timeout=7)
    awslambda.get_waiter("function_updated_v2").wait(FunctionName=name)
    awslambda.publish_version(FunctionName=name)
    for alias, version, count in (("live", "1", 1), ("beta", "2", 2)):
        awslambda.create_alias(FunctionName=name, Name=alias, FunctionVersion=version)
        provision(awslambda, name, alias, count)

    def there() -> list[str]:
        return [each["version"] for each in environments(aws, name)]

    awslambda.update_alias(FunctionName=name, Name="live", FunctionVersion="2")
    until(lambda: there() == ["2", "2", "2"])
    awslambda.delete_provisioned_concurrency_config(FunctionName=name, Qualifier="2")  # which has none of its own
    assert there() == ["2", "2", "2"]
    awslambda.delete_alias(FunctionName=name, Name="live")
    assert there() == ["2", "2"]


@fact(
    "aliases",
    "what is set for one goes with it",
    source="https://docs.aws.amazon.com/lambda/latest/api/API_DeleteAlias.html",
)
def test_an_alias_of_the_same_name_begins_with_nothing(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(KIND)
    version = awslambda.publish_version(FunctionName=name)["Version"]
    awslambda.create_alias(FunctionName=name, Name="live", FunctionVersion=version)
    awslambda.put_function_event_invoke_config(FunctionName=name, Qualifier="live", MaximumRetryAttempts=0)
    provision(awslambda, name, "live", 2)

    awslambda.delete_alias(FunctionName=name, Name="live")
    awslambda.create_alias(FunctionName=name, Name="live", FunctionVersion=version)

    assert awslambda.list_function_event_invoke_configs(FunctionName=name)["FunctionEventInvokeConfigs"] == []
    assert environments(aws, name) == []
    assert payload(awslambda.invoke(FunctionName=name, Qualifier="live")) == "on-demand"


@fact("ReservedConcurrency", "leaves 100 beside what others have provisioned, too", source=PROVISIONED)
def test_a_reservation_counts_what_others_have_provisioned(aws: Aws) -> None:
    client = aws.client("lambda", region="ap-southeast-2")
    names = [unique(), unique()]
    for name in names:
        client.create_function(
            FunctionName=name,
            Runtime="python3.13",
            Handler="app.handler",
            Role="arn:aws:iam::123456789012:role/r",
            Code={"ZipFile": zipped({"app.py": KIND})},
        )
        client.publish_version(FunctionName=name)
    provision(client, names[0], "1", 2)

    refused = refusal(client.put_function_concurrency, FunctionName=names[1], ReservedConcurrentExecutions=899)
    client.put_function_concurrency(FunctionName=names[1], ReservedConcurrentExecutions=898)

    assert "below its minimum value of [100]" in refused.message


@fact(
    "rates of the control plane",
    "15 calls a second, 100 of GetFunction; more are refused with 429",
    here="not",
    gap="nobody is slowed down",
    source="https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html",
)
def test_calls_of_the_control_plane_are_not_limited(awslambda: Any, function: Maker) -> None:
    name = function(ECHO)

    for _ in range(110):
        awslambda.get_function(FunctionName=name)
