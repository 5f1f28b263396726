"""Amazon EventBridge: buses, rules by pattern or schedule, targets.

`values` holds buses and rules, `transform` what a target's input becomes, `sending` the way to targets, `rules` and
`service` the operations.
"""

from lambdaform.local.events.service import EventBridge

__all__ = ["EventBridge"]
