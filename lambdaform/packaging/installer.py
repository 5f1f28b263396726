"""Runs uv, and tells its answers apart: the user's mistakes from a world that fails.

https://docs.aws.amazon.com/lambda/latest/dg/python-package.html
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from lambdaform.model.code import PythonCode
from lambdaform.model.problem import Interrupted, Invalid, LambdaformError, Problem, Severity
from lambdaform.packaging.requirements import Requested, Target, canonical

_NO_WHEEL = re.compile(r"(?:Because |and |that |all versions of )(\S+?)(?:==(\S+))? (?:has|have) no (?:usable )?wheels")
_NO_BUILD = re.compile(r"[Bb]uilding source distributions is disabled, but attempted to build `([^`]+)`")
_NEEDS_WHEEL = re.compile(r"Wheels are required for `([^`]+)`")
_FOUND_TAGS = re.compile(r"we only found wheels for `[^`]+` \(v[^)]*\) with the following ([\w ]+ tags?): (.*)")
_OFFLINE = re.compile(r"network (?:was|is) disabled|[Oo]ffline mode")
_NETWORK = re.compile(
    r"Failed to (?:fetch|download)|dns error|Could not (?:connect|resolve)|error sending request"
    r"|Request failed|timed out"
)
_NO_ROOM = re.compile(r"No space left on device|Disk quota exceeded|\(os error (?:28|122)\)")
_UNREADABLE = re.compile(r"Couldn't parse requirement|Unsupported requirement|Error parsing|Failed to parse")


def install(code: PythonCode, target: Target, folder: Path, requested: Requested, *, offline: bool) -> None:
    """Install what code asks for into an empty folder.

    Raises `Invalid` when no wheel fits or the requirements cannot be met, `LambdaformError` when the world fails.
    """
    lines = requested.lines
    requirements, project = code.requirements_file(), code.project_folder()
    files: list[str] = []
    if requirements is not None:
        files += ["-r", str(requirements)]
    if project is not None:
        locked = folder.with_name("locked.txt")
        locked.write_text(export(code, project, target, lines), encoding="utf-8")
        files += ["-r", str(locked)]
    where_uv_reads_its_settings = project if requirements is None else requirements.parent
    command = ["pip", "install", "--target", str(folder), "--python-version", target.python]
    command += ["--python-platform", target.platform, "--only-binary", ":all:", "--link-mode", "copy"]
    command += ["--no-compile-bytecode", "--no-progress", *(["--offline"] if offline else [])]
    for name in sorted(requested.local) if not offline else ():  # uv refuses both together
        command += ["--refresh-package", name]  # it does not look at the dates of wheels behind --find-links
    if sys.executable:
        # uv wants some Python to ask for paths; ours is there, whatever else is on the machine.
        command += ["--python", sys.executable]
    _run([*command, *files], where_uv_reads_its_settings, code, target, lines)


def export(code: PythonCode, project: Path, target: Target, lines: Mapping[str, str]) -> str:
    """A project's locked dependencies as a requirements file, hashes included. Raises as `install` does."""
    command = ["export", "--frozen", "--offline", "--no-dev", "--no-emit-project", "--no-header", "--no-annotate", "-q"]
    for group in code.groups:
        command += ["--group", group]
    text = _run(command, project, code, target, lines)
    local = re.findall(r"^(?:-e )?((?:\.|/|file:)\S*)", text, re.MULTILINE)
    if local:
        raise Invalid(
            [
                Problem(
                    "requirements-local",
                    Severity.ERROR,
                    "",
                    code.where,
                    "the lock names folders, and only wheels can be installed for another machine",
                    given=", ".join(local),
                    allowed="packages with wheels",
                    hint="put those folders' packages into the code folder, or build wheels of them with uv build",
                )
            ]
        )
    return text


