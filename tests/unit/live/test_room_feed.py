"""A room's changes reach each client once and in order, whatever is lost, overtaken or repeated on the way."""

from __future__ import annotations

from typing import Any

import gevent
import pytest

from church.live.room_feed import Feed
from church.services import chat
from church.services.chat import MessageView, RoomView
from tests.support.live_stubs import StubClient, StubHub, let_run, person, said

ROOM = RoomView(1, "public", "Public", "members", head=0)


class Rows:
    """The table of messages: everything that was said, and whether it can be read."""

    def __init__(self) -> None:
        self.said: list[MessageView] = []
        self.reads = 0
        self.slow = False
        self.down = False

    def add(self, last: int) -> list[MessageView]:
        self.said = [said(number) for number in range(1, last + 1)]
        return self.said

    def since(self, _room_id: int, changed: int, limit: int = 500) -> list[MessageView]:
        self.reads += 1
        if self.down:
            raise ConnectionError
        found = [view for view in self.said if view.changed > changed][:limit]
        if self.slow:
            gevent.sleep(0.01)
        return found


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> Rows:
    table = Rows()
    monkeypatch.setattr(chat, "since", table.since)
    return table


def feed_with(*clients: StubClient) -> tuple[Feed, Any]:
    hub: Any = StubHub()
    feed = Feed(ROOM, hub.connections_of, hub.guarded)
    feed.members.update(clients)  # type: ignore[arg-type]
    return feed, hub


def test_feed_passes_on_what_follows_without_asking_the_database(rows: Rows) -> None:
    client = StubClient()
    feed, _ = feed_with(client)
    for view in rows.add(3):
        feed.hear(view)
        feed.hear(view)  # by the store, too
    let_run(lambda: len(client.sent) == 3, "three messages")
    feed.hear(rows.said[0])  # and once more, late
    let_run(lambda: not feed._is_running, "nothing is left to do")
    assert client.numbers() == [1, 2, 3]
    assert rows.reads == 0


def test_feed_that_hears_the_second_first_waits_a_moment_for_the_first(rows: Rows) -> None:
    client = StubClient()
    feed, _ = feed_with(client)
    one, two = rows.add(2)
    feed.hear(two)
    gevent.sleep(0)
    feed.hear(one)
    let_run(lambda: len(client.sent) == 2, "both messages")
    assert client.numbers() == [1, 2]
    assert rows.reads == 0


def test_feed_with_a_gap_reads_on_in_the_database(rows: Rows) -> None:
    client = StubClient()
    feed, _ = feed_with(client)
    feed.hear(rows.add(5)[4])
    let_run(lambda: len(client.sent) == 5, "what was lost")
    assert client.numbers() == [1, 2, 3, 4, 5]


def test_feed_goes_on_where_it_was_when_the_database_is_back(rows: Rows) -> None:
    client = StubClient()
    feed, hub = feed_with(client)
    rows.add(2)
    rows.down = True
    feed.look()
    let_run(lambda: hub.failed, "a failed look")
    rows.down = False
    feed.look()
    let_run(lambda: len(client.sent) == 2, "both messages")


def test_feed_does_not_wait_for_what_was_purged(rows: Rows) -> None:
    client = StubClient()
    feed, _ = feed_with(client)
    feed.hear(said(7))
    let_run(lambda: client.sent, "the message after the gap")
    assert client.numbers() == [7]
    assert feed.last == 7


def test_client_that_comes_back_is_told_what_it_missed_once_and_then_that_it_is_here(rows: Rows) -> None:
    feed, _ = feed_with(StubClient())
    feed.last = 450
    rows.add(450)
    back: Any = StubClient()
    feed.join(back, RoomView(1, "public", "Public", "members", head=450), 3)
    assert back.numbers() == list(range(4, 451))
    assert back.sent[-1] == {"type": "room_joined", "room": "public", "title": "Public", "changed": 450}


def test_client_that_joins_while_others_speak_misses_nothing_and_hears_nothing_twice(rows: Rows) -> None:
    here: Any = StubClient()
    feed, _ = feed_with(here)
    rows.slow = True
    rows.add(300)
    feed.last = 300
    back: Any = StubClient()
    joining = gevent.spawn(feed.join, back, RoomView(1, "public", "Public", "members", head=300), 0)
    for number in range(301, 341):
        rows.said.append(said(number))
        feed.hear(rows.said[-1])
        gevent.sleep(0.001)
    joining.get(timeout=60)
    let_run(lambda: back.numbers()[-1] == 340 and here.numbers()[-1:] == [340], "the last message")
    assert back.numbers() == list(range(1, 341))
    assert here.numbers() == list(range(301, 341))


