"""Accounts for tests: registered, verified and signed in through the services."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from flask import Flask
from sqlalchemy import select, update

from church import create_app
from church.config import Settings, current_settings
from church.extensions import db
from church.jobs import registry
from church.lib.email_addresses import make_key
from church.models import AuditEntry, Job, Link, Mail, User
from church.models.jobs import JobState
from church.services import accounts, email_links, sessions
from church.services.audit import Actor
from church.services.sessions import Device, SignedIn

EMAIL = "ada@example.org"
PASSWORD = "a lighthouse keeps two logs"
OTHER_PASSWORD = "seven herons on the weir"
DEVICE = Device("203.0.113.9", "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0")


@pytest.fixture
def at_work(app: Flask) -> Iterator[Flask]:
    """The site on SQLite, in an app context without a request, as a service runs."""
    with app.app_context():
        yield app
        db.dispose()


@pytest.fixture
def on_both(migrated_site: Settings) -> Iterator[Flask]:
    """Like ``at_work``, once on SQLite and once on PostgreSQL."""
    app = create_app(migrated_site)
    with app.app_context():
        yield app
        db.dispose()


@dataclass
class StubGate:
    """A gate that returns the set answers and records its calls."""

    wait: int | None = None
    left: int | None = None
    calls: list[str] = field(default_factory=list)

    def refused(self) -> int | None:
        self.calls.append("refused")
        return self.wait

    def failed(self) -> int | None:
        self.calls.append("failed")
        return self.left

    def succeeded(self) -> None:
        self.calls.append("succeeded")

    def released(self) -> None:
        self.calls.append("released")


def register(email: str = EMAIL, password: str = PASSWORD, name: str = "Ada") -> str:
    return accounts.register(email, password, name, DEVICE)


def member(email: str = EMAIL, password: str = PASSWORD, name: str = "Ada") -> User:
    """Register a member and confirm the address."""
    register(email, password, name)
    accounts.verify_address(mailed_token("verify", email), Actor())
    return the_user(email)


def admin(email: str = "root@example.org") -> User:
    """Register an admin."""
    user = member(email)
    change_user(user.id, role="admin")
    return the_user(email)


def signed_in(email: str = EMAIL, password: str = PASSWORD) -> SignedIn:
    """Sign in on one more device."""
    found = sessions.load(accounts.sign_in_with_password(email, password, DEVICE, StubGate()).token)
    assert found is not None
    return found


def find_user(email: str) -> User | None:
    with db.read() as session:
        return session.scalars(select(User).where(User.email_key == make_key(email))).first()


def the_user(email: str = EMAIL) -> User:
    found = find_user(email)
    assert found is not None
    return found


def change_user(user_id: int, **values: object) -> None:
    """Set columns of an account, as another process would."""
    with db.write() as session:
        session.execute(update(User).where(User.id == user_id).values(**values))
    sessions.forget_cached()


def mails(template: str | None = None) -> list[Mail]:
    """The queued emails, oldest first."""
    with db.read() as session:
        found = session.scalars(select(Mail).order_by(Mail.id)).all()
    return [mail for mail in found if template in {None, mail.template}]


def mailed_token(template: str, recipient: str = EMAIL) -> str:
    """The token of the link in the newest such email."""
    link_id = [mail.link_id for mail in mails(template) if mail.recipient == recipient][-1]
    with db.read() as session:
        link = session.get(Link, link_id)
    assert link is not None
    return email_links.link_token(link, current_settings().secret_keys)


def do_jobs(kind: str) -> None:
    """Run the pending jobs of one kind, as the worker process would."""
    with db.read() as session:
        found = session.scalars(select(Job).where(Job.kind == kind, Job.state == JobState.PENDING.value)).all()
    for job in found:
        registry.find_handler(kind)(job.payload)
        with db.write() as session:
            session.execute(update(Job).where(Job.id == job.id).values(state=JobState.DONE.value))


def forgotten_token(email: str = EMAIL) -> str:
    """Request a password reset and return the token of the emailed link."""
    accounts.request_reset(email)
    do_jobs("accounts.forgot")
    return mailed_token("reset", email)


def audited() -> list[str]:
    """The actions in the audit log, oldest first."""
    with db.read() as session:
        return list(session.scalars(select(AuditEntry.action).order_by(AuditEntry.id)))
