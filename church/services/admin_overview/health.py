"""Check the parts of the site for the admin's overview: database, store, worker, emails, payments, disks.

Nothing here raises or waits long: a part that does not answer is a finding.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from church.config import Settings
from church.database.engines import is_sqlite
from church.extensions import db, store
from church.services.admin_overview.content import ContentState
from church.services.admin_overview.counts import MOST_WORK, WorkCounts
from church.services.billing import PaymentFacts, check_payments

LATE_AFTER = timedelta(minutes=1)
"""The worker process checks queue and schedules every second, so later work means that no worker is running."""
_MEGABYTE = 1024 * 1024
_GIGABYTE = 1024 * _MEGABYTE
_LITTLE = _GIGABYTE
_TOO_LITTLE = 100 * _MEGABYTE


class Verdict(StrEnum):
    """State of a part."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class PartHealth:
    """One part of the site; ``finding`` is a sentence for the admin."""

    name: str
    verdict: Verdict
    finding: str


def check_parts(settings: Settings, work: WorkCounts | None, payments: PaymentFacts | None) -> list[PartHealth]:
    """Check every part. ``work`` and ``payments`` are facts from the database, None while it is down."""
    return [*_servers(settings), *_work(work), _delivery(settings), _payments(settings, payments), *_disks(settings)]


def judge_content(content: ContentState) -> PartHealth:
    """Report the pages of the content folder; one that is left out is a warning."""
    count = "1 page" if content.pages == 1 else f"{content.pages:,} pages"
    coming = f", {content.to_come} to come" if content.to_come else ""
    if content.left_out:
        return PartHealth("Content", Verdict.WARN, f"{count}{coming}. {content.left_out} left out: see below why.")
    return PartHealth("Content", Verdict.OK, f"{count}{coming}.")


def _servers(settings: Settings) -> Iterator[PartHealth]:
    kind = "SQLite" if is_sqlite(settings) else "PostgreSQL"
    state = db.probe()
    if not state.answers:
        yield PartHealth("Database", Verdict.FAIL, f"{kind} is not responding.")
    else:
        yield PartHealth("Database", Verdict.OK, f"{kind} is responding.")
        if state.migrated:
            yield PartHealth("Migrations", Verdict.OK, "Schema is up to date.")
        else:
            yield PartHealth(
                "Migrations", Verdict.FAIL, "Schema does not match this version. Run flask church migrate."
            )
    if store.ping():
        yield PartHealth("Store", Verdict.OK, "Shared store is responding.")
    else:
        effect = "rate limits count per worker, and chat messages stay in their worker"
        yield PartHealth("Store", Verdict.WARN, f"Shared store is not responding: {effect}.")


def _work(work: WorkCounts | None) -> Iterator[PartHealth]:
    if work is None:
        yield PartHealth("Background work", Verdict.FAIL, "The database with its queue is not responding.")
        return
    yield _worker(work)
    queued = f"{_many(work.pending)} waiting, {_many(work.running)} running, {_many(work.dead)} dead."
    yield PartHealth("Jobs", Verdict.WARN if work.dead else Verdict.OK, queued)
    mails = f"{_many(work.mails_pending)} waiting, {_many(work.mails_failed)} failed."
    yield PartHealth("Emails", Verdict.WARN if work.mails_failed else Verdict.OK, mails)


def _many(count: int) -> str:
    return f"more than {MOST_WORK:,}" if count > MOST_WORK else f"{count:,}"


def _worker(work: WorkCounts) -> PartHealth:
    """Whether a worker process is running, judged by overdue work. This is right for any number of hosts."""
    start = "Start flask church work."
    if work.late:
        return PartHealth("Background work", Verdict.FAIL, f"Overdue: {', '.join(work.late)}. {start}")
    if work.waiting > LATE_AFTER.total_seconds() and not work.running:
        minutes = round(work.waiting / 60)
        return PartHealth("Background work", Verdict.FAIL, f"A job has been waiting for {minutes} min. {start}")
    if work.scheduled_at is None:
        return PartHealth("Background work", Verdict.FAIL, f"No worker process has run yet. {start}")
    return PartHealth("Background work", Verdict.OK, "Worker is on schedule.")


def _delivery(settings: Settings) -> PartHealth:
    """How emails are sent. Shows only host and port of the server's URL, which also has the password."""
    if settings.smtp_url is None:
        folder = settings.instance / "outbox"
        return PartHealth(
            "Email delivery", Verdict.WARN, f"No mail server is configured. Emails are files in {folder}."
        )
    server = urlsplit(settings.smtp_url.get_secret_value()).netloc.rpartition("@")[2]
    return PartHealth("Email delivery", Verdict.OK, f"By SMTP to {server}, from {settings.sender}.")


def _payments(settings: Settings, payments: PaymentFacts | None) -> PartHealth:
    """Report the doctor's finding, with its fix."""
    if payments is None:
        return PartHealth("Payments", Verdict.FAIL, "The database with the Stripe data is not responding.")
    health = check_payments(settings, payments)
    words = ". To do: ".join(filter(None, (health.finding, health.fix))) + "."
    return PartHealth("Payments", Verdict(health.state), words[0].upper() + words[1:])


def _disks(settings: Settings) -> Iterator[PartHealth]:
    for name, folder in (("Instance disk", settings.instance), ("Log disk", settings.log_dir)):
        yield _disk(name, folder)


def _disk(name: str, folder: Path) -> PartHealth:
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return PartHealth(name, Verdict.FAIL, f"{folder}: {error.strerror}.")
    verdict = Verdict.FAIL if free < _TOO_LITTLE else Verdict.WARN if free < _LITTLE else Verdict.OK
    return PartHealth(name, verdict, f"{_size(free)} free.")


def _size(count: int) -> str:
    return f"{count // _MEGABYTE} MB" if count < 10 * _GIGABYTE else f"{count // _GIGABYTE} GB"
