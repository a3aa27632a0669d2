"""Checks of many sessions at once give the same results as checks of one."""

from __future__ import annotations

from datetime import timedelta

from flask import Flask
from sqlalchemy import select

from church.extensions import db
from church.models import Grant, User
from church.models.accounts import SignIn
from church.models.base import utc_now
from church.services import sessions
from church.services.entitlements import member_has_premium
from church.services.sessions import lookup
from tests.support.people import add_user, sign_in


def ref_of(app: Flask, user: User) -> str:
    raw = sign_in(app, user)
    with app.app_context():
        found = sessions.load(raw)
        assert found is not None
        return found.session_ref


def test_standing_has_live_sessions_only(app: Flask) -> None:
    people = [add_user(app, f"{number}@church.example", role="admin") for number in range(3)]
    good, ended, disabled = (ref_of(app, user) for user in people)
    with app.app_context():
        with db.write() as session:
            session.get_one(User, people[2].id).disabled_at = utc_now()
            row = session.scalars(select(SignIn).where(SignIn.ref == ended)).one()
            sessions.end(session, row.id)
        found = lookup.load_facts([good, ended, disabled, "nobody"])
    assert found == {good: lookup.SessionFacts("Ada", "admin", verified=True)}


def test_premium_members_match_premium_of(app: Flask) -> None:
    people = [add_user(app, f"{number}@church.example") for number in range(4)]
    now = utc_now()
    with app.app_context(), db.write() as session:
        for user, until, revoked in ((people[0], 1, None), (people[1], -1, None), (people[2], 1, now)):
            moment = now + timedelta(days=until)
            session.add(
                Grant(
                    user_id=user.id, until=moment, reason="thanks", created_at=now, granted_by=None, revoked_at=revoked
                )
            )
        session.flush()
        alone = {user.id for user in people if member_has_premium(session, user.id, now)}
    with app.app_context():
        together = lookup.find_premium_members([user.id for user in people])
    assert together == alone == {people[0].id}
