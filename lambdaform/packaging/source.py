"""Reads the files of a folder, a zip or a jar: which belong in a package, and what they hold."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import attrs

from lambdaform.model.code import PackedFile
from lambdaform.model.problem import Problem, Severity
from lambdaform.model.source import Source

IGNORE_FILE = ".lambdaformignore"
NEVER = frozenset(
    {
        ".git", ".hg", ".svn", "__pycache__", ".venv", "venv", ".lambdaform", ".mypy_cache", ".pytest_cache",
        ".ruff_cache", ".tox", ".nox", ".idea", ".vscode", ".DS_Store", "Thumbs.db", IGNORE_FILE, ".gitignore",
    }
)  # fmt: skip
"""Names that never belong in a package, wherever they stand."""


@attrs.frozen
class Item:
    """One file on its way into a package."""

    path: str
    """In the archive."""
    read: Callable[[], bytes]
    executable: bool


def never(name: str) -> bool:
    """Whether a file or folder of this name stays out of every package: secrets, caches, version control."""
    return name in NEVER or name.endswith((".pyc", ".pyo")) or name == ".env" or name.startswith(".env.")


def folder_items(root: Path, exclude: tuple[str, ...], where: Source, problems: list[Problem]) -> Iterator[Item]:
    """The files of a folder in a fixed order. What cannot be read becomes a problem."""
    patterns = list(exclude)
    ignore_file = root / IGNORE_FILE
    if ignore_file.is_file():
        patterns += ignore_file.read_text(encoding="utf-8").splitlines()
    ignored: Callable[[str], bool] = (lambda _: False) if not patterns else _matcher(patterns)
    real_root = root.resolve()
    # Folders on the way here, so that a symbolic link to a parent does not go round for ever.
    todo: list[tuple[Path, str, frozenset[Path]]] = [(root, "", frozenset({real_root}))]
    found: list[Item] = []
    while todo:
        folder, prefix, above = todo.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            problems.append(_unreadable(where, folder, error))
            continue
        for entry in entries:
            path = f"{prefix}{entry.name}"
            if never(entry.name) or ignored(path + ("/" if entry.is_dir() else "")):
                continue
            if entry.is_symlink():
                target = Path(entry.path).resolve()
                if not target.is_relative_to(real_root):
                    problems.append(
                        Problem(
                            "symlink-outside",
                            Severity.ERROR,
                            "",
                            where,
                            f"{path} is a symbolic link that leaves the folder",
                            given=str(target),
                            hint=f"copy what it points at into {root.name}, or exclude it",
                        )
                    )
                    continue
                if target in above:
                    continue
            if entry.is_dir():
                todo.append((Path(entry.path), path + "/", above | {Path(entry.path).resolve()}))
            elif entry.is_file():
                mode = entry.stat().st_mode
                found.append(Item(path, Path(entry.path).read_bytes, bool(mode & 0o100)))
            elif entry.is_symlink():
                problems.append(
                    Problem(
                        "code-unreadable",
                        Severity.ERROR,
                        "",
                        where,
                        f"{path} is a symbolic link to nothing",
                        hint="remove it, or exclude it",
                    )
                )
    found.sort(key=lambda item: item.path)
    yield from found


def _matcher(patterns: list[str]) -> Callable[[str], bool]:
    import pathspec

    return pathspec.PathSpec.from_lines("gitignore", patterns).match_file


def zip_items(path: Path) -> Iterator[Item]:
    """The files of a zip or jar. Raises `zipfile.BadZipFile` when it is none."""
    import zipfile

    with zipfile.ZipFile(path) as archive:
        for info in sorted(archive.infolist(), key=lambda info: info.filename):
            if not info.is_dir():
                content = archive.read(info)
                executable = bool((info.external_attr >> 16) & 0o100)
                yield Item(info.filename, _constant(content), executable)


def _constant(content: bytes) -> Callable[[], bytes]:
    return lambda: content


def packed(items: Mapping[str, Item], where: Source, problems: list[Problem]) -> list[PackedFile]:
    """Hashes of all files, sorted by path."""
    files: list[PackedFile] = []
    for path, item in sorted(items.items()):
        try:
            content = item.read()
        except OSError as error:
            problems.append(_unreadable(where, Path(path), error))
            continue
        files.append(PackedFile(path, len(content), hashlib.sha256(content).hexdigest(), item.executable))
    return files


def _unreadable(where: Source, path: Path, error: OSError) -> Problem:
    return Problem(
        "code-unreadable",
        Severity.ERROR,
        "",
        where,
        f"{path} cannot be read: {error.strerror or error}",
        hint="give yourself access to it, or exclude it",
    )


def contents_hash(files: list[PackedFile]) -> str:
    """The hash over the list of contents: paths, modes and hashes, so it is the same on every machine."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.path}\0{'755' if file.executable else '644'}\0{file.sha256}\n".encode())
    return digest.hexdigest()
