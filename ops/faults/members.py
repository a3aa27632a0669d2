"""Members of the attacked site, for attacks by a signed-in client."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from church import create_app
from church.extensions import db
from church.models import User
from church.models.base import utc_now
from church.services import member_tokens, sessions
from church.services.accounts.passwords import Sender, hash_password
from church.services.sessions import Device
from ops.bench.server import Server

PASSWORD = "seven herons over the lake"
_DEVICE = Device("127.0.0.1", "ops.faults")


@dataclass(frozen=True)
class Member:
    """A member's address, and an access token for ten minutes."""

    email: str
    token: str


def add_member(server: Server, name: str) -> Member:
    """Add a member with ``PASSWORD``."""
    now, email = utc_now(), f"{name}@church.example"
    app = create_app(server.settings)
    with app.app_context():
        with db.write() as session:
            user = User(ref=secrets.token_hex(8), name=name, source="cli", created_at=now, verified_at=now)
            user.email = user.email_key = email
            user.password_hash = hash_password(PASSWORD, Sender(_DEVICE))
            session.add(user)
            session.flush()
            raw = sessions.start_session(session, user, _DEVICE)
        signed_in = sessions.load(raw)
        if signed_in is None:
            raise RuntimeError("the session was not stored")
        return Member(email, member_tokens.issue_token(signed_in).token)
