"""What is for sale, read from Stripe at once; events keep it up to date in between."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from church.extensions import db
from church.jobs_queue import database_now
from church.models import Price, Product
from church.services import billing_projection
from church.services.billing_facts import Facts
from church.services.billing_gateway import every, gateway
from church.services.billing_projection import Applied
from church.services.billing_reading import plan_of_product


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
