"""The way in: a build to its package, and to the archive of it.

A package is put together in this order: installed requirements, then the user's own files over them, then all of it
under the build's prefix. Its hash is over that list, so it is known before any zip is written.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import attrs

from lambdaform.model.code import Build, Code, Package, PythonCode
from lambdaform.model.problem import Invalid, LambdaformError, Problem, Severity
from lambdaform.packaging.requirements import needs_installing, target_of
from lambdaform.packaging.source import Entry, Item, contents_hash, folder_items, packed, zip_items
from lambdaform.packaging.wheels import Wheels

_LARGE = 20 * 1_048_576
# Of a project's front end, most likely; a function in Node.js is declared with plain Code.
_NOT_PYTHON = frozenset({"node_modules"})
_Key = tuple[Code, str, str, str]


def _silent(_: str) -> None:
    """Says nothing."""


@attrs.frozen(eq=False, repr=False)
class _Own:
    """The user's own files of some code, and what is wrong with them."""

    entries: dict[str, Entry]
    problems: tuple[Problem, ...]


@attrs.frozen(eq=False, repr=False)
class _Made:
    """A package that was put together."""

    package: Package
    entries: dict[str, Entry]
    ready_made: Path | None
    """A jar that is taken as it is."""


class Packager:
    """Makes packages, each once; there is one for a run.

    `cache` keeps installed requirements and archives, for other runs and processes as well; `say` hears of real work;
    `offline` downloads nothing. Safe to use from several threads once contents are known.
    """

    def __init__(self, cache: Path, *, say: Callable[[str], None] = _silent, offline: bool = False) -> None:
        self._cache = cache
        self._say = say
        self._wheels = Wheels(cache, say=say, offline=offline)
        self._own: dict[tuple[Code, bool], _Own] = {}
        self._made: dict[_Key, _Made | Invalid] = {}
        self._not_ready: set[_Key] = set()
        self._writing: dict[_Key, threading.Lock] = {}

    def contents(self, build: Build) -> Package:
        """What a build comes to; requirements are installed when they are not in the cache. No zip is written.

        Raises `Invalid` for what the user can mend, all of it at once, and `LambdaformError` when the world fails.
        """
        return self._collected(build).package

    def ready(self, build: Build) -> Package | None:
        """What a build comes to, if nothing has to be downloaded for it; else None. Raises as `contents` does."""
        key = _key(build)
        if key in self._not_ready and key not in self._made:
            return None
        if needs_installing(build) and key not in self._made:
            problems: list[Problem] = []
            if self._wheels.ready(build, problems) is None:
                problems.extend(self._own_of(build).problems)
                if problems:
                    raise Invalid(problems)
                self._not_ready.add(key)
                return None
        return self._collected(build).package

    def archive(self, build: Build) -> Package:
        """What a build comes to, with its zip. Raises as `contents` does."""
        with self._writing.setdefault(_key(build), threading.Lock()):  # a zip for a thousand functions is written once
            return self._archived(build)

    def read(self, build: Build, path: str) -> bytes | None:
        """What one file of a package that was made holds; None when it was not made, or has no such file."""
        made = self._made.get(_key(build))
        entry = made.entries.get(path) if isinstance(made, _Made) else None
        try:
            return None if entry is None else entry.read()
        except OSError:
            return None  # removed since

    def _archived(self, build: Build) -> Package:
        made = self._collected(build)
        package = made.package
        if package.archive is not None:
            return package
        # Not needed for a plan, nor to check.
        import zlib

        from lambdaform.packaging.archive import copy_archive, write_archive

        if made.ready_made is not None:
            target = self._cache / "archives" / f"{package.hash[:40]}.jar"
            if not target.exists():
                copy_archive(target, made.ready_made, lambda path: _hash_of(path, build.code), package)
        else:
            # Another zlib gives other bytes, so its version is part of the name.
            target = self._cache / "archives" / f"{package.hash[:40]}-{zlib.ZLIB_RUNTIME_VERSION}.zip"
            if not target.exists():
                if package.unzipped >= _LARGE:
                    self._say(f"packing {package.unzipped / 1_048_576:,.0f} MB in {len(package.files):,} files")
                write_archive(target, package, made.entries)
        package = attrs.evolve(package, archive=target)
        self._made[_key(build)] = attrs.evolve(made, package=package)
        return package

    def _collected(self, build: Build) -> _Made:
        key = _key(build)
        found = self._made.get(key)
        if found is None:
            try:
                found = self._made[key] = self._collect(build)
            except Invalid as error:
                found = self._made[key] = error
        if isinstance(found, Invalid):
            raise found
        return found

    def _collect(self, build: Build) -> _Made:
        own = self._own_of(build)
        problems = list(own.problems)
        entries: dict[str, Entry] = {}
        if needs_installing(build):
            try:
                asked: list[Problem] = []
                entries.update(self._wheels.installed(build, asked))
                problems.extend(asked)
            except Invalid:
                raise
            except LambdaformError as error:
                if problems:  # which can be mended without the world
                    raise Invalid(problems) from error
                raise
        entries.update(own.entries)  # the user's own files win over a package's
        if build.prefix:
            entries = {(path := f"{build.prefix}/{name}"): entry.moved(path) for name, entry in entries.items()}
        problems.extend(_clashes(entries, build.code))
        if not entries and not problems:
            problems.append(_empty(build.code))
        if problems:
            raise Invalid(problems)
        files = tuple(entries[path].file for path in sorted(entries))
        package = Package(contents_hash(files), files, sum(file.size for file in files))
        return _Made(package, entries, _ready_made(build))

    def _own_of(self, build: Build) -> _Own:
        """The user's own files of a build, read once for all builds of the same code."""
        code = build.code
        as_file = bool(build.prefix) and _is_jar(code)
        found = self._own.get((code, as_file))
        if found is None:
            problems: list[Problem] = []
            entries = packed(_items(code, problems, as_file=as_file), code.where, problems)
            found = self._own[code, as_file] = _Own(entries, tuple(problems))
        return found


