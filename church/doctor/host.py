"""The doctor's look at the host: folders, pages, room on the disk, the clock."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from church.config import Settings
from church.database.engines import is_sqlite, probe_engine
from church.doctor.findings import Finding
from church.telemetry import SCRAPED

_MEGABYTE = 1024 * 1024
_LITTLE = 1024 * _MEGABYTE
_TOO_LITTLE = 100 * _MEGABYTE
_FIRST_YEAR, _LAST_YEAR = 2025, 2100
_SCRAPE_MINUTES = 5
# Seconds by which two clocks may differ before leases and tokens suffer.
_APART = 5.0


def check_folders(settings: Settings) -> Finding:
    """Instance and log folder take files, and the instance is its user's alone: it holds the secrets."""
    problems = [problem for folder in (settings.instance, settings.log_dir) if (problem := _unwritable(folder))]
    if problems:
        return "fail", "; ".join(problems), "make them writable for the user that runs the site"
    if settings.instance.stat().st_mode & 0o077:
        return "warn", f"{settings.instance} is open to other users of this host", f"chmod 700 {settings.instance}"
    return "ok", f"{settings.instance} and {settings.log_dir} writable", ""


def check_content(settings: Settings) -> Finding:
    """There are pages, and they can be read."""
    if not settings.content.is_dir():
        return "fail", f"{settings.content} is no folder", "make it, or point CHURCH_CONTENT at the pages"
    pages = sorted(settings.content.rglob("*.md"))
    locked = [page for page in pages if not os.access(page, os.R_OK)]
    if locked:
        return "fail", f"{len(locked)} pages can't be read, such as {locked[0]}", "chmod a+r them"
    if not pages:
        return "warn", f"{settings.content} holds no page", "write one: it is markdown with front matter"
    return "ok", f"{len(pages)} pages", ""


def check_disk(settings: Settings) -> Finding:
    """Room for the database and the logs."""
    free = {folder: shutil.disk_usage(_existing(folder)).free for folder in (settings.instance, settings.log_dir)}
    folder = min(free, key=lambda name: free[name])
    finding = f"{free[folder] // _MEGABYTE} MB free for {folder}"
    if free[folder] < _TOO_LITTLE:
        return "fail", finding, "make room: soon nothing can be written"
    if free[folder] < _LITTLE:
        return "warn", finding, "make room before it runs out"
    return "ok", finding, ""


def check_metrics(settings: Settings) -> Finding:
    """The folder in which the workers count."""
    folder = settings.metrics_dir
    if not folder.exists():
        return "ok", f"{folder} is made at the first start", ""
    if problem := _unwritable(folder):
        return "fail", problem, "make it writable for the user that runs the site"
    return "ok", f"{len(list(folder.iterdir()))} files in {folder}", ""


def check_scrapes(settings: Settings) -> Finding:
    """Somebody reads the metrics: Prometheus asks every minute or oftener. At a desk nobody has to."""
    scraped = settings.metrics_dir / SCRAPED
    minutes = (time.time() - scraped.stat().st_mtime) / 60 if scraped.exists() else None
    if minutes is not None and minutes <= _SCRAPE_MINUTES:
        return "ok", "scraped within the last minutes", ""
    finding = "nobody has scraped /metrics" if minutes is None else f"last scraped {minutes:.0f} minutes ago"
    if not settings.production:
        return "ok", finding, ""
    return "warn", finding, "look at Prometheus' page of targets: docs/deployment.md has its configuration"


def check_clock(settings: Settings) -> Finding:
    """The year is sane, and file system and database agree with this host."""
    year = time.gmtime().tm_year
    if not _FIRST_YEAR <= year < _LAST_YEAR:
        return "fail", f"the clock says it is the year {year}", "set it, and keep it by NTP"
    with tempfile.TemporaryFile(dir=_existing(settings.instance)) as file:
        file.write(b".")
        file.flush()
        apart = abs(os.fstat(file.fileno()).st_mtime - time.time())
    if apart > _APART:
        return "warn", f"the file system's clock is {apart:.0f} s off", "keep both hosts by NTP"
    apart = _database_apart(settings)
    if apart > _APART:
        return "warn", f"the database's clock is {apart:.0f} s off", "keep both hosts by NTP"
    return "ok", "agrees with file system and database", ""


def _database_apart(settings: Settings) -> float:
    """Seconds between PostgreSQL's clock and ours; 0 where it does not answer, which is another check's finding."""
    if is_sqlite(settings):
        return 0.0
    engine = probe_engine(settings)
    try:
        with engine.connect() as connection:
            theirs = connection.scalar(text("SELECT extract(epoch FROM clock_timestamp())"))
            return abs(float(theirs or 0) - time.time())
    except DBAPIError:
        return 0.0
    finally:
        engine.dispose()


def _unwritable(folder: Path) -> str | None:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b".")
    except OSError as error:
        return f"{folder}: {error.strerror}"
    return None


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())
