"""What applying a plan leaves behind: in the world, in the state, after failures and after being killed."""

import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest

from lambdaform.engine.applier import Applier, Outcome
from lambdaform.engine.plan import Action, Plan
from lambdaform.engine.planner import Planner
from lambdaform.engine.resolve import Resolver
from lambdaform.engine.state import State, StateKey
from lambdaform.engine.store import FolderStore
from lambdaform.model.driver import AwsError
from lambdaform.model.graph import Graph, GraphBuilder
from lambdaform.model.problem import LambdaformError
from lambdaform.model.resource import Resource
from lambdaform.model.secret import Secret
from tests.fakes.world import Thing, ThingDriver, World

KEY = StateKey("shop", "dev", "eu-central-1", "123456789012")


@attrs.define
class Shop:
    """One stack in one world, deployed as often as a test likes."""

    folder: Path
    world: World = attrs.field(factory=World)
    failures: dict[str, str] = attrs.field(factory=dict[str, str])

    @property
    def store(self) -> FolderStore:
        return FolderStore(self.folder)

    def resolver(self, outputs: Callable[[str], Mapping[str, Any] | None], aws: World | None = None) -> Resolver:
        return Resolver(outputs, stacks=lambda _: None, existing=lambda kind, arn: {"arn": arn}, pseudo={}, aws=aws)

    def graph(self, **things: Resource) -> Graph:
        graph = GraphBuilder("shop", "dev", "eu-central-1").build(things)
        assert graph.problems == ()
        return graph

    def plan(self, graph: Graph, *, delete_data: bool = True) -> Plan:
        return Planner(graph, self.store.find(KEY), {}, KEY, self.resolver, delete_data=delete_data).plan()

    def deploy(self, **things: Resource) -> Outcome:
        return self.apply(self.graph(**things))

    def apply(self, graph: Graph, stop: threading.Event | None = None) -> Outcome:
        plan = self.plan(graph)
        state = self.store.find(KEY) or State(KEY)
        journal = self.store.journal(state)
        try:
            outcome = Applier(
                graph,
                plan,
                state,
                journal,
                self.world,
                resolver_for=lambda outputs, aws: self.resolver(outputs, self.world),
                packages={},
                archive=lambda _: pytest.fail("nothing is packaged here"),
                driver_of=lambda _: ThingDriver(self.world),
                stop=stop,
                parallelism=4,
            ).apply()
        except BaseException:
            journal.suspend()
            raise
        journal.close()
        return outcome

    def state(self) -> State:
        found = self.store.find(KEY)
        assert found is not None
        return found


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def test_a_plan_right_after_an_apply_is_empty(shop: Shop) -> None:
    a = Thing(size=2)
    shop.deploy(a=a, b=Thing(other=a.arn))

    a = Thing(size=2)
    assert shop.plan(shop.graph(a=a, b=Thing(other=a.arn))).changes == ()


def test_a_thing_is_made_after_what_it_needs(shop: Shop) -> None:
    a = Thing()
    shop.deploy(b=Thing(other=a.arn), a=a)

    assert [name for _, name in shop.world.calls] == ["shop-dev-a", "shop-dev-b"]
    assert shop.world.things["shop-dev-b"]["other"] == "arn:shop-dev-a"


def test_deletes_run_against_the_order_of_needs(shop: Shop) -> None:
    a = Thing()
    shop.deploy(a=a, b=Thing(other=a.arn))
    shop.world.calls.clear()

    shop.deploy()

    assert shop.world.calls == [("delete", "shop-dev-b"), ("delete", "shop-dev-a")]
    assert shop.state().is_empty()


def test_only_what_changed_is_called(shop: Shop) -> None:
    shop.deploy(a=Thing(), b=Thing())
    shop.world.calls.clear()

    shop.deploy(a=Thing(size=5), b=Thing())

    assert shop.world.calls == [("update", "shop-dev-a")]


def test_a_field_that_cannot_change_makes_a_new_thing_before_the_old_one_goes(shop: Shop) -> None:
    shop.deploy(a=Thing())
    shop.world.calls.clear()
    plan = shop.plan(shop.graph(a=Thing(shape="square")))
    assert [(change.action, change.fields[0].replaces) for change in plan.changes] == [
        (Action.REPLACE, "a thing keeps its shape")
    ]

    shop.deploy(a=Thing(shape="square"))

    assert shop.world.calls == [("create", "shop-dev-a-g1"), ("delete", "shop-dev-a")]
    assert list(shop.world.things) == ["shop-dev-a-g1"]
    assert shop.plan(shop.graph(a=Thing(shape="square"))).is_empty


def test_replacing_a_thing_changes_what_uses_it(shop: Shop) -> None:
    a = Thing()
    shop.deploy(a=a, b=Thing(other=a.arn))

    a = Thing(shape="square")
    shop.deploy(a=a, b=Thing(other=a.arn))

    assert shop.world.things["shop-dev-b"]["other"] == "arn:shop-dev-a-g1"


def test_an_output_that_may_change_is_looked_at_again_and_no_call_is_made_when_it_did_not(shop: Shop) -> None:
    a = Thing(size=1)
    shop.deploy(a=a, b=Thing(other=a.revision))
    shop.world.calls.clear()

    a = Thing(size=1, secret="x")
    graph = shop.graph(a=a, b=Thing(other=a.revision))
    assert [change.address for change in shop.plan(graph).changes] == ["test.thing.a", "test.thing.b"]
    shop.apply(graph)

    assert shop.world.calls == [("update", "shop-dev-a")]
    assert shop.plan(graph).is_empty


