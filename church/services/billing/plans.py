"""What is on offer: the plans of the pricing page, from what Stripe last told of its products and prices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from church.extensions import db
from church.models import Price, Product
from church.services import money

MOST_PLANS = 3
INTERVALS = ("month", "year")
_TAX = {"inclusive": "Tax is included.", "exclusive": "Tax is added where it applies."}
_TAX_UNSAID = "Tax, where it applies, is shown before you pay."


@dataclass(frozen=True)
class PriceView:
    """One price of a plan; ``amount`` is in minor units and for one ``interval``, month or year."""

    stripe_id: str
    interval: str
    amount: int
    currency: str
    trial_days: int
    tax: str
    """What the page says of tax."""

    @property
    def shown(self) -> str:
        """The amount as people write it."""
        return money.display(self.amount, self.currency)


@dataclass(frozen=True)
class PlanView:
    """One plan, with the prices that it has, by the month before by the year."""

    plan: str
    name: str
    description: str
    features: tuple[str, ...]
    prices: tuple[PriceView, ...]

    def at(self, interval: str) -> PriceView:
        """The price by ``interval``, or the one that there is."""
        return next((price for price in self.prices if price.interval == interval), self.prices[0])


def list_plans(currency: str | None = None) -> list[PlanView]:
    """At most three, in the order that the products ask for, then by price; all in one currency.

    That is ``currency`` if anything has it, else the one that most prices have: a page with two of them compares
    nothing, and Stripe never changes the currency of a subscription. Raises DatabaseDownError, DatabaseBusyError.
    """
    with db.read() as session:
        return _offer(session, currency)


def price_for_sale(session: Session, stripe_id: str, currency: str | None = None) -> Price | None:
    """The price, if ``plans`` has it: what is active at Stripe and on no page may be somebody's special price."""
    offered = {price.stripe_id for plan in _offer(session, currency) for price in plan.prices}
    return price_named(session, stripe_id) if stripe_id in offered else None


def price_named(session: Session, stripe_id: str) -> Price | None:
    """The price, on offer or not."""
    return session.scalars(select(Price).where(Price.stripe_id == stripe_id)).one_or_none()


def _offer(session: Session, currency: str | None) -> list[PlanView]:
    products = session.scalars(select(Product).where(Product.active)).all()
    prices = session.scalars(select(Price).where(Price.active).order_by(Price.created_at, Price.id)).all()
    sold = {product.stripe_id for product in products}
    fit = [price for price in prices if price.stripe_product in sold and _is_simple(price)]
    chosen = _currency(fit, currency)
    found = [(product, _prices(product, (one for one in fit if one.currency == chosen))) for product in products]
    found = [(product, views) for product, views in found if views]
    found.sort(key=lambda one: (one[0].position, one[1][0].amount, one[0].id))
    return [
        PlanView(product.plan, product.name, product.description, tuple(map(str, product.features)), views)
        for product, views in found[:MOST_PLANS]
    ]


def _is_simple(price: Price) -> bool:
    """One amount a month or a year: what a page can say in a line."""
    return price.amount is not None and price.interval in INTERVALS and price.interval_count == 1


def _currency(prices: Iterable[Price], wanted: str | None) -> str | None:
    count = Counter(price.currency for price in prices)
    if wanted in count:
        return wanted
    return min(count, key=lambda name: (-count[name], name), default=None)


def _prices(product: Product, prices: Iterable[Price]) -> tuple[PriceView, ...]:
    """Of each interval the newest: Stripe never changes the amount of a price."""
    newest = {price.interval: _price(price) for price in prices if price.stripe_product == product.stripe_id}
    return tuple(newest[interval] for interval in INTERVALS if interval in newest)


def _price(price: Price) -> PriceView:
    return PriceView(
        stripe_id=price.stripe_id,
        interval=str(price.interval),
        amount=price.amount or 0,
        currency=price.currency,
        trial_days=price.trial_days,
        tax=_TAX.get(price.tax_behavior, _TAX_UNSAID),
    )
