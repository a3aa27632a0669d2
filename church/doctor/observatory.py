"""Check the telemetry store: whether it runs, keeps up with the logs, and can write."""

from __future__ import annotations

from typing import Any

from church.config import Settings
from church.doctor.findings import Finding
from church.services.telemetry_queries import TelemetryStoreDownError, ask

_LATE = 120.0
_MEGABYTE = 1024 * 1024


def check_observatory(settings: Settings) -> Finding:
    """Check the telemetry store of this host; outside production it need not run."""
    if not settings.observatory:
        return "ok", "turned off by CHURCH_OBSERVATORY", ""
    try:
        (status,) = ask(settings, "status").rows
    except TelemetryStoreDownError:
        finding = "flask church observe does not answer: the admin area shows no logs, traces, errors and metrics"
        if not settings.production:
            return "ok", finding, ""
        return "warn", finding, "systemctl enable --now church-observe, or set CHURCH_OBSERVATORY=false"
    return _judge(status)


def _judge(status: dict[str, Any]) -> Finding:
    if status["disk_full"]:
        return "warn", "it writes nothing: the disk is full", "free space; it goes on by itself"
    if status["lag_seconds"] > _LATE:
        finding = f"it is {status['lag_seconds']:,.0f} s behind the logs"
        return "warn", finding, "wait if it has just been started; else see observe.paused in combined.log"
    kept = sum(table["bytes"] for table in status["tables"].values()) // _MEGABYTE
    finding = f"runs, keeps {kept:,} MB"
    if status["damaged_segments"]:
        finding += f", has set {status['damaged_segments']} damaged segments aside"
    return "ok", finding, ""
