"""What a bus, a rule and a target are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from lambdaform.local import patterns, schedules
from lambdaform.local.patterns import Pattern
from lambdaform.local.schedules import Schedule

Event = Mapping[str, Any]
"""An event in the form its targets get it: `detail-type`, `detail`, and the other keys."""


@attrs.define(kw_only=True, eq=False)
class Rule:
    """One rule of a bus; `targets` by their id."""

    name: str
    arn: str
    pattern: str | None = None
    schedule: str | None = None
    is_enabled: bool = True
    description: str | None = None
    role_arn: str | None = None
    state: str = "ENABLED"
    since: float = 0.0
    """When its schedule began to count."""
    tags: dict[str, str] = attrs.field(factory=dict[str, str])
    targets: dict[str, dict[str, Any]] = attrs.field(factory=dict[str, dict[str, Any]])

    def parsed_pattern(self) -> Pattern | None:
        """Its event pattern, if it has one."""
        return None if self.pattern is None else patterns.parse(self.pattern, "events")

    def parsed_schedule(self) -> Schedule | None:
        """Its schedule, if it has one."""
        return None if self.schedule is None else schedules.parse(self.schedule)


@attrs.define(kw_only=True, eq=False)
class Bus:
    """One event bus and its rules."""

    name: str
    arn: str
    created: float
    description: str | None = None
    settings: dict[str, Any] = attrs.field(factory=dict[str, Any])
    policy: list[dict[str, Any]] = attrs.field(factory=list[dict[str, Any]])
    tags: dict[str, str] = attrs.field(factory=dict[str, str])
    rules: dict[str, Rule] = attrs.field(factory=dict[str, Rule])

    def rule_arn(self, name: str) -> str:
        """The ARN of a rule of this bus; the default bus is not named in it."""
        start = self.arn.rsplit(":", 1)[0]
        return f"{start}:rule/{name}" if self.name == "default" else f"{start}:rule/{self.name}/{name}"
