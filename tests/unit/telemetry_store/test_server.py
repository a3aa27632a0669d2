"""Queries over the socket: who may ask, what is refused, and that no row is missed or doubled."""

from __future__ import annotations

import json
import os
import socket
import stat
from types import SimpleNamespace

import pytest

from church.lib.local_servers import observatory_folder, observatory_socket
from church.services import telemetry_queries
from church.services.telemetry_queries import BadQueryError, TelemetryQueryError, TelemetryStoreDownError
from church.telemetry_store import server as server_module
from church.telemetry_store.engine import Engine
from church.telemetry_store.server import QueryServer
from church.telemetry_store.store import Store
from tests.support.samples import sample
from tests.support.services_fixture import wait_until
from tests.support.telemetry_rows import START, STEP, log_rows, make_row

ALL = {"from": 0, "to": 2**62}


@pytest.fixture
def settings(tmp_path):
    return SimpleNamespace(instance=tmp_path)


@pytest.fixture
def store(settings):
    return Store(observatory_folder(settings.instance))


@pytest.fixture
def engine(store):
    engine = Engine(store.folder, module="tests.support.waiting_child")
    yield engine
    engine.stop()


@pytest.fixture
def server(settings, store, engine):
    server = QueryServer(observatory_socket(settings.instance), store, engine, {"status": lambda: [{"version": "1"}]})
    server.start()
    yield server
    server.stop()


@pytest.fixture
def ask(settings, server):
    return lambda query, **args: telemetry_queries.ask(settings, query, **args)


