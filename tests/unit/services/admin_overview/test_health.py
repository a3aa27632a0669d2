"""The state of each part of the site, as the admin sees it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from pydantic import SecretStr

from church.config import Settings, current_settings
from church.extensions import store
from church.services.admin_overview import health
from church.services.admin_overview.counts import WorkCounts
from church.services.admin_overview.health import Verdict
from church.services.billing.health import PaymentFacts
from tests.support.helpers import with_settings

QUIET = WorkCounts(0, 0, 0, 0.0, datetime(2026, 5, 3, 12, tzinfo=UTC), (), 0, 0, 0)
NOTHING_PAID = PaymentFacts(failed=0, last_webhook=None, plans=0)


def found(parts: list[health.PartHealth], name: str) -> tuple[Verdict, str]:
    return next((part.verdict, part.finding) for part in parts if part.name == name)


def look(name: str, work: WorkCounts | None = QUIET, site: Settings | None = None) -> tuple[Verdict, str]:
    return found(health.check_parts(site or current_settings(), work, NOTHING_PAID if work else None), name)


def test_store_down_is_a_warning(at_work: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    assert look("Store")[0] is Verdict.WARN  # no store runs in this test
    monkeypatch.setattr(store, "ping", lambda: True)
    assert look("Store") == (Verdict.OK, "Shared store is responding.")


@pytest.mark.parametrize(
    ("change", "verdict", "words"),
    [
        ({}, Verdict.OK, "on schedule"),
        ({"scheduled_at": None}, Verdict.FAIL, "No worker process has run yet"),
        ({"late": ("accounts.purge", "pages.index")}, Verdict.FAIL, "due: accounts.purge, pages.index"),
        ({"waiting": 61.0}, Verdict.FAIL, "waiting for 1 min"),
        ({"waiting": 59.0}, Verdict.OK, "on schedule"),
        ({"waiting": 600.0, "running": 1}, Verdict.OK, "on schedule"),  # a worker is busy with another job
    ],
)
def test_worker_is_judged_by_overdue_work(at_work: Flask, change: dict[str, Any], verdict: Verdict, words: str) -> None:
    seen = look("Background work", replace(QUIET, **change))
    assert seen[0] is verdict
    assert words in seen[1]


def test_dead_jobs_and_failed_emails_are_warnings(at_work: Flask) -> None:
    assert look("Jobs", replace(QUIET, pending=3, running=1)) == (Verdict.OK, "3 waiting, 1 running, 0 dead.")
    assert look("Jobs", replace(QUIET, dead=2)) == (Verdict.WARN, "0 waiting, 0 running, 2 dead.")
    assert look("Emails", replace(QUIET, mails_pending=4))[0] is Verdict.OK
    assert look("Emails", replace(QUIET, mails_failed=1)) == (Verdict.WARN, "0 waiting, 1 failed.")


def test_email_delivery_shows_the_server_without_its_password(at_work: Flask) -> None:
    assert look("Email delivery") == (
        Verdict.WARN,
        f"No mail server is configured. Emails are files in {current_settings().instance / 'outbox'}.",
    )
    url = SecretStr("smtp://church:s3cr3t-p@ss@mail.example:587")
    verdict, words = look("Email delivery", site=with_settings(current_settings(), smtp_url=url))
    assert (verdict, words.split(",")[0]) == (Verdict.OK, "By SMTP to mail.example:587")
    assert "s3cr3t" not in words


def test_payments_have_the_doctors_finding(at_work: Flask) -> None:
    verdict, words = look("Payments")
    assert (verdict, words.partition(":")[0]) == (Verdict.WARN, "Test till at 127.0.0.1")
    assert "To do: start it" in words
    off = with_settings(current_settings(), environment="production")
    assert look("Payments", site=off) == (
        Verdict.OK,
        "Off: STRIPE_SECRET_KEY is not set, so nobody can pay.",
    )
    assert look("Payments", None)[0] is Verdict.FAIL


@pytest.mark.parametrize(
    ("free", "verdict", "words"),
    [
        (99 * 2**20, Verdict.FAIL, "99 MB free."),
        (500 * 2**20, Verdict.WARN, "500 MB free."),
        (1024 * 2**20, Verdict.OK, "1024 MB free."),
        (50 * 2**30, Verdict.OK, "50 GB free."),
    ],
)
def test_disk_is_judged_by_its_free_space(
    at_work: Flask, monkeypatch: pytest.MonkeyPatch, free: int, verdict: Verdict, words: str
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=free))
    assert look("Log disk") == (verdict, words)


def test_missing_folder_is_a_failure(at_work: Flask, tmp_path: Path) -> None:
    site = with_settings(current_settings(), log_dir=tmp_path / "nowhere")
    assert look("Log disk", site=site) == (Verdict.FAIL, f"{tmp_path}/nowhere: No such file or directory.")
