"""Find the member behind a session token, and check many sessions at once.

One check costs two indexed reads (the session with its account, and what the account has paid for), and nothing while
the result is cached.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any, ClassVar, Final, Literal, NamedTuple

from sqlalchemy import ColumnElement, Connection, bindparam, func, literal, not_, select, union, union_all

from church.config import Settings, current_settings
from church.database.direct import DirectStatement
from church.database.kept_sums import SumName, read_sums
from church.extensions import db
from church.lib.app_context import App, app_state
from church.lib.files import ChangeMark
from church.lib.per_process import PerProcess
from church.models import Grant, Subscription
from church.models.accounts import Role, SignIn, User
from church.models.base import utc_now
from church.models.billing import PAID_STATUSES
from church.services.access import ANONYMOUS, Reader
from church.services.entitlements import PAST_DUE, GrantFacts, has_premium, read_premium
from church.services.entitlements import SubscriptionFacts as Bought
from church.services.sessions import cache as session_cache
from church.services.sessions.cache import SessionCache, current_cache
from church.services.sessions.last_used import LastUsedWriter

_TOUCHER = "session_touch"
_LONGEST_TOUCH = 60.0  # seconds between two writes of the last use


@dataclass(frozen=True)
class SignedIn:
    """The signed-in member and their device: what every request may know. The password hash is not part of it.

    It has what flask-login asks of a user: ``is_authenticated``, ``is_active``, ``is_anonymous`` and ``get_id``.
    """

    user_id: int
    ref: str
    name: str
    email: str = field(repr=False)
    role: str
    verified: bool
    session_id: int
    session_ref: str
    premium: bool = False
    """Whether they may read premium pages, by a subscription or an admin's grant."""
    token: str = field(default="", repr=False)
    """The raw token of the cookie; empty for a request with an access token."""

    is_authenticated: ClassVar[bool] = True
    is_active: ClassVar[bool] = True
    is_anonymous: ClassVar[bool] = False

    @property
    def is_admin(self) -> bool:
        """Whether they are an admin with a confirmed address."""
        return self.role == Role.ADMIN and self.verified

    @property
    def is_member(self) -> bool:
        """Whether they may read members' pages: their address is confirmed."""
        return self.verified

    @property
    def reader(self) -> Reader:
        """What they may read and watch."""
        return Reader(member=self.is_member, premium=self.premium, admin=self.is_admin)

    def get_id(self) -> str:
        """Return what flask-login stores in the cookie."""
        return self.token


def reader_of(viewer: SignedIn | None) -> Reader:
    """Return what ``viewer`` may read and watch; a visitor who is not signed in is None."""
    return viewer.reader if viewer is not None else ANONYMOUS


def init_app(app: App) -> None:
    """Give ``app`` a session cache and a writer of last uses in each process; reads nothing yet."""
    settings: Settings = app.config["CHURCH"]
    mark = settings.instance / "sign-ins.mark"
    app.extensions[session_cache.EXTENSION] = PerProcess(lambda: SessionCache(ChangeMark(mark)))
    app.extensions[_TOUCHER] = PerProcess(lambda: LastUsedWriter(app.app_context))


# -- one session ----------------------------------------------------------------------------------------------------


def load(token: str, *, since: float = 0.0) -> SignedIn | None:
    """Find the member behind a raw token, if the session is live and the account active; at most 1.5 s old.

    ``since`` (seconds since 1970) asks for an answer that was read after that. Raises DatabaseDownError and
    DatabaseBusyError.
    """
    return _load(by_token(token), since)


def load_ref(sid: str, user_ref: str) -> SignedIn | None:
    """Like ``load``, by the refs of a session and its account, as access tokens have them; its ``token`` is empty."""
    signed_in = _load(by_ref(sid), 0.0)
    return signed_in if signed_in is not None and signed_in.ref == user_ref else None


