"""A picture as DOT, with the `graphviz` package."""

from __future__ import annotations

from html import escape
from typing import Any, cast

from lambdaform.render.picture import Arrow, Look, Picture, Tile

FONT = "Arimo,Helvetica,Arial"
_COLOURS = {
    "compute": ("#fff3e0", "#e65100"),
    "messaging": ("#fce4ec", "#ad1457"),
    "data": ("#e8eaf6", "#283593"),
    "time": ("#e0f2f1", "#00695c"),
    "edge": ("#eceff1", "#37474f"),
    "layer": ("#f5f5f5", "#616161"),
}
_LINES = {
    Look.EVENT: {"color": "#37474f", "penwidth": "1.6"},
    Look.USE: {"color": "#90a4ae", "style": "solid", "arrowhead": "vee", "arrowsize": "0.7"},
    Look.FAILURE: {"color": "#c62828", "style": "dashed", "fontcolor": "#c62828"},
}


def _label(tile: Tile) -> str:
    fill, ink = _COLOURS[tile.family]
    return (
        f'<<table border="1" cellborder="0" cellspacing="0" cellpadding="5" bgcolor="{fill}" color="{ink}"'
        f' style="rounded"><tr><td><font point-size="9" color="{ink}">{escape(tile.word)}</font></td></tr>'
        # Bold text is wider than it is measured, so it gets room on both sides.
        f"<tr><td>&#160;<b>{escape(tile.name)}</b>&#160;&#160;</td></tr></table>>"
    )


def _edge(arrow: Arrow) -> dict[str, str]:
    found = dict(_LINES[arrow.look])
    if arrow.label:
        found["label"] = f" {arrow.label} "
    if arrow.look is Look.FAILURE:
        found["constraint"] = "true"
    return found


def dot_of(picture: Picture) -> str:
    """DOT text, from left to right."""
    import graphviz

    drawing: Any = cast(Any, graphviz).Digraph(
        "architecture",
        graph_attr={
            "rankdir": "LR",
            "label": picture.title,
            "labelloc": "t",
            "fontname": FONT,
            "fontsize": "15",
            "nodesep": "0.35",
            "ranksep": "0.75",
            "pad": "0.3",
            "bgcolor": "white",
        },
        node_attr={"shape": "plain", "fontname": FONT, "fontsize": "12"},
        edge_attr={"fontname": FONT, "fontsize": "9"},
    )
    for tile in picture.tiles:
        drawing.node(_name(tile.id), label=_label(tile))
    for arrow in picture.arrows:
        drawing.edge(_name(arrow.tail), _name(arrow.head), **_edge(arrow))
    return str(drawing.source)


def _name(id: str) -> str:
    """A node's name without a colon, which DOT reads as a port."""
    return id.replace(":", "_")
