"""Amazon EventBridge Scheduler: schedules in groups, that send to queues, topics, functions and buses on the clock.

`decide_due` and its like are pure; `Scheduler` keeps the schedules and their timers.
https://docs.aws.amazon.com/scheduler/latest/UserGuide/what-is-scheduler.html
"""

from __future__ import annotations

import copy
import hashlib
import json
import sys
from collections.abc import Mapping
from typing import Any, cast

import attrs

from lambdaform.local import schedules
from lambdaform.local.clock import Ids
from lambdaform.local.delivery import Delivery, Parcel, service_of
from lambdaform.local.events.rules import iso_seconds
from lambdaform.local.operations import Answer, answer, page
from lambdaform.local.pollers.sources import seconds
from lambdaform.local.ports import AwsFault, Call, Clock, Timer
from lambdaform.local.retrying import MAX_AGE, MAX_RETRIES, GivenUp, try_again
from lambdaform.local.schedules import At, Rate
from lambdaform.local.sqs.values import Attribute

DELIVERED = ("lambda", "sqs", "sns", "events")
"""The kinds of targets the local AWS delivers to."""

_PAGE = 100
_LONGEST_WINDOW = 1_440 * 60
_OPTIONAL = ("Description", "StartDate", "EndDate", "KmsKeyArn")


@attrs.define(kw_only=True, eq=False)
class ScheduleEntry:
    """One schedule: what was given, and when."""

    name: str
    group: str
    arn: str
    given: dict[str, Any]
    created: float
    modified: float
    scheduled: float
    """Since when its expression counts."""
    last: float | None = None
    """The latest time it came up for."""
    client_token: str | None = None

    @property
    def is_enabled(self) -> bool:
        """Whether it comes up at all."""
        return self.given.get("State") != "DISABLED"


@attrs.define(kw_only=True, eq=False)
class Group:
    """One group of schedules."""

    name: str
    arn: str
    created: float
    tags: dict[str, str] = attrs.field(factory=dict[str, str])


def decide_due(entry: ScheduleEntry, now: float) -> float | None:
    """The next time a schedule comes up for, before its flexible window is added; None for never again.

    A rate without a start date begins at once. Start and end dates do not hold for one-time schedules.
    """
    if not entry.is_enabled:
        return None
    given = entry.given
    schedule = schedules.parse(
        given["ScheduleExpression"], timezone=given.get("ScheduleExpressionTimezone") or "UTC", allows_at=True
    )
    if isinstance(schedule, At):
        return None if entry.last is not None else schedule.next_after(entry.scheduled - 1, entry.scheduled)
    start = max(entry.scheduled, seconds(given["StartDate"]) if given.get("StartDate") is not None else 0.0)
    if isinstance(schedule, Rate) and entry.last is None:
        due: float | None = max(start, now) if start <= now else start
    else:
        # What was due before the longest window is not made up for, such as after a checkpoint of long ago.
        reached = now if entry.last is None else max(entry.last, now - _LONGEST_WINDOW)
        due = schedule.next_after(max(reached, start - 1e-6), start)
    if due is not None and given.get("EndDate") is not None and due > seconds(given["EndDate"]):
        return None
    return due


def offset_in_window(entry: ScheduleEntry, due: float) -> float:
    """How far into its flexible window a schedule comes up: anywhere in AWS, here always the same for the same time."""
    window = cast(Mapping[str, Any], entry.given.get("FlexibleTimeWindow") or {})
    if window.get("Mode") != "FLEXIBLE":
        return 0.0
    length = int(window["MaximumWindowInMinutes"]) * 60
    drawn = hashlib.sha256(f"{entry.arn} {due}".encode()).digest()
    return float(int.from_bytes(drawn[:8], "big") % length)


