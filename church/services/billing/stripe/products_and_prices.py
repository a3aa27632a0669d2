"""Read all plans and prices from Stripe, hourly and on command; events keep them up to date in between.

Products with the metadata ``church_plan`` are plans. If no product of the account has it, every active product with a
price that the pricing page can show is a plan, so that a new account works without metadata.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from church import jobs
from church.config import current_settings
from church.database import database_now
from church.extensions import db
from church.models import Price, Product
from church.services.billing.errors import StripeRefusedError
from church.services.billing.plans import INTERVALS
from church.services.billing.stripe import apply_to_database
from church.services.billing.stripe.apply_to_database import Applied
from church.services.billing.stripe.client import StripeObject, gateway, list_all
from church.services.billing.stripe.fetch import Facts, find_product_plan
from church.services.billing.stripe.objects import get_id, plan_of_product, price_values

_LONGEST_PLAN = 40


@dataclass
class Synced(Applied):
    """The result of reading the catalogue."""

    unmarked: int = 0
    """Active products of the account without ``church_plan``."""
    marked: int = 0
    """Products with it. If there are none, the unmarked ones are the plans."""


def sync_catalogue() -> Synced:
    """Read every plan and price from Stripe, and withdraw those that are gone.

    Raises StripeDownError, StripeRefusedError and the database's errors.
    """
    facts = Facts(_now())
    products = list(list_all(gateway(), "products.list"))
    marked = {product["id"]: (product, plan) for product in products if (plan := plan_of_product(product)) is not None}
    unmarked = [product for product in products if product["id"] not in marked and product.get("active")]
    if marked:
        facts.products.update(marked)
        for stripe_id in marked:
            _add_prices(facts, _list_prices(product=stripe_id))
    else:
        _add_unmarked(facts, unmarked)
    with db.write() as session:
        facts.gone_products = _list_gone(session, Product, facts.products)
        facts.gone_prices = _list_gone(session, Price, facts.prices)
        applied = apply_to_database.apply_facts(session, facts)
    return Synced(**asdict(applied), unmarked=len(unmarked), marked=len(marked))


@jobs.every(timedelta(hours=1), "billing.sync")
def sync_hourly(_payload: dict[str, Any]) -> None:
    """Read the plans every hour and at the first start, in case webhooks were lost."""
    if current_settings().payments:
        sync_catalogue()


def _add_unmarked(facts: Facts, products: list[StripeObject]) -> None:
    """Add each product that has a price the pricing page can show, with its prices."""
    if not products:
        return
    prices = _list_prices()
    sold = {get_id(price.get("product")) for price in prices if _is_simple(price)}
    taken: set[str] = set()
    for product in products:
        if product["id"] in sold:
            plan = find_product_plan(product["id"]) or _make_plan_name(product, taken)
            taken.add(plan)
            facts.products[product["id"]] = product, plan
    _add_prices(facts, (price for price in prices if get_id(price.get("product")) in facts.products))


def _list_prices(**of: str) -> list[StripeObject]:
    """List recurring prices with their further currencies, or without from a Stripe that does not expand them."""
    try:
        expand = ["data.product", "data.currency_options"]
        return list(list_all(gateway(), "prices.list", type="recurring", expand=expand, **of))
    except StripeRefusedError as error:
        if not error.is_about_expansion:
            raise
        return list(list_all(gateway(), "prices.list", type="recurring", expand=["data.product"], **of))


def _add_prices(facts: Facts, prices: Iterable[StripeObject]) -> None:
    facts.prices.update((price["id"], price) for price in prices)


def _is_simple(price: StripeObject) -> bool:
    values = price_values(price)
    one_amount = values["amount"] is not None and values["interval_count"] == 1
    return bool(values["active"] and one_amount and values["interval"] in INTERVALS)


def _make_plan_name(product: StripeObject, taken: set[str]) -> str:
    """Make a value for ``church_plan`` from the product's name: short and unique."""
    slug = re.sub(r"[^a-z0-9]+", "-", str(product.get("name") or "").lower())[:_LONGEST_PLAN].strip("-")
    return slug if slug and slug not in taken else str(product["id"])[:_LONGEST_PLAN]


def _now() -> datetime:
    with db.read() as session:
        return database_now(session)


def _list_gone(session: Session, model: type[Product] | type[Price], seen: Iterable[str]) -> list[str]:
    return list(session.scalars(select(model.stripe_id).where(model.active, model.stripe_id.not_in(list(seen)))))
