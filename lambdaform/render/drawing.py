"""DOT to SVG or PNG: with the renderer that comes with lambdaform, else with a `dot` on PATH.

The renderer is graphviz-pure: Graphviz's own code as one program in a wheel, with the same picture on every machine.
"""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from lambdaform.model.problem import LambdaformError

_PATIENCE = 120


class NoRenderer(LambdaformError):
    """Nothing on this machine can draw."""


def renderers() -> tuple[str, ...]:
    """The programs that draw, the preferred one first."""
    scripts = Path(sysconfig.get_path("scripts"))
    beside = [str(scripts / name) for name in ("graphviz-pure", "graphviz-pure.exe") if (scripts / name).exists()]
    found = [*beside, shutil.which("graphviz-pure"), shutil.which("dot")]
    return tuple(dict.fromkeys(program for program in found if program is not None))


def draw(dot: str, form: str, programs: Sequence[str] | None = None) -> bytes:
    """An SVG or PNG of DOT text. Raises `NoRenderer` when nothing can draw it."""
    said: list[str] = []
    options = ["-Gdpi=144"] if form == "png" else []
    for program in renderers() if programs is None else programs:
        command = [program, f"-T{form}", *options]
        try:
            result = subprocess.run(command, input=dot.encode(), capture_output=True, check=False, timeout=_PATIENCE)
        except (OSError, subprocess.TimeoutExpired) as error:
            said.append(f"{Path(program).name}: {error}")
            continue
        if result.returncode == 0 and result.stdout:
            return result.stdout
        words = result.stderr.decode(errors="replace").strip() or f"gave nothing and ended with {result.returncode}"
        said.append(f"{Path(program).name}: {words}")
    raise NoRenderer(
        "the picture could not be drawn: " + ("; ".join(said) or "there is no renderer on this machine"),
        hint="write --format dot or mermaid instead, or install graphviz-pure from PyPI",
    )
