"""The doctor's look at payments: with whom, do webhooks come, is there something to buy."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError

from church.config import Settings
from church.doctor.dependencies import ask
from church.doctor.findings import Finding
from church.services.billing.health import payment_facts, payment_health


def check_payments(settings: Settings) -> Finding:
    """Nothing to do, as far as the settings and what has come from Stripe tell; Stripe itself is not asked."""
    try:
        found = payment_health(settings, ask(settings, payment_facts))
    except DBAPIError:
        return "fail", "what has come from Stripe can't be read", "see database"
    return found.state, found.finding, found.fix
