"""Metrics.

https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
"""

from __future__ import annotations

import datetime
from typing import Any

from tests.conformance.facts import fact
from tests.local.conftest import Aws, Maker, refusal, unique, until

METRICS = "https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html"
FAILS_ON_DEMAND = "def handler(event, context):\n    if event.get('fail'):\n        raise ValueError('no')\n"


def total(aws: Aws, metric: str, *, statistic: str = "Sum", **dimensions: str) -> float:
    now = datetime.datetime.now(datetime.UTC)
    answer = aws.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/Lambda",
        MetricName=metric,
        Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
        StartTime=now - datetime.timedelta(minutes=10),
        EndTime=now + datetime.timedelta(minutes=10),
        Period=3600,
        Statistics=[statistic],
    )
    return sum(point[statistic] for point in answer["Datapoints"])


@fact("Invocations, Errors, Duration", "are told by function; a failure counts as both of the first", source=METRICS)
def test_invocations_and_errors_are_counted(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(FAILS_ON_DEMAND)
    for event in (b"{}", b'{"fail": true}', b"{}"):
        awslambda.invoke(FunctionName=name, Payload=event)["Payload"].read()

    assert total(aws, "Invocations", FunctionName=name) == 3
    assert total(aws, "Errors", FunctionName=name) == 1
    assert 0 < total(aws, "Duration", statistic="Maximum", FunctionName=name) < 3000
    assert total(aws, "ConcurrentExecutions", statistic="Maximum", FunctionName=name) == 1


@fact("Throttles", "count what was refused, which counts nowhere else", source=METRICS)
def test_throttles_are_counted_apart(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(FAILS_ON_DEMAND)
    awslambda.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    refusal(awslambda.invoke, FunctionName=name)

    assert total(aws, "Throttles", FunctionName=name) == 1
    assert total(aws, "Invocations", FunctionName=name) == 0


@fact("Resource", "what is called by an alias or version is told by that as well", source=METRICS)
def test_qualified_invocations_are_told_by_their_qualifier(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(FAILS_ON_DEMAND, Publish=True)
    awslambda.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    awslambda.invoke(FunctionName=name, Qualifier="live")["Payload"].read()
    awslambda.invoke(FunctionName=name)["Payload"].read()

    assert total(aws, "Invocations", FunctionName=name) == 2
    assert total(aws, "Invocations", FunctionName=name, Resource=f"{name}:live") == 1


@fact("AsyncEventsReceived", "counts events taken into the queue", source=METRICS)
def test_asynchronous_events_are_counted(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(FAILS_ON_DEMAND)
    awslambda.invoke(FunctionName=name, InvocationType="Event", Payload=b"{}")

    assert total(aws, "AsyncEventsReceived", FunctionName=name) == 1


@fact("AsyncEventsDropped, DeadLetterErrors", "count events given up, and dead letters nobody took", source=METRICS)
def test_what_is_given_up_is_counted(aws: Aws, awslambda: Any, function: Maker) -> None:
    sqs = aws.client("sqs")
    url = sqs.create_queue(QueueName=unique("dead"))["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    name = function(FAILS_ON_DEMAND, DeadLetterConfig={"TargetArn": arn})
    awslambda.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0)
    sqs.delete_queue(QueueUrl=url)

    awslambda.invoke(FunctionName=name, InvocationType="Event", Payload=b'{"fail": true}')

    until(lambda: total(aws, "DeadLetterErrors", FunctionName=name) == 1)
    assert total(aws, "AsyncEventsDropped", FunctionName=name) == 1


@fact("ListMetrics", "lists what was counted in AWS/Lambda once, by each set of dimensions", source=METRICS)
def test_metrics_are_listed(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(FAILS_ON_DEMAND, Publish=True)
    for qualifier in ({}, {}, {"Qualifier": "1"}):
        awslambda.invoke(FunctionName=name, **qualifier)["Payload"].read()

    found = aws.client("cloudwatch").list_metrics(
        Namespace="AWS/Lambda", Dimensions=[{"Name": "FunctionName", "Value": name}]
    )["Metrics"]

    counted = ("Invocations", "Errors", "Throttles", "Duration", "ConcurrentExecutions")
    assert sorted((each["MetricName"], len(each["Dimensions"])) for each in found) == sorted(
        (metric, dimensions) for metric in counted for dimensions in (1, 2)
    )


@fact("GetMetricData", "finds metrics by each set of dimensions", source=METRICS)
def test_metrics_are_found_by_queries(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(FAILS_ON_DEMAND, Publish=True)
    awslambda.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    for qualifier in ({}, {"Qualifier": "live"}, {"Qualifier": "live"}):
        awslambda.invoke(FunctionName=name, **qualifier)["Payload"].read()

    def query(identifier: str, **dimensions: str) -> dict[str, Any]:
        named = [{"Name": key, "Value": value} for key, value in dimensions.items()]
        metric = {"Namespace": "AWS/Lambda", "MetricName": "Invocations", "Dimensions": named}
        return {"Id": identifier, "MetricStat": {"Metric": metric, "Period": 3600, "Stat": "Sum"}}

    now = datetime.datetime.now(datetime.UTC)
    found = aws.client("cloudwatch").get_metric_data(
        MetricDataQueries=[
            query("all", FunctionName=name),
            query("live", Resource=f"{name}:live", FunctionName=name),
            query("none", FunctionName=name, Resource=f"{name}:other"),
        ],
        StartTime=now - datetime.timedelta(minutes=10),
        EndTime=now + datetime.timedelta(minutes=10),
    )["MetricDataResults"]

    assert {each["Id"]: sum(each["Values"]) for each in found} == {"all": 3, "live": 2, "none": 0}


@fact(
    "CPUThrottles, SignatureValidationErrors",
    "are told",
    here="not",
    gap="what they would count is not there: managed instances, signature checks",
    source=METRICS,
)
def test_metrics_of_what_is_not_there_are_not_listed(aws: Aws) -> None:
    listed = {each["MetricName"] for each in aws.client("cloudwatch").list_metrics(Namespace="AWS/Lambda")["Metrics"]}

    assert not listed & {"CPUThrottles", "SignatureValidationErrors"}
