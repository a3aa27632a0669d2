"""Endpoints of the API, one module per resource; importing the modules registers the endpoints."""

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
