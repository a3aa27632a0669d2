"""The email queue in the admin area: state and reason without content, and retries."""

from __future__ import annotations

import pytest
from flask import Flask

from church.extensions import db
from church.models import Mail
from church.models.base import utc_now
from tests.support.accounts_fixture import audited
from tests.support.desk import JSON, AdminBrowser, call_in_context

HOSTILE = '"><svg onload=x>{{7*7}}</title>'


def add_failed_email() -> int:
    """Add an email that was given up. Returns its id."""
    with db.write() as session:
        context = {"words": "s3cret"}
        mail = Mail(template="verify", recipient="ada@church.example", context=context, created_at=utc_now())
        mail.state, mail.reason, mail.attempts = "failed", HOSTILE, 8
        session.add(mail)
        session.flush()
        return mail.id


def test_emails_show_state_and_reason_but_no_content(desk: AdminBrowser, app: Flask) -> None:
    call_in_context(app, add_failed_email)
    for found in (desk.get("/admin/mails?state=failed"), desk.get("/admin/mails?state=failed", **JSON)):
        assert "s3cret" not in found.text
    page = desk.get("/admin/mails?state=failed").text
    assert "<svg onload" not in page
    assert "&lt;svg onload=x&gt;{{7*7}}" in page
    assert "No sent emails" in desk.get("/admin/mails?state=sent").text


def test_failed_email_is_retried_once(desk: AdminBrowser, app: Flask) -> None:
    mail = call_in_context(app, add_failed_email)
    found = desk.send(f"/admin/mails/{mail}/retry")
    assert (found.status_code, found.headers["Location"]) == (303, "/admin/mails?state=failed")
    assert desk.send(f"/admin/mails/{mail}/retry").status_code == 409
    assert call_in_context(app, audited) == ["mail.retried"]
    with app.app_context(), db.read() as session:
        assert session.get_one(Mail, mail).state == "pending"


@pytest.mark.parametrize("number", ["99999999999999999999", "x", "-1"])
def test_retry_of_an_invalid_email_id_is_not_found(desk: AdminBrowser, number: str) -> None:
    assert desk.send(f"/admin/mails/{number}/retry").status_code == 404
