"""What tests do with a stack: declare faults, follow the way of events, take the same course every time."""

import textwrap

import pytest

from lambdaform.testing import stack_fixture
from lambdaform.testing.session import LocalAws
from stacks.app import Orders

pytest_plugins = ["pytester"]
aws = stack_fixture(Orders)

CANCELLED = ("shop", "order cancelled", {"id": "1"})


def test_a_throttled_batch_is_worked_off_later(aws: LocalAws) -> None:
    aws.faults.throttle(Orders.worker)

    aws.send(Orders.inbox, {"id": "1", "article": "tea", "amount": 1})
    assert aws.invocations(Orders.worker) == []
    aws.clock.advance(minutes=4)

    assert [each.error for each in aws.invocations(Orders.worker)] == [None]


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("timeout", "Task timed out after"),
        ("crash", "Runtime exited with error: signal: killed"),
        ("out_of_memory", "Runtime.OutOfMemory"),
    ],
)
def test_a_fault_ends_one_attempt_as_in_lambda_and_the_next_succeeds(aws: LocalAws, fault: str, told: str) -> None:
    getattr(aws.faults, fault)(Orders.auditor)

    aws.put_event(*CANCELLED)
    aws.clock.advance(minutes=2)

    attempts = aws.invocations(Orders.auditor)
    assert [(each.attempt, each.error) for each in attempts] == [(1, "Unhandled"), (2, None)]
    assert told in attempts[0].logs + str(attempts[0].result)
    assert aws.messages(Orders.dead) == []


def test_three_failures_end_in_the_dead_letter_queue(aws: LocalAws) -> None:
    aws.faults.crash(Orders.auditor, times=3)

    aws.put_event(*CANCELLED)
    aws.clock.advance(minutes=4)

    [record] = [message.json() for message in aws.messages(Orders.dead)]
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["requestContext"]["approximateInvokeCount"] == 3


def test_everything_is_delivered_twice_when_asked_for(aws: LocalAws) -> None:
    aws.faults.deliver_twice()

    aws.send(Orders.inbox, {"id": "1", "article": "tea", "amount": 1})
    aws.clock.advance(seconds=1)

    first, second = aws.invocations(Orders.worker)
    assert first.event == second.event
    assert [item["id"] for item in aws.items(Orders.orders)] == ["1"]


def test_a_call_of_a_handler_is_refused_and_the_tests_own_are_not(aws: LocalAws) -> None:
    aws.faults.refuse("dynamodb", "ProvisionedThroughputExceededException", times=20)

    aws.send(Orders.inbox, {"id": "1", "article": "tea", "amount": 1})
    aws.clock.advance(seconds=1)

    assert aws.items(Orders.orders) == []
    assert "ProvisionedThroughputExceededException" in aws.invocations(Orders.worker)[0].logs


def test_an_invocation_lasts_on_the_virtual_clock_and_holds_its_concurrency(aws: LocalAws) -> None:
    aws.faults.lasts(Orders.worker, seconds=20)
    aws.send(Orders.inbox, {"id": "1", "article": "tea", "amount": 1})

    aws.clock.advance(seconds=19)
    still_there = len(aws.messages(Orders.inbox))
    aws.clock.advance(seconds=2)

    assert (still_there, len(aws.messages(Orders.inbox))) == (1, 0)


def test_what_lasts_longer_than_its_timeout_times_out(aws: LocalAws) -> None:
    aws.faults.lasts(Orders.worker, seconds=31)

    aws.send(Orders.inbox, {"id": "1", "article": "tea", "amount": 1})
    aws.clock.advance(minutes=1)

    assert "Task timed out after 30.00 seconds" in aws.invocations(Orders.worker)[0].result["errorMessage"]


def test_faults_are_gone_in_the_next_test(aws: LocalAws) -> None:
    aws.send(Orders.inbox, {"id": "1", "article": "tea", "amount": 1})

    assert [each.error for each in aws.invocations(Orders.worker)] == [None]


def run(aws: LocalAws) -> str:
    aws.http(Orders.api, "POST", "/orders", body={"article": "tea", "amount": 2})
    aws.http(Orders.api, "POST", "/orders", body={"article": "tea", "amount": 2})
    aws.send(Orders.inbox, "no json")
    aws.faults.crash(Orders.auditor, times=3)
    aws.put_event(*CANCELLED)
    aws.clock.advance(hours=30)
    return aws.trace()


def test_the_way_of_an_order_is_a_tree(aws: LocalAws) -> None:
    lines = [" ".join(line.split()[3:]) if "#" in line else line for line in run(aws).splitlines()]

    text = "\n".join(lines)
    order = ["request POST /orders", "invocation", "orders-dev-inbox", "orders-dev-worker", "orders-dev-shipped"]
    positions = [text.find(word) for word in order]
    assert -1 not in positions
    assert positions == sorted(positions)
    assert "orders-dev-dead" in text
    assert "attempt 3 failed: Runtime.ExitError: Runtime exited with error: signal: killed" in text


def test_the_same_test_takes_the_same_course_byte_for_byte() -> None:
    courses: list[str] = []
    for _ in range(2):
        with Orders.local(clock="virtual") as aws:
            courses.append(run(aws))

    assert courses[0] == courses[1]
    assert courses[0].count("\n") > 20


def test_a_recorded_event_is_replayed(aws: LocalAws) -> None:
    aws.send(Orders.inbox, {"id": "1", "article": "tea", "amount": 1})
    steps = aws.request("GET", "/_lambdaform/trace")
    [number] = [step["number"] for step in steps if "worker" in step["subject"]]

    answer = aws.request("POST", "/_lambdaform/replay", {"step": number})

    assert answer["error"] is None
    first, second = aws.invocations(Orders.worker)
    assert first.event == second.event == answer["event"]


def test_a_failing_test_shows_the_way_of_its_events(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        textwrap.dedent("""
            from lambdaform.testing import stack_fixture
            from stacks.app import Orders

            aws = stack_fixture(Orders)

            def test_it(aws):
                aws.send(Orders.inbox, {"id": "1", "article": "tea", "amount": 1})
                assert False
        """)
    )
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*way of the events*", "*message*orders-dev-inbox*", "*invocation*orders-dev-worker*"])
