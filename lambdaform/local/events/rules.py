"""Buses and their rules: finding, checking, and the timers of schedules."""

from __future__ import annotations

import copy
import datetime
from collections.abc import Mapping
from typing import Any, cast

from lambdaform.local import patterns, schedules
from lambdaform.local.clock import Ids
from lambdaform.local.delivery import Delivery
from lambdaform.local.events.sending import Sending
from lambdaform.local.events.values import Bus, Event, Rule
from lambdaform.local.ports import ACCOUNT, AwsFault, Call, Clock, Timer

MAX_HOPS = 5
"""How many buses an event may be handed through: rules that hand events around in a ring must come to an end."""


def invalid(message: str) -> AwsFault:
    """A request AWS does not take."""
    return AwsFault("ValidationException", message)


def missing(message: str) -> AwsFault:
    """A bus or rule that is not there."""
    return AwsFault("ResourceNotFoundException", message)


class Buses:
    """All buses with their rules; puts events on them and lets schedules come up."""

    def __init__(self, *, clock: Clock, ids: Ids, delivery: Delivery) -> None:
        self._clock = clock
        self._ids = ids
        self._sending = Sending(clock=clock, delivery=delivery)
        self._trace = delivery.trace
        self._buses: dict[str, Bus] = {}
        self._timers: dict[str, Timer] = {}
        self._hops = 0

    # Finding

    def bus(self, call: Call, name: str | None) -> Bus:
        """The bus a call names, by name or ARN; the default one without. Raises `AwsFault`."""
        name = name or "default"
        arn = name if name.startswith("arn:") else f"arn:aws:events:{call.region}:{call.account}:event-bus/{name}"
        return self.bus_at(arn)

    def bus_at(self, arn: str) -> Bus:
        """The bus of an ARN; every account has a default one in every region."""
        held = self._buses.get(arn)
        if held is None:
            name = arn.rpartition("/")[2]
            if name != "default":
                raise missing(f"Event bus {name} does not exist.")
            held = self._buses[arn] = Bus(name=name, arn=arn, created=self._clock.now())
        return held

    def every(self, call: Call) -> list[Bus]:
        """All buses of the caller."""
        self.bus(call, None)
        start = f"arn:aws:events:{call.region}:{call.account}:"
        return sorted((bus for arn, bus in self._buses.items() if arn.startswith(start)), key=lambda bus: bus.name)

    def every_rule(self) -> list[Rule]:
        """All rules of all buses."""
        return [rule for bus in self._buses.values() for rule in bus.rules.values()]

    def rule(self, call: Call, name: str, bus_name: str | None) -> Rule:
        """A rule by its name. Raises `AwsFault`."""
        bus = self.bus(call, bus_name)
        rule = bus.rules.get(name)
        if rule is None:
            raise missing(f"Rule {name} does not exist on EventBus {bus.name}.")
        return rule

    def tags_of(self, arn: str) -> dict[str, str]:
        """The tags of a bus or rule by its ARN. Raises `AwsFault`."""
        if ":event-bus/" in arn:
            return self.bus_at(arn).tags
        for bus in self._buses.values():
            for rule in bus.rules.values():
                if rule.arn == arn:
                    return rule.tags
        raise missing(f"Rule {arn.rpartition('/')[2]} does not exist on EventBus default.")

    # Changing

    def add_bus(self, bus: Bus) -> None:
        """Keep a new bus. Raises `AwsFault`."""
        if bus.arn in self._buses or bus.name == "default":
            raise AwsFault("ResourceAlreadyExistsException", f"Event bus {bus.name} already exists.")
        self._buses[bus.arn] = bus

    def drop_bus(self, call: Call, name: str) -> None:
        """Delete a bus with its rules; nothing happens when there is none. Raises `AwsFault`."""
        if name == "default":
            raise invalid("Cannot delete event bus default.")
        arn = f"arn:aws:events:{call.region}:{call.account}:event-bus/{name}"
        bus = self._buses.pop(arn, None)
        for rule in list(bus.rules.values()) if bus is not None else ():
            self._disarm(rule)

    def put_rule(self, bus: Bus, params: Mapping[str, Any]) -> Rule:
        """Make or change a rule. Raises `AwsFault`."""
        pattern = cast(str | None, params.get("EventPattern") or None)
        schedule = cast(str | None, params.get("ScheduleExpression") or None)
        if pattern is None and schedule is None:
            raise invalid("Parameter(s) EventPattern or ScheduleExpression must be specified.")
        if pattern is not None:
            check_pattern(pattern)
        if schedule is not None:
            if bus.name != "default":
                raise invalid("ScheduleExpression is supported only on the default event bus.")
            try:
                schedules.parse(schedule)
            except schedules.ScheduleError as error:
                raise invalid("Parameter ScheduleExpression is not valid.") from error
        name = str(params["Name"])
        held = bus.rules.get(name)
        rule = held if held is not None else Rule(name=name, arn=bus.rule_arn(name))
        bus.rules[name] = rule
        rule.since = self._clock.now() if rule.schedule != schedule or held is None else rule.since
        rule.pattern, rule.schedule = pattern, schedule
        rule.description = cast(str | None, params.get("Description"))
        rule.role_arn = cast(str | None, params.get("RoleArn"))
        rule.state = str(params.get("State") or "ENABLED")
        rule.is_enabled = rule.state != "DISABLED"
        if held is None:
            rule.tags = {tag["Key"]: tag["Value"] for tag in params.get("Tags") or ()}
        self._arm(rule)
        return rule

    def switch(self, rule: Rule, *, on: bool) -> None:
        """Enable or disable a rule."""
        rule.state, rule.is_enabled = ("ENABLED", True) if on else ("DISABLED", False)
        self._arm(rule)

    def drop_rule(self, bus: Bus, name: str) -> None:
        """Delete a rule; nothing happens when there is none. Raises `AwsFault`."""
        rule = bus.rules.get(name)
        if rule is not None and rule.targets:
            raise invalid("Rule can't be deleted since it has targets.")
        if rule is not None:
            self._disarm(rule)
            del bus.rules[name]

    # Events

    def put(self, bus_arn: str, event: Event) -> str:
        """Put an event on a bus, for clients and other services; what it lacks is filled in. Returns its id."""
        bus = self.bus_at(bus_arn)
        *_, region, account, _ = bus_arn.split(":")
        whole: dict[str, Any] = {
            "version": "0",
            "id": event.get("id") or self._ids.uuid(),
            "detail-type": event["detail-type"],
            "source": event["source"],
            "account": event.get("account") or account or ACCOUNT,
            "time": event.get("time") or iso_seconds(self._clock.now()),
            "region": event.get("region") or region,
            "resources": list(event.get("resources") or ()),
            "detail": event.get("detail") or {},
        }
        if self._hops >= MAX_HOPS:
            raise AwsFault("InvalidParameterException", f"the event was handed through {MAX_HOPS} buses already")
        self._hops += 1
        trace = self._trace
        try:
            with trace.under(trace.add("event", bus_arn, source=whole["source"], type=whole["detail-type"])):
                for rule in list(bus.rules.values()):
                    pattern = rule.parsed_pattern()
                    if rule.is_enabled and pattern is not None and patterns.matches(pattern, whole):
                        self._send(rule, whole)
        finally:
            self._hops -= 1
        return str(whole["id"])

    def _send(self, rule: Rule, event: Event) -> None:
        for target in list(rule.targets.values()):
            self._sending.send(rule, target, event)

    # Schedules

    def _arm(self, rule: Rule) -> None:
        """Set the timer of a rule's schedule anew."""
        self._disarm(rule)
        schedule = rule.parsed_schedule()
        if schedule is None or not rule.is_enabled:
            return
        due = schedule.next_after(self._clock.now(), rule.since)
        if due is not None:
            self._timers[rule.arn] = self._clock.call_at(due, lambda: self._come_up(rule, due))

    def _disarm(self, rule: Rule) -> None:
        timer = self._timers.pop(rule.arn, None)
        if timer is not None:
            timer.cancel()

    def _come_up(self, rule: Rule, due: float) -> None:
        _, _, _, region, account, _ = rule.arn.split(":", 5)
        event: dict[str, Any] = {
            "version": "0",
            "id": self._ids.uuid(),
            "detail-type": "Scheduled Event",
            "source": "aws.events",
            "account": account,
            "time": iso_seconds(due),
            "region": region,
            "resources": [rule.arn],
            "detail": {},
        }
        self._arm(rule)
        trace = self._trace
        with trace.under(trace.add("schedule", rule.arn, after="")):
            self._send(rule, event)

    # State

    def checkpoint(self) -> object:
        """All buses, for `restore`."""
        return copy.deepcopy(self._buses)

    def restore(self, state: object) -> None:
        """Be as at the checkpoint; schedules come up as they would have."""
        self.reset()
        self._buses = copy.deepcopy(cast(dict[str, Bus], state))
        for bus in self._buses.values():
            for rule in bus.rules.values():
                self._arm(rule)

    def reset(self) -> None:
        """Forget all buses and rules."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._buses = {}


def check_pattern(text: str) -> None:
    """Refuse an event pattern as AWS does."""
    try:
        patterns.parse(text, "events")
    except patterns.PatternError as error:
        raise AwsFault("InvalidEventPatternException", f"Event pattern is not valid. Reason: {error}") from error


def iso_seconds(moment: float) -> str:
    """A time as events show it: UTC in whole seconds."""
    return datetime.datetime.fromtimestamp(moment, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
