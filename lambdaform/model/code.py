"""Code as a declaration: which folder, jar or zip goes to Lambda, with which requirements.

Plain values shared between functions; `lambdaform.packaging` turns them into archives.
"""

from pathlib import Path

import attrs

from lambdaform.model.source import Source, caller
from lambdaform.model.units import items
from lambdaform.model.value import Value


def _optional_path(value: str | Path | None) -> str | None:
    return None if value is None else str(value)


@attrs.frozen(eq=False)
class Code:
    """Files for a function or a layer, taken as they are: a folder, a `.jar` or a `.zip`.

    Paths are relative to the file the declaration is written in. Folders are zipped the same way on every machine;
    `exclude` takes patterns as in a .gitignore file, besides the ones that never belong in a package
    (`.git`, `__pycache__`, `.venv`, `.env` and the like).
    """

    path: str | None = attrs.field(default=None, converter=_optional_path)
    """A folder, or a ready-made `.zip` or `.jar` file."""
    exclude: tuple[str, ...] = attrs.field(default=(), converter=items, kw_only=True)
    """Patterns of files to leave out, in the form of a .gitignore file."""
    where: Source = attrs.field(init=False, factory=caller, repr=False)

    def folder(self) -> Path | None:
        """The absolute path of `path`."""
        return None if self.path is None else self.where.folder / Path(self.path).expanduser()


@attrs.frozen(eq=False)
class PythonCode(Code):
    """Python source, third-party packages, or both.

    `requirements` is a requirements file; `project` a folder with `pyproject.toml` and `uv.lock`, whose locked
    dependencies are installed. Wheels are chosen for the function's Python and architecture, without Docker.
    """

    requirements: str | None = attrs.field(default=None, converter=_optional_path, kw_only=True)
    """A requirements file, relative to the file the declaration is written in."""
    project: str | None = attrs.field(default=None, converter=_optional_path, kw_only=True)
    """A folder with `pyproject.toml` and `uv.lock`."""
    groups: tuple[str, ...] = attrs.field(default=(), converter=items, kw_only=True)
    """Dependency groups of `project` to install besides its dependencies."""

    def requirements_file(self) -> Path | None:
        """The absolute path of `requirements`."""
        return None if self.requirements is None else self.where.folder / self.requirements

    def project_folder(self) -> Path | None:
        """The absolute path of `project`."""
        return None if self.project is None else self.where.folder / self.project


@attrs.frozen(eq=False, repr=False)
class Build(Value):
    """One archive to make: which code, for which runtime and architecture, and under which folder of the archive."""

    code: Code
    runtime: str
    architecture: str
    prefix: str = ""
    """Where in the archive the files stand: `python` for a Python layer, empty for a function."""


@attrs.frozen(eq=False, repr=False)
class PackedFile(Value):
    """One file of a package."""

    path: str
    """As it stands in the archive, with forward slashes."""
    size: int
    sha256: str
    executable: bool


@attrs.frozen(eq=False, repr=False)
class Package(Value):
    """What a build came to: its contents, and how to get the archive of them.

    `hash` is over the list of contents (paths, modes, hashes), not over the archive: it is the same on every machine
    whatever its zlib, so it is identity and diff.
    """

    hash: str
    files: tuple[PackedFile, ...]
    unzipped: int
    """Bytes of all files together."""
    archive: Path | None = None
    """The zip, once it has been made."""

    def manifest(self) -> dict[str, str]:
        """Path to hash, for a diff by file."""
        return {file.path: file.sha256 for file in self.files}