def test_a_failure_skips_what_needs_it_and_goes_on_with_the_rest(shop: Shop) -> None:
    shop.world.fail["create", "shop-dev-a"] = AwsError("test", "Create", "Refused", "no")
    a = Thing()

    outcome = shop.deploy(a=a, b=Thing(other=a.arn), c=Thing())

    assert set(outcome.failed) == {"test.thing.a"}
    assert outcome.skipped == {"test.thing.b": "test.thing.a"}
    assert list(shop.world.things) == ["shop-dev-c"]


def test_the_next_run_goes_on_where_a_failure_stopped(shop: Shop) -> None:
    shop.world.fail["create", "shop-dev-a"] = AwsError("test", "Create", "Refused", "no")
    a = Thing()
    graph = shop.graph(a=a, b=Thing(other=a.arn), c=Thing())
    shop.apply(graph)
    shop.world.fail.clear()
    shop.world.calls.clear()

    shop.apply(graph)

    assert shop.world.calls == [("create", "shop-dev-a"), ("create", "shop-dev-b")]
    assert shop.plan(graph).is_empty


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("victim", ["shop-dev-a", "shop-dev-b", "shop-dev-c"])
def test_killed_after_any_create_the_next_run_adopts_what_was_made(shop: Shop, victim: str) -> None:
    a = Thing()
    graph = shop.graph(a=a, b=Thing(other=a.arn), c=Thing())
    shop.world.die["create", victim] = Killed()
    with pytest.raises(Killed):
        shop.apply(graph)

    shop.apply(graph)

    assert sorted(shop.world.things) == ["shop-dev-a", "shop-dev-b", "shop-dev-c"]
    assert shop.plan(graph).is_empty


def test_what_a_killed_run_made_and_nobody_declares_any_more_is_removed(shop: Shop) -> None:
    shop.world.die["create", "shop-dev-a"] = Killed()
    with pytest.raises(Killed):
        shop.deploy(a=Thing())
    assert list(shop.world.things) == ["shop-dev-a"]

    shop.deploy()

    assert shop.world.things == {}


def test_killed_in_the_middle_of_a_replacement_the_old_thing_still_goes(shop: Shop) -> None:
    shop.deploy(a=Thing())
    shop.world.die["create", "shop-dev-a-g1"] = Killed()
    with pytest.raises(Killed):
        shop.deploy(a=Thing(shape="square"))

    shop.deploy(a=Thing(shape="square"))
    shop.deploy(a=Thing(shape="square"))

    assert len(shop.world.things) == 1
    assert next(iter(shop.world.things.values()))["shape"] == "square"


def test_a_strangers_thing_of_the_same_name_is_never_touched(shop: Shop) -> None:
    shop.world.things["shop-dev-a"] = {"size": 99}
    shop.world.tags["shop-dev-a"] = {"owner": "somebody else"}

    outcome = shop.deploy(a=Thing())

    assert "this stack did not make it" in outcome.failed["test.thing.a"]
    assert shop.world.things["shop-dev-a"] == {"size": 99}


def test_a_thing_removed_behind_our_back_is_made_again(shop: Shop) -> None:
    shop.deploy(a=Thing())
    shop.world.things.clear()

    shop.deploy(a=Thing(size=7))

    assert shop.world.things == {"shop-dev-a": {"size": 7}}


def test_a_secret_reaches_the_driver_and_nothing_that_is_written_down(shop: Shop) -> None:
    shop.world.secrets["shop/key"] = "hunter2"

    shop.deploy(a=Thing(secret=Secret("shop/key")))

    assert shop.world.things["shop-dev-a"]["secret"] == "hunter2"
    written = "".join(path.read_text() for path in shop.folder.rglob("*") if path.is_file())
    assert "hunter2" not in written
    assert "shop/key" in written


def test_a_secret_in_awss_own_error_text_is_blacked_out(shop: Shop) -> None:
    shop.world.secrets["shop/key"] = "hunter2"
    shop.world.fail["create", "shop-dev-a"] = AwsError("test", "Create", "Refused", "value hunter2 is bad")

    outcome = shop.deploy(a=Thing(secret=Secret("shop/key")))

    assert "hunter2" not in outcome.failed["test.thing.a"]


def test_a_run_that_is_stopped_starts_nothing_more(shop: Shop) -> None:
    stop = threading.Event()
    stop.set()

    outcome = shop.apply(shop.graph(a=Thing(), b=Thing()), stop)

    assert outcome.interrupted
    assert shop.world.things == {}


@pytest.mark.parametrize(
    ("text", "flaw"),
    [
        ("{ not json", "it is not JSON (Expecting property name enclosed in double quotes: line 1 column 3 (char 2))"),
        ("{}", "it lacks 'version'"),
        ("[]", "something in it is of another kind than in a state"),
        ('{"version": 99}', "it has the format 99, and this version reads 1"),
        (None, "something in it is of another kind than in a state"),
    ],
    ids=["no JSON", "empty", "a list", "of a later version", "records that are a list"],
)
def test_a_damaged_state_file_is_named_and_left_alone(shop: Shop, text: str | None, flaw: str) -> None:
    shop.deploy(a=Thing())
    path = shop.store.path(KEY)
    text = text or json.dumps({**json.loads(path.read_text()), "records": ["a"]})
    path.write_text(text)

    with pytest.raises(LambdaformError, match="damaged") as caught:
        shop.store.find(KEY)

    assert caught.value.message == f"the state file {path} is damaged: {flaw}"
    assert path.read_text() == text


def test_a_journal_whose_last_line_was_cut_off_is_read_up_to_there(shop: Shop) -> None:
    shop.world.die["create", "shop-dev-a"] = Killed()
    with pytest.raises(Killed):
        shop.deploy(a=Thing())
    journal = shop.store.path(KEY).with_suffix(".journal")
    journal.write_text(journal.read_text() + '{"done": "test.th')

    assert list(shop.state().pending) == ["test.thing.a"]
