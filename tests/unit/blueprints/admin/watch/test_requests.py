"""The page of one request: all that the store and the database have of it."""

from __future__ import annotations

from flask import Flask
from sqlalchemy import update

from church import jobs
from church.extensions import db
from church.models import AuditEntry, Job, Mail
from church.models.base import utc_now
from church.models.jobs import MailState
from church.services import audit
from tests.support.desk import AdminBrowser
from tests.support.store_rows import REQUEST, error_row, log_row, span_of, trace_row
from tests.support.store_stand_in import StoreStandIn


def test_request_shows_its_records_trace_and_error(desk: AdminBrowser, store: StoreStandIn) -> None:
    select = span_of("SELECT pages", 1000, 500, kind="CLIENT", attributes={"db.query.text": "SELECT <1>"})
    store.give(
        "requests.find",
        {"table": "logs", **log_row(route="/pages/", status=500, duration_ms=10.0, cpu_ms=4.0, method="GET")},
        {"table": "traces", **trace_row(select, kept="failed")},
        {"table": "errors", **error_row()},
    )
    page = desk.get(f"/admin/request/{REQUEST}").text
    assert store.args_of("requests.find") == {"request_id": REQUEST}
    assert "answered 500 in 10.0 ms, of which 4.0 ms were CPU" in page
    assert "SELECT pages" in page
    assert "SELECT &lt;1&gt;" in page
    assert "Kept because it failed" in page
    assert "church/services/pages/render.py:42" in page


def test_request_shows_its_jobs_emails_and_audit_entries(app: Flask, desk: AdminBrowser, store: StoreStandIn) -> None:
    with app.app_context(), db.write() as session:
        mail = Mail(template="welcome", recipient="ada@church.example", state=MailState.PENDING.value, context={})
        mail.created_at = utc_now()
        session.add(mail)
        session.flush()
        jobs.enqueue(session, "mails.send", {"mail": mail.id})
        session.query(Job).update({"request_id": REQUEST})
        audit.record(session, "job.retried", job=1)
        session.flush()
        session.execute(update(AuditEntry).where(AuditEntry.action == "job.retried").values(request_id=REQUEST))
    page = desk.get(f"/admin/request/{REQUEST}").text
    assert "mails.send" in page
    assert "Emails" in page
    assert "job.retried" in page
    assert "ada@church.example" not in page


def test_request_that_is_unknown_says_so(desk: AdminBrowser, store: StoreStandIn) -> None:
    assert "Nothing is kept of this request" in desk.get(f"/admin/request/{REQUEST}").text


def test_request_without_a_store_still_shows_what_the_database_has(desk: AdminBrowser) -> None:
    answer = desk.get(f"/admin/request/{REQUEST}")
    assert answer.status_code == 200
    assert "flask church observe" in answer.text


def test_request_id_that_is_none_is_not_found(desk: AdminBrowser) -> None:
    assert desk.get("/admin/request/" + "x" * 65).status_code == 404
    assert desk.get("/admin/request/a%20b").status_code == 404
