"""Reference pages are what the code says, and pictures show what flows."""

import html
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from lambdaform import DeadLetter, Function, Queue
from lambdaform.model.marks import fields_of
from lambdaform.render.dot import dot_of
from lambdaform.render.drawing import draw
from lambdaform.render.mermaid import mermaid_of
from lambdaform.render.picture import Look, Picture, picture_of
from lambdaform.render.reference import field_docs, field_types, resources_page
from lambdaform.resources.catalog import class_of, kinds

ROOT = Path(__file__).parent.parent.parent


def loaded(path: str, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_committed_pages_are_what_the_code_says() -> None:
    for path, content in loaded("docs/make.py", "docs_make").pages().items():
        assert (ROOT / "docs" / path).read_text() == content, "run: python docs/make.py"


def test_no_reference_page_is_left_over() -> None:
    made = {path for path in loaded("docs/make.py", "docs_make").pages() if path.startswith("reference/")}

    assert {f"reference/{path.name}" for path in (ROOT / "docs" / "reference").iterdir()} == made


def test_types_are_shown_without_marks_and_quotes() -> None:
    assert field_types(Queue)["retention"] == "int"
    assert field_types(DeadLetter)["queue"] == "Queue | str"
    assert field_types(Function)["layers"] == "tuple[Layer | str, ...]"


@pytest.mark.parametrize("kind", kinds())
def test_every_setting_of_a_kind_has_its_sentence_and_type(kind: str) -> None:
    cls = class_of(kind)

    assert fields_of(cls).keys() <= field_docs(cls).keys()
    assert fields_of(cls).keys() <= field_types(cls).keys()


def test_a_row_says_range_unit_default_and_whether_it_replaces() -> None:
    rows = resources_page().split("\n## Queue\n")[1].splitlines()

    assert "| `retention` | time | `4 days` | 60 to 1,209,600 s | How long a message is kept" in "\n".join(rows)
    (fifo,) = [row for row in rows if row.startswith("| `fifo`")][:1]
    assert "a change replaces it" in fifo


@pytest.fixture(scope="module")
def picture() -> Picture:
    return picture_of(loaded("stacks/app.py", "pictured_app").Orders().graph())


def test_a_picture_has_a_tile_for_what_people_speak_of_and_none_for_roles(picture: Picture) -> None:
    assert sorted(tile.id for tile in picture.tiles) == [
        "dynamodb.table.orders",
        "events.rule.auditor",
        "lambda.function.api",
        "lambda.function.auditor",
        "lambda.function.notifier",
        "lambda.function.report",
        "lambda.function.worker",
        "lambda.layer.catalogue",
        "lambda.url.api",
        "s3.bucket.reports",
        "scheduler.schedule.report",
        "sns.topic.shipped",
        "sqs.queue.dead",
        "sqs.queue.inbox",
    ]


def test_the_readmes_picture_shows_the_running_example(picture: Picture) -> None:
    drawn = (ROOT / "docs" / "images" / "orders.svg").read_text()

    titles = {html.unescape(title) for title in re.findall(r"<title>([^<]*)</title>", drawn)}
    arrows = {f"{arrow.tail}->{arrow.head}" for arrow in picture.arrows if arrow.label != "read"}
    assert {tile.id for tile in picture.tiles} | arrows <= titles, "run: python docs/make.py"


def test_events_uses_and_failures_are_arrows_of_their_own_look(picture: Picture) -> None:
    arrows = {(arrow.tail, arrow.head): (arrow.label, arrow.look) for arrow in picture.arrows}

    assert arrows["sqs.queue.inbox", "lambda.function.worker"] == ("batch 10", Look.EVENT)
    assert arrows["lambda.function.api", "sqs.queue.inbox"] == ("send", Look.USE)
    assert arrows["sqs.queue.inbox", "sqs.queue.dead"] == ("after 5 receives", Look.FAILURE)
    assert arrows["lambda.function.report", "sqs.queue.dead"] == ("on failure", Look.FAILURE)


def test_the_same_picture_is_the_same_bytes(picture: Picture) -> None:
    assert draw(dot_of(picture), "svg") == draw(dot_of(picture), "svg")


def test_a_picture_is_drawn_without_any_program_of_the_system(picture: Picture) -> None:
    assert draw(dot_of(picture), "png").startswith(b"\x89PNG")
    assert b"</svg>" in draw(dot_of(picture), "svg")


def test_mermaid_names_every_tile_once(picture: Picture) -> None:
    text = mermaid_of(picture)

    for tile in picture.tiles:
        assert (
            text.count(f"    {tile.id.replace('.', '_')}[")
            + text.count(f"    {tile.id.replace('.', '_')}(")
            + (text.count(f"    {tile.id.replace('.', '_')}{{"))
            == 1
        )
