"""One module a resource of the API; importing them tells ``church.till.http.api`` what to serve."""

from __future__ import annotations

from church.till.http.endpoints import (
    catalogue,
    checkout,
    customers,
    discounts,
    events,
    invoices,
    payments,
    portal,
    refunds,
    schedules,
    subscriptions,
)

__all__ = [
    "catalogue",
    "checkout",
    "customers",
    "discounts",
    "events",
    "invoices",
    "payments",
    "portal",
    "refunds",
    "schedules",
    "subscriptions",
]
