"""The telemetry extension: what it adds to an app, what it does when it is off, and the process around it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from flask import Flask

from church import create_app, telemetry
from church.config import Settings
from church.observability import request_observer
from church.observability.metrics import definitions
from church.observability.traces import recorder
from church.telemetry import StateMetric
from tests.support.helpers import add_view, captured_log, with_settings
from tests.support.log_lines import parse_record

ROOT = Path(__file__).parent.parent.parent


def test_span_outside_of_a_request_does_nothing() -> None:
    recorder.current.set(None)
    with telemetry.span("work", number=1):
        assert telemetry.traceparent() is None


def test_added_state_is_in_the_scrape(settings: Settings) -> None:
    app = create_app(settings)
    from church.extensions import telemetry as extension

    extension.add_state(StateMetric("own_state", "Own.", lambda: [(("x",), 3.0)], ("kind",)))
    assert 'own_state{kind="x"} 3.0' in app.test_client().get("/metrics").text


def test_added_state_belongs_to_one_app(settings: Settings) -> None:
    from church.extensions import telemetry as extension

    create_app(settings)
    extension.add_state(StateMetric("own_state", "Own.", lambda: [(("x",), 3.0)], ("kind",)))
    assert "own_state" not in create_app(settings).test_client().get("/metrics").text


def test_access_record_above_its_level_is_not_made(app: Flask) -> None:
    add_view(app, "/fine", lambda: "fine")
    with captured_log(level=30) as sink:
        app.test_client().get("/fine", buffered=True)
    assert sink.lines == []


def test_telemetry_off_observes_nothing_and_the_site_answers(settings: Settings) -> None:
    app = create_app(with_settings(settings, telemetry=False))
    add_view(app, "/fine", lambda: str(telemetry.request_id()))
    before = {labels: child._value.get() for labels, child in definitions.http_requests._metrics.items()}
    request_observer.current.set(None)
    with captured_log() as sink:
        answer = app.test_client().get("/fine", buffered=True)
    assert answer.text == "None"
    assert "X-Request-ID" not in answer.headers
    assert sink.lines == []
    assert before == {labels: child._value.get() for labels, child in definitions.http_requests._metrics.items()}
    assert app.test_client().get("/nowhere").status_code == 404


PROCESS = """
import logging, sys
from church import telemetry
from church.config import load_settings
from church.observability.metrics import definitions, worker_files
settings = load_settings(_env_file=None)
telemetry.start_process(settings, "work")
telemetry.start_process(settings, "work")
logging.getLogger("church.test").info("between")
logging.getLogger("church.test").error("broken", extra={"event": "test.broken"})
role = worker_files.list_live_slots(settings.metrics_dir)[0]["role"]
print(worker_files.SLOTS.number, role, definitions.telemetry_corrupt_files._value.get())
telemetry.end_process()
logging.getLogger("church.test").info("after the end")
"""


def test_process_takes_a_slot_counts_damaged_files_and_writes_logs(tmp_path: Path) -> None:
    folder = tmp_path / "instance" / "metrics"
    folder.mkdir(parents=True)
    (folder / "counter_slot0.db").write_bytes(b"garbage, garbage")
    places = {"CHURCH_INSTANCE": str(tmp_path / "instance"), "CHURCH_LOG_DIR": str(tmp_path / "logs")}
    done = subprocess.run(
        [sys.executable, "-c", PROCESS],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **places},
        check=True,
    )
    assert done.stdout == "0 work 1.0\n"
    records = [parse_record(line) for line in (tmp_path / "logs" / "combined.log").read_text().splitlines()]
    messages = ["metric file damaged", "between", "broken", "after the end"]
    assert [record["message"] for record in records] == messages
    assert {record["service"] for record in records} == {"church"}
    assert [record["event"] for record in records[::2]] == ["telemetry.file_damaged", "test.broken"]
    assert records[0]["reason"].startswith("counter_slot0.db: ")
    errors = (tmp_path / "logs" / "error.log").read_text().splitlines()
    assert [parse_record(line)["message"] for line in errors] == ["broken"]
    assert [parse_record(line)["message"] for line in done.stderr.splitlines()] == messages