def peek_ref(sid: str, user_ref: str) -> tuple[bool, SignedIn | None]:
    """Like ``load_ref``, but only from the cache: whether it has an answer, and the answer."""
    is_cached, signed_in = current_cache().get(sid)
    return is_cached, signed_in if signed_in is not None and signed_in.ref == user_ref else None


def find_live(connection: Connection, refs: Collection[str], now: datetime) -> set[str]:
    """Find which of these sessions are live, in the caller's transaction, and have their use stored soon.

    Whether their accounts are active is for the caller to know. The ids of rows would not do: SQLite uses those of
    ended sessions again.
    """
    rows = connection.execute(_LIVE_USES, {"refs": list(refs), **live_values(current_settings(), now)}).all()
    for session_id, _, last_seen_at in rows:
        _touch_if_stale(session_id, last_seen_at, now)
    return {ref for _, ref, _ in rows}


def _touch_if_stale(session_id: int, last_seen_at: datetime, now: datetime) -> None:
    """Have the last use of a session stored soon, if the stored one is some time ago."""
    # abs(): if the clock was set back, a last use in the future would keep the session alive for too long.
    if abs((now - last_seen_at).total_seconds()) >= min(_LONGEST_TOUCH, current_settings().session_idle / 10):
        toucher: PerProcess[LastUsedWriter] = app_state()[_TOUCHER]
        toucher().touch(session_id)


def _load(key: SessionKey, since: float) -> SignedIn | None:
    sessions = current_cache()
    is_cached, signed_in = sessions.get(key.name, since)
    if is_cached:
        return signed_in
    reading, now = sessions.reading(), utc_now()
    with db.read_connection() as connection:
        row = find_session(connection, key, current_settings(), now)
    signed_in = row.signed_in if row is not None else None
    sessions.put(key.name, signed_in, reading)
    if row is not None:
        _touch_if_stale(row.signed_in.session_id, row.last_seen_at, now)
    return signed_in


class SessionKey(NamedTuple):
    """How to find a session: by the value ``name`` in ``column``. ``name`` is also its key in the cache."""

    name: str
    column: Literal["token_hash", "ref"]
    token: str = ""


class LiveSession(NamedTuple):
    """A live session, and its last use as stored."""

    signed_in: SignedIn
    last_seen_at: datetime


def hash_token(token: str) -> str:
    """Hash a token for the database. A plain hash is enough: 256 random bits can't be guessed."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def by_token(token: str) -> SessionKey:
    """Find a session by its raw token."""
    return SessionKey(hash_token(token), "token_hash", token)


def by_ref(ref: str) -> SessionKey:
    """Find a session by its ref."""
    return SessionKey(ref, "ref")


def _make_conditions(now: Any, created_after: Any, used_after: Any) -> tuple[ColumnElement[bool], ...]:
    return SignIn.expires_at > now, SignIn.created_at > created_after, SignIn.last_seen_at > used_after


LIVE: Final = _make_conditions(bindparam("live_now"), bindparam("live_created"), bindparam("live_used"))
"""Conditions for a session that is neither idle for too long nor too old, for the values of ``live_values``.

