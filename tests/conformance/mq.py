"""A local AWS that reads an Amazon MQ broker, for the tests of either engine."""

from __future__ import annotations

import json
from typing import Any

import attrs

from tests.conformance.test_broker_mappings import SOURCES
from tests.local.conftest import Virtual, own

MQ = "https://docs.aws.amazon.com/lambda/latest/dg/with-mq.html"
ERRORS = "https://docs.aws.amazon.com/lambda/latest/dg/services-mq-errors.html"
PARAMETERS = "https://docs.aws.amazon.com/lambda/latest/dg/services-mq-params.html"
FILTERING = "https://docs.aws.amazon.com/lambda/latest/dg/with-mq-filtering.html"
ECHO = "def handler(event, context):\n    return None\n"
FAILS_ON_BAD = (
    "import base64, json\n"
    "def handler(event, context):\n"
    "    queues = event.get('rmqMessagesByQueue') or {'': event.get('messages')}\n"
    "    assert b'bad' not in [base64.b64decode(each['data']) for held in queues.values() for each in held]\n"
)
FAILS_ONCE = (
    "def handler(event, context):\n"
    "    queues = event.get('rmqMessagesByQueue') or {'': event.get('messages')}\n"
    "    assert all(each['redelivered'] for held in queues.values() for each in held)\n"
)


def filtered(pattern: object) -> dict[str, Any]:
    """`FilterCriteria` of one pattern."""
    return {"FilterCriteria": {"Filters": [{"Pattern": json.dumps(pattern)}]}}


@attrs.frozen
class Reading:
    """A local AWS on a virtual clock that reads a broker."""

    virtual: Virtual
    made: list[str] = attrs.field(factory=list[str])
    """The mappings, by id."""

    def map(self, source: str, queue: str, *, wait: float = 1, **settings: Any) -> tuple[str, str]:
        """Map a queue to a function, and let `wait` seconds pass; gives the function's name and the mapping's id."""
        name = self.virtual.function(source)
        access = [each for each in SOURCES["mq"]["SourceAccessConfigurations"] if each["Type"] == "BASIC_AUTH"]
        given = {**SOURCES["mq"], "Queues": [queue], "SourceAccessConfigurations": access, **settings}
        made = self.virtual.aws.client("lambda").create_event_source_mapping(FunctionName=name, **given)
        self.made.append(str(made["UUID"]))
        self.virtual.advance(wait)
        return name, self.made[-1]

    def events(self, name: str) -> list[Any]:
        """The events of a function's invocations."""
        return [each["event"] for each in own(self.virtual.aws, "GET", f"invocations?function={name}")[1]]

    def delete(self) -> None:
        """Delete the mappings: nothing of one test is read in another."""
        for uuid in self.made:
            self.virtual.aws.client("lambda").delete_event_source_mapping(UUID=uuid)

    def result(self, uuid: str) -> str:
        """The mapping's `LastProcessingResult`."""
        shown = self.virtual.aws.client("lambda").get_event_source_mapping(UUID=uuid)
        return str(shown["LastProcessingResult"])
