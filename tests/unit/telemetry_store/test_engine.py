"""The engine's child: what it computes, what it may not open, how it is stopped, and how it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

import pytest

from church.telemetry_store.engine import Engine
from church.telemetry_store.query_error import QueryError
from tests.support.helpers import is_alive
from tests.support.services_fixture import wait_until
from tests.support.telemetry_rows import log_rows, search_task


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "segments").mkdir()
    return tmp_path


@pytest.fixture
def engine(folder):
    engine = Engine(folder, kept_seconds=30, module="tests.support.waiting_child")
    yield engine
    engine.stop()


def seal(engine, folder, rows, name="logs-1-1.parquet"):
    (answer,) = engine.run("seal", {"table": "logs", "target": str(folder / "segments" / name)}, {"logs": rows})
    return answer["segment"]


def search(engine, pieces, rows=(), **args):
    answers = list(engine.run("query", search_task(pieces, **args), {"logs": rows}))
    return [row for answer in answers for row in answer.get("rows", [])], answers[-1]["end"]


def test_sealed_rows_are_found_with_those_that_are_not_sealed(engine, folder):
    segment = seal(engine, folder, log_rows(0, 30))
    assert segment[:3] == ["logs-1-1.parquet", "logs", 30]
    path = str(folder / "segments" / segment[0])
    rows, end = search(engine, [[path, segment[4], segment[5], 30], ["", 0, 2**62, 10]], log_rows(30, 10), limit=15)
    assert [row["seq"] for row in rows] == list(range(39, 24, -1))
    assert end["more"]
    assert end["complete"]


def test_segments_are_merged_into_one(engine, folder):
    sources = [seal(engine, folder, log_rows(first, 10), f"logs-{first}.parquet") for first in (10, 0)]
    target = folder / "segments" / "all.parquet"
    paths = [str(folder / "segments" / source[0]) for source in sources]
    (answer,) = engine.run("merge", {"table": "logs", "sources": paths, "target": str(target)})
    assert answer["segment"][2] == 20
    rows, _ = search(engine, [[str(target), 0, 2**62, 20]], limit=100)
    assert [row["seq"] for row in rows] == list(range(19, -1, -1))


def test_values_of_all_types_survive(engine):
    (row,) = log_rows(5, 1)
    rows, _ = search(engine, [["", 0, 2**62, 1]], [row])
    assert tuple(rows[0].values()) == row


def test_child_is_used_again_and_ends_when_idle(folder):
    engine = Engine(folder, kept_seconds=0.2)
    search(engine, [["", 0, 2**62, 0]])
    wait_until(lambda: engine.pid is None, "the child ends")
    assert search(engine, [["", 0, 2**62, 1]], log_rows(0, 1))[0]
    engine.stop()


def test_child_that_was_killed_gives_a_clear_error_and_the_next_query_works(engine):
    search(engine, [["", 0, 2**62, 0]])
    with engine.open("wait", {}, {}, 30) as running:
        os.kill(engine.pid, signal.SIGKILL)
        with pytest.raises(QueryError, match="SIGKILL") as caught:
            list(running.lines())
    assert caught.value.code == "unavailable"
    assert search(engine, [["", 0, 2**62, 1]], log_rows(0, 1))[0]


def test_query_that_takes_too_long_is_stopped_and_others_go_on(engine):
    search(engine, [["", 0, 2**62, 0]])
    child = engine.pid
    with pytest.raises(QueryError) as caught:
        list(engine.run("wait", {}, seconds=0.2))
    assert caught.value.code == "timeout"
    assert search(engine, [["", 0, 2**62, 1]], log_rows(0, 1))[0]
    assert engine.pid == child


def test_query_whose_client_goes_is_stopped(engine):
    ours, theirs = socket.socketpair()
    with theirs, engine.open("wait", {}, {}, 60) as running:
        lines = running.lines(theirs)
        assert next(lines) == b'{"waiting":true}'
        ours.close()
        assert list(lines) == []
    assert search(engine, [["", 0, 2**62, 1]], log_rows(0, 1))[0]


def test_child_opens_no_file_outside_its_folder(engine, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "x.parquet"
    with pytest.raises(QueryError) as caught:
        list(engine.run("seal", {"table": "logs", "target": str(outside)}, {"logs": log_rows(0, 1)}))
    assert caught.value.code == "unavailable"
    assert not outside.exists()


def test_child_ends_with_its_parent(folder):
    code = (
        "import sys, time; from pathlib import Path; from church.telemetry_store.engine import Engine\n"
        "engine = Engine(Path(sys.argv[1]), 600); list(engine.run('query', {'query': 'logs.tail', 'args':"
        " {'after': None, 'filters': {}, 'limit': 1}, 'pieces': {'logs': []}}, {'logs': []}))\n"
        "print(engine.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        assert is_alive(child)
        parent.kill()
        wait_until(lambda: not is_alive(child), "the child ends")


def test_parent_never_loads_duckdb(folder):
    code = (
        "import sys; import church.telemetry_store.observe\n"
        "assert not {'duckdb', 'flask', 'pydantic', 'sqlalchemy'} & set(sys.modules), 'heavy'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
