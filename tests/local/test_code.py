"""Archives of code: which are refused when they come, and how those that are kept lie on disk."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import stat
import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambdaform.local import folders
from lambdaform.local.lambda_.code import DEEPEST, LARGEST_UNZIPPED, CodeStore
from lambdaform.local.ports import AwsFault

LOCAL, CENTRAL = b"PK\3\4", b"PK\1\2"
"""What a file's header begins with, before its content and in the directory at the end."""
FIELDS = {
    "flags": ("<H", 6, 8),
    "method": ("<H", 8, 10),
    "crc": ("<L", 14, 16),
    "packed": ("<L", 18, 20),
    "size": ("<L", 22, 24),
    "offset": ("<L", None, 42),
}
"""How a header's field is written, and where it is in the two."""


def link(name: str) -> zipfile.ZipInfo:
    """An entry that is a symbolic link."""
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def packed(*entries: tuple[str | zipfile.ZipInfo, str | bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip of files in order."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", method) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return data.getvalue()


def patched(data: bytes, field: str, value: int, *, where: Sequence[bytes] = (LOCAL, CENTRAL)) -> bytes:
    """A zip of one file with something else in its headers."""
    changed = bytearray(data)
    form, local, central = FIELDS[field]
    for header, place in ((LOCAL, local), (CENTRAL, central)):
        if header in where and place is not None:
            struct.pack_into(form, changed, data.index(header) + place, value)
    return bytes(changed)


def refused(store: CodeStore, data: bytes) -> AwsFault:
    """How a store refuses an archive."""
    with pytest.raises(AwsFault) as caught:
        store.keep(data)
    return caught.value


def unpacked(store: CodeStore, data: bytes) -> Path:
    """The folder with an archive's files."""
    key = store.keep(data).key
    assert key is not None
    return asyncio.run(store.unpacked(key))


def layered(store: CodeStore, *archives: bytes) -> Path:
    """The folder of archives laid over each other."""
    keys = [store.keep(data).key for data in archives]
    folder = asyncio.run(store.layered([key for key in keys if key is not None]))
    assert folder is not None
    return folder


def kept_anyway(store: CodeStore, data: bytes) -> str:
    """The key of an archive that is there although it would be refused, as in a state from before it was looked at."""
    key = store.keep(packed(("any", "thing"))).key
    assert key is not None
    store.archive(key).write_bytes(data)
    return key


FILE = packed(("app.py", "x = 1\n" * 100))
DEFLATED = packed(("app.py", "x = 1\n" * 100), method=zipfile.ZIP_DEFLATED)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"no zip", id="no zip"),
        pytest.param(FILE[:-30], id="cut off"),
        pytest.param(FILE.replace(b"x = 1", b"x = 2", 1), id="other content than its checksum is of"),
        pytest.param(patched(FILE, "flags", 1), id="encrypted"),
        pytest.param(patched(FILE, "method", 99), id="a method there is not"),
        pytest.param(packed(("app.py", "x"), method=zipfile.ZIP_BZIP2), id="bzip2"),
        pytest.param(patched(FILE, "offset", 7, where=[CENTRAL]), id="a file that is elsewhere"),
        pytest.param(patched(FILE, "offset", 0xFFFFFFF0, where=[CENTRAL]), id="a file beyond the end"),
        pytest.param(patched(FILE, "size", 5_000_000, where=[CENTRAL]), id="a file said to be larger"),
        pytest.param(patched(DEFLATED, "size", 5_000_000), id="a packed file said to be larger"),
        pytest.param(patched(DEFLATED, "size", 3), id="a packed file said to be smaller"),
        pytest.param(patched(DEFLATED, "packed", 3), id="a packed file that ends early"),
        pytest.param(DEFLATED[:40] + b"\xff\xff\xff\xff" + DEFLATED[44:], id="a packed file that cannot be unpacked"),
        pytest.param(packed((link("l"), "")), id="a link to nothing"),
        pytest.param(packed((link("l"), "a\0b")), id="a link with a zero in its target"),
        pytest.param(packed((link("l"), b"\xff")), id="a link whose target is no text"),
        pytest.param(packed((link("l"), "a/" * 2048)), id="a link whose target is too long"),
        pytest.param(packed(("a" * 256, "")), id="a name too long"),
        pytest.param(packed(("ü" * 128, "")), id="a name too long in bytes"),
        pytest.param(packed(("/".join(["a" * 200] * 21), "")), id="a path too long"),
        pytest.param(packed(("a/" * (DEEPEST + 1), "")), id="too many folders"),
    ],
)
def test_an_archive_that_cannot_be_unpacked_is_refused_when_it_comes(tmp_path: Path, data: bytes) -> None:
    fault = refused(CodeStore(tmp_path), data)

    assert (fault.status, fault.code) == (400, "InvalidParameterValueException")
    assert fault.message == "Could not unzip uploaded file. Please check your file, then try to upload again."
    assert list(tmp_path.rglob("*.*")) == []


