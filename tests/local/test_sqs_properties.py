"""What holds for a queue whatever is done to it, tried with random programs."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from lambdaform.local.sqs import attributes, rules
from lambdaform.local.sqs.rules import Draft
from lambdaform.local.sqs.values import Message, Queue

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers(0, 3), st.integers(0, 5)),
        st.tuples(st.just("receive"), st.integers(1, 4), st.integers(0, 5)),
        st.tuples(st.just("delete"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("wait"), st.integers(1, 7), st.just(0)),
    ),
    max_size=40,
)


def queue(name: str) -> Queue:
    """An empty queue."""
    fifo = {"FifoQueue": "true"} if name.endswith(".fifo") else {}
    given_attributes = attributes.of_new_queue(name, {**fifo, "MessageRetentionPeriod": "60"})
    return Queue(
        arn=f"arn:aws:sqs:r:123456789012:{name}",
        name=name,
        region="r",
        account="123456789012",
        attributes=given_attributes,
        tags={},
        created=0,
        modified=0,
    )


def play(held: Queue, steps: list[tuple[str, int, int]]) -> list[tuple[float, float, tuple[Message, ...]]]:
    """Run a program; returns every receive: when, until when its messages are hidden, which."""
    now, ids, taken = 0.0, itertools.count(), list[Message]()
    receives = list[tuple[float, float, tuple[Message, ...]]]()
    for kind, first, second in steps:
        match kind:
            case "send":
                body = str(next(ids))
                delay = None if held.is_fifo else second
                draft = Draft(body=body, delay=delay, group=str(first), deduplication=body)
                rules.send(held, draft, now, lambda: f"m{next(ids)}")
            case "receive":
                got = rules.receive(
                    held, now, limit=first, visibility=second, max_receives=None, new_token=lambda: f"t{next(ids)}"
                )
                taken += got.messages
                receives.append((now, now + second, got.messages))
            case "delete" if taken:
                message = taken[first % len(taken)]
                rules.delete(held, message.id, message.receipt or "", now)
            case _:
                now += first
        counts = rules.count(held, now)
        assert counts.visible + counts.in_flight + counts.delayed == len(held.messages)
        assert all(now - message.sent < 60 for message in held.messages.values())
        assert rules.has_visible(held) is (counts.visible > 0) or held.is_fifo
    return receives


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_no_message_is_handed_out_while_it_is_hidden(steps: list[tuple[str, int, int]]) -> None:
    hidden_until = dict[str, float]()

    for now, until, messages in play(queue("jobs"), steps):
        for message in messages:
            assert hidden_until.get(message.id, 0) <= now
            hidden_until[message.id] = until


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_a_fifo_receive_hands_out_each_group_together_and_in_order(steps: list[tuple[str, int, int]]) -> None:
    for _, _, messages in play(queue("jobs.fifo"), steps):
        groups = [group for group, _ in itertools.groupby(messages, key=lambda message: message.group)]
        assert len(groups) == len(set(groups))
        for _, members in itertools.groupby(messages, key=lambda message: message.group):
            orders = [message.order for message in members]
            assert orders == sorted(orders)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_a_busy_fifo_group_hands_out_nothing(steps: list[tuple[str, int, int]]) -> None:
    busy_until = dict[str, float]()

    for now, until, messages in play(queue("jobs.fifo"), [step for step in steps if step[0] != "delete"]):
        groups = {message.group or "" for message in messages}
        assert all(busy_until.get(group, 0) <= now for group in groups)
        busy_until |= dict.fromkeys(groups, until)
