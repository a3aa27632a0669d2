"""Parallel changes of one chat room, on both databases: one order, nothing twice, nothing missed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from flask import Flask

from church.errors import UnauthorizedError
from church.extensions import db
from church.models import User
from church.services import chat
from church.services.accounts import find_account
from church.services.accounts.deletion import empty_account
from church.services.chat import history
from church.services.chat.store_posts import Post, Stored, store_posts
from church.web import rate_limits
from tests.support.chat_fixture import ROOM, speaker
from tests.support.people import DEVICE

pytestmark = pytest.mark.services

Act = Callable[[], Any]


@pytest.fixture
def site(patient_database: None, on_both: Flask) -> Flask:
    """A site on each database, with a high posting limit."""
    on_both.config["CHURCH"] = on_both.config["CHURCH"].model_copy(update={"limit_chat": "1000/minute"})
    return on_both


def at_once(app: Flask, acts: Sequence[Act]) -> list[Any]:
    """Run the acts in parallel, each in its own thread and app context; what each returned or raised."""
    start = threading.Barrier(len(acts))
    results: list[Any] = [None] * len(acts)

    def run(number: int, act: Act) -> None:
        with app.app_context():
            start.wait(120)
            try:
                results[number] = act()
            except Exception as error:  # noqa: BLE001 - the test checks it
                results[number] = error

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
        assert not thread.is_alive()
    return results


def test_parallel_changes_have_one_order_and_a_reader_misses_none(site: Flask) -> None:
    speakers = [speaker(site, f"S{number}") for number in range(4)]
    room = chat.load_open_room(speakers[0], ROOM)
    done = threading.Event()

    def talk(number: int) -> list[chat.MessageView]:
        one, said = speakers[number], []
        for turn in range(6):
            said.append(chat.post_message(one, ROOM, f"{number}.{turn}", f"c{turn}"))
            if turn % 2:
                said.append(chat.edit_message(one, ROOM, said[-1].id, f"{number}.{turn} again"))
        chat.delete_message(one, ROOM, said[0].id, DEVICE)
        return said

    def follow() -> list[chat.MessageView]:
        seen: list[chat.MessageView] = []
        while True:
            last = done.is_set()
            found = chat.list_changes(room.id, seen[-1].changed if seen else 0)
            seen += found
            if last and not found:
                return seen

    def talk_all() -> list[Any]:
        try:
            return at_once(site, [lambda number=number: talk(number) for number in range(4)])
        finally:
            done.set()

    said, seen = at_once(site, [talk_all, follow])
    flat = [view for views in said for view in views]
    assert sorted(view.changed for view in flat) == sorted(set(range(1, 41)) - _deletions(site, room.id))
    assert [view.changed for view in seen] == sorted({view.changed for view in seen})
    final = {view.id: view for view in seen}  # the last state of each that the reader got
    assert sorted(final.values(), key=lambda view: view.changed) == chat.list_changes(room.id, 0)
    for number in range(4):  # each author's messages keep their order
        numbers = [view.id for view in said[number] if view.edited_at is None]
        assert numbers == sorted(numbers)


def _deletions(app: Flask, room_id: int) -> set[int]:
    found = {view.changed for view in chat.list_changes(room_id, 0) if view.deleted}
    assert len(found) == 4
    return found


def test_message_sent_many_times_at_once_is_stored_once(site: Flask) -> None:
    ada = speaker(site)
    views = at_once(site, [lambda: chat.post_message(ada, ROOM, "hello", "the-one") for _ in range(8)])
    assert set(views) == {views[0]}
    assert chat.list_newest_changes()[ROOM] == 1  # the repeats took no number


def test_batches_of_several_workers_are_stored_once_in_one_order(site: Flask) -> None:
    """Each thread is a worker with batches of its own; all resend what the others send, too."""
    speakers = [speaker(site, f"S{number}") for number in range(3)]

    def send(turn: int) -> list[int]:
        posts = [Post(one, ROOM, f"{one.name} {n}", f"c-{n}") for n in range(turn, turn + 6) for one in speakers]
        results = [one for one in store_posts(posts) if isinstance(one, Stored)]
        assert [one.view.client_id for one in results] == [one.client_id for one in posts]
        return [one.view.id for one in results if one.is_new]

    new = at_once(site, [lambda turn=turn: send(turn) for turn in (0, 2, 4, 6)])
    assert all(numbers == sorted(numbers) for numbers in new)
    assert sorted(number for numbers in new for number in numbers) == list(range(1, 37))
    found = history.list_messages(chat.load_open_room(speakers[0], ROOM).id, limit=100)
    assert [view.id for view in found] == list(range(1, 37))
    assert len({(view.from_ref, view.client_id) for view in found}) == 36


def test_rate_limit_allows_exactly_its_number_in_parallel(site: Flask) -> None:
    site.config["CHURCH"] = site.config["CHURCH"].model_copy(update={"limit_chat": "3/hour"})
    taken = at_once(site, [lambda: rate_limits.count_or_wait("chat", "a-member") for _ in range(8)])
    assert sum(wait is None for wait in taken) == 3


def test_account_deleted_while_posting_leaves_nothing_and_does_not_deadlock(site: Flask) -> None:
    ada, bea = speaker(site), speaker(site, "Bea")
    room = chat.load_open_room(bea, ROOM)
    for turn in range(3):
        chat.post_message(ada, ROOM, f"early {turn}", None)

    def leave() -> None:
        with db.write() as session:
            user = find_account.lock_account(session, ada.user_id)
            assert isinstance(user, User)
            empty_account(session, user)

    def speak() -> None:
        for turn in range(6):
            chat.post_message(ada, ROOM, f"late {turn}", None)

    def listen() -> None:
        for turn in range(6):
            chat.post_message(bea, ROOM, f"hers {turn}", None)

    left, spoke, listened = at_once(site, [leave, speak, listen])
    assert (left, listened) == (None, None)
    assert spoke is None or isinstance(spoke, UnauthorizedError)
    assert [view.text for view in history.list_messages(room.id)] == [f"hers {turn}" for turn in range(6)]