def open_query(settings, query):
    """Ask without waiting for the answer."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(observatory_socket(settings.instance)))
    connection.sendall(json.dumps({"query": query, "args": ALL}).encode() + b"\n")
    return connection


def numbers(answer):
    return [row["seq"] for row in answer.rows]


def test_socket_is_open_to_its_user_alone(settings, server):
    mode = observatory_socket(settings.instance).stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600


def test_without_a_store_the_client_says_so(settings):
    with pytest.raises(TelemetryStoreDownError, match="does not answer"):
        telemetry_queries.ask(settings, "status")


def test_metrics_are_answered_from_the_samples_in_memory(ask, store, engine):
    rows = [sample(15_000_000), sample(15_000_000, "jobs", value=3.0), sample(15_000_000, "other", value=9.0)]
    store.take_samples([tuple(row.values()) for row in rows])
    span = {"from": 0, "to": 3600_000_000, "step": 3600}
    assert ask("metrics.range", name="jobs", fn="value", **span).rows == [{"labels": {}, "points": [[0, 3.0]]}]
    assert engine.pid is not None


def test_status_is_answered(ask):
    assert ask("status").rows == [{"version": "1"}]


@pytest.mark.parametrize(
    ("query", "args", "said"),
    [
        ("logs.nothing", {}, "no query"),
        ("status", {"x": 1}, "no argument x"),
        ("logs.search", {"from": 5}, "to must be a whole number"),
        ("logs.search", {"from": 5, "to": 5}, "from must be before to"),
        ("logs.search", {**ALL, "limit": 1001}, "from 1 to 1000"),
        ("logs.search", {**ALL, "limit": True}, "limit must be a whole number"),
        ("logs.search", {**ALL, "filters": {"colour": "red"}}, "no argument filters.colour"),
        ("logs.search", {**ALL, "filters": {"status": "9xx"}}, "class such as 4xx"),
        ("logs.search", {**ALL, "filters": {"text": ["a"]}}, "filters.text must be a text"),
        ("logs.search", {**ALL, "filters": {"level": "LOUD"}}, "must be one of DEBUG"),
        ("logs.search", {**ALL, "filters": {"exclude_admin": []}}, "true or false"),
        ("logs.search", {**ALL, "before": {"ts": 1}}, "before.seq must be"),
        ("traces.get", {}, "trace_id is missing"),
    ],
)
def test_wrong_arguments_are_refused_in_clear_words(ask, query, args, said):
    with pytest.raises(BadQueryError, match=said):
        ask(query, **args)


@pytest.mark.parametrize("sent", [b"no json\n", b"[]\n", b'{"query": 5}\n', b"x" * 70_000 + b"\n"])
def test_request_that_is_none_is_refused(settings, server, sent):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(observatory_socket(settings.instance)))
        connection.sendall(sent)
        assert json.loads(connection.makefile().readline())["error"]["code"] == "bad_request"


def test_newest_records_are_found_over_segments_and_memory_page_by_page(ask, store, engine):
    for first in (0, 20, 40):
        store.take("logs", log_rows(first, 20))
        if first < 40:
            store.seal(engine)
    pages, before = [], None
    while True:
        answer = ask("logs.search", **ALL, limit=7, before=before)
        pages += numbers(answer)
        if not answer.has_more:
            break
        before = {"ts": answer.rows[-1]["ts"], "seq": answer.rows[-1]["seq"]}
    assert pages == list(range(59, -1, -1))


def test_newest_records_and_tails_come_from_memory(ask, store, engine):
    store.take("logs", log_rows(0, 10))
    store.seal(engine)
    engine.stop()
    store.take("logs", log_rows(10, 20))
    assert numbers(ask("logs.search", **ALL, limit=5)) == [29, 28, 27, 26, 25]
    assert numbers(ask("logs.tail", limit=3)) == [27, 28, 29]
    assert numbers(ask("logs.tail", after={"ts": START + 27 * STEP, "seq": 27}, limit=3)) == [28, 29]
    assert engine.pid is None


def test_newest_records_come_from_memory_after_they_were_sealed(ask, store, engine):
    store.take("logs", log_rows(0, 1500))
    store.seal(engine)
    engine.stop()
    assert numbers(ask("logs.search", **ALL, limit=1000)) == list(range(1499, 499, -1))
    assert engine.pid is None
    assert len(ask("logs.search", **ALL, limit=1000, before={"ts": START + 700 * STEP, "seq": 700}).rows) == 700


def test_search_that_memory_can_answer_only_in_part_reads_segments_too(ask, store, engine):
    store.take("logs", log_rows(0, 10, message="wanted"))
    store.seal(engine)
    store.take("logs", log_rows(10, 10))
    store.take("logs", log_rows(20, 1, message="wanted"))
    assert numbers(ask("logs.search", **ALL, filters={"text": "WANT"}, limit=4)) == [20, 9, 8, 7]


def test_tail_misses_nothing_that_was_sealed_since(ask, store, engine):
    store.take("logs", log_rows(0, 5))
    store.take("logs", log_rows(5, 1200))
    store.seal(engine)
    store.take("logs", log_rows(1205, 1))
    answer = ask("logs.tail", after={"ts": START + 3 * STEP, "seq": 3}, limit=1000)
    assert (numbers(answer)[-1], len(answer.rows), answer.has_more) == (1205, 1000, True)
    assert numbers(ask("logs.tail", after={"ts": START, "seq": 1204}, limit=1000)) == [1205]


def test_record_that_came_late_is_in_its_place(ask, store, engine):
    store.take("logs", log_rows(0, 10))
    store.seal(engine)
    store.take("logs", [make_row("logs", 10, ts=START + STEP // 2, message="late")])
    answer = ask("logs.search", **ALL, limit=100)
    assert [row["seq"] for row in answer.rows] == [*range(9, 0, -1), 10, 0]


def test_segment_that_is_gone_or_damaged_is_left_out_and_set_aside(ask, store, engine):
    for first in (0, 1000, 2000):
        store.take("logs", log_rows(first, 1000))
        store.seal(engine)
    gone, damaged, _ = (segment.path for segment in store.snapshot("logs").segments)
    gone.unlink()
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[: len(whole) // 3] + os.urandom(len(whole) - len(whole) // 3 - 200) + whole[-200:])
    answer = ask("logs.search", **ALL, limit=1000, before={"ts": START + 2500 * STEP, "seq": 2500})
    assert numbers(answer) == list(range(2499, 1999, -1))
    assert not answer.is_complete
    wait_until(lambda: len(store.snapshot("logs").segments) == 2, "the damaged segment is set aside")


def test_fifth_query_at_once_is_refused_and_closing_one_frees_its_place(
    settings, server, ask, store, engine, monkeypatch
):
    monkeypatch.setitem(server_module.QUERIES, "wait", server_module.QUERIES["logs.counts"])
    waiting = [open_query(settings, "wait") for _ in range(4)]
    wait_until(lambda: server.running == 4, "four queries run")
    with pytest.raises(TelemetryQueryError) as caught:
        ask("logs.counts", **ALL)
    assert caught.value.code == "busy"
    for connection in waiting:
        connection.close()
    wait_until(lambda: server.running == 0, "closed queries end")


def test_answer_larger_than_the_bound_is_refused(ask, store):
    store.take("logs", log_rows(0, 300, exception="x" * 40_000))
    with pytest.raises(TelemetryQueryError) as caught:
        ask("logs.search", **ALL, limit=300)
    assert caught.value.code == "too_large"
