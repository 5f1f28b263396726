"""Change streams of a real MongoDB as event sources (Amazon DocumentDB).

https://docs.aws.amazon.com/lambda/latest/dg/with-documentdb.html
"""

from __future__ import annotations

import datetime
from collections.abc import Generator
from typing import Any

import attrs
import pytest
from bson import Int64, ObjectId

from tests.conformance.facts import fact
from tests.conformance.test_broker_mappings import SOURCES
from tests.conformance.test_mapping_metrics import total
from tests.local.conftest import Virtual, own, start, stop, unique, until
from tests.mongo import MongoServer

DOCUMENTDB = "https://docs.aws.amazon.com/lambda/latest/dg/with-documentdb.html"
STREAMS = "https://docs.aws.amazon.com/documentdb/latest/developerguide/using-lambda.html"
METRICS = "https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html"
ECHO = "def handler(event, context):\n    return None\n"
FAILS_ON_BAD = (
    "def handler(event, context):\n"
    "    assert 'bad' not in [each['event']['documentKey']['_id'] for each in event['events']]\n"
)
OBJECT = ObjectId("63eeb6e7d418cd98afb1c1d7")


@attrs.frozen
class Changes:
    """A local AWS on a virtual clock that reads the changes of a server."""

    virtual: Virtual
    server: MongoServer
    made: list[str] = attrs.field(factory=list[str])

    def map(self, source: str, collection: str | None, *, full: str | None = None, **settings: Any) -> tuple[str, str]:
        """Map a collection, or the whole database, to a function; gives the function's name and the mapping's id."""
        name = self.virtual.function(source)
        config: dict[str, str] = {"DatabaseName": "shop"}
        if collection is not None:
            config["CollectionName"] = collection
        if full is not None:
            config["FullDocument"] = full
        given = {**SOURCES["documentdb"], "DocumentDBEventSourceConfig": config, **settings}
        made = self.virtual.aws.client("lambda").create_event_source_mapping(FunctionName=name, **given)
        self.made.append(str(made["UUID"]))
        self.virtual.advance(1)
        return name, self.made[-1]

    def put(self, collection: str, *ids: object) -> None:
        """Insert documents of these ids."""
        for each in ids:
            self.server.change("insert", {"_id": each}, collection=collection)

    def events(self, name: str) -> list[Any]:
        """The events of a function's invocations."""
        return [each["event"] for each in own(self.virtual.aws, "GET", f"invocations?function={name}")[1]]

    def seen(self, name: str) -> list[list[Any]]:
        """The ids in a function's invocations."""
        return [[each["event"]["documentKey"]["_id"] for each in event["events"]] for event in self.events(name)]

    def result(self, uuid: str) -> str:
        """The mapping's `LastProcessingResult`."""
        shown = self.virtual.aws.client("lambda").get_event_source_mapping(UUID=uuid)
        return str(shown["LastProcessingResult"])


@pytest.fixture(scope="module")
def server() -> Generator[MongoServer]:
    found = MongoServer()
    yield found
    found.close()


@pytest.fixture(scope="module")
def local(server: MongoServer, tmp_path_factory: pytest.TempPathFactory) -> Generator[Virtual]:
    options = ("--clock", "virtual", "--broker", f"documentdb={server.address}")
    process, aws = start(tmp_path_factory.mktemp("reading"), *options)
    yield Virtual(aws)
    stop(process)


@pytest.fixture
def changes(local: Virtual, server: MongoServer) -> Generator[Changes]:
    found = Changes(local, server)
    yield found
    for uuid in found.made:
        local.aws.client("lambda").delete_event_source_mapping(UUID=uuid)


@fact("EventSourceArn", "a batch of changes invokes the function, as MongoDB's extended JSON", source=DOCUMENTDB)
def test_the_event_holds_the_changes_as_extended_json(changes: Changes) -> None:
    collection = unique("orders")
    name, _ = changes.map(ECHO, collection)
    when = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    document = {"_id": OBJECT, "anyField": "sampleValue", "count": 3, "large": Int64(2**40), "when": when}
    changes.server.change("insert", document, collection=collection)
    written = changes.server.now - 1
    changes.virtual.advance(1)
    [event] = changes.events(name)
    [found] = event.pop("events")

    assert event == {"eventSource": "aws:docdb", "eventSourceArn": SOURCES["documentdb"]["EventSourceArn"]}
    assert list(found) == ["event"]
    assert list(found["event"].pop("_id")) == ["_data"]
    assert found["event"] == {
        "clusterTime": {"$timestamp": {"t": written, "i": 1}},
        "documentKey": {"_id": {"$oid": str(OBJECT)}},
        "fullDocument": {
            "_id": {"$oid": str(OBJECT)},
            "anyField": "sampleValue",
            "count": 3,
            "large": 2**40,
            "when": {"$date": "2026-01-01T00:00:00Z"},
        },
        "ns": {"db": "shop", "coll": collection},
        "operationType": "insert",
    }


