"""The admin's overview: the state of each part, and that a part that fails does not hide the others."""

from __future__ import annotations

import json
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
from church.database import DatabaseDownError, ProbeResult, migrations
from church.extensions import db, store
from church.lib.version import COMMIT, VERSION
from church.services.admin_overview import health, last_errors, read_overview
from church.services.admin_overview.counts import WorkCounts
from church.services.admin_overview.health import Verdict
from church.services.admin_overview.last_errors import list_last_errors
from church.services.billing.health import PaymentFacts
from tests.support.helpers import with_settings
from tests.support.people import add_user, sign_in

QUIET = WorkCounts(0, 0, 0, 0.0, datetime(2026, 5, 3, 12, tzinfo=UTC), (), 0, 0)
NOTHING_PAID = PaymentFacts(failed=0, last_webhook=None, plans=0)


def found(parts: list[health.PartHealth], name: str) -> tuple[Verdict, str]:
    return next((part.verdict, part.finding) for part in parts if part.name == name)


def look(name: str, work: WorkCounts | None = QUIET, site: Settings | None = None) -> tuple[Verdict, str]:
    return found(health.check_parts(site or current_settings(), work, NOTHING_PAID if work else None), name)


# -- the whole ------------------------------------------------------------------------------------------------------


def test_overview_shows_version_and_counts(at_work: Flask) -> None:
    ada = add_user(at_work, password_hash="x", role="admin")
    sign_in(at_work, ada)
    seen = read_overview(current_settings())
    assert (seen.version, seen.commit, seen.environment) == (VERSION, COMMIT, "development")
    assert seen.members is not None
    assert (seen.members.members, seen.members.admins, seen.signed_in) == (1, 1, 1)
    assert found(seen.parts, "Database") == (Verdict.OK, "SQLite is responding.")
    assert found(seen.parts, "Migrations")[0] is Verdict.OK
    assert "No errors logged" in seen.errors.problem


def test_overview_with_the_database_down_shows_the_rest(at_work: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*_args: object) -> Any:
        raise DatabaseDownError

    monkeypatch.setattr(db, "read", down)
    monkeypatch.setattr(db, "probe", lambda: ProbeResult(answers=False, migrated=False))
    seen = read_overview(current_settings())
    assert (seen.members, seen.signed_in) == (None, None)
    assert found(seen.parts, "Database") == (Verdict.FAIL, "SQLite is not responding.")
    assert found(seen.parts, "Background work")[0] is Verdict.FAIL
    assert "Migrations" not in [part.name for part in seen.parts]
    assert found(seen.parts, "Instance disk")[0] is not None


def test_overview_of_a_database_without_tables_reports_it(at_work: Flask) -> None:
    migrations.downgrade(current_settings(), "base")
    db.dispose()
    seen = read_overview(current_settings())
    assert seen.members is None
    assert found(seen.parts, "Migrations")[0] is Verdict.FAIL


# -- parts ----------------------------------------------------------------------------------------------------------


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
    assert (verdict, words.partition(":")[0]) == (Verdict.WARN, "test till at 127.0.0.1")
    assert "To do: start it" in words
    off = with_settings(current_settings(), environment="production")
    assert look("Payments", site=off) == (
        Verdict.OK,
        "off: STRIPE_SECRET_KEY is not set, so nobody can pay.",
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


# -- the error log --------------------------------------------------------------------------------------------------


def line(number: int, **more: Any) -> str:
    record = {"timestamp": f"t{number}", "event": "e", "message": f"m{number}", "request_id": f"r{number}", **more}
    return json.dumps(record) + "\n"


def test_last_errors_are_the_newest_twenty_newest_first(tmp_path: Path) -> None:
    path = tmp_path / "error.log"
    path.write_text("".join(line(number) for number in range(30)))
    seen = list_last_errors(path)
    assert [record.message for record in seen.records] == [f"m{number}" for number in range(29, 9, -1)]
    assert (seen.records[0].at, seen.records[0].request_id, seen.problem) == ("t29", "r29", "")


def test_cause_is_the_end_of_the_traceback_or_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "error.log"
    path.write_text(line(1, exception="Traceback\n  File x\nOSError: full\n") + line(2, reason="late") + line(3))
    assert [record.cause for record in list_last_errors(path).records] == ["", "late", "OSError: full"]


def test_lines_other_than_records_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "error.log"
    deep = "[" * 100_000
    path.write_bytes(line(1).encode() + b'{"torn": "\xff\n[1]\n\n"text"\n' + deep.encode() + b"\n" + line(2).encode())
    assert [record.message for record in list_last_errors(path).records] == ["m2", "m1"]


def test_huge_log_is_read_only_at_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(last_errors, "_MOST_BYTES", 1000)
    path = tmp_path / "error.log"
    path.write_text("".join(line(number) for number in range(1000)))
    seen = list_last_errors(path)
    assert [record.message for record in seen.records] == [f"m{999 - back}" for back in range(len(seen.records))]
    assert 5 < len(seen.records) < 20


def test_values_of_any_type_are_shown_shortened(tmp_path: Path) -> None:
    path = tmp_path / "error.log"
    path.write_text(line(1, message="x" * 5000, event=None, request_id=7))
    (record,) = list_last_errors(path).records
    assert (len(record.message), record.event, record.request_id) == (300, "", "7")


def test_missing_empty_and_unreadable_logs_are_reported(tmp_path: Path) -> None:
    assert "No errors logged on this host yet" in list_last_errors(tmp_path / "error.log").problem
    assert "Cannot read the file: Is a directory" in list_last_errors(tmp_path).problem
    (tmp_path / "error.log").write_text("")
    assert list_last_errors(tmp_path / "error.log").problem == "No errors logged."
