"""A picture as DOT, with the `graphviz` package."""

from __future__ import annotations

from html import escape
from typing import Any, cast

from lambdaform.render.picture import Arrow, Look, Picture
from lambdaform.render.tiles import Tile

FONT = "Arimo,Helvetica,Arial"
COLOURS = {
    "compute": ("#fff3e0", "#bf4800"),
    "messaging": ("#fce4ec", "#ad1457"),
    "data": ("#e8eaf6", "#283593"),
    "time": ("#e0f2f1", "#00695c"),
    "edge": ("#eceff1", "#37474f"),
    "layer": ("#fafafa", "#616161"),
}
"""Family to fill and ink. The words say the same, for whoever sees no colour."""
FAILURE = "#c62828"
_LINES = {
    Look.EVENT: {"color": "#37474f", "penwidth": "1.8"},
    Look.USE: {"color": "#607d8b", "arrowhead": "vee", "arrowtail": "vee", "arrowsize": "0.8"},
    Look.PART: {"color": "#b0bec5", "style": "dotted", "arrowhead": "none"},
    Look.FAILURE: {"color": FAILURE, "style": "dashed", "fontcolor": FAILURE, "weight": "0"},
}


def dot_of(picture: Picture) -> str:
    """DOT text, from left to right."""
    import graphviz

    drawing: Any = cast(Any, graphviz).Digraph(
        "architecture",
        graph_attr={
            "rankdir": "LR",
            "label": _text(picture.title),
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
    ids = {tile.id: tile.id.replace(":", " ") for tile in picture.tiles}  # what follows a colon would be a port
    for tile in picture.tiles:
        if tile.group is None:
            drawing.node(ids[tile.id], label=_label(tile), tooltip=_text(f"{tile.word} {tile.name}"))
    for number, group in enumerate(picture.groups):
        with drawing.subgraph(name=f"cluster_{number}") as frame:
            frame.attr(label=_text(group.title), fontsize="11", color="#9e9e9e", style="dashed", margin="14")
            for tile in picture.tiles:
                if tile.group == group.title:
                    frame.node(ids[tile.id], label=_label(tile), tooltip=_text(f"{tile.word} {tile.name}"))
    families = {tile.id: tile.family for tile in picture.tiles}
    for arrow in picture.arrows:
        reads = (
            arrow.look is Look.USE and not arrow.both and families[arrow.head] == "compute" and "read" in arrow.label
        )
        # What is read stays to the right of its reader, as what is written does: the picture keeps its order.
        tail, head = (arrow.head, arrow.tail) if reads else (arrow.tail, arrow.head)
        drawing.edge(ids[tail], ids[head], **_edge(arrow, "back" if reads else "both" if arrow.both else ""))
    return str(drawing.source)


def _label(tile: Tile) -> str:
    fill, ink = COLOURS[tile.family]
    style = "rounded,dashed" if tile.outside else "rounded"
    size = 10 if tile.family == "layer" else 12
    rows = [f'<font point-size="9" color="{ink}">&#160;{escape(tile.word)}&#160;</font>']
    room = "&#160;" * (2 + len(tile.name) // 12)  # bold text is wider than it is measured
    rows.append(f'&#160;<font point-size="{size}"><b>{escape(tile.name)}</b></font>{room}')
    rows += [f'<font point-size="9">&#160;{escape(line)}&#160;&#160;</font>' for line in tile.lines]
    cells = "".join(f"<tr><td>{row}</td></tr>" for row in rows)
    return (
        f'<<table border="1" cellborder="0" cellspacing="0" cellpadding="{3 if tile.family == "layer" else 4}"'
        f' bgcolor="{fill}" color="{ink}" style="{style}">{cells}</table>>'
    )


def _edge(arrow: Arrow, direction: str) -> dict[str, str]:
    found = dict(_LINES[arrow.look])
    if arrow.label:
        found["label"] = _text(f" {arrow.label} ")
    if direction:
        found["dir"] = direction
    return found


def _text(text: str) -> str:
    """Text that means itself: a backslash starts an escape in DOT, and angle brackets around it make it HTML."""
    return text.replace("\\", "\\\\").replace("<", "‹").replace(">", "›")