def test_client_that_was_given_more_than_the_others_here_is_not_told_it_again(rows: Rows) -> None:
    here: Any = StubClient()
    feed, _ = feed_with(here)
    feed.last = 5
    rows.add(8)  # the last three were said elsewhere, and nobody has told this worker
    back: Any = StubClient()
    feed.join(back, RoomView(1, "public", "Public", "members", head=8), 2)
    assert back.numbers() == [3, 4, 5, 6, 7, 8]
    assert here.numbers() == [6, 7, 8]


def test_cursor_beyond_the_room_is_taken_for_its_end(rows: Rows) -> None:
    feed, _ = feed_with()
    ahead: Any = StubClient()
    feed.join(ahead, ROOM, 1_000_000)
    assert ahead.sent[-1]["changed"] == 0


def test_client_id_is_told_to_the_author_alone(rows: Rows) -> None:
    eve, ada = StubClient(person("eve")), StubClient(person("ada"))
    feed, hub = feed_with(eve, ada)
    hub.by_member = {"eve": {eve}, "ada": {ada}}
    feed.hear(said(1, "eve", client_id="c1"))
    let_run(lambda: eve.sent and ada.sent, "the message")
    assert eve.sent[0]["client_id"] == "c1"
    assert "client_id" not in ada.sent[0]


def test_client_that_has_gone_is_not_taken_back(rows: Rows) -> None:
    feed, _ = feed_with()
    gone: Any = StubClient(is_open=False)
    feed.join(gone, ROOM, 0)
    assert gone.sent == []
    assert feed.is_empty


def test_client_that_joins_does_not_wait_for_what_was_purged(rows: Rows) -> None:
    here: Any = StubClient()
    feed, _ = feed_with(here)
    feed.last = 5
    rows.add(5)  # three more were said, of which nobody has told this worker before they were purged
    back: Any = StubClient()
    joining = gevent.spawn(feed.join, back, RoomView(1, "public", "Public", "members", head=8), None)
    let_run(joining.ready, "it is here")
    assert back.sent[-1]["changed"] == feed.last == 8
    feed.hear(said(9))
    let_run(lambda: here.sent and back.numbers(), "what is said after that")


def test_feed_reads_on_until_there_is_no_more(rows: Rows) -> None:
    client = StubClient()
    feed, _ = feed_with(client)
    rows.add(1200)
    feed.look()
    let_run(lambda: len(client.sent) == 1200, "all of it")


def test_client_that_comes_back_slowly_has_little_kept_for_it_and_misses_nothing(rows: Rows) -> None:
    feed, _ = feed_with()
    feed.last = len(rows.add(10))
    slow: Any = StubClient(is_behind=True)
    gevent.spawn(feed.join, slow, RoomView(1, "public", "Public", "members", head=10), 0)
    let_run(lambda: slow.sent, "the first page")
    for number in range(11, 1001):
        rows.said.append(said(number))
        feed.hear(rows.said[-1])
    let_run(lambda: feed.last == 1000, "what was said meanwhile")
    assert len(feed._joining[slow]) <= 256
    slow.is_behind = False
    let_run(lambda: slow.sent[-1]["type"] == "room_joined", "it is here")
    assert slow.numbers() == list(range(1, 1001))


def test_what_is_said_now_does_not_wait_for_all_who_come_back(rows: Rows) -> None:
    class Here(StubClient):
        def send(self, frame: bytes, kind: str = "") -> bool:
            reads_before.append(rows.reads)
            return super().send(frame, kind)

    reads_before: list[int] = []
    here: Any = Here()
    feed, _ = feed_with(here)
    feed.last = len(rows.add(2000))
    crowd: list[Any] = [StubClient() for _ in range(30)]
    room = RoomView(1, "public", "Public", "members", head=2000)
    coming = [gevent.spawn(feed.join, one, room, 0) for one in crowd]
    feed.hear(said(2001))
    let_run(lambda: here.sent, "what is said now")
    assert reads_before[0] < 30  # of 300
    gevent.joinall(coming, timeout=120, raise_error=True)
    assert all(one.numbers()[:2000] == list(range(1, 2001)) for one in crowd)
