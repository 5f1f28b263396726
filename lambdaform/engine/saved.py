"""Saved plans: what was looked at is what is applied, or nothing is.

The file holds the plan's document. The declaration is not in it: `deploy FILE` makes the plan again and goes on only
when state and declaration are the ones of the file.
"""

from __future__ import annotations

import json
from pathlib import Path

import attrs

from lambdaform.engine.plan import Plan, plan_document
from lambdaform.model.problem import LambdaformError


@attrs.frozen
class SavedPlan:
    """What a saved plan pins down."""

    version: int
    stack: str
    stage: str
    region: str
    digest: str
    serial: int
    lineage: str | None = None
    account: str | None = None
    endpoint: str | None = None


def save_plan(plan: Plan, path: Path) -> None:
    """Write a plan to a file. Raises `LambdaformError` when that is not possible."""
    try:
        path.write_text(json.dumps(plan_document(plan), indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise LambdaformError(f"the plan cannot be saved to {path}: {error.strerror or error}") from error


def load_plan(path: Path) -> SavedPlan:
    """Read a saved plan. Raises `LambdaformError` when the file is not one."""
    import cattrs

    try:
        return cattrs.structure(json.loads(path.read_bytes()), SavedPlan)
    except OSError as error:
        raise LambdaformError(f"the plan {path} cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, cattrs.BaseValidationError) as error:
        raise LambdaformError(f"{path} is not a saved plan", hint="make one with: plan -o FILE") from error


def require_same(saved: SavedPlan, plan: Plan) -> None:
    """Raise `LambdaformError` when the world is not the one the plan was made in."""
    key = plan.key
    for what, then, now in (
        ("stack", saved.stack, key.stack),
        ("stage", saved.stage, key.stage),
        ("region", saved.region, key.region),
        ("endpoint", saved.endpoint, key.endpoint),
    ):
        if then != now:
            raise LambdaformError(f"the plan is for the {what} {then}, and this is {now}")
    if (saved.lineage, saved.serial) != (plan.lineage, plan.serial):
        raise LambdaformError(
            "the state has moved on since this plan was made", hint="make a new plan, and look at it again"
        )
    if saved.digest != plan.digest:
        raise LambdaformError(
            "the declaration or its code has changed since this plan was made",
            hint="make a new plan, and look at it again",
        )
