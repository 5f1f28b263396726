"""Installs requirements for Lambda's Python and processor, on any machine, without Docker: uv chooses the wheels.

https://docs.aws.amazon.com/lambda/latest/dg/python-package.html
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import attrs

from lambdaform.model.code import Build, PythonCode
from lambdaform.model.problem import Invalid, LambdaformError, Problem, Severity
from lambdaform.model.runtimes import RUNTIMES
from lambdaform.model.source import Source

# What each Amazon Linux's C library takes: 2.34 on Amazon Linux 2023, 2.26 (served by the 2.17 tag) on Amazon Linux 2.
_MANYLINUX = {2023: "manylinux_2_34", 2: "manylinux2014", 1: "manylinux2014"}
# A record of how an installation was made, different on every machine, and nothing that runs in Lambda reads it.
_LEAVINGS = ("INSTALLER", "RECORD", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json")


@attrs.frozen
class Target:
    """Which Python and processor wheels are for."""

    python: str
    platform: str

    def words(self) -> str:
        """For people."""
        processor = "arm64" if self.platform.startswith("aarch64") else "x86_64"
        return f"CPython {self.python} on {processor} Linux"


def target_of(build: Build) -> Target:
    """The wheels that a build's runtime and architecture take."""
    runtime = RUNTIMES.get(build.runtime)
    version = runtime.version if runtime else "3.13"
    processor = "aarch64" if build.architecture == "arm64" else "x86_64"
    return Target(version, f"{processor}-{_MANYLINUX[runtime.amazon_linux if runtime else 2023]}")


def needs_installing(build: Build) -> bool:
    """Whether a build has requirements."""
    return isinstance(build.code, PythonCode) and (
        build.code.requirements is not None or build.code.project is not None
    )


class Wheels:
    """Installed requirements in a cache keyed by what was asked for, so each set is installed once."""

    def __init__(self, cache: Path, *, say: Callable[[str], None], offline: bool) -> None:
        self._cache = cache
        self._say = say
        self._offline = offline

    def ready(self, build: Build) -> Path | None:
        """The folder of a build's requirements if it is in the cache. Raises `Invalid` for files that are missing."""
        folder = self._folder(build, self._requested(build))
        return folder if folder.is_dir() else None

    def installed(self, build: Build) -> Path:
        """The folder of a build's requirements, installed now when it is not in the cache.

        Raises `Invalid` when a file is missing or no wheel fits, `LambdaformError` when the world fails.
        """
        requested = self._requested(build)
        folder = self._folder(build, requested)
        if folder.is_dir():
            return folder
        target = target_of(build)
        self._say(f"installing requirements for {target.words()}")
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            part = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".part-"))
        except OSError as error:
            raise LambdaformError(f"the cache {folder.parent} cannot be written: {error.strerror or error}") from error
        try:
            self._install(build, requested, target, part)
            _tidy(part)
            try:
                part.rename(folder)
            except OSError:
                if not folder.is_dir():  # else another process was quicker, with the same result
                    raise
        except OSError as error:
            raise LambdaformError(
                f"requirements cannot be installed to {folder}: {error.strerror or error}", hint="make room"
            ) from error
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return folder

    def _requested(self, build: Build) -> str:
        code = build.code
        assert isinstance(code, PythonCode)
        texts: list[str] = []
        problems: list[Problem] = []
        requirements, project = code.requirements_file(), code.project_folder()
        if requirements is not None:
            texts.append(_read(requirements, "requirements-missing", code.where, problems))
            for nested in re.findall(r"^\s*(?:-r|-c|--requirement|--constraint)[ =]+(\S+)", texts[-1], re.MULTILINE):
                texts.append(_read(requirements.parent / nested, "requirements-missing", code.where, problems))
        if project is not None:
            texts.append(_read(project / "pyproject.toml", "requirements-missing", code.where, problems))
            texts.append(_read(project / "uv.lock", "lock-missing", code.where, problems))
        if problems:
            raise Invalid(problems)
        return "\0".join([*texts, *code.groups])

    def _folder(self, build: Build, requested: str) -> Path:
        target = target_of(build)
        key = hashlib.sha256(f"{requested}\0{target.python}\0{target.platform}".encode()).hexdigest()[:32]
        return self._cache / "wheels" / key

    def _install(self, build: Build, requested: str, target: Target, folder: Path) -> None:
        code = build.code
        assert isinstance(code, PythonCode)
        uv = _uv()
        files: list[str] = []
        exported: Path | None = None
        if (requirements := code.requirements_file()) is not None:
            files += ["-r", str(requirements)]
        if (project := code.project_folder()) is not None:
            exported = folder.with_name(folder.name + ".txt")
            groups = [word for group in code.groups for word in ("--group", group)]
            export = [uv, "export", "--project", str(project), "--frozen", "--no-dev", "--no-emit-project", *groups]
            self._run([*export, "--no-hashes", "-q", "-o", str(exported)], code.where, target, "lock-unreadable")
            files += ["-r", str(exported)]
        command = [uv, "pip", "install", "--target", str(folder), "--python-version", target.python]
        command += ["--python-platform", target.platform, "--only-binary", ":all:", "--link-mode", "copy"]
        command += ["--no-compile-bytecode", "-q", *(["--offline"] if self._offline else []), *files]
        try:
            self._run(command, code.where, target, "no-wheel")
        finally:
            if exported is not None:
                exported.unlink(missing_ok=True)

    def _run(self, command: list[str], where: Source, target: Target, rule: str) -> None:
        result = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if result.returncode == 0:
            return
        text = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", result.stderr).split())
        text = re.sub(r"^[×x] ?|error: ", "", text)
        if re.search(r"Failed to fetch|dns error|Could not connect|error sending request", text):
            raise LambdaformError(
                f"requirements for {target.words()} cannot be downloaded: {text[:600]}",
                hint="check the network and the package index; what is in the cache needs neither",
            )
        raise Invalid(
            [
                Problem(
                    rule,
                    Severity.ERROR,
                    "",
                    where,
                    f"the requirements cannot be installed for {target.words()}",
                    given=text[:900],
                    hint="choose versions that publish wheels for it, another architecture, or another runtime"
                    if rule == "no-wheel"
                    else "run uv lock in the project",
                )
            ]
        )


def _uv() -> str:
    from uv import find_uv_bin

    try:
        return str(find_uv_bin())
    except FileNotFoundError as error:
        found = shutil.which("uv")
        if found:
            return found
        raise LambdaformError(
            "uv, which installs requirements, is not there", hint="install lambdaform again, or pip install uv"
        ) from error


def _read(path: Path, rule: str, where: Source, problems: list[Problem]) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read: {error}"
        hint = (
            "run uv lock in the project" if rule == "lock-missing" else "correct the path; it is relative to this file"
        )
        problems.append(Problem(rule, Severity.ERROR, "", where, f"{path} {reason}", hint=hint))
        return ""


def _tidy(folder: Path) -> None:
    """Remove what differs from machine to machine: scripts with this machine's Python in them, records, locks."""
    shutil.rmtree(folder / "bin", ignore_errors=True)
    (folder / ".lock").unlink(missing_ok=True)
    for path in list(folder.rglob("*")):
        if path.name == "__pycache__" and path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.parent.name.endswith(".dist-info") and path.name in _LEAVINGS:
            path.unlink()
