"""What was fetched about one event, before anything is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from church.services.billing.stripe.client import Obj


@dataclass
class Facts:
    """Objects as Stripe has them, all fetched after ``started_at``; ``owner_id`` is the member they are about."""

    started_at: datetime
    owner_id: int | None = None
    customer_id: str | None = None
    """Stripe's id of the customer, whose row is locked; None for what is nobody's, such as a price."""
    customer: Obj | None = None
    subscriptions: dict[str, tuple[Obj, str]] = field(default_factory=dict)
    """With the plan of each."""
    invoices: dict[str, Obj] = field(default_factory=dict)
    refunds: list[Obj] = field(default_factory=list)
    disputes: list[Obj] = field(default_factory=list)
    payment: str | None = None
    """The payment that the refunds and disputes are of."""
    sessions: list[Obj] = field(default_factory=list)
    payment_failed: bool = False
    """Whether the event says that the slow payment of its session failed."""
    products: dict[str, tuple[Obj, str]] = field(default_factory=dict)
    """With the plan of each."""
    prices: dict[str, Obj] = field(default_factory=dict)
    sold: dict[str, tuple[Obj, Obj, str]] = field(default_factory=dict)
    """Of each price that the subscriptions are to: price, product and plan, kept where that was never heard of."""
    gone_products: list[str] = field(default_factory=list)
    """Those that are deleted, or are no plan any more."""
    gone_prices: list[str] = field(default_factory=list)
