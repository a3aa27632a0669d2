"""Accounts and sessions for tests, created as rows, without forms and emails."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any

from flask import Flask
from flask.testing import FlaskClient

from church.extensions import db
from church.lib.email_addresses import make_key
from church.models.accounts import User
from church.models.base import utc_now
from church.services import sessions
from church.services.accounts.passwords import Sender, hash_password
from church.services.sessions import Device

DEVICE = Device("192.0.2.7", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
PASSWORD = "seven herons over the lake"


def add_user(app: Flask, email: str = "ada@church.example", *, verified: bool = True, **changes: Any) -> User:
    """Create a member with ``PASSWORD``; ``changes`` are columns. The row is detached, with all columns loaded."""
    now = utc_now() - timedelta(days=1)
    facts: dict[str, Any] = {
        "ref": secrets.token_hex(8),
        "email": email,
        "email_key": make_key(email),
        "name": "Ada",
        "source": "web",
        "created_at": now,
        "verified_at": now if verified else None,
    }
    with app.app_context(), db.write() as session:
        if "password_hash" not in changes:
            facts["password_hash"] = hash_password(PASSWORD, Sender(DEVICE))
        user = User(**{**facts, **changes})
        session.add(user)
        session.flush()
        session.refresh(user)
    return user


def sign_in(app: Flask, user: User, device: Device = DEVICE) -> str:
    """Sign ``user`` in on a device and return the raw token."""
    with app.app_context(), db.write() as session:
        return sessions.start_session(session, user, device)


def client_of(app: Flask, user: User | None) -> FlaskClient:
    """Make a browser in which ``user`` is signed in; None gives one without cookies."""
    client = app.test_client()
    if user is not None:
        with_cookie(client, sign_in(app, user))
    return client


def with_cookie(client: FlaskClient, token: str) -> FlaskClient:
    """Give ``client`` the cookie of a sign-in, with ``token``."""
    with client.session_transaction() as cookie:
        cookie.permanent = True
        cookie["_user_id"] = token
    return client
