"""Event source mappings over time.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventsourcemapping.html
"""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

import attrs
import pytest

from tests.conformance.facts import fact
from tests.local.conftest import Virtual, refusal, start, stop, unique

STATES = "https://docs.aws.amazon.com/lambda/latest/api/API_EventSourceMappingConfiguration.html"
UPDATE = "https://docs.aws.amazon.com/lambda/latest/api/API_UpdateEventSourceMapping.html"
DELETE = "https://docs.aws.amazon.com/lambda/latest/api/API_DeleteEventSourceMapping.html"
KINESIS = "https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-create.html"
FAILS_ON_REQUEST = (
    "import base64\n"
    "def handler(event, context):\n"
    "    assert base64.b64decode(event['Records'][0]['kinesis']['data']) != b'bad'\n"
)
SETTLE = 10


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Generator[Virtual]:
    """A local AWS whose functions and mappings take ten virtual seconds to be ready."""
    process, aws = start(tmp_path_factory.mktemp("slow"), "--clock", "virtual", "--settle", str(SETTLE))
    yield Virtual(aws)
    stop(process)


@attrs.frozen
class Life:
    """A mapping whose state is looked at."""

    virtual: Virtual
    client: Any
    uuid: str

    def shown(self) -> Any:
        return self.client.get_event_source_mapping(UUID=self.uuid)

    def change(self, **settings: Any) -> Any:
        return self.client.update_event_source_mapping(UUID=self.uuid, **settings)

    def settle(self) -> str:
        self.virtual.advance(SETTLE)
        return str(self.shown()["State"])


def function(slow: Virtual, source: str = FAILS_ON_REQUEST) -> str:
    name = slow.function(source)
    slow.advance(SETTLE)
    return name


@pytest.fixture
def queue(slow: Virtual) -> Life:
    """A mapping of a queue, just created."""
    client = slow.aws.client("lambda")
    made = client.create_event_source_mapping(FunctionName=function(slow), EventSourceArn=slow.queue()[1])
    assert (made["State"], made["StateTransitionReason"]) == ("Creating", "USER_INITIATED")
    return Life(slow, client, made["UUID"])


@pytest.fixture
def stream(slow: Virtual) -> tuple[Life, str]:
    """A mapping of a stream, just created, and the stream's name."""
    client, kinesis, name = slow.aws.client("lambda"), slow.aws.client("kinesis"), unique("stream")
    kinesis.create_stream(StreamName=name, ShardCount=1)
    arn = kinesis.describe_stream(StreamName=name)["StreamDescription"]["StreamARN"]
    made = client.create_event_source_mapping(
        FunctionName=function(slow), EventSourceArn=arn, StartingPosition="TRIM_HORIZON", MaximumRetryAttempts=0
    )
    assert (made["State"], made["StateTransitionReason"]) == ("Creating", "User action")
    assert made["LastProcessingResult"] == "No records processed"
    return Life(slow, client, made["UUID"]), name


@fact("State", "is Creating at first, Enabled when the mapping works", source=STATES)
def test_a_mapping_is_created_and_then_enabled(slow: Virtual, queue: Life) -> None:
    slow.advance(SETTLE - 1)
    assert queue.shown()["State"] == "Creating"

    slow.advance(1)
    assert queue.shown()["State"] == "Enabled"


@fact("State", "is Disabled in the end when the mapping is made switched off", source=STATES)
def test_a_mapping_made_switched_off_is_disabled(slow: Virtual) -> None:
    client = slow.aws.client("lambda")
    made = client.create_event_source_mapping(
        FunctionName=function(slow), EventSourceArn=slow.queue()[1], Enabled=False
    )

    assert made["State"] == "Creating"
    assert Life(slow, client, made["UUID"]).settle() == "Disabled"


@fact("State", "is Updating, Disabling, Enabling while a change is made", source=STATES)
def test_changes_take_their_time(queue: Life) -> None:
    queue.settle()

    assert queue.change(BatchSize=5)["State"] == "Updating"
    assert queue.settle() == "Enabled"
    assert queue.change(Enabled=False)["State"] == "Disabling"
    assert queue.settle() == "Disabled"
    assert queue.change(BatchSize=6, Enabled=False)["State"] == "Updating"
    assert queue.settle() == "Disabled"
    assert queue.change(Enabled=True)["State"] == "Enabling"
    assert queue.settle() == "Enabled"
    assert queue.shown()["BatchSize"] == 6


