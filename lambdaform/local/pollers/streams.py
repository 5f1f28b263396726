"""The poller of one stream for one function: reads shards in order, and blocks where the function fails.

It looks when something was written to that kind of stream, as often as AWS polls at most, so an idle stream costs
nothing. What happens after a failure is decided in `retries`, what makes a batch in `batching`.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections import deque
from collections.abc import Mapping
from typing import Any, cast

import attrs

from lambdaform.local.clock import Ids, iso
from lambdaform.local.data import MotoServices, OneByOne
from lambdaform.local.delivery import Delivery
from lambdaform.local.pollers import batching, filters, retries
from lambdaform.local.pollers.answers import decide_settled
from lambdaform.local.pollers.retries import Again, Done, GiveUp, Piece, StreamPolicy, StreamRecord
from lambdaform.local.pollers.sources import MAX_READ, Position, seconds, source_of
from lambdaform.local.ports import AwsFault, Clock, EventMapping, Invoker, Outcome, Timer


@attrs.define(eq=False)
class Lane:
    """The records of a shard that are worked off one batch after another; a partition key is always in one lane."""

    waiting: list[StreamRecord] = attrs.field(factory=list[StreamRecord])
    first_at: float = 0.0
    is_busy: bool = False
    timer: Timer | None = None


@attrs.define(eq=False)
class Shard:
    """How far a shard has been read and worked off."""

    id: str
    settled: Position
    """Where to begin again after a restart: everything before is through."""
    read: Position
    lanes: tuple[Lane, ...]

    @property
    def is_done(self) -> bool:
        """Whether everything that was read is worked off."""
        return not any(lane.is_busy or lane.waiting for lane in self.lanes)

    def through(self, position: Position) -> None:
        """Note how far the only lane is; of several, one says nothing of the others."""
        if len(self.lanes) == 1:
            self.settled = position

    def lane_of(self, record: StreamRecord) -> Lane:
        """Where a record is worked off."""
        if len(self.lanes) == 1:
            return self.lanes[0]
        digest = hashlib.md5(record.partition_key.encode(), usedforsecurity=False).digest()
        return self.lanes[int.from_bytes(digest, "big") % len(self.lanes)]


class StreamPoller:
    """One mapping's poller. Its life: `start`, `stop`; a changed mapping gets a new one at the old one's positions."""

    def __init__(
        self,
        mapping: EventMapping,
        *,
        clock: Clock,
        ids: Ids,
        data: MotoServices,
        invoker: Invoker,
        delivery: Delivery,
        positions: Mapping[str, Position] | None = None,
    ) -> None:
        self._mapping = mapping
        self._clock = clock
        self._ids = ids
        self._data = data
        self._invoker = invoker
        self._delivery = delivery
        settings = mapping.settings
        self._settings = settings
        self._batch_size = int(settings.get("BatchSize") or 100)
        self._window = int(settings.get("MaximumBatchingWindowInSeconds") or 0)
        self._policy = StreamPolicy.of_settings(settings)
        self._filters = filters.of_settings(settings)
        destinations = cast(Mapping[str, Any], settings.get("DestinationConfig") or {})
        on_failure = cast(Mapping[str, str], destinations.get("OnFailure") or {})
        self._on_failure = on_failure.get("Destination")
        self._source = source_of(mapping.source_arn, mapping.region, self._role())
        self._factor = int(settings.get("ParallelizationFactor") or 1)
        # A lane that stands still holds back the reading of its shard in the end, but not at once.
        self._read_ahead = self._batch_size * (1 if self._factor == 1 else 10 * self._factor)
        self._shards = {shard: self._shard(shard, position) for shard, position in (positions or {}).items()}
        self._is_new = not positions
        self._is_running = False
        self._poll_timer: Timer | None = None
        self._polled_at = float("-inf")
        self._is_polling = False
        self._polls_again = False
        self._result = "No records processed"

    def _shard(self, name: str, position: Position) -> Shard:
        return Shard(name, settled=position, read=position, lanes=tuple(Lane() for _ in range(self._factor)))

    def _role(self) -> str:
        try:
            return self._invoker.settings(self._mapping.function_arn, region=self._mapping.region).role
        except AwsFault:
            return ""

    def start(self) -> None:
        """Fix the starting position and begin to poll."""
        self._is_running = True
        self._clock.run(self._begin())

    def stop(self) -> None:
        """Poll no more; an invocation under way ends as it does."""
        self._is_running = False
        for timer in (self._poll_timer, *(lane.timer for shard in self._shards.values() for lane in shard.lanes)):
            if timer is not None:
                timer.cancel()
        self._poll_timer = None

    def positions(self) -> dict[str, Position]:
        """What is through, by shard."""
        return {shard.id: shard.settled for shard in self._shards.values()}

    def last_result(self) -> str:
        """How the latest invocation ended, in AWS's words."""
        return self._result

    def written(self) -> None:
        """Something may have been written to the stream: look soon, but no sooner than AWS would."""
        if self._is_running and self._poll_timer is None:
            when = max(self._clock.now(), self._polled_at + self._source.pause)
            self._poll_timer = self._clock.call_at(when, lambda: self._clock.run(self._poll()))
            if when <= self._clock.now():
                # Due already: run at once, so that a virtual clock need not be moved for it.
                self._poll_timer.cancel()
                self._clock.run(self._poll())

    async def _begin(self) -> None:
        if self._is_new:
            await self._data.together(self._fix_start)
        await self._poll()

    async def _fix_start(self, call: OneByOne) -> None:
        """Find the position of every shard as of now; nothing is written meanwhile, so LATEST misses nothing."""
        start = Position("TRIM_HORIZON")
        kind = self._settings.get("StartingPosition")
        if kind == "AT_TIMESTAMP":
            start = Position("AT_TIMESTAMP", timestamp=seconds(self._settings.get("StartingPositionTimestamp")))
        try:
            for shard in await self._source.shards(call):
                place = start
                while kind == "LATEST":
                    records = await self._source.read(call, shard, place, MAX_READ)
                    if not records:
                        break
                    place = Position("AFTER_SEQUENCE_NUMBER", sequence=records[-1].sequence)
                self._shards[shard] = self._shard(shard, place)
        except AwsFault as error:
            self._problem(error)

    async def _poll(self) -> None:
        """Read every shard that has room, and start what makes a batch.

        One poll at a time: two would read the same records, each from where the other began.
        """
        self._poll_timer = None
        if self._is_polling:
            self._polls_again = True
            return
        self._is_polling = True
        try:
            self._polls_again = True
            while self._polls_again and self._is_running:
                self._polls_again = False
                await self._poll_once()
        finally:
            self._is_polling = False

    async def _poll_once(self) -> None:
        self._polled_at = self._clock.now()
        try:
            for name in await self._source.shards(self._call):
                if name not in self._shards:  # born of a split or merge: nothing of it has been read
                    start = Position("TRIM_HORIZON")
                    self._shards[name] = self._shard(name, start)
            for shard in list(self._shards.values()):
                await self._read(shard)
        except AwsFault as error:
            self._problem(error)

    async def _read(self, shard: Shard) -> None:
        while self._is_running:
            wanted = self._read_ahead - sum(len(lane.waiting) for lane in shard.lanes)
            at_most = min(wanted, MAX_READ)
            records = await self._source.read(self._call, shard.id, shard.read, at_most) if wanted > 0 else []
            if not records:
                break
            shard.read = Position("AFTER_SEQUENCE_NUMBER", sequence=records[-1].sequence)
            for record in records:
                if self._source.keeps(self._filters, record):
                    lane = shard.lane_of(record)
                    if not lane.waiting:
                        lane.first_at = self._clock.now()
                    lane.waiting.append(record)
            if shard.is_done:
                shard.settled = shard.read
        for lane in shard.lanes:
            self._consider(shard, lane)

    def _consider(self, shard: Shard, lane: Lane) -> None:
        """Send the lane's next batch, if it is free and there is one."""
        if lane.is_busy or not self._is_running:
            return
        decision = batching.decide_batch(
            [record.size for record in lane.waiting],
            lane.first_at,
            self._clock.now(),
            batch_size=self._batch_size,
            window=self._window,
        )
        match decision:
            case batching.Send(count):
                batch, lane.waiting = lane.waiting[:count], lane.waiting[count:]
                lane.first_at = self._clock.now()
                lane.is_busy = True
                self._clock.run(self._work_off(shard, lane, tuple(batch)))
            case batching.Wait(until):
                if lane.timer is not None:
                    lane.timer.cancel()
                lane.timer = self._clock.call_at(until, lambda: self._consider(shard, lane))
            case None:
                pass

    async def _work_off(self, shard: Shard, lane: Lane, batch: tuple[StreamRecord, ...]) -> None:
        """Try a batch until it is through or given up; its lane stands still meanwhile."""
        pieces = deque([Piece(batch)])
        while pieces and self._is_running:
            piece = pieces.popleft()
            old, rest = retries.expired(piece, self._clock.now(), self._policy)
            if old is not None:
                await self._give_up(shard, GiveUp(old, "RecordAgeExceeded"), None, is_reported=False)
                shard.through(_after(old))
            if rest is None:
                continue
            outcome = await self._invoke(rest)
            names = [record.sequence for record in rest.records]
            settled = decide_settled(outcome, names, is_partial=self._policy.is_partial)
            decision = retries.decide_next(rest, outcome, settled, self._policy)
            self._result = "PROBLEM: Function call failed" if settled.failed else "OK"
            match decision:
                case Done():
                    shard.through(_after(rest))
                case Again(parts, pause):
                    through = len(rest.records) - sum(len(part.records) for part in parts)
                    if through:
                        shard.through(_after(Piece(rest.records[:through])))
                    pieces.extendleft(reversed(parts))
                    await self._clock.sleep(pause)
                case GiveUp() as given_up:
                    await self._give_up(shard, given_up, outcome, is_reported=settled.is_reported)
                    shard.through(_after(rest))
        lane.is_busy = False
        if shard.is_done:
            shard.settled = shard.read
        if self._is_running:
            await self._poll()

    async def _invoke(self, piece: Piece) -> Outcome:
        payload = json.dumps({"Records": [record.event for record in piece.records]}).encode()
        trace = self._delivery.trace
        # The library has the stream: who wrote a record is not known.
        key = f"{self._mapping.uuid} {piece.records[0].sequence}"
        if not trace.knows(key):
            trace.add("records", self._mapping.source_arn, key=key, after="", count=len(piece.records))
        trace.caused_by(key)
        return await self._invoker.invoke(self._mapping.function_arn, payload, region=self._mapping.region)

    async def _give_up(self, shard: Shard, given_up: GiveUp, outcome: Outcome | None, *, is_reported: bool) -> None:
        if self._on_failure is None:
            return
        records = given_up.piece.records
        request_id = self._ids.uuid() if outcome is None else outcome.request_id
        document = retries.failure_record(
            give_up=given_up,
            outcome=outcome,
            is_reported=is_reported,
            request_id=request_id,
            function_arn=_unqualified(self._mapping.function_arn),
            stream_arn=self._mapping.source_arn,
            shard_id=shard.id,
            timestamp=iso(self._clock.now()),
            stamp=(self._source.stamp(records[0].arrived), self._source.stamp(records[-1].arrived)),
            batch_key=self._source.batch_key,
        )
        if self._on_failure.startswith("arn:aws:s3"):
            # Only an object has room for the records themselves.
            document["payload"] = {"Records": [record.event for record in records]}
        try:
            await self._delivery.deliver_record(
                self._on_failure,
                document,
                function_arn=self._mapping.function_arn,
                key_prefix=f"aws/lambda/{self._mapping.uuid}/{shard.id}",
                region=self._mapping.region,
            )
        except AwsFault as error:
            sys.stderr.write(f"lambdaform: on-failure destination {self._on_failure} refused a record: {error}\n")

    async def _call(self, service: str, operation: str, params: Mapping[str, Any], *, region: str) -> Mapping[str, Any]:
        return await self._data.call(service, operation, params, region=region)

    def _problem(self, error: AwsFault) -> None:
        self._result = f"PROBLEM: {error.message}"


def _after(piece: Piece) -> Position:
    return Position("AFTER_SEQUENCE_NUMBER", sequence=piece.records[-1].sequence)


def _unqualified(function_arn: str) -> str:
    return ":".join(function_arn.split(":")[:7])
