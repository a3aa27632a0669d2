"""What has become of many sign-ins, asked at once: for connections that last longer than a request."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import literal, select, union_all

from church.config import current_settings
from church.extensions import db
from church.models import Grant, Subscription
from church.models.base import utc_now
from church.models.sign_in import SignIn
from church.models.user import User
from church.services.entitlements import OPEN_STATUSES, PAST_DUE, Granted, has_premium
from church.services.entitlements import Subscribed as Bought
from church.services.sessions.lookup import is_active, is_live

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
    ).where(Subscription.user_id.in_(user_ids), Subscription.status.in_({*OPEN_STATUSES, PAST_DUE}))
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
