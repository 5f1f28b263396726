"""What the log store keeps, and what it lets go."""

from lambdaform.local.logs.store import MOST_CHARACTERS, MOST_EVENTS, MOST_IN_ALL, LogStore

KEY = ("123456789012", "us-east-1", "group")


def written(*texts: str) -> list[str]:
    store = LogStore(lambda: 0.0)
    for text in texts:
        store.write(KEY, "stream", text)
    group = store.get(KEY)
    assert group is not None
    return [event.message for event in group.streams["stream"].events]


def test_the_oldest_events_go_when_there_are_too_many() -> None:
    kept = written(*(str(number) for number in range(MOST_EVENTS + 1)))

    assert kept[-1] == str(MOST_EVENTS)
    assert len(kept) < MOST_EVENTS


def test_the_oldest_events_go_when_they_are_too_long() -> None:
    piece = "x" * (MOST_CHARACTERS // 4)
    kept = written("first", piece, piece, piece, piece, "last")

    assert kept[-1] == "last"
    assert "first" not in kept
    assert sum(len(text) for text in kept) <= MOST_CHARACTERS


def test_the_longest_streams_lose_events_when_all_have_too_many_together() -> None:
    store = LogStore(lambda: 0.0)
    for number in range(MOST_IN_ALL + 50_000):
        store.write(KEY, "short" if number % 5_000 == 0 else f"stream {number % 4}", "x")
    group = store.get(KEY)
    assert group is not None

    assert sum(len(stream.events) for stream in group.streams.values()) < MOST_IN_ALL + 10_000
    assert len(group.streams["short"].events) == 50


def test_the_last_event_stays_however_long_it_is() -> None:
    assert len(written("x" * (MOST_CHARACTERS + 1))) == 1
