"""The poller of a real broker for one function, whatever kind of broker it is.

What a kind of broker has of its own is behind `Reader`, one module per kind (`readers` chooses). Here are batches,
retries and destinations: what stays in order is a lane, a batch may hold records of several lanes, and while it is at
work none of its lanes is in another. What happens after a failure is decided in `retries`, what makes a batch in
`batching`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import attrs

from lambdaform.local.clock import Ids, iso
from lambdaform.local.delivery import Delivery
from lambdaform.local.pollers import batching, filters, retries
from lambdaform.local.pollers.answers import Settled, decide_settled, text_identifier
from lambdaform.local.pollers.counting import Counting
from lambdaform.local.pollers.reader import Failing, Reader, Trouble
from lambdaform.local.pollers.retries import Again, Condition, Done, GiveUp, Piece, StreamPolicy, StreamRecord
from lambdaform.local.ports import AwsFault, Cancellable, Clock, EventMapping, Invoker, Json, Outcome, Timer

WINDOW = 0.5
"""Seconds that a batch waits for more when a mapping says nothing.
https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventsourcemapping.html#invocation-eventsourcemapping-batching"""
MOST_RETRIES = 10
"""Retries without limit end here where there is an on-failure destination.
https://docs.aws.amazon.com/lambda/latest/dg/kafka-retry-configurations.html"""
TO_TOPIC = "kafka://"
_AHEAD = 100
"""Records of a lane read ahead, even where batches are smaller."""
_LANELESS = 10
"""So many times more are read ahead where nothing is in order."""
_SOON = 0.1
"""Seconds of real time between looks while a lane has too much waiting."""
_END = 3.0
"""Seconds of real time a broker has to let go of its reader."""


@attrs.frozen
class _Waiting:
    """A record that waits for its batch."""

    record: StreamRecord
    since: float


