"""A picture of an architecture as data: tiles, arrows and groups, made from a graph.

It shows what flows, not what depends: sources feed functions, functions use resources, failures go where failures go.
Roles, policies, permissions, versions and the like belong to their function and are not drawn, nor are log groups that
nothing reads.
What a tile is called and says is in `lambdaform.render.tiles`.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import Any, cast

import attrs

from lambdaform.model.graph import REFERENCES, Graph, Node
from lambdaform.model.resource import Grant, Resource
from lambdaform.render.tiles import Group, Tile, details_of, elsewhere, mapping_label, name_of, outside, word_of
from lambdaform.resources.lambda_function import Function

Json = Any


class Look(enum.Enum):
    """How an arrow looks, which says what it means."""

    EVENT = "event"
    USE = "use"
    PART = "part"
    FAILURE = "failure"


@attrs.frozen
class Arrow:
    """One line from tile to tile, in the direction in which something flows."""

    tail: str
    head: str
    label: str
    look: Look
    both: bool = False
    """Whether something flows back as well."""


@attrs.frozen
class Picture:
    """Everything drawn."""

    title: str
    tiles: tuple[Tile, ...]
    arrows: tuple[Arrow, ...]
    groups: tuple[Group, ...] = ()


def picture_of(graph: Graph, *, detail: bool = False) -> Picture:
    """The picture of a graph, with the main settings in the tiles if wanted; the same graph gives the same picture."""
    return _Painter(graph, detail).paint()


class _Painter:
    """Makes one picture: first the stack's own tiles, then the arrows, with tiles of what lies outside as they come."""

    def __init__(self, graph: Graph, detail: bool) -> None:
        self.graph = graph
        self.detail = detail
        self.tiles: dict[str, Tile] = {}
        self.groups: dict[str, Group] = {}
        self.arrows: dict[Arrow, None] = {}

    def paint(self) -> Picture:
        read = self._log_groups_read()
        for node in self.graph.nodes.values():
            word = word_of(node.kind)
            if word is not None and (node.kind != "logs.group" or node.address in read):
                lines = details_of(node, everything=self.detail)
                self.tiles[node.address] = Tile(node.address, name_of(node), *word, lines=lines)
        for node in self.graph.nodes.values():
            self._flows(node)
        title = f"{self.graph.stack} ({self.graph.stage})"
        return Picture(title, tuple(self.tiles.values()), tuple(self.arrows), tuple(self.groups.values()))

    def _log_groups_read(self) -> set[str]:
        """The log groups whose lines go on to a function: the others belong to theirs."""
        found: set[str] = set()
        for node in self.graph.nodes.values():
            group: Json = node.props.get("group") if node.kind == "logs.subscription_filter" else None
            if isinstance(group, dict) and "@ref" in group:
                found.add(cast(dict[str, Json], group)["@ref"][0])
        return found

    def _flows(self, node: Node) -> None:
        props = node.props
        function, failed = self._tile(props.get("function")), self._tile(props.get("on_failure"))
        match node.kind:
            case "lambda.event_source_mapping":
                self._arrow(self._tile(props.get("source")), function, mapping_label(props, self.detail), Look.EVENT)
                self._arrow(function, failed, "on failure", Look.FAILURE)
            case "lambda.url":
                self._arrow(node.address, function, "", Look.EVENT)
            case "sns.subscription":
                label = "filtered" if "filter" in props else ""
                topic = self._tile(props.get("topic"))
                self._arrow(topic, self._tile(props.get("endpoint")), label, Look.EVENT)
                self._arrow(topic, self._tile(props.get("dead_letter")), "not delivered", Look.FAILURE)
            case "s3.notification":
                events = [str(event).removeprefix("s3:") for event in props.get("events", ["s3:ObjectCreated:*"])]
                bucket = self._tile(props.get("bucket"))
                self._arrow(bucket, self._tile(props.get("target")), ", ".join(events), Look.EVENT)
            case "events.rule":
                self._arrow(self._tile(props.get("bus")), node.address, "", Look.EVENT)
                for target in cast(list[Mapping[str, Json]], props.get("targets", [])):
                    self._arrow(node.address, self._tile(target.get("to")), "", Look.EVENT)
                    self._arrow(node.address, self._tile(target.get("dead_letter")), "not delivered", Look.FAILURE)
            case "logs.subscription_filter":
                label = "filtered" if props.get("pattern") else ""
                self._arrow(self._tile(props.get("group")), self._tile(props.get("to")), label, Look.EVENT)
            case "scheduler.schedule":
                self._arrow(node.address, self._tile(props.get("target")), "", Look.EVENT)
                self._arrow(node.address, self._tile(props.get("dead_letter")), "not delivered", Look.FAILURE)
            case "sqs.queue":
                dead = cast(Mapping[str, Json], props.get("dead_letter") or {})
                label = f"after {dead.get('max_receives', 5)} receives"
                self._arrow(node.address, self._tile(dead.get("queue")), label, Look.FAILURE)
            case "lambda.event_invoke_config":
                self._arrow(function, failed, "on failure", Look.FAILURE)
                self._arrow(function, self._tile(props.get("on_success")), "on success", Look.EVENT)
            case "lambda.function":
                self._arrow(node.address, self._tile(props.get("dead_letter")), "dead letter", Look.FAILURE)
                logging = cast(Mapping[str, Json], props.get("logging") or {})
                self._arrow(node.address, self._tile(logging.get("group")), "logs to", Look.USE)
                for layer in cast(list[Json], props.get("layers", [])):
                    self._arrow(self._tile(layer), node.address, "", Look.PART)
                self._uses(node)
            case _:
                pass

    def _uses(self, node: Node) -> None:
        """An arrow to each resource that a function has grants for, with what it does there."""
        if not isinstance(node.resource, Function):
            return
        verbs: dict[str, dict[str, None]] = {}
        for grant in grants_of(node.resource):
            target = self._tile_of(grant.target)
            if target is not None:
                verbs.setdefault(target, {})[grant.verb] = None
        for target, found in verbs.items():
            words = " and ".join(verb for verb in found if verb)
            reads = [verb for verb in found if verb in ("read", "receive")]
            both = "read and write" in found or 0 < len(reads) < len(found)
            if reads and not both:
                self._arrow(target, node.address, words, Look.USE)
            else:
                self._arrow(node.address, target, words, Look.USE, both=both)

    def _arrow(self, tail: str | None, head: str | None, label: str, look: Look, *, both: bool = False) -> None:
        if tail in self.tiles and head in self.tiles:
            self.arrows[Arrow(tail, head, label, look, both)] = None

    def _tile_of(self, resource: Resource | None) -> str | None:
        """The tile of a resource that a grant is about."""
        if resource is None:
            return None
        address = self.graph.address_of(resource)
        if address is not None:
            return self._tile({"@ref": [address, "arn"]})
        if resource.existing_arn is not None:
            return self._tile({"@existing": [resource.kind, resource.existing_arn, "arn"]})
        if resource.owner is not None:
            owner, name = resource.owner
            return self._tile({"@stack": [cast(Any, owner).stack_name(), f"{resource.kind}.{name}", "arn"]})
        return None

    def _tile(self, value: Json) -> str | None:
        """The tile a prop leads to; an alias or version stands for its function, and what is elsewhere is added."""
        if isinstance(value, str):
            return self._add(outside(value), None)
        if not isinstance(value, dict):
            return None
        mapping = cast(dict[str, Json], value)
        if len(mapping) != 1:
            return None
        key, content = next(iter(mapping.items()))
        if key not in REFERENCES:
            return None
        match key:
            case "@ref":
                node = self.graph.nodes.get(content[0])
                if node is not None and node.kind in ("lambda.alias", "lambda.version"):
                    return self._tile(node.props.get("function"))
                return content[0] if content[0] in self.tiles else None
            case "@text":
                return next((found for part in content[1] if (found := self._tile(part)) is not None), None)
            case "@existing":
                return self._add(elsewhere(content[0], content[1], None), None)
            case "@stack":
                group = Group(f"stack {content[0]}")
                service, noun, name = str(content[1]).split(".", 2)
                return self._add(elsewhere(f"{service}.{noun}", name, group), group)
            case _:
                return None

    def _add(self, tile: Tile | None, group: Group | None) -> str | None:
        if tile is None:
            return None
        if group is not None:
            self.groups[group.title] = group
        self.tiles.setdefault(tile.id, tile)
        return tile.id


def grants_of(function: Function) -> Iterable[Grant]:
    """What a function was given to work with, in the order of its declaration."""
    for use in function.uses.values():
        yield from use if isinstance(use, tuple) else (use,)
    yield from function.grants
