"""Problems with a declaration, and the family of errors a user can act on.

LambdaformError            anything the user can do something about (exit code 1)
├── Invalid                the declaration has problems (3)
├── Locked                 another run holds the state (4)
├── PartlyDeployed         some changes failed; the state is saved (5)
└── Interrupted            stopped on request; the state is saved (130)
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import attrs

from lambdaform.model.source import Source
from lambdaform.model.value import Value


class Severity(enum.Enum):
    """Whether a problem stops a deploy."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@attrs.frozen(eq=False, repr=False)
class Problem(Value):
    """Something wrong, or doubtful, in a declaration, said so that its reader can act."""

    rule: str
    """The id of the rule that found it, such as `memory-range`: what `suppress` and the docs call it."""
    severity: Severity
    address: str
    """The resource and prop: `lambda.function.worker.memory`."""
    where: Source | None
    what: str
    """What is wrong, lower case, without a full stop."""
    given: str | None = None
    """The value given."""
    allowed: str | None = None
    """What is allowed instead."""
    hint: str | None = None
    """What to change."""
    link: str | None = None
    """The page of AWS (or of the docs) that the rule comes from."""

    def document(self) -> dict[str, Any]:
        """This problem as `--json` shows it; keys are only ever added."""
        return {
            "rule": self.rule,
            "severity": self.severity.value,
            "address": self.address,
            "file": self.where.shown_file() if self.where else None,
            "line": self.where.line if self.where else None,
            "what": self.what,
            "given": self.given,
            "allowed": self.allowed,
            "hint": self.hint,
            "link": self.link,
        }


class LambdaformError(Exception):
    """Something went wrong that the user can do something about.

    Shown as `message` and, on its own line, `hint`; never with a traceback.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = dict(details or {})


class Invalid(LambdaformError):
    """The declaration has problems; all of them are in `problems`."""

    exit_code = 3

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(f"{len(self.problems)} problem{'s' if len(self.problems) != 1 else ''} in the declaration")


class Locked(LambdaformError):
    """Another run is changing the same stack."""

    exit_code = 4


class PartlyDeployed(LambdaformError):
    """Some changes were made and some were not; the state says which, and the next run goes on from there."""

    exit_code = 5


class Interrupted(LambdaformError):
    """The user stopped the run; calls under way were finished and the state is saved."""

    exit_code = 130
