"""What a process remembers of sign-ins: for how long, how many, and never beyond their end."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from church.lib.files import HostMark
from church.services.sessions import cache as sessions_cache
from church.services.sessions.cache import FRESH_SECONDS, SessionCache
from church.services.sessions.lookup import SignedIn

ADA = SignedIn(1, "ab12", "Ada", "ada@church.example", "member", True, 7, "cd34", token="raw")
UNKNOWN = (False, None)


class Clock:
    """Stands still until it is set."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(clock: Clock, tmp_path: Path) -> SessionCache:
    return SessionCache(HostMark(tmp_path / "mark"), clock)


def test_found_and_not_found_are_known_for_a_moment(cache: SessionCache, clock: Clock) -> None:
    cache.put("a", ADA, cache.reading())
    cache.put("b", None, cache.reading())
    clock.now += FRESH_SECONDS
    assert cache.get("a") == (True, ADA)
    assert cache.get("b") == (True, None)
    clock.now += 0.01
    assert cache.get("a") == cache.get("b") == UNKNOWN


def test_answer_of_a_slow_database_is_as_old_as_the_question(cache: SessionCache, clock: Clock) -> None:
    now = cache.reading()
    clock.now += FRESH_SECONDS + 0.01
    cache.put("a", ADA, now._replace(read_at=now.read_at - 3))
    assert cache.get("a") == UNKNOWN
    clock.now -= FRESH_SECONDS
    assert cache.get("a") == (True, ADA)
    assert cache.get("a", since=now.read_at) == UNKNOWN


def test_moment_is_short_enough_for_two_seconds_everywhere() -> None:
    assert FRESH_SECONDS <= 1.5


def test_end_is_known_at_once_and_what_was_read_before_it_is_not_kept(cache: SessionCache) -> None:
    cache.put("a", ADA, cache.reading())
    reading = cache.reading()
    cache.end(["a"])
    assert cache.get("a") == (True, None)
    cache.put("a", ADA, reading)
    assert cache.get("a") == (True, None)


def test_clear_forgets_all_and_what_was_read_before_it_is_not_kept(cache: SessionCache) -> None:
    cache.put("a", ADA, cache.reading())
    reading = cache.reading()
    cache.clear()
    assert cache.get("a") == UNKNOWN
    cache.put("a", ADA, reading)
    assert cache.get("a") == UNKNOWN
    cache.put("a", ADA, cache.reading())
    assert cache.get("a") == (True, ADA)


def test_answer_can_be_asked_for_from_after_a_time(cache: SessionCache) -> None:
    cache.put("a", ADA, cache.reading())
    assert cache.get("a", since=time.time() - 1) == (True, ADA)
    assert cache.get("a", since=time.time() + 1) == UNKNOWN


def test_oldest_are_dropped_beyond_the_bound(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions_cache, "MOST_ENTRIES", 3)
    for name in ("a", "b", "c"):
        cache.put(name, ADA, cache.reading())
    cache.put("a", ADA, cache.reading())
    cache.put("d", None, cache.reading())
    assert cache.get("b") == UNKNOWN
    assert cache.get("a") == cache.get("c") == (True, ADA)
    assert len(cache._entries) == 3


def test_forked_child_starts_with_nothing(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.put("a", ADA, cache.reading())
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert cache.get("a") == UNKNOWN


def test_signed_in_does_not_show_token_or_address() -> None:
    assert "raw" not in repr(ADA)
    assert "@" not in repr(ADA)
    assert ADA.get_id() == "raw"


def test_what_another_process_ends_is_forgotten_here_at_the_next_look(tmp_path: Path, clock: Clock) -> None:
    here, there = (SessionCache(HostMark(tmp_path / "mark"), clock) for _ in range(2))
    assert here.get("a") == UNKNOWN
    here.put("a", ADA, here.reading())
    there.end(["a"])
    assert here.get("a") == (True, ADA)  # not committed yet
    reading = here.reading()
    there.tell()
    assert here.get("a") == UNKNOWN
    here.put("a", ADA, reading)
    assert here.get("a") == UNKNOWN


def test_disk_that_takes_no_mark_leaves_the_end_to_time(tmp_path: Path, clock: Clock) -> None:
    cache = SessionCache(HostMark(tmp_path / "no folder" / "mark"), clock)
    cache.put("a", ADA, cache.reading())
    cache.tell()
    assert cache.get("a") == (True, ADA)
    clock.now += FRESH_SECONDS + 0.01
    assert cache.get("a") == UNKNOWN
