"""Every rule fires on what breaks it and keeps quiet at a near miss; suppression, order and places."""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from typing import Any

import pytest

import lambdaform
from lambdaform.checks.catalog import BUILDING, all_rules, known_ids, listing
from lambdaform.checks.rules import Facts, check
from lambdaform.model.code import Code
from lambdaform.model.output import text
from lambdaform.model.problem import Severity
from lambdaform.resources.lambda_function import Function, Reserved
from lambdaform.resources.lambda_url import Cors, FunctionUrl
from lambdaform.resources.sqs_queue import DeadLetter, Queue
from lambdaform.triggers.schedule import Schedule
from tests.checks import cases, event_cases
from tests.checks.cases import Case, fed
from tests.checks.declarations import TODAY, function, graph_of, package, problems

CASES = (*cases.CASES, *event_cases.CASES)
NAMES = ("AWS", "Manual", "Python", "SnapStart")
"""What is written with a capital wherever it stands."""
NAMED = [pytest.param(case, id=f"{case.rule}: {case.what}") for case in CASES]


@pytest.mark.parametrize("case", NAMED)
def test_a_rule_finds_what_breaks_it(case: Case) -> None:
    found = [problem for problem in problems(case.broken(), **case.facts) if problem.rule == case.rule]

    assert len(found) == 1
    assert found[0].where is not None or found[0].address.startswith("stack.")


@pytest.mark.parametrize("case", NAMED)
def test_a_rule_is_quiet_at_a_near_miss(case: Case) -> None:
    facts = case.facts if case.near_facts is None else case.near_facts

    assert case.rule not in {problem.rule for problem in problems(case.near(), **facts)}


@pytest.mark.parametrize("case", NAMED)
def test_problems_are_written_as_the_style_says(case: Case) -> None:
    for problem in problems(case.broken(), **case.facts):
        for words in (problem.what, problem.hint or "x"):
            assert not words.endswith("."), words
            assert words[0].islower() or not words[0].isalpha() or words.startswith(NAMES)
        assert problem.link is None or problem.link.startswith("https://")


def test_every_rule_has_a_case() -> None:
    # A zip on disk, or source to read, is needed for these, which have tests of their own.
    assert {rule.id for rule in all_rules()} - {case.rule for case in CASES} == {
        "package-zipped",
        "handler-missing",
        "handler-async",
        "handler-syntax",
    }


def test_a_zip_above_what_a_request_takes_needs_a_bucket(tmp_path: Path) -> None:
    import attrs

    archive = tmp_path / "worker.zip"
    archive.write_bytes(b"x" * 11)
    packages = {"lambda.function.worker": attrs.evolve(package(), archive=archive)}

    def rules(limit: int | None) -> set[str]:
        return {p.rule for p in problems({"worker": function()}, packages=packages, upload_limit=limit)}

    assert "package-zipped" in rules(10)
    assert "package-zipped" not in rules(11)
    assert "package-zipped" not in rules(None)


def test_a_sound_stack_has_no_problems() -> None:
    dead = Queue(retention="14 days")
    inbox = Queue(visibility_timeout="3 min", dead_letter=DeadLetter(dead, max_receives=5))
    named = {
        "dead": dead,
        "inbox": inbox,
        "api": function(uses={"INBOX": inbox.send()}),
        "worker": function(timeout="30 s", concurrency=Reserved(20), triggers=[inbox.messages(partial_failures=True)]),
        "report": function(triggers=[Schedule("cron(0 3 * * ? *)", timezone="Europe/Berlin")], on_failure=dead),
    }

    assert problems(named) == []


def test_what_aws_has_ended_is_told_with_what_lives_on() -> None:
    hints = {
        name: problem.hint
        for name in ("python3.6", "dotnet7", "pyton3.13")
        for problem in problems({"worker": function(runtime=name)})
        if problem.rule == "runtime-unknown"
    }

    assert hints == {
        "python3.6": "move to python3.14",
        "dotnet7": "move to dotnet10",
        "pyton3.13": "did you mean python3.13?",
    }


def test_ten_mistakes_are_shown_in_one_run_each_with_its_line() -> None:
    here = Path(__file__).read_text(encoding="utf-8").splitlines()
    dead = Queue(
        fifo=True,
    )
    inbox = Queue(
        visibility_timeout=5,  # queue-visibility
        dead_letter=DeadLetter(dead),  # dead-letter-fifo
        content_based_deduplication=True,  # fifo-settings
    )
    trigger = inbox.messages(
        batch_size=100,  # batch-window
    )
    worker = Function(
        "app.handler",
        Code("src"),
        timeout=60,
        memory=64,  # limits
        runtime="python3.31",  # runtime-unknown
        environment={"AWS_REGION": "x"},  # environment-reserved
        role="admin",  # role-arn
        tags={"aws:a": "x"},  # tags
        layers=["deps"],  # layer-arn
        triggers=[trigger],
    )

    found = problems({"dead": dead, "inbox": inbox, "worker": worker})

    assert len(found) == 10
    for problem in found:
        assert problem.where is not None
        assert Path(problem.where.file) == Path(__file__)
        assert here[problem.where.line - 1].endswith(f"# {problem.rule}")


def line_of(mark: str) -> int:
    """The line of this file that ends in a comment."""
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if line.endswith(f"# {mark}"))


