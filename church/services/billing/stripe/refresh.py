"""Bring a subscription up to date right after something was done to it, without waiting for its webhook."""

from __future__ import annotations

import logging

from church.errors import UnavailableError
from church.extensions import db
from church.jobs.queue import database_now
from church.services.billing.errors import NotOursError, StripeRefusedError
from church.services.billing.stripe import apply_to_database
from church.services.billing.stripe.client import gateway
from church.services.billing.stripe.fetch import Gatherer

log = logging.getLogger("church.stripe")


def refresh(stripe_subscription: str) -> bool:
    """Fetch and keep it; False where that did not work, since the webhook will tell the same."""
    try:
        with db.read() as session:
            gatherer = Gatherer(gateway(), database_now(session))
        facts = gatherer.about("subscription", stripe_subscription)
        with db.write() as session:
            apply_to_database.apply(session, facts)
    except (NotOursError, StripeRefusedError, UnavailableError) as error:
        log.warning(
            "not refreshed", extra={"event": "stripe.not_refreshed", "reason": getattr(error, "reason", str(error))}
        )
        return False
    return True