@settings(max_examples=200, deadline=None)
@given(data=st.data(), is_deflated=st.booleans())
def test_whatever_is_kept_can_be_unpacked(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, is_deflated: bool
) -> None:
    whole = packed(
        ("app.py", "x = 1\n"),
        ("d/", ""),
        (link("k"), "d"),
        ("k/t.py", "y" * 20),
        method=zipfile.ZIP_DEFLATED if is_deflated else zipfile.ZIP_STORED,
    )
    changed = bytearray(whole)
    for place, byte in data.draw(
        st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)), min_size=1, max_size=3)
    ):
        changed[place] = byte
    store = CodeStore(tmp_path_factory.mktemp("store"))
    try:
        key = store.keep(bytes(changed)).key
    except AwsFault:
        return

    assert key is not None
    assert asyncio.run(store.unpacked(key)).is_dir()


@pytest.mark.parametrize("data", [packed(), b""], ids=["no entries", "no bytes"])
def test_an_empty_archive_is_refused(tmp_path: Path, data: bytes) -> None:
    fault = refused(CodeStore(tmp_path), data)

    assert (fault.status, fault.code) == (400, "InvalidParameterValueException")
    assert fault.message == "Uploaded file must be a non-empty zip"


def test_sizes_are_looked_at_before_anything_is_unpacked(tmp_path: Path) -> None:
    data = patched(FILE.replace(b"x = 1", b"x = 2", 1), "size", LARGEST_UNZIPPED + 1)

    assert (refused(CodeStore(tmp_path), data).message or "").startswith("Unzipped size must be smaller than")


def test_content_that_is_there_already_is_not_read_again(tmp_path: Path) -> None:
    store = CodeStore(tmp_path)
    damaged = FILE.replace(b"x = 1", b"x = 2", 1)
    path = store.archive(hashlib.sha256(damaged).hexdigest())
    path.parent.mkdir()
    path.write_bytes(damaged)
    before = path.stat()

    code = store.keep(damaged)

    assert code.key == path.stem
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_names_and_paths_as_long_as_can_be_are_kept(tmp_path: Path) -> None:
    store = CodeStore(tmp_path)
    deep = "/".join(["d"] * (DEEPEST - 1))

    folder = unpacked(store, packed(("ü" * 127 + "a", "1"), (f"{deep}/app.py", "2"), (link("l"), "a/" * 2047)))

    assert (folder / deep / "app.py").read_text() == "2"
    assert (folder / ("ü" * 127 + "a")).read_text() == "1"
    folders.remove(tmp_path / "code")
    assert not folder.exists()


