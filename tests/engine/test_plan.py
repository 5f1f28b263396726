"""Plans as data: targets, saved plans, other stacks, and what stays unknown."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest

from lambdaform.engine.plan import Action, Change, Plan, change_document
from lambdaform.engine.planner import Planner, keep_what_is_needed, plan_removal
from lambdaform.engine.resolve import Resolver, Unknown
from lambdaform.engine.saved import load_plan, require_same, save_plan
from lambdaform.engine.state import State, StateKey
from lambdaform.model.driver import Record
from lambdaform.model.graph import Graph, GraphBuilder
from lambdaform.model.output import ACCOUNT_ID, text
from lambdaform.model.problem import LambdaformError
from lambdaform.model.resource import Resource
from lambdaform.model.secret import Secret
from tests.fakes.world import Thing

KEY = StateKey("shop", "dev", "eu-central-1", "123456789012")


def graph(**things: Resource) -> Graph:
    return GraphBuilder("shop", "dev", "eu-central-1").build(things)


def plan(of: Graph, state: State | None = None, **options: Any) -> Plan:
    def resolver(outputs: Any) -> Resolver:
        return Resolver(outputs, stacks=lambda _: None, existing=lambda kind, arn: {"arn": arn}, pseudo={})

    return Planner(of, state, {}, KEY, resolver, **options).plan()


def deployed(of: Graph) -> State:
    state = State(KEY)
    for node in of.nodes.values():
        state.records[node.address] = Record(
            address=node.address,
            kind=node.kind,
            physical_name=node.physical_name or node.name,
            declared=node.props,
            props=node.props,
            outputs={"arn": f"arn:{node.name}", "revision": "1"},
            needs=node.needs,
        )
    return state


def test_a_target_takes_what_it_needs_along_and_nothing_else() -> None:
    a = Thing()
    found = plan(graph(a=a, b=Thing(other=a.arn), c=Thing()), targets=frozenset({"b"}))

    assert [change.address for change in found.changes] == ["test.thing.a", "test.thing.b"]


def test_an_output_of_something_new_is_unknown_until_the_deploy() -> None:
    a = Thing()
    found = plan(graph(a=a, b=Thing(other=a.arn)))

    assert found.changes[1].fields[0].new == Unknown("arn of test.thing.a")
    assert change_document(found.changes[1])["fields"][0]["new"] == {"known after deploy": "arn of test.thing.a"}


def test_a_secret_stays_its_name_in_a_plan() -> None:
    found = plan(graph(a=Thing(secret=Secret("shop/key"))))

    assert found.changes[0].fields[0].new == {"@secret": ["shop/key", None]}


def test_the_account_is_unknown_while_nobody_has_asked() -> None:
    found = plan(graph(a=Thing(other=text("arn:{}", ACCOUNT_ID))))

    assert found.changes[0].fields[0].new == Unknown("the account")


def test_what_holds_data_is_kept_with_what_it_needs() -> None:
    a = Thing()
    state = deployed(graph(a=a, b=Thing(other=a.arn)))
    removal = plan_removal(state, delete_data=False, holds_data=lambda _: True)
    only_b = [change if change.address == "test.thing.b" else _deleted(change) for change in removal.changes]

    assert {change.address: change.action for change in keep_what_is_needed(only_b)} == {
        "test.thing.a": Action.KEEP,
        "test.thing.b": Action.KEEP,
    }


def _deleted(change: Change) -> Change:
    return attrs.evolve(change, action=Action.DELETE)


def test_a_saved_plan_comes_back_and_fits_only_the_world_it_was_made_in(tmp_path: Path) -> None:
    made = attrs.evolve(plan(graph(a=Thing())), digest="d1")
    save_plan(made, tmp_path / "plan.json")
    saved = load_plan(tmp_path / "plan.json")

    require_same(saved, made)
    others: Mapping[str, Plan] = {
        "state has moved on": attrs.evolve(made, serial=7),
        "declaration or its code has changed": attrs.evolve(made, digest="d2"),
        "plan is for the stage dev": attrs.evolve(made, key=attrs.evolve(KEY, stage="prod")),
    }
    for message, other in others.items():
        with pytest.raises(LambdaformError, match=message):
            require_same(saved, other)


@pytest.mark.parametrize("content", ["", "{}", "[]", json.dumps({"version": "x"})])
def test_a_file_that_is_no_plan_is_said_to_be_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "plan.json").write_text(content)

    with pytest.raises(LambdaformError, match="is not a saved plan"):
        load_plan(tmp_path / "plan.json")
