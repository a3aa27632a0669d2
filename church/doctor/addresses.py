"""Check that addresses in log files and in the telemetry store were cut to their network in time."""

from __future__ import annotations

import gzip
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from church.config import Settings
from church.doctor.findings import Finding
from church.errors import UnavailableError
from church.lib.log_addresses import limit_of, read_piece
from church.services.telemetry_queries import ask

_HEAD = 256 * 1024  # bytes of each file: its oldest lines
_DAY = 86_400


def check_addresses(settings: Settings) -> Finding:
    """Look for whole addresses that are a day too old, at the beginning of each log file and in the store."""
    days = settings.observatory_address_days
    limit = limit_of(time.time() - (days + 1) * _DAY)
    late = [path.name for path in _list_logs(settings.log_dir) if read_piece(_read_head(path), limit).edits]
    segments = _count_uncut_segments(settings)
    if not late and not segments:
        return "ok", f"cut to their network after {days} days", ""
    found = [f"whole ones older than {days} days in {', '.join(late[:5])}"] if late else []
    found += [f"whole ones older than {days} days in {segments} files of the telemetry store"] if segments else []
    fix = "flask church observe cuts them once a day: start it, or see observe.cut_failed in combined.log"
    return (
        "warn",
        "; ".join(found),
        fix if settings.observatory else "turn CHURCH_OBSERVATORY on: its process cuts them",
    )


def _list_logs(folder: Path) -> Iterator[Path]:
    """The log files and those that they were rotated to."""
    for pattern in ("combined.log*", "traces.log*"):
        yield from sorted(folder.glob(pattern))


def _read_head(path: Path) -> bytes:
    """The beginning of a file, uncompressed; nothing of one that cannot be read."""
    with suppress(OSError, EOFError, zlib.error), gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        return file.read(_HEAD)
    return b""


def _count_uncut_segments(settings: Settings) -> int:
    """How many files of the telemetry store are late; 0 if it does not run, which another check says."""
    try:
        (status,) = ask(settings, "status").rows
    except UnavailableError:
        return 0
    return int(status.get("uncut_segments", 0))
