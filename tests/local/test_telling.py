"""What is told of invocations that are hurried: later, in order, and with the moments at which it was due."""

from __future__ import annotations

from pathlib import Path

from lambdaform.local.lambda_ import platform_log
from lambdaform.local.lambda_.blueprint import Blueprint
from lambdaform.local.lambda_.invocation import Invocation
from lambdaform.local.lambda_.platform_log import Report
from lambdaform.local.lambda_.runtime_api import Event
from lambdaform.local.lambda_.tail import Tail
from lambdaform.local.lambda_.telling import Teller


class Stage:
    """A teller on a clock that is set by hand."""

    def __init__(self, style: platform_log.Style | None = None) -> None:
        self.now = 100.0
        self.written: list[tuple[float | None, str]] = []
        self.logs: list[str] = []
        blueprint = Blueprint(
            name="f",
            arn="arn",
            version="7",
            runtime="python:3.13",
            region="us-east-1",
            memory_size=128,
            timeout=3,
            log_group="/aws/lambda/f",
            log_style=style or platform_log.Style(),
            environ={},
            folder=Path(),
            opt=None,
            path=[],
            scratch=512,
            is_isolated=False,
        )
        tail = Tail(self, blueprint.log_style, lambda: self.now)
        self.teller = Teller(tail, blueprint, stream="s", initialization="on-demand")

    def write(self, text: str, at: float | None = None) -> None:
        """What the teller writes."""
        self.written.append((at, text))

    def begin(self, name: str) -> Invocation:
        """A hurried invocation begins."""
        invocation = Invocation(Event(name, b"{}", "arn"), 3.0, self.now, False)
        self.teller.begins_hurried(invocation)
        return invocation

    def end(self, invocation: Invocation) -> None:
        """It ends."""
        report = Report(
            request_id=invocation.event.request_id, duration=1.0, memory_size=128, max_memory=10, status="success"
        )
        self.teller.ends_hurried(invocation, "ready", report, self.logs.append)

    @property
    def lines(self) -> list[str]:
        """The beginnings of what was written, with whose it is."""
        words = [text.split() for _, text in self.written]
        return [f"{each[0]} {each[2]}" if len(each) > 2 else each[0] for each in words]


def test_nothing_is_written_before_it_is_due() -> None:
    stage = Stage()
    stage.end(stage.begin("a"))

    assert stage.written == []
    assert stage.logs == []


def test_a_line_of_the_function_s_follows_what_was_due_before_it() -> None:
    stage = Stage()
    stage.end(stage.begin("a"))
    second = stage.begin("b")
    stage.teller.function("mine\n")
    stage.end(second)
    stage.teller.catch_up()

    assert stage.lines == ["START a", "END a", "REPORT a", "START b", "mine", "END b", "REPORT b"]


def test_each_log_holds_the_lines_of_its_own_invocation() -> None:
    stage = Stage()
    for name in ("a", "b", "c"):
        invocation = stage.begin(name)
        if name == "b":
            stage.teller.function("mine\n")
        stage.end(invocation)
    stage.teller.catch_up()

    assert [log.count("RequestId") for log in stage.logs] == [3, 3, 3]
    assert ["mine" in log for log in stage.logs] == [False, True, False]
    assert [name in log for name, log in zip("abc", stage.logs, strict=True)] == [True] * 3


def test_lines_have_the_moments_at_which_they_were_due() -> None:
    stage = Stage()
    invocation = stage.begin("a")
    stage.now = 101.0
    stage.end(invocation)
    stage.now = 109.0
    stage.teller.catch_up()

    assert [at for at, _ in stage.written] == [100.0, 101.0, 101.0]


def test_catching_up_in_the_middle_writes_the_beginning_alone() -> None:
    stage = Stage()
    invocation = stage.begin("a")
    stage.teller.catch_up()
    stage.teller.catch_up()

    assert stage.lines == ["START a"]
    stage.end(invocation)
    stage.teller.catch_up()
    assert stage.lines == ["START a", "END a", "REPORT a"]


def test_the_runtime_s_time_is_told_while_it_is_known() -> None:
    stage = Stage(platform_log.Style(format="JSON", system_level="DEBUG"))
    stage.end(stage.begin("a"))

    kinds = [text.partition('"type":"')[2].partition('"')[0] for _, text in stage.written]
    assert kinds == ["platform.start", "platform.runtimeDone", "platform.report"]
