"""The pool of database connections."""

from __future__ import annotations

import sqlite3
import threading

import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from church.database.connection_pool import FairPool
from tests.support.services_fixture import wait_until


def _pool(timeout: float) -> FairPool:
    return FairPool(
        lambda: sqlite3.connect(":memory:", check_same_thread=False), pool_size=1, max_overflow=0, timeout=timeout
    )


def test_pool_newcomer_does_not_overtake_the_one_that_waits() -> None:
    pool = _pool(60)
    in_use = pool.connect()
    turns: list[str] = []
    released = threading.Event()

    def read() -> None:
        connection = pool.connect()
        turns.append("waited")
        released.wait(60)
        connection.close()

    thread = threading.Thread(target=read)
    thread.start()
    wait_until(lambda: pool._pool._line.waiting == 1, "a reader waits")  # type: ignore[attr-defined]
    in_use.close()
    assert pool.checkedin() == 0  # given to the one that waits, not laid out for whoever comes first
    released.set()
    pool.connect().close()
    turns.append("newcomer")
    thread.join(60)
    assert turns == ["waited", "newcomer"]


def test_pool_wait_is_bounded_and_recreated_pool_is_fair_too() -> None:
    pool = _pool(0.001).recreate()
    assert isinstance(pool, FairPool)
    in_use = pool.connect()
    with pytest.raises(PoolTimeoutError):
        pool.connect()
    in_use.close()
    pool.connect().close()
    assert pool.checkedin() == 1


def test_pool_disposed_engine_connects_anew() -> None:
    engine = create_engine("sqlite://", poolclass=FairPool, pool_size=2, max_overflow=0)
    with engine.connect():
        pass
    engine.dispose()
    with engine.connect(), engine.connect():
        assert engine.pool.checkedout() == 2  # type: ignore[attr-defined]
