"""The session cache: how long and how many, and never beyond the end of a session."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from church.lib.files import ChangeMark
from church.services.sessions import cache as sessions_cache
from church.services.sessions.cache import FRESH_SECONDS, SessionCache
from church.services.sessions.lookup import SignedIn
from tests.support.clock import Clock

ADA = SignedIn(1, "ab12", "Ada", "ada@church.example", "member", True, 7, "cd34", token="raw")
UNKNOWN = (False, None)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(clock: Clock, tmp_path: Path) -> SessionCache:
    return SessionCache(ChangeMark(tmp_path / "mark"), clock)


def test_cache_known_and_unknown_tokens_for_a_moment(cache: SessionCache, clock: Clock) -> None:
    cache.put("a", ADA, cache.reading())
    cache.put("b", None, cache.reading())
    clock.now += FRESH_SECONDS
    assert cache.get("a") == (True, ADA)
    assert cache.get("b") == (True, None)
    clock.now += 0.01
    assert cache.get("a") == cache.get("b") == UNKNOWN


def test_cache_slow_read_is_as_old_as_its_start(cache: SessionCache, clock: Clock) -> None:
    now = cache.reading()
    clock.now += FRESH_SECONDS + 0.01
    cache.put("a", ADA, now._replace(read_at=now.read_at - 3))
    assert cache.get("a") == UNKNOWN
    clock.now -= FRESH_SECONDS
    assert cache.get("a") == (True, ADA)
    assert cache.get("a", since=now.read_at) == UNKNOWN


def test_cache_entries_expire_within_two_seconds() -> None:
    assert FRESH_SECONDS <= 1.5


def test_cache_end_is_immediate_and_older_reads_are_dropped(cache: SessionCache) -> None:
    cache.put("a", ADA, cache.reading())
    reading = cache.reading()
    cache.end(["a"])
    assert cache.get("a") == (True, None)
    cache.put("a", ADA, reading)
    assert cache.get("a") == (True, None)


def test_cache_clear_drops_entries_and_older_reads(cache: SessionCache) -> None:
    cache.put("a", ADA, cache.reading())
    reading = cache.reading()
    cache.clear()
    assert cache.get("a") == UNKNOWN
    cache.put("a", ADA, reading)
    assert cache.get("a") == UNKNOWN
    cache.put("a", ADA, cache.reading())
    assert cache.get("a") == (True, ADA)


def test_cache_get_since_ignores_older_reads(cache: SessionCache) -> None:
    cache.put("a", ADA, cache.reading())
    assert cache.get("a", since=time.time() - 1) == (True, ADA)
    assert cache.get("a", since=time.time() + 1) == UNKNOWN


def test_cache_drops_the_oldest_beyond_the_bound(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions_cache, "MAX_ENTRIES", 3)
    for name in ("a", "b", "c"):
        cache.put(name, ADA, cache.reading())
    cache.put("a", ADA, cache.reading())
    cache.put("d", None, cache.reading())
    assert cache.get("b") == UNKNOWN
    assert cache.get("a") == cache.get("c") == (True, ADA)
    assert len(cache._entries) == 3


def test_signed_in_repr_has_no_token_and_no_address() -> None:
    assert "raw" not in repr(ADA)
    assert "@" not in repr(ADA)
    assert ADA.get_id() == "raw"


def test_cache_is_dropped_when_another_process_ends_a_session(tmp_path: Path, clock: Clock) -> None:
    here, there = (SessionCache(ChangeMark(tmp_path / "mark"), clock) for _ in range(2))
    assert here.get("a") == UNKNOWN
    here.put("a", ADA, here.reading())
    there.end(["a"])
    assert here.get("a") == (True, ADA)  # not committed yet
    reading = here.reading()
    there.tell()
    assert here.get("a") == UNKNOWN
    here.put("a", ADA, reading)
    assert here.get("a") == UNKNOWN


def test_cache_without_mark_file_expires_by_time(tmp_path: Path, clock: Clock) -> None:
    cache = SessionCache(ChangeMark(tmp_path / "no folder" / "mark"), clock)
    cache.put("a", ADA, cache.reading())
    cache.tell()
    assert cache.get("a") == (True, ADA)
    clock.now += FRESH_SECONDS + 0.01
    assert cache.get("a") == UNKNOWN
