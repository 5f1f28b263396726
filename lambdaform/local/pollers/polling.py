"""All mappings that are polled, and what AWS refuses when one is made."""

from __future__ import annotations

import asyncio
import copy
import sys
import time
from collections.abc import Callable, Mapping
from typing import cast

import attrs

from lambdaform.local.brokers import Address, Brokers
from lambdaform.local.clock import Ids
from lambdaform.local.data import MotoServices
from lambdaform.local.delivery import Delivery, service_of
from lambdaform.local.event_sources import BROKERS, kind_of
from lambdaform.local.lambda_.metrics import Metrics
from lambdaform.local.pollers import filters
from lambdaform.local.pollers.brokers import BrokerPoller
from lambdaform.local.pollers.counting import Counting
from lambdaform.local.pollers.reader import Reader
from lambdaform.local.pollers.readers import reader_of, why_not
from lambdaform.local.pollers.shards import Bookmark
from lambdaform.local.pollers.sources import source_of
from lambdaform.local.pollers.sqs import Held, QueuePoller
from lambdaform.local.pollers.streams import StreamPoller
from lambdaform.local.pollers.validation import check_settings, invalid
from lambdaform.local.ports import AwsFault, Clock, EventMapping, Invoker, Json
from lambdaform.local.sqs.store import QueueStore

_STREAMS = ("kinesis", "dynamodb")
_READS = ("Get", "Describe", "List", "Query", "Scan", "BatchGet")
_WATCHED = {"DynamoDB_20120810": "dynamodb", "Kinesis_20131202": "kinesis"}


@attrs.frozen
class _Saved:
    """One mapping in a checkpoint, with where its poller was."""

    mapping: EventMapping
    held: tuple[list[Held], float] | None = None
    bookmarks: dict[str, Bookmark] | None = None
    place: str | None = None
    """That of a broker's source which does not know it itself."""


