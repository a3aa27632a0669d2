"""A room's changes reach each client once and in order, even if broadcasts are lost, overtaken or repeated."""

from __future__ import annotations

from typing import Any

import gevent
import pytest

from church.live.room_feed import RoomFeed
from church.services import chat
from church.services.chat import MessageView, RoomView
from tests.support.live_stubs import StubClient, StubHub, person, run_until, said

ROOM = RoomView(1, "public", "Public", "members", head=0)


class Rows:
    """Replaces the messages table; may be slow or down."""

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
    monkeypatch.setattr(chat, "list_changes", table.since)
    return table


def feed_with(*clients: StubClient) -> tuple[RoomFeed, Any]:
    hub: Any = StubHub()
    feed = RoomFeed(ROOM, hub.connections_of, hub.guarded)
    feed.members.update(clients)  # type: ignore[arg-type]
    return feed, hub


def test_next_change_is_passed_on_without_the_database(rows: Rows) -> None:
    client = StubClient()
    feed, _ = feed_with(client)
    for view in rows.add(3):
        feed.hear(view)
        feed.hear(view)  # again, by the store
    run_until(lambda: len(client.sent) == 3, "three messages")
    feed.hear(rows.said[0])  # again, late
    run_until(lambda: not feed._is_running, "the feed is idle")
    assert client.numbers() == [1, 2, 3]
    assert rows.reads == 0


def test_overtaken_change_is_waited_for_briefly(rows: Rows) -> None:
    client = StubClient()
    feed, _ = feed_with(client)
    one, two = rows.add(2)
    feed.hear(two)
    gevent.sleep(0)
    feed.hear(one)
    run_until(lambda: len(client.sent) == 2, "both messages")
    assert client.numbers() == [1, 2]
    assert rows.reads == 0


def test_gap_is_read_from_the_database(rows: Rows) -> None:
    client = StubClient()
    feed, _ = feed_with(client)
    feed.hear(rows.add(5)[4])
    run_until(lambda: len(client.sent) == 5, "the missing changes")
    assert client.numbers() == [1, 2, 3, 4, 5]


def test_feed_continues_when_the_database_is_back(rows: Rows) -> None:
    client = StubClient()
    feed, hub = feed_with(client)
    rows.add(2)
    rows.down = True
    feed.look()
    run_until(lambda: hub.failed, "a failed look")
    rows.down = False
    feed.look()
    run_until(lambda: len(client.sent) == 2, "both messages")


def test_feed_does_not_wait_for_purged_changes(rows: Rows) -> None:
    client = StubClient()
    feed, _ = feed_with(client)
    feed.hear(said(7))
    run_until(lambda: client.sent, "the message after the gap")
    assert client.numbers() == [7]
    assert feed.last == 7


def test_returning_client_gets_missed_changes_once_then_room_joined(rows: Rows) -> None:
    feed, _ = feed_with(StubClient())
    feed.last = 450
    rows.add(450)
    back: Any = StubClient()
    feed.join(back, RoomView(1, "public", "Public", "members", head=450), 3)
    assert back.numbers() == list(range(4, 451))
    assert back.sent[-1] == {"type": "room_joined", "room": "public", "title": "Public", "changed": 450}


def test_join_during_new_messages_gets_each_once(rows: Rows) -> None:
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
    run_until(lambda: back.numbers()[-1] == 340 and here.numbers()[-1:] == [340], "the last message")
    assert back.numbers() == list(range(1, 341))
    assert here.numbers() == list(range(301, 341))


def test_join_ahead_of_the_feed_gets_no_change_twice(rows: Rows) -> None:
    here: Any = StubClient()
    feed, _ = feed_with(here)
    feed.last = 5
    rows.add(8)  # the last three come from elsewhere, and this worker has not heard of them
    back: Any = StubClient()
    feed.join(back, RoomView(1, "public", "Public", "members", head=8), 2)
    assert back.numbers() == [3, 4, 5, 6, 7, 8]
    assert here.numbers() == [6, 7, 8]


def test_cursor_beyond_the_room_means_its_end(rows: Rows) -> None:
    feed, _ = feed_with()
    ahead: Any = StubClient()
    feed.join(ahead, ROOM, 1_000_000)
    assert ahead.sent[-1]["changed"] == 0


def test_client_id_is_sent_only_to_the_author(rows: Rows) -> None:
    eve, ada = StubClient(person("eve")), StubClient(person("ada"))
    feed, hub = feed_with(eve, ada)
    hub.by_member = {"eve": {eve}, "ada": {ada}}
    feed.hear(said(1, "eve", client_id="c1"))
    run_until(lambda: eve.sent and ada.sent, "the message")
    assert eve.sent[0]["client_id"] == "c1"
    assert "client_id" not in ada.sent[0]


def test_join_of_a_closed_connection_is_ignored(rows: Rows) -> None:
    feed, _ = feed_with()
    gone: Any = StubClient(is_open=False)
    feed.join(gone, ROOM, 0)
    assert gone.sent == []
    assert feed.is_empty


def test_join_does_not_wait_for_purged_changes(rows: Rows) -> None:
    here: Any = StubClient()
    feed, _ = feed_with(here)
    feed.last = 5
    rows.add(5)  # three more were sent, and purged before this worker heard of them
    back: Any = StubClient()
    joining = gevent.spawn(feed.join, back, RoomView(1, "public", "Public", "members", head=8), None)
    run_until(joining.ready, "it has joined")
    assert back.sent[-1]["changed"] == feed.last == 8
    feed.hear(said(9))
    run_until(lambda: here.sent and back.numbers(), "the next message")


def test_feed_reads_all_pages_of_the_database(rows: Rows) -> None:
    client = StubClient()
    feed, _ = feed_with(client)
    rows.add(1200)
    feed.look()
    run_until(lambda: len(client.sent) == 1200, "all changes")


def test_slow_returning_client_has_a_bounded_backlog_and_misses_nothing(rows: Rows) -> None:
    feed, _ = feed_with()
    feed.last = len(rows.add(10))
    slow: Any = StubClient(is_behind=True)
    gevent.spawn(feed.join, slow, RoomView(1, "public", "Public", "members", head=10), 0)
    run_until(lambda: slow.sent, "the first page")
    for number in range(11, 1001):
        rows.said.append(said(number))
        feed.hear(rows.said[-1])
    run_until(lambda: feed.last == 1000, "the changes meanwhile")
    assert len(feed._joining[slow]) <= 256
    slow.is_behind = False
    run_until(lambda: slow.sent[-1]["type"] == "room_joined", "it has joined")
    assert slow.numbers() == list(range(1, 1001))


def test_new_message_does_not_wait_for_returning_clients(rows: Rows) -> None:
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
    run_until(lambda: here.sent, "the new message")
    assert reads_before[0] < 30  # of 300
    gevent.joinall(coming, timeout=120, raise_error=True)
    assert all(one.numbers()[:2000] == list(range(1, 2001)) for one in crowd)
