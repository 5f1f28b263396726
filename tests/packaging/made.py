"""Source trees, wheels and projects made by hand, so that tests of packaging need no network."""

import os
import textwrap
import zipfile
from collections.abc import Sequence
from pathlib import Path

from lambdaform.model.code import Build, Code, PythonCode


def source(folder: Path, *, umask: int = 0o022, mtime: int = 1_000_000_000) -> Path:
    """A small source tree, made under a umask and dated as asked."""
    before = os.umask(umask)
    try:
        (folder / "app").mkdir(parents=True)
        (folder / "app" / "__init__.py").write_text("")
        (folder / "app" / "worker.py").write_text("def handler(event, context): ...\n")
        (folder / "app" / "__pycache__").mkdir()
        (folder / "app" / "__pycache__" / "worker.pyc").write_bytes(os.urandom(8))
        (folder / ".env").write_text("SECRET=hunter2")
        run = folder / "run.sh"
        run.write_text("#!/bin/sh\n")
        run.chmod(0o700)
    finally:
        os.umask(before)
    for path in folder.rglob("*"):
        os.utime(path, (mtime, mtime))
    return folder


def build(code: Code, *, runtime: str = "python3.13", architecture: str = "x86_64", prefix: str = "") -> Build:
    return Build(code, runtime, architecture, prefix)


def wheel(
    folder: Path, name: str, tag: str = "py3-none-any", *, version: str = "1.0", files: dict[str, str] | None = None
) -> Path:
    """A wheel with one module and other files as asked, made by hand."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-{tag}.whl"
    info = f"{name}-{version}.dist-info"
    contents = {
        f"{name}.py": f"TAG = {tag!r}\n",
        **(files or {}),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    with zipfile.ZipFile(path, "w") as made:
        for each, text in contents.items():
            made.writestr(each, text)
        made.writestr(f"{info}/RECORD", "".join(f"{each},,\n" for each in [*contents, f"{info}/RECORD"]))
    return path


def requirements(folder: Path, text: str, *, path: Path | None = None) -> PythonCode:
    """Code with a requirements file that finds packages in `folder/wheels` and nowhere else."""
    file = folder / "requirements.txt"
    file.write_text(f"--no-index\n--find-links {folder / 'wheels'}\n{text}\n")
    return PythonCode(path, requirements=file)


def project(
    folder: Path, *, dependencies: Sequence[str], locked: Sequence[tuple[str, str]], requires: str = ">=3.11"
) -> Path:
    """A project whose lock was made from `locked` (name, specifier), with wheels in `folder/wheels`."""
    folder.mkdir(exist_ok=True)
    (folder / "pyproject.toml").write_text(
        textwrap.dedent(f"""
            [project]
            name = "shop"
            version = "0.1"
            requires-python = "{requires}"
            dependencies = {list(dependencies)!r}

            [tool.uv]
            no-index = true
            find-links = ["wheels"]
        """)
    )
    asked = ", ".join(f'{{ name = "{name}", specifier = "{specifier}" }}' for name, specifier in locked)
    needs = ", ".join(f'{{ name = "{name}" }}' for name, _ in locked)
    wheels = "\n".join(
        textwrap.dedent(f"""
            [[package]]
            name = "{name}"
            version = "1.0"
            source = {{ registry = "wheels" }}
            wheels = [{{ path = "{name}-1.0-py3-none-any.whl" }}]
        """)
        for name, _ in locked
    )
    shop = f"""
[[package]]
name = "shop"
version = "0.1"
source = {{ virtual = "." }}
dependencies = [{needs}]

[package.metadata]
requires-dist = [{asked}]
"""
    (folder / "uv.lock").write_text(f'version = 1\nrevision = 3\nrequires-python = "{requires}"\n{wheels}{shop}')
    return folder
