"""Check payments: the Stripe key, recent webhooks, and plans for sale."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError

from church.config import Settings
from church.doctor.dependencies import explain_unread, query_database
from church.doctor.findings import Finding
from church.services.billing import check_payments as payment_health
from church.services.billing import read_payment_facts


def check_payments(settings: Settings) -> Finding:
    """Check settings, plans and webhook events in the database; Stripe itself is not called."""
    try:
        health = payment_health(settings, query_database(settings, read_payment_facts))
    except DBAPIError as error:
        return explain_unread("webhook events", error)
    return health.state, health.finding, health.fix
