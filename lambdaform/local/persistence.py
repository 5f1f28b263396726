"""What a local AWS leaves in a folder when it ends, and goes on from when it starts there again.

A save is a folder of its own, which counts once the manifest names it: whoever is killed in the middle leaves the save
before as it was. Values are pickled, so a save is for the release that wrote it and for the user who owns the folder.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import sys
import time
import uuid
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

import attrs
import cattrs
import filelock

from lambdaform.local.data import Saved
from lambdaform.model.problem import LambdaformError

_FORMAT = 2
_MANIFEST = "manifest.json"
_STATE = "state.pickle"
_SERVICES = "services.pickle"
_ARCHIVES = "archives"


@attrs.frozen
class Manifest:
    """What can be read of a save without unpacking it."""

    format: int
    folder: str
    """Beside the manifest; holds the save."""
    lambdaform: str
    python: str
    moto: str
    instance: str
    port: int
    """Where it listened: the addresses it has handed out name it."""
    clock: str
    saved_at: float
    is_clean: bool
    """Whether the local AWS ended with this save; else it went on, and what came after is lost."""


@attrs.frozen(eq=False)
class Kept:
    """A save, read."""

    manifest: Manifest
    state: object
    services: Saved


class Persistence:
    """The folder of one local AWS. Raises `LambdaformError` when it cannot be used."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            owner = folder.stat().st_uid
        except OSError as error:
            raise LambdaformError(f"{folder} cannot hold the state of the local AWS: {error.strerror}") from error
        if owner != os.geteuid():
            raise LambdaformError(
                f"{folder} belongs to another user, who could make the local AWS run anything",
                hint="name a folder of your own with --persist",
            )
        self._lock = filelock.FileLock(folder / "lock")
        try:
            self._lock.acquire(timeout=0)
        except filelock.Timeout as error:
            raise LambdaformError(
                f"another local AWS keeps its state in {folder}", hint="end it first, or name another folder"
            ) from error

    def load(self, clock: str) -> Kept | None:
        """The latest save; None when there is none. Raises `LambdaformError` when it is not one of this release."""
        path = self.folder / _MANIFEST
        try:
            manifest = cattrs.structure(json.loads(path.read_text(encoding="utf-8")), Manifest)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, cattrs.BaseValidationError) as error:
            raise self._unreadable(f"{path} is damaged") from error
        ours = (_FORMAT, version("lambdaform"), _python(), version("moto"))
        theirs = (manifest.format, manifest.lambdaform, manifest.python, manifest.moto)
        if ours != theirs:
            raise self._unreadable(
                f"{self.folder} was written by lambdaform {manifest.lambdaform} with moto {manifest.moto} under "
                f"Python {manifest.python}; this is lambdaform {ours[1]} with moto {ours[3]} under Python {ours[2]}"
            )
        if manifest.clock != clock:
            raise LambdaformError(
                f"{self.folder} was written under the {manifest.clock} clock, and this is the {clock} one",
                hint=f"start with --clock {manifest.clock}, or name another folder",
            )
        folder = self.folder / manifest.folder
        try:
            state: object = pickle.loads((folder / _STATE).read_bytes())
            services = (folder / _SERVICES).read_bytes()
        except Exception as error:  # a damaged pickle raises whatever it likes
            raise self._unreadable(f"{folder} is damaged ({type(error).__name__}: {error})") from error
        return Kept(manifest, state, Saved(manifest.moto, services))

    def restore_archives(self, target: Path) -> None:
        """Copy the functions' code to where the local AWS looks for it."""
        shutil.copytree(self.folder / _ARCHIVES, target, dirs_exist_ok=True)

    def save(
        self,
        *,
        instance: str,
        port: int,
        clock: str,
        state: object,
        services: Saved,
        archives: Iterable[Path],
        is_clean: bool,
    ) -> None:
        """Keep everything; the save before goes when this one is whole. Raises `LambdaformError`, losing nothing."""
        folder = self.folder / f"save-{uuid.uuid4().hex}"
        try:
            folder.mkdir(mode=0o700)
            (folder / _STATE).write_bytes(pickle.dumps(state))
            (folder / _SERVICES).write_bytes(services.content)
            kept = self._keep_archives(archives)
            manifest = Manifest(
                format=_FORMAT,
                folder=folder.name,
                lambdaform=version("lambdaform"),
                python=_python(),
                moto=services.moto,
                instance=instance,
                port=port,
                clock=clock,
                saved_at=time.time(),
                is_clean=is_clean,
            )
            self._write(manifest)
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise LambdaformError(
                f"the state of the local AWS cannot be kept in {self.folder}: {error.strerror}"
            ) from error
        for other in self.folder.glob("save-*"):
            if other != folder:
                shutil.rmtree(other, ignore_errors=True)
        for archive in (self.folder / _ARCHIVES).iterdir():
            if archive.name not in kept:
                archive.unlink()

    def begin(self, manifest: Manifest) -> None:
        """Note that a local AWS goes on from a save: until the next one, what it does can be lost."""
        self._write(attrs.evolve(manifest, is_clean=False))

    def close(self) -> None:
        """Let another local AWS use the folder."""
        self._lock.release()

    def _keep_archives(self, archives: Iterable[Path]) -> set[str]:
        target = self.folder / _ARCHIVES
        target.mkdir(exist_ok=True, mode=0o700)
        names: set[str] = set()
        for path in archives:
            names.add(path.name)
            if not (target / path.name).exists():
                partial = target / f"{path.name}.partial"
                shutil.copyfile(path, partial)
                partial.replace(target / path.name)
        return names

    def _write(self, manifest: Manifest) -> None:
        partial = self.folder / f"{_MANIFEST}.partial"
        partial.write_text(json.dumps(attrs.asdict(manifest), indent=2) + "\n", encoding="utf-8")
        partial.replace(self.folder / _MANIFEST)

    def _unreadable(self, text: str) -> LambdaformError:
        return LambdaformError(
            text, hint=f"nothing was changed; delete {self.folder} to begin anew, or name another folder"
        )


def _python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"
