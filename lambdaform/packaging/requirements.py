"""Reads what Python code asks for: requirements files, and projects with their lock. Nothing is installed here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import attrs

from lambdaform.model.code import Build, PythonCode
from lambdaform.model.problem import Problem, Severity
from lambdaform.model.runtimes import RUNTIMES
from lambdaform.model.value import Value

# What each Amazon Linux's C library takes. That of Amazon Linux 2 is 2.26, and the nearest tag at or below it that uv
# knows is 2.17, which is what manylinux2014 means.
# https://docs.aws.amazon.com/linux/al2023/ug/compare-with-al2.html
_MANYLINUX = {2023: "manylinux_2_34", 2: "manylinux2014", 1: "manylinux2014"}
_INCLUDED = r"(?m)^\s*(?:-r|-c|--requirement|--constraint)[ =]*(\S+)"
_LOCAL = r"(?m)^\s*(?:(?:-f|--find-links)[ =]*(\S+)|(?:[^#\n]*@\s*)?(?:file:(?://)?)?(\S+\.whl))"


@attrs.frozen(eq=False, repr=False)
class Target(Value):
    """Which Python and processor wheels are for."""

    python: str
    platform: str

    @property
    def architecture(self) -> str:
        """The processor, as Lambda calls it."""
        return "arm64" if self.platform.startswith("aarch64") else "x86_64"

    def words(self) -> str:
        """For people."""
        return f"CPython {self.python} on {self.architecture} Linux"


@attrs.frozen(eq=False, repr=False)
class Requested:
    """What is to be installed, apart from what it is for."""

    texts: tuple[str, ...]
    """All that decides what is installed: the same texts, the same packages."""
    count: int
    """How many requirements are written down."""
    lines: Mapping[str, str]
    """A package's name to the file and line that asks for it."""
    local: frozenset[str] = frozenset()
    """Packages with wheels in a folder of this machine, which may have been built anew under the same name."""


def needs_installing(build: Build) -> bool:
    """Whether a build has requirements."""
    return isinstance(build.code, PythonCode) and (
        build.code.requirements is not None or build.code.project is not None
    )


def target_of(build: Build) -> Target:
    """The wheels that a build's runtime and architecture take."""
    runtime = RUNTIMES.get(build.runtime)
    version = runtime.version if runtime else "3.13"
    processor = "aarch64" if build.architecture == "arm64" else "x86_64"
    return Target(version, f"{processor}-{_MANYLINUX[runtime.amazon_linux if runtime else 2023]}")


