"""Reads the change stream of a real MongoDB or DocumentDB, as mappings of Amazon DocumentDB do.

https://docs.aws.amazon.com/lambda/latest/dg/with-documentdb.html. Batches and retries are in `brokers`.
"""

from __future__ import annotations

import asyncio
import json
import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast
from urllib.parse import quote, urlencode

from bson import json_util
from bson.timestamp import Timestamp
from pymongo import AsyncMongoClient
from pymongo.asynchronous.change_stream import AsyncChangeStream
from pymongo.errors import ConfigurationError, ConnectionFailure, OperationFailure, PyMongoError

from lambdaform.local.brokers import Address
from lambdaform.local.patterns import Pattern
from lambdaform.local.pollers.patience import ANSWER, within
from lambdaform.local.pollers.reader import Trouble
from lambdaform.local.pollers.retries import StreamRecord
from lambdaform.local.pollers.sources import seconds
from lambdaform.local.ports import EventMapping, Json

_AWAIT = 50
"""Milliseconds for which the server keeps the answer to a read that finds nothing."""
_EXPIRED = frozenset({136, 280, 286})
"""The server's codes for a place that its change stream does not reach any more."""
_DENIED = frozenset({13, 18})
"""Its codes for a login that it does not know, or that may not do this."""

Document = dict[str, Any]


class ChangeReader:
    """`Reader` of one change stream: everything in it is one lane, and the place in it is ours to keep."""

    most_at_once: int | None = 1
    tells_age = True
    tells_oversized = True
    failing = None
    redelivering = None

    def __init__(self, mapping: EventMapping, address: Address) -> None:
        self._mapping = mapping
        self._address = address
        config = cast(Mapping[str, str], mapping.settings["DocumentDBEventSourceConfig"])
        self._database = config["DatabaseName"]
        self._collection = config.get("CollectionName")
        self._full_document = "updateLookup" if config.get("FullDocument") == "UpdateLookup" else None
        self.name = f"changes of {self._database}" + (f".{self._collection}" if self._collection else "")
        self.place: str | None = None
        """The resume token of the last change that is through, as extended JSON."""
        self._client: AsyncMongoClient[Document] | None = None
        self._stream: AsyncChangeStream[Document] | None = None
        self._connections = 0
        self._open: dict[str, str] = {}
        """The resume tokens of everything that is not through, in order."""

    # The connection

    async def open(self) -> None:
        """Connect, and open the stream where it was left, else at the starting position."""
        try:
            await within(self._watch(), 2 * ANSWER)
        except (PyMongoError, OSError) as error:
            raise Trouble(f"cannot read from {self._address}: {_said(error)}") from error

    async def _watch(self) -> None:
        self._client = _client_of(self._address)
        self._connections += 1
        self._stream = await self._opened(self._client)
        self._keep_up()

    async def _opened(self, client: AsyncMongoClient[Document]) -> AsyncChangeStream[Document]:
        given: dict[str, Any] = {"full_document": self._full_document, "max_await_time_ms": _AWAIT}
        if self.place is not None:
            # Unlike `resume_after` it also goes on after a collection was dropped.
            given["start_after"] = json_util.loads(self.place)
        else:
            given |= await self._start(client)
        database = client[self._database]
        watched = database if self._collection is None else database[self._collection]
        return await watched.watch(**given)

    async def _start(self, client: AsyncMongoClient[Document]) -> Mapping[str, Any]:
        """What says where a stream begins that was never read."""
        match self._mapping.settings.get("StartingPosition"):
            case "AT_TIMESTAMP":
                moment = int(seconds(self._mapping.settings.get("StartingPositionTimestamp")))
                return {"start_at_operation_time": Timestamp(moment, 0)}
            case "TRIM_HORIZON":
                return {"start_at_operation_time": await _oldest(client)}
            case _:
                return {}

    async def close(self) -> None:
        """Let go of the database."""
        client, self._client, self._stream = self._client, None, None
        self._open.clear()
        if client is not None:
            await client.close()

    # Reading

    async def read(self, *, at_most: int, full: Collection[str], patience: float) -> Sequence[StreamRecord]:
        """The next changes, in order."""
        if self._stream is None or self._client is None:
            raise Trouble(f"not connected to {self._address}")
        if full:
            return ()
        try:
            if not self._stream.alive and not self._open:
                # What was watched is gone, which is through: it may come to be again.
                self._stream = await within(self._opened(self._client))
            return await within(self._read(self._stream, at_most, patience), ANSWER + patience)
        except (PyMongoError, OSError) as error:
            raise Trouble(f"cannot read from {self._address}: {_said(error)}") from error

    async def _read(self, stream: AsyncChangeStream[Document], at_most: int, patience: float) -> list[StreamRecord]:
        loop = asyncio.get_running_loop()
        until, found = loop.time() + patience, list[StreamRecord]()
        while len(found) < at_most:
            change = await stream.try_next()
            if change is not None:
                found.append(self._taken(change))
            elif not stream.alive:
                break
            elif found or loop.time() >= until:
                self._keep_up()
                break
        return found

    def _keep_up(self) -> None:
        """Be where the stream is: nothing before this is left, so it need not be asked for again."""
        token = None if self._stream is None else self._stream.resume_token
        if not self._open and token is not None:
            self.place = json_util.dumps(token)

    def _taken(self, change: Document) -> StreamRecord:
        token = json_util.dumps(change["_id"])
        sequence = f"{self._connections}:{token}"
        self._open[sequence] = token
        event = {"event": json.loads(json_util.dumps(change, json_options=json_util.RELAXED_JSON_OPTIONS))}
        written = change.get("clusterTime")
        arrived = float(written.time) if isinstance(written, Timestamp) else 0.0
        return StreamRecord(sequence, arrived, event, len(json.dumps(event)), lane=self.name)

    def keeps(self, patterns: Sequence[Pattern], record: StreamRecord) -> bool:
        """Everything: mappings of DocumentDB take no filters."""
        return True

    def holds(self, record: StreamRecord) -> bool:
        """Whether a change was read by the connection there is now."""
        return record.sequence in self._open

    async def skip(self, records: Sequence[StreamRecord]) -> None:
        """As `acknowledge`."""
        await self.acknowledge(records)

    async def acknowledge(self, records: Sequence[StreamRecord]) -> None:
        """Reading goes on after these when the stream is opened again."""
        for record in records:
            token = self._open.pop(record.sequence, None)
            self.place = token or self.place

    def event(self, records: Sequence[StreamRecord]) -> Mapping[str, Json]:
        """The changes in order, as MongoDB's extended JSON."""
        return {
            "eventSourceArn": self._mapping.source_arn,
            "events": [record.event for record in records],
            "eventSource": "aws:docdb",
        }

    def lags(self) -> Collection[int]:
        """DocumentDB tells none."""
        return ()


