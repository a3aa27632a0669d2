"""A test client that submits forms with their CSRF token, and readers of emails, links, audit log and attempts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Flask
from sqlalchemy import select
from werkzeug.test import TestResponse

from church.config import current_settings
from church.extensions import db
from church.models import AuditEntry, Link, Mail, User
from church.observability.metrics import definitions
from church.services import email_links
from tests.support.people import client_of

JSON = {"Accept": "application/json"}
_TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')


class Browser:
    """The browser of a visitor, or of ``user``, signed in."""

    def __init__(self, app: Flask, user: User | None = None, address: str = "192.0.2.9") -> None:
        self.client = client_of(app, user)
        self._from = {"REMOTE_ADDR": address}

    def get(self, path: str, **options: Any) -> TestResponse:
        """Open ``path``."""
        return self.client.get(path, environ_base=self._from, **options)

    def submit(self, path: str, form: dict[str, Any] | None = None, **options: Any) -> TestResponse:
        """Post ``form`` to ``path`` with the CSRF token of this session."""
        match = _TOKEN.search(self.get("/auth/forgot").text)
        assert match is not None
        data = {"csrf_token": match[1], **(form or {})}
        return self.client.post(path, data=data, environ_base=self._from, **options)

    def post_json(self, path: str, body: Any = None, **options: Any) -> TestResponse:
        """Post ``body`` as JSON."""
        return self.client.post(path, json={} if body is None else body, environ_base=self._from, **options)

    def is_signed_in(self) -> bool:
        """Whether the account page opens."""
        return self.get("/auth/account", headers=JSON).status_code == 200


def follow_redirect(browser: Browser, answer: TestResponse) -> str:
    """Follow a 303 redirect and return the text of its page."""
    assert answer.status_code == 303
    assert answer.location.startswith("/")
    return browser.get(answer.location).text


def newest_link_token(app: Flask, purpose: str) -> str:
    """Return the token of the newest email link of ``purpose``."""
    with app.app_context(), db.read() as session:
        newest = session.scalars(select(Link).where(Link.purpose == purpose).order_by(Link.id.desc())).first()
        assert newest is not None
        return email_links.link_token(newest, current_settings().secret_keys)


def list_emails(app: Flask) -> list[tuple[str, str]]:
    """List template and recipient of every email, oldest first."""
    with app.app_context(), db.read() as session:
        return [(mail.template, mail.recipient) for mail in session.scalars(select(Mail).order_by(Mail.id))]


def list_audit_actions(app: Flask) -> list[str]:
    """List the actions in the audit log, oldest first."""
    with app.app_context(), db.read() as session:
        return list(session.scalars(select(AuditEntry.action).order_by(AuditEntry.id)))


def load_account(app: Flask, ref: str) -> User:
    """Load the row of an account."""
    with app.app_context(), db.read() as session:
        return session.scalars(select(User).where(User.ref == ref)).one()


@contextmanager
def expect_attempt(kind: str, outcome: str | None) -> Iterator[None]:
    """Check that the block counts exactly one attempt of ``kind`` with ``outcome``; None checks for no attempt."""
    before = _attempts()
    yield
    changes = {labels: count - before.get(labels, 0.0) for labels, count in _attempts().items()}
    assert {labels: count for labels, count in changes.items() if count} == ({(kind, outcome): 1.0} if outcome else {})


def _attempts() -> dict[tuple[str, ...], float]:
    return {labels: float(child._value.get()) for labels, child in definitions.auth_attempts._metrics.items()}
