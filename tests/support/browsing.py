"""A browser that fills in forms as the site shows them, and what the site then has: mails, links, attempts."""

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
    """A visitor's browser, or ``user``'s."""

    def __init__(self, app: Flask, user: User | None = None, address: str = "192.0.2.9") -> None:
        self.client = client_of(app, user)
        self._from = {"REMOTE_ADDR": address}

    def get(self, path: str, **options: Any) -> TestResponse:
        """Open ``path``."""
        return self.client.get(path, environ_base=self._from, **options)

    def submit(self, path: str, form: dict[str, Any] | None = None, **options: Any) -> TestResponse:
        """Send ``form`` to ``path`` with the token of this session, as every form of the site has it."""
        shown = _TOKEN.search(self.get("/auth/forgot").text)
        assert shown is not None
        data = {"csrf_token": shown[1], **(form or {})}
        return self.client.post(path, data=data, environ_base=self._from, **options)

    def post_json(self, path: str, body: Any = None, **options: Any) -> TestResponse:
        """Send ``body`` as a program does."""
        return self.client.post(path, json={} if body is None else body, environ_base=self._from, **options)

    def is_signed_in(self) -> bool:
        """Whether the account page opens."""
        return self.get("/auth/account", headers=JSON).status_code == 200


def follow(browser: Browser, answer: TestResponse) -> str:
    """What a person reads who is sent on by ``answer``, a 303."""
    assert answer.status_code == 303
    assert answer.location.startswith("/")
    return browser.get(answer.location).text


def link_token(app: Flask, purpose: str) -> str:
    """The token of the newest link of ``purpose``, as its mail has it."""
    with app.app_context(), db.read() as session:
        newest = session.scalars(select(Link).where(Link.purpose == purpose).order_by(Link.id.desc())).first()
        assert newest is not None
        return email_links.link_token(newest, current_settings().secret_keys)


def mails_queued(app: Flask) -> list[tuple[str, str]]:
    """Template and recipient of every mail, the oldest first."""
    with app.app_context(), db.read() as session:
        return [(mail.template, mail.recipient) for mail in session.scalars(select(Mail).order_by(Mail.id))]


def audited(app: Flask) -> list[str]:
    """The actions in the audit log, the oldest first."""
    with app.app_context(), db.read() as session:
        return list(session.scalars(select(AuditEntry.action).order_by(AuditEntry.id)))


def account_of(app: Flask, ref: str) -> User:
    """The row of an account."""
    with app.app_context(), db.read() as session:
        return session.scalars(select(User).where(User.ref == ref)).one()


@contextmanager
def attempted(kind: str, outcome: str | None) -> Iterator[None]:
    """The block is one attempt of ``kind`` with ``outcome`` and nothing else, or none at all."""
    before = _attempts()
    yield
    grown = {labels: count - before.get(labels, 0.0) for labels, count in _attempts().items()}
    assert {labels: count for labels, count in grown.items() if count} == ({(kind, outcome): 1.0} if outcome else {})


def _attempts() -> dict[tuple[str, ...], float]:
    return {labels: float(child._value.get()) for labels, child in definitions.auth_attempts._metrics.items()}
