"""List the plans of the pricing page, from the stored products and prices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from church.extensions import db
from church.models import Price, Product
from church.services import money

MOST_PLANS = 3
INTERVALS = ("month", "year")
_PRODUCTS = select(Product).where(Product.active)
_PRICES = select(Price).where(Price.active).order_by(Price.created_at, Price.id)
_TAX = {"inclusive": "Tax is included.", "exclusive": "Tax is added where it applies."}
_TAX_UNKNOWN = "Tax, where it applies, is shown before you pay."


@dataclass(frozen=True)
class PriceView:
    """One price of a plan; ``amount`` is in minor units and for one ``interval``, month or year."""

    stripe_id: str
    interval: str
    amount: int
    currency: str
    trial_days: int
    tax: str
    """What the page says about tax."""

    @property
    def shown(self) -> str:
        """The amount as people write it."""
        return money.format_amount(self.amount, self.currency)


@dataclass(frozen=True)
class PlanView:
    """One plan and its prices, monthly before yearly."""

    plan: str
    name: str
    description: str
    features: tuple[str, ...]
    prices: tuple[PriceView, ...]

    def at(self, interval: str) -> PriceView:
        """The price for ``interval``, or the only one."""
        return next((price for price in self.prices if price.interval == interval), self.prices[0])


def list_plans(currency: str | None = None) -> list[PlanView]:
    """List at most three plans, by the order in their metadata, then by price; all in one currency.

    That is ``currency`` if any price has it, else the most frequent one: two currencies on a page cannot be compared,
    and a subscription never changes its currency. Raises DatabaseDownError, DatabaseBusyError.
    """
    with db.read() as session:
        return _list_plans(session, currency)


def find_price_for_sale(session: Session, stripe_id: str, currency: str | None = None) -> Price | None:
    """Find a price of the pricing page. Other active prices may be special offers for one customer."""
    offered = {price.stripe_id for plan in _list_plans(session, currency) for price in plan.prices}
    return find_price(session, stripe_id) if stripe_id in offered else None


def find_price(session: Session, stripe_id: str) -> Price | None:
    """Find a stored price, whether for sale or not."""
    return session.scalars(select(Price).where(Price.stripe_id == stripe_id)).one_or_none()


def amount_in(price: Price, currency: str) -> int | None:
    """Return the amount of a price in ``currency``, which may be one of several; None where it has none."""
    amount = price.amount if price.currency == currency else price.currency_amounts.get(currency)
    return amount if isinstance(amount, int) else None


def _list_plans(session: Session, currency: str | None) -> list[PlanView]:
    products = session.scalars(_PRODUCTS).all()
    prices = session.scalars(_PRICES).all()
    sold = {product.stripe_id for product in products}
    simple = [price for price in prices if price.stripe_product in sold and _is_simple(price)]
    chosen = _choose_currency(simple, currency)
    views = {price.stripe_id: view for price in simple if chosen and (view := _price_view(price, chosen)) is not None}
    offered = [price for price in simple if price.stripe_id in views]
    found = [(product, own) for product in products if (own := _newest_prices(product, offered, views))]
    found.sort(key=lambda pair: (pair[0].position, pair[1][0].amount, pair[0].id))
    return [
        PlanView(product.plan, product.name, product.description, tuple(map(str, product.features)), own)
        for product, own in found[:MOST_PLANS]
    ]


def _is_simple(price: Price) -> bool:
    """Whether a page can show the price in a line: one amount a month or a year."""
    return price.amount is not None and price.interval in INTERVALS and price.interval_count == 1


def _choose_currency(prices: Collection[Price], wanted: str | None) -> str | None:
    count = Counter(price.currency for price in prices)
    if wanted is not None and any(amount_in(price, wanted) is not None for price in prices):
        return wanted
    return min(count, key=lambda name: (-count[name], name), default=None)


def _newest_prices(product: Product, prices: Iterable[Price], views: Mapping[str, PriceView]) -> tuple[PriceView, ...]:
    """Return the newest price of each interval: at Stripe, a new amount is a new price."""
    own = [price for price in prices if price.stripe_product == product.stripe_id]
    newest = {price.interval: views[price.stripe_id] for price in own}
    return tuple(newest[interval] for interval in INTERVALS if interval in newest)


def _price_view(price: Price, currency: str) -> PriceView | None:
    amount = amount_in(price, currency)
    if amount is None:
        return None
    return PriceView(
        stripe_id=price.stripe_id,
        interval=str(price.interval),
        amount=amount,
        currency=currency,
        trial_days=price.trial_days,
        tax=_TAX.get(price.tax_behavior, _TAX_UNKNOWN),
    )
