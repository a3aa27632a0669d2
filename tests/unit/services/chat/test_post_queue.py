"""Posts that wait for each other: stored alone or in batches, in order, each with its own result."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from church.errors import UnavailableError
from church.services.chat import post_queue
from church.services.chat.post_queue import PostQueue
from tests.support.services_fixture import wait_until


class Store:
    """Stores numbers as text, when it may; remembers its batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.may_end = threading.Event()
        self.may_end.set()
        self.error: BaseException | None = None

    def __call__(self, posts: Sequence[int]) -> list[str | Exception]:
        self.batches.append(list(posts))
        assert self.may_end.wait(60)
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        return [ValueError(post) if post < 0 else str(post) for post in posts]


class Sender(threading.Thread):
    """A member who posts one number in a thread of their own."""

    def __init__(self, queue: PostQueue[int, str], post: int) -> None:
        super().__init__(daemon=True)
        self._queue, self._post = queue, post
        self.result: str | BaseException | None = None
        before = len(queue._waiting)
        self.start()
        wait_until(lambda: len(queue._waiting) > before or queue._has_leader, "the post waits or is stored")

    def run(self) -> None:
        try:
            self.result = self._queue.store(self._post)
        except BaseException as error:  # noqa: BLE001 - the test checks it
            self.result = error

    def ended(self) -> str | BaseException | None:
        self.join(60)
        assert not self.is_alive()
        return self.result


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def queue(store: Store) -> PostQueue[int, str]:
    return PostQueue(store)


def busy(store: Store, queue: PostQueue[int, str], post: int = 0) -> Sender:
    """A sender whose post is being stored until ``store.may_end``."""
    store.may_end.clear()
    first = Sender(queue, post)
    wait_until(lambda: len(store.batches) == 1, "the first post is being stored")
    return first


def waiting(queue: PostQueue[int, str], posts: Sequence[int]) -> list[Sender]:
    """Senders whose posts wait, in this order."""
    senders = []
    for number, post in enumerate(posts, 1):
        senders.append(Sender(queue, post))
        wait_until(lambda number=number: len(queue._waiting) == number, "the post waits")  # type: ignore[misc]
    return senders


def test_post_alone_is_stored_at_once_and_leaves_nothing(store: Store, queue: PostQueue[int, str]) -> None:
    assert [queue.store(1), queue.store(2)] == ["1", "2"]
    assert store.batches == [[1], [2]]
    assert (list(queue._waiting), queue._has_leader) == ([], False)


def test_posts_that_come_meanwhile_are_the_next_batch_in_their_order(store: Store, queue: PostQueue[int, str]) -> None:
    first = busy(store, queue)
    others = waiting(queue, [1, 2, 3, 4])
    store.may_end.set()
    assert first.ended() == "0"
    assert [one.ended() for one in others] == ["1", "2", "3", "4"]
    assert store.batches == [[0], [1, 2, 3, 4]]
    assert queue.store(5) == "5"


def test_error_of_one_post_is_raised_for_its_sender_alone(store: Store, queue: PostQueue[int, str]) -> None:
    first = busy(store, queue, -7)
    others = waiting(queue, [1, -2, 3])
    store.may_end.set()
    assert isinstance(first.ended(), ValueError)
    assert [str(one.ended()) for one in others] == ["1", "-2", "3"]
    assert isinstance(others[1].result, ValueError)


def test_failed_batch_raises_for_all_of_it_and_for_no_other(store: Store, queue: PostQueue[int, str]) -> None:
    first = busy(store, queue)
    others = waiting(queue, [1, 2])
    store.error = ZeroDivisionError()
    store.may_end.set()
    assert isinstance(first.ended(), ZeroDivisionError)
    assert [one.ended() for one in others] == ["1", "2"]


def test_batch_has_a_limit(store: Store, queue: PostQueue[int, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(post_queue, "MAX_BATCH", 2)
    first = busy(store, queue)
    others = waiting(queue, [1, 2, 3, 4, 5])
    store.may_end.set()
    assert [one.ended() for one in (first, *others)] == ["0", "1", "2", "3", "4", "5"]
    assert store.batches == [[0], [1, 2], [3, 4], [5]]


class EndedError(BaseException):
    """Ends a thread, as a killed greenlet is ended."""


def test_leader_that_is_ended_leaves_the_others_to_the_next(store: Store, queue: PostQueue[int, str]) -> None:
    first = busy(store, queue)
    others = waiting(queue, [1, 2])
    store.error = EndedError()
    store.may_end.set()
    assert isinstance(first.ended(), EndedError)
    assert [one.ended() for one in others] == ["1", "2"]


def test_sender_that_shares_the_batch_of_an_ended_leader_learns_that_it_may_be_lost(
    store: Store, queue: PostQueue[int, str]
) -> None:
    first = busy(store, queue)
    leader, follower = waiting(queue, [1, 2])
    original = store.may_end
    store.may_end = threading.Event()
    original.set()
    assert first.ended() == "0"
    wait_until(lambda: len(store.batches) == 2, "the second batch is being stored")
    store.error = EndedError()
    store.may_end.set()
    assert isinstance(leader.ended(), EndedError)
    assert isinstance(follower.ended(), UnavailableError)
    assert queue.store(3) == "3"


def test_waiting_sender_that_is_ended_takes_its_post_back(
    store: Store, queue: PostQueue[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = busy(store, queue)

    class Ending(threading.Event):
        def wait(self, _timeout: float | None = None) -> bool:
            raise EndedError

    with monkeypatch.context() as ending:
        ending.setattr(post_queue.threading, "Event", Ending)
        with pytest.raises(EndedError):
            queue.store(1)
    (last,) = waiting(queue, [2])
    store.may_end.set()
    assert [first.ended(), last.ended()] == ["0", "2"]
    assert store.batches == [[0], [2]]
