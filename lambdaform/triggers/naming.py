"""How triggers of one function that would share an address are told apart."""

from collections.abc import Sequence

from lambdaform.model.resource import Scope, Trigger


def is_named_apart(trigger: Trigger, same: Sequence[Trigger], what: str, scope: Scope) -> bool:
    """Whether `trigger` is the first of the ones with its name; reports the others.

    Addresses come from what they connect, never from a place in a list: moving a line must not change what is deployed.
    """
    if not same or same[0] is trigger:
        return True
    scope.problem(
        "name-needed",
        f"{what} is there twice under one name",
        prop="triggers",
        given=f"the other one is at {same[0].where}",
        hint='tell them apart with name="..."',
    )
    return False
