"""A server that speaks MongoDB's wire protocol on loopback, as far as a change stream needs it.

What a test writes with `change` is the stream. https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/
"""

from __future__ import annotations

import asyncio
import itertools
import struct
import threading
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar, cast

import attrs
import bson
from bson.timestamp import Timestamp

T = TypeVar("T")
_HEADER = struct.Struct("<iiii")
_REPLY, _QUERY, _MESSAGE = 1, 2004, 2013
_BEGAN = 1_795_000_000
"""Seconds since 1970: when the first change was made, the following ones a second later each."""


@attrs.define
class _Cursor:
    """A stream that a client has open."""

    database: str
    collection: str | None
    is_looking_up: bool
    next: int


class MongoServer:
    """A server in a thread of its own, until `close`. Of a login it knows nothing but that it refuses it."""

    def __init__(self) -> None:
        self.oldest = 0
        """The number of the first change that is kept."""
        self.cursors_opened = 0
        self._changes: list[dict[str, Any]] = []
        self._writers: set[asyncio.StreamWriter] = set()
        self._cursors: dict[int, _Cursor] = {}
        self._numbers = itertools.count(1)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._changed: asyncio.Event = self._do(self._event())
        self._server = self._do(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]

    @property
    def address(self) -> str:
        """Where it is."""
        return f"mongodb://127.0.0.1:{self.port}"

    def change(self, operation: str, document: Mapping[str, Any], *, collection: str, database: str = "shop") -> None:
        """Have something happen to a document: the stream tells of it."""

        async def write() -> None:
            number = len(self._changes)
            event: dict[str, Any] = {
                "_id": {"_data": f"{number:08x}"},
                "clusterTime": Timestamp(_BEGAN + number, 1),
                "documentKey": {"_id": document.get("_id")},
                "fullDocument": dict(document),
                "ns": {"db": database, "coll": collection},
                "operationType": operation,
            }
            self._changes.append(event)
            self._changed.set()

        self._do(write())

    @property
    def now(self) -> int:
        """The time of the next change, in seconds since 1970."""
        return _BEGAN + len(self._changes)

    def forget(self) -> None:
        """Keep no change that was made until now."""
        self.oldest = len(self._changes)

    def cut(self) -> None:
        """Lose every client and its cursors."""

        async def leave() -> None:
            self._cursors.clear()
            for writer in list(self._writers):
                writer.close()

        self._do(leave())

    def close(self) -> None:
        """Stop serving."""
        self.cut()
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    async def _event(self) -> asyncio.Event:
        return asyncio.Event()

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                length, request, _, kind = _HEADER.unpack(await reader.readexactly(16))
                body = await reader.readexactly(length - 16)
                if kind == _QUERY:
                    start = body.index(b"\0", 4) + 9
                    answer = await self._answer(_document(body[start:]))
                    content, answered = struct.pack("<iqii", 8, 0, 0, 1) + bson.encode(answer), _REPLY
                else:
                    answer = await self._answer(_document(body[5:]))
                    content, answered = struct.pack("<iB", 0, 0) + bson.encode(answer), _MESSAGE
                writer.write(_HEADER.pack(16 + len(content), 0, request, answered) + content)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, command: Mapping[str, Any]) -> dict[str, Any]:
        match next(iter(command)):
            case "hello" | "ismaster" | "isMaster":
                place = f"127.0.0.1:{self.port}"
                return {
                    "helloOk": True,
                    "ismaster": True,
                    "isWritablePrimary": True,
                    "setName": "rs0",
                    "hosts": [place],
                    "me": place,
                    "primary": place,
                    "maxBsonObjectSize": 16_777_216,
                    "maxMessageSizeBytes": 48_000_000,
                    "maxWriteBatchSize": 100_000,
                    "minWireVersion": 0,
                    "maxWireVersion": 21,
                    "logicalSessionTimeoutMinutes": 30,
                    "ok": 1.0,
                }
            case "saslStart" | "saslContinue":
                return {"ok": 0.0, "code": 18, "codeName": "AuthenticationFailed", "errmsg": "Authentication failed."}
            case "find":
                first = [{"ts": each["clusterTime"]} for each in self._changes[self.oldest : self.oldest + 1]]
                return {"cursor": {"id": 0, "ns": "local.oplog.rs", "firstBatch": first}, "ok": 1.0}
            case "aggregate":
                return self._opened(command)
            case "getMore":
                return await self._more(command)
            case _:
                return {"ok": 1.0}

    def _opened(self, command: Mapping[str, Any]) -> dict[str, Any]:
        options: Mapping[str, Any] = command["pipeline"][0]["$changeStream"]
        token = options.get("startAfter") or options.get("resumeAfter")
        begin = options.get("startAtOperationTime")
        if token is not None:
            following = int(token["_data"], 16) + 1
        elif begin is not None:
            later = (at for at, each in enumerate(self._changes) if each["clusterTime"] >= begin)
            following = next(later, len(self._changes))
        else:
            following = len(self._changes)
        if following < self.oldest:
            return {"ok": 0.0, "code": 286, "codeName": "ChangeStreamHistoryLost", "errmsg": "resume point is gone"}
        collection = command["aggregate"] if isinstance(command["aggregate"], str) else None
        number = next(self._numbers)
        looks_up = options.get("fullDocument") == "updateLookup"
        cursor = self._cursors[number] = _Cursor(command["$db"], collection, looks_up, following)
        self.cursors_opened += 1
        return self._batch(number, cursor, "firstBatch")

    async def _more(self, command: Mapping[str, Any]) -> dict[str, Any]:
        number = int(command["getMore"])
        cursor = self._cursors.get(number)
        if cursor is None:
            return {"ok": 0.0, "code": 43, "codeName": "CursorNotFound", "errmsg": "cursor not found"}
        if cursor.next >= len(self._changes):
            self._changed.clear()
            try:
                async with asyncio.timeout(command.get("maxTimeMS", 1000) / 1000):
                    await self._changed.wait()
            except TimeoutError:
                pass
        return self._batch(number, cursor, "nextBatch")

    def _batch(self, number: int, cursor: _Cursor, name: str) -> dict[str, Any]:
        found = [
            _shown(each, is_looking_up=cursor.is_looking_up)
            for each in self._changes[cursor.next :]
            if each["ns"]["db"] == cursor.database and cursor.collection in (None, each["ns"]["coll"])
        ]
        cursor.next = len(self._changes)
        namespace = f"{cursor.database}.{cursor.collection or '$cmd.aggregate'}"
        batch = {
            "id": number,
            "ns": namespace,
            name: found,
            "postBatchResumeToken": {"_data": f"{cursor.next - 1:08x}"},
        }
        return {"cursor": batch, "operationTime": Timestamp(self.now, 1), "ok": 1.0}


def _document(data: bytes) -> dict[str, Any]:
    """The first document in some bytes."""
    length = int.from_bytes(data[:4], "little")
    return cast(Any, bson).decode(data[:length])


def _shown(event: Mapping[str, Any], *, is_looking_up: bool) -> dict[str, Any]:
    """A change as the stream shows it: deletions have no document, updates have it when it is looked up."""
    operation = event["operationType"]
    hidden = {"fullDocument"} if operation == "delete" or (operation == "update" and not is_looking_up) else set[str]()
    more: dict[str, Any] = {}
    if operation == "update":
        more["updateDescription"] = {"updatedFields": {"n": 2}, "removedFields": []}
    return {**{name: value for name, value in event.items() if name not in hidden}, **more}