@fact("CollectionName", "without one all collections of the database are read", source=DOCUMENTDB)
def test_a_database_is_read_as_a_whole(changes: Changes) -> None:
    name, _ = changes.map(ECHO, None)
    changes.put(unique("orders"), "a")
    changes.put(unique("customers"), "b")
    changes.server.change("insert", {"_id": "c"}, collection="orders", database="other")
    changes.virtual.advance(1)

    assert changes.seen(name) == [["a", "b"]]


@pytest.mark.parametrize(("full", "has_document"), [(None, False), ("Default", False), ("UpdateLookup", True)])
@fact("FullDocument", "UpdateLookup sends the whole document with an update, Default what changed", source=DOCUMENTDB)
def test_an_update_brings_its_document_when_it_is_looked_up(
    changes: Changes, full: str | None, has_document: bool
) -> None:
    collection = unique("orders")
    name, _ = changes.map(ECHO, collection, full=full)
    changes.server.change("update", {"_id": "a", "n": 2}, collection=collection)
    changes.server.change("delete", {"_id": "a"}, collection=collection)
    changes.virtual.advance(1)
    [event] = changes.events(name)
    update, deletion = (each["event"] for each in event["events"])

    assert update["updateDescription"]["updatedFields"] == {"n": 2}
    assert ("fullDocument" in update) == has_document
    assert (deletion["operationType"], "fullDocument" in deletion) == ("delete", False)


@fact("StartingPosition", "TRIM_HORIZON begins with the oldest change there is", source=DOCUMENTDB)
def test_trim_horizon_begins_with_everything(changes: Changes) -> None:
    collection = unique("orders")
    changes.put(collection, "gone")
    changes.server.forget()
    changes.put(collection, "a", "b")
    name, _ = changes.map(ECHO, collection, StartingPosition="TRIM_HORIZON")

    assert changes.seen(name) == [["a", "b"]]


@fact("StartingPosition", "LATEST begins with what is written after the mapping was made", source=DOCUMENTDB)
def test_latest_begins_with_what_comes_after_the_mapping(changes: Changes) -> None:
    collection = unique("orders")
    changes.put(collection, "before")
    name, _ = changes.map(ECHO, collection)
    changes.put(collection, "after")
    changes.virtual.advance(1)

    assert changes.seen(name) == [["after"]]


@fact("StartingPosition", "AT_TIMESTAMP begins with what was written then or later", source=DOCUMENTDB)
def test_a_timestamp_begins_with_what_was_written_then(changes: Changes) -> None:
    collection = unique("orders")
    changes.put(collection, "before")
    moment = changes.server.now
    changes.put(collection, "at", "after")
    name, _ = changes.map(ECHO, collection, StartingPosition="AT_TIMESTAMP", StartingPositionTimestamp=moment)

    assert changes.seen(name) == [["at", "after"]]


@fact("BatchSize, MaximumBatchingWindowInSeconds", "500 ms when not given; full batches go at once", source=DOCUMENTDB)
def test_changes_are_handed_over_in_batches(changes: Changes) -> None:
    collection = unique("orders")
    name, _ = changes.map(ECHO, collection, BatchSize=2)
    changes.put(collection, "a", "b", "c")
    changes.virtual.advance(1)

    assert changes.seen(name) == [["a", "b"], ["c"]]


@fact("Retries", "a failing batch is tried until it succeeds, and what is later waits for it", source=STREAMS)
def test_a_failing_batch_holds_up_the_stream(changes: Changes) -> None:
    collection = unique("orders")
    name, uuid = changes.map(FAILS_ON_BAD, collection, BatchSize=1)
    changes.put(collection, "a", "bad", "later")
    changes.virtual.advance(20)
    seen = changes.seen(name)

    assert (seen[0], {*map(tuple, seen[1:])}) == (["a"], {("bad",)})
    assert len(seen) > 4
    assert changes.result(uuid) == "PROBLEM: Function call failed"


@fact("Retries", "a mapping goes on where it was when it is switched on again or changed", source=DOCUMENTDB)
def test_a_mapping_goes_on_after_the_last_change_that_is_through(changes: Changes) -> None:
    collection = unique("orders")
    name, uuid = changes.map(ECHO, collection)
    changes.put(collection, "a")
    changes.virtual.advance(1)
    update = changes.virtual.aws.client("lambda").update_event_source_mapping
    update(UUID=uuid, Enabled=False)
    changes.virtual.advance(1)
    changes.put(collection, "b")
    changes.virtual.advance(1)
    between = changes.seen(name)
    update(UUID=uuid, Enabled=True)
    changes.virtual.advance(1)

    assert between == [["a"]]
    assert changes.seen(name) == [["a"], ["b"]]