def test_settings_inside_values_triggers_and_shorthand_have_their_own_line() -> None:
    worker = Function(
        "app.handler",
        Code("src"),
        function_url=FunctionUrl(
            auth="NON",  # auth
            cors=Cors(
                max_age=86_401,  # age
            ),
        ),
        triggers=[
            Schedule(  # schedule
                "cron(0 3 * * *)",
                timezone="Europe/Berln",  # zone
            ),
        ],
        suppress={"failures-lost": "runs again tomorrow"},
    )

    lines = {problem.address: problem.where.line for problem in problems({"worker": worker}) if problem.where}

    assert lines == {
        "lambda.url.worker.auth": line_of("auth"),
        "lambda.url.worker.cors.max_age": line_of("age"),
        "scheduler.schedule.worker.expression": line_of("schedule"),
        "scheduler.schedule.worker.timezone": line_of("zone"),
    }


def test_a_value_known_only_after_deploy_waits() -> None:
    queue = Queue()
    environment = {"URL": queue.url, "LONG": text("{}" + "x" * 4000, queue.arn)}

    assert problems({"inbox": queue, "worker": function(environment=environment, role=queue.url)}) == []


def test_what_is_known_of_an_environment_counts() -> None:
    queue = Queue()
    named = {"inbox": queue, "worker": function(environment={"URL": queue.url, "LONG": "x" * 4096})}

    (problem,) = problems(named)

    assert problem.rule == "environment-size"
    assert "without the values known after deploy" in (problem.given or "")


def test_shorthand_is_told_once_at_the_shorthand() -> None:
    (problem,) = problems({"worker": function(max_retries=3)})

    assert problem.address == "lambda.function.worker.max_retries"


def test_a_deployed_function_may_be_changed_longer_than_new_ones_are_taken() -> None:
    day = datetime.date(2026, 12, 20)
    deployed = frozenset({"lambda.function.worker"})
    named = {"worker": function("Shop", runtime="dotnet8")}

    assert [p.rule for p in problems(named, today=day)] == ["runtime-blocked"]
    assert [p.rule for p in problems(named, today=day, deployed=deployed)] == ["runtime-deprecated"]


def test_an_unknown_runtime_names_the_nearest_one() -> None:
    (problem,) = problems({"worker": function(runtime="python313")})

    assert problem.hint == "did you mean python3.13?"


def test_a_loop_is_shown_as_its_path() -> None:
    queue = Queue(visibility_timeout=60)
    (problem,) = problems(
        {"inbox": queue, "worker": function(uses={"INBOX": queue.send()}, triggers=[queue.messages()])}
    )

    assert "worker sends to inbox, which triggers worker" in problem.what
    assert problem.severity is Severity.WARNING


def test_a_loop_with_a_filter_is_a_note() -> None:
    queue = Queue(visibility_timeout=60)
    trigger = queue.messages(filters=[{"body": {"kind": ["new"]}}])
    (problem,) = problems({"inbox": queue, "worker": function(uses={"INBOX": queue.send()}, triggers=[trigger])})

    assert problem.severity is Severity.NOTE


# -- suppression


def suppressing(rule: str, reason: str, **settings: Any) -> Function:
    return function(suppress={rule: reason}, **settings)


def test_advice_is_suppressed_with_a_reason() -> None:
    trigger = Schedule("rate(1 hour)")

    assert problems({"worker": suppressing("failures-lost", "runs again in an hour", triggers=[trigger])}) == []


def test_a_parent_suppresses_for_what_its_shorthand_made() -> None:
    queue = Queue(visibility_timeout=60)
    trigger = queue.messages(filters=[{"body": {"n": [n]}} for n in range(6)])
    named = {"inbox": queue, "worker": suppressing("filter-count", "AWS raised our quota", triggers=[trigger])}

    assert problems(named) == []


def test_what_aws_refuses_cannot_be_suppressed() -> None:
    (problem,) = problems({"worker": suppressing("role-arn", "trust me", role="admin")})

    assert problem.rule == "role-arn"
    assert (problem.hint or "").endswith("AWS refuses this, so it cannot be suppressed")


def test_an_error_that_aws_would_not_refuse_can_be_suppressed() -> None:
    named = {"worker": Function("handler", function().code, suppress={"handler-form": "a patched runtime"})}

    assert problems(named) == []


@pytest.mark.parametrize(
    ("rule", "reason", "expected"),
    [
        ("failure-lost", "because", ("suppress-unknown", "did you mean failures-lost?")),
        ("zzz", "because", ("suppress-unknown", "take it out; the docs list every rule")),
        ("failures-lost", "  ", ("suppress-without-reason", "say why, for whoever reads this next")),
    ],
)
def test_a_suppression_that_silences_nothing_is_a_problem(rule: str, reason: str, expected: tuple[str, str]) -> None:
    (problem,) = problems({"worker": suppressing(rule, reason)})

    assert (problem.rule, problem.hint) == expected


# -- the catalog


def test_ids_are_unique_and_summaries_are_sentences() -> None:
    entries = listing()

    assert len({entry.id for entry in entries}) == len(entries)
    for entry in entries:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", entry.id)
        assert entry.summary.endswith(".")
        assert entry.summary[0] == entry.summary[0].upper()


def test_every_problem_that_building_reports_is_listed() -> None:
    folder = Path(next(iter(lambdaform.__path__)))
    reported: set[str] = set()
    for module in (
        folder / "model" / "graph.py",
        *(folder / "resources").glob("*.py"),
        *(folder / "triggers").glob("*.py"),
    ):
        reported.update(re.findall(r"\b(?:problem|report)\(\s*\"([a-z-]+)\"", module.read_text(encoding="utf-8")))

    assert reported
    assert reported <= set(BUILDING)
    assert set(BUILDING) <= set(known_ids())


def test_checks_give_the_same_problems_every_time() -> None:
    graph = graph_of(fed(Queue(visibility_timeout=1), timeout=9, batch_size=99))
    facts = Facts(today=TODAY)

    assert check(graph, facts) == check(graph, facts)
