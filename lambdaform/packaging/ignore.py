"""What stays out of packages: secrets, caches and version control always, and what the user's patterns name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lambdaform.model.problem import Problem, Severity
from lambdaform.model.source import Source

IGNORE_FILE = ".lambdaformignore"
NEVER = frozenset(
    {
        ".git", ".hg", ".svn", "__pycache__", ".venv", ".lambdaform", ".mypy_cache", ".pytest_cache", ".ruff_cache",
        ".hypothesis", ".tox", ".nox", ".idea", ".vscode", ".DS_Store", "Thumbs.db", IGNORE_FILE, ".gitignore",
    }
)  # fmt: skip
"""Names that never belong in a package, wherever they stand."""


def never(name: str) -> bool:
    """Whether a file or folder of this name stays out of every package."""
    return name in NEVER or name.startswith(".env") or name.endswith((".pyc", ".pyo"))


def is_environment(folder: str) -> bool:
    """Whether a folder is a virtual environment of this machine, whatever it is called."""
    return Path(folder, "pyvenv.cfg").is_file()


def matcher(
    root: Path, exclude: tuple[str, ...], where: Source, problems: list[Problem]
) -> Callable[[str], bool] | None:
    """Which paths the user leaves out, by the folder's ignore file and then by `exclude`; None when nothing is named.

    Later patterns win, so a declaration can take back with `!` what the file leaves out. As in git, nothing comes
    back from inside a folder that is left out. Folders are asked for with a slash at the end.
    """
    patterns: list[str] = []
    ignore_file = root / IGNORE_FILE
    if ignore_file.is_file():
        try:
            patterns += ignore_file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            what, hint = f"{ignore_file} cannot be read: {error}", "give access to it, and save it as UTF-8"
            problems.append(Problem("code-unreadable", Severity.ERROR, "", where, what, hint=hint))
    patterns += exclude
    return match_patterns(patterns, where, problems) if patterns else None


def match_patterns(patterns: list[str], where: Source, problems: list[Problem]) -> Callable[[str], bool] | None:
    """Whether a path is matched by patterns in the form of a .gitignore file."""
    import pathspec  # only who leaves something out waits for it

    try:
        return pathspec.GitIgnoreSpec.from_lines(patterns).match_file
    except ValueError as error:  # of which pathspec's own error is one
        problems.append(
            Problem(
                "exclude-pattern",
                Severity.ERROR,
                "",
                where,
                "a pattern of files to leave out cannot be read",
                given=str(error),
                allowed="patterns as in a .gitignore file",
                hint=f"correct it in exclude or in {IGNORE_FILE}",
            )
        )
        return None
