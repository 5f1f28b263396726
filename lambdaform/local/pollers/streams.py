"""The poller of one stream for one function: reads shards in order, and blocks where the function fails.

It looks when something was written to that kind of stream, as often as AWS polls at most, so an idle stream costs
nothing. What happens after a failure is decided in `retries`, what makes a batch in `batching`, what a tumbling window
is in `windows`; `shards` knows how far each shard is.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections import deque
from collections.abc import Callable, Generator, Mapping
from typing import Any, cast

from lambdaform.local.clock import Ids, iso
from lambdaform.local.data import MotoServices, OneByOne
from lambdaform.local.delivery import Delivery
from lambdaform.local.pollers import batching, filters, retries, windows
from lambdaform.local.pollers.answers import Settled, decide_settled
from lambdaform.local.pollers.counting import Counting
from lambdaform.local.pollers.retries import Again, Done, GiveUp, Piece, StreamPolicy, StreamRecord
from lambdaform.local.pollers.shards import Bookmark, Lane, Shard
from lambdaform.local.pollers.sources import MAX_READ, Position, seconds, source_of
from lambdaform.local.pollers.windows import Window
from lambdaform.local.ports import AwsFault, Clock, EventMapping, Invoker, Json, Outcome, Timer


class StreamPoller:
    """One mapping's poller. Its life: `start`, `stop`; a changed mapping gets a new one at the old one's bookmarks."""

    def __init__(
        self,
        mapping: EventMapping,
        *,
        clock: Clock,
        ids: Ids,
        data: MotoServices,
        invoker: Invoker,
        delivery: Delivery,
        counting: Counting,
        bookmarks: Mapping[str, Bookmark] | None = None,
        last_result: str | None = None,
    ) -> None:
        self._mapping = mapping
        self._clock = clock
        self._ids = ids
        self._data = data
        self._invoker = invoker
        self._delivery = delivery
        self._counting = counting
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
        self._tumbling = int(settings.get("TumblingWindowInSeconds") or 0)
        self._shards = {name: self._shard(name, bookmark) for name, bookmark in (bookmarks or {}).items()}
        self._is_new = not bookmarks
        self._is_running = False
        self._poll_timer: Timer | None = None
        self._polled_at = float("-inf")
        self._is_polling = False
        self._polls_again = False
        self._at_work = 0
        self._then: Callable[[], None] | None = None
        self._result = last_result or "No records processed"

    def _shard(self, name: str, bookmark: Bookmark) -> Shard:
        shard = Shard(name, bookmark, lanes=self._factor)
        if not self._tumbling:
            shard.window = None
        elif shard.window is not None:
            self._close_in_time(shard, shard.window)
        return shard

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
        if self._poll_timer is not None:
            self._poll_timer.cancel()
            self._poll_timer = None
        for shard in self._shards.values():
            shard.cancel()

    @property
    def is_quiet(self) -> bool:
        """Whether no invocation is under way."""
        return self._at_work == 0

    def when_quiet(self, action: Callable[[], None]) -> None:
        """Run `action`, the latest one given, when the invocations under way have ended and are settled."""
        self._then = action

    @contextlib.contextmanager
    def _working(self) -> Generator[None]:
        """Around an invocation and what follows from it."""
        self._at_work += 1
        try:
            yield
        except asyncio.CancelledError:
            self._then = None  # the local AWS goes to another state
            raise
        finally:
            self._at_work -= 1
            if self._at_work == 0 and self._then is not None:
                then, self._then = self._then, None
                then()

    def bookmarks(self) -> dict[str, Bookmark]:
        """How far each shard is."""
        return {shard.id: shard.bookmark() for shard in self._shards.values()}

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
            for found in await self._source.shards(call):
                place = start
                while kind == "LATEST":
                    records = await self._source.read(call, found.id, place, MAX_READ)
                    if not records:
                        break
                    place = Position("AFTER_SEQUENCE_NUMBER", sequence=records[-1].sequence)
                self._shards[found.id] = self._shard(found.id, Bookmark(place))
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
            found = await self._source.shards(self._call)
            for each in found:
                if each.id not in self._shards:  # born of a split or merge: nothing of it has been read
                    self._shards[each.id] = self._shard(each.id, Bookmark(Position("TRIM_HORIZON")))
                self._shards[each.id].is_closed = each.is_closed
            for each in found:
                shard, parents = self._shards[each.id], (self._shards.get(parent) for parent in each.parents)
                # What was written before a split or merge comes before what was written after.
                if all(parent is None or parent.is_over for parent in parents):
                    await self._read(shard)
        except AwsFault as error:
            self._problem(error)

    async def _read(self, shard: Shard) -> None:
        is_at_end = False
        while self._is_running:
            at_most = min(self._read_ahead - shard.waiting, MAX_READ)
            if at_most <= 0:
                break
            records = await self._source.read(self._call, shard.id, shard.read, at_most)
            if not records:
                is_at_end = True
                break
            kept = [record for record in records if self._source.keeps(self._filters, record)]
            self._counting.events("PolledEventCount", len(records))
            self._counting.events("FilteredOutEventCount", len(records) - len(kept))
            shard.take(records, kept, self._clock.now())
        for lane in shard.lanes:
            self._consider(shard, lane)
        if is_at_end and shard.is_closed:
            if shard.window is not None and not shard.lanes[0].is_busy and not shard.waiting:
                self._begin_closing(shard, shard.window)
            shard.is_over = shard.is_idle

    def _consider(self, shard: Shard, lane: Lane) -> None:
        """Send the lane's next batch, if it is free and there is one; or end the shard's window when it is over."""
        if lane.is_busy or not self._is_running:
            return
        records, now, patience = lane.waiting, self._clock.now(), float(self._window)
        if self._tumbling:
            if shard.window is None and records:
                shard.window = windows.window_at(records[0].arrived, self._tumbling)
                self._close_in_time(shard, shard.window)
            if shard.window is not None:
                count = windows.belonging(shard.window, records)
                is_complete = count < len(records)
                if count == 0 and (is_complete or now >= shard.window.end):
                    self._begin_closing(shard, shard.window)
                    return
                records = records[:count]
                patience = 0.0 if is_complete else min(patience, shard.window.end - lane.first_at)
        decision = batching.decide_batch(
            [record.size for record in records],
            lane.first_at,
            now,
            batch_size=self._batch_size,
            window=patience,
            envelope=self._envelope(shard),
        )
        match decision:
            case batching.Send(count):
                batch, lane.waiting = lane.waiting[:count], lane.waiting[count:]
                lane.first_at = now
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
            with self._working():
                pause = await self._settle(shard, pieces)
            await self._clock.sleep(pause)
            if shard.window is not None and shard.window.is_too_large:
                await self._end_window(shard, shard.window, is_early=True)
        await self._free(shard, lane)

    async def _settle(self, shard: Shard, pieces: deque[Piece]) -> float:
        """Try the first piece once; what is to be tried again is put back. Gives the seconds to wait before that."""
        piece = await self._still_kept(shard, pieces.popleft())
        if piece is None:
            return 0.0
        old, rest = retries.expired(piece, self._clock.now(), self._policy.max_age)
        if old is not None:
            await self._give_up(shard, GiveUp(old, "RecordAgeExceeded"), None, is_reported=False)
            shard.through(old.records)
        if rest is None:
            return 0.0
        outcome, settled = await self._try(shard, rest)
        self._result = "PROBLEM: Function call failed" if settled.failed else "OK"
        match retries.decide_next(rest, outcome, settled, self._policy):
            case Done():
                shard.through(rest.records)
            case Again(parts, pause):
                shard.through(rest.records[: len(rest.records) - sum(len(part.records) for part in parts)])
                pieces.extendleft(reversed(parts))
                return pause
            case GiveUp() as given_up:
                await self._give_up(shard, given_up, outcome, is_reported=settled.is_reported)
                shard.through(rest.records)
        return 0.0

    async def _still_kept(self, shard: Shard, piece: Piece) -> Piece | None:
        """Pass over what the stream itself has dropped meanwhile, which nobody is told of; gives the rest."""
        now = self._clock.now()
        if now - piece.records[0].arrived <= retries.SHORTEST_RETENTION:
            return piece
        try:
            old, rest = retries.expired(piece, now, await self._source.retention(self._call))
        except AwsFault as error:
            self._problem(error)
            return piece
        if old is not None:
            shard.through(old.records)
        return rest

    async def _free(self, shard: Shard, lane: Lane) -> None:
        lane.is_busy = False
        if self._is_running:
            await self._poll()

    async def _try(self, shard: Shard, piece: Piece) -> tuple[Outcome, Settled]:
        """Invoke the function with a piece; what came of it, and of the window's state."""
        event: dict[str, Json] = {"Records": [record.event for record in piece.records]}
        window = shard.window
        if window is not None:
            event |= windows.told(window, shard=shard.id, source_arn=self._mapping.source_arn)
        # The library has the stream: who wrote a record is not known.
        shard.latest = f"{self._mapping.uuid} {shard.id} {piece.records[0].sequence}"
        self._counting.iterator_age(self._clock.now() - piece.records[-1].arrived)
        outcome = await self._invoke(event, shard.latest)
        names = [record.sequence for record in piece.records]
        is_windowed = window is not None
        settled = decide_settled(outcome, names, is_partial=self._policy.is_partial, is_windowed=is_windowed)
        if window is not None:
            shard.window, settled = windows.decide_state(window, settled, outcome.payload, names)
        if settled.failed and outcome.fault is None and outcome.function_error is None:
            self._delivery.trace.amend(outcome.request_id, failed=f"{len(settled.failed)} of {len(names)}")
        self._counting.events("InvokedEventCount", len(names))
        self._counting.events("FailedInvokeEventCount", len(settled.failed))
        return outcome, settled

    # Tumbling windows

    def _envelope(self, shard: Shard) -> int:
        """The bytes of an event besides its records."""
        if shard.window is None:
            return batching.ENVELOPE
        beside = windows.told(shard.window, shard=shard.id, source_arn=self._mapping.source_arn)
        return batching.ENVELOPE + len(json.dumps(beside))

    def _close_in_time(self, shard: Shard, window: Window) -> None:
        """Look at the shard when its window is over: read what is left of it, then end it."""
        if shard.closing is not None:
            shard.closing.cancel()
        shard.closing = self._clock.call_at(window.end, lambda: self._clock.run(self._poll()))

    def _begin_closing(self, shard: Shard, window: Window) -> None:
        shard.lanes[0].is_busy = True
        self._clock.run(self._close(shard, window))

    async def _close(self, shard: Shard, window: Window) -> None:
        """Hand the function the state of its window for the last time; the shard stands still meanwhile."""
        await self._end_window(shard, window, is_early=False)
        await self._free(shard, shard.lanes[0])

    async def _end_window(self, shard: Shard, window: Window, *, is_early: bool) -> None:
        """Invoke without records until the function succeeds; what it answers does not matter then.

        Ended early a window goes on with a fresh state. That its flag comes by itself, without records and without
        that of the final invocation, which there is once a window, is how AWS's event libraries put it.
        """
        told = windows.told(
            window, shard=shard.id, source_arn=self._mapping.source_arn, is_final=not is_early, is_early=is_early
        )
        attempts = 0
        while self._is_running:
            with self._working():
                outcome = await self._invoke({"Records": [], **told}, shard.latest)
                if outcome.fault is None and outcome.function_error is None:
                    self._result = "OK"
                    shard.window = window.begun_anew() if is_early else None
                    return
            self._result = "PROBLEM: Function call failed"
            attempts += 1
            await self._clock.sleep(retries.back_off(attempts))

    async def _invoke(self, event: Mapping[str, Json], key: str) -> Outcome:
        trace = self._delivery.trace
        if not trace.knows(key):
            trace.add("records", self._mapping.source_arn, key=key, after="", count=len(event["Records"]))
        trace.caused_by(key)
        payload = json.dumps(event).encode()
        return await self._invoker.invoke(self._mapping.function_arn, payload, region=self._mapping.region)

    async def _give_up(self, shard: Shard, given_up: GiveUp, outcome: Outcome | None, *, is_reported: bool) -> None:
        records = given_up.piece.records
        if self._on_failure is None:
            self._counting.events("DroppedEventCount", len(records))
            return
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
            self._counting.events("OnFailureDestinationDeliveredEventCount", len(records))
        except AwsFault as error:
            self._counting.undelivered()
            sys.stderr.write(f"lambdaform: on-failure destination {self._on_failure} refused a record: {error}\n")

    async def _call(self, service: str, operation: str, params: Mapping[str, Any], *, region: str) -> Mapping[str, Any]:
        return await self._data.call(service, operation, params, region=region)

    def _problem(self, error: AwsFault) -> None:
        self._result = f"PROBLEM: {error.message}"


def _unqualified(function_arn: str) -> str:
    return ":".join(function_arn.split(":")[:7])
