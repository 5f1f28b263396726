"""Values of another kind than a setting takes are problems of the declaration, and never end in a traceback."""

from __future__ import annotations

from typing import Any, cast

import attrs
import pytest

from lambdaform import (
    Code,
    Cors,
    Function,
    FunctionUrl,
    Layer,
    LogGroup,
    Queue,
    Table,
    Topic,
    by_stage,
)
from lambdaform.model.graph import GraphBuilder
from lambdaform.model.kinds import described, misfits, words
from lambdaform.model.resource import Resource
from lambdaform.resources import catalog

anything = cast("Any", lambda value: value)  # what a type checker would refuse  # pyright: ignore[reportUnknownLambdaType]


def found(resource: Resource) -> list[tuple[str, str, str]]:
    return [(each.field, each.given, each.allowed) for each in misfits(resource)]


def function(**settings: Any) -> Function:
    return Function(settings.pop("handler", "app.handler"), settings.pop("code", Code("src")), **settings)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"handler": 7}, ("handler", "7, a whole number", "a text")),
        ({"code": "src"}, ("code", "'src', a text", "a Code")),
        ({"snap_start": "yes"}, ("snap_start", "'yes', a text", "True or False")),
        ({"max_retries": True}, ("max_retries", "True, True or False", "a whole number")),
        ({"layers": ["arn", 3]}, ("layers", "a tuple with a text, a whole number", "a list of Layer or texts")),
        ({"triggers": [Queue()]}, ("triggers", "a tuple with a Queue", "a list of Trigger")),
        ({"uses": ["Q"]}, ("uses", "a list with a text", "a dict of texts to Grant or list of Grant")),
        (
            {"environment": {"N": 1}},
            ("environment", "a dict with a text to a whole number", "a dict of texts to texts"),
        ),
        ({"description": by_stage("a", prod=1)}, ("description", "a ByStage", "a text")),
        ({"concurrency": 5}, ("concurrency", "5, a whole number", "a Reserved or a Provisioned")),
        ({"vpc": Queue()}, ("vpc", "a Queue", "a Vpc")),
    ],
)
def test_a_setting_of_another_kind_is_described(settings: dict[str, Any], expected: tuple[str, str, str]) -> None:
    assert found(function(**settings)) == [expected]


def test_values_inside_values_are_looked_at() -> None:
    url = FunctionUrl(cors=Cors(allow_origins=anything([1])))

    assert found(url) == [("cors.allow_origins", "a tuple with a whole number", "a list of texts")]


@pytest.mark.parametrize(
    "resource",
    [
        function(memory="1 GB", timeout="5 min", layers=[Layer(Code("x"))], on_failure=Queue(), log_retention=7),
        function(description=by_stage("a", prod="b"), environment={"Q": Queue().url}, role="arn:aws:iam::1:role/r"),
        function(triggers=[Queue().messages(), Topic().notifications(), LogGroup().lines()]),
        Table(partition_key="id"),
        Queue(retention="2 weeks"),
        Queue(retention=anything("no time")),
    ],
)
def test_what_is_meant_to_be_given_is_taken(resource: Resource) -> None:
    assert found(resource) == []  # a time that cannot be read is told elsewhere


def test_no_value_of_a_mapping_is_shown() -> None:
    told = described({"PASSWORD": 12345})

    assert told == "a dict with a text to a whole number"
    assert words(dict) == "a dict"


SETTINGS = [
    (kind, attribute.name)
    for kind in catalog.kinds()
    for attribute in attrs.fields(catalog.class_of(kind))
    if attribute.init and attribute.name not in ("suppress", "where")
]


TAKE_NUMBERS = [("lambda.event_source_mapping", "starting_timestamp"), ("scheduler.schedule", "input")]


@pytest.mark.parametrize(("kind", "name"), SETTINGS)
@pytest.mark.parametrize(
    "value", [object(), 7.5, [object()], {object(): object()}], ids=["object", "float", "list", "dict"]
)
def test_no_value_of_any_setting_ends_in_a_traceback(kind: str, name: str, value: object) -> None:
    cls = cast("Any", catalog.class_of(kind))
    required = {
        each.name: "x"
        for each in attrs.fields(cls)
        if each.init and each.default is attrs.NOTHING and each.name != name
    }
    graph = GraphBuilder("stack", "dev", "us-east-1").build({"it": cls(**{**required, name: value})})

    is_fitting = isinstance(value, float) and (kind, name) in TAKE_NUMBERS
    assert bool(graph.problems) != is_fitting
