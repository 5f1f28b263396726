"""A picture as a Mermaid flowchart, for pull requests and pages that draw it themselves.

https://mermaid.js.org/syntax/flowchart.html
"""

from __future__ import annotations

import re

from lambdaform.render.picture import Look, Picture

_SHAPES = {
    "compute": ('["', '"]'),
    "messaging": ('(["', '"])'),
    "data": ('[("', '")]'),
    "time": ('{{"', '"}}'),
    "edge": ('[/"', '"/]'),
    "layer": ('["', '"]'),
}


def mermaid_of(picture: Picture) -> str:
    """Mermaid text."""
    lines = ["flowchart LR"]
    for tile in picture.tiles:
        left, right = _SHAPES[tile.family]
        lines.append(f"    {_id(tile.id)}{left}{_text(tile.name)}<br/><small>{_text(tile.word)}</small>{right}")
    for arrow in picture.arrows:
        line = {Look.EVENT: "-->", Look.USE: "-.->", Look.FAILURE: "==>"}[arrow.look]
        label = f"|{_text(arrow.label)}|" if arrow.label else ""
        lines.append(f"    {_id(arrow.tail)} {line}{label} {_id(arrow.head)}")
    return "\n".join(lines) + "\n"


def _id(address: str) -> str:
    return re.sub(r"[^A-Za-z0-9]", "_", address)


def _text(text: str) -> str:
    """Text that cannot end its quotes or start a tag."""
    return text.replace("&", "&amp;").replace('"', "#quot;").replace("<", "&lt;").replace(">", "&gt;")
