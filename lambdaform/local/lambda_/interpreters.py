"""The interpreters of this machine that run functions, beside the one the local AWS itself runs under.

Found by name only, so nothing is started to look for them: on the PATH, and where pyenv and uv keep theirs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

import attrs

_SYSTEM = ("/usr/", "/bin/", "/lib/", "/nix/", "/gnu/")
"""What handlers see of this machine's folders, at the same place."""
_PYTHON = re.compile(r"python(3\.\d+)")
_JAVA = re.compile(r'^JAVA_VERSION="(?:1\.)?(\d+)', re.MULTILINE)


@attrs.frozen
class Interpreter:
    """One interpreter."""

    program: str
    """Its file, links followed."""
    inside: str
    """Its file as a handler in Lambda's file system sees it."""
    prefix: str
    """The folder that holds it with its libraries."""
    shown_at: str | None
    """Where that folder is mounted for handlers; None where it is seen anyway."""


@cache
def pythons() -> Mapping[str, Interpreter]:
    """Interpreters by version, such as `3.13`; of several that pyenv or uv have of one version the newest."""
    found: dict[str, Interpreter] = {}
    for folder in _python_folders():
        for path in _entries(folder, "python3.*"):
            named = _PYTHON.fullmatch(path.name)
            if named is not None and named[1] not in found and _is_program(path):
                found[named[1]] = _interpreter(path, f"/var/lang{named[1]}")
    return found


@cache
def node() -> Interpreter | None:
    """Node.js, where it is installed."""
    for folder in _path():
        path = folder / "node"
        if _is_program(path):
            return _interpreter(path, "/var/lang-nodejs")
    return None


@cache
def ruby() -> Interpreter | None:
    """Ruby, where it is installed; of several that rbenv has the newest."""
    for folder in (*_path(), *_kept(".rbenv/versions")):
        path = folder / "ruby"
        if _is_program(path):
            # At its own place: it knows its library by the path it was built for.
            return _interpreter(path, None)
    return None


@cache
def javas() -> Mapping[int, Interpreter]:
    """Java by major version, such as 21: on the PATH, where Linux systems keep them, and by SDKMAN."""
    found: dict[int, Interpreter] = {}
    kept = (Path("/usr/lib/jvm"), _home() / ".sdkman" / "candidates" / "java")
    folders = [each / "bin" for root in kept for each in _entries(root, "*")]
    for folder in (*_path(), *folders):
        path = folder / "java"
        if _is_program(path):
            release = Path(os.path.realpath(path)).parents[1] / "release"
            named = _JAVA.search(release.read_text()) if release.is_file() else None
            if named is not None and int(named[1]) not in found:
                found[int(named[1])] = _interpreter(path, f"/var/lang-java{named[1]}")
    return found


def java(wanted: int) -> Interpreter | None:
    """The Java to run a version's classes: that one, else the next newer, else the newest there is."""
    found = javas()
    newer = [each for each in sorted(found) if each >= wanted]
    return found[newer[0]] if newer else found[max(found)] if found else None


@cache
def dotnets() -> Mapping[int, Interpreter]:
    """.NET by the major versions of its runtimes, such as 8: by DOTNET_ROOT, on the PATH, and where it is installed."""
    root = os.environ.get("DOTNET_ROOT")
    kept = [Path(each, "dotnet") for each in ("/usr/share", "/usr/lib", "/usr/lib64", "/usr/local/share")]
    return dotnets_in([*([Path(root)] if root else []), *_path(), *kept, _home() / ".dotnet"])


def dotnets_in(folders: Iterable[Path]) -> Mapping[int, Interpreter]:
    """.NET's host in some folders by the versions of the runtimes beside it; the first that has one counts."""
    found: dict[int, Interpreter] = {}
    for folder in folders:
        path = Path(os.path.realpath(folder / "dotnet"))
        if not path.is_file() or not os.access(path, os.X_OK):
            continue
        for runtime in _entries(path.parent / "shared" / "Microsoft.NETCore.App", "*"):
            major = runtime.name.partition(".")[0]
            if major.isdigit() and int(major) not in found:
                found[int(major)] = _interpreter(path, f"/var/lang-dotnet{major}", prefix=path.parent)
    return found


def dotnet(wanted: int) -> tuple[int, Interpreter] | None:
    """The .NET to run a version's assemblies, and its major version: that one, else the next newer there is."""
    found = dotnets()
    newer = [each for each in sorted(found) if each >= wanted]
    return (newer[0], found[newer[0]]) if newer else None


def shown() -> Mapping[str, str]:
    """Where to mount what, so that handlers find the interpreters: place to folder."""
    every = [*pythons().values(), node(), ruby(), *javas().values(), *dotnets().values()]
    return {each.shown_at: each.prefix for each in every if each is not None and each.shown_at is not None}


def _python_folders() -> Iterable[Path]:
    yield from _path()
    for place in (".pyenv/versions", ".local/share/uv/python"):
        yield from _kept(place)


def _kept(place: str) -> Iterable[Path]:
    """Where a version manager keeps programs, in a folder of the home; the newest first."""
    kept = _entries(_home() / place, "*")
    yield from (each / "bin" for each in sorted(kept, key=_by_number, reverse=True))


def _entries(folder: Path, pattern: str) -> Iterable[Path]:
    """What matches in a folder, in order; nothing where it is missing or not ours to read."""
    try:
        return sorted(folder.glob(pattern))
    except OSError:
        return ()


def _home() -> Path:
    return Path(os.path.expanduser("~"))  # noqa: PTH111 - Path.home() raises where there is none


def _path() -> Iterable[Path]:
    return (Path(each) for each in os.environ.get("PATH", os.defpath).split(os.pathsep) if each)


def _by_number(folder: Path) -> tuple[int, ...]:
    return tuple(int(each) for each in re.findall(r"\d+", folder.name))


def _is_program(path: Path) -> bool:
    """Whether it is a real program: pyenv's shims are scripts that choose by the working folder."""
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError:
        return False
    return os.access(path, os.X_OK) and not start.startswith(b"#!")


def _interpreter(path: Path, place: str | None, *, prefix: Path | None = None) -> Interpreter:
    """An interpreter that is shown at a place, or at its own. Its prefix is the folder above that of its file."""
    program = os.path.realpath(path)
    folder = str(prefix or Path(program).parents[1])
    if program.startswith(_SYSTEM):
        return Interpreter(program, program, folder, None)
    place = place or folder
    return Interpreter(program, f"{place}/{Path(program).relative_to(folder)}", folder, place)
