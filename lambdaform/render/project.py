"""A new project from templates."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from pathlib import Path

from lambdaform.model.problem import LambdaformError

TEMPLATES = Path(__file__).parent / "templates" / "init"
_TAKEN = frozenset({"DeadLetter", "Function", "FunctionUrl", "PythonCode", "Queue", "Stack"})
"""What the template of the stack imports."""
_NAMES = {"gitignore": ".gitignore"}


def project_files(name: str, version: str) -> Mapping[str, str]:
    """Path to content of every file of a new project."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # these become source files, not pages
    )
    words = [word for word in re.split(r"[^A-Za-z0-9]+", name) if word]
    cls = "".join(word[0].upper() + word[1:] for word in words)
    if keyword.iskeyword(cls) or cls in _TAKEN:
        cls += "App"
    values = {
        "name": name,
        "title": " ".join(word.capitalize() for word in words),
        "cls": cls,
        "version": version,
    }
    files: dict[str, str] = {}
    for template in sorted(TEMPLATES.rglob("*.j2")):
        path = template.relative_to(TEMPLATES).as_posix()
        target = path.removesuffix(".j2")
        files[_NAMES.get(target, target)] = environment.get_template(path).render(values)
    return dict(sorted(files.items()))


def write_project(folder: Path, files: Mapping[str, str]) -> None:
    """Write a new project. Raises `LambdaformError` before anything is written when a file is in the way."""
    taken = [path for path in files if (folder / path).exists()]
    if taken:
        raise LambdaformError(
            f"{folder} has files of these names already: {', '.join(taken)}",
            hint="choose an empty folder; nothing was written",
        )
    try:
        for path, content in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(content, encoding="utf-8")
    except OSError as error:
        raise LambdaformError(f"the project cannot be written to {folder}: {error.strerror or error}") from error
