"""What every execution environment of one function version has in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import attrs

from lambdaform.local.lambda_ import platform_log
from lambdaform.local.lambda_.launching import Launch


class LogWriter(Protocol):
    """Where an environment's log lines go."""

    def write(self, text: str, at: float | None = None) -> None:
        """Keep one log event, of now or of a moment just past: seconds since the epoch, on the local AWS's clock."""
        ...


@attrs.frozen(eq=False)
class Blueprint:
    """What every environment of one function version has in common."""

    name: str
    arn: str
    """Unqualified."""
    version: str
    runtime: str
    region: str
    memory_size: int
    """MB."""
    timeout: float
    """Seconds."""
    log_group: str
    log_style: platform_log.Style
    environ: Mapping[str, str]
    """Everything the handler's process has in its environment, but for what differs from process to process."""
    folder: Path
    """The unpacked code."""
    opt: Path | None
    """The layers laid over each other."""
    path: Sequence[str]
    """The module search path."""
    scratch: int
    """MB of /tmp."""
    is_isolated: bool
    """Whether code, layers and /tmp are mounted where Lambda has them."""
    interpreter: str | None = None
    """The Python to run under; the local AWS's own when None."""
    launch: Launch = attrs.field(factory=Launch)
    has_snapshot: bool = False
    """Whether its environments are restored from a snapshot: a published version with SnapStart."""
    handler: str = ""
    extensions: Sequence[str] = ()
    """The external ones, by name."""
    extensions_folder: str = "/opt/extensions"
    """Where they are, as they see it themselves."""