def input_text(entry: ScheduleEntry, due: float, execution_id: str, attempt: int, event_id: str) -> str:
    """What a target gets: its input with the context attributes replaced, or an event that tells of the schedule.

    https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html
    """
    text = cast(str | None, entry.given["Target"].get("Input"))
    if text is None:
        _, _, _, region, account, _ = entry.arn.split(":", 5)
        # As functions without an input report it; the guide does not show it.
        return json.dumps(
            {
                "version": "0",
                "id": event_id,
                "detail-type": "Scheduled Event",
                "source": "aws.scheduler",
                "account": account,
                "time": iso_seconds(due),
                "region": region,
                "resources": [entry.arn],
                "detail": "{}",
            }
        )
    values = {
        "<aws.scheduler.schedule-arn>": entry.arn,
        "<aws.scheduler.scheduled-time>": iso_seconds(due),
        "<aws.scheduler.execution-id>": execution_id,
        "<aws.scheduler.attempt-number>": str(attempt),
    }
    for keyword, value in values.items():
        text = text.replace(keyword, value)
    return text


class Scheduler:
    """Amazon EventBridge Scheduler. One per local AWS."""

    name = "scheduler"

    def __init__(self, *, clock: Clock, ids: Ids, delivery: Delivery) -> None:
        self._clock = clock
        self._ids = ids
        self._delivery = delivery
        self._groups: dict[str, Group] = {}
        self._entries: dict[str, ScheduleEntry] = {}
        self._timers: dict[str, Timer] = {}
        self._operations = {
            "CreateSchedule": self._create_schedule,
            "CreateScheduleGroup": self._create_group,
            "DeleteSchedule": self._delete_schedule,
            "DeleteScheduleGroup": self._delete_group,
            "GetSchedule": self._get_schedule,
            "GetScheduleGroup": self._get_group,
            "ListScheduleGroups": self._list_groups,
            "ListSchedules": self._list_schedules,
            "ListTagsForResource": self._list_tags,
            "TagResource": self._tag,
            "UntagResource": self._untag,
            "UpdateSchedule": self._update_schedule,
        }

    async def handle(self, call: Call) -> Answer:
        """Answer one call; raises `AwsFault`."""
        return await answer(self._operations, call)

    def every(self) -> list[ScheduleEntry]:
        """All schedules."""
        return list(self._entries.values())

    # Schedules

    def _create_schedule(self, call: Call) -> Answer:
        group = self._group(call, call.params.get("GroupName"))
        name = str(call.params["Name"])
        arn = _arn(call, f"schedule/{group.name}/{name}")
        token = cast(str | None, call.params.get("ClientToken"))
        held = self._entries.get(arn)
        if held is not None:
            if token is not None and held.client_token == token:
                return {"ScheduleArn": arn}
            raise AwsFault("ConflictException", f"Schedule {name} already exists.", status=409)
        given = _checked(call.params)
        now = self._clock.now()
        entry = ScheduleEntry(
            name=name,
            group=group.name,
            arn=arn,
            given=given,
            created=now,
            modified=now,
            scheduled=now,
            client_token=token,
        )
        self._entries[arn] = entry
        self._warn(entry)
        self._arm(entry)
        return {"ScheduleArn": arn}

    def _update_schedule(self, call: Call) -> Answer:
        entry = self._entry(call)
        given = _checked(call.params)
        now = self._clock.now()
        timing = ("ScheduleExpression", "ScheduleExpressionTimezone", "StartDate")
        if any(entry.given.get(name) != given.get(name) for name in timing):
            entry.scheduled, entry.last = now, None
        entry.given, entry.modified = given, now
        self._warn(entry)
        self._arm(entry)
        return {"ScheduleArn": entry.arn}

    def _get_schedule(self, call: Call) -> Answer:
        entry = self._entry(call)
        return {
            "Arn": entry.arn,
            "GroupName": entry.group,
            "Name": entry.name,
            "CreationDate": entry.created,
            "LastModificationDate": entry.modified,
            "ScheduleExpressionTimezone": "UTC",
            "State": "ENABLED",
            "ActionAfterCompletion": "NONE",
            **entry.given,
        }

    def _delete_schedule(self, call: Call) -> Answer:
        self._drop(self._entry(call))
        return {}

    def _list_schedules(self, call: Call) -> Answer:
        group, prefix, state = (call.params.get(name) for name in ("GroupName", "NamePrefix", "State"))
        shown: list[Any] = [
            {
                "Arn": entry.arn,
                "GroupName": entry.group,
                "Name": entry.name,
                "State": entry.given.get("State") or "ENABLED",
                "CreationDate": entry.created,
                "LastModificationDate": entry.modified,
                "Target": {"Arn": entry.given["Target"]["Arn"]},
            }
            for entry in sorted(self._entries.values(), key=lambda entry: entry.arn)
            if entry.arn.startswith(_arn(call, "schedule/"))
            and (group is None or entry.group == group)
            and (prefix is None or entry.name.startswith(prefix))
            and (state is None or (entry.given.get("State") or "ENABLED") == state)
        ]
        return _page("Schedules", shown, call)

    def _entry(self, call: Call) -> ScheduleEntry:
        name = str(call.params["Name"])
        entry = self._entries.get(_arn(call, f"schedule/{call.params.get('GroupName') or 'default'}/{name}"))
        if entry is None:
            raise _missing(f"Schedule {name} does not exist.")
        return entry

    def _drop(self, entry: ScheduleEntry) -> None:
        self._disarm(entry)
        self._entries.pop(entry.arn, None)

    # Groups

    def _create_group(self, call: Call) -> Answer:
        name = str(call.params["Name"])
        arn = _arn(call, f"schedule-group/{name}")
        if arn in self._groups or name == "default":
            raise AwsFault("ConflictException", f"Schedule group {name} already exists.", status=409)
        tags = {tag["Key"]: tag["Value"] for tag in call.params.get("Tags") or ()}
        self._groups[arn] = Group(name=name, arn=arn, created=self._clock.now(), tags=tags)
        return {"ScheduleGroupArn": arn}

    def _get_group(self, call: Call) -> Answer:
        return _shown_group(self._group(call, str(call.params["Name"])))

    def _delete_group(self, call: Call) -> Answer:
        group = self._group(call, str(call.params["Name"]))
        if group.name == "default":
            raise _invalid("Deleting default schedule group is not allowed.")
        for entry in [entry for entry in self._entries.values() if entry.group == group.name]:
            if entry.arn.startswith(_arn(call, "schedule/")):
                self._drop(entry)
        del self._groups[group.arn]
        return {}

    def _list_groups(self, call: Call) -> Answer:
        self._group(call, None)
        prefix = str(call.params.get("NamePrefix") or "")
        start = _arn(call, "schedule-group/")
        shown: list[Any] = [
            _shown_group(group)
            for arn, group in sorted(self._groups.items())
            if arn.startswith(start) and group.name.startswith(prefix)
        ]
        return _page("ScheduleGroups", shown, call)

    def _group(self, call: Call, name: str | None) -> Group:
        name = name or "default"
        arn = _arn(call, f"schedule-group/{name}")
        if name == "default" and arn not in self._groups:
            self._groups[arn] = Group(name=name, arn=arn, created=self._clock.now())
        group = self._groups.get(arn)
        if group is None:
            raise _missing(f"Schedule group {name} does not exist.")
        return group

    def _tag(self, call: Call) -> Answer:
        tags = self._tagged(call).tags
        tags.update({tag["Key"]: tag["Value"] for tag in call.params["Tags"]})
        return {}

    def _untag(self, call: Call) -> Answer:
        tags = self._tagged(call).tags
        for key in cast(list[str], call.params["TagKeys"]):
            tags.pop(key, None)
        return {}

    def _list_tags(self, call: Call) -> Answer:
        return {"Tags": [{"Key": key, "Value": value} for key, value in self._tagged(call).tags.items()]}

    def _tagged(self, call: Call) -> Group:
        arn = str(call.params["ResourceArn"])
        return self._group(call, arn.rpartition("/")[2])

    # Coming up

    def _warn(self, entry: ScheduleEntry) -> None:
        target = str(entry.given["Target"]["Arn"])
        if service_of(target) not in DELIVERED:
            sys.stderr.write(f"lambdaform: the local AWS will not deliver {entry.arn} to {target}\n")

    def _arm(self, entry: ScheduleEntry) -> None:
        """Set the timer of a schedule anew; one that will not come up again is over."""
        self._disarm(entry)
        due = decide_due(entry, self._clock.now())
        if due is None:
            is_over = entry.is_enabled and entry.last is not None
            if is_over and entry.given.get("ActionAfterCompletion") == "DELETE":
                self._entries.pop(entry.arn, None)
            return
        when = due + offset_in_window(entry, due)
        self._timers[entry.arn] = self._clock.call_at(when, lambda: self._come_up(entry, due))

    def _disarm(self, entry: ScheduleEntry) -> None:
        timer = self._timers.pop(entry.arn, None)
        if timer is not None:
            timer.cancel()

    def _come_up(self, entry: ScheduleEntry, due: float) -> None:
        entry.last = due
        trace = self._delivery.trace
        with trace.under(trace.add("schedule", entry.arn, after="")):
            self._clock.run(self._deliver(entry, due, copy.deepcopy(entry.given["Target"])))
        self._arm(entry)

    async def _deliver(self, entry: ScheduleEntry, due: float, target: dict[str, Any]) -> None:
        """Send to the target; throttles and service errors are tried again, doubling the wait, within the policy."""
        policy = cast(Mapping[str, int], target.get("RetryPolicy") or {})
        execution_id, event_id = self._ids.hex(16), self._ids.uuid()

        def attempt(number: int) -> None:
            self._send(entry, target, input_text(entry, due, execution_id, number, event_id))

        try:
            attempt(1)
        except AwsFault as error:
            given_up = await try_again(self._clock, policy, error, attempt)
            if given_up is not None:
                text = input_text(entry, due, execution_id, given_up.retries + 1, event_id)
                self._failed(entry, target, text, given_up, due, execution_id)

    def _send(self, entry: ScheduleEntry, target: Mapping[str, Any], text: str) -> None:
        arn = str(target["Arn"])
        if service_of(arn) == "events":
            details = cast(Mapping[str, str], target.get("EventBridgeParameters") or {})
            event = {"source": details["Source"], "detail-type": details["DetailType"], "detail": json.loads(text)}
            self._delivery.put_event(arn, {**event, "resources": [entry.arn]})
            return
        queue = cast(Mapping[str, str], target.get("SqsParameters") or {})
        self._delivery.send(arn, Parcel(text, group=queue.get("MessageGroupId")), source=entry.arn)

    def _failed(
        self,
        entry: ScheduleEntry,
        target: Mapping[str, Any],
        text: str,
        given_up: GivenUp,
        due: float,
        execution_id: str,
    ) -> None:
        """Put what could not be delivered into the dead letter queue.

        https://docs.aws.amazon.com/scheduler/latest/UserGuide/configuring-schedule-dlq.html
        """
        letters = cast(Mapping[str, str], target.get("DeadLetterConfig") or {}).get("Arn")
        error = given_up.error
        details = {
            "ERROR_CODE": error.code,
            "ERROR_MESSAGE": (error.message or error.code)[:1024],
            "EXECUTION_ID": execution_id,
            "RETRY_ATTEMPTS": str(given_up.retries),
            "SCHEDULED_TIME": iso_seconds(due),
            "SCHEDULE_ARN": entry.arn,
            "TARGET_ARN": str(target["Arn"]),
        }
        try:
            if letters is None:
                raise error
            attributes = {name: Attribute("String", value) for name, value in details.items()}
            self._delivery.send(letters, Parcel(text, attributes), source=entry.arn)
        except AwsFault as last:
            sys.stderr.write(f"lambdaform: what {entry.arn} sent to {target['Arn']} is lost: {last}\n")

    # State

    def checkpoint(self) -> object:
        """Groups and schedules, for `restore`."""
        return copy.deepcopy((self._groups, self._entries))

    def restore(self, state: object) -> None:
        """Be as at the checkpoint; schedules come up as they would have."""
        self.reset()
        groups, entries = cast(tuple[dict[str, Group], dict[str, ScheduleEntry]], copy.deepcopy(state))
        self._groups, self._entries = groups, entries
        for entry in list(entries.values()):
            self._arm(entry)

    def reset(self) -> None:
        """Forget all groups and schedules."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._groups, self._entries = {}, {}


def _checked(params: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a schedule; raises `AwsFault` for those AWS does not take."""
    expression = str(params["ScheduleExpression"])
    zone = str(params.get("ScheduleExpressionTimezone") or "UTC")
    try:
        schedules.parse("at(2026-01-01T00:00:00)", timezone=zone, allows_at=True)
    except schedules.ScheduleError as error:
        raise _invalid(f"Invalid ScheduleExpressionTimezone {zone}.") from error
    try:
        schedules.parse(expression, timezone=zone, allows_at=True)
    except schedules.ScheduleError as error:
        raise _invalid(f"Invalid Schedule Expression {expression}.") from error
    window = cast(Mapping[str, Any], params["FlexibleTimeWindow"])
    if window["Mode"] == "FLEXIBLE" and window.get("MaximumWindowInMinutes") is None:
        raise _invalid("MaximumWindowInMinutes must be provided for FlexibleTimeWindow when Mode is FLEXIBLE.")
    if window["Mode"] == "OFF" and window.get("MaximumWindowInMinutes") is not None:
        raise _invalid("MaximumWindowInMinutes must not be provided for FlexibleTimeWindow when Mode is OFF.")
    target = cast(Mapping[str, Any], params["Target"])
    if not service_of(str(target["Arn"])):
        raise _invalid("Provided Arn is not in correct format.")
    if service_of(str(target["Arn"])) == "events" and not target.get("EventBridgeParameters"):
        raise _invalid("EventBridgeParameters must be provided for the target.")
    start, end = params.get("StartDate"), params.get("EndDate")
    if start is not None and end is not None and seconds(end) < seconds(start):
        raise _invalid("The EndDate you specify must come after the StartDate.")
    given: dict[str, Any] = {
        "ScheduleExpression": expression,
        "ScheduleExpressionTimezone": zone,
        "State": params.get("State") or "ENABLED",
        "ActionAfterCompletion": params.get("ActionAfterCompletion") or "NONE",
        "FlexibleTimeWindow": dict(window),
        "Target": {
            **target,
            "RetryPolicy": {
                "MaximumEventAgeInSeconds": MAX_AGE,
                "MaximumRetryAttempts": MAX_RETRIES,
                **(target.get("RetryPolicy") or {}),
            },
        },
    }
    return {**given, **{name: params[name] for name in _OPTIONAL if params.get(name) is not None}}


def _shown_group(group: Group) -> dict[str, Any]:
    return {
        "Arn": group.arn,
        "Name": group.name,
        "State": "ACTIVE",
        "CreationDate": group.created,
        "LastModificationDate": group.created,
    }


def _arn(call: Call, resource: str) -> str:
    return f"arn:aws:scheduler:{call.region}:{call.account}:{resource}"


def _invalid(message: str) -> AwsFault:
    return AwsFault("ValidationException", message)


def _missing(message: str) -> AwsFault:
    return AwsFault("ResourceNotFoundException", message, status=404)


def _page(member: str, items: list[Any], call: Call) -> dict[str, Any]:
    shown, token = page(
        items,
        call.params.get("NextToken"),
        int(call.params.get("MaxResults") or _PAGE),
        refused=_invalid("Invalid NextToken."),
    )
    return {member: shown, **({} if token is None else {"NextToken": token})}
