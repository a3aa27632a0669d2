"""Check by which names the site logs, and whether its processes already do."""

from __future__ import annotations

import json
import os
from pathlib import Path

from church.config import Settings
from church.doctor.findings import Finding
from church.lib.log_fields import Scheme, to_otel
from church.lib.log_scheme import find_scheme

_END = 64 * 1024  # bytes from the end of the log in which the last record is looked for
_NAMES = {"plain": "plain names", "otel": "OpenTelemetry's names"}


def check_logs(settings: Settings) -> Finding:
    """Check that the last record has the names that the setting asks for; writes nothing."""
    scheme = settings.log_fields or find_scheme(settings.instance, settings.log_dir)
    written = _find_last_scheme(settings.log_dir / "combined.log")
    why = "by CHURCH_LOG_FIELDS" if settings.log_fields else "chosen at the first start"
    finding = f"records have {_NAMES[scheme]}, {why}"
    if settings.log_paths == "always":
        finding += "; those of members have the path, so content/privacy.md has to say it"
    if written is not None and written != scheme:
        return "warn", f"{finding}, but the last one has {_NAMES[written]}", "restart the site"
    return "ok", finding, ""


def _find_last_scheme(path: Path) -> Scheme | None:
    """The scheme of the last whole record; None if there is none that can be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _END))
            lines = file.read(_END).splitlines()
    except OSError:
        return None
    for line in reversed(lines):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict):
            return "otel" if to_otel("level") in record else "plain"
    return None
