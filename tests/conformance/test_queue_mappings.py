"""Queues as event sources.

https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conformance.facts import fact
from tests.local.conftest import Virtual, own, refusal, unique

SQS = "https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html"
ERRORS = "https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html"
SCALING = "https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html"
FILTERS = "https://docs.aws.amazon.com/lambda/latest/dg/with-sqs-filtering.html"
POLLERS = "https://docs.aws.amazon.com/lambda/latest/api/API_ProvisionedPollerConfig.html"
CONFIGURE = "https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html"
BATCHING = f"{SQS.rpartition('/')[0]}/invocation-eventsourcemapping.html#invocation-eventsourcemapping-batching"
SLOW = {"BatchSize": 100, "MaximumBatchingWindowInSeconds": 20}
ECHO = "def handler(event, context):\n    return None\n"
FAILS = "def handler(event, context):\n    raise ValueError('no')\n"
NAMES_BAD_ONES = (
    "def handler(event, context):\n"
    "    bad = [each['messageId'] for each in event['Records'] if each['body'] == 'bad']\n"
    "    return {'batchItemFailures': [{'itemIdentifier': each} for each in bad]}\n"
)


def mapped(virtual: Virtual, source: str, queue: str, **settings: Any) -> tuple[str, str]:
    """A function that reads a queue: its name, and the mapping's UUID."""
    name = virtual.function(source)
    client = virtual.aws.client("lambda")
    made = client.create_event_source_mapping(FunctionName=name, EventSourceArn=queue, **settings)
    virtual.advance(1)
    return name, str(made["UUID"])


def send(virtual: Virtual, url: str, *bodies: str, **more: Any) -> None:
    for start in range(0, len(bodies), 10):
        entries = [{"Id": str(n), "MessageBody": body, **more} for n, body in enumerate(bodies[start : start + 10])]
        virtual.aws.client("sqs").send_message_batch(QueueUrl=url, Entries=entries)


def fifo_queue(virtual: Virtual, **attributes: str) -> tuple[str, str]:
    """A FIFO queue: its URL and ARN."""
    sqs = virtual.aws.client("sqs")
    given = {"FifoQueue": "true", "ContentBasedDeduplication": "true", **attributes}
    url = sqs.create_queue(QueueName=f"{unique('q')}.fifo", Attributes=given)["QueueUrl"]
    return url, sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def batches(virtual: Virtual, name: str) -> list[list[str]]:
    """The bodies of each invocation's records."""
    found: list[dict[str, Any]] = own(virtual.aws, "GET", f"invocations?function={name}")[1]
    return [[record["body"] for record in each["event"]["Records"]] for each in found]


@fact("records", "carry id, body, attributes, ARN and Region as in Lambda", source=SQS)
def test_a_message_becomes_a_record(virtual: Virtual) -> None:
    url, arn = virtual.queue()
    name, _ = mapped(virtual, ECHO, arn)
    send(virtual, url, "hello")
    virtual.advance(1)

    [invocation] = own(virtual.aws, "GET", f"invocations?function={name}")[1]
    [record] = invocation["event"]["Records"]
    assert (record["body"], record["eventSource"], record["eventSourceARN"]) == ("hello", "aws:sqs", arn)
    assert record["attributes"]["ApproximateReceiveCount"] == "1"
    assert set(record["attributes"]) == {
        "ApproximateReceiveCount",
        "SentTimestamp",
        "SenderId",
        "ApproximateFirstReceiveTimestamp",
    }
    assert record["messageAttributes"] == {}


@fact("success", "deletes the batch's messages", source=SQS)
def test_what_succeeds_is_deleted(virtual: Virtual) -> None:
    url, arn = virtual.queue()
    mapped(virtual, ECHO, arn)
    send(virtual, url, "a", "b")
    virtual.advance(1)

    assert virtual.messages(arn) == []


@fact(
    "failure",
    "returns the whole batch after the visibility timeout, and to its dead-letter queue after its receives",
    source=ERRORS,
)
def test_a_failing_batch_comes_back_and_ends_in_the_dead_letter_queue(virtual: Virtual) -> None:
    _, dead = virtual.queue()
    redrive = json.dumps({"deadLetterTargetArn": dead, "maxReceiveCount": 2})
    url, arn = virtual.queue(VisibilityTimeout="30", RedrivePolicy=redrive)
    name, _ = mapped(virtual, FAILS, arn)
    send(virtual, url, "a", "b")

    virtual.advance(29)
    before = len(batches(virtual, name))
    virtual.advance(2)
    after = len(batches(virtual, name))
    virtual.advance(60)

    assert before < after
    assert sorted(virtual.messages(dead)) == ["a", "b"]
    assert virtual.messages(arn) == []


