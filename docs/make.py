"""Writes the pages and the picture that are made from the code: `python docs/make.py`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from lambdaform.cli.init import init
from lambdaform.cli.program import EXIT_CODES, LazyGroup
from lambdaform.render.reference import commands_page, fidelity_page, resources_page, rules_page, values_page

DOCS = Path(__file__).parent


def pages() -> Mapping[str, str]:
    """Path below the docs folder to content."""
    return {
        "reference/resources.md": resources_page(),
        "reference/values.md": values_page(),
        "reference/rules.md": rules_page(),
        "reference/commands.md": commands_page(LazyGroup(name="app.py"), EXIT_CODES, alone=[init]),
        "explanation/fidelity.md": fidelity_page(),
    }


if __name__ == "__main__":
    for path, content in pages().items():
        (DOCS / path).write_text(content, encoding="utf-8")
    picture = ["diagram", "--stage", "dev", "-q", "-o", str(DOCS / "images" / "orders.svg")]
    subprocess.run([sys.executable, str(DOCS.parent / "stacks" / "app.py"), *picture], check=True)
