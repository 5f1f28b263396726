"""Code archives: kept once per content, unpacked once per content, layers laid over each other once per combination."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import shutil
import stat
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from lambdaform.local.lambda_.values import Code
from lambdaform.local.ports import AwsFault

LARGEST_UPLOAD = 52_428_800
"""Bytes of a zip sent through the API. https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""
LARGEST_UNZIPPED = 262_144_000
"""Bytes of a function's code unzipped, its layers included."""


class CodeStore:
    """Archives on disk under a private folder. Content decides the name, so nothing is ever overwritten."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._unpacking: dict[str, asyncio.Task[Path]] = {}

    def keep(self, data: bytes) -> Code:
        """Keep an archive. Raises `AwsFault` when it is no zip, or too large once unzipped."""
        digest = hashlib.sha256(data)
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                unzipped = sum(entry.file_size for entry in archive.infolist())
        except (zipfile.BadZipFile, NotImplementedError) as error:
            text = "Could not unzip uploaded file. Please check your file, then try to upload again."
            raise AwsFault("InvalidParameterValueException", text) from error
        check_unzipped(unzipped)
        key = digest.hexdigest()
        path = self.archive(key)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return Code(base64.b64encode(digest.digest()).decode(), len(data), unzipped, key)

    def archive(self, key: str) -> Path:
        """Where an archive's bytes are."""
        return self.archives / f"{key}.zip"

    @property
    def archives(self) -> Path:
        """The folder of all archives."""
        return self._folder / "archives"

    async def unpacked(self, key: str) -> Path:
        """The folder with an archive's files; unpacked when first asked for."""
        return await self._once(f"code/{key}", [key])

    async def layered(self, keys: Sequence[str]) -> Path | None:
        """The folder that stands for `/opt`: archives laid over each other, later ones winning."""
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
        return await asyncio.shield(task)


def check_unzipped(size: int) -> None:
    """Raise `AwsFault` when code and layers together are too large."""
    if size > LARGEST_UNZIPPED:
        text = f"Unzipped size must be smaller than {LARGEST_UNZIPPED} bytes"
        raise AwsFault("InvalidParameterValueException", text)


def _unpack(archives: Sequence[Path], target: Path) -> Path:
    """Unpack archives over each other into `target`, which appears whole or not at all."""
    if target.exists():
        return target
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for path in archives:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                _extract(archive, entry, partial)
    for folder in [partial, *(path for path in partial.rglob("*") if path.is_dir() and not path.is_symlink())]:
        folder.chmod(0o555)
    partial.rename(target)
    return target


def _extract(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path) -> None:
    parts = [part for part in PurePosixPath(entry.filename.replace("\\", "/")).parts if part not in ("/", "..", ".")]
    if not parts:
        return
    path = folder.joinpath(*parts)
    if not path.parent.resolve().is_relative_to(folder.resolve()):
        return  # through a link the archive itself brought: never outside the folder
    mode = entry.external_attr >> 16
    if entry.is_dir():
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink() or path.exists():
        path.unlink()
    if stat.S_ISLNK(mode):
        path.symlink_to(archive.read(entry).decode())
        return
    with archive.open(entry) as source, path.open("wb") as sink:
        shutil.copyfileobj(source, sink)
    # As in Lambda, nothing in the package can be written; what was executable stays so.
    path.chmod(0o555 if mode & 0o111 else 0o444)