@fact("ReportBatchItemFailures", "only what is named comes back", source=ERRORS)
def test_only_named_messages_come_back(virtual: Virtual) -> None:
    url, arn = virtual.queue(VisibilityTimeout="30")
    mapped(virtual, NAMES_BAD_ONES, arn, FunctionResponseTypes=["ReportBatchItemFailures"])
    send(virtual, url, "good", "bad", "fine")
    virtual.advance(1)

    assert virtual.messages(arn) == ["bad"]


@pytest.mark.parametrize(
    ("answer", "left"),
    [
        ("None", 0),
        ("{}", 0),
        ("[]", 0),
        ("''", 0),
        ("{'batchItemFailures': None}", 0),
        ("{'batchItemFailures': []}", 0),
        ("'text'", 2),
        ("{'batchItemFailures': 'text'}", 2),
        ("{'batchItemFailures': [{'itemIdentifier': ''}]}", 2),
        ("{'batchItemFailures': [{'itemIdentifier': None}]}", 2),
        ("{'batchItemFailures': [{'itemIdentifier': 7}]}", 2),
        ("{'batchItemFailures': [{'itemIdentifier': 'unknown'}]}", 2),
        ("{'batchItemFailures': [{'itemIdentifier': event['Records'][0]['messageId']}, {'itemIdentifier': ''}]}", 2),
        ("{'batchItemFailures': [{'id': 'x'}]}", 2),
        ("{'batchItemFailures': [{'itemIdentifier': event['Records'][0]['messageId']}]}", 1),
        ("1 / 0", 2),
        ("__import__('os')._exit(1)", 2),
    ],
)
@fact("ReportBatchItemFailures", "which answers mean success, and which that all has failed", source=ERRORS)
def test_answers_that_name_nothing_or_nonsense(virtual: Virtual, answer: str, left: int) -> None:
    url, arn = virtual.queue(VisibilityTimeout="60")
    source = f"def handler(event, context):\n    return {answer}\n"
    mapped(virtual, source, arn, FunctionResponseTypes=["ReportBatchItemFailures"])
    send(virtual, url, "a", "b")
    virtual.advance(1)

    assert len(virtual.messages(arn)) == left


@fact("FunctionResponseTypes", "without it an answer is not looked at: what does not fail is done", source=ERRORS)
def test_an_answer_is_not_looked_at_without_being_asked_for(virtual: Virtual) -> None:
    url, arn = virtual.queue(VisibilityTimeout="60")
    mapped(virtual, NAMES_BAD_ONES, arn)
    send(virtual, url, "bad")
    virtual.advance(1)

    assert virtual.messages(arn) == []


@fact("batch", "ends before 6 MB of payload; the record that is too many waits for the next", source=BATCHING)
def test_a_batch_has_at_most_six_megabytes(virtual: Virtual) -> None:
    url, arn = virtual.queue(VisibilityTimeout="120")
    name, _ = mapped(virtual, "def handler(event, context):\n    pass\n", arn, **SLOW)
    for number in range(8):
        virtual.aws.client("sqs").send_message(QueueUrl=url, MessageBody=str(number) * 1_000_000)
    virtual.advance(30)

    found: list[dict[str, Any]] = own(virtual.aws, "GET", f"invocations?function={name}")[1]
    assert [len(each["event"]["Records"]) for each in found] == [6, 2]
    assert max(len(json.dumps(each["event"])) for each in found) <= 6 * 1024 * 1024


@fact("BatchSize", "bounds a batch; 10 by default", source=CONFIGURE)
@pytest.mark.parametrize(("settings", "largest"), [({}, 10), ({"BatchSize": 3}, 3)])
def test_a_batch_has_at_most_its_size(virtual: Virtual, settings: dict[str, Any], largest: int) -> None:
    url, arn = virtual.queue()
    name, uuid = mapped(virtual, ECHO, arn, **settings)
    client = virtual.aws.client("lambda")
    client.update_event_source_mapping(UUID=uuid, Enabled=False)
    virtual.advance(1)
    send(virtual, url, *(str(number) for number in range(25)))
    client.update_event_source_mapping(UUID=uuid, Enabled=True)
    virtual.advance(5)

    found = batches(virtual, name)
    assert sum(len(batch) for batch in found) == 25
    assert max(len(batch) for batch in found) == largest


