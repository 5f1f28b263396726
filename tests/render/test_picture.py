"""Pictures of architectures: what is drawn, which way arrows go, and what never comes into a picture."""

import shutil
import sys
from pathlib import Path

import pytest

from lambdaform import (
    Bucket,
    DeadLetter,
    Function,
    FunctionUrl,
    Layer,
    PythonCode,
    Queue,
    Rule,
    Schedule,
    Stack,
    Subscription,
    Table,
    Topic,
)
from lambdaform.render.dot import dot_of
from lambdaform.render.drawing import NoRenderer, draw, renderers
from lambdaform.render.mermaid import mermaid_of
from lambdaform.render.picture import Look, Picture, picture_of
from lambdaform.render.tiles import Tile


class Base(Stack):
    """Another stack."""

    users = Table(partition_key="id")


class Shop(Stack):
    """One of everything that is drawn."""

    src = PythonCode("src")
    deps = Layer(PythonCode("layer"))
    dead = Queue(retention="14 days")
    legacy = Queue.existing("arn:aws:sqs:eu-central-1:123456789012:legacy-orders")
    inbox = Queue(visibility_timeout="3 min", dead_letter=DeadLetter(dead, max_receives=7))
    orders = Table(partition_key="id", stream="NEW_IMAGE")
    uploads = Bucket()
    news = Topic()
    api = Function(
        "api.handler",
        src,
        layers=[deps],
        environment={"PASSWORD": "hunter2"},
        uses={"INBOX": inbox.send(), "ORDERS": orders.read()},
        function_url=FunctionUrl(auth="NONE"),
    )
    worker = Function(
        "worker.handler",
        src,
        alias="live",
        uses={"ORDERS": (orders.read(), orders.write()), "OLD": legacy.send(), "USERS": Base.users.read()},
        triggers=[inbox.messages(batch_size=20, window="5 s")],
    )
    indexer = Function("indexer.handler", src, triggers=[orders.changes(), uploads.objects()], on_failure=dead)
    nightly = Function(
        "nightly.handler",
        src,
        triggers=[
            Schedule("cron(0 3 * * ? *)", timezone="Europe/Berlin", input={"token": "swordfish"}, dead_letter=dead),
            Rule({"detail-type": ["order <cancelled>"]}, dead_letter=dead),
        ],
    )
    hook = Subscription(topic=news, endpoint="https://user:sesame@hooks.example/path?key=sesame")
    mail = Subscription(topic=news, endpoint="boss@shop.example")


@pytest.fixture(scope="module")
def picture() -> Picture:
    return picture_of(Shop().graph())


def arrows(picture: Picture) -> set[tuple[str, str, str, Look]]:
    names = {tile.id: tile.name for tile in picture.tiles}
    return {(names[arrow.tail], arrow.label, names[arrow.head], arrow.look) for arrow in picture.arrows}


def test_what_belongs_to_a_function_is_not_drawn(picture: Picture) -> None:
    words = {tile.word for tile in picture.tiles}

    assert words == {
        "function", "layer", "queue", "table", "bucket", "topic", "HTTPS", "schedule", "rule", "e-mail",
    }  # fmt: skip


def test_events_flow_from_their_source_to_the_function(picture: Picture) -> None:
    assert {
        ("inbox", "batch 20", "worker", Look.EVENT),
        ("orders", "batch 100", "indexer", Look.EVENT),
        ("uploads", "ObjectCreated:*", "indexer", Look.EVENT),
        ("function URL", "", "api", Look.EVENT),
        ("cron(0 3 * * ? *)", "", "nightly", Look.EVENT),
        ("order <cancelled>", "", "nightly", Look.EVENT),
        ("news", "", "hooks.example", Look.EVENT),
    } <= arrows(picture)


def test_what_is_read_flows_to_its_reader_and_what_is_sent_flows_away(picture: Picture) -> None:
    assert {
        ("api", "send", "inbox", Look.USE),
        ("orders", "read", "api", Look.USE),
        ("worker", "read and write", "orders", Look.USE),
        ("deps", "", "api", Look.PART),
    } <= arrows(picture)
    assert [arrow.label for arrow in picture.arrows if arrow.both] == ["read and write"]


