"""Values that each process makes for itself."""

from __future__ import annotations

import os
import threading
import time

from church.lib.per_process import PerProcess, started_at
from tests.support.forks import in_child


def test_value_is_made_once_at_its_first_use() -> None:
    made: list[object] = []

    def make() -> object:
        made.append(object())
        return made[-1]

    value = PerProcess(make)
    assert (made, value.is_made) == ([], False)
    assert value() is value() is made[0]
    assert (len(made), value.is_made) == (1, True)


def test_child_makes_its_own_value_and_leaves_that_of_its_parent() -> None:
    value: PerProcess[list[int]] = PerProcess(list)
    value().append(1)
    assert in_child(lambda: [value.is_made, value(), value.is_made]) == [False, [], True]
    assert value() == [1]


def test_children_of_one_parent_have_different_values() -> None:
    value = PerProcess(lambda: os.urandom(8).hex())
    assert len({value(), in_child(value), in_child(value)}) == 3


def test_threads_that_make_it_at_the_same_time_get_the_same_value() -> None:
    both = threading.Barrier(2, timeout=60)

    def make() -> object:
        both.wait()
        return object()

    value, found = PerProcess(make), []
    threads = [threading.Thread(target=lambda: found.append(value())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [value()] * 2


def test_start_of_a_child_is_that_of_its_fork() -> None:
    before = time.monotonic()
    assert started_at() < before
    assert in_child(started_at) >= before
