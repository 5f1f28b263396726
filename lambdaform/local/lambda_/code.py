"""Code archives: kept once per content, unpacked once per content, layers laid over each other once per combination.

An archive that could not be unpacked is refused when it comes, as Lambda does, so its content is read then.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import os
import stat
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from lambdaform.local import folders
from lambdaform.local.lambda_.values import Code
from lambdaform.local.ports import AwsFault

LARGEST_UPLOAD = 52_428_800
"""Bytes of a zip sent through the API. https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""
LARGEST_UNZIPPED = 262_144_000
"""Bytes of a function's code unzipped, its layers included."""
LONGEST_NAME = 255
"""Bytes of a file's name: NAME_MAX of Linux's file systems."""
LONGEST_PATH = 4_095
"""Bytes of a path, and of a link's target: PATH_MAX of Linux, without the zero that ends it."""
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""How content may be packed: the two ways that whatever unzips knows. AWS does not say which it takes; Python's zipfile
has others too, and for bzip2 takes gigabytes of memory where a few hundred bytes ask for it."""
DEEPEST = 256
"""Folders within each other. What walks through them to clear up goes a call deeper with each, and Python allows
about a thousand."""
_PIECE = 1 << 20
"""Bytes that are unpacked at once."""


class CodeStore:
    """Archives on disk under a private folder. Content decides the name, so nothing is ever overwritten."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._unpacking: dict[str, asyncio.Task[Path]] = {}

    def keep(self, data: bytes) -> Code:
        """Keep an archive. Raises `AwsFault` when it cannot be unpacked, is empty, or too large once unzipped."""
        digest = hashlib.sha256(data)
        key = digest.hexdigest()
        path = self.archive(key)
        try:
            unzipped = self._check(data, key)
        except _DamagedError as error:
            text = "Could not unzip uploaded file. Please check your file, then try to upload again."
            raise AwsFault("InvalidParameterValueException", text) from error
        if not path.exists():
            partial = path.with_suffix(".partial")
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                partial.write_bytes(data)
                partial.rename(path)  # whole or not at all: whatever is there counts as checked
            except OSError as error:
                with suppress(OSError):
                    partial.unlink()
                raise _trouble("kept", error) from error
        return Code(base64.b64encode(digest.digest()).decode(), len(data), unzipped, key)

    def _check(self, data: bytes, key: str) -> int:
        """The size of an archive's content. Raises `AwsFault`, and `_DamagedError` when it cannot be unpacked."""
        if not data:
            raise _empty()
        with _opened(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if not entries:
                raise _empty()
            unzipped = sum(entry.file_size for entry in entries)
            check_unzipped(unzipped)  # first: no more than this is read below, whatever is in there
            if not self.archive(key).exists():
                room = LONGEST_PATH - len(os.fsencode(_partial(self._folder / "code" / key))) - 1
                for entry in entries:
                    _check_entry(archive, entry, room)
        return unzipped

    def archive(self, key: str) -> Path:
        """Where an archive's bytes are."""
        return self.archives / f"{key}.zip"

    @property
    def archives(self) -> Path:
        """The folder of all archives."""
        return self._folder / "archives"

    async def unpacked(self, key: str) -> Path:
        """The folder with an archive's files; unpacked when first asked for. Raises `AwsFault`."""
        return await self._once(f"code/{key}", [key])

    async def layered(self, keys: Sequence[str]) -> Path | None:
        """The folder that stands for `/opt`: archives laid over each other, later ones winning. Raises `AwsFault`."""
        if not keys:
            return None
        name = hashlib.sha256("/".join(keys).encode()).hexdigest()
        return await self._once(f"opt/{name}", keys)

    async def _once(self, name: str, keys: Sequence[str]) -> Path:
        task = self._unpacking.get(name)
        if task is None:
            archives = [self.archive(key) for key in keys]
            task = asyncio.get_running_loop().create_task(asyncio.to_thread(_unpack, archives, self._folder / name))
            self._unpacking[name] = task

            def ended(done: asyncio.Task[Path]) -> None:
                # What failed, on a full disk for one, may go well when it is asked for again.
                if done.cancelled() or done.exception() is not None:
                    del self._unpacking[name]

            task.add_done_callback(ended)
        return await asyncio.shield(task)


def check_unzipped(size: int) -> None:
    """Raise `AwsFault` when code and layers together are too large."""
    if size > LARGEST_UNZIPPED:
        text = f"Unzipped size must be smaller than {LARGEST_UNZIPPED} bytes"
        raise AwsFault("InvalidParameterValueException", text)


class _DamagedError(Exception):
    """An archive cannot be unpacked, on whatever machine."""


def _empty() -> AwsFault:
    return AwsFault("InvalidParameterValueException", "Uploaded file must be a non-empty zip")


def _trouble(what: str, error: OSError) -> AwsFault:
    """What is wrong with this machine rather than with an archive, such as a full disk."""
    text = f"The code could not be {what} by the local AWS: {error.strerror or error}"
    return AwsFault("ServiceException", text, status=500, type="Service")


def _partial(target: Path) -> Path:
    """Where a folder is made before it gets its name."""
    return target.with_name(target.name + ".partial")


def _unpack(archives: Sequence[Path], target: Path) -> Path:
    """Unpack archives over each other into `target`, which appears whole or not at all. Raises `AwsFault`."""
    if target.exists():
        return target
    partial = _partial(target)
    try:
        folders.remove(partial)
        partial.mkdir(parents=True)
        for path in archives:
            with path.open("rb") as file, _opened(file) as archive:
                for entry in archive.infolist():
                    _extract(archive, entry, partial)
        for folder, _, _ in os.walk(partial):
            Path(folder).chmod(0o555)
        partial.rename(target)
    except OSError as error:
        folders.remove(partial)  # what it takes on a full disk is needed
        raise _trouble("unpacked", error) from error
    except _DamagedError as error:  # kept by a version of this program that did not look
        folders.remove(partial)
        text = "Lambda could not unzip the deployment package."
        raise AwsFault("InvalidZipFileException", text, status=502) from error
    return target


def _opened(file: IO[bytes]) -> zipfile.ZipFile:
    """An archive. Raises `_DamagedError`."""
    try:
        return zipfile.ZipFile(file)
    except Exception as error:  # zipfile says of few errors that it raises them for damaged files
        raise _DamagedError(str(error)) from error


def _check_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, room: int) -> None:
    """Raise `_DamagedError` when an entry cannot be unpacked to a path of at most `room` bytes."""
    parts = _parts(entry)
    try:
        longest = max((len(os.fsencode(part)) for part in parts), default=0)
        length = len(os.fsencode("/".join(parts)))
    except UnicodeEncodeError as error:
        raise _DamagedError(f"{entry.filename} is no file name") from error
    if longest > LONGEST_NAME or length > room or len(parts) > DEEPEST:
        raise _DamagedError(f"{entry.filename} is too long or too deep")
    if _is_folder(entry):
        return
    if _is_link(entry):
        _target(archive, entry)
        return
    for _ in _content(archive, entry):
        pass


