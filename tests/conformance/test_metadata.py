"""Metadata endpoint.

What an execution environment may ask about itself.
"""

from __future__ import annotations

from typing import Any

import pytest

from lambdaform.local.lambda_.metadata import zone_of
from tests.conformance.facts import fact
from tests.local.conftest import Maker, payload

PAGE = "https://docs.aws.amazon.com/lambda/latest/dg/configuration-metadata-endpoint.html"
ASK = """\
import http.client, json, os
def handler(event, context):
    connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_METADATA_API"])
    token = os.environ["AWS_LAMBDA_METADATA_TOKEN"]
    headers = {"Authorization": event.get("authorization", f"Bearer {token}")}
    connection.request(event.get("method", "GET"), "/2026-01-15/metadata/execution-environment", headers=headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    return answer.status, json.loads(text) if text else None, answer.getheader("Cache-Control"), token
"""


@fact("metadata", "tells the Availability Zone, to who has the environment's token", source=PAGE)
def test_an_environment_can_ask_where_it_is(awslambda: Any, function: Maker) -> None:
    name = function(ASK)

    answer, again = (payload(awslambda.invoke(FunctionName=name)) for _ in range(2))

    assert answer[:3] == [200, {"AvailabilityZoneID": "use1-az1"}, "private, max-age=43200, immutable"]
    assert answer == again


@fact("metadata", "401 with another token, 405 with another method", source=PAGE)
def test_other_requests_for_metadata_are_refused(awslambda: Any, function: Maker) -> None:
    name = function(ASK)

    def status(event: bytes) -> int:
        return payload(awslambda.invoke(FunctionName=name, Payload=event))[0]

    assert status(b'{"authorization": "Bearer other"}') == 401
    assert status(b'{"method": "POST"}') == 405


@pytest.mark.parametrize(
    ("region", "zone"),
    [
        ("us-east-1", "use1-az1"),
        ("eu-central-2", "euc2-az1"),
        ("ap-southeast-7", "apse7-az1"),
        ("ap-northeast-1", "apne1-az1"),
        ("us-gov-west-1", "usgw1-az1"),
        ("cn-northwest-1", "cnnw1-az1"),
        ("nowhere", "nowhere-az1"),
    ],
)
def test_zones_are_named_after_their_region(region: str, zone: str) -> None:
    assert zone_of(region) == zone