@fact("Retries", "reading goes on after the last change that is through when a connection was lost", source=DOCUMENTDB)
def test_a_connection_that_is_lost_loses_no_change(changes: Changes) -> None:
    collection = unique("orders")
    name, _ = changes.map(ECHO, collection)
    changes.put(collection, "a")
    changes.virtual.advance(1)
    changes.server.cut()
    changes.put(collection, "b")
    for _ in range(4):
        changes.virtual.advance(2)

    assert changes.seen(name) == [["a"], ["b"]]


@fact(
    "LastProcessingResult",
    "says that a change stream has expired",
    here="partly",
    source=STREAMS,
    gap="AWS disables the mapping, here it is said and tried again",
)
def test_a_stream_that_expired_is_said(changes: Changes) -> None:
    collection = unique("orders")
    _, uuid = changes.map(ECHO, collection)
    changes.virtual.aws.client("lambda").update_event_source_mapping(UUID=uuid, Enabled=False)
    changes.virtual.advance(1)
    changes.put(collection, "a", "b")
    changes.server.forget()
    changes.virtual.aws.client("lambda").update_event_source_mapping(UUID=uuid, Enabled=True)
    changes.virtual.advance(0.5)

    assert changes.result(uuid).endswith("does not reach back that far any more; make the mapping anew")


@fact("Event size", "a change over 6 MB is dropped, and counted as OversizedRecordCount", source=METRICS)
def test_a_change_too_large_for_an_event_is_dropped(changes: Changes) -> None:
    collection = unique("orders")
    name, _ = changes.map(ECHO, collection)
    changes.server.change("insert", {"_id": "large", "text": "x" * (6 * 1024 * 1024)}, collection=collection)
    changes.put(collection, "small")
    changes.virtual.advance(1)

    assert changes.seen(name) == [["small"]]
    assert total(changes.virtual, "OversizedRecordCount", FunctionName=name) == 1


@fact("IteratorAge", "is told of every batch", source=METRICS)
def test_the_age_of_a_batch_is_told(changes: Changes) -> None:
    collection = unique("orders")
    name, _ = changes.map(ECHO, collection)
    changes.put(collection, "a")
    changes.virtual.advance(1)

    assert total(changes.virtual, "IteratorAge", statistic="SampleCount", FunctionName=name) == 1


def test_a_login_that_is_refused_is_said_without_it(tmp_path_factory: pytest.TempPathFactory) -> None:
    server = MongoServer()
    url = f"documentdb=mongodb://me:hush@127.0.0.1:{server.port}"
    process, aws = start(tmp_path_factory.mktemp("refused"), "--clock", "virtual", "--broker", url)
    try:
        found = Changes(Virtual(aws), server)
        _, uuid = found.map(ECHO, "orders")
        result = found.result(uuid)
    finally:
        stop(process)
        server.close()

    assert result.startswith(f"PROBLEM: cannot read from mongodb://127.0.0.1:{server.port}: it refuses the login")
    assert "hush" not in result


def test_in_real_time_changes_are_taken_as_they_come(
    server: MongoServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    process, aws = start(tmp_path_factory.mktemp("real"), "--broker", f"documentdb={server.address}")
    try:
        collection, here = unique("orders"), Changes(Virtual(aws), server)
        name = here.virtual.function(ECHO)
        config = {"DatabaseName": "shop", "CollectionName": collection}
        given = {**SOURCES["documentdb"], "DocumentDBEventSourceConfig": config}
        opened = server.cursors_opened
        aws.client("lambda").create_event_source_mapping(FunctionName=name, **given)
        until(lambda: server.cursors_opened > opened)
        here.put(collection, "a")

        until(lambda: here.seen(name) == [["a"]])
    finally:
        stop(process)


def test_a_mapping_goes_on_where_it_was_when_the_local_aws_is_started_again(
    server: MongoServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, collection = tmp_path_factory.mktemp("kept"), unique("orders")
    options = ("--persist", str(folder / "kept"), "--broker", f"documentdb={server.address}")
    process, aws = start(folder, *options)
    here = Changes(Virtual(aws), server)
    name = here.virtual.function(ECHO)
    config = {"DatabaseName": "shop", "CollectionName": collection}
    given = {**SOURCES["documentdb"], "DocumentDBEventSourceConfig": config}
    opened = server.cursors_opened
    aws.client("lambda").create_event_source_mapping(FunctionName=name, **given)
    until(lambda: server.cursors_opened > opened)
    here.put(collection, "a")
    until(lambda: here.seen(name) == [["a"]])
    stop(process)
    here.put(collection, "b")

    process, aws = start(folder, *options)
    try:
        again = Changes(Virtual(aws), server)
        until(lambda: again.seen(name) == [["b"]])
    finally:
        stop(process)