def test_failures_go_where_they_are_kept(picture: Picture) -> None:
    failures = [each for each in arrows(picture) if each[3] is Look.FAILURE]

    assert sorted(failures) == [
        ("cron(0 3 * * ? *)", "not delivered", "dead", Look.FAILURE),
        ("inbox", "after 7 receives", "dead", Look.FAILURE),
        ("indexer", "on failure", "dead", Look.FAILURE),
        ("order <cancelled>", "not delivered", "dead", Look.FAILURE),
    ]


def test_what_others_manage_is_drawn_apart(picture: Picture) -> None:
    found = {tile.name: tile.group for tile in picture.tiles if tile.outside}

    assert found == {"legacy-orders": None, "users": "stack base", "hooks.example": None, "subscriber": None}


def test_settings_are_shown_on_request(picture: Picture) -> None:
    detailed = picture_of(Shop().graph(), detail=True)

    tiles = {tile.name: tile.lines for tile in detailed.tiles}
    assert tiles["inbox"] == ("hidden for 3 min", "kept for 4 days")
    assert tiles["orders"] == ("key id", "stream of changes")
    assert ("inbox", "batch 20, within 5 s", "worker", Look.EVENT) in arrows(detailed)
    assert {tile.name for tile in picture.tiles if tile.lines} == {"cron(0 3 * * ? *)"}


@pytest.mark.parametrize("detail", [False, True])
def test_no_secret_no_address_and_no_account_comes_into_a_picture(detail: bool) -> None:
    picture = picture_of(Shop().graph(), detail=detail)

    text = dot_of(picture) + mermaid_of(picture)
    for secret in ("hunter2", "swordfish", "sesame", "boss@", "123456789012"):
        assert secret not in text


def test_the_same_declaration_gives_the_same_bytes(picture: Picture) -> None:
    again = picture_of(Shop().graph())

    assert dot_of(again) == dot_of(picture)
    assert mermaid_of(again) == mermaid_of(picture)
    assert draw(dot_of(again), "svg") == draw(dot_of(picture), "svg")


def test_names_cannot_break_out_of_their_labels(picture: Picture) -> None:
    assert "order &lt;cancelled&gt;" in dot_of(picture)
    assert "order #lt;cancelled#gt;" in mermaid_of(picture)


def test_mermaid_marks_every_failure(picture: Picture) -> None:
    lines = mermaid_of(picture).splitlines()

    assert lines[0] == "flowchart LR"
    assert sum(" -.->" in line for line in lines) == 4
    (style,) = [line for line in lines if "linkStyle" in line]
    assert len(style.split()[1].split(",")) == 4


def test_names_that_look_alike_in_mermaid_stay_apart() -> None:
    tiles = tuple(Tile(f"sqs.queue.{name}", name, "queue", "messaging") for name in ("a-b", "a_b"))

    lines = mermaid_of(Picture("alike", tiles, ())).splitlines()

    assert len({line.split("(")[0] for line in lines[1:3]}) == 2


def test_svg_and_png_are_drawn_without_a_program_of_the_system(picture: Picture) -> None:
    svg = draw(dot_of(picture), "svg", renderers()[:1])
    png = draw(dot_of(picture), "png", renderers()[:1])

    assert b"<svg" in svg
    assert b"worker" in svg
    assert png.startswith(b"\x89PNG")


def test_where_one_renderer_fails_the_next_one_draws(picture: Picture, tmp_path: Path) -> None:
    broken = [str(tmp_path / "missing"), shutil.which("false") or sys.executable]

    assert b"<svg" in draw(dot_of(picture), "svg", [*broken, *renderers()])


def test_without_a_renderer_the_hint_names_what_can_be_written_instead() -> None:
    with pytest.raises(NoRenderer) as caught:
        draw("digraph {}", "svg", [])

    assert caught.value.hint is not None
    assert "dot" in caught.value.hint