Both the expiry that was set at sign-in and the settings of today count.
"""


_LIVE_USES = select(SignIn.id, SignIn.ref, SignIn.last_seen_at).where(
    SignIn.ref.in_(bindparam("refs", expanding=True)), *LIVE
)


def live_values(settings: Settings, now: datetime) -> dict[str, datetime]:
    """Return the values for a query with the conditions ``LIVE``."""
    return {
        "live_now": now,
        "live_created": now - timedelta(seconds=settings.session_lifetime),
        "live_used": now - timedelta(seconds=settings.session_idle),
    }


def live_conditions(settings: Settings, now: datetime) -> tuple[ColumnElement[bool], ...]:
    """The conditions ``LIVE``, with their values."""
    return _make_conditions(*live_values(settings, now).values())


def active_conditions() -> tuple[ColumnElement[bool], ...]:
    """Conditions for an account that is neither disabled nor deleted."""
    return User.disabled_at.is_(None), User.deleted_at.is_(None)


@cache
def session_query(column: Literal["token_hash", "ref"]) -> DirectStatement:
    """Make the query for a live session of an active account, once: making it costs as much as sending it."""
    of_user = (User.id, User.ref, User.name, User.email, User.role, User.verified_at)
    query = select(SignIn.id, SignIn.ref, SignIn.last_seen_at, *of_user).join(User, User.id == SignIn.user_id)
    by = SignIn.token_hash if column == "token_hash" else SignIn.ref
    return DirectStatement(query.where(by == bindparam("name"), *LIVE, *active_conditions()))


def find_session(connection: Connection, key: SessionKey, settings: Settings, now: datetime) -> LiveSession | None:
    """Find the live session of an active account at ``key``."""
    values = {"name": key.name, **live_values(settings, now)}
    rows = session_query(key.column).run(connection, values).rows
    if not rows:
        return None
    session_id, session_ref, last_seen_at, user_id, ref, name, email, role, verified_at = rows[0]
    signed_in = SignedIn(
        user_id=user_id, ref=ref, name=name, email=email or "", role=role, verified=verified_at is not None,
        session_id=session_id, session_ref=session_ref, token=key.token,
        premium=read_premium(connection, user_id, now),
    )  # fmt: skip
    return LiveSession(signed_in, last_seen_at)


# -- many sessions --------------------------------------------------------------------------------------------------

MAX_PER_QUERY = 500
"""The most sessions, or members, in one query."""


def count_active() -> int:
    """Count the live sessions, for the scrape. Raises DatabaseDownError, DatabaseBusyError.

    The database keeps the count of all rows. Counted are only those that have ended since the hourly job removed such
    rows, by an index each. A disabled or deleted account has none: they end in the same transaction.
    """
    reasons = [not_(condition) for condition in live_conditions(current_settings(), utc_now())]
    ended = union(*(select(SignIn.id).where(reason) for reason in reasons)).subquery()
    with db.read() as session:
        count = session.scalar(select(func.count()).select_from(ended)) or 0
        return max(0, sum(total.count for total in read_sums(session, SumName.SIGN_INS).values()) - count)


@dataclass(frozen=True)
class SessionFacts:
    """Mutable facts of a session: name, role, verified."""

    name: str
    role: str
    verified: bool


def load_facts(refs: Collection[str]) -> dict[str, SessionFacts]:
    """Load the mutable facts of sessions by ref; those that have ended are left out.

    Raises DatabaseDownError, DatabaseBusyError.
    """
    query = select(SignIn.ref, User.name, User.role, User.verified_at).join(User, User.id == SignIn.user_id)
    with db.read() as session:
        rows = session.execute(
            query.where(SignIn.ref.in_(refs), *live_conditions(current_settings(), utc_now()), *active_conditions())
        )
        return {ref: SessionFacts(name, role, verified_at is not None) for ref, name, role, verified_at in rows}


def find_premium_members(user_ids: Collection[int]) -> set[int]:
    """Return which of the members have premium, by the same rule as ``entitlements.premium_of``."""
    bought = select(
        Subscription.user_id, Subscription.status, Subscription.past_due_since.label("moment"), literal(0)
    ).where(Subscription.user_id.in_(user_ids), Subscription.status.in_({*PAID_STATUSES, PAST_DUE}))
    granted = select(Grant.user_id, literal(""), Grant.until, literal(1)).where(
        Grant.user_id.in_(user_ids), Grant.revoked_at.is_(None)
    )
    with db.read() as session:
        rows: Sequence[Any] = session.execute(union_all(bought, granted)).all()
    now, grace_days = utc_now(), current_settings().grace_days
    premium = set()
    for user_id, status, moment, is_grant in rows:
        grants, subscriptions = ([GrantFacts(moment)], []) if is_grant else ([], [Bought(status, moment)])
        if has_premium(subscriptions, grants, now, grace_days):
            premium.add(user_id)
    return premium