def _run(arguments: list[str], folder: Path | None, code: PythonCode, target: Target, lines: Mapping[str, str]) -> str:
    import subprocess

    environment = {**os.environ, "NO_COLOR": "1", "UV_PYTHON_DOWNLOADS": "never"}
    try:
        result = subprocess.run(
            [_uv(), *arguments],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        raise LambdaformError(
            f"uv, which installs requirements, does not start: {error.strerror or error}",
            hint="install lambdaform again, or pip install uv",
        ) from error
    if result.returncode == 0:
        return result.stdout
    if -result.returncode in (signal.SIGINT, signal.SIGTERM) or result.returncode == 128 + signal.SIGINT:
        raise Interrupted(f"installing requirements for {target.words()} was stopped")
    raise failure(result.stderr, code, target, lines)


def failure(said: str, code: PythonCode, target: Target, lines: Mapping[str, str]) -> LambdaformError:
    """What uv's words on stderr mean: `Invalid` for what the user can mend, another error for the world."""
    text = " ".join(re.sub(r"\x1b\[[0-9;]*m|^Using .* interpreter at: .*$", "", said, flags=re.MULTILINE).split())
    text = re.sub(r"^(?:Resolved .*? )?error: ", "", text)
    for meaning, what, hint in (
        (_OFFLINE, "are not in the cache, and downloading is off", "run it once with the network on"),
        (_NO_ROOM, "cannot be installed: the disk is full", "make room"),
        (_NETWORK, "cannot be downloaded", "check the network and the package index; what is cached needs neither"),
    ):
        if meaning.search(text) and "Hash mismatch" not in text:
            return LambdaformError(f"requirements for {target.words()} {what} ({text[:300]})", hint=hint)
    names = _without_wheel(text)
    if names:
        return Invalid([_no_wheel(name, version, text, code, target, lines) for name, version in names.items()])
    if _UNREADABLE.search(text):
        rule, what, hint = "requirements-unreadable", "the requirements cannot be read", "correct the line"
    elif "No solution found" in text:
        rule = "requirements-unsolvable"
        what = f"no set of packages meets the requirements for {target.words()}"
        hint = "correct the names and versions, or add the index that has them"
    elif "Hash mismatch" in text:
        rule, what = "requirements-hash", "a package is not the one whose hash is written down"
        hint = "find out who changed it; if it is right, lock again"
    else:
        return LambdaformError(
            f"requirements for {target.words()} cannot be installed: {text[:900]}", hint="mend what uv names, run again"
        )
    text = re.sub(r"^No solution found when resolving dependencies:? cause: ", "", text)
    text = text.removesuffix(", we can conclude that your requirements are unsatisfiable.")
    return Invalid([Problem(rule, Severity.ERROR, "", code.where, what, given=text[:900], hint=hint)])


def _without_wheel(text: str) -> dict[str, str | None]:
    """Name to version, when uv names one, of each package that has no wheel for the target."""
    found: dict[str, str | None] = {}
    for name, version in _NO_WHEEL.findall(text):
        plain = re.split(r"[<>=!~\[]", name)[0]
        if plain:
            found.setdefault(canonical(plain), version or None)
    for name in [*_NO_BUILD.findall(text), *_NEEDS_WHEEL.findall(text)]:
        plain, _, version = name.partition("==")
        if canonical(plain.split(" ")[0]) not in found:
            found[canonical(plain.split(" ")[0])] = version or None
    return found


def _no_wheel(
    name: str, version: str | None, text: str, code: PythonCode, target: Target, lines: Mapping[str, str]
) -> Problem:
    tags = _FOUND_TAGS.search(text)
    line = f" ({lines[name]})" if name in lines else ""
    return Problem(
        "no-wheel",
        Severity.ERROR,
        "",
        code.where,
        f"{name}{' ' + version if version else ''}{line} has no wheel for {target.words()}",
        given=f"wheels with the {tags[1]} {tags[2].replace('`', '')}" if tags else None,
        allowed=f"a wheel for cp{target.python.replace('.', '')} and {target.platform}, or for any platform",
        hint=f"choose a version of {name} that has one, another runtime or architecture; "
        f"or build a wheel on such a machine and name its folder with --find-links in the requirements file",
    )


def _uv() -> str:
    from uv import find_uv_bin

    try:
        return str(find_uv_bin())
    except FileNotFoundError as error:
        import shutil

        found = shutil.which("uv")
        if found:
            return found
        raise LambdaformError(
            "uv, which installs requirements, is not there", hint="install lambdaform again, or pip install uv"
        ) from error
