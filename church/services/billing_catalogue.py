"""What is for sale: read from Stripe by ``sync`` and by events, and shown from the database."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from church.extensions import db
from church.jobs_queue import database_now
from church.models import Price, Product
from church.services import billing_projection, money
from church.services.billing_facts import Facts
from church.services.billing_gateway import every, gateway
from church.services.billing_projection import Applied
from church.services.billing_reading import plan_of_product

INTERVALS = ("month", "year")
MOST_PLANS = 3


@dataclass(frozen=True)
class PriceView:
    """What a plan costs each month or year."""

    stripe_id: str
    amount: int
    """Minor units of ``currency``."""
    currency: str
    shown: str
    interval: str
    trial_days: int
    tax_included: bool
    """Whether tax is in the amount; else the checkout may add it."""


@dataclass(frozen=True)
class PlanView:
    """One plan of the pricing page, with at least one price."""

    plan: str
    name: str
    description: str
    features: tuple[str, ...]
    prices: tuple[PriceView, ...]
    """The monthly one before the yearly one."""

    def price(self, interval: str) -> PriceView | None:
        """The price for an interval."""
        return next((one for one in self.prices if one.interval == interval), None)


def plans() -> list[PlanView]:
    """The plans that can be bought, at most three; none before the first sync. Raises the database's errors."""
    with db.read() as session:
        products = session.scalars(select(Product).where(Product.active)).all()
        prices = session.scalars(select(Price).where(Price.active).order_by(Price.created_at, Price.id)).all()
    found = [(product, _prices(product, prices)) for product in products]
    found = [(product, views) for product, views in found if views]
    found.sort(key=lambda one: (one[0].position, one[1][0].amount, one[0].id))
    return [
        PlanView(product.plan, product.name, product.description, tuple(product.features), views)
        for product, views in found[:MOST_PLANS]
    ]


def price_for_sale(session: Session, stripe_id: str) -> Price | None:
    """The price, if it and its plan can be bought."""
    query = select(Price).join(Product, Product.stripe_id == Price.stripe_product)
    return session.scalars(query.where(Price.stripe_id == stripe_id, Price.active, Product.active)).one_or_none()


def sync() -> Applied:
    """Read every plan and price from Stripe; what is not there any more can't be bought.

    Raises StripeDownError, StripeRefusedError and the database's errors; what was done before that stays.
    """
    facts = Facts(_now())
    for product in every(gateway(), "products.list"):
        if (plan := plan_of_product(product)) is not None:
            facts.products[product["id"]] = product, plan
    for stripe_id in facts.products:
        for price in every(gateway(), "prices.list", product=stripe_id, type="recurring", expand=["data.product"]):
            facts.prices[price["id"]] = price
    with db.write() as session:
        facts.gone_products = _others(session, Product, facts.products)
        facts.gone_prices = _others(session, Price, facts.prices)
        return billing_projection.apply(session, facts)


def _now() -> datetime:
    with db.read() as session:
        return database_now(session)


def _others(session: Session, model: type[Product] | type[Price], seen: Iterable[str]) -> list[str]:
    return list(session.scalars(select(model.stripe_id).where(model.active, model.stripe_id.not_in(list(seen)))))


def _prices(product: Product, prices: Iterable[Price]) -> tuple[PriceView, ...]:
    """Of each interval the newest price with a fixed amount."""
    newest: dict[str, PriceView] = {}
    for price in prices:
        if price.stripe_product == product.stripe_id and price.interval_count == 1 and price.amount is not None:
            newest[str(price.interval)] = _price(price, price.amount)
    return tuple(newest[interval] for interval in INTERVALS if interval in newest)


def _price(price: Price, amount: int) -> PriceView:
    return PriceView(
        stripe_id=price.stripe_id,
        amount=amount,
        currency=price.currency,
        shown=money.display(amount, price.currency),
        interval=str(price.interval),
        trial_days=price.trial_days,
        tax_included=price.tax_behavior == "inclusive",
    )
