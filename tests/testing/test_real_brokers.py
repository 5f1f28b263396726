"""A stack whose function reads a real Kafka, from the declaration to the test's own records."""

from __future__ import annotations

from pathlib import Path

import pytest

from lambdaform.local.brokers import VARIABLE
from lambdaform.model.code import PythonCode
from lambdaform.model.problem import LambdaformError
from lambdaform.resources.lambda_function import Function
from lambdaform.stack import Stack
from lambdaform.triggers.kafka_topic import KafkaTopic
from tests.kafka import Kafka

SECRET = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:broker-AbCdEf"
HANDLER = (
    "import os\n"
    "def handler(event, context):\n"
    f"    return [len(held) for held in event['records'].values()] + [{VARIABLE!r} in os.environ]\n"
)


@pytest.fixture
def worker(tmp_path: Path) -> Function:
    """A function that reads a topic of a production that is somewhere else."""
    (tmp_path / "app.py").write_text(HANDLER)
    topic = KafkaTopic("orders", servers=["broker.example:9092"], secret=SECRET, starting_position="TRIM_HORIZON")
    return Function("app.handler", PythonCode(str(tmp_path)), triggers=[topic])


def test_records_of_the_given_broker_reach_the_function_and_its_address_does_not(worker: Function) -> None:
    class Reading(Stack):
        function = worker

    kafka = Kafka()
    with Reading.local(clock="virtual", brokers={"broker.example:9092": f"kafka://{kafka.address}"}) as aws:
        kafka.send("orders", "a", "b")
        aws.clock.advance(seconds=1)
        [invocation] = aws.invocations(worker)

    assert invocation.result == [2, False]
    assert invocation.event["bootstrapServers"] == "broker.example:9092"


def test_what_is_no_address_is_said_before_anything_starts(worker: Function) -> None:
    class Reading(Stack):
        function = worker

    with (
        pytest.raises(LambdaformError, match="did you mean kafka"),
        Reading.local(brokers={"kafak": "kafka://localhost"}),
    ):
        pass