@pytest.mark.parametrize(
    ("entries", "files"),
    [
        ([("a", "1"), ("a/b", "2")], {"a/b": "2"}),
        ([("a/b", "1"), ("a", "2")], {"a": "2"}),
        ([("a/b/c", "1"), ("a", "2"), ("a/d", "3")], {"a/d": "3"}),
        ([("a", "1"), ("a/", "")], {}),
        ([("a\\b", "1"), ("a\\", "")], {"a/b": "1"}),
        ([(link("a"), "nowhere"), ("a/b", "1")], {"a/b": "1"}),
        ([(link("a"), "a"), ("a/b", "1")], {"a/b": "1"}),
        ([(link("a"), "b"), (link("b"), "a"), ("a/c", "1"), ("b/c", "2")], {"a/c": "2"}),
        ([(link("a"), "x" * 300), ("a/b", "1")], {"a/b": "1"}),
        ([("d/", ""), (link("a"), "d"), ("a/b", "1")], {"d/b": "1"}),
        ([(link("a"), "."), ("a/a/b", "1")], {"b": "1"}),
        ([("d/b", "1"), ("d/c", "2"), (link("d"), "e")], {}),
        ([("d/b", "1"), (link("d/./b"), "c"), ("d//b", "2")], {"d/b": "2"}),
    ],
)
def test_what_comes_later_replaces_what_is_in_its_way(
    tmp_path: Path, entries: Sequence[tuple[str | zipfile.ZipInfo, str]], files: dict[str, str]
) -> None:
    store = CodeStore(tmp_path)

    one = unpacked(store, packed(*entries))
    several = layered(store, *(packed(entry) for entry in entries))

    for folder in (one, several):
        found = {
            str(Path(parent, name).relative_to(folder)): Path(parent, name).read_text()
            for parent, _, names in os.walk(folder)
            for name in names
            if not Path(parent, name).is_symlink()
        }
        assert found == files


def test_a_layer_s_file_does_not_go_through_another_s_link_to_elsewhere(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    folder = layered(
        CodeStore(tmp_path / "store"),
        packed((link("a"), str(elsewhere)), ("b", "1")),
        packed(("a/c", "2"), ("a/d/", "")),
    )

    assert (folder / "b").read_text() == "1"
    assert list(elsewhere.iterdir()) == []


def test_an_archive_kept_unlooked_at_that_cannot_be_unpacked_is_told_as_lambda_does(tmp_path: Path) -> None:
    store = CodeStore(tmp_path)
    key = kept_anyway(store, FILE.replace(b"x = 1", b"x = 2", 1))

    with pytest.raises(AwsFault) as caught:
        asyncio.run(store.unpacked(key))

    assert (caught.value.status, caught.value.code) == (502, "InvalidZipFileException")
    assert caught.value.message == "Lambda could not unzip the deployment package."
    assert list((tmp_path / "code").iterdir()) == []


@pytest.mark.parametrize("kind", ["code", "opt"])
def test_what_is_wrong_with_the_machine_is_told_and_the_next_call_tries_again(
    tmp_path: Path, kind: Literal["code", "opt"]
) -> None:
    store = CodeStore(tmp_path)
    key = store.keep(FILE).key
    assert key is not None
    in_the_way = tmp_path / kind
    in_the_way.write_text("no folder")

    async def tried_twice() -> Path | None:
        with pytest.raises(AwsFault) as caught:
            await (store.unpacked(key) if kind == "code" else store.layered([key]))
        assert (caught.value.status, caught.value.code) == (500, "ServiceException")
        assert (caught.value.message or "").startswith("The code could not be unpacked by the local AWS: ")
        in_the_way.unlink()
        return await (store.unpacked(key) if kind == "code" else store.layered([key]))

    folder = asyncio.run(tried_twice())

    assert folder is not None
    assert (folder / "app.py").exists()


def test_an_archive_that_is_gone_is_told(tmp_path: Path) -> None:
    store = CodeStore(tmp_path)
    key = store.keep(FILE).key
    assert key is not None
    store.archive(key).unlink()

    with pytest.raises(AwsFault, match="The code could not be unpacked by the local AWS: No such file or directory"):
        asyncio.run(store.unpacked(key))


def test_an_archive_that_cannot_be_written_is_told_and_can_be_kept_later(tmp_path: Path) -> None:
    store = CodeStore(tmp_path)
    store.archives.write_text("no folder")

    fault = refused(store, FILE)
    store.archives.unlink()

    assert (fault.status, fault.code) == (500, "ServiceException")
    assert (fault.message or "").startswith("The code could not be kept by the local AWS: ")
    assert (unpacked(store, FILE) / "app.py").exists()
