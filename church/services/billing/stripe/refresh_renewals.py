"""Ask Stripe again what subscriptions pay: where that is not known any more, and where the answer is old.

Stripe tells of most changes by webhooks, which ask at once. A change of tax or credit may come without one.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from sqlalchemy import or_, select

from church import jobs
from church.config import current_settings
from church.database import database_now
from church.errors import UnavailableError
from church.extensions import db
from church.models import Subscription
from church.models.billing import CURRENT_STATUSES
from church.services.billing.stripe.apply_to_database import REFRESH, refresh_subscription

log = logging.getLogger("church.stripe")

_MOST = 500  # subscriptions of one run: each takes two calls


@jobs.every(timedelta(hours=1), REFRESH)
def refresh_unknown(_payload: dict[str, Any]) -> None:
    """Ask for the amounts that are not known: of a changed price, or because Stripe did not answer."""
    if current_settings().payments:
        refresh_renewals(older_than=None, limit=_MOST)


def refresh_renewals(*, older_than: timedelta | None, limit: int) -> int:
    """Fetch current subscriptions whose amount is unknown or ``older_than`` that, oldest first. Returns how many.

    Stops where Stripe does not answer.
    """
    fetched = 0
    for stripe_id in _list_due(older_than, limit):
        try:
            if not refresh_subscription(stripe_id, stop_if_down=True):
                continue
        except UnavailableError:
            break
        fetched += 1
    if fetched:
        log.info("amounts asked again", extra={"event": "stripe.renewals", "count": fetched})
    return fetched


def _list_due(older_than: timedelta | None, limit: int) -> list[str]:
    asked_at = Subscription.renewal_asked_at
    with db.read() as session:
        unknown = asked_at.is_(None)
        due = unknown if older_than is None else or_(unknown, asked_at < database_now(session) - older_than)
        query = select(Subscription.stripe_id).where(Subscription.status.in_(CURRENT_STATUSES), due)
        return list(session.scalars(query.order_by(asked_at.asc().nulls_first(), Subscription.id).limit(limit)))