def _client_of(address: Address) -> AsyncMongoClient[Document]:
    """A client of an address, with the options in its query. Raises `Trouble` for those that there are not."""
    login = ""
    if address.user is not None:
        login = f"{quote(address.user, safe='')}:{quote(address.password or '', safe='')}@"
    options = {"serverSelectionTimeoutMS": str(int(ANSWER * 1000)), "appName": "lambdaform", **address.query}
    url = f"mongodb://{login}{','.join(address.hosts)}/{quote(address.path, safe='')}?{urlencode(options)}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # an option that is not known, or has no such value
            return AsyncMongoClient(url)
    except (UserWarning, ConfigurationError, ValueError, OSError) as error:
        # Their values may be secrets, as the error's own words.
        raise Trouble(f"{address} has options that are not understood, among {', '.join(address.query)}") from error


async def _oldest(client: AsyncMongoClient[Document]) -> Timestamp:
    """The time of the oldest change that the server has.

    MongoDB says it in the log of its replica set; where that cannot be read, the beginning of time is asked for, as
    servers allow which keep all changes for a time of their own.
    """
    try:
        first = await client["local"]["oplog.rs"].find_one(sort=[("$natural", 1)], projection=["ts"])
    except OperationFailure:
        first = None
    if first is not None and isinstance(moment := first.get("ts"), Timestamp):
        return moment
    return Timestamp(1, 0)


def _said(error: BaseException) -> str:
    """An error in words, without what a driver tells of its inner state."""
    if isinstance(error, OperationFailure):
        if error.code in _EXPIRED:
            return "the change stream does not reach back that far any more; make the mapping anew"
        if error.code in _DENIED:
            return "it refuses the login, or what the login asks for"
        return str((error.details or {}).get("errmsg") or error.code or type(error).__name__)
    if isinstance(error, ConnectionFailure):
        return "nobody answers there"
    return type(error).__name__
