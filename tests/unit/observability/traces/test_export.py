"""The queue to a collector: off by default, bounded, exact about what is lost, and quick to end."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from church.observability.metrics import definitions
from church.observability.traces import export
from church.observability.traces.export import Exporter, exporter_kind, read_rules
from church.observability.traces.recorder import Rules
from tests.support.helpers import captured_log, grows

ROOT = Path(__file__).parent.parent.parent.parent.parent


class Sender:
    """A collector that takes batches or not."""

    BATCH = 4

    def __init__(self, answer: bool = True) -> None:
        self.answer = answer
        self.batches: list[list[dict[str, Any]]] = []
        self.blocked: threading.Event | None = None

    def send(self, records: list[dict[str, Any]]) -> bool:
        if self.blocked is not None:
            self.blocked.wait(60)
        self.batches.append(list(records))
        return self.answer


def trace(spans: int = 1) -> dict[str, Any]:
    return {"spans": [[]] * spans}


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Exporter:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "10")
    made = Exporter()
    made.sender = Sender()  # type: ignore[assignment]
    return made


@pytest.mark.parametrize(
    ("variables", "kind"),
    [
        ({}, None),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, None),
        ({"OTEL_SDK_DISABLED": "TRUE", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, None),
        ({"OTEL_TRACES_SAMPLER": "always_on"}, None),
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, None),
        ({"OTEL_TRACES_EXPORTER": "console"}, "console"),
        ({"OTEL_TRACES_EXPORTER": " OTLP "}, "otlp"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, "otlp"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1"}, "otlp"),
    ],
)
def test_exporter_is_chosen_by_the_variables(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], kind: str | None
) -> None:
    for name, given in variables.items():
        monkeypatch.setenv(name, given)
    assert exporter_kind() == kind


def test_exporter_that_is_unknown_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "zipkin")
    with captured_log() as sink:
        exporter_kind()
    assert [record["event"] for record in sink.records] == ["telemetry.exporter_unknown"]


@pytest.mark.parametrize(
    ("sampler", "argument", "rate", "parent_first"),
    [
        (None, None, 0.0, True),
        ("always_on", None, 1.0, False),
        ("always_off", None, 0.0, False),
        ("parentbased_always_off", None, 0.0, True),
        ("parentbased_always_on", None, 1.0, True),
        ("traceidratio", "0.25", 0.25, False),
        ("parentbased_traceidratio", "0.01", 0.01, True),
        ("traceidratio", None, 1.0, False),
        ("traceidratio", "much", 1.0, False),
        ("traceidratio", "7", 1.0, False),
        ("traceidratio", "-1", 0.0, False),
    ],
)
def test_share_is_set_by_the_variables(
    monkeypatch: pytest.MonkeyPatch, sampler: str | None, argument: str | None, rate: float, parent_first: bool
) -> None:
    for name, given in (("OTEL_TRACES_SAMPLER", sampler), ("OTEL_TRACES_SAMPLER_ARG", argument)):
        if given is not None:
            monkeypatch.setenv(name, given)
    assert read_rules(("/auth/",)) == Rules(("/auth/",), rate, parent_first)


def test_site_without_a_collector_loads_no_sdk(tmp_path: Path) -> None:
    asks = (
        "import sys\nfrom church import create_app, telemetry\nfrom church.config import load_settings\n"
        "settings = load_settings(CHURCH_INSTANCE=sys.argv[1], CHURCH_LOG_DIR=sys.argv[1])\n"
        "create_app(settings).test_client().get('/nowhere')\ntelemetry.start_process(settings, 'web')\n"
        "telemetry.end_process()\nprint([name for name in sys.modules if name.startswith('opentelemetry.sdk')])"
    )
    environment = {name: given for name, given in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-c", asks, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
        check=True,
        timeout=120,
    )
    assert done.stdout == "[]\n"


def test_traces_are_sent_in_bounded_batches(exporter: Exporter) -> None:
    sender: Any = exporter.sender
    for _ in range(5):
        exporter.offer(trace())
    exporter.flush()
    assert [len(batch) for batch in sender.batches] == [2, 2, 1]


def test_traces_beyond_the_queue_are_counted_by_their_spans(exporter: Exporter) -> None:
    for _ in range(5):
        exporter.offer(trace())
    with grows(definitions.telemetry_lost.labels("export"), 3):
        exporter.offer(trace(2))
    exporter.flush()
    with grows(definitions.telemetry_lost.labels("export"), 0):
        exporter.offer(trace(2))


def test_batch_that_no_collector_takes_is_counted_by_its_spans(exporter: Exporter) -> None:
    exporter.sender = Sender(answer=False)  # type: ignore[assignment]
    exporter.offer(trace(2))
    exporter.offer(trace(3))
    lost, errors = definitions.telemetry_lost.labels("export"), definitions.telemetry_errors.labels("trace")
    with grows(lost, 7), grows(errors, 1):
        exporter.flush()


def test_end_sends_what_is_queued(exporter: Exporter) -> None:
    sender: Any = exporter.sender
    exporter.offer(trace())
    exporter.stop()
    assert [len(batch) for batch in sender.batches] == [1]


def test_end_waits_no_longer_than_its_time_and_counts_the_rest(
    exporter: Exporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "_LAST_WAIT", 0.05)
    sender: Any = exporter.sender
    sender.blocked = threading.Event()
    for _ in range(4):
        exporter.offer(trace())
    with grows(definitions.telemetry_lost.labels("export"), 8):
        exporter.stop()
    sender.blocked.set()


def test_exporter_that_is_off_takes_nothing() -> None:
    off = Exporter()
    with grows(definitions.telemetry_lost.labels("export"), 0):
        off.offer(trace())
        off.flush()
        off.stop()
    assert not off._queue
