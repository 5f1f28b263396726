"""A stack's page: everything declared, in words, and nothing that should stay private."""

from pathlib import Path

import pytest

from lambdaform import (
    DeadLetter,
    Function,
    FunctionUrl,
    Parameter,
    PythonCode,
    Queue,
    Schedule,
    Secret,
    Stack,
    Subscription,
    Table,
    Topic,
    text,
)
from lambdaform.render.stack_page import page_of


class Base(Stack):
    """Another stack."""

    users = Table(partition_key="id")


class Shop(Stack):
    """A shop."""

    src = PythonCode("src")
    dead = Queue(retention="14 days")
    inbox = Queue(visibility_timeout="3 min", dead_letter=DeadLetter(dead, max_receives=7))
    orders = Table(partition_key="id")
    news = Topic()
    api = Function(
        "api.handler",
        src,
        memory=512,
        description="takes | orders *at once*",
        environment={
            "PASSWORD": "hunter2",
            "DSN": text("postgres://shop:opensesame@{}", orders.table_name),
            "KEY": Secret("shop/key"),
            "COLOUR": Parameter("/shop/colour"),
        },
        uses={
            "INBOX": inbox.send(),
            "ORDERS": (orders.read(), orders.write()),
            "USERS": Base.users.read(),
            "TOKEN": Secret("shop/token").read(),
        },
        function_url=FunctionUrl(auth="NONE"),
        on_failure=dead,
    )
    worker = Function("worker.handler", src, triggers=[inbox.messages(batch_size=7)])
    nightly = Function("nightly.handler", src, triggers=[Schedule("cron(0 3 * * ? *)", input={"token": "swordfish"})])
    hook = Subscription(topic=news, endpoint="https://user:sesame@hooks.example/path?key=sesame")

    address = api.url
    both = text('{"queue": "{}"}', inbox.url)


@pytest.fixture(scope="module")
def page() -> str:
    return page_of(Shop().graph(), about="A shop.", root=Path(__file__).parent.parent)


def section(page: str, heading: str) -> str:
    after = page.split(f"\n{heading}\n", 1)[1]
    return after.split("\n#", 1)[0]


def test_it_begins_with_what_the_stack_is_and_its_picture(page: str) -> None:
    assert page.startswith("# shop\n\nA shop.\n")
    assert "```mermaid\nflowchart LR\n" in page


def test_a_function_has_its_settings_and_where_it_is_written(page: str) -> None:
    api = section(page, "### api")

    assert "| `memory` | `512 MB` |" in api
    assert "`api.handler`, `render/test_stack_page.py:" in api
    assert "takes \\| orders \\*at once\\*" in api


def test_what_runs_a_function_and_where_its_failures_go_is_said(page: str) -> None:
    assert "- HTTPS `function URL`: open to everybody" in section(page, "### api")
    assert "- queue `dead`: on failure" in section(page, "### api")
    assert "- queue `inbox`: batch 7" in section(page, "### worker")
    assert "- schedule `cron(0 3 * * ? *)`" in section(page, "### nightly")


def test_rights_are_said_in_words_beside_the_exact_actions(page: str) -> None:
    api = section(page, "### api")

    assert "- send: queue inbox (sqs:GetQueueAttributes, sqs:GetQueueUrl, sqs:SendMessage)" in api
    assert "- read and write: table orders (dynamodb:" in api
    assert "- read: users of the stack base (dynamodb:" in api
    assert "- read secret: shop/token-?????? (secretsmanager:GetSecretValue)" in api
    assert "- deliver: queue dead (sqs:SendMessage)" in api
    assert "- read by trigger: queue inbox (sqs:" in section(page, "### worker")


def test_variables_say_where_their_value_comes_from(page: str) -> None:
    api = section(page, "### api")

    assert "| `PASSWORD` | plain value |" in api
    assert "| `DSN` | made with table name of table orders |" in api
    assert "| `KEY` | secret shop/key |" in api
    assert "| `COLOUR` | parameter /shop/colour |" in api
    assert "| `INBOX` | url of queue inbox |" in api


def test_nothing_private_is_on_the_page(page: str) -> None:
    for private in ("hunter2", "opensesame", "swordfish", "sesame"):
        assert private not in page


def test_resources_are_listed_by_kind_with_readable_settings(page: str) -> None:
    queues = section(page, "## Queues")

    assert "| `dead` | `retention` `14 days` | `shop-dev-dead` |" in queues
    assert "`dead_letter` `queue: queue dead, max_receives: 7`" in queues
    assert "`endpoint` `HTTPS hooks.example`" in section(page, "## Subscriptions")
    assert "4 roles" in page.split("Brought along by these: ")[1]


def test_outputs_are_listed(page: str) -> None:
    outputs = section(page, "## Outputs")

    assert "| `address` | url of function URL api |" in outputs
    assert '| `both` | {"queue": "url of queue inbox"} |' in outputs


def test_every_table_row_has_as_many_cells_as_its_head(page: str) -> None:
    for block in page.split("\n\n"):
        rows = [line.replace("\\|", "") for line in block.splitlines() if line.startswith("|")]
        assert len({row.count("|") for row in rows}) <= 1


def test_the_same_declaration_gives_the_same_page(page: str) -> None:
    assert page_of(Shop().graph(), about="A shop.", root=Path(__file__).parent.parent) == page


def test_an_empty_stack_has_a_page_too() -> None:
    class Empty(Stack):
        pass

    assert page_of(Empty().graph()).startswith("# empty\n")