class EventPollers:
    """`Pollers`: one poller for each mapping. One of these per local AWS; `connect` comes before the first mapping."""

    def __init__(
        self,
        *,
        clock: Clock,
        ids: Ids,
        queues: QueueStore,
        data: MotoServices,
        delivery: Delivery,
        metrics: Metrics | None = None,
        brokers: Brokers | None = None,
        reading: Callable[[EventMapping, Address], Reader] = reader_of,
    ) -> None:
        self._clock = clock
        self._ids = ids
        self._queues = queues
        self._data = data
        self._delivery = delivery
        self._metrics = metrics
        self._brokers = brokers or Brokers()
        self._reading = reading
        self._invoker: Invoker | None = None
        self._mappings: dict[str, EventMapping] = {}
        self._pollers: dict[str, QueuePoller | StreamPoller | BrokerPoller] = {}
        # Where stopped mappings of streams were: switched on again, they go on from there.
        self._bookmarks: dict[str, dict[str, Bookmark]] = {}
        self._places: dict[str, str] = {}
        self._results: dict[str, str] = {}
        # Stopped pollers of streams and brokers whose invocations have not ended.
        self._leaving: dict[str, StreamPoller | BrokerPoller] = {}
        data.listen(self._heard)

    def connect(self, invoker: Invoker) -> None:
        """Say who runs functions."""
        self._invoker = invoker

    # What the control plane asks for

    def validate(self, source_arn: str, settings: Mapping[str, Json], *, region: str) -> None:
        """Refuse, as AWS does, a missing queue or settings its source does not take. Raises `AwsFault`.

        Whether a stream exists can only be asked with `check_source`: the library answers from another process.
        """
        filters.of_settings(settings)
        kind = kind_of(source_arn, settings)
        if kind is None:
            raise invalid("Unrecognized event source.")
        if kind == "sqs":
            self._check_exists(source_arn)
        check_settings(kind, source_arn, settings, now=self._now())
        if kind == "sqs":
            self._check_visibility(source_arn, settings, region)

    async def check_source(self, source_arn: str, *, region: str) -> None:
        """Refuse a stream that is missing. Raises `AwsFault`."""
        if service_of(source_arn) in _STREAMS:
            try:
                await self._data.together(source_of(source_arn, region, "").check)
            except AwsFault as error:
                raise invalid(f"Stream not found: {source_arn}") from error

    def start(self, mapping: EventMapping) -> None:
        """Poll by `mapping`, or by its new settings when it is already polled; a stream goes on where it was."""
        saved = self._save(mapping.uuid)
        self.stop(mapping.uuid)
        if mapping.settings.get("Enabled") is False:
            return
        leaving = self._leaving.get(mapping.uuid)
        if leaving is not None:
            # One batch of a shard at a time, and none twice: the new poller comes when the old one's have ended.
            self._mappings[mapping.uuid] = mapping
            leaving.when_quiet(lambda: self._left(mapping, leaving))
        else:
            held = saved.held if saved is not None else None
            self._resume(_Saved(mapping, held, self._bookmarks.pop(mapping.uuid, None)))

    def stop(self, uuid: str) -> None:
        """Stop polling; nothing happens when it is not polled."""
        mapping = self._mappings.pop(uuid, None)
        poller = self._pollers.pop(uuid, None)
        if poller is not None:
            poller.stop()
        if isinstance(poller, StreamPoller | BrokerPoller) and mapping is not None:
            self._note(uuid, poller)
            if not poller.is_quiet:
                self._leaving[uuid] = poller
                poller.when_quiet(lambda: self._left(mapping, poller))

    def _note(self, uuid: str, poller: StreamPoller | BrokerPoller) -> None:
        """Keep where a stopped poller was; most brokers know that themselves."""
        self._results[uuid] = poller.last_result()
        if isinstance(poller, BrokerPoller):
            if poller.place is not None:
                self._places[uuid] = poller.place
        elif poller.bookmarks():
            self._bookmarks[uuid] = poller.bookmarks()

    def _left(self, mapping: EventMapping, poller: StreamPoller | BrokerPoller) -> None:
        """Go on where a poller was whose last invocation has ended now, if its mapping is still polled."""
        uuid = mapping.uuid
        if self._leaving.get(uuid) is not poller:
            return  # all is as at another time
        del self._leaving[uuid]
        self._note(uuid, poller)
        following = self._mappings.get(uuid)
        if following is not None and uuid not in self._pollers:
            self._resume(_Saved(following, bookmarks=self._bookmarks.pop(uuid, None)))

    def forget(self, uuid: str) -> None:
        """Stop polling for good."""
        self.stop(uuid)
        self._leaving.pop(uuid, None)
        self._bookmarks.pop(uuid, None)
        self._places.pop(uuid, None)
        self._results.pop(uuid, None)

    def pause(self) -> None:
        """Take nothing from any source any more; where each poller is stays known. Batches in flight go on."""
        self._leaving.clear()
        for poller in self._pollers.values():
            poller.stop()

    def last_result(self, uuid: str) -> str | None:
        """`LastProcessingResult` as AWS words it; None for sources that have none."""
        poller = self._pollers.get(uuid)
        return self._results.get(uuid) if poller is None else poller.last_result()

    def every(self) -> list[EventMapping]:
        """All mappings that are polled."""
        return list(self._mappings.values())

    # State

    def checkpoint(self) -> object:
        """What is polled, and where each poller is."""
        saved = [self._save(uuid) for uuid in self._mappings]
        results = {uuid: result for uuid in self._mappings if (result := self.last_result(uuid)) is not None}
        return copy.deepcopy((saved, self._bookmarks, self._places, {**self._results, **results}))

    def restore(self, state: object) -> None:
        """Poll what was polled at the checkpoint, from where it was. The queues must be restored before."""
        self.reset()
        mappings, self._bookmarks, self._places, self._results = cast(
            tuple[list[_Saved], dict[str, dict[str, Bookmark]], dict[str, str], dict[str, str]], copy.deepcopy(state)
        )
        for saved in mappings:
            self._resume(saved)

    def reset(self) -> None:
        """Poll nothing."""
        for uuid in list(self._mappings):
            self.stop(uuid)
        self._leaving.clear()
        self._bookmarks.clear()
        self._places.clear()
        self._results.clear()

    def _save(self, uuid: str) -> _Saved | None:
        poller = self._pollers.get(uuid)
        if poller is None and uuid in self._mappings:
            return _Saved(self._mappings[uuid], bookmarks=self._bookmarks.get(uuid), place=self._places.get(uuid))
        match poller:
            case QueuePoller():
                return _Saved(self._mappings[uuid], held=poller.checkpoint())
            case StreamPoller():
                return _Saved(self._mappings[uuid], bookmarks=poller.bookmarks())
            case BrokerPoller():
                return _Saved(self._mappings[uuid], place=poller.place)
            case None:
                return None

    def _resume(self, saved: _Saved) -> None:
        mapping, invoker = saved.mapping, self._connected()
        counting = Counting(mapping, clock=self._clock, metrics=self._metrics)
        self._mappings[mapping.uuid] = mapping
        if self._is_of_broker(mapping):
            self._read_broker(mapping, counting, self._places.pop(mapping.uuid, saved.place))
            return
        if service_of(mapping.source_arn) == "sqs":
            poller = QueuePoller(mapping, clock=self._clock, queues=self._queues, invoker=invoker, counting=counting)
            poller.start()
            if saved.held is not None and saved.held[0]:
                poller.resume(*saved.held)
        else:
            poller = StreamPoller(
                mapping,
                clock=self._clock,
                ids=self._ids,
                data=self._data,
                invoker=invoker,
                delivery=self._delivery,
                counting=counting,
                bookmarks=saved.bookmarks,
                last_result=self._results.get(mapping.uuid),
            )
            poller.start()
        self._pollers[mapping.uuid] = poller

    def _is_of_broker(self, mapping: EventMapping) -> bool:
        return kind_of(mapping.source_arn, mapping.settings) in BROKERS

    def unread(self, mapping: EventMapping) -> str | None:
        """Why a mapping invokes nothing here, in words; None when it does."""
        if not self._is_of_broker(mapping):
            return None
        address = self._brokers.address(mapping.source_arn, mapping.settings)
        return why_not(mapping.source_arn, mapping.settings, address)

    def _read_broker(self, mapping: EventMapping, counting: Counting, place: str | None) -> None:
        reason = self.unread(mapping)
        address = self._brokers.address(mapping.source_arn, mapping.settings)
        if reason is not None or address is None:
            self._results[mapping.uuid] = f"PROBLEM: {reason}"
            sys.stderr.write(f"lambdaform: {mapping.function_arn} will not be invoked: {reason}\n")
            return
        poller = self._pollers[mapping.uuid] = BrokerPoller(
            mapping,
            clock=self._clock,
            ids=self._ids,
            invoker=self._connected(),
            delivery=self._delivery,
            counting=counting,
            reader=self._reading(mapping, address),
            place=place,
        )
        poller.start()

    async def close(self) -> None:
        """Let go of every broker, for the end of the process."""
        held = [*self._pollers.values(), *self._leaving.values()]
        await asyncio.gather(*(poller.close() for poller in held if isinstance(poller, BrokerPoller)))

    def _heard(self, target: str) -> None:
        """Wake the pollers of a kind of stream when something was written to it."""
        prefix, _, operation = target.partition(".")
        kind = _WATCHED.get(prefix)
        if kind is None or operation.startswith(_READS):
            return
        for uuid, poller in list(self._pollers.items()):
            if isinstance(poller, StreamPoller) and service_of(self._mappings[uuid].source_arn) == kind:
                poller.written()

    def _connected(self) -> Invoker:
        if self._invoker is None:
            raise AssertionError("bug in lambdaform: a mapping came before the pollers were connected")
        return self._invoker

    def _now(self) -> float:
        """The present, for who names a moment: it may be one of real time, whatever the clock here says."""
        return max(self._clock.now(), time.time())

    def _check_exists(self, arn: str) -> None:
        if self._queues.find(arn) is None:
            raise invalid(
                "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. "
                "SQS Error Message: The specified queue does not exist."
            )

    def _check_visibility(self, arn: str, settings: Mapping[str, Json], region: str) -> None:
        function = cast(str | None, settings.get("FunctionName") or settings.get("FunctionArn"))
        if function is not None:
            timeout = self._connected().settings(function, region=region).timeout
            hidden = self._queues.get(arn).seconds("VisibilityTimeout")
            if hidden < timeout:
                raise invalid(
                    f"Queue visibility timeout: {hidden} seconds is less than Function timeout: {timeout} seconds"
                )
