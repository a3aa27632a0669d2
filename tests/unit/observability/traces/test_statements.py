"""Statements as spans: named by operation and table, whatever else is in their text."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from church.observability.traces import recorder
from church.observability.traces.recorder import Flight
from church.observability.traces.statements import describe, record_statements


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("SELECT users.id \nFROM users WHERE users.id = ?", "SELECT users"),
        ('SELECT a FROM "plan" JOIN b ON 1', "SELECT plan"),
        ("INSERT INTO audit_entries (at) VALUES (?)", "INSERT audit_entries"),
        ("UPDATE jobs SET state=?", "UPDATE jobs"),
        ("DELETE FROM jobs WHERE id IN (SELECT id FROM others)", "DELETE jobs"),
        ("WITH recent AS (SELECT id FROM posts) SELECT * FROM recent", "WITH posts"),
        ("SELECT 1", "SELECT"),
        ("PRAGMA data_version", "PRAGMA"),
        ("COMMIT", "COMMIT"),
        ("", "statement"),
    ],
)
def test_statement_is_named_by_operation_and_table(text: str, name: str) -> None:
    assert describe(text)[0] == name


def test_long_statement_is_cut() -> None:
    assert len(describe("SELECT " + "x, " * 5_000)[1]["db.query.text"]) < 4_100


class Driver:
    """A dialect that notes what it executes."""

    name = "postgresql"

    def __init__(self) -> None:
        self.done: list[Any] = []

    def do_execute(self, *given: Any) -> None:
        self.done.append(given)

    def do_executemany(self, *given: Any) -> None:
        self.done.append(given)

    def do_commit(self, connection: Any) -> None:
        if connection == "lost":
            raise ConnectionError


@pytest.fixture
def driver() -> Driver:
    made = Driver()
    record_statements(made)
    return made


def test_statements_of_nobody_are_executed_alone(driver: Driver) -> None:
    driver.do_execute("cursor", "SELECT 1", (1,))
    driver.do_executemany("cursor", "SELECT 2", [(1,)], "context")
    driver.do_commit("connection")
    assert driver.done == [("cursor", "SELECT 1", (1,), None), ("cursor", "SELECT 2", [(1,)], "context")]


def test_statements_and_commits_of_a_flight_are_its_spans(driver: Driver) -> None:
    flight = Flight(0.0)
    token = recorder.current.set(flight)
    driver.do_execute("cursor", "SELECT 1", (1,))
    driver.do_executemany("cursor", "SELECT 2", [(1,)], SimpleNamespace())
    driver.do_commit("connection")
    with pytest.raises(ConnectionError):
        driver.do_commit("lost")
    recorder.current.reset(token)
    assert [(span[2], span[5], span[6]) for span in flight.spans if span] == [
        ("SELECT 1", {"db.system.name": "postgresql"}, None),
        ("SELECT 2", {"db.system.name": "postgresql"}, None),
        ("COMMIT", {"db.system.name": "postgresql"}, None),
        ("COMMIT", {"db.system.name": "postgresql"}, "ConnectionError"),
    ]
