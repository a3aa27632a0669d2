"""Check the host: folders, pages, free disk space, metrics and the clock."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from church.config import Settings
from church.database.engines import is_sqlite, make_probe_engine
from church.doctor.findings import Finding
from church.services.pages import check_folder
from church.telemetry import SCRAPED

_MEGABYTE = 1024 * 1024
_LOW = 1024 * _MEGABYTE
_TOO_LOW = 100 * _MEGABYTE
_FIRST_YEAR, _LAST_YEAR = 2025, 2100
_SCRAPE_MINUTES = 5
_MOST_NAMED = 10
# Seconds that two clocks may differ; more disturbs leases and tokens.
_CLOCK_TOLERANCE = 5.0


def check_folders(settings: Settings) -> Finding:
    """Check that instance and log folder are writable and that other users can't open the instance: it has secrets."""
    problems = [problem for folder in (settings.instance, settings.log_dir) if (problem := _unwritable(folder))]
    if problems:
        return "fail", "; ".join(problems), "create them, writable for the user that runs the site"
    if settings.instance.stat().st_mode & 0o077:
        return "warn", f"{settings.instance} is open to other users of this host", f"chmod 700 {settings.instance}"
    return "ok", f"{settings.instance} and {settings.log_dir} are writable", ""


def check_content(settings: Settings) -> Finding:
    """Check that there are pages, and name the files that are not served with the reason."""
    if not settings.content.is_dir():
        return "fail", f"{settings.content} is not a folder", "create it, or point CHURCH_CONTENT at the pages"
    unreadable = [page for page in sorted(settings.content.rglob("*.md")) if not os.access(page, os.R_OK)]
    if unreadable:
        return "fail", f"{len(unreadable)} pages can't be read, such as {unreadable[0]}", "chmod a+r them"
    report = check_folder(settings)
    finding = "1 page" if report.pages == 1 else f"{report.pages:,} pages"
    finding += f", {report.to_come} to come" if report.to_come else ""
    finding += f", {report.drafts} in draft" if report.drafts else ""
    if report.problems:
        named = "; ".join(f"{problem.path}: {problem.reason}" for problem in report.problems[:_MOST_NAMED])
        more = len(report.problems) - _MOST_NAMED
        rest = f"; and {more} more, listed by flask church index" if more > 0 else ""
        return "warn", f"{finding}, {len(report.problems)} left out: {named}{rest}", "mend these files"
    if not (report.pages or report.to_come or report.drafts):
        return "warn", f"{settings.content} has no pages", "add one: markdown with front matter"
    return "ok", finding, ""


def check_disk(settings: Settings) -> Finding:
    """Check the free disk space for the database and the logs."""
    free = {folder: shutil.disk_usage(_existing(folder)).free for folder in (settings.instance, settings.log_dir)}
    folder = min(free, key=lambda name: free[name])
    finding = f"{free[folder] // _MEGABYTE} MB free for {folder}"
    if free[folder] < _TOO_LOW:
        return "fail", finding, "free space now: soon nothing can be written"
    if free[folder] < _LOW:
        return "warn", finding, "free space before it runs out"
    return "ok", finding, ""


def check_metrics(settings: Settings) -> Finding:
    """Check that the workers' metrics folder is writable."""
    folder = settings.metrics_dir
    if not folder.exists():
        return "ok", f"{folder} is created at the first start", ""
    if problem := _unwritable(folder):
        return "fail", problem, "make it writable for the user that runs the site"
    return "ok", f"{len(list(folder.iterdir()))} files in {folder}", ""


def check_scrapes(settings: Settings) -> Finding:
    """Check that Prometheus scraped within the last minutes; outside production it need not."""
    scraped = settings.metrics_dir / SCRAPED
    minutes = (time.time() - scraped.stat().st_mtime) / 60 if scraped.exists() else None
    if minutes is not None and minutes <= _SCRAPE_MINUTES:
        return "ok", f"scraped within the last {_SCRAPE_MINUTES} minutes", ""
    finding = "/metrics was never scraped" if minutes is None else f"last scraped {minutes:.0f} minutes ago"
    if not settings.production:
        return "ok", finding, ""
    return "warn", finding, "check the Targets page of Prometheus; docs/deployment.md has its configuration"


def check_clock(settings: Settings) -> Finding:
    """Check that the year is plausible, and that file system and database agree with this host's clock."""
    year = time.gmtime().tm_year
    if not _FIRST_YEAR <= year < _LAST_YEAR:
        return "fail", f"the clock says it is the year {year}", "set it, and sync it with NTP"
    with tempfile.TemporaryFile(dir=_existing(settings.instance)) as file:
        file.write(b".")
        file.flush()
        difference = abs(os.fstat(file.fileno()).st_mtime - time.time())
    if difference > _CLOCK_TOLERANCE:
        return "warn", f"the file system's clock is {difference:.0f} s off", "sync both hosts with NTP"
    difference = _database_difference(settings)
    if difference > _CLOCK_TOLERANCE:
        return "warn", f"the database's clock is {difference:.0f} s off", "sync both hosts with NTP"
    return "ok", "agrees with file system and database", ""


def _database_difference(settings: Settings) -> float:
    """Seconds between PostgreSQL's clock and ours; 0 if it does not answer, which another check reports."""
    if is_sqlite(settings):
        return 0.0
    engine = make_probe_engine(settings)
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
