"""Facts about STOMP as a consumer here speaks it: frames in pieces, escapes, receipts, refusals, lost servers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdaform.local.pollers.reader import Trouble
from lambdaform.local.pollers.stomp import Connection, Frame, Frames
from tests.stomp import LOGIN, StompBroker

T = TypeVar("T")
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


@pytest.fixture
def broker() -> Generator[StompBroker]:
    found = StompBroker()
    yield found
    found.close()


def connected(broker: StompBroker, scenario: Callable[[Connection], Awaitable[T]], password: str = LOGIN[1]) -> T:
    """What a scenario finds on a connection."""

    async def running() -> T:
        connection = await Connection.open(
            "127.0.0.1", broker.port, user=LOGIN[0], password=password, is_encrypted=False
        )
        try:
            return await scenario(connection)
        finally:
            await connection.close()

    return asyncio.run(running())


@given(st.dictionaries(TEXT, st.text(st.characters(exclude_categories=["Cs"]))), st.binary(), st.integers(1, 7))
def test_frames_come_out_as_they_went_in_however_they_are_cut(headers: dict[str, str], body: bytes, step: int) -> None:
    frame = Frame("MESSAGE", {**headers, "content-length": str(len(body))}, body)
    sent = frame.encoded() + b"\n\n" + frame.encoded()
    frames = Frames()

    found = [each for at in range(0, len(sent), step) for each in frames.feed(sent[at : at + step])]

    assert found == [frame, frame]


@pytest.mark.parametrize(
    ("sent", "frame"),
    [
        (b"MESSAGE\nid:1\n\ntext\0", Frame("MESSAGE", {"id": "1"}, b"text")),
        (b"\n\r\nMESSAGE\r\nid:1\r\n\r\ntext\0", Frame("MESSAGE", {"id": "1"}, b"text")),
        (b"MESSAGE\nid:first\nid:second\n\n\0", Frame("MESSAGE", {"id": "first"})),
        (b"MESSAGE\nmessage-id:ID\\c1\\n\\\\\n\n\0", Frame("MESSAGE", {"message-id": "ID:1\n\\"})),
        (b"CONNECTED\nserver:a\\cb\n\n\0", Frame("CONNECTED", {"server": "a\\cb"})),
    ],
)
def test_a_frame_is_read_as_the_protocol_says(sent: bytes, frame: Frame) -> None:
    assert list(Frames().feed(sent)) == [frame]


def test_a_frame_that_is_not_whole_is_waited_for() -> None:
    frames = Frames()

    assert list(frames.feed(b"MESSAGE\ncontent-length:3\n\na\0b")) == []
    assert [each.body for each in frames.feed(b"\0")] == [b"a\0b"]


def test_messages_come_as_far_ahead_as_was_asked_for(broker: StompBroker) -> None:
    broker.send("orders", "1", "2", "3")

    async def scenario(connection: Connection) -> list[bytes]:
        await connection.subscribe("/queue/orders", {"activemq.prefetchSize": "2"})
        await connection.greet()
        return [each.body for each in connection.messages]

    assert connected(broker, scenario) == [b"1", b"2"]


def test_what_is_acknowledged_is_gone_when_the_call_is_done(broker: StompBroker) -> None:
    broker.send("orders", "1", "2")

    async def scenario(connection: Connection) -> list[bytes]:
        await connection.subscribe("/queue/orders", {"activemq.prefetchSize": "9"})
        await connection.greet()
        await connection.settle("ACK", [each.headers["ack"] for each in connection.messages])
        return broker.bodies("orders")

    assert connected(broker, scenario) == []


def test_a_wrong_password_is_said_in_the_words_of_the_broker(broker: StompBroker) -> None:
    async def scenario(connection: Connection) -> None:
        raise AssertionError("it was let in")

    with pytest.raises(Trouble, match="password is invalid"):
        connected(broker, scenario, password="wrong")


def test_a_server_that_is_lost_is_noticed_by_whoever_waits(broker: StompBroker) -> None:
    async def scenario(connection: Connection) -> str:
        broker.cut()
        await connection.arrives(10)
        with pytest.raises(Trouble) as caught:
            connection.check()
        return str(caught.value)

    assert connected(broker, scenario) == "the connection is lost"
