"""What a declaration comes to: names, edges, shorthand, order, and the problems found on the way."""

from pathlib import Path
from typing import Any

import pytest

from lambdaform import DeadLetter, Function, PythonCode, Queue, Reserved, Role, Stack, by_stage, text
from lambdaform.model.graph import Graph, GraphBuilder

SRC = PythonCode("src")


class Shop(Stack):
    """A small stack."""

    dead = Queue()
    inbox = Queue(visibility_timeout="3 min", dead_letter=DeadLetter(dead, max_receives=3))
    worker = Function(
        "worker.handler",
        SRC,
        memory=by_stage(256, prod=1024),
        concurrency=Reserved(2),
        uses={"INBOX": inbox.send()},
        triggers=[inbox.messages(batch_size=5)],
    )
    inbox_url = inbox.url


class Load(Shop):
    """The same with another queue."""

    inbox = Queue(visibility_timeout="15 min")


def rules(graph: Graph) -> list[str]:
    return [problem.rule for problem in graph.problems]


def test_a_function_brings_role_policy_log_group_and_mapping() -> None:
    graph = Shop().graph()

    assert sorted(graph.nodes) == [
        "iam.role.worker",
        "iam.role_policy.worker",
        "lambda.event_source_mapping.worker.inbox",
        "lambda.function.worker",
        "logs.group.worker",
        "sqs.queue.dead",
        "sqs.queue.inbox",
    ]
    assert graph.problems == ()


def test_every_node_comes_after_what_it_needs() -> None:
    graph = Shop().graph()
    order = list(graph.nodes)

    for node in graph.nodes.values():
        assert all(order.index(need) < order.index(node.address) for need in node.needs)


def test_the_policy_holds_exactly_what_triggers_grants_and_logs_need() -> None:
    statements: Any = Shop().graph().nodes["iam.role_policy.worker"].props["statements"]

    assert [(each["Action"], each["Resource"]) for each in statements] == [
        (
            [
                "sqs:DeleteMessage",
                "sqs:GetQueueAttributes",
                "sqs:GetQueueUrl",
                "sqs:ReceiveMessage",
                "sqs:SendMessage",
            ],
            [{"@ref": ["sqs.queue.inbox", "arn"]}],
        ),
        (
            ["logs:CreateLogStream", "logs:PutLogEvents"],
            [{"@text": ["{}:*", [{"@ref": ["logs.group.worker", "arn"]}]]}],
        ),
    ]


def test_uses_puts_the_queues_url_into_the_variable() -> None:
    props = Shop().graph().nodes["lambda.function.worker"].props

    assert props["environment"] == {"INBOX": {"@ref": ["sqs.queue.inbox", "url"]}}


def test_only_what_differs_from_its_default_is_declared() -> None:
    assert Shop().graph().nodes["sqs.queue.dead"].props == {}


def test_a_setting_follows_the_stage() -> None:
    assert Shop().graph().nodes["lambda.function.worker"].props["memory"] == 256
    assert Shop(stage="prod").graph().nodes["lambda.function.worker"].props["memory"] == 1024


def test_a_subclass_that_overrides_a_queue_rewires_everything_that_uses_it() -> None:
    graph = Load().graph()

    assert graph.nodes["sqs.queue.inbox"].props == {"visibility_timeout": 900}
    assert "sqs.queue.inbox" in graph.nodes["lambda.event_source_mapping.worker.inbox"].needs
    assert graph.nodes["lambda.function.worker"].props["environment"]["INBOX"] == {"@ref": ["sqs.queue.inbox", "url"]}
    assert graph.outputs == {"inbox_url": {"@ref": ["sqs.queue.inbox", "url"]}}
    assert graph.address_of(Shop.inbox) == graph.address_of(Load.inbox) == "sqs.queue.inbox"


def test_build_adds_resources_in_a_loop() -> None:
    class Many(Stack):
        def build(self) -> None:
            for number in range(3):
                self.add(f"jobs-{number}", Queue())

    assert list(Many().graph().nodes) == ["sqs.queue.jobs-0", "sqs.queue.jobs-1", "sqs.queue.jobs-2"]


def test_names_in_aws_are_stack_stage_and_name() -> None:
    graph = Shop(stage="prod", region="eu-central-1").graph()

    assert graph.nodes["sqs.queue.inbox"].physical_name == "shop-prod-inbox"
    assert graph.nodes["iam.role.worker"].physical_name == "shop-prod-worker-eu-central-1"


def test_a_name_that_is_too_long_is_cut_and_stays_its_own() -> None:
    names = ["a" * 70 + "x", "a" * 70 + "y"]
    graph = GraphBuilder("shop", "dev", "eu-central-1").build({name: Queue() for name in names})
    found = [node.physical_name or "" for node in graph.nodes.values()]

    assert all(len(name) <= 80 for name in found)
    assert len(set(found)) == 2


def test_a_fifo_queue_ends_in_fifo() -> None:
    graph = GraphBuilder("shop", "dev", "eu-central-1").build({"jobs": Queue(fifo=True)})

    assert graph.nodes["sqs.queue.jobs"].physical_name == "shop-dev-jobs.fifo"


def test_a_circle_is_shown_as_its_path() -> None:
    class Circle(Stack):
        def build(self) -> None:
            a = Function("a.handler", SRC, environment={})
            b = Function("b.handler", SRC, environment={"A": a.arn})
            self.add("a", Function("a.handler", SRC, environment={"B": b.arn}))
            self.add("b", b)

    problems = Circle().graph().problems

    assert [problem.rule for problem in problems] == ["resource-without-name"]


