"""A stack as a Markdown page: its picture, every function with what runs it and what it may do, every resource.

Made from the graph alone, so it says what is declared and where; plain values of variables and inputs stay out.
"""

from __future__ import annotations

import os.path
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

from lambdaform.model.graph import Graph, Node
from lambdaform.model.source import Source
from lambdaform.render.mermaid import mermaid_of
from lambdaform.render.picture import Look, Picture, grants_of, picture_of
from lambdaform.render.tiles import Tile
from lambdaform.render.words import rights_of, settings_of, words_of
from lambdaform.resources.lambda_function import Function

_ELSEWHERE = frozenset({"environment", "role", "handler", "dead_letter", "name"})
_VERBS = {
    frozenset({"logs:CreateLogStream", "logs:PutLogEvents"}): "write log lines",
    frozenset({"sqs:ReceiveMessage"}): "read by trigger",
    frozenset({"kinesis:GetRecords"}): "read by trigger",
    frozenset({"dynamodb:GetRecords"}): "read by trigger",
    frozenset({"sqs:SendMessage"}): "deliver",
    frozenset({"sns:Publish"}): "deliver",
    frozenset({"events:PutEvents"}): "deliver",
    frozenset({"lambda:InvokeFunction"}): "deliver",
}
"""What actions are for that a function has without having been granted them."""


def page_of(graph: Graph, *, about: str = "", root: Path | None = None) -> str:
    """The page of a graph. `about` is the stack's own description; files are named as seen from `root`."""
    return "\n".join(_Writer(graph, about, root).lines()) + "\n"


class _Writer:
    """Writes one page."""

    def __init__(self, graph: Graph, about: str, root: Path | None) -> None:
        self.graph = graph
        self.about = about
        self.root = root
        self.picture: Picture = picture_of(graph, detail=True)
        self.tiles = {tile.id: tile for tile in self.picture.tiles}

    def lines(self) -> Iterator[str]:
        graph = self.graph
        yield f"# {graph.stack}"
        if self.about:
            yield f"\n{self.about}"
        yield f"\nStage `{graph.stage}`. Made from the declaration by the command `docs`.\n"
        if self.picture.tiles:
            yield f"```mermaid\n{mermaid_of(picture_of(graph))}```\n"
        functions = graph.of_kind("lambda.function")
        if functions:
            yield "## Functions\n"
        for function in functions:
            yield from self._function(function)
        yield from self._resources()
        yield from self._outputs()

    def _function(self, node: Node) -> Iterator[str]:
        yield f"### {node.name}\n"
        description = node.props.get("description")
        if isinstance(description, str):
            yield f"{_plain(description)}\n"
        yield f"{_code(words_of(node.props.get('handler', ''), self.graph))}, {self._written(node)}\n"
        yield from _table(("setting", "value"), self._settings(node, _ELSEWHERE | {"description"}))
        heads = [arrow for arrow in self.picture.arrows if arrow.head == node.address and arrow.look is Look.EVENT]
        yield from _list("Runs on", (_named(self.tiles[arrow.tail], arrow.label) for arrow in heads))
        yield from _list("May", (_plain(right) for right in rights_of(node, self.graph, _verbs(node))))
        tails = [arrow for arrow in self.picture.arrows if arrow.tail == node.address and arrow.look is not Look.USE]
        yield from _list(
            "Hands on",
            (_named(self.tiles[arrow.head], arrow.label) for arrow in tails if arrow.look is not Look.PART),
        )
        variables = node.props.get("environment", {})
        rows = [(_code(name), self._variable(value)) for name, value in variables.items()]
        yield from _table(("variable", "value"), rows)

    def _variable(self, value: object) -> str:
        """Where a variable's value comes from; a plain one may be a secret somebody should not have written there."""
        if not isinstance(value, dict):
            return "plain value"
        text = cast(dict[str, Any], value).get("@text")
        if text is not None:  # what stands between the parts may be a password in a connection string
            return "made with " + _plain(words_of(text[1], self.graph, naming_output=True))
        return _plain(words_of(value, self.graph, naming_output=True))

    def _resources(self) -> Iterator[str]:
        kinds: dict[str, list[Node]] = {}
        derived: dict[str, int] = {}
        for node in self.graph.nodes.values():
            if node.parent is None and node.kind != "lambda.function":
                kinds.setdefault(node.resource.title, []).append(node)
            elif node.parent is not None:
                derived[node.resource.title] = derived.get(node.resource.title, 0) + 1
        for title in sorted(kinds):
            yield f"## {_plural(title).capitalize()}\n"
            rows = [
                (_code(node.name), self._settings_cell(node), _name_in_aws(node), self._written(node))
                for node in kinds[title]
            ]
            yield from _table(("name", "settings", "name in AWS", "written in"), rows)
        if derived:
            words = (f"{number} {title if number == 1 else _plural(title)}" for title, number in derived.items())
            yield f"Brought along by these: {', '.join(words)}.\n"

    def _outputs(self) -> Iterator[str]:
        outputs = self.graph.outputs
        if not outputs:
            return
        yield "## Outputs\n"
        rows = [
            (_code(name), _plain(words_of(value, self.graph, naming_output=True))) for name, value in outputs.items()
        ]
        yield from _table(("output", "value"), rows)

    def _settings(self, node: Node, without: frozenset[str] = frozenset({"name"})) -> list[tuple[str, str]]:
        settings = settings_of(node, self.graph, without=without)
        return [(_code(name), _code(value)) for name, value in settings.items()]

    def _settings_cell(self, node: Node) -> str:
        return "<br>".join(f"{name} {value}" for name, value in self._settings(node))

    def _written(self, node: Node) -> str:
        return _code(_place(node.resource.where, self.root))


def _verbs(node: Node) -> dict[frozenset[str], str]:
    """Sets of actions to what they are for."""
    found = dict(_VERBS)
    if isinstance(node.resource, Function):
        found |= {frozenset(grant.actions): grant.verb for grant in grants_of(node.resource) if grant.verb}
    return found


def _place(where: Source, root: Path | None) -> str:
    if root is None or where.file.startswith("<"):
        return str(where)
    return f"{Path(os.path.relpath(where.file, root)).as_posix()}:{where.line}"


def _name_in_aws(node: Node) -> str:
    return _code(node.physical_name) if node.physical_name else "given by AWS"


def _named(tile: Tile, label: str) -> str:
    more = ", ".join(part for part in (label, *tile.lines) if part) if tile.family in ("time", "edge") else label
    return f"{tile.word} {_code(tile.name)}" + (f": {_plain(more)}" if more else "")


def _plural(title: str) -> str:
    if title.endswith("s"):
        return title if title.endswith("ings") else f"{title}es"
    return f"{title[:-1]}ies" if title.endswith("y") else f"{title}s"


def _list(title: str, items: Iterable[str]) -> Iterator[str]:
    found = [f"- {item}" for item in items]
    if found:
        yield f"{title}:\n"
        yield "\n".join(found) + "\n"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    found = list(rows)
    if found:
        lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
        yield "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in found)]) + "\n"


def _plain(text: str) -> str:
    """Text that means itself in Markdown, also in a table."""
    for mark in "\\`*_[]|#":
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.replace("<", "&lt;").split())


def _code(text: str) -> str:
    """A code span, also in a table."""
    text = " ".join(text.split()).replace("|", "\\|") or " "
    return f"`` {text} ``" if "`" in text else f"`{text}`"