def _items(code: Code, problems: list[Problem], *, as_file: bool) -> Iterable[Item]:
    path = code.folder()
    if path is None:
        return ()
    if path.is_dir():
        never_here = _NOT_PYTHON if isinstance(code, PythonCode) else frozenset[str]()
        return folder_items(path, code.exclude, code.where, problems, never_here=never_here)
    if path.is_file() and as_file:
        return (Item(path.name, path.read_bytes, executable=False),)  # a library in a layer's java/lib
    if path.is_file() and path.suffix.lower() in (".zip", ".jar"):
        return zip_items(path, code.exclude, code.where, problems)
    problems.append(_missing(code, path))
    return ()


def _missing(code: Code, path: Path) -> Problem:
    if path.exists():
        what, hint = f"{path} is neither a folder nor a .zip or .jar", "name the folder it is in"
    else:
        import difflib

        names = sorted(each.name for each in path.parent.iterdir()) if path.parent.is_dir() else []
        near = difflib.get_close_matches(path.name, names, n=1)
        hint = "correct the path; it is relative to the file it is written in"
        what, hint = f"{path} does not exist", f"did you mean {near[0]}?" if near else hint
    allowed = "a folder, a .zip or a .jar"
    return Problem("code-missing", Severity.ERROR, "", code.where, what, given=code.path, allowed=allowed, hint=hint)


def _empty(code: Code) -> Problem:
    hint = (
        "name a path, or requirements that bring files"
        if code.path is None
        else "look at its path, at exclude and at .lambdaformignore"
    )
    what = "there is no file in the package"
    return Problem("code-empty", Severity.ERROR, "", code.where, what, given=code.path, hint=hint)


def _clashes(entries: Iterable[str], code: Code) -> Iterable[Problem]:
    """Names that the user's files and a package's use, one for a file and one for a folder: no disk can hold both."""
    folders: set[str] = set()
    paths = list(entries)
    for path in paths:
        folder = path.rpartition("/")[0]
        while folder and folder not in folders:
            folders.add(folder)
            folder = folder.rpartition("/")[0]
    for path in paths:
        if path in folders:
            what = f"{path} is a file of the code folder and a folder of an installed package, or the other way round"
            yield Problem(
                "code-clash", Severity.ERROR, "", code.where, what, given=path, hint="rename the one of yours"
            )


def _is_jar(code: Code) -> bool:
    return code.path is not None and code.path.lower().endswith(".jar")


def _ready_made(build: Build) -> Path | None:
    """The jar that is the whole package: signatures and the order of its entries outlive only if it stays as it is."""
    if _is_jar(build.code) and not (build.prefix or build.code.exclude or needs_installing(build)):
        return build.code.folder()
    return None


def _hash_of(archive: Path, code: Code) -> str:
    entries = packed(zip_items(archive, (), code.where, []), code.where, [])
    return contents_hash(entries[path].file for path in sorted(entries))


def _key(build: Build) -> _Key:
    """What makes two builds the same: without requirements, runtime and architecture do not matter."""
    if needs_installing(build):
        target = target_of(build)
        return build.code, target.python, target.platform, build.prefix
    return build.code, "", "", build.prefix
