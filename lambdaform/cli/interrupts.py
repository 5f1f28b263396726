"""Ctrl-C and SIGTERM while something is being changed: once finishes the calls under way, twice stops at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

import click


@contextmanager
def stopping() -> Generator[threading.Event]:
    """An event that is set by the first Ctrl-C (or SIGTERM); the second one ends the process, the journal tells on."""
    stop = threading.Event()

    def handle(signum: int, frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(130)
        stop.set()
        click.echo("\nstopping: finishing the calls under way and saving (again to stop at once)", err=True)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
