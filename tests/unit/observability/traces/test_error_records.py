"""Errors: a record of each logged exception, with what it belongs to, and few of them in a flood."""

from __future__ import annotations

import logging

import pytest
from flask import Flask

from church import telemetry
from church.observability.job_observer import observe_job
from church.observability.metrics import definitions
from tests.support.helpers import add_view, captured_log, value
from tests.support.kept_traces import KeptTraces

log = logging.getLogger("church.jobs")


def _handled() -> str:
    try:
        int("secret=hunter2hunter2")
    except ValueError:
        log.exception("went on", extra={"event": "test.handled"})
    return "went on"


def _fails() -> str:
    raise LookupError("x" * 1000)


def test_unhandled_exception_is_an_error_of_its_request(app: Flask, kept: KeptTraces) -> None:
    app.config["PROPAGATE_EXCEPTIONS"] = False
    add_view(app, "/fails", _fails)
    with captured_log() as sink:
        app.test_client().get("/fails", buffered=True)
    (error,), (trace,) = kept.errors, kept.traces
    record = next(one for one in sink.records if one["event"] == "error.unexpected")
    assert (error["error_type"], error["message"], error["handled"]) == ("LookupError", "x" * 300, False)
    assert (error["method"], error["route"], error["status"]) == ("GET", "/fails", 500)
    for name in ("request_id", "trace_id", "span_id"):
        assert error[name] == trace[name]
    assert error["fingerprint"] == record["fingerprint"]
    assert error["frames"][-1][2] == "_fails"
    assert {len(frame) for frame in error["frames"]} == {4}
    assert (error["service"], error["environment"]) == ("church", "test")
    assert error["host"]
    assert error["process"].startswith("web-")


def test_logged_exception_is_a_handled_error_and_no_failed_trace(app: Flask, kept: KeptTraces) -> None:
    add_view(app, "/handled", _handled)
    with captured_log():
        app.test_client().get("/handled", buffered=True)
    (error,), (trace,) = kept.errors, kept.traces
    assert (error["error_type"], error["handled"], error["event"]) == ("ValueError", True, "test.handled")
    assert "status" not in error
    assert trace["outcome"] == "ok"
    assert "error_type" not in trace
    assert "hunter2" not in kept.file.read_text()


def test_failed_job_is_an_error_with_its_job(kept: KeptTraces) -> None:
    failure = LookupError("no film")
    with captured_log(), observe_job("test.work", 7, "queued.1") as observed:
        with pytest.raises(LookupError), observed.run(None):
            raise failure
        log.warning("job failed", exc_info=failure, extra={"event": "job.failed"})
    (error,), (trace,) = kept.errors, kept.traces
    assert (error["job_id"], error["job_kind"], error["handled"]) == (7, "test.work", False)
    assert (error["request_id"], error["trace_id"]) == ("queued.1", trace["trace_id"])
    assert (trace["root"], trace["name"], trace["outcome"]) == ("job", "job test.work", "failed")
    assert trace["error_type"] == "LookupError"


def test_record_without_an_exception_is_no_error(kept: KeptTraces) -> None:
    with captured_log():
        log.error("only words", extra={"event": "test.words"})
    assert kept.errors == []


def test_flood_of_one_error_is_bounded_and_counted(kept: KeptTraces) -> None:
    before = value(definitions.telemetry_lost.labels("error"))
    with captured_log():
        for _ in range(300):
            _handled()
    written = len(kept.errors)
    assert written <= 200
    assert value(definitions.telemetry_lost.labels("error")) - before == 300 - written


def test_other_error_is_kept_in_a_flood(kept: KeptTraces) -> None:
    with captured_log():
        for _ in range(300):
            _handled()
        try:
            _fails()
        except LookupError:
            log.exception("another", extra={"event": "test.other"})
    assert kept.errors[-1]["event"] == "test.other"


def test_telemetry_keeps_nothing_without_a_log() -> None:
    with captured_log():
        _handled()
    assert telemetry.request_id() is None
