"""Installed requirements, each set once: a cache on disk that other processes may fill at the same time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lambdaform.model.code import Build, PackedFile, PythonCode
from lambdaform.model.problem import Invalid, LambdaformError, Problem
from lambdaform.packaging.digests import sha256
from lambdaform.packaging.requirements import Requested, Target, check_lock, read_requested, target_of
from lambdaform.packaging.source import Entry, Item, packed

# Says how sets were installed, uv's major version with it; our own dependency holds uv below 1.
_RECIPE = "2 uv<1"
# Records of an installation, different on every machine; nothing that runs in Lambda reads them.
_RECORDS = frozenset({"INSTALLER", "RECORD", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json"})
_STALE = 86_400  # seconds; a process that still works on an installation after a day does not exist

Installed = dict[str, Entry]
"""The files of a set of packages by path."""


class Wheels:
    """The sets of packages in one cache folder.

    A set is a folder named after everything that decides what is in it, with the files and a list of their hashes.
    It is made under another name and renamed at the end, so what has the name is whole.
    """

    def __init__(self, cache: Path, *, say: Callable[[str], None], offline: bool) -> None:
        self._cache = cache / "wheels"
        self._say = say
        self._offline = offline
        self._requested: dict[PythonCode, tuple[Requested, tuple[Problem, ...]]] = {}
        self._loaded: dict[str, Installed] = {}

    def ready(self, build: Build, problems: list[Problem]) -> Installed | None:
        """A build's requirements if they are in the cache. What is wrong with its files becomes a problem."""
        code, target = _code(build), target_of(build)
        requested = self._read(code, problems)
        if problems:
            return None
        found = self._load(_key(requested, target))
        if found is None:
            check_lock(code, target, problems)
        return found

    def installed(self, build: Build, problems: list[Problem]) -> Installed:
        """A build's requirements, installed now when they are not in the cache; empty when there is a problem.

        Raises `LambdaformError` when the world fails.
        """
        found = self.ready(build, problems)
        if found is not None or problems:
            return found or {}
        code, target = _code(build), target_of(build)
        requested = self._read(code, problems)
        try:
            return self._install(code, requested, target)
        except Invalid as error:
            problems.extend(error.problems)
            return {}
        except OSError as error:
            raise LambdaformError(
                f"requirements cannot be installed to {self._cache}: {error.strerror or error}",
                hint="make room, or give access to the folder",
            ) from error

    def _read(self, code: PythonCode, problems: list[Problem]) -> Requested:
        found = self._requested.get(code)
        if found is None:
            fresh: list[Problem] = []
            found = self._requested[code] = read_requested(code, fresh), tuple(fresh)
        problems.extend(found[1])
        return found[0]

    def _install(self, code: PythonCode, requested: Requested, target: Target) -> Installed:
        import json
        import shutil
        import tempfile

        from lambdaform.packaging.installer import install

        self._say(_announcement(code, requested, target))
        key = _key(requested, target)
        folder = self._cache / key
        self._cache.mkdir(parents=True, exist_ok=True)
        self._sweep()
        part = Path(tempfile.mkdtemp(dir=self._cache, prefix=".part-"))
        try:
            install(code, target, part / "files", requested, offline=self._offline)
            problems: list[Problem] = []
            entries = packed(_tidy(part / "files"), code.where, problems)
            if problems:
                raise Invalid(problems)
            listed = [[f.path, f.size, f.sha256, f.executable] for f in (entry.file for entry in entries.values())]
            (part / "files.json").write_text(json.dumps(listed), encoding="utf-8")
            if self._load(key) is None:  # or another process was quicker, with the same result
                shutil.rmtree(folder, ignore_errors=True)  # one that somebody damaged
                try:
                    part.rename(folder)
                except OSError:
                    if self._load(key) is None:
                        raise
        finally:
            shutil.rmtree(part, ignore_errors=True)
        found = self._load(key)
        if found is None:
            raise LambdaformError(f"the requirements in {folder} vanished", hint="run again")
        return found

    def _load(self, key: str) -> Installed | None:
        """A set in the cache, its hashes taken from its list; None when it is not there or not whole."""
        if key in self._loaded:
            return self._loaded[key]
        import json

        folder = self._cache / key
        try:
            listed = json.loads((folder / "files.json").read_text(encoding="utf-8"))
            files = [PackedFile(path, size, digest, executable) for path, size, digest, executable in listed]
        except (OSError, ValueError, TypeError):
            return None
        if not (folder / "files").is_dir() and files:
            return None
        found = {file.path: Entry(file, (folder / "files" / file.path).read_bytes) for file in files}
        self._loaded[key] = found
        return found

    def _sweep(self) -> None:
        """Remove what processes left behind that were killed."""
        import shutil
        import time

        for path in self._cache.glob(".part-*"):
            try:
                is_stale = path.stat().st_mtime < time.time() - _STALE
            except OSError:
                continue
            if is_stale:
                shutil.rmtree(path, ignore_errors=True)


def _code(build: Build) -> PythonCode:
    if not isinstance(build.code, PythonCode):
        raise AssertionError("a bug in lambdaform: only Python code has requirements")
    return build.code


def _key(requested: Requested, target: Target) -> str:
    text = "\0".join([_RECIPE, *requested.texts, target.python, target.platform])
    return sha256(text.encode())[:32]


def _announcement(code: PythonCode, requested: Requested, target: Target) -> str:
    parts: list[str] = []
    if code.requirements is not None:
        parts.append(f"{requested.count} requirement{'s' if requested.count != 1 else ''}")
    if code.project is not None:
        parts.append(f"the locked packages of {code.project}")
    return f"installing {' and '.join(parts)} for python{target.python} {target.architecture}"


def _tidy(folder: Path) -> list[Item]:
    """The files worth packing: nothing that differs between machines, else all that the wheels bring."""
    items: list[Item] = []
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        name = path.relative_to(folder).as_posix()
        parts = name.split("/")
        if not path.is_file() or "__pycache__" in parts or name == ".lock":
            continue
        if len(parts) == 2 and parts[0].endswith(".dist-info") and parts[1] in _RECORDS:
            continue
        if parts[0] == "bin" and _is_script(path):
            continue  # its first line names this machine's Python
        items.append(Item(name, path.read_bytes, bool(path.stat().st_mode & 0o100)))
    return items


def _is_script(path: Path) -> bool:
    with path.open("rb") as content:
        return content.read(2) == b"#!"
