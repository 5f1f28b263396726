"""The trace tells what a poller made of an answer."""

from __future__ import annotations

from typing import Any

from tests.local.conftest import Virtual, own


def test_the_trace_says_how_much_of_a_batch_failed(virtual: Virtual) -> None:
    url, arn = virtual.queue(VisibilityTimeout="30")
    source = (
        "def handler(event, context):\n"
        "    bad = [each['messageId'] for each in event['Records'] if each['body'] != 'good']\n"
        "    return {'batchItemFailures': [{'itemIdentifier': each} for each in bad]}\n"
    )
    name = virtual.function(source)
    client = virtual.aws.client("lambda")
    client.create_event_source_mapping(
        FunctionName=name, EventSourceArn=arn, FunctionResponseTypes=["ReportBatchItemFailures"]
    )
    messages = [{"Id": body, "MessageBody": body} for body in ("good", "bad", "worse")]
    virtual.aws.client("sqs").send_message_batch(QueueUrl=url, Entries=messages)
    virtual.advance(1)

    steps: list[dict[str, Any]] = own(virtual.aws, "GET", "trace")[1]
    endings = [each["details"] for each in steps if each["what"] == "invocation" and name in each["subject"]]
    failed = [each["failed"] for each in endings if "failed" in each]
    assert {each["error"] for each in endings} == {None}
    assert failed in (["2 of 3"], ["2 of 2"], ["1 of 2", "1 of 1"], ["1 of 1", "1 of 1"])
