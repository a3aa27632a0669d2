"""Check the telemetry store: whether its process runs."""

from __future__ import annotations

import fcntl
import os

from church.config import Settings
from church.doctor.findings import Finding
from church.lib.local_servers import observatory_folder

_LOCK = "observe.lock"


def check_observatory(settings: Settings) -> Finding:
    """Check that the telemetry store runs, if it should; outside production it need not."""
    if not settings.observatory:
        return "ok", "turned off by CHURCH_OBSERVATORY", ""
    if _is_running(settings):
        return "ok", "runs", ""
    finding = "flask church observe does not run: the admin area shows no logs, traces, errors and metrics"
    if not settings.production:
        return "ok", finding, ""
    return "warn", finding, "systemctl enable --now church-observe, or set CHURCH_OBSERVATORY=false"


def _is_running(settings: Settings) -> bool:
    """Whether a process holds the lock of the store."""
    try:
        lock = os.open(observatory_folder(settings.instance) / _LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(lock)
