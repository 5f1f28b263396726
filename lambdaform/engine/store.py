"""Where states are kept: a folder with one file per deployment, a journal beside it while a deploy runs, and a lock.

The journal gets a line before and after every step and is on disk before AWS is called, so a run can be killed at any
moment; the next one reads file and journal together.
"""

from __future__ import annotations

import contextlib
import datetime
import getpass
import json
import os
import platform
import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

import attrs

from lambdaform.engine.state import State, StateKey, read_record, read_state, record_document, state_document
from lambdaform.model.driver import Record
from lambdaform.model.problem import LambdaformError, Locked

Json = Any


class Store(Protocol):
    """A place for states."""

    def find(self, key: StateKey) -> State | None:
        """The state of a deployment; with an unknown account, the only one there is for the rest of the key."""
        ...

    def lock(self, key: StateKey, *, timeout: float) -> Any:
        """A context manager that keeps others out. Raises `Locked`."""
        ...

    def journal(self, state: State) -> Journal:
        """Start writing down the steps of a run."""
        ...


class Journal:
    """The steps of one run, on disk as they happen, and applied to the state at the same time."""

    def __init__(self, state: State, path: Path, target: Path) -> None:
        self._state = state
        self._path = path
        self._target = target
        self._file: IO[str] | None = None

    def write(self, entry: dict[str, Json]) -> None:
        """Put one step on disk, then into the state. Raises `LambdaformError` when the disk refuses."""
        try:
            if self._file is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self._path.open("a", encoding="utf-8")
            self._file.write(json.dumps(entry, separators=(",", ":")) + "\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise LambdaformError(
                f"the state cannot be written to {self._path}: {error.strerror or error}",
                hint="make room or give access, then run the same command again; nothing that was done is lost",
            ) from error
        replay(self._state, entry)

    def intend(self, record: Record) -> None:
        """Say that a thing is about to be made."""
        self.write({"intend": record.address, "record": record_document(record)})

    def done(self, record: Record, manifest: dict[str, str] | None = None) -> None:
        """Say that a thing is as recorded."""
        known = record.package is None or record.package in self._state.manifests
        files = {} if known or manifest is None else {"manifest": manifest}
        self.write({"done": record.address, "record": record_document(record), **files})

    def retire(self, record: Record) -> None:
        """Say that a replaced thing has to be deleted later."""
        self.write({"retire": record.address, "record": record_document(record)})

    def gone(self, group: str, key: str) -> None:
        """Say that a thing is deleted: `key` of `records`, `retired`, `pending` or `kept`."""
        self.write({"gone": key, "from": group})

    def keep(self, address: str) -> None:
        """Say that a thing is declared no more and left alone because it holds data."""
        self.write({"keep": address})

    def close(self) -> None:
        """Save the whole state and drop the journal. Raises `LambdaformError` when the disk refuses."""
        self.suspend()
        self._state.serial += 1
        save(self._state, self._target)
        self._path.unlink(missing_ok=True)

    def suspend(self) -> None:
        """Close the file without saving; the next run replays it."""
        if self._file is not None:
            with contextlib.suppress(OSError):  # a full disk refuses once more what `write` has told of
                self._file.close()
            self._file = None


def replay(state: State, entry: dict[str, Json]) -> None:
    """Apply one journal entry to a state."""
    if "intend" in entry:
        address = entry["intend"]
        state.pending[address] = read_record(address, entry["record"])
    elif "done" in entry:
        address = entry["done"]
        record = read_record(address, entry["record"])
        state.records[address] = record
        state.pending.pop(address, None)
        state.kept.pop(address, None)
        if "manifest" in entry and record.package:
            state.manifests[record.package] = entry["manifest"]
    elif "retire" in entry:
        record = read_record(entry["retire"], entry["record"])
        state.retired[f"{record.address} {record.physical_name}"] = record
    elif "gone" in entry:
        getattr(state, entry["from"]).pop(entry["gone"], None)
    elif "keep" in entry:
        record = state.records.pop(entry["keep"], None)
        if record is not None:
            state.kept[entry["keep"]] = record


