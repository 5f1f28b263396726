"""The trigger `Rule`: a function hears of events on an EventBridge bus.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rules.html
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from lambdaform.model.output import Input, Output
from lambdaform.model.resource import Grant, Resource, Scope, Trigger, arn_of
from lambdaform.model.units import optional_seconds
from lambdaform.resources.events_rule import EventRule, RuleTarget
from lambdaform.resources.lambda_permission import Permission
from lambdaform.triggers.naming import is_named_apart

if TYPE_CHECKING:
    from lambdaform.resources.events_bus import EventBus


@attrs.frozen(kw_only=True, eq=False, repr=False, slots=False)
class Rule(Trigger):
    """Runs a function for events that match a pattern: `Rule({"source": ["aws.ec2"]})`.

    It becomes a rule with the function as its target, and EventBridge's permission to invoke it.
    """

    event: ClassVar[str] = "eventbridge"
    asynchronous: ClassVar[bool] = True

    pattern: Mapping[str, Any] = attrs.field(kw_only=False)
    """Which events it matches."""
    bus: "EventBus | Input[str] | None" = None
    """The bus (or its name) whose events it sees; the account's default bus when not given."""
    input: Any = None
    """What the function gets instead of the event: text as it is, anything else as JSON."""
    max_retries: Input[int] | None = None
    """How often handing over is tried again, up to 185."""
    max_event_age: Input[int] | None = attrs.field(default=None, converter=optional_seconds)
    """How long handing over is tried, up to 24 hours."""
    dead_letter: Input[str] | Resource | None = None
    """The queue for events that could not be handed over."""
    enabled: Input[bool] = True
    """Whether it acts."""
    description: Input[str] = ""
    """For people."""
    name: str | None = None
    """Tells apart several rules of one function."""

    def attach(self, function: Resource, target: Output[str], scope: Scope) -> Iterable[Grant]:
        """The rule with its target, and EventBridge's permission to invoke the function."""
        same = [each for each in getattr(function, "triggers", ()) if isinstance(each, Rule) and each.name == self.name]
        if not is_named_apart(self, same, "a rule", scope):
            return []
        names = (self.name,) if self.name else ()
        rule = scope.derive(
            EventRule(
                pattern=self.pattern,
                bus=self.bus,
                targets=[
                    RuleTarget(
                        target,
                        input=self.input,
                        dead_letter=self.dead_letter,
                        max_retries=self.max_retries,
                        max_event_age=self.max_event_age,
                    )
                ],
                enabled=self.enabled,
                description=self.description,
            ),
            *names,
        )
        scope.derive(
            Permission(function=target, principal="events.amazonaws.com", source_arn=arn_of(rule)),
            "event-rule",
            *names,
        )
        return []

    def source(self) -> Resource | None:
        """The bus, when it is one of the stack."""
        return self.bus if isinstance(self.bus, Resource) else None
