"""DOT to SVG or PNG: with the renderer that comes with lambdaform, else with a `dot` on PATH.

The renderer is graphviz-pure: Graphviz's own code as one program in a wheel, with the same picture on every machine.
"""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
from pathlib import Path

from lambdaform.model.problem import LambdaformError


def renderer() -> str | None:
    """The program that draws; None when there is none."""
    scripts = Path(sysconfig.get_path("scripts"))
    for name in ("graphviz-pure", "graphviz-pure.exe"):
        if (scripts / name).exists():
            return str(scripts / name)
    return shutil.which("graphviz-pure") or shutil.which("dot")


def draw(dot: str, form: str) -> bytes:
    """An SVG or PNG of DOT text. Raises `LambdaformError` when nothing can draw it."""
    program = renderer()
    if program is None:
        raise LambdaformError(
            "there is no renderer for pictures on this machine",
            hint="write --format dot or mermaid instead, or install graphviz-pure from PyPI",
        )
    result = subprocess.run([program, f"-T{form}"], input=dot.encode(), capture_output=True, check=False)
    if result.returncode or not result.stdout:
        said = result.stderr.decode(errors="replace").strip()
        raise LambdaformError(f"{Path(program).name} could not draw the picture: {said or 'it said nothing'}")
    return result.stdout