def save(state: State, path: Path) -> None:
    """Write a state so that a crash leaves the old file or the new one, never a part. Raises `LambdaformError`."""
    text = json.dumps(state_document(state), indent=1)
    part = path.with_suffix(".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            path.replace(path.with_suffix(".previous"))
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise LambdaformError(
            f"the state cannot be written to {path}: {error.strerror or error}",
            hint="make room or give access, then run the same command again; the journal beside it has every step",
        ) from error


class FolderStore:
    """States in a folder, `.lambdaform/state` by default."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: StateKey) -> Path:
        """The file of a deployment."""
        endpoint = "" if key.endpoint is None else "@" + re.sub(r"[^A-Za-z0-9.-]+", "-", key.endpoint).strip("-")
        return self.folder / key.stack / key.stage / key.region / f"{key.account}{endpoint}.json"

    def find(self, key: StateKey) -> State | None:
        """The state of a deployment, journal included. Raises `LambdaformError` when a file is damaged."""
        if key.account is not None:
            return self._load(self.path(key))
        folder = self.path(key).parent
        endpoint = self.path(key).name.removeprefix("None").removesuffix(".json")
        names = {path.with_suffix(".json") for path in folder.glob("*.json*") if path.suffix in (".json", ".journal")}
        fitting = [
            path for path in sorted(names) if (path.stem.endswith(endpoint) if endpoint else "@" not in path.stem)
        ]
        if len(fitting) > 1:
            accounts = ", ".join(path.stem.partition("@")[0] for path in fitting)
            raise LambdaformError(
                f"{key.stack} is deployed to more than one account: {accounts}",
                hint="say which with --profile, or write account = ... in the stack",
            )
        return self._load(fitting[0]) if fitting else None

    def beside(self, key: StateKey) -> Iterator[State]:
        """The states of the other stacks that are deployed to the same stage, region, account and endpoint."""
        for folder in sorted(self.folder.iterdir()) if self.folder.is_dir() else ():
            if folder.name != key.stack and folder.is_dir():
                state = self.find(attrs.evolve(key, stack=folder.name))
                if state is not None:
                    yield state

    def _load(self, path: Path) -> State | None:
        journal = path.with_suffix(".journal")
        state: State | None = None
        try:
            if path.exists():
                state = read_state(json.loads(path.read_bytes()))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            previous = path.with_suffix(".previous")
            raise LambdaformError(
                f"the state file {path} is damaged: {_flaw(error)}",
                hint=f"put back the one before it ({previous})" if previous.exists() else "put it back from a backup",
            ) from error
        except OSError as error:
            raise LambdaformError(f"the state file {path} cannot be read: {error.strerror or error}") from error
        if journal.exists():
            state = self._replayed(state, journal)
        return state

    def _replayed(self, state: State | None, journal: Path) -> State | None:
        lines = journal.read_text(encoding="utf-8").split("\n")
        for number, line in enumerate(lines):
            if not line:
                continue
            try:
                entry = json.loads(line)
                if "begin" in entry:
                    begun = entry["begin"]
                    if state is None:
                        state = State(StateKey(**begun["key"]), lineage=begun["lineage"])
                elif state is not None:
                    replay(state, entry)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                if number >= len(lines) - 2:
                    break  # the process was killed while it wrote its last line: that step had not begun
                raise LambdaformError(
                    f"the journal {journal} is damaged in line {number + 1}: {_flaw(error)}",
                    hint="remove that line; the step it describes will be looked up in AWS",
                ) from error
        return state

    def journal(self, state: State) -> Journal:
        """Start (or go on with) the journal of a run."""
        target = self.path(state.key)
        journal = Journal(state, target.with_suffix(".journal"), target)
        key = state.key
        begun = {
            "stack": key.stack,
            "stage": key.stage,
            "region": key.region,
            "account": key.account,
            "endpoint": key.endpoint,
        }
        journal.write({"begin": {"key": begun, "lineage": state.lineage}})
        return journal

    def remove(self, key: StateKey) -> None:
        """Forget a deployment of which nothing is left."""
        path = self.path(key)
        for suffix in (".json", ".journal", ".previous", ".lock"):
            path.with_suffix(suffix).unlink(missing_ok=True)

    @contextmanager
    def lock(self, key: StateKey, *, timeout: float = 0) -> Generator[None]:
        """Keep every other run out of this deployment. Raises `Locked` with who holds it and since when."""
        from filelock import FileLock, Timeout

        path = self.path(key).with_suffix(".lock")
        owner = path.with_suffix(".owner")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(path, timeout=timeout)
            lock.acquire()
        except Timeout as error:
            raise Locked(
                f"{key.stack} ({key.stage}) is being changed by {_owner(owner)}",
                hint="wait until it is done, or give --lock-timeout SECONDS to wait here",
            ) from error
        except OSError as error:
            raise LambdaformError(
                f"the state folder {path.parent} cannot be used: {error.strerror or error}"
            ) from error
        try:
            started = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
            who = f"{getpass.getuser()} on {platform.node()}, process {os.getpid()}, since {started}"
            with contextlib.suppress(OSError):  # it is only what others are told; a full disk is told of in time
                owner.write_text(who, encoding="utf-8")
            yield
        finally:
            with contextlib.suppress(OSError):
                owner.unlink()
            lock.release()


def _owner(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return "another run"


def _flaw(error: Exception) -> str:
    """Why something is no state, in words about the file."""
    if isinstance(error, json.JSONDecodeError):
        return f"it is not JSON ({error})"
    if isinstance(error, KeyError):
        return f"it lacks {error}"
    # What Python says of a value of another kind is of use to nobody who looks at the file.
    return str(error) if isinstance(error, ValueError) else "something in it is of another kind than in a state"