@fact("MaximumBatchingWindowInSeconds", "gathers messages until it is over", source=CONFIGURE)
def test_a_window_gathers_messages(virtual: Virtual) -> None:
    url, arn = virtual.queue(VisibilityTimeout="120")
    name, _ = mapped(virtual, ECHO, arn, MaximumBatchingWindowInSeconds=20, BatchSize=100)
    send(virtual, url, "a")
    virtual.advance(10)
    send(virtual, url, "b")
    before = batches(virtual, name)
    virtual.advance(11)

    assert before == []
    assert batches(virtual, name) == [["a", "b"]]


@fact("FilterCriteria", "messages that do not match are deleted and never seen", source=FILTERS)
def test_filtered_messages_are_deleted_unseen(virtual: Virtual) -> None:
    url, arn = virtual.queue()
    pattern = {"Pattern": json.dumps({"body": {"kind": ["order"]}})}
    name, _ = mapped(virtual, ECHO, arn, FilterCriteria={"Filters": [pattern]})
    send(virtual, url, json.dumps({"kind": "order"}), json.dumps({"kind": "other"}), "no json")
    virtual.advance(1)

    assert batches(virtual, name) == [[json.dumps({"kind": "order"})]]
    assert virtual.messages(arn) == []


@fact("FIFO queues", "keep the order of a group, and a failing batch blocks it", source=SQS)
def test_a_group_keeps_its_order(virtual: Virtual) -> None:
    url, arn = fifo_queue(virtual, VisibilityTimeout="30")
    source = (
        "seen = 0\n"
        "def handler(event, context):\n"
        "    global seen\n"
        "    seen += 1\n"
        "    if seen == 1:\n"
        "        raise ValueError\n"
    )
    name, _ = mapped(virtual, source, arn, BatchSize=1)
    for body in ("1", "2", "3"):
        virtual.aws.client("sqs").send_message(QueueUrl=url, MessageBody=body, MessageGroupId="g")
    virtual.advance(20)
    blocked = batches(virtual, name)
    virtual.advance(60)

    assert blocked == [["1"]]
    assert batches(virtual, name) == [["1"], ["1"], ["2"], ["3"]]


@fact("ScalingConfig", "MaximumConcurrency bounds the batches at work at a time", source=SCALING)
def test_maximum_concurrency_bounds_batches_at_work(virtual: Virtual) -> None:
    url, arn = virtual.queue(VisibilityTimeout="300")
    name, _ = mapped(virtual, ECHO, arn, BatchSize=1, ScalingConfig={"MaximumConcurrency": 2})
    function = virtual.aws.client("lambda").get_function_configuration(FunctionName=name)["FunctionArn"]
    own(virtual.aws, "POST", "faults", {"function": function, "lasts": 2})
    send(virtual, url, *(str(number) for number in range(6)))

    virtual.advance(1)
    first = len(batches(virtual, name))
    virtual.advance(2)
    second = len(batches(virtual, name))

    assert (first, second) == (0, 2)


@fact("Enabled", "a mapping that is switched off leaves the queue alone", source=CONFIGURE)
def test_a_mapping_that_is_off_leaves_the_queue_alone(virtual: Virtual) -> None:
    url, arn = virtual.queue()
    name, _ = mapped(virtual, ECHO, arn, Enabled=False)
    send(virtual, url, "a")
    virtual.advance(60)

    assert virtual.messages(arn) == ["a"]
    assert batches(virtual, name) == []


@fact(
    "CreateEventSourceMapping",
    "refuses a queue whose visibility timeout is below the function's timeout",
    source=CONFIGURE,
)
def test_a_short_visibility_timeout_is_refused(virtual: Virtual) -> None:
    _, arn = virtual.queue(VisibilityTimeout="2")

    refused = refusal(
        virtual.aws.client("lambda").create_event_source_mapping,
        FunctionName=virtual.function(ECHO),
        EventSourceArn=arn,
    )

    assert refused.code == "InvalidParameterValueException"
    assert "Queue visibility timeout: 2 seconds is less than Function timeout: 3 seconds" in refused.message


def at_work(virtual: Virtual, function: str, seconds: float) -> None:
    """Let every invocation of a function last that long."""
    arn = virtual.aws.client("lambda").get_function_configuration(FunctionName=function)["FunctionArn"]
    own(virtual.aws, "POST", "faults", {"function": arn, "lasts": seconds})


def begun(virtual: Virtual, function: str) -> int:
    """How many invocations of a function have begun."""
    steps = own(virtual.aws, "GET", "trace")[1]
    return sum(1 for step in steps if step["what"] == "invocation" and f":function:{function}" in step["subject"])