@fact("State", "is Deleting for a while, then the mapping is gone", source=DELETE)
def test_a_deleted_mapping_is_gone_after_a_while(slow: Virtual, queue: Life) -> None:
    queue.settle()
    deleted = queue.client.delete_event_source_mapping(UUID=queue.uuid)

    assert deleted["State"] == "Deleting"
    assert queue.shown()["State"] == "Deleting"
    slow.advance(SETTLE)
    missing = refusal(queue.client.get_event_source_mapping, UUID=queue.uuid)
    assert (missing.code, missing.status) == ("ResourceNotFoundException", 404)


@fact("ResourceInUseException", "refuses to change or delete what is being created, changed or deleted", source=UPDATE)
def test_a_mapping_in_transition_is_in_use(queue: Life) -> None:
    found = [refusal(queue.change, BatchSize=5), refusal(queue.client.delete_event_source_mapping, UUID=queue.uuid)]
    queue.settle()
    queue.change(BatchSize=5)
    found += [refusal(queue.change, BatchSize=6)]
    queue.settle()
    queue.client.delete_event_source_mapping(UUID=queue.uuid)
    found += [refusal(queue.client.delete_event_source_mapping, UUID=queue.uuid)]

    assert {(each.code, each.status) for each in found} == {("ResourceInUseException", 400)}
    assert found[0].message == "Cannot update the event source mapping because it is in use."


@fact("UpdateEventSourceMapping", "of a stream shows new settings when they hold, not before", source=KINESIS)
def test_a_stream_shows_its_new_settings_when_they_hold(stream: tuple[Life, str]) -> None:
    life, _ = stream
    life.settle()

    assert life.change(BatchSize=7)["BatchSize"] == 100
    life.settle()
    assert life.shown()["BatchSize"] == 7


@fact(
    "LastProcessingResult",
    "says of a stream whether its latest batch went well, also after a change or while it is switched off",
    source=STATES,
)
def test_the_last_result_of_a_stream_is_told(slow: Virtual, stream: tuple[Life, str]) -> None:
    life, name = stream
    life.settle()
    kinesis = slow.aws.client("kinesis")
    kinesis.put_record(StreamName=name, Data=b"good", PartitionKey="p")
    slow.advance(2)
    good = life.shown()["LastProcessingResult"]
    kinesis.put_record(StreamName=name, Data=b"bad", PartitionKey="p")
    slow.advance(2)
    bad = life.shown()["LastProcessingResult"]
    life.change(Enabled=False)
    life.settle()

    assert (good, bad) == ("OK", "PROBLEM: Function call failed")
    assert life.shown()["LastProcessingResult"] == bad


@fact("LastProcessingResult", "is not told of a queue", source=STATES)
def test_a_queue_has_no_last_result(queue: Life) -> None:
    assert "LastProcessingResult" not in queue.shown()


@fact("DeleteFunction", "leaves the function's mappings where they are", source=DELETE)
def test_a_mapping_outlives_its_function(slow: Virtual, queue: Life) -> None:
    queue.settle()
    queue.client.delete_function(FunctionName=queue.shown()["FunctionArn"])
    slow.advance(SETTLE)

    assert queue.shown()["State"] == "Enabled"


@fact("FilterCriteria", "without filters is accepted and not shown", source=STATES)
def test_no_filters_are_not_shown(queue: Life) -> None:
    queue.settle()
    pattern = json.dumps({"body": {"a": [1]}})
    queue.change(FilterCriteria={"Filters": [{"Pattern": pattern}]})
    queue.settle()
    assert queue.shown()["FilterCriteria"] == {"Filters": [{"Pattern": pattern}]}

    queue.change(FilterCriteria={"Filters": []})
    queue.settle()
    assert "FilterCriteria" not in queue.shown()
