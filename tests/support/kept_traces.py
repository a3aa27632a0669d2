"""Traces and errors that a test's site keeps, read as the records that traces.log would have."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from church.observability import request_observer
from church.observability.traces import keeping, recorder, trace_log
from church.observability.traces.recorder import Rules
from church.observability.traces.trace_log import TraceLog

STATIC = {"service": "church", "version": "1", "environment": "test"}


class KeptTraces:
    """A traces.log of its own, which is read."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "traces.log"
        self.log = TraceLog(self.file, STATIC)

    @property
    def records(self) -> list[dict[str, Any]]:
        """All records so far."""
        self.log.flush()
        return [json.loads(line) for line in self.file.read_text().splitlines()] if self.file.exists() else []

    @property
    def traces(self) -> list[dict[str, Any]]:
        """The traces so far."""
        return [record for record in self.records if record["kind"] == "trace"]

    @property
    def errors(self) -> list[dict[str, Any]]:
        """The errors so far."""
        return [record for record in self.records if record["kind"] == "error"]

    def clear(self) -> None:
        """Forget what was kept."""
        self.log.flush()
        self.file.unlink(missing_ok=True)


@contextmanager
def keeping_traces(folder: Path, rules: Rules) -> Iterator[KeptTraces]:
    """Keep traces by these rules within the block."""
    before, log_before = recorder.rules, trace_log.current()
    kept = KeptTraces(folder)
    keeping.forget()
    request_observer._instruments.clear()
    trace_log.install(kept.log)
    recorder.prepare(rules)
    try:
        yield kept
    finally:
        kept.log.stop()
        recorder.prepare(before)
        trace_log.install(log_before)


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KeptTraces]:
    """Keep the traces of everything that the test does."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_on")
    with keeping_traces(tmp_path, Rules(rate=1.0)) as made:
        yield made
