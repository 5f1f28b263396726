"""Progress of a deploy: a line per step on stderr, or NDJSON on stdout."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Any, Self

import click

from lambdaform.cli.context import Options, print_line
from lambdaform.engine.plan import Action, Change

_DOING = {
    Action.CREATE: "creating",
    Action.UPDATE: "updating",
    Action.REPLACE: "replacing",
    Action.DELETE: "deleting",
    Action.KEEP: "keeping",
}


class Lines:
    """Hears of every step and says it, one line each; safe to call from several threads."""

    def __init__(self, options: Options, *, as_json: bool, total: int) -> None:
        self._options = options
        self._json = as_json
        self._total = total
        self._count = 0
        self._began: dict[str, float] = {}
        self._running: dict[str, str] = {}
        self._status: Any = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        """Show what is going on below the lines, where there is a terminal to show it on."""
        if not (self._json or self._options.quiet) and sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
            from rich.console import Console

            self._status = Console(stderr=True).status("")
            self._status.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._status is not None:
            self._status.stop()

    def _show(self) -> None:
        if self._status is not None:
            names = list(self._running.values())
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            self._status.update(", ".join(names[:3]) + more)

    def _say(self, text: str, *, even_if_quiet: bool = False) -> None:
        """One message on stderr; above what is going on, where that is shown."""
        if self._status is not None:
            from rich.text import Text

            self._status.console.print(Text.from_ansi(text), soft_wrap=True)
        elif even_if_quiet:
            click.echo(text, err=True)
        else:
            self._options.say(text)

    def started(self, change: Change) -> None:
        """A step begins."""
        with self._lock:
            self._began[change.address] = time.monotonic()
            self._running[change.address] = f"{_DOING[change.action]} {change.address}"
            self._show()
            if self._json:
                print_line({"event": "started", "address": change.address, "action": change.action.word})
            elif self._options.verbose:
                self._say(f"        {_DOING[change.action]} {change.address}")

    def done(self, change: Change, *, called: bool) -> None:
        """A step is done."""
        with self._lock:
            self._count += 1
            self._running.pop(change.address, None)
            self._show()
            seconds = time.monotonic() - self._began.get(change.address, time.monotonic())
            if self._json:
                print_line(
                    {
                        "event": "done",
                        "address": change.address,
                        "action": change.action.word,
                        "changed": called,
                        "seconds": round(seconds, 3),
                    }
                )
                return
            word = f"{change.action.word}d" if called else "already so"
            mark = click.style("ok", fg="green")
            self._say(f"  {mark}  {self._count:>3}/{self._total} {word} {change.address} ({seconds:.1f} s)")

    def failed(self, change: Change, message: str, hint: str | None) -> None:
        """A step went wrong."""
        with self._lock:
            self._count += 1
            self._running.pop(change.address, None)
            self._show()
            if self._json:
                print_line({"event": "failed", "address": change.address, "message": message, "hint": hint})
                return
            where = f"{change.node.resource.where}  " if change.node else ""
            text = click.style("failed", fg="red", bold=True) + f" {where}{change.address}\n    {message}"
            self._say(text + (f"\n    {hint}" if hint else ""), even_if_quiet=True)

    def skipped(self, change: Change, because: str) -> None:
        """A step could not be tried."""
        with self._lock:
            self._count += 1
            self._running.pop(change.address, None)
            self._show()
            if self._json:
                print_line({"event": "skipped", "address": change.address, "because": because})
                return
            self._say(f"  {click.style('skipped', fg='yellow')} {change.address}: it needs {because}")
