"""Writes the pages and the picture that are made from the code: `python docs/make.py`."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from lambdaform.cli.init import init
from lambdaform.cli.program import EXIT_CODES, LazyGroup
from lambdaform.render.reference import (
    NOTE,
    commands_page,
    differences_section,
    resources_page,
    rules_page,
    values_page,
)

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent))

from tests.conformance.facts import Fact, collected  # noqa: E402 - importable only now


def fidelity_page() -> str:
    """How far the local AWS does what AWS does: one row per conformance test."""
    sections = collected()
    counts = Counter(each.here for facts in sections.values() for each in facts)
    lines = [
        NOTE,
        "# Fidelity\n",
        "What AWS does, and whether the local AWS does it too. Every row is a test in `tests/conformance` that calls",
        "the endpoint through boto3; a row that is not wholly honoured says what is missing.\n",
        f"{counts['honoured']} honoured, {counts['partly']} partly, {counts['not']} not.\n",
    ]
    for title, facts in sections.items():
        lines += [f"## {title}\n", "| setting or behaviour | AWS | here |", "|---|---|---|"]
        lines += [_row(each) for each in facts]
        lines.append("")
    return "\n".join(lines) + "\n" + differences_section()


def _row(fact: Fact) -> str:
    says = f"[{fact.says}]({fact.source})" if fact.source else fact.says
    here = fact.here if fact.here == "honoured" else f"**{fact.here}**: {fact.gap}"
    return f"| {fact.subject} | {says} | {here} |".replace("\n", " ")


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
