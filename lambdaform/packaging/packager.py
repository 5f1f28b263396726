"""The way in: a build to its package, and to the archive of it."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import attrs

from lambdaform.model.code import Build, Code, Package
from lambdaform.model.problem import Invalid, Problem, Severity
from lambdaform.packaging.archive import write_archive
from lambdaform.packaging.source import Item, contents_hash, folder_items, packed, zip_items
from lambdaform.packaging.wheels import Wheels, needs_installing


def _silent(_: str) -> None:
    """Says nothing."""


class Packager:
    """Makes packages, each once. `cache` keeps installed requirements and archives; `say` hears of real work."""

    def __init__(self, cache: Path, *, say: Callable[[str], None] = _silent, offline: bool = False) -> None:
        self._cache = cache
        self._wheels = Wheels(cache, say=say, offline=offline)
        self._packages: dict[tuple[Code, str, str, str], tuple[Package, dict[str, Item]]] = {}
        self._failed: dict[tuple[Code, str, str, str], Invalid] = {}

    def contents(self, build: Build) -> Package:
        """What a build comes to; requirements are installed when they are not in the cache. No zip is written.

        Raises `Invalid` for what the user can mend, all of it at once, and `LambdaformError` when the world fails.
        """
        return self._collected(build)[0]

    def ready(self, build: Build) -> Package | None:
        """What a build comes to, if nothing has to be downloaded for it; else None. Raises as `contents` does."""
        if needs_installing(build) and self._wheels.ready(build) is None:
            if build.code.path is not None:
                self._own_items(build.code, [])  # its own folder is looked at all the same
            return None
        return self._collected(build)[0]

    def archive(self, build: Build) -> Package:
        """What a build comes to, with its zip."""
        package, items = self._collected(build)
        if package.archive is None:
            # Another zlib gives other bytes, so its version is part of the name.
            name = f"{package.hash[:40]}-{zlib.ZLIB_RUNTIME_VERSION}.zip"
            target = self._cache / "archives" / name
            if not target.exists():
                write_archive(target, package.files, items)
            package = attrs.evolve(package, archive=target)
            self._packages[_key(build)] = (package, items)
        return package

    def read(self, build: Build, path: str) -> bytes | None:
        """What one file of a package that was made holds; None when it was not made, or has no such file."""
        found = self._packages.get(_key(build))
        item = found[1].get(path) if found is not None else None
        return None if item is None else item.read()

    def _collected(self, build: Build) -> tuple[Package, dict[str, Item]]:
        key = _key(build)
        found = self._packages.get(key)
        if found is not None:
            return found
        if key in self._failed:
            raise self._failed[key]
        try:
            found = self._packages[key] = self._collect(build)
        except Invalid as error:
            self._failed[key] = error
            raise
        return found

    def _collect(self, build: Build) -> tuple[Package, dict[str, Item]]:
        problems: list[Problem] = []
        where = build.code.where
        items: dict[str, Item] = {}
        if needs_installing(build):
            try:
                for item in folder_items(self._wheels.installed(build), (), where, problems):
                    items[item.path] = item
            except Invalid as error:
                problems.extend(error.problems)
        for item in self._own_items(build.code, problems):
            items[item.path] = item  # the user's own files win over a package's
        if build.prefix:
            items = {f"{build.prefix}/{path}": item for path, item in items.items()}
        if not items and not problems:
            problems.append(
                Problem("code-empty", Severity.ERROR, "", where, "there is no file in the package", hint="name a path")
            )
        files = packed(items, where, problems)
        if problems:
            raise Invalid(problems)
        package = Package(contents_hash(files), tuple(files), sum(file.size for file in files))
        return package, items

    def _own_items(self, code: Code, problems: list[Problem]) -> list[Item]:
        folder = code.folder()
        if folder is None:
            return []
        if folder.is_dir():
            return list(folder_items(folder, code.exclude, code.where, problems))
        if folder.is_file() and folder.suffix in (".zip", ".jar"):
            import zipfile

            try:
                return list(zip_items(folder))
            except (zipfile.BadZipFile, OSError) as error:
                what = f"{folder} is no readable archive: {error}"
                problems.append(Problem("code-unreadable", Severity.ERROR, "", code.where, what, hint="build it again"))
                return []
        if folder.is_file():
            what, hint = f"{folder} is neither a folder nor a .zip or .jar", "name the folder it is in"
        else:
            what, hint = f"{folder} does not exist", "correct the path; it is relative to the file it is written in"
        problems.append(Problem("code-missing", Severity.ERROR, "", code.where, what, given=code.path, hint=hint))
        return []


def _key(build: Build) -> tuple[Code, str, str, str]:
    """What makes two builds the same: without requirements, runtime and architecture do not matter."""
    if needs_installing(build):
        return build.code, build.runtime, build.architecture, build.prefix
    return build.code, "", "", build.prefix
