"""Redrive of dead letters: message move tasks. Here a task is done as soon as it has started."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, cast

from lambdaform.local.clock import Ids
from lambdaform.local.operations import Answer
from lambdaform.local.ports import Call, Clock
from lambdaform.local.sqs import rules
from lambdaform.local.sqs.faults import fault
from lambdaform.local.sqs.values import Message

if TYPE_CHECKING:
    from lambdaform.local.sqs.store import QueueStore

MAX_LISTED = 10


class Moves:
    """The move tasks there have been, latest first."""

    def __init__(self, *, store: QueueStore, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._tasks: list[dict[str, Any]] = []

    def start(self, call: Call) -> Answer:
        """StartMessageMoveTask: every visible message goes to the destination, or back to where it came from."""
        source, destination = self._known(call), cast(str | None, call.params.get("DestinationArn"))
        if destination is not None and self._store.find(destination) is None:
            raise _missing()
        if not self._is_dead_letter_queue(source):
            raise fault("InvalidParameterValueException", "Source queue must be configured as a Dead Letter Queue.")
        total = self._store.counts(source).visible

        def target(message: Message) -> str | None:
            return destination or message.source_arn

        moved = self._store.move_all(source, target)
        handle = self._ids.hex(64)
        self._tasks.insert(
            0,
            {
                "TaskHandle": handle,
                "Status": "COMPLETED" if moved == total else "FAILED",
                "SourceArn": source,
                **({} if destination is None else {"DestinationArn": destination}),
                "ApproximateNumberOfMessagesMoved": moved,
                "ApproximateNumberOfMessagesToMove": total,
                **({} if moved == total else {"FailureReason": "CouldNotDetermineMessageSource"}),
                "StartedTimestamp": int(self._clock.now() * 1000),
            },
        )
        return {"TaskHandle": handle}

    def listing(self, call: Call) -> Answer:
        """ListMessageMoveTasks: the latest tasks of a source; a task that is over shows no handle."""
        source = self._known(call)
        limit = int(call.params.get("MaxResults") or 1)
        held = [task for task in self._tasks if task["SourceArn"] == source][: min(limit, MAX_LISTED)]
        return {"Results": [{key: value for key, value in task.items() if key != "TaskHandle"} for task in held]}

    def cancel(self, call: Call) -> Answer:
        """CancelMessageMoveTask: there is never one left to cancel."""
        raise fault("ResourceNotFoundException", "Task does not exist.")

    def checkpoint(self) -> object:
        """The tasks, for `restore`."""
        return copy.deepcopy(self._tasks)

    def restore(self, state: object) -> None:
        """Be as at the checkpoint."""
        self._tasks = copy.deepcopy(cast(list[dict[str, Any]], state))

    def _known(self, call: Call) -> str:
        source = str(call.params["SourceArn"])
        if self._store.find(source) is None:
            raise _missing()
        return source

    def _is_dead_letter_queue(self, arn: str) -> bool:
        policies = (rules.redrive_of(queue) for queue in self._store.every())
        return any(policy is not None and policy.target == arn for policy in policies)


def _missing() -> Exception:
    return fault(
        "ResourceNotFoundException", "The resource that you specified for the SourceArn parameter doesn't exist."
    )
