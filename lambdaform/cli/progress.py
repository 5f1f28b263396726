"""Progress of a deploy: a line per step on stderr, or NDJSON on stdout."""

from __future__ import annotations

import threading
import time

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
        self._lock = threading.Lock()

    def started(self, change: Change) -> None:
        """A step begins."""
        with self._lock:
            self._began[change.address] = time.monotonic()
            if self._json:
                print_line({"event": "started", "address": change.address, "action": change.action.word})
            elif self._options.verbose:
                self._options.say(f"        {_DOING[change.action]} {change.address}")

    def done(self, change: Change, *, called: bool) -> None:
        """A step is done."""
        with self._lock:
            self._count += 1
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
            self._options.say(f"  {mark}  {self._count:>3}/{self._total} {word} {change.address} ({seconds:.1f} s)")

    def failed(self, change: Change, message: str, hint: str | None) -> None:
        """A step went wrong."""
        with self._lock:
            self._count += 1
            if self._json:
                print_line({"event": "failed", "address": change.address, "message": message, "hint": hint})
                return
            where = f"{change.node.resource.where}  " if change.node else ""
            text = click.style("failed", fg="red", bold=True) + f" {where}{change.address}\n    {message}"
            click.echo(text + (f"\n    {hint}" if hint else ""), err=True)

    def skipped(self, change: Change, because: str) -> None:
        """A step could not be tried."""
        with self._lock:
            self._count += 1
            if self._json:
                print_line({"event": "skipped", "address": change.address, "because": because})
                return
            self._options.say(f"  {click.style('skipped', fg='yellow')} {change.address}: it needs {because}")