@fact("scaling", "a standard queue has 5 batches at work at first, and up to 300 more a minute", source=SCALING)
def test_a_backlog_is_worked_off_by_more_and_more(virtual: Virtual) -> None:
    url, arn = virtual.queue(VisibilityTimeout="900")
    name, _ = mapped(virtual, ECHO, arn, BatchSize=1)
    virtual.aws.client("lambda").update_function_configuration(FunctionName=name, Timeout=600)
    at_work(virtual, name, 300)
    send(virtual, url, *(str(number) for number in range(30)))
    virtual.advance(0)
    first = begun(virtual, name)
    virtual.advance(1)
    second = begun(virtual, name)
    virtual.advance(1)

    assert (first, second, begun(virtual, name)) == (5, 10, 15)


@fact("FIFO queues", "have one batch of a group at work at a time, of all active groups at once", source=SCALING)
def test_every_active_group_has_a_batch_at_work(virtual: Virtual) -> None:
    url, arn = fifo_queue(virtual, VisibilityTimeout="900")
    name, _ = mapped(virtual, ECHO, arn, BatchSize=1)
    at_work(virtual, name, 2)
    for number in range(16):
        body, group = str(number), f"g{number % 8}"
        virtual.aws.client("sqs").send_message(QueueUrl=url, MessageBody=body, MessageGroupId=group)
    virtual.advance(0)
    first = begun(virtual, name)
    virtual.advance(3)

    assert (first, begun(virtual, name)) == (8, 16)


@fact("FIFO queues", "a batch may hold messages of several groups", source=SCALING)
def test_a_batch_may_mix_groups(virtual: Virtual) -> None:
    url, arn = fifo_queue(virtual)
    name, uuid = mapped(virtual, ECHO, arn)
    client = virtual.aws.client("lambda")
    client.update_event_source_mapping(UUID=uuid, Enabled=False)
    virtual.advance(1)
    for group in ("a", "b"):
        virtual.aws.client("sqs").send_message(QueueUrl=url, MessageBody=group, MessageGroupId=group)
    client.update_event_source_mapping(UUID=uuid, Enabled=True)
    virtual.advance(1)

    assert batches(virtual, name) == [["a", "b"]]


@fact(
    "ProvisionedPollerConfig",
    "every poller has up to 10 invocations at work; there are as many as the minimum at first, and more under load",
    here="partly",
    gap="the bytes and requests a second of a poller are not limited",
    source=SCALING,
)
def test_provisioned_pollers_have_ten_invocations_each(virtual: Virtual) -> None:
    url, arn = virtual.queue(VisibilityTimeout="900")
    config = {"MinimumPollers": 2, "MaximumPollers": 3}
    name, uuid = mapped(virtual, ECHO, arn, BatchSize=1, ProvisionedPollerConfig=config)
    virtual.aws.client("lambda").update_function_configuration(FunctionName=name, Timeout=600)
    at_work(virtual, name, 300)
    send(virtual, url, *(str(number) for number in range(60)))
    virtual.advance(0)
    first = begun(virtual, name)
    virtual.advance(10)

    assert (first, begun(virtual, name)) == (20, 30)
    said = own(virtual.aws, "GET", "fidelity")[1]["resources"][uuid]
    assert "ProvisionedPollerConfig" in {each["setting"] for each in said}


@pytest.mark.parametrize(
    "config",
    [
        {"MinimumPollers": 1},
        {"MaximumPollers": 1},
        {"MinimumPollers": 5, "MaximumPollers": 4},
    ],
)
@fact("ProvisionedPollerConfig", "has 2 to 10,000 pollers, and not fewer than its minimum", source=POLLERS)
def test_wrong_numbers_of_pollers_are_refused(virtual: Virtual, config: dict[str, int]) -> None:
    refused = refusal(
        virtual.aws.client("lambda").create_event_source_mapping,
        FunctionName=virtual.function(ECHO),
        EventSourceArn=virtual.queue()[1],
        ProvisionedPollerConfig=config,
    )

    assert refused.code == "InvalidParameterValueException"


@fact("ProvisionedPollerConfig", "excludes ScalingConfig; 2 and 200 pollers where nothing is said", source=POLLERS)
def test_provisioned_pollers_exclude_a_maximum_concurrency(virtual: Virtual) -> None:
    client = virtual.aws.client("lambda")
    settings = {"FunctionName": virtual.function(ECHO), "EventSourceArn": virtual.queue()[1]}
    refused = refusal(
        client.create_event_source_mapping,
        **settings,
        ProvisionedPollerConfig={"MinimumPollers": 2},
        ScalingConfig={"MaximumConcurrency": 2},
    )
    made = client.create_event_source_mapping(**settings, ProvisionedPollerConfig={"MinimumPollers": 4})

    assert refused.code == "InvalidParameterValueException"
    assert made["ProvisionedPollerConfig"] == {"MinimumPollers": 4, "MaximumPollers": 200}
