"""All event services together, as the local AWS composes them.

`Plumbing` makes them in the order they need each other; `connect` closes the ring once Lambda exists. Their state is
kept and brought back together: queues before the pollers that read them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from lambdaform.local import differences
from lambdaform.local.asynchronous import FIRST_WAIT, AsynchronousQueue
from lambdaform.local.brokers import Brokers
from lambdaform.local.clock import Ids, VirtualClock
from lambdaform.local.data import MotoServices
from lambdaform.local.delivery import Delivery
from lambdaform.local.differences import Difference
from lambdaform.local.events import EventBridge
from lambdaform.local.lambda_.metrics import Metrics
from lambdaform.local.notifications import Notifications
from lambdaform.local.pollers import EventPollers
from lambdaform.local.ports import Clock, EventMapping, Invoker, Permits, Service
from lambdaform.local.scheduler import Scheduler
from lambdaform.local.sns import Sns
from lambdaform.local.sqs import Sqs
from lambdaform.local.trace import Trace


@attrs.frozen
class _State:
    """A checkpoint of everything."""

    sqs: object
    sns: object
    events: object
    scheduler: object
    notifications: object
    asynchronous: object
    pollers: object


class Plumbing:
    """The event services of one local AWS."""

    def __init__(
        self,
        *,
        clock: Clock,
        ids: Ids,
        data: MotoServices,
        trace: Trace | None = None,
        metrics: Metrics | None = None,
        retry_delay: float = FIRST_WAIT,
        brokers: Brokers | None = None,
    ) -> None:
        self.delivery = Delivery(clock=clock, ids=ids, trace=trace)
        # Under a virtual clock a receive that waited would wait for a time its own caller holds back.
        self.sqs = Sqs(clock=clock, ids=ids, long_polls=not isinstance(clock, VirtualClock), trace=trace)
        self.sns = Sns(clock=clock, ids=ids, delivery=self.delivery)
        self.events = EventBridge(clock=clock, ids=ids, delivery=self.delivery)
        self.scheduler = Scheduler(clock=clock, ids=ids, delivery=self.delivery)
        self.notifications = Notifications(clock=clock, ids=ids, data=data, delivery=self.delivery)
        self.asynchronous = AsynchronousQueue(
            clock=clock, ids=ids, delivery=self.delivery, metrics=metrics, first_wait=retry_delay
        )
        self.pollers = EventPollers(
            clock=clock,
            ids=ids,
            queues=self.sqs,
            data=data,
            delivery=self.delivery,
            metrics=metrics,
            brokers=brokers,
        )
        self.delivery.attach(queues=self.sqs, topics=self.sns, buses=self.events, data=data)

    @property
    def services(self) -> tuple[Service, ...]:
        """The AWS services among them, for the door."""
        return (self.sqs, self.sns, self.events, self.scheduler)

    def connect(self, invoker: Invoker, *, permits: Permits | None = None) -> None:
        """Say who runs functions, and who knows what a function's policy permits. Before the first request."""
        self.delivery.attach(invoker=invoker)
        self.pollers.connect(invoker)
        self.asynchronous.connect(invoker)
        self.notifications.permits = permits

    def not_honoured(self) -> Mapping[str, Sequence[Difference]]:
        """What is accepted without effect, by ARN or mapping; resources without such a setting are left out."""
        found: dict[str, Sequence[Difference]] = {
            **{queue.arn: [*differences.of_queue(queue)] for queue in self.sqs.every()},
            **{topic.arn: [*differences.of_topic(topic)] for topic in self.sns.every()},
            **{rule.arn: [*differences.of_rule(rule)] for rule in self.events.every_rule()},
            **{entry.arn: [*differences.of_schedule(entry)] for entry in self.scheduler.every()},
            **{mapping.uuid: self._of_mapping(mapping) for mapping in self.pollers.every()},
        }
        return {name: held for name, held in found.items() if held}

    def _of_mapping(self, mapping: EventMapping) -> Sequence[Difference]:
        return [*differences.of_mapping(mapping, unread=self.pollers.unread(mapping))]

    def checkpoint(self) -> object:
        """Everything as it is, for `restore`; what is under way at the moment is not part of it."""
        return self._state(self.asynchronous.checkpoint())

    def kept(self) -> object:
        """As `checkpoint`, with what is under way: a process that goes on from there does it again."""
        return self._state(self.asynchronous.kept())

    def _state(self, asynchronous: object) -> _State:
        return _State(
            sqs=self.sqs.checkpoint(),
            sns=self.sns.checkpoint(),
            events=self.events.checkpoint(),
            scheduler=self.scheduler.checkpoint(),
            notifications=self.notifications.checkpoint(),
            asynchronous=asynchronous,
            pollers=self.pollers.checkpoint(),
        )

    def restore(self, state: object) -> None:
        """Be as at the checkpoint. Lambda's own state must be restored before: pollers ask for their functions."""
        if not isinstance(state, _State):
            raise TypeError("bug in lambdaform: this is no checkpoint of the event services")
        self.pollers.reset()  # nobody takes from queues while they change
        self.sqs.restore(state.sqs)
        self.sns.restore(state.sns)
        self.events.restore(state.events)
        self.scheduler.restore(state.scheduler)
        self.notifications.restore(state.notifications)
        self.asynchronous.restore(state.asynchronous)
        self.pollers.restore(state.pollers)

    def reset(self) -> None:
        """Forget everything."""
        self.pollers.reset()
        self.asynchronous.reset()
        self.notifications.reset()
        self.scheduler.reset()
        self.events.reset()
        self.sns.reset()
        self.sqs.reset()
