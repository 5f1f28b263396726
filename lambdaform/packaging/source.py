"""Reads folders, zips and jars: which files they hold, and what is in them. Nothing is written here."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from lambdaform.model.code import PackedFile
from lambdaform.model.problem import Problem, Severity
from lambdaform.model.source import Source
from lambdaform.packaging.digests import sha256
from lambdaform.packaging.ignore import is_environment, match_patterns, matcher, never

if TYPE_CHECKING:
    from zipfile import ZipFile, ZipInfo


@attrs.frozen(eq=False, repr=False)
class Item:
    """One file on its way into a package."""

    path: str
    """In the archive."""
    read: Callable[[], bytes]
    """Its bytes. Raises OSError."""
    executable: bool


@attrs.frozen(eq=False, repr=False)
class Entry:
    """A file whose contents are known, and how to get them again."""

    file: PackedFile
    read: Callable[[], bytes]

    def moved(self, path: str) -> Entry:
        """The same file in another place of the archive."""
        return Entry(PackedFile(path, self.file.size, self.file.sha256, self.file.executable), self.read)


def folder_items(
    root: Path,
    exclude: tuple[str, ...],
    where: Source,
    problems: list[Problem],
    *,
    never_here: frozenset[str] = frozenset(),
) -> Iterator[Item]:
    """The files of a folder in a fixed order. What cannot be read becomes a problem.

    Symbolic links are followed inside the folder; one that leaves it is a problem, for it would mean another file on
    every machine. `never_here` are names to leave out besides the ones that never belong in a package.
    """
    ignored = matcher(root, exclude, where, problems)
    real_root = os.path.realpath(root)
    # With the real folders on the way here, so that a link to a parent does not go round for ever.
    todo: list[tuple[str, str, frozenset[str]]] = [(real_root, "", frozenset({real_root}))]
    found: list[Item] = []
    while todo:
        folder, prefix, above = todo.pop()
        try:
            entries = list(os.scandir(folder))
        except OSError as error:
            problems.append(_unreadable(where, prefix or str(root), error))
            continue
        for entry in entries:
            path = prefix + entry.name
            if never(entry.name) or entry.name in never_here:
                continue
            real = f"{folder}/{entry.name}"
            try:
                if entry.is_symlink():
                    real = os.path.realpath(real)
                    mode = Path(real).stat().st_mode
                else:
                    mode = entry.stat(follow_symlinks=False).st_mode
            except OSError as error:
                if ignored is None or not ignored(path):
                    is_link = entry.is_symlink()
                    problems.append(_broken_link(where, path) if is_link else _unreadable(where, path, error))
                continue
            is_folder = stat.S_ISDIR(mode)
            if ignored is not None and ignored(f"{path}/" if is_folder else path):
                continue
            if entry.is_symlink():
                if real != real_root and not real.startswith(f"{real_root}/"):
                    problems.append(_outside(where, path, real, root))
                    continue
                if any(never(part) for part in real[len(real_root) :].split("/")):
                    continue  # under another name it is still a secret or a cache
            if is_folder:
                if real not in above and not is_environment(real):
                    todo.append((real, f"{path}/", above | {real}))
            elif stat.S_ISREG(mode):  # sockets and pipes are of this machine
                found.append(Item(path, Path(real).read_bytes, bool(mode & stat.S_IXUSR)))
    found.sort(key=lambda item: item.path)
    yield from found


def zip_items(path: Path, exclude: tuple[str, ...], where: Source, problems: list[Problem]) -> Iterator[Item]:
    """The files of a zip or jar in a fixed order. What cannot be read, or would leave the folder, becomes a problem."""
    import zipfile

    try:
        # Stays open as long as its items are held: to open it once a file would read its whole directory each time.
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        what = f"{path} is no readable archive: {_reason(error)}"
        problems.append(Problem("code-unreadable", Severity.ERROR, "", where, what, hint="build it again"))
        return
    ignored = match_patterns(list(exclude), where, problems) if exclude else None
    infos = {
        info.filename: info for info in archive.infolist() if not info.is_dir()
    }  # of two, unpacking keeps the last
    for name in sorted(infos):
        if ignored is not None and ignored(name):
            continue
        info = _followed(archive, infos, name)
        if name.startswith("/") or ".." in name.split("/") or info is None:
            problems.append(
                Problem(
                    "symlink-outside" if info is None else "code-unreadable",
                    Severity.ERROR,
                    "",
                    where,
                    f"{name} in {path.name} "
                    + (
                        "is a symbolic link to no file in it"
                        if info is None
                        else "would be unpacked outside of its folder"
                    ),
                    hint="build the archive again without it, or exclude it",
                )
            )
            continue
        yield Item(name, _reader(archive, info), _is_executable(info))


def _followed(archive: ZipFile, infos: Mapping[str, ZipInfo], name: str) -> ZipInfo | None:
    """The file that an entry is or, as a symbolic link, points at; None when that is not in the archive."""
    import posixpath

    for _ in range(10):  # libx.so -> libx.so.1 -> libx.so.1.2, and never round in a circle
        info = infos.get(name)
        if info is None or not stat.S_ISLNK(info.external_attr >> 16):
            return info
        try:
            target = _reader(archive, info)().decode()
        except (OSError, UnicodeDecodeError):
            return None
        name = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
    return None


def _is_executable(info: ZipInfo) -> bool:
    if info.create_system == 0 and not info.external_attr >> 16:
        # Made on Windows, which knows no such mode: what Lambda itself starts has to be executable.
        return info.filename == "bootstrap" or info.filename.startswith("extensions/")
    return bool((info.external_attr >> 16) & stat.S_IXUSR)


def _reader(archive: ZipFile, info: ZipInfo) -> Callable[[], bytes]:
    def read() -> bytes:
        import zlib
        from zipfile import BadZipFile

        try:
            return archive.read(info)
        except (
            BadZipFile,
            zlib.error,
            NotImplementedError,
            RuntimeError,
            EOFError,
        ) as error:  # damaged, or with a password
            raise OSError(str(error)) from error

    return read


def packed(items: Iterable[Item], where: Source, problems: list[Problem]) -> dict[str, Entry]:
    """Files by path, with their hashes. What cannot be read becomes a problem."""
    entries: dict[str, Entry] = {}
    for item in items:
        try:
            item.path.encode()
            content = item.read()
        except OSError as error:
            problems.append(_unreadable(where, item.path, error))
        except UnicodeEncodeError:
            what = f"the name of the file {os.fsencode(item.path)!r} is not UTF-8"
            hint = "rename it, or exclude it"
            problems.append(Problem("code-unreadable", Severity.ERROR, "", where, what, hint=hint))
        else:
            digest = sha256(content)
            entries[item.path] = Entry(PackedFile(item.path, len(content), digest, item.executable), item.read)
    return entries


def contents_hash(files: Iterable[PackedFile]) -> str:
    """The hash over the list of contents: paths, modes and hashes, so it is the same on every machine."""
    lines = (f"{file.path}\0{'755' if file.executable else '644'}\0{file.sha256}\n" for file in files)
    return sha256("".join(lines).encode())


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _unreadable(where: Source, path: str, error: OSError) -> Problem:
    what, hint = f"{path} cannot be read: {_reason(error)}", "give yourself access to it, or exclude it"
    return Problem("code-unreadable", Severity.ERROR, "", where, what, hint=hint)


def _broken_link(where: Source, path: str) -> Problem:
    what, hint = f"{path} is a symbolic link to nothing", "remove it, or exclude it"
    return Problem("code-unreadable", Severity.ERROR, "", where, what, hint=hint)


def _outside(where: Source, path: str, real: str, root: Path) -> Problem:
    return Problem(
        "symlink-outside",
        Severity.ERROR,
        "",
        where,
        f"{path} is a symbolic link that leaves the folder",
        given=real,
        allowed=f"links to files inside {root}",
        hint=f"copy what it points at into {root.name}, or exclude it",
    )
