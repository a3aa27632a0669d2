"""How a sign-in is found: one indexed read that joins its account, and one of what it has paid for."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from flask_login import UserMixin
from sqlalchemy import ColumnElement, literal, select, union_all
from sqlalchemy.orm import Session

from church.config import Settings, current_settings
from church.extensions import db
from church.models import Grant, Subscription
from church.models.accounts import Role, SignIn, User
from church.models.base import utc_now
from church.models.billing import PAID_STATUSES
from church.services.entitlements import PAST_DUE, Granted, has_premium, premium_of
from church.services.entitlements import Subscribed as Bought

_LONGEST_TOUCH = 60.0  # seconds


@dataclass(frozen=True)
class SignedIn(UserMixin):  # type: ignore[misc]  # flask-login has no types
    """Who is signed in, and on which device: what every request may know, the hash of the password not among it."""

    user_id: int
    ref: str
    name: str
    email: str = field(repr=False)
    role: str
    verified: bool
    session_id: int
    session_ref: str
    premium: bool = False
    """Whether premium pages are open to them, by what Stripe has told or an admin has given."""
    token: str = field(default="", repr=False)
    """The raw one of the cookie; empty for a caller with an access token."""

    @property
    def is_admin(self) -> bool:
        """Whether they may look after the site: an admin whose address is confirmed."""
        return self.role == Role.ADMIN and self.verified

    @property
    def is_member(self) -> bool:
        """Whether members' pages are open to them: the address is confirmed."""
        return self.verified

    def get_id(self) -> str:
        """What flask-login keeps in the cookie."""
        return self.token


class Key(NamedTuple):
    """By what a sign-in is looked for; ``name`` is what it is remembered by."""

    name: str
    condition: ColumnElement[bool]
    token: str = ""


class Found(NamedTuple):
    """A sign-in that is good; ``is_stale`` when its last use should be written down anew."""

    signed_in: SignedIn
    is_stale: bool


def hash_of(token: str) -> str:
    """What the database keeps of a token. A plain hash is enough: nobody can guess 256 random bits."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def by_token(token: str) -> Key:
    """Look for the sign-in of a raw token."""
    hashed = hash_of(token)
    return Key(hashed, SignIn.token_hash == hashed, token)


def by_ref(ref: str) -> Key:
    """Look for the sign-in of a public name."""
    return Key(ref, SignIn.ref == ref)


def is_live(settings: Settings, now: datetime) -> tuple[ColumnElement[bool], ...]:
    """Neither idle for too long nor too old, by what was said at login and by the settings of today."""
    return (
        SignIn.expires_at > now,
        SignIn.created_at > now - timedelta(seconds=settings.session_lifetime),
        SignIn.last_seen_at > now - timedelta(seconds=settings.session_idle),
    )


def is_active() -> tuple[ColumnElement[bool], ...]:
    """The account is neither disabled nor deleted."""
    return User.disabled_at.is_(None), User.deleted_at.is_(None)


def find(session: Session, key: Key, settings: Settings, now: datetime) -> Found | None:
    """The live sign-in of an active account at ``key``."""
    of_user = (User.id, User.ref, User.name, User.email, User.role, User.verified_at)
    query = select(SignIn.id, SignIn.ref, SignIn.last_seen_at, *of_user).join(User, User.id == SignIn.user_id)
    row = session.execute(query.where(key.condition, *is_live(settings, now), *is_active())).one_or_none()
    if row is None:
        return None
    session_id, session_ref, last_seen_at, user_id, ref, name, email, role, verified_at = row
    found = SignedIn(
        user_id=user_id, ref=ref, name=name, email=email or "", role=role, verified=verified_at is not None,
        session_id=session_id, session_ref=session_ref, token=key.token,
        premium=premium_of(session, user_id, now),
    )  # fmt: skip
    # The clock may have been set back: a last use that is ahead of it would keep the sign-in alive for too long.
    stale = abs((now - last_seen_at).total_seconds()) >= min(_LONGEST_TOUCH, settings.session_idle / 10)
    return Found(found, stale)


MOST = 500
"""Sign-ins, or members, in one question."""


@dataclass(frozen=True)
class Standing:
    """What of a sign-in may change while it lasts."""

    name: str
    role: str
    verified: bool


def standing(refs: Collection[str]) -> dict[str, Standing]:
    """Those of the sign-ins (by their public names) that are still good. Raises what the database does."""
    query = select(SignIn.ref, User.name, User.role, User.verified_at).join(User, User.id == SignIn.user_id)
    with db.read() as session:
        rows = session.execute(query.where(SignIn.ref.in_(refs), *is_live(current_settings(), utc_now()), *is_active()))
        return {ref: Standing(name, role, verified_at is not None) for ref, name, role, verified_at in rows}


def premium_members(user_ids: Collection[int]) -> set[int]:
    """Those of the members to whom premium is open; by the same rule as ``entitlements.premium_of``."""
    bought = select(
        Subscription.user_id, Subscription.status, Subscription.past_due_since.label("moment"), literal(0)
    ).where(Subscription.user_id.in_(user_ids), Subscription.status.in_({*PAID_STATUSES, PAST_DUE}))
    given = select(Grant.user_id, literal(""), Grant.until, literal(1)).where(
        Grant.user_id.in_(user_ids), Grant.revoked_at.is_(None)
    )
    with db.read() as session:
        rows: Sequence[Any] = session.execute(union_all(bought, given)).all()
    now, grace_days = utc_now(), current_settings().grace_days
    found = set()
    for user_id, status, moment, is_grant in rows:
        grants, subscriptions = ([Granted(moment)], []) if is_grant else ([], [Bought(status, moment)])
        if has_premium(subscriptions, grants, now, grace_days):
            found.add(user_id)
    return found
