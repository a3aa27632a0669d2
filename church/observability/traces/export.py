"""Send kept traces to a collector by OTLP, where an OTEL_* variable asks for it; OpenTelemetry is imported only then.

A queue and a thread of its own, so that neither a request nor the log waits for a collector that is slow or away.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from church.lib.per_process import PerProcess
from church.lib.threads import start_beside
from church.observability.metrics import definitions
from church.observability.traces.recorder import Rules

if TYPE_CHECKING:
    from church.observability.traces.otlp import Sender

log = logging.getLogger("church.telemetry")

_DELAY = 5_000  # milliseconds between two batches, as in OpenTelemetry's SDK
_MAX_WAITING = 20_000  # spans
_LAST_WAIT = 2.0  # seconds that the end of the process may take
_RATES = {"always_on": 1.0, "always_off": 0.0}


def exporter_kind() -> str | None:
    """What the OTEL_* variables ask for, ``otlp`` or ``console``; None: nothing is sent. Unset variables mean none."""
    kind = os.environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    endpoint = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or kind == "none" or not (kind or endpoint):
        return None
    if kind not in {"", "otlp", "console"}:
        log.warning("unknown trace exporter", extra={"event": "telemetry.exporter_unknown", "exporter": kind})
        return None
    return kind or "otlp"


def read_rules(paths: tuple[str, ...]) -> Rules:
    """Which traces are asked for: by their paths, and the share of OTEL_TRACES_SAMPLER, none if that is unset."""
    name = os.environ.get("OTEL_TRACES_SAMPLER", "").strip().lower()
    if not name:
        return Rules(paths)
    base = name.removeprefix("parentbased_")
    try:
        rate = _RATES[base] if base in _RATES else float(os.environ.get("OTEL_TRACES_SAMPLER_ARG", "1.0"))
    except ValueError:
        rate = 1.0
    return Rules(paths, min(max(rate, 0.0), 1.0), name.startswith("parentbased_"))


class Exporter:
    """The queue of a process, and the thread that sends what is in it."""

    def __init__(self) -> None:
        kind = exporter_kind()
        self.sender: Sender | None = None
        self._queue: deque[dict[str, Any]] = deque()
        self._waiting = 0  # spans
        self._ended = threading.Event()
        self._sending = threading.Lock()
        self._most = _read_number("OTEL_BSP_MAX_QUEUE_SIZE", _MAX_WAITING)
        if kind is not None:
            from church.observability.traces import otlp  # noqa: PLC0415 - costs a site without a collector nothing

            self.sender = otlp.Sender(otlp.build_exporter(kind))
            start_beside("trace-export", self._run, _read_number("OTEL_BSP_SCHEDULE_DELAY", _DELAY) / 1000)

    def offer(self, record: dict[str, Any]) -> None:
        """Queue the record of a trace; any thread may call this."""
        if self.sender is None:
            return
        spans = 1 + len(record["spans"])
        if self._waiting + spans > self._most:
            definitions.telemetry_lost.labels("export").inc(spans)
            return
        self._waiting += spans
        self._queue.append(record)

    def flush(self) -> None:
        """Send what is queued now."""
        with self._sending:
            while self._queue and self.sender is not None:
                self._send(self.sender)

    def _send(self, sender: Sender) -> None:
        batch, spans = [], 0
        while self._queue and spans < sender.BATCH:
            batch.append(self._queue.popleft())
            spans += 1 + len(batch[-1]["spans"])
        if not sender.send(batch):
            definitions.telemetry_errors.labels("trace").inc()
            definitions.telemetry_lost.labels("export").inc(spans)
        self._waiting -= spans

    def _run(self, delay: float) -> None:
        while not self._ended.wait(delay):
            self.flush()

    def stop(self) -> None:
        """Send what is queued, in bounded time; count the rest as lost."""
        if self.sender is None:
            return
        self._ended.set()
        last = start_beside("trace-export-last", self.flush)
        last.join(_LAST_WAIT)
        if self._waiting:
            definitions.telemetry_lost.labels("export").inc(self._waiting)


_exporter = PerProcess(Exporter)


def start() -> None:
    """Make the exporter of this process, if one is configured: after the fork."""
    _exporter()


def offer(record: dict[str, Any]) -> None:
    """Send the record of a kept trace, if an exporter is configured and started."""
    if _exporter.is_made:
        _exporter().offer(record)


def stop() -> None:
    """Send the queued traces; bounded in time."""
    if _exporter.is_made:
        _exporter().stop()


def _read_number(name: str, default: int) -> int:
    try:
        return max(1, int(os.environ.get(name) or default))
    except ValueError:
        return default
