"""Counting in the worker's memory and in the store: what is let by, what is refused and for how long."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import settings as of_hypothesis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from church.store import KeyLimit, RateCounters, rate_counters
from church.store.rate_counters import Settler
from tests.support.clock import Clock
from tests.support.counting_store import CountingStore
from tests.support.services_fixture import wait_until

LIMIT = KeyLimit("a", amount=3, seconds=60)
HOURLY = KeyLimit("password", amount=3, seconds=3600)
wake = Settler.wake  # the real one: in tests it does nothing


def ignore_wake() -> None:
    """Settle nothing in the background."""


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> CountingStore:
    return CountingStore(clock)


@pytest.fixture
def start(store: CountingStore, clock: Clock) -> Callable[[], RateCounters]:
    """Start a worker."""
    return lambda: RateCounters(store, clock, ignore_wake)


@pytest.fixture
def worker(start: Callable[[], RateCounters]) -> RateCounters:
    return start()


def taken(worker: RateCounters, times: int, limit: KeyLimit = LIMIT, *, exact: bool = False) -> int:
    """How many of ``times`` are let by."""
    return [worker.take(limit, exact=exact) for _ in range(times)].count(None)


# -- one worker -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exact", [False, True])
def test_take_lets_by_the_limit_and_no_more(worker: RateCounters, exact: bool) -> None:
    assert taken(worker, 10, exact=exact) == 3


def test_take_makes_no_call_to_the_store(worker: RateCounters, store: CountingStore) -> None:
    taken(worker, 10)
    assert store.calls == []


def test_take_exact_calls_the_store_once_each(worker: RateCounters, store: CountingStore) -> None:
    taken(worker, 4, exact=True)
    assert store.calls == [["a"]] * 4


def test_settle_sends_all_changed_keys_in_one_call_and_unchanged_ones_never(
    worker: RateCounters, store: CountingStore
) -> None:
    for key in ("a", "b", "a"):
        worker.take(LIMIT._replace(key=key))
    assert worker.settle()
    assert worker.settle()
    assert store.calls == [["a", "b"]]
    assert (store.total("a"), store.total("b")) == (2, 1)


def test_settle_many_keys_sends_several_calls_of_bounded_size(worker: RateCounters, store: CountingStore) -> None:
    for number in range(1100):
        worker.take(LIMIT._replace(key=str(number)))
    worker.settle()
    assert [len(call) for call in store.calls] == [500, 500, 100]


def test_refused_request_is_not_counted(worker: RateCounters, store: CountingStore) -> None:
    taken(worker, 10)
    worker.settle()
    taken(worker, 10, exact=True)
    assert store.total("a") == 3


@pytest.mark.parametrize("exact", [False, True])
def test_take_of_two_keys_counts_neither_if_one_is_full(
    worker: RateCounters, store: CountingStore, exact: bool
) -> None:
    narrow, wide = LIMIT._replace(amount=1), LIMIT._replace(key="wide", amount=3)
    assert worker.take(narrow, wide, exact=exact) is None
    assert worker.take(narrow, wide, exact=exact) == 60
    worker.settle()
    assert (store.total("a"), store.total("wide")) == (1, 1)
    others = [worker.take(narrow._replace(key=key), wide, exact=exact) for key in "xyz"]
    assert others == [None, None, 60]


@given(
    seconds=st.sampled_from([1, 60, 3600, 86400]),
    share=st.floats(min_value=0, max_value=1, exclude_max=True),
    exact=st.booleans(),
    settled=st.booleans(),
)
def test_wait_is_whole_seconds_within_the_window_and_enough(
    seconds: int, share: float, exact: bool, settled: bool
) -> None:
    clock = Clock()
    worker = RateCounters(CountingStore(clock), clock, ignore_wake)
    limit = KeyLimit("a", 1, seconds)
    worker.take(limit, exact=exact)
    if settled:
        worker.settle()
    clock.now += seconds * share
    wait = worker.take(limit, exact=exact)
    if wait is None:  # the last millisecond, which the store rounds
        assert seconds * (1 - share) < 0.001
        return
    assert 1 <= wait <= seconds
    clock.now += wait
    assert worker.take(limit, exact=exact) is None


@pytest.mark.parametrize(("left", "wait"), [(-0.5, 1), (0.0, 1), (0.2, 1), (59.1, 60), (60.0, 60), (3600.0, 60)])
def test_wait_is_never_zero_nor_beyond_the_window_whatever_the_clocks_say(left: float, wait: int) -> None:
    assert rate_counters._whole_seconds(left, 60) == wait


def test_window_begins_with_its_first_request(worker: RateCounters, clock: Clock) -> None:
    worker.take(LIMIT)
    clock.now += 59
    assert [worker.take(LIMIT) for _ in range(3)] == [None, None, 1]
    clock.now += 1
    assert taken(worker, 4) == 3


def test_requests_of_an_ended_window_are_not_settled(worker: RateCounters, store: CountingStore, clock: Clock) -> None:
    taken(worker, 3)
    clock.now += 60
    worker.settle()
    assert store.calls == []
    worker.take(LIMIT)
    worker.settle()
    assert store.total("a") == 1


def test_add_counts_beyond_the_limit_and_seconds_until_free_counts_nothing(worker: RateCounters) -> None:
    assert worker.seconds_until_free(LIMIT) is None
    assert [worker.add(LIMIT) for _ in range(5)] == [1, 2, 3, 4, 5]
    assert [worker.seconds_until_free(LIMIT) for _ in range(3)] == [60] * 3
    assert worker.add(LIMIT) == 6


@pytest.mark.parametrize("down", [False, True])
def test_give_back_frees_one_and_never_more_than_was_counted(
    worker: RateCounters, store: CountingStore, down: bool
) -> None:
    worker.give_back(LIMIT)
    assert taken(worker, 5, exact=True) == 3
    store.down = down
    worker.give_back(LIMIT)
    assert taken(worker, 5, exact=True) == 1


def test_give_back_while_the_store_is_down_reaches_it_afterwards(worker: RateCounters, store: CountingStore) -> None:
    taken(worker, 3, exact=True)
    store.down = True
    worker.give_back(LIMIT)
    store.down = False
    assert worker.settle()
    assert store.total("a") == 2


def test_give_back_after_the_window_has_ended_leaves_the_next_one_whole(worker: RateCounters, clock: Clock) -> None:
    taken(worker, 3, exact=True)
    clock.now += 60
    worker.give_back(LIMIT)
    assert taken(worker, 5, exact=True) == 3


def test_reset_frees_the_key_in_memory_and_in_the_store(worker: RateCounters, store: CountingStore) -> None:
    taken(worker, 3)
    worker.settle()
    worker.reset(LIMIT)
    assert store.total("a") == 0
    assert taken(worker, 4) == 3


# -- several workers --------------------------------------------------------------------------------------------------


def test_worker_that_has_settled_refuses_what_others_used_up(start: Callable[[], RateCounters]) -> None:
    first, second = start(), start()
    assert (taken(first, 2), taken(second, 1)) == (2, 1)
    first.settle()
    second.settle()
    assert (taken(first, 1), taken(second, 1)) == (1, 0)
    first.settle()
    assert taken(first, 1) == 0


def test_worker_alone_never_exceeds_the_limit_and_each_other_adds_at_most_the_limit(
    start: Callable[[], RateCounters],
) -> None:
    workers = [start() for _ in range(4)]
    assert [taken(worker, 10) for worker in workers] == [3] * 4
    for worker in workers:
        worker.settle()
    assert [taken(worker, 10) for worker in workers] == [0] * 4


def test_exact_limit_over_workers_is_never_exceeded(start: Callable[[], RateCounters]) -> None:
    workers = [start() for _ in range(4)]
    assert sum(taken(worker, 2, exact=True) for worker in workers) == 3


class SettledLimit(RuleBasedStateMachine):
    """One window of one key, taken by some workers that settle at any moment."""

    @initialize(workers=st.integers(1, 4), amount=st.integers(1, 12))
    def begin(self, workers: int, amount: int) -> None:
        clock = Clock()
        self.store = CountingStore(clock)
        self.limit = KeyLimit("a", amount, 60)
        self.workers = [RateCounters(self.store, clock, ignore_wake) for _ in range(workers)]
        self.let_by = 0
        self.since = [0] * workers
        """What each let by between its last settlement before the limit was reached and its first after."""
        self.informed: set[int] = set()

    @rule(number=st.integers(0, 3), times=st.integers(1, 8))
    def take(self, number: int, times: int) -> None:
        number %= len(self.workers)
        count = taken(self.workers[number], times, self.limit)
        assert not (count and number in self.informed), "a worker that knows refuses at once"
        self.let_by += count
        self.since[number] += count

    @rule(number=st.integers(0, 3))
    def settle(self, number: int) -> None:
        number %= len(self.workers)
        self.workers[number].settle()
        if number in self.informed:
            return
        sent = self.since[number] > 0  # without a request it calls nobody, and learns nothing
        if sent and self.store.total("a") >= self.limit.amount:
            self.informed.add(number)
        elif sent:
            self.since[number] = 0

    @invariant()
    def exceeds_by_what_all_workers_but_one_let_by(self) -> None:
        if hasattr(self, "workers"):
            assert self.let_by <= self.limit.amount + sum(self.since) - min(self.since)
            assert self.let_by <= self.limit.amount * len(self.workers)


SettledLimit.TestCase.settings = of_hypothesis(max_examples=50, stateful_step_count=25)
test_settled_limit_is_exceeded_by_its_bound_at_most = SettledLimit.TestCase


# -- a store that fails -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exact", [False, True])
def test_store_down_counts_on_from_the_last_total(
    start: Callable[[], RateCounters], store: CountingStore, exact: bool
) -> None:
    first, second = start(), start()
    taken(first, 1, exact=exact)
    first.settle()
    taken(second, 1, exact=exact)
    second.settle()
    store.down = True
    assert taken(second, 5, exact=exact) == 1
    assert taken(first, 5, exact=exact) == 2


def test_store_down_adds_and_resets_in_memory(worker: RateCounters, store: CountingStore) -> None:
    worker.add(LIMIT)
    store.down = True
    assert [worker.add(LIMIT) for _ in range(2)] == [2, 3]
    assert worker.seconds_until_free(LIMIT) == 60
    worker.reset(LIMIT)
    assert worker.seconds_until_free(LIMIT) is None


def test_store_back_gets_what_was_counted_in_windows_that_last(
    worker: RateCounters, store: CountingStore, clock: Clock
) -> None:
    store.down = True
    worker.take(LIMIT, exact=True)
    worker.add(HOURLY)
    assert worker.settle() is False
    clock.now += 61
    worker.take(LIMIT._replace(key="b"))
    clock.now += 10
    store.down = False
    assert worker.settle() is True
    assert {key: count for key, (count, _) in store.windows.items()} == {"password": 1, "b": 1}
    assert store.windows["b"][1] == clock() + 50, "the window goes on, and does not begin anew"


def test_store_that_failed_gets_no_request_before_it_answers_a_ping(worker: RateCounters, store: CountingStore) -> None:
    store.down = True
    taken(worker, 2, exact=True)
    assert len(store.calls) == 1
    for _ in range(3):
        assert worker.settle() is False
    assert (len(store.calls), store.pings) == (1, 3), "a store that hangs would count each attempt when it goes on"
    store.down = False
    assert worker.settle() is True
    assert store.total("a") == 2


def test_settle_that_fails_keeps_its_counts_and_those_of_meanwhile(worker: RateCounters, store: CountingStore) -> None:
    worker.take(LIMIT)
    store.down = True
    assert worker.settle() is False
    assert taken(worker, 5) == 2
    store.down = False
    worker.settle()
    assert store.total("a") == 3


def test_store_emptied_starts_exact_limits_anew(worker: RateCounters, store: CountingStore) -> None:
    assert taken(worker, 4, exact=True) == 3
    store.windows.clear()
    assert taken(worker, 4, exact=True) == 3


# -- clocks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("step", [3600.0, 31_536_000.0])
def test_stores_clock_set_back_locks_for_one_window_at_most(exact: bool, step: float) -> None:
    clock, wall = Clock(), Clock()
    store = CountingStore(wall)
    worker = RateCounters(store, clock, ignore_wake)
    taken(worker, 3, exact=exact)
    worker.settle()
    wall.now -= step
    wait = worker.take(LIMIT, exact=exact)
    assert wait is not None
    assert wait <= 60
    clock.now += 60
    wall.now += 60
    assert worker.take(LIMIT, exact=exact) is None


@pytest.mark.parametrize("exact", [False, True])
def test_stores_clock_set_forward_ends_a_window_once(exact: bool) -> None:
    clock, wall = Clock(), Clock()
    worker = RateCounters(CountingStore(wall), clock, ignore_wake)
    taken(worker, 3, exact=exact)
    worker.settle()
    wall.now += 31_536_000
    assert taken(worker, 10, exact=exact) <= 3
    worker.settle()
    assert taken(worker, 10, exact=exact) == 0


# -- memory -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_counters, "MOST_WINDOWS", 10)


@pytest.mark.usefixtures("few")
def test_flood_of_new_keys_keeps_memory_bounded_also_while_the_store_is_down(
    worker: RateCounters, store: CountingStore
) -> None:
    store.down = True
    for number in range(100):
        worker.take(LIMIT._replace(key=str(number)))
    assert len(worker._windows[60]) == len(worker._changed) == 10


@pytest.mark.usefixtures("few")
def test_flood_of_short_windows_leaves_long_ones_alone(worker: RateCounters, store: CountingStore) -> None:
    store.down = True
    for _ in range(3):
        worker.add(HOURLY)
    for number in range(100):
        worker.take(LIMIT._replace(key=str(number)))
    assert worker.seconds_until_free(HOURLY) == 3600


@pytest.mark.usefixtures("few")
def test_key_that_was_dropped_is_counted_on_from_the_store(worker: RateCounters) -> None:
    assert taken(worker, 5) == 3
    for number in range(10):
        worker.settle()
        worker.take(LIMIT._replace(key=str(number)))
    assert worker.take(LIMIT) is None, "forgotten until the next settlement"
    worker.settle()
    assert worker.take(LIMIT) is not None


def test_windows_that_ended_leave_memory(worker: RateCounters, clock: Clock) -> None:
    for number in range(50):
        worker.take(LIMIT._replace(key=str(number)))
    clock.now += 61
    for number in range(50):
        worker.take(LIMIT._replace(key=f"new {number}"))
    assert len(worker._windows[60]) == 50


# -- the settler ------------------------------------------------------------------------------------------------------


class Work:
    """Counts its calls. The first ones fail, or raise, as ``failures`` says."""

    def __init__(self) -> None:
        self.calls = 0
        self.pauses: list[float] = []
        self.failures: list[Exception | None] = []
        self.meanwhile: list[Callable[[], None]] = []

    def __call__(self) -> bool:
        self.calls += 1
        while self.meanwhile:
            self.meanwhile.pop()()
        if not self.failures:
            return True
        error = self.failures.pop(0)
        if error:
            raise error
        return False


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    work = Work()
    monkeypatch.setattr(Settler, "wake", wake)
    monkeypatch.setattr(rate_counters, "time", SimpleNamespace(sleep=work.pauses.append, monotonic=lambda: 0.0))
    return work


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "limits-settle"]


@pytest.fixture
def settler(work: Work, monkeypatch: pytest.MonkeyPatch) -> Settler:
    monkeypatch.setattr(rate_counters, "_LINGER", 0.01)
    return Settler(work)


def test_settler_works_once_for_many_wakes_and_ends_when_idle(settler: Settler, work: Work) -> None:
    settler._is_due = True  # as between a wake and its work
    settler.wake()
    assert (work.calls, threads()) == (0, [])
    settler._is_due = False
    settler.wake()
    wait_until(lambda: work.calls == 1, "it works")
    wait_until(lambda: not threads(), "its thread ends without more to do")
    assert work.calls == 1
    settler.wake()
    wait_until(lambda: work.calls == 2, "it works again")
    wait_until(lambda: not threads(), "it ends again")


def test_settler_without_work_never_starts(settler: Settler) -> None:
    assert threads() == []


def test_settler_after_a_failure_tries_again_each_second_until_it_succeeds(settler: Settler, work: Work) -> None:
    work.failures = [RuntimeError("a bug"), None, None]
    settler.wake()
    wait_until(lambda: work.calls == 4, "it tries again, and succeeds")
    wait_until(lambda: not threads(), "it ends")
    assert work.pauses == [rate_counters.INTERVAL, *[rate_counters.RETRY_AFTER] * 3]


def test_settler_woken_while_it_works_works_again(settler: Settler, work: Work) -> None:
    work.meanwhile = [settler.wake]
    settler.wake()
    wait_until(lambda: work.calls == 2, "it works again for what came meanwhile")
    wait_until(lambda: not threads(), "it ends")
