"""A picture as a Mermaid flowchart, for pull requests and pages that draw it themselves.

https://mermaid.js.org/syntax/flowchart.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from lambdaform.render.dot import COLOURS, FAILURE
from lambdaform.render.picture import Arrow, Look, Picture
from lambdaform.render.tiles import Tile

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
    ids = _ids(tile.id for tile in picture.tiles)
    lines = ["flowchart LR"]
    lines += [f"    {ids[tile.id]}{_tile(tile)}" for tile in picture.tiles if tile.group is None]
    for number, group in enumerate(picture.groups):
        lines.append(f'    subgraph g{number}["{_text(group.title)}"]')
        lines += [f"        {ids[tile.id]}{_tile(tile)}" for tile in picture.tiles if tile.group == group.title]
        lines.append("    end")
    for arrow in picture.arrows:
        label = f"|{_quoted(arrow.label)}|" if arrow.label else ""
        lines.append(f"    {ids[arrow.tail]} {_line(arrow)}{label} {ids[arrow.head]}")
    for family in dict.fromkeys(tile.family for tile in picture.tiles):
        fill, ink = COLOURS[family]
        members = ",".join(ids[tile.id] for tile in picture.tiles if tile.family == family)
        lines.append(f"    classDef {family} fill:{fill},stroke:{ink},color:#212121")
        lines.append(f"    class {members} {family}")
    failures = [str(number) for number, arrow in enumerate(picture.arrows) if arrow.look is Look.FAILURE]
    if failures:
        lines.append(f"    linkStyle {','.join(failures)} stroke:{FAILURE},color:{FAILURE}")
    return "\n".join(lines) + "\n"


def _ids(addresses: Iterable[str]) -> dict[str, str]:
    """Address to a word that Mermaid takes; two addresses never share one."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for address in addresses:
        word = re.sub(r"[^A-Za-z0-9]", "_", address)
        while word in taken:
            word += "_"
        taken.add(word)
        found[address] = word
    return found


def _tile(tile: Tile) -> str:
    left, right = _SHAPES[tile.family]
    small = "<br/>".join(_text(line) for line in (tile.word, *tile.lines))
    return f"{left}{_text(tile.name)}<br/><small>{small}</small>{right}"


def _line(arrow: Arrow) -> str:
    match arrow.look:
        case Look.EVENT:
            return "==>"
        case Look.USE:
            return "<-->" if arrow.both else "-->"
        case Look.PART:
            return "---"
        case Look.FAILURE:
            return "-.->"


def _quoted(text: str) -> str:
    return f'"{_text(text)}"'


def _text(text: str) -> str:
    """Text that cannot end its quotes or start a tag."""
    return text.replace("&", "#amp;").replace('"', "#quot;").replace("<", "#lt;").replace(">", "#gt;")