def test_two_queues_that_need_each_other_are_a_cycle() -> None:
    first = Queue()
    second = Queue(dead_letter=DeadLetter(first))
    object.__setattr__(first, "dead_letter", DeadLetter(second))
    graph = GraphBuilder("shop", "dev", "eu-central-1").build({"first": first, "second": second})

    assert rules(graph) == ["cycle"]
    assert graph.problems[0].given == "sqs.queue.first needs sqs.queue.second needs sqs.queue.first"


def test_a_resource_without_a_name_is_a_problem_where_it_is_written() -> None:
    class Nameless(Stack):
        inbox = Queue(dead_letter=DeadLetter(Queue()))

    problems = Nameless().graph().problems

    assert [problem.rule for problem in problems] == ["resource-without-name"]
    assert problems[0].where is not None
    assert problems[0].where.file == __file__


def test_one_object_under_two_names_is_a_problem() -> None:
    class Twice(Stack):
        a = Queue()
        b = a

    assert "one-object-two-names" in rules(Twice().graph())


def test_a_resource_called_like_something_of_stacks_own_is_a_problem() -> None:
    class Clash(Stack):
        local = Queue()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]

    assert "name-reserved" in rules(Clash().graph())


@pytest.mark.parametrize("value", [Queue, [Queue()], {"a": Queue()}])
def test_what_only_looks_like_resources_of_the_stack_is_a_problem(value: object) -> None:
    stack = type("Odd", (Stack,), {"queues": value, "__module__": __name__})

    problems = stack().graph().problems

    assert [(problem.rule, problem.address) for problem in problems] == [("resource-not-made", "odd.queues")]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("name", 7),
        ("name", "two words"),
        ("account", 123456789012),
        ("account", "1234"),
        ("default_region", "Frankfurt"),
        ("default_stage", "../prod"),
        ("region", "eu-west-1"),
        ("stage", "prod"),
        ("tags", ["a"]),
        ("tags", {"a": 1}),
    ],
)
def test_a_setting_of_the_stack_that_cannot_be_used_is_a_problem(setting: str, value: object) -> None:
    stack = type("Odd", (Stack,), {setting: value, "inbox": Queue(), "__module__": __name__})

    problems = stack(region="eu-central-1").graph().problems

    assert [(problem.rule, problem.address) for problem in problems] == [("stack-setting", f"Odd.{setting}")]


def test_a_stage_that_is_no_name_is_a_problem() -> None:
    class Plain(Stack):
        inbox = Queue()

    assert rules(Plain(stage="../prod").graph()) == ["stack-setting"]


def test_a_setting_of_the_stack_is_told_with_its_line() -> None:
    class Odd(Stack):
        account = "not a number"

    (problem,) = Odd().graph().problems

    assert problem.where is not None
    assert "not a number" in Path(problem.where.file).read_text().splitlines()[problem.where.line - 1]


@pytest.mark.parametrize("arn", ["inbox", "arn:aws:sns:eu-central-1:123456789012:inbox", "https://sqs/inbox", 7])
def test_an_existing_resource_named_by_anything_but_its_arn_is_a_problem(arn: Any) -> None:
    builder = GraphBuilder("shop", "dev", "eu-central-1")

    graph = builder.build({"jobs": Queue(dead_letter=DeadLetter(Queue.existing(arn)))})

    assert {problem.rule for problem in graph.problems} == {"existing-arn"}


def test_a_value_that_cannot_be_read_is_a_problem_and_not_an_exception() -> None:
    graph = GraphBuilder("shop", "dev", "eu-central-1").build({"jobs": Queue(visibility_timeout="3 minuets")})

    assert rules(graph) == ["value-unreadable"]
    assert graph.problems[0].given == "'3 minuets'"


def test_an_existing_queue_is_referred_to_and_not_managed() -> None:
    inbox = Queue.existing("arn:aws:sqs:eu-central-1:123456789012:inbox")
    worker = Function("worker.handler", SRC, triggers=[inbox.messages()])
    graph = GraphBuilder("shop", "dev", "eu-central-1").build({"inbox": inbox, "worker": worker})

    assert "sqs.queue.inbox" not in graph.nodes
    assert "lambda.event_source_mapping.worker.inbox" in graph.nodes


def test_another_stacks_resource_makes_an_edge_between_stacks() -> None:
    class Billing(Stack):
        biller = Function("biller.handler", SRC, triggers=[Shop.inbox.messages()])

    graph = Billing().graph()

    assert graph.stacks == (Shop,)
    assert graph.nodes["lambda.event_source_mapping.biller.inbox"].props["source"] == {
        "@stack": ["shop", "sqs.queue.inbox", "arn"]
    }


def test_a_users_own_role_gets_the_rights_and_an_existing_one_is_left_alone() -> None:
    class Roles(Stack):
        own = Role()
        inbox = Queue()
        a = Function("a.handler", SRC, role=own, grants=[inbox.send()])
        b = Function("b.handler", SRC, role=Role.existing("arn:aws:iam::123456789012:role/theirs"))

    graph = Roles().graph()

    assert graph.nodes["iam.role_policy.a"].props["role"] == {"@ref": ["iam.role.own", "role_name"]}
    assert "iam.role.b" not in graph.nodes
    assert "iam.role_policy.b" not in graph.nodes


def test_an_output_in_an_f_string_is_refused_on_the_users_line() -> None:
    with pytest.raises(TypeError, match="known only after deploy"):
        f"{Shop.inbox.url}/x"

    assert text("{}/x", Shop.inbox.url) is not None
