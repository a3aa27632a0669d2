"""Questions to the telemetry store: rows, errors, and a store that does not answer."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from church.config import Settings
from church.services import telemetry_queries
from church.services.telemetry_queries import BadQueryError, TelemetryQueryError, TelemetryStoreDownError, ask, stream
from tests.support.store_stand_in import StoreStandIn, running_stand_in


@pytest.fixture
def store(settings: Settings) -> Iterator[StoreStandIn]:
    with running_stand_in(settings.instance) as stand_in:
        yield stand_in


def test_answer_has_the_rows_of_all_lines_and_what_the_end_says(settings: Settings, store: StoreStandIn) -> None:
    store.answers["logs.search"] = [
        {"rows": [{"seq": 2}]},
        {"rows": [{"seq": 1}]},
        {"end": {"cpu_ms": 7.5, "complete": False, "more": True}},
    ]
    answer = ask(settings, "logs.search", limit=2, filters=None)
    assert answer.rows == [{"seq": 2}, {"seq": 1}]
    assert (answer.cpu_ms, answer.is_complete, answer.has_more) == (7.5, False, True)
    assert store.asked == [{"query": "logs.search", "args": {"limit": 2}}]


def test_stream_yields_rows_as_they_come(settings: Settings, store: StoreStandIn) -> None:
    store.answers["logs.search"] = [{"rows": [{"seq": 2}]}, {"rows": [{"seq": 1}]}, {"end": {}}]
    assert list(stream(settings, "logs.search")) == [[{"seq": 2}], [{"seq": 1}]]


@pytest.mark.parametrize("code", ["busy", "timeout", "too_large", "unavailable"])
def test_query_that_fails_raises_with_its_reason(settings: Settings, store: StoreStandIn, code: str) -> None:
    store.fail("logs.search", code, "Ask later.")
    with pytest.raises(TelemetryQueryError, match="Ask later") as raised:
        ask(settings, "logs.search")
    assert raised.value.code == code


def test_query_that_is_wrong_is_the_fault_of_the_caller(settings: Settings, store: StoreStandIn) -> None:
    store.fail("logs.search", "bad_request", "`to` is before `from`.")
    with pytest.raises(BadQueryError, match="before"):
        ask(settings, "logs.search")


@pytest.mark.parametrize("sent", [b"", b'{"rows": [{"seq": 1}]}\n', b"no JSON\n"])
def test_answer_that_breaks_off_is_a_store_that_is_down(settings: Settings, store: StoreStandIn, sent: bytes) -> None:
    store.answers["logs.search"] = sent
    with pytest.raises(TelemetryStoreDownError):
        ask(settings, "logs.search")


def test_answer_that_is_too_large_is_refused(
    settings: Settings, store: StoreStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry_queries, "MOST_BYTES", 1000)
    store.give("logs.search", *({"message": "x" * 100} for _ in range(20)))
    with pytest.raises(TelemetryQueryError, match="too large"):
        ask(settings, "logs.search")


def test_store_that_does_not_run_is_down(settings: Settings) -> None:
    with pytest.raises(TelemetryStoreDownError, match="flask church observe"):
        ask(settings, "status")
    assert not telemetry_queries.is_running(settings)


def test_store_that_runs_is_running(settings: Settings, store: StoreStandIn) -> None:
    assert telemetry_queries.is_running(settings)


def test_client_loads_no_database_engine_of_the_store() -> None:
    asks = (
        "import sys, church.services.telemetry_queries\n"
        "print('duckdb' in sys.modules, 'church.telemetry_store' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", asks], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"
