"""Report metric files that are damaged and were set aside."""

from __future__ import annotations

import logging

from church.observability.metrics import definitions, worker_files

log = logging.getLogger("church.telemetry")


def report_own_damage() -> None:
    """Count and log the files that this process found damaged when it took its slot; call it once it can log."""
    definitions.telemetry_corrupt_files.inc(len(worker_files.SLOTS.damage))
    log_damage(worker_files.SLOTS.damage)


def log_damage(reasons: list[str]) -> None:
    """Log each damaged file that ``reasons`` names, and empty the list."""
    while reasons:
        log.warning("metric file damaged", extra={"event": "telemetry.file_damaged", "reason": reasons.pop()})
