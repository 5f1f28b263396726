"""Tenant isolation.

Environments that serve one tenant each.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conformance.facts import fact
from tests.local.conftest import Aws, Maker, Virtual, environments, own, payload, refusal, until

PAGE = "https://docs.aws.amazon.com/lambda/latest/dg/tenant-isolation.html"
WHO = """\
seen = []
def handler(event, context):
    seen.append(context.tenant_id)
    return seen
"""
ISOLATED = {"TenancyConfig": {"TenantIsolationMode": "PER_TENANT"}}


def asked(awslambda: Any, name: str, tenant: str, **params: Any) -> Any:
    """What an invocation for a tenant answers."""
    return payload(awslambda.invoke(FunctionName=name, TenantId=tenant, **params))


@fact("TenancyConfig", "no environment serves two tenants, and each finds its own again", source=PAGE)
def test_each_tenant_has_environments_of_its_own(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(WHO, **ISOLATED)

    found = [asked(awslambda, name, tenant) for tenant in ("blue", "green", "blue", "green", "green")]

    assert found[-2:] == [["green", "green"], ["green", "green", "green"]]
    assert found[:3] == [["blue"], ["green"], ["blue", "blue"]]
    assert sorted(each["tenant"] for each in environments(aws, name)) == ["blue", "green"]


@fact("TenancyConfig", "the context has the tenant, for asynchronous events as well", source=PAGE)
def test_an_asynchronous_event_is_for_its_tenant(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(WHO, **ISOLATED)

    awslambda.invoke(FunctionName=name, TenantId="blue", InvocationType="Event")

    until(lambda: [each["result"] for each in own(aws, "GET", f"invocations?function={name}")[1]] == [["blue"]])


@fact("TenancyConfig", "the context of a streamed answer has the tenant", source=PAGE)
def test_a_streamed_answer_is_for_its_tenant(awslambda: Any, function: Maker) -> None:
    answer = awslambda.invoke_with_response_stream(FunctionName=function(WHO, **ISOLATED), TenantId="blue")

    pieces = b"".join(each["PayloadChunk"]["Payload"] for each in answer["EventStream"] if "PayloadChunk" in each)
    assert json.loads(pieces) == ["blue"]


@fact(
    "TenancyConfig",
    "a tenant is needed with it and refused without it",
    source="https://docs.aws.amazon.com/lambda/latest/dg/tenant-isolation-troubleshooting.html",
)
@pytest.mark.parametrize("kind", ["RequestResponse", "Event"])
def test_a_tenant_is_given_where_it_is_needed_and_only_there(awslambda: Any, function: Maker, kind: str) -> None:
    isolated, ordinary = function(WHO, **ISOLATED), function(WHO)
    asked(awslambda, isolated, "blue")  # from now on there are warm ones
    awslambda.invoke(FunctionName=ordinary)

    without = refusal(awslambda.invoke, FunctionName=isolated, InvocationType=kind)
    needless = refusal(awslambda.invoke, FunctionName=ordinary, TenantId="blue", InvocationType=kind)

    assert {(each.code, each.status) for each in (without, needless)} == {("InvalidParameterValueException", 400)}


@fact(
    "TenancyConfig",
    "excludes function URLs, provisioned concurrency, event source mappings and SnapStart",
    source="https://docs.aws.amazon.com/cdk/api/v2/docs/aws-cdk-lib.aws_lambda.TenancyConfig.html",
)
def test_what_knows_no_tenant_is_refused(aws: Aws, awslambda: Any, function: Maker) -> None:
    name = function(WHO, Publish=True, **ISOLATED)
    _, queue = Virtual(aws).queue()

    refused = [
        refusal(awslambda.create_function_url_config, FunctionName=name, AuthType="NONE"),
        refusal(
            awslambda.put_provisioned_concurrency_config,
            FunctionName=name,
            Qualifier="1",
            ProvisionedConcurrentExecutions=1,
        ),
        refusal(awslambda.create_event_source_mapping, FunctionName=name, EventSourceArn=queue),
        refusal(awslambda.update_function_configuration, FunctionName=name, SnapStart={"ApplyOn": "PublishedVersions"}),
    ]

    assert {each.code for each in refused} == {"InvalidParameterValueException"}