def canonical(name: str) -> str:
    """A package's name in the one spelling that indexes use."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_requested(code: PythonCode, problems: list[Problem]) -> Requested:
    """What Python code asks for. Files that are missing or cannot be read become problems."""
    texts: list[str] = []
    wheels: list[str] = []
    lines: dict[str, str] = {}
    count = 0
    file = code.requirements_file()
    if file is not None:
        todo, seen = [file], {file}
        while todo:
            path = todo.pop(0)
            text = _read(path, "requirements", code, problems)
            texts.append(text)
            for number, name in _requirements(text):
                lines.setdefault(canonical(name), f"{path.name}:{number}")
                count += 1
            problems.extend(_editables(text, path, code))
            wheels += _local_wheels(text, path.parent)
            for found in re.findall(_INCLUDED, text):
                nested = path.parent / found
                if "://" not in found and "$" not in found and nested not in seen:  # uv fetches and fills in the others
                    seen.add(nested)
                    todo.append(nested)
    folder = code.project_folder()
    if folder is not None:
        texts.append(_read(folder / "pyproject.toml", "requirements", code, problems))
        texts.append(_read(lock_of(folder), "lock", code, problems))
    local = frozenset(canonical(wheel.partition("-")[0]) for wheel in wheels)
    return Requested((*texts, *wheels, *code.groups), count, lines, local)


def lock_of(folder: Path) -> Path:
    """The lock of a project: its own, or that of the workspace it is a member of."""
    own = folder / "uv.lock"
    if own.exists():
        return own
    for above in folder.resolve().parents:
        if (above / "uv.lock").exists() and (above / "pyproject.toml").exists():
            return above / "uv.lock"
    return own


def check_lock(code: PythonCode, target: Target, problems: list[Problem]) -> None:
    """Find out, without a network or a Python of that version, whether a project's lock is still the project's.

    uv's own check wants an interpreter of the project's version. This one compares what the project asks for with what
    the lock says it was made from, and says nothing where it cannot tell.
    """
    import tomllib

    folder = code.project_folder()
    if folder is None:
        return
    documents: list[dict[str, Any]] = []
    for path in (folder / "pyproject.toml", lock_of(folder)):
        try:
            documents.append(tomllib.loads(path.read_text(encoding="utf-8")))
        except OSError:
            return  # already told
        except ValueError as error:
            is_lock = path.name == "uv.lock"
            problems.append(
                _problem(
                    "lock-unreadable" if is_lock else "requirements-unreadable",
                    code,
                    f"{path} is no valid TOML: {error}",
                    hint="run uv lock in the project" if is_lock else "correct the line",
                )
            )
            return
    project, lock = documents
    meta = cast(dict[str, Any], project.get("project", {}))
    name = canonical(str(meta.get("name", "")))
    packages = cast(list[dict[str, Any]], lock.get("package", []))
    locked = next((each for each in packages if each.get("name") == name), None)
    if "name" not in meta:
        return
    if locked is None:
        problems.append(_outdated(code, f"{lock_of(folder)} knows no project {name}", None))
        return
    if "dependencies" not in cast(list[str], meta.get("dynamic", [])):
        _compare(code, cast(list[str], meta.get("dependencies", [])), locked, problems)
    _check_python(code, str(meta.get("requires-python", "")), target, problems)
    groups = sorted(cast(dict[str, Any], locked.get("dev-dependencies", {})))
    declared = sorted({*groups, *cast(dict[str, Any], project.get("dependency-groups", {}))})
    for group in code.groups:
        if group not in declared:
            import difflib

            near = difflib.get_close_matches(group, declared, n=1)
            problems.append(
                _problem(
                    "group-missing",
                    code,
                    f"the project has no dependency group {group}",
                    given=group,
                    allowed=", ".join(declared) or "no group: the project has none",
                    hint=f"did you mean {near[0]}?" if near else "add it to [dependency-groups], then run uv lock",
                )
            )


def _compare(code: PythonCode, written: list[str], locked: Mapping[str, Any], problems: list[Problem]) -> None:
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    metadata = cast(dict[str, Any], locked.get("metadata", {}))
    made_from = cast(list[dict[str, Any]], metadata.get("requires-dist", []))
    try:
        asked = {(canonical(r.name), r.specifier) for r in map(Requirement, written)}
        known = {
            (str(each["name"]), SpecifierSet(str(each.get("specifier", ""))))
            for each in made_from
            if "extra ==" not in str(each.get("marker", ""))
        }
    except (InvalidRequirement, InvalidSpecifier, KeyError):
        return  # uv tells it better
    if asked != known:
        differing = sorted({f"{name}{specifier}" for name, specifier in asked ^ known})
        problems.append(_outdated(code, "the lock is older than the project's dependencies", ", ".join(differing)))


def _check_python(code: PythonCode, wanted: str, target: Target, problems: list[Problem]) -> None:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        # Any release of that version will do, so the highest stands for all of them.
        fits = not wanted or SpecifierSet(wanted).contains(f"{target.python}.999")
    except InvalidSpecifier:
        return
    if not fits:
        problems.append(
            _problem(
                "project-python",
                code,
                f"the project does not support Python {target.python}, which the function runs",
                given=target.python,
                allowed=f"requires-python = {wanted!r}",
                hint="choose another runtime, or widen requires-python and run uv lock",
            )
        )


def _requirements(text: str) -> list[tuple[int, str]]:
    """Line and name (or address) of each requirement in a requirements file."""
    found: list[tuple[int, str]] = []
    is_continued = False
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r"\s*([A-Za-z0-9][\w.\-]*|[^\s\-#]\S*)", line)
        if match and not is_continued:
            found.append((number, match[1]))
        is_continued = line.rstrip().endswith("\\")
    return found


def _editables(text: str, path: Path, code: PythonCode) -> list[Problem]:
    """An editable requirement installs no files, only the way to a folder of this machine."""
    return [
        _problem(
            "requirements-local",
            code,
            f"{path.name}:{number} asks for an editable package, which would stay on this machine",
            given=line.strip(),
            allowed="packages with wheels",
            hint="put its folder's packages into the code folder, or build a wheel of it with uv build",
        )
        for number, line in enumerate(text.splitlines(), 1)
        if re.match(r"\s*(?:-e|--editable)[ =]", line)
    ]


def _local_wheels(text: str, folder: Path) -> list[str]:
    """Wheels on this machine that a requirements file names, dated: another build of one is another wheel."""
    found: list[str] = []
    for links, wheel in re.findall(_LOCAL, text):
        path = folder / (links or wheel).removeprefix("file://")
        for each in sorted(path.glob("*.whl")) if path.is_dir() else [path]:
            try:
                stat = each.stat()
            except OSError:
                continue  # uv says what is missing
            found.append(f"{each.name} {stat.st_size} {stat.st_mtime_ns}")
    return found


def _read(path: Path, kind: str, code: PythonCode, problems: list[Problem]) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        hint = "correct the path; it is relative to the file it is written in"
        hint = "run uv lock in the project" if kind == "lock" else hint
        problems.append(_problem(f"{kind}-missing", code, f"{path} does not exist", hint=hint))
    except (OSError, UnicodeDecodeError) as error:
        hint = "give access to it, and save it as UTF-8"
        problems.append(_problem(f"{kind}-unreadable", code, f"{path} cannot be read: {error}", hint=hint))
    return ""


def _outdated(code: PythonCode, what: str, given: str | None) -> Problem:
    return _problem("lock-outdated", code, what, given=given, hint="run uv lock in the project")


def _problem(
    rule: str, code: PythonCode, what: str, *, given: str | None = None, allowed: str | None = None, hint: str
) -> Problem:
    return Problem(rule, Severity.ERROR, "", code.where, what, given=given, allowed=allowed, hint=hint)