def _extract(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, root: Path) -> None:
    """Unpack one entry. It replaces what is in its way."""
    parts = _parts(entry)
    if not parts:
        return
    if _is_folder(entry):
        _made(root, parts)
        return
    folder = _made(root, parts[:-1])
    if folder is None:
        return
    path = folder / parts[-1]
    _clear(path)
    if _is_link(entry):
        path.symlink_to(_target(archive, entry))
        return
    with path.open("wb") as sink:
        for piece in _content(archive, entry):
            sink.write(piece)
    # As in Lambda, nothing in the package can be written; what was executable stays so.
    path.chmod(0o555 if (entry.external_attr >> 16) & 0o111 else 0o444)


def _made(root: Path, parts: Sequence[str]) -> Path | None:
    """A folder below `root`, made where it is not there yet; None when a link of the archive's own leads out of it."""
    folder = inside = Path(os.path.realpath(root))
    for part in parts:
        folder /= part
        if folder.is_symlink() and os.path.isdir(folder):  # noqa: PTH112 - pathlib's raises for targets too long
            folder = Path(os.path.realpath(folder))
            if not folder.is_relative_to(inside):
                return None
        elif not os.path.isdir(folder):  # noqa: PTH112
            _clear(folder)
            folder.mkdir()
    return folder


def _clear(path: Path) -> None:
    """Take away what is at a path."""
    if path.is_symlink():
        path.unlink()
    elif path.is_dir():
        folders.remove(path)
    else:
        path.unlink(missing_ok=True)


def _parts(entry: zipfile.ZipInfo) -> Sequence[str]:
    """The names on the way to an entry; never one that leads upwards."""
    return [part for part in entry.filename.replace("\\", "/").split("/") if part not in ("", ".", "..")]


def _is_folder(entry: zipfile.ZipInfo) -> bool:
    return entry.filename.endswith(("/", "\\"))  # some programs for Windows write the latter


def _is_link(entry: zipfile.ZipInfo) -> bool:
    return stat.S_ISLNK(entry.external_attr >> 16)


def _target(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> str:
    """What a link points at. Raises `_DamagedError` when no link can."""
    if not 0 < entry.file_size <= LONGEST_PATH:
        raise _DamagedError(f"the link {entry.filename} has a target of {entry.file_size} bytes")
    try:
        target = b"".join(_content(archive, entry)).decode()
    except UnicodeDecodeError as error:
        raise _DamagedError(f"the link {entry.filename} has a target that is no text") from error
    if "\0" in target:
        raise _DamagedError(f"the link {entry.filename} has a target with a zero in it")
    return target


def _content(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    """An entry's content in pieces, never more than it is said to have. Raises `_DamagedError`."""
    if entry.compress_type not in METHODS:
        raise _DamagedError(f"{entry.filename} is packed in way {entry.compress_type}")
    size = 0
    try:
        with archive.open(entry) as source:
            while piece := source.read(_PIECE):
                size += len(piece)
                yield piece
    except Exception as error:  # whatever a decompressor raises, the fault is in what it was given
        raise _DamagedError(f"{entry.filename}: {error}") from error
    if size != entry.file_size:
        raise _DamagedError(f"{entry.filename} ends early")
