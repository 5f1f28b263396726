"""Sample events are made from the declaration, and say what the test wants them to say."""

import base64
import gzip
import json
from typing import Any

import pytest

from lambdaform.model.code import Code
from lambdaform.model.graph import Graph, GraphBuilder
from lambdaform.model.problem import LambdaformError
from lambdaform.resources.lambda_function import Function
from lambdaform.testing.events import EVENTS, OF_RESOURCE, sample_event
from lambdaform.testing.sources import event_of, node_called, sources_of
from lambdaform.triggers.mq_queue import MqQueue
from stacks.app import Orders

ACCOUNT = "123456789012"


@pytest.fixture(scope="module")
def graph() -> Graph:
    return Orders().graph()


def test_a_queue_sends_its_own_arn_and_the_body_it_is_given(graph: Graph) -> None:
    [record] = event_of(graph, node_called(graph, "inbox"), account=ACCOUNT, body={"id": 7})["Records"]

    assert record["eventSourceARN"] == "arn:aws:sqs:us-east-1:123456789012:orders-dev-inbox"
    assert json.loads(record["body"]) == {"id": 7}


def test_a_function_gets_the_event_of_its_only_source(graph: Graph) -> None:
    by_function = event_of(graph, node_called(graph, "worker"), account=ACCOUNT, body="x")

    assert by_function == event_of(graph, node_called(graph, "inbox"), account=ACCOUNT, body="x")


def test_a_url_gets_the_request_as_payload_2(graph: Graph) -> None:
    event = event_of(graph, node_called(graph, "api"), account=ACCOUNT, method="GET", path="/x", query={"a": "1 2"})

    assert event["requestContext"]["http"]["method"] == "GET"
    assert (event["rawPath"], event["rawQueryString"], event["queryStringParameters"]) == ("/x", "a=1+2", {"a": "1 2"})
    assert "body" not in event


def test_a_rule_sends_what_its_pattern_lets_through(graph: Graph) -> None:
    event = event_of(graph, node_called(graph, "auditor"), account=ACCOUNT, detail={"id": 1})

    assert (event["source"], event["detail-type"], event["detail"]) == ("shop", "order cancelled", {"id": 1})


def test_a_table_tells_inserts_changes_and_removals_apart() -> None:
    def kind(**images: Any) -> str:
        event = sample_event("dynamodb", region="eu-west-1", account=ACCOUNT, **images)
        return event["Records"][0]["eventName"]

    assert kind(new={"id": "1"}) == "INSERT"
    assert kind(new={"id": "1"}, old={"id": "1"}) == "MODIFY"
    assert kind(old={"id": "1"}) == "REMOVE"


def test_items_of_a_table_carry_types() -> None:
    event = sample_event("dynamodb", region="r", account=ACCOUNT, new={"id": "1", "n": 2, "l": [True, None], "m": {}})

    assert event["Records"][0]["dynamodb"]["NewImage"] == {
        "id": {"S": "1"},
        "n": {"N": "2"},
        "l": {"L": [{"BOOL": True}, {"NULL": True}]},
        "m": {"M": {}},
    }


def test_log_lines_are_packed_as_a_subscription_packs_them() -> None:
    event = sample_event("logs", region="r", account=ACCOUNT, name="/a", messages=("one", "two"))

    document = json.loads(gzip.decompress(base64.b64decode(event["awslogs"]["data"])))
    assert (document["logGroup"], [each["message"] for each in document["logEvents"]]) == ("/a", ["one", "two"])


def test_a_field_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(LambdaformError) as caught:
        sample_event("sqs", region="r", account=ACCOUNT, text="x")

    assert "no text" in str(caught.value)
    assert caught.value.hint == "it takes body, attributes, group"


def test_a_name_nobody_has_is_answered_with_the_nearest(graph: Graph) -> None:
    with pytest.raises(LambdaformError) as caught:
        node_called(graph, "imbox")

    assert caught.value.hint == "did you mean inbox?"


def test_every_kind_of_resource_that_sends_has_a_kind_of_event(graph: Graph) -> None:
    assert set(OF_RESOURCE.values()) <= EVENTS.keys()
    assert [node.name for node in sources_of(graph, node_called(graph, "report"))] == ["report"]


def test_events_of_brokers_carry_what_is_sent_in_base64() -> None:
    record = sample_event("msk", region="r", account=ACCOUNT, name="orders", value={"id": 7}, headers={"a": "b"})
    message = sample_event("rabbitmq", region="r", account=ACCOUNT, name="orders", data="text")
    change = sample_event("documentdb", region="r", account=ACCOUNT, name="shop", operation="delete")

    [kept] = record["records"]["orders-0"]
    assert json.loads(base64.b64decode(kept["value"])) == {"id": 7}
    assert kept["headers"] == [{"a": [98]}]
    [sent] = message["rmqMessagesByQueue"]["orders::/"]
    assert base64.b64decode(sent["data"]) == b"text"
    assert change["events"][0]["event"]["ns"] == {"db": "shop", "coll": "sample"}
    assert "fullDocument" not in change["events"][0]["event"]


def test_the_event_of_a_function_on_a_broker_is_that_of_its_trigger() -> None:
    broker = "arn:aws:mq:eu-central-1:123456789012:broker:shop:b-1"
    queue = MqQueue("orders", broker=broker, secret="arn:aws:secretsmanager:r:1:secret:s", virtual_host="/shop")
    worker = Function("app.handler", Code("."), triggers=[queue])
    built = GraphBuilder("shop", "dev", "eu-central-1").build({"worker": worker})

    event = event_of(built, node_called(built, "worker"), account=ACCOUNT)

    assert list(event["rmqMessagesByQueue"]) == ["orders::/shop"]
