"""Starting the local AWS as a process of its own, and finding the one that is running.

Used by the command line and by tests; the process itself is `lambdaform.local.__main__`.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs

from lambdaform.local.brokers import VARIABLE, as_variable
from lambdaform.model.problem import LambdaformError

Json = Any
ADDRESS_FILE = "local.json"
"""The file in the state folder that says where the local AWS of this project is."""

GRACE = 8.0
"""Seconds that work under way gets at the end; below the ten that supervisors of processes usually wait."""
_END = 20.0


@attrs.frozen
class Running:
    """A local AWS that answers."""

    endpoint: str
    instance: str
    """New for every process: what was deployed to an earlier one is gone."""
    pid: int
    region: str = "us-east-1"

    def request(self, method: str, path: str, body: Json = None, *, timeout: float = 60) -> Json:
        """Ask the local AWS itself (paths under `/_lambdaform/`). Raises `LambdaformError` when it does not answer."""
        parts = urlsplit(self.endpoint)
        connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=timeout)
        try:
            payload = None if body is None else json.dumps(body)
            connection.request(method, path, payload, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            content = answer.read()
        except OSError as error:
            raise LambdaformError(f"the local AWS at {self.endpoint} does not answer: {error}") from error
        finally:
            connection.close()
        if answer.status >= 400:
            raise LambdaformError(f"the local AWS refused: {_reason(content)}")
        return json.loads(content) if content else None

    def is_alive(self) -> bool:
        """Whether this very process still answers."""
        try:
            return self.request("GET", "/_lambdaform/health", timeout=2).get("instance") == self.instance
        except (LambdaformError, ValueError, AttributeError):
            return False


def _reason(content: bytes) -> str:
    """What an answer of the local AWS's own paths says went wrong."""
    try:
        return str(json.loads(content)["error"])
    except (ValueError, KeyError, TypeError):
        return content.decode(errors="replace")


@attrs.define
class LocalProcess:
    """A local AWS started from here; it ends when this process does, or with `close`."""

    running: Running
    popen: subprocess.Popen[bytes]

    def close(self) -> None:
        """End it with everything it started."""
        if self.popen.poll() is None:
            self.popen.terminate()
            try:
                self.popen.wait(_END)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()


def start(
    *,
    port: int = 0,
    region: str = "us-east-1",
    clock: str = "system",
    host: str = "127.0.0.1",
    persist: Path | None = None,
    speed: float = 1.0,
    retry_delay: float | None = None,
    brokers: Mapping[str, str] | None = None,
    cpu_share: bool = False,
    grace: float = 0.0,
    quiet: bool = True,
    seconds: float = 30,
) -> LocalProcess:
    """Start a local AWS and wait until it answers. Raises `LambdaformError` with its own words when it does not.

    `brokers` are URLs by source. They go by the environment: a command line shows a password to everybody.
    """
    environ = {**os.environ, VARIABLE: as_variable(brokers or {})}
    with tempfile.TemporaryDirectory(prefix="lambdaform-") as folder:
        ready = Path(folder) / "ready.json"
        log = Path(folder) / "stderr"
        command = [sys.executable, "-m", "lambdaform.local", "--port", str(port), "--host", host, "--region", region]
        command += ["--clock", clock, "--ready-file", str(ready), "--with-parent", str(os.getpid())]
        command += ["--speed", str(speed), *(["--cpu-share"] if cpu_share else [])]
        command += ["--retry-delay", str(retry_delay)] if retry_delay is not None else []
        command += ["--grace", str(grace), *(["--persist", str(persist)] if persist is not None else [])]
        with log.open("wb") as errors:
            popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors if quiet else None,
                env=environ,
            )
        deadline = time.monotonic() + seconds
        while not ready.exists():
            if popen.poll() is not None:
                said = log.read_text(errors="replace").strip()
                why = "it said nothing" if quiet else "what it said stands above"
                raise LambdaformError(f"the local AWS did not start: {said.splitlines()[-1] if said else why}")
            if time.monotonic() > deadline:
                popen.kill()
                raise LambdaformError(f"the local AWS did not start within {seconds:.0f} s")
            time.sleep(0.01)
        found = json.loads(ready.read_text(encoding="utf-8"))
    return LocalProcess(Running(found["endpoint"], found["instance"], popen.pid, region), popen)


def announce(folder: Path, running: Running) -> None:
    """Write down where the local AWS of a project is, so that other commands find it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ADDRESS_FILE).write_text(json.dumps(attrs.asdict(running)), encoding="utf-8")


def withdraw(folder: Path) -> None:
    """Take the note away again."""
    with contextlib.suppress(OSError):
        (folder / ADDRESS_FILE).unlink()


def find_running(folder: Path) -> Running | None:
    """The local AWS of a project, if it still answers; a note left by one that was killed is removed."""
    try:
        found = Running(**json.loads((folder / ADDRESS_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    if found.is_alive():
        return found
    withdraw(folder)
    return None
