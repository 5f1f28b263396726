"""Writes zips that are the same wherever the same zlib is: sorted, one date, modes that Lambda can read."""

from __future__ import annotations

import base64
import hashlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from lambdaform.model.code import PackedFile
from lambdaform.model.problem import LambdaformError
from lambdaform.packaging.source import Item

_DATE = (1980, 1, 1, 0, 0, 0)  # the first one a zip can hold
_UNIX = 3
_LEVEL = 6


def write_archive(target: Path, files: tuple[PackedFile, ...], items: Mapping[str, Item]) -> None:
    """Write a zip so that it is there whole or not at all. Raises `LambdaformError` when the disk refuses.

    Folders have no entries of their own: Lambda makes them readable by itself.
    """
    import zipfile

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(dir=target.parent, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as out, zipfile.ZipFile(out, "w") as archive:
                for file in files:
                    info = zipfile.ZipInfo(file.path, _DATE)
                    info.create_system = _UNIX
                    info.external_attr = (0o100755 if file.executable else 0o100644) << 16
                    info.compress_type = zipfile.ZIP_DEFLATED
                    archive.writestr(info, items[file.path].read(), compresslevel=_LEVEL)
            Path(part).replace(target)
        except BaseException:
            Path(part).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise LambdaformError(
            f"the archive {target} cannot be written: {error.strerror or error}", hint="make room, or give access"
        ) from error


def code_sha256(archive: Path) -> str:
    """AWS's `CodeSha256` of an archive: base64 of the SHA-256 of its bytes."""
    return base64.b64encode(hashlib.sha256(archive.read_bytes()).digest()).decode()
