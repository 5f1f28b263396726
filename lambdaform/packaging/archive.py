"""Writes zips that are the same wherever the same zlib is: sorted, one date, modes that Lambda can read."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

from lambdaform.model.code import Package
from lambdaform.model.problem import LambdaformError
from lambdaform.packaging.digests import sha256
from lambdaform.packaging.source import Entry

_DATE = (1980, 1, 1, 0, 0, 0)  # the first one a zip can hold
_UNIX = 3
_LEVEL = 6


def write_archive(target: Path, package: Package, entries: Mapping[str, Entry]) -> None:
    """Write the zip of a package so that it is there whole or not at all.

    Folders have no entries of their own: whatever unpacks the zip makes them, readable for all, and entries would
    carry modes of which only one is right. Raises `LambdaformError` when the disk refuses, or when a file is no longer
    what the package says: a hash must never name other bytes.
    """
    import zipfile

    def write(out: IO[bytes]) -> None:
        with zipfile.ZipFile(out, "w") as archive:
            for file in package.files:
                content = _read(entries[file.path])
                if sha256(content) != file.sha256:
                    raise _changed(file.path)
                info = zipfile.ZipInfo(file.path, _DATE)
                info.create_system = _UNIX
                info.external_attr = (0o100755 if file.executable else 0o100644) << 16
                info.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(info, content, compresslevel=_LEVEL)

    _whole(target, write)


def copy_archive(target: Path, ready_made: Path, hash_of: Callable[[Path], str], package: Package) -> None:
    """Copy a jar as it is: Lambda takes it for a zip, and what is signed or stored in order stays so.

    `hash_of` tells the contents of an archive. Raises as `write_archive` does.
    """

    def write(out: IO[bytes]) -> None:
        out.write(ready_made.read_bytes())
        out.flush()
        if hash_of(Path(out.name)) != package.hash:
            raise _changed(ready_made.name)

    _whole(target, write)


def code_sha256(archive: Path) -> str:
    """AWS's `CodeSha256` of an archive: base64 of the SHA-256 of its bytes."""
    import base64
    import hashlib

    with archive.open("rb") as content:
        return base64.b64encode(hashlib.file_digest(content, "sha256").digest()).decode()


def _whole(target: Path, write: Callable[[IO[bytes]], None]) -> None:
    import tempfile

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=target.parent, suffix=".part", delete=False) as out:
            try:
                write(out)
                out.flush()
                os.fsync(out.fileno())  # or a power cut could leave the name without the bytes
                Path(out.name).replace(target)
            except BaseException:
                Path(out.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise LambdaformError(
            f"the archive {target} cannot be written: {error.strerror or error}", hint="make room, or give access"
        ) from error


def _read(entry: Entry) -> bytes:
    try:
        return entry.read()
    except OSError as error:
        raise _changed(entry.file.path) from error


def _changed(path: str) -> LambdaformError:
    return LambdaformError(
        f"{path} changed while it was being packed",
        hint="run again; if it is of an installed package, remove .lambdaform/cache first",
    )