class BrokerPoller:
    """One mapping's poller. Its life: `start`, `stop`; where it was is known to the broker, or `place`."""

    def __init__(
        self,
        mapping: EventMapping,
        *,
        clock: Clock,
        ids: Ids,
        invoker: Invoker,
        delivery: Delivery,
        counting: Counting,
        reader: Reader,
        place: str | None = None,
        last_result: str | None = None,
    ) -> None:
        self._mapping = mapping
        self._clock = clock
        self._ids = ids
        self._invoker = invoker
        self._delivery = delivery
        self._counting = counting
        self._reader = reader
        settings = mapping.settings
        self._batch_size = int(settings.get("BatchSize") or 100)
        window = cast(int | None, settings.get("MaximumBatchingWindowInSeconds"))
        self._window = WINDOW if window is None else float(window)
        self._filters = filters.of_settings(settings)
        destinations = cast(Mapping[str, Any], settings.get("DestinationConfig") or {})
        on_failure = cast(Mapping[str, str], destinations.get("OnFailure") or {})
        self._on_failure = on_failure.get("Destination")
        if place is not None:
            reader.place = place
        policy = StreamPolicy.of_settings(settings)
        if reader.redelivering is not None:
            policy = attrs.evolve(policy, max_retries=reader.redelivering.max_retries)
        elif policy.max_retries < 0 and self._on_failure is not None:
            policy = attrs.evolve(policy, max_retries=MOST_RETRIES)
        self._policy = policy
        self._envelope = len(json.dumps(reader.event(())))
        self._waiting: list[_Waiting] = []
        self._busy: set[str] = set()
        self._in_flight = 0
        self._at_work = 0
        self._timer: Timer | None = None
        self._watch: Cancellable | None = None
        self._is_running = False
        self._is_open = False
        self._is_closed = False
        self._closing = asyncio.Lock()
        self._is_looking = False
        self._is_held_back = False
        self._again_at = float("-inf")
        self._troubles = 0
        self._trouble: str | None = None
        self._then: Callable[[], None] | None = None
        self._result = last_result or "No records processed"

    def start(self) -> None:
        """Connect and read."""
        self._is_running = True
        self._watch = self._clock.watch(self._look)

    def stop(self) -> None:
        """Read no more; an invocation under way ends as it does, and the broker hears of it."""
        if not self._is_running:
            return
        self._is_running = False
        if self._watch is not None:
            self._watch.cancel()
        if self._timer is not None:
            self._timer.cancel()
        self._clock.run(self._leave())

    @property
    def is_quiet(self) -> bool:
        """Whether no invocation is under way and the broker has been let go."""
        return self._at_work == 0 and self._is_closed

    def when_quiet(self, action: Callable[[], None]) -> None:
        """Run `action`, the latest one given, when it is quiet."""
        self._then = action

    async def close(self) -> None:
        """Let go of the broker at once, whatever is under way."""
        self._is_running = False
        if self._watch is not None:
            self._watch.cancel()
        await self._let_go()

    @property
    def place(self) -> str | None:
        """Where another poller of this mapping goes on; None where the broker knows it."""
        return self._reader.place

    def last_result(self) -> str:
        """How the latest invocation ended in AWS's words, or why nothing can be read."""
        return self._result if self._trouble is None else f"PROBLEM: {self._trouble}"

    # Reading

    async def _look(self, patience: float) -> bool:
        """Take what the broker has; whether that was anything."""
        if self._is_looking or not self._is_running:
            return False
        self._is_looking = True
        try:
            return await self._take(patience)
        except Trouble as trouble:
            self._counting.error("PollingErrorCount")
            await self._lose(trouble)
            return False
        finally:
            self._is_looking = False

    async def _take(self, patience: float) -> bool:
        if not self._is_open:
            if self._clock.now() < self._again_at:
                return False
            await self._reader.open()
            self._is_open, self._trouble, self._troubles = True, None, 0
        full = self._full()
        self._is_held_back = bool(full)
        if full:
            patience = min(patience, _SOON)  # one of them may have room any moment
        at_most = max(self._batch_size, _AHEAD)
        records = await self._reader.read(at_most=at_most, full=full, patience=patience)
        if not records or not self._is_running:
            return False
        kept = [record for record in records if self._reader.keeps(self._filters, record)]
        chosen = {record.sequence for record in kept}
        self._counting.events("PolledEventCount", len(records))
        self._counting.events("FilteredOutEventCount", len(records) - len(kept))
        await self._reader.skip([record for record in records if record.sequence not in chosen])
        now = self._clock.now()
        self._waiting.extend(_Waiting(record, now) for record in kept)
        self._consider()
        return True

    def _full(self) -> frozenset[str]:
        """The lanes of which enough is at hand."""
        counts = Counter(each.record.lane for each in self._waiting)
        most = max(self._batch_size, _AHEAD)
        return frozenset(lane for lane, count in counts.items() if count >= (most if lane else most * _LANELESS))

    async def _lose(self, trouble: Trouble) -> None:
        """Let go of a broker that cannot be read, and try again later, each time later than before."""
        said = str(trouble)
        self._troubles += 1
        self._again_at = self._clock.now() + batching.back_off(self._troubles)
        if said != self._trouble:
            sys.stderr.write(f"lambdaform: {self._reader.name}: {said}; it is tried again\n")
        self._trouble = said
        self._is_open = False
        self._waiting.clear()  # the broker has them still
        await self._let_go()

    async def _let_go(self) -> None:
        # Who comes second waits for the first: the end of the process waits for an end under way.
        with contextlib.suppress(TimeoutError):  # the broker notices by itself that its reader is gone
            async with self._closing, asyncio.timeout(_END):
                await self._reader.close()

    async def _leave(self) -> None:
        """Let go of the broker once nothing is under way any more."""
        if self._at_work or self._is_closed:
            return
        await self._let_go()
        self._is_closed = True
        if self._then is not None:
            then, self._then = self._then, None
            then()

    # Batches

    def _consider(self) -> None:
        """Send every batch that is one by now."""
        while self._is_running and (self._reader.most_at_once or sys.maxsize) > self._in_flight:
            free = [each for each in self._waiting if not each.record.lane or each.record.lane not in self._busy]
            lanes = {each.record.lane for each in free}
            decision = batching.decide_batch(
                [each.record.size for each in free],
                free[0].since if free else 0.0,
                self._clock.now(),
                batch_size=self._batch_size,
                window=self._window,
                envelope=self._envelope + sum(len(lane) + 8 for lane in lanes),
            )
            match decision:
                case batching.Send(count):
                    self._send(free[:count])
                case batching.Wait(until):
                    if self._timer is not None:
                        self._timer.cancel()
                    self._timer = self._clock.call_at(until, self._consider)
                    return
                case None:
                    return

    def _send(self, batch: Sequence[_Waiting]) -> None:
        gone = {id(each) for each in batch}
        self._waiting = [each for each in self._waiting if id(each) not in gone]
        lanes = {each.record.lane for each in batch if each.record.lane}
        self._busy |= lanes
        self._in_flight += 1
        self._clock.run(self._work_off(tuple(each.record for each in batch), lanes))
        if self._is_held_back:
            self._clock.run(self._look_again())

    async def _look_again(self) -> None:
        """There is room for what had to be left with the broker."""
        while await self._look(0.0):
            pass

    async def _work_off(self, batch: tuple[StreamRecord, ...], lanes: set[str]) -> None:
        """Try a batch until it is through or given up; its lanes stand still meanwhile."""
        pieces = deque([Piece(batch)])
        try:
            while pieces and self._is_running:
                self._at_work += 1
                try:
                    pause = await self._settle(pieces)
                except Trouble as trouble:
                    await self._lose(trouble)
                    pause = 0.0
                finally:
                    self._at_work -= 1
                if self._is_running:
                    await self._clock.sleep(pause)
        finally:
            self._busy -= lanes
            self._in_flight -= 1
        if self._is_running:
            self._consider()
        else:
            await self._leave()

    async def _settle(self, pieces: deque[Piece]) -> float:
        """Try the first piece once; what is to be tried again is put back. Gives the seconds to wait before that."""
        piece = await self._redelivered(self._still_held(pieces.popleft()))
        if piece is None:
            return 0.0
        old, rest = retries.expired(piece, self._clock.now(), self._policy.max_age)
        if old is not None:
            await self._give_up(GiveUp(old, "RecordAgeExceeded"), None, is_reported=False)
        if rest is None:
            return 0.0
        if len(rest.records) == 1 and self._envelope + rest.records[0].size > batching.MAX_PAYLOAD:
            if self._reader.tells_oversized:
                self._counting.oversized()
            await self._give_up(GiveUp(rest, "MaximumPayloadSizeExceeded"), None, is_reported=False)
            return 0.0
        outcome, settled = await self._try(rest)
        self._result = "PROBLEM: Function call failed" if settled.failed else "OK"
        match retries.decide_next(rest, outcome, settled, self._policy):
            case Done():
                await self._through(rest.records)
            case Again(parts, pause):
                if self._reader.redelivering is not None and outcome.fault is None:
                    pause = self._reader.redelivering.pause(parts[0].attempts)
                left = {record.sequence for part in parts for record in part.records}
                pieces.extendleft(reversed(parts))
                await self._through([record for record in rest.records if record.sequence not in left])
                return pause
            case GiveUp() as given_up:
                await self._give_up(given_up, outcome, is_reported=settled.is_reported)
        return 0.0

    async def _redelivered(self, piece: Piece | None) -> Piece | None:
        """What is to be tried again of a piece whose latest attempt failed, where the broker has a say in it."""
        redelivering = self._reader.redelivering
        if piece is None or redelivering is None or not piece.attempts or piece.refusals:
            return piece
        records = tuple(await redelivering.redeliver(piece.records))
        if not records:
            self._clock.run(self._look_again())
            return None
        return attrs.evolve(piece, records=records)

    def _still_held(self, piece: Piece) -> Piece | None:
        held = tuple(record for record in piece.records if self._reader.holds(record))
        return attrs.evolve(piece, records=held) if held else None

    async def _through(self, records: Sequence[StreamRecord]) -> None:
        held = [record for record in records if self._reader.holds(record)]
        if not held:
            return
        try:
            await self._reader.acknowledge(held)
        except Trouble:
            self._counting.error("CommitErrorCount")
            raise
        self._counting.events("CommittedEventCount", len(held))
        self._counting.lags(self._reader.lags())

    async def _try(self, piece: Piece) -> tuple[Outcome, Settled]:
        """Invoke the function with a piece, and see what came of it."""
        records = piece.records
        trace, key = self._delivery.trace, f"{self._mapping.uuid} {records[0].sequence}"
        if not trace.knows(key):
            trace.add("records", self._mapping.source_arn or self._reader.name, key=key, after="", count=len(records))
        trace.caused_by(key)
        if self._reader.tells_age:
            self._counting.iterator_age(self._clock.now() - records[-1].arrived)
        self._counting.lags(self._reader.lags())
        payload = json.dumps(self._reader.event(records)).encode()
        outcome = await self._invoker.invoke(self._mapping.function_arn, payload, region=self._mapping.region)
        failing = self._reader.failing
        settled = decide_settled(
            outcome,
            [record.sequence for record in records],
            is_partial=self._policy.is_partial,
            identify=text_identifier if failing is None else failing.identify,
        )
        if settled.failed and outcome.fault is None and outcome.function_error is None:
            trace.amend(outcome.request_id, failed=f"{len(settled.failed)} of {len(records)}")
        self._counting.events("InvokedEventCount", len(records))
        self._counting.events("FailedInvokeEventCount", len(settled.failed))
        if outcome.fault is not None:
            self._counting.error("InvokeErrorCount")
        return outcome, settled

    async def _give_up(self, given_up: GiveUp, outcome: Outcome | None, *, is_reported: bool) -> None:
        """Send records to the on-failure destination, or drop them; the lanes go on."""
        records = given_up.piece.records
        failing = self._reader.failing
        if self._on_failure is None or failing is None:
            self._counting.events("DroppedEventCount", len(records))
            sys.stderr.write(
                f"lambdaform: {self._reader.name}: {len(records)} dropped: {_REASONS[given_up.condition]}\n"
            )
        else:
            head = retries.failure_head(
                give_up=given_up,
                outcome=outcome,
                is_reported=is_reported,
                request_id=self._ids.uuid() if outcome is None else outcome.request_id,
                function_arn=_unqualified(self._mapping.function_arn),
                timestamp=iso(self._clock.now()),
            )
            try:
                await self._deliver(self._on_failure, failing, records, head)
                self._counting.events("OnFailureDestinationDeliveredEventCount", len(records))
            except (AwsFault, Trouble) as error:
                self._counting.undelivered()
                self._counting.error("OnFailureDestinationDeliveryErrorCount")
                sys.stderr.write(f"lambdaform: on-failure destination {self._on_failure} refused a record: {error}\n")
        if self._reader.redelivering is not None:
            await self._reader.redelivering.refuse(records)
        else:
            await self._through(records)

    async def _deliver(
        self, destination: str, failing: Failing, records: Sequence[StreamRecord], head: Mapping[str, Json]
    ) -> None:
        if destination.startswith(TO_TOPIC):
            for record in records:
                await failing.produce(destination.removeprefix(TO_TOPIC), record, head)
            return
        document = {**head, **failing.batch(records)}
        if destination.startswith("arn:aws:s3"):
            # Only an object has room for the records themselves.
            document["payload"] = json.dumps(self._reader.event(records))
        await self._delivery.deliver_record(
            destination,
            document,
            function_arn=self._mapping.function_arn,
            key_prefix=f"aws/lambda/{self._mapping.uuid}/{records[0].lane}",
            region=self._mapping.region,
        )


_REASONS: Mapping[Condition, str] = {
    "RetryAttemptsExhausted": "all retries failed",
    "RecordAgeExceeded": "older than MaximumRecordAgeInSeconds",
    "MaximumPayloadSizeExceeded": "too large for an event",
}


def _unqualified(function_arn: str) -> str:
    return ":".join(function_arn.split(":")[:7])
