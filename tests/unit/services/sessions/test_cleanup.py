"""The hourly job that removes sessions and links that have ended."""

from __future__ import annotations

from datetime import timedelta

from flask import Flask
from sqlalchemy import func, select

from church.extensions import db
from church.models.accounts import Link, SignIn, User
from church.models.base import utc_now
from church.services.sessions import cleanup, lookup
from tests.support.accounts_fixture import change_user
from tests.support.people import add_user, sign_in
from tests.support.sessions_fixture import change


def test_purge_removes_only_ended_sessions_and_links(app: Flask, ada: User) -> None:
    bob = add_user(app, "bob@church.example")
    good, idle, old, _bobs = (sign_in(app, who) for who in (ada, ada, ada, bob))
    change(idle, last_seen_at=utc_now() - timedelta(days=100))
    change(old, expires_at=utc_now() - timedelta(seconds=1))
    change_user(bob.id, disabled_at=utc_now())
    with db.write() as session:
        for hours in (-1, 1):
            at = utc_now() + timedelta(hours=hours)
            session.add(Link(nonce="n", purpose="verify", user_id=ada.id, created_at=utc_now(), expires_at=at))
    cleanup.purge({})
    with db.read() as session:
        assert session.scalars(select(SignIn.token_hash)).all() == [lookup.hash_token(good)]
        assert session.scalar(select(func.count()).select_from(Link)) == 1


def test_purge_runs_every_hour() -> None:
    from church.jobs import registry

    assert registry.registered_schedules()["accounts.purge"] == timedelta(hours=1)
