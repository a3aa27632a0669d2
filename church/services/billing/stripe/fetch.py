"""Fetch what an event may have changed: the object it names and those that depend on it, as Stripe has them now.

Nothing is written and no transaction is open. Each event brings the current state of its objects, so the order in
which events arrive does not matter. The end of the module reads what the database already knows of these objects.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Select, bindparam, or_, select
from sqlalchemy.orm import Session

from church.extensions import db
from church.models import Checkout, Customer, Invoice, LedgerEntry, Price, Product, Subscription, User
from church.models.billing import ENDED_STATUSES, UNPAID_STATUSES
from church.services.billing.errors import MissingObjectError, NotOursError, StripeDownError, StripeRefusedError
from church.services.billing.stripe import owners
from church.services.billing.stripe.client import Gateway, StripeObject, list_all
from church.services.billing.stripe.fetch_renewal import Renewal, RenewalFetcher, make_basis
from church.services.billing.stripe.item_amounts import compute_item_amount, currency_of
from church.services.billing.stripe.objects import (
    get_id,
    get_list,
    get_nested,
    list_next_phases,
    list_phase_prices,
    owner_ref,
    plan_of_product,
    subscription_of_invoice,
)

T = TypeVar("T")

_NOT_OURS = "a customer of something else"

BUDGET = 8.0  # seconds for all calls of one event; its lease is 10
_CUSTOMER = ("invoice_settings.default_payment_method",)
_SUBSCRIPTION_LEAST = (
    "items.data.price.product", "latest_invoice", "schedule", "default_payment_method", "discounts.source.coupon",
)  # fmt: skip
_SUBSCRIPTION = (  # four levels each, which is as deep as Stripe expands
    *_SUBSCRIPTION_LEAST, "items.data.price.currency_options", "items.data.discounts", "schedule.phases.items.price",
    "discounts.source.coupon.applies_to",
)  # fmt: skip
_ASKING = frozenset({"subscription", "subscription_schedule", "customer", "discount", "tax_id"})
"""Kinds of objects whose events may change what the next invoice takes, even where the subscription is the same."""
_FRESH = timedelta(minutes=10)
"""An answer for the same items and discounts is not asked for again so soon by the subscription's own events."""
_INVOICE = ("payments.data.payment.payment_intent",)


class FetchedSubscription(NamedTuple):
    """A subscription with its plan, the item that is the plan's, and what its next invoice takes."""

    found: StripeObject
    plan: str
    item_id: str | None = None
    plan_prices: frozenset[str] = frozenset()
    """Prices of the subscription and of its schedule that are known to be a plan's."""
    renewal: Renewal | None = None
    """None where the stored amount stays right."""


@dataclass
class Facts:
    """Objects fetched from Stripe, all after ``started_at``, and the member (``owner_id``) they belong to."""

    started_at: datetime
    owner_id: int | None = None
    customer_id: str | None = None
    """Stripe's id of the customer, whose row is locked; None for what has no customer, such as a price."""
    customer: StripeObject | None = None
    subscriptions: dict[str, FetchedSubscription] = field(default_factory=dict)
    invoices: dict[str, StripeObject] = field(default_factory=dict)
    refunds: list[StripeObject] = field(default_factory=list)
    disputes: list[StripeObject] = field(default_factory=list)
    payment: str | None = None
    """The payment of the refunds and disputes."""
    matched: bool = False
    """Whether the member was found by the payer's address, or by an admin: they have not heard of it yet."""
    sessions: list[StripeObject] = field(default_factory=list)
    payment_failed: bool = False
    """Whether the event says that the slow payment of its checkout session failed."""
    deleted_customer: StripeObject | None = None
    """The customer that the event says was deleted, as it was: Stripe keeps no more of it than the id."""
    products: dict[str, tuple[StripeObject, str]] = field(default_factory=dict)
    """Each with its plan."""
    prices: dict[str, StripeObject] = field(default_factory=dict)
    sold: dict[str, tuple[StripeObject, StripeObject, str]] = field(default_factory=dict)
    """Price, product and plan for each price of the subscriptions; stored where the price is not stored yet."""
    gone_products: list[str] = field(default_factory=list)
    """Products that are deleted or no longer a plan."""
    gone_prices: list[str] = field(default_factory=list)

    def has_open_subscription(self) -> bool:
        """Whether one of the fetched subscriptions has not ended."""
        return any(fetched.found.get("status") not in ENDED_STATUSES for fetched in self.subscriptions.values())


class Fetcher:
    """Fetches for one event. Raises NotOursError, StripeDownError, StripeRefusedError and the database's errors."""

    def __init__(
        self,
        stripe: Gateway,
        started_at: datetime,
        *,
        owners: Mapping[str | None, int | None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``owners`` maps Stripe's customer ids to account ids, as far as the caller knows them."""
        self._stripe = stripe
        self._owners = owners or {}
        self._clock = clock
        self._deadline = clock() + BUDGET
        self._session: StripeObject | None = None
        self._asks = self._asks_at_once = False
        self._renewals = RenewalFetcher(stripe, lambda: self._deadline - clock())
        self.facts = Facts(started_at)

    def about(self, kind: str, object_id: str, customer: str | None = None) -> Facts:
        """Fetch what an event about an object of ``kind`` may have changed; ``customer`` is the one the event names."""
        fetch = self._fetchers().get(kind)
        if fetch is None:
            raise NotOursError(f"an object of kind {kind[:40]}")
        if kind in {"payment_method", "discount", "tax_id"}:
            object_id = customer or ""
        if not object_id:
            raise NotOursError(f"a {kind.replace('_', ' ')} without a customer")
        self._asks = kind in _ASKING
        self._asks_at_once = kind in _ASKING and kind != "subscription"
        fetch(object_id)
        return self.facts

    def _fetchers(self) -> dict[str, Callable[[str], None]]:
        return {
            "checkout.session": self._checkout,
            "subscription": self._subscription,
            "subscription_schedule": self._schedule,
            "invoice": self._invoice,
            "invoice_payment": self._invoice_payment,
            "charge": self._charge,
            "refund": self._refund,
            "dispute": self._dispute,
            "customer": self._customer,
            "payment_method": self._customer,
            "discount": self._customer,
            "tax_id": self._customer,
            "product": self._product,
            "price": self._price,
        }

    # -- subscriptions and invoices -----------------------------------------------------------------------------------

    def _subscription(self, stripe_id: str) -> None:
        """Fetch a subscription to one of our plans, and find its owner."""
        if stripe_id in self.facts.subscriptions:
            return
        found = self._get_subscription(stripe_id)
        plan, item_id = self._find_plan(found)
        if not self._find_owner(get_id(found.get("customer")), found):
            self._match_payer(found, plan, item_id)
        fetched = FetchedSubscription(found, plan, item_id, _list_plan_prices(found))
        self.facts.subscriptions[stripe_id] = fetched
        self._add_sold(found, plan)
        latest = get_id(found.get("latest_invoice"))
        if found.get("status") == "past_due":
            self._add_former_unpaid(stripe_id, latest)
        if self._has_open_invoice(found) and not _is_due(latest):
            self._add_invoice(latest)
        if self._must_ask(stripe_id, make_basis(found)):
            renewal = self._renewals.fetch(found, self.facts.customer, shared=not self._asks_at_once)
            self.facts.subscriptions[stripe_id] = fetched._replace(renewal=renewal)

    def _must_ask(self, stripe_id: str, basis: str) -> bool:
        """Whether what the next invoice takes is unknown, or may have changed."""
        (former, asked_at), started_at = _find_renewal(stripe_id), self.facts.started_at
        if former != basis:
            return True
        is_fresh = asked_at is not None and started_at - _FRESH < asked_at <= started_at
        return self._asks and (self._asks_at_once or not is_fresh)

    def _get_subscription(self, stripe_id: str) -> StripeObject:
        """Fetch a subscription with all that amounts depend on, or less from a Stripe that does not expand that."""
        try:
            return self._get("subscriptions.retrieve", stripe_id, *_SUBSCRIPTION)
        except StripeRefusedError as error:
            if not error.is_about_expansion:
                raise
            return self._get("subscriptions.retrieve", stripe_id, *_SUBSCRIPTION_LEAST)

    def _has_open_invoice(self, found: StripeObject) -> bool:
        by_hand = found.get("collection_method") == "send_invoice"
        return found.get("status") in UNPAID_STATUSES or bool(found.get("pending_update")) or by_hand

    def _schedule(self, stripe_id: str) -> None:
        found = self._get("subscription_schedules.retrieve", stripe_id)
        self._subscription(get_id(found.get("subscription")) or get_id(found.get("released_subscription")) or "")

    def _invoice(self, stripe_id: str) -> None:
        """Fetch an invoice with its payments, and its subscription."""
        found = self._get("invoices.retrieve", stripe_id, *_INVOICE)
        subscription = subscription_of_invoice(found)
        if subscription is None:
            raise NotOursError("an invoice without a subscription")
        self.facts.invoices[stripe_id] = found
        self._subscription(subscription)

    def _add_invoice(self, stripe_id: str | None) -> None:
        """Fetch an unpaid invoice beside its subscription: the page that reports it links to it."""
        if stripe_id and stripe_id not in self.facts.invoices:
            found = self._get_or_none("invoices.retrieve", stripe_id, *_INVOICE)
            if found is not None:
                self.facts.invoices[stripe_id] = found

    def _add_former_unpaid(self, subscription: str, latest: str | None) -> None:
        """Fetch the invoice that made it past due before: if that was paid meanwhile, the grace period restarts."""
        former = _find_unpaid_invoice(subscription)
        if former != latest:
            self._add_invoice(former)

    def _checkout(self, stripe_id: str) -> None:
        found = self._get("checkout.sessions.retrieve", stripe_id)
        ours = _find_checkout_owner(stripe_id, get_nested(found, "metadata", "church_checkout"))
        customer, subscription = get_id(found.get("customer")), get_id(found.get("subscription"))
        if subscription is not None:
            self._session = found
            self._find_owner(customer, found, ours)
            self._subscription(subscription)
            if invoice := get_id(found.get("invoice")):
                self._invoice(invoice)
        elif ours is None:
            raise NotOursError("a checkout that was not started here")
        self.facts.sessions.append(found)

    def _add_sold(self, subscription: StripeObject, plan: str) -> None:
        """Note the prices and products of a subscription, so that pages can name its plan."""
        for item in get_list(subscription, "items"):
            price, product = item.get("price") or {}, get_nested(item, "price", "product")
            if isinstance(product, dict) and plan_of_product(product) == plan:
                price.setdefault("currency", currency_of(subscription))
                self.facts.sold[price["id"]] = price, product, plan

    def _find_plan(self, subscription: StripeObject) -> tuple[str, str | None]:
        """Find the plan and its item: by the product's metadata, by the stored product or price, then as stored.

        Of several plans the dearest counts. A product that is neither expanded nor stored is fetched, and put in its
        place. Raises NotOursError for a subscription without a plan.
        """
        items = get_list(subscription, "items")
        found = [(item, plan) for item in items if (plan := _find_item_plan(item)) is not None]
        former = _find_subscription_plan(str(subscription.get("id"))) if not found else None
        if former is not None:
            plan, item_id = former
            ids = [item.get("id") for item in items]
            return plan, item_id if item_id in ids else ids[0] if len(ids) == 1 else None
        found = found or self._fetch_plans(items)
        if not found:
            raise NotOursError("a subscription to something else")
        currency = currency_of(subscription)
        item, plan = max(found, key=lambda pair: (_is_marked(pair[0]), compute_item_amount(pair[0], currency) or 0))
        return plan, item.get("id")

    def _fetch_plans(self, items: list[StripeObject]) -> list[tuple[StripeObject, str]]:
        found = []
        for item in items:
            product = get_nested(item, "price", "product")
            if isinstance(product, str) and (fetched := self._get_or_none("products.retrieve", product)):
                item["price"]["product"] = fetched
                if (plan := plan_of_product(fetched)) is not None:
                    found.append((item, plan))
        return found

    # -- payments -----------------------------------------------------------------------------------------------------

    def _invoice_payment(self, stripe_id: str) -> None:
        found = self._get("invoice_payments.retrieve", stripe_id)
        self._invoice(get_id(found.get("invoice")) or "")

    def _charge(self, stripe_id: str) -> None:
        found = self._get("charges.retrieve", stripe_id, "refunds")
        self._add_payment(found)
        fetched = {refund["id"] for refund in self.facts.refunds}
        self.facts.refunds += [refund for refund in get_list(found, "refunds") if refund["id"] not in fetched]

    def _refund(self, stripe_id: str) -> None:
        found = self._get("refunds.retrieve", stripe_id)
        self.facts.refunds.append(found)
        self._charge(get_id(found.get("charge")) or "")

    def _dispute(self, stripe_id: str) -> None:
        found = self._get("disputes.retrieve", stripe_id)
        self.facts.disputes.append(found)
        self._add_payment(self._get("charges.retrieve", get_id(found.get("charge")) or ""))

    def _add_payment(self, charge: StripeObject) -> None:
        """Find the payment of a charge: ours if it is in the ledger or pays one of our invoices.

        Its invoice comes first: for a new customer, the subscription alone may name the member.
        """
        payment = get_id(charge.get("payment_intent")) or str(charge.get("id"))
        self.facts.payment = payment
        if not _is_booked(payment):
            invoices = [get_id(charge.get("invoice"))]  # where older versions of the API name it
            if not any(invoices):
                wanted = {"type": "payment_intent", "payment_intent": payment}
                invoices = [
                    get_id(found.get("invoice")) for found in self._list("invoice_payments.list", payment=wanted)
                ]
            if not any(invoices):
                raise NotOursError("a payment without an invoice")
            for invoice in filter(None, invoices):
                self._invoice(invoice)
        self._set_owner(get_id(charge.get("customer")) or _find_payment_customer(payment), charge)

    # -- customers ----------------------------------------------------------------------------------------------------

    def _customer(self, stripe_id: str) -> None:
        gone = self.facts.deleted_customer
        found = self._get_customer(stripe_id) if gone is None else {**gone, "deleted": True}
        self.facts.customer = found
        waiting = [] if self._find_owner(stripe_id, found) else owners.list_unmatched_of(stripe_id)
        if self.facts.owner_id is None and (found.get("deleted") or not waiting):
            raise NotOursError(_NOT_OURS)
        for subscription in waiting or _list_open_subscriptions(stripe_id):
            try:
                self._subscription(subscription)
            except MissingObjectError:
                if not found.get("deleted"):
                    raise  # that of a deleted customer ends here all the same

    def _get_customer(self, stripe_id: str) -> StripeObject:
        """Fetch a customer with the card; without it where Stripe does not expand that, as of a deleted customer."""
        try:
            return self._get("customers.retrieve", stripe_id, *_CUSTOMER)
        except StripeRefusedError as error:
            if error.http_status != 400:
                raise
            return self._get("customers.retrieve", stripe_id)

    def _set_owner(self, customer: str | None, found: StripeObject) -> None:
        """Find the member behind ``customer``. Raises NotOursError where there is none."""
        if not self._find_owner(customer, found):
            raise NotOursError(_NOT_OURS)

    def _find_owner(self, customer: str | None, found: StripeObject, ours: int | None = None) -> bool:
        """Find the member behind ``customer``, once: all objects of an event belong to one customer.

        ``ours`` is the member by our checkout's row, for a Stripe that does not return our metadata.
        """
        if self.facts.owner_id is not None:
            return True
        if customer is None:
            raise NotOursError("no customer is named")
        self.facts.customer_id = customer
        owner = self._owners.get(customer) or _find_customer_owner(customer) or _find_named_owner(found)
        if owner is None:
            owner = ours
        if owner is None and self.facts.customer is None:
            self.facts.customer = self._get_customer(customer)
            owner = _find_named_owner(self.facts.customer)
        self.facts.owner_id = owner
        return owner is not None

    def _match_payer(self, subscription: StripeObject, plan: str, item: str | None) -> None:
        """Find the member of a subscription by its checkout, then by the payer's address.

        The checkout comes first: by its reference, a payment link says who pays, whatever address is typed there.
        """
        checkout = self._session or self._find_session(subscription["id"])
        owner = None
        if checkout is not None:
            ours = _find_checkout_owner(checkout["id"], get_nested(checkout, "metadata", "church_checkout"))
            owner = _find_named_owner(checkout) or ours
        if owner is None:
            email = owners.read_address(self.facts.customer, checkout)
            owner = owners.find_owner_by_address(email)
            self.facts.matched = owner is not None
        if owner is None:
            payer = owners.UnmatchedPayer(self.facts.customer_id or "", email, subscription, plan, item)
            raise owners.UnmatchedPaymentError(payer)
        self.facts.owner_id = owner

    def _find_session(self, subscription: str) -> StripeObject | None:
        """Find the checkout session of a subscription; none where the key may not read sessions."""
        try:
            found = self._list("checkout.sessions.list", subscription=subscription)
        except StripeRefusedError:
            return None
        return next((row for row in found if get_id(row.get("subscription")) == subscription), None)

    # -- products and prices ------------------------------------------------------------------------------------------

    def _product(self, stripe_id: str) -> None:
        product = self._get_or_none("products.retrieve", stripe_id)
        plan = plan_of_product(product)
        if product is not None and plan is None:
            plan = self._plan_without_metadata(stripe_id)
        if product is not None and plan is not None:
            self.facts.products[stripe_id] = product, plan
        elif find_product_plan(stripe_id) is None:
            raise NotOursError("a product that is not a plan")
        else:
            self.facts.gone_products.append(stripe_id)

    def _price(self, stripe_id: str) -> None:
        price = self._get_price(stripe_id)
        if price is None:
            if not _is_price(stripe_id):
                raise NotOursError("a price without a plan")
            self.facts.gone_prices.append(stripe_id)
        elif not self._is_plan(price.get("product")):
            raise NotOursError("a price without a plan")
        else:
            self.facts.prices[stripe_id] = price

    def _get_price(self, stripe_id: str) -> StripeObject | None:
        """Fetch a price with its further currencies, or without from a Stripe that does not expand them."""
        try:
            return self._get_or_none("prices.retrieve", stripe_id, "product", "currency_options")
        except StripeRefusedError as error:
            if not error.is_about_expansion:
                raise
            return self._get_or_none("prices.retrieve", stripe_id, "product")

    def _is_plan(self, product: object) -> bool:
        if isinstance(product, dict):
            return (plan_of_product(product) or self._plan_without_metadata(str(product.get("id")))) is not None
        return find_product_plan(get_id(product) or "") is not None

    def _plan_without_metadata(self, product: str) -> str | None:
        """The stored plan of a product without ``church_plan``, as long as no product of the account has that."""
        plan = find_product_plan(product)
        if plan is None or any(plan_of_product(other) for other in self._list("products.list")):
            return None
        return plan

    # -- calls --------------------------------------------------------------------------------------------------------

    def _get(self, method: str, stripe_id: str, *expand: str) -> StripeObject:
        """Fetch one object. Raises MissingError where Stripe has none."""
        if not stripe_id:
            raise NotOursError("no object to fetch is named")
        self._check_time()
        try:
            if expand:
                return self._stripe.call(method, stripe_id, expand=list(expand))
            return self._stripe.call(method, stripe_id)
        except StripeRefusedError as error:
            if error.is_missing:
                raise MissingObjectError(
                    "no such object at Stripe: is STRIPE_SECRET_KEY of the same account?"
                ) from error
            raise

    def _get_or_none(self, method: str, stripe_id: str, *expand: str) -> StripeObject | None:
        """Fetch one object; None if it is deleted."""
        try:
            found = self._get(method, stripe_id, *expand)
        except MissingObjectError:
            return None
        return None if found.get("deleted") else found

    def _list(self, method: str, **params: Any) -> list[StripeObject]:
        self._check_time()
        return list(list_all(self._stripe, method, **params))

    def _check_time(self) -> None:
        if self._clock() > self._deadline:
            raise StripeDownError


# -- what the database knows ------------------------------------------------------------------------------------------

# Read for every event: built once and of the table, because the ORM's way takes several times as long.
_OWNER = select(Customer.__table__.c.user_id).where(Customer.__table__.c.stripe_id == bindparam("customer"))
_DELETED = select(User.__table__.c.id).where(User.__table__.c.id == bindparam("user"), User.deleted_at.is_not(None))


def find_owner(session: Session, customer: str) -> int | None:
    """Find the account of a customer, in the caller's transaction."""
    owner: int | None = session.scalars(_OWNER, {"customer": customer}).one_or_none()
    return owner


def is_deleted(session: Session, user_id: int | None) -> bool:
    """Whether the account is deleted, in the caller's transaction."""
    return user_id is not None and session.scalars(_DELETED, {"user": user_id}).first() is not None


def find_product_plan(stripe_id: str) -> str | None:
    """Find the plan of a stored product."""
    return _read(select(Product.plan).where(Product.stripe_id == stripe_id))


def _read(query: Select[T]) -> T | None:
    """Read the first value that ``query`` finds, or None."""
    with db.read() as session:
        return session.scalars(query.limit(1)).first()


def _find_customer_owner(customer: str) -> int | None:
    with db.read() as session:
        return find_owner(session, customer)


def _find_named_owner(obj: StripeObject) -> int | None:
    """Find the account whose ref the object's metadata names."""
    name = owner_ref(obj)
    return _read(select(User.id).where(User.ref == name)) if name else None


def _find_checkout_owner(stripe_session: str, checkout_ref: str | None) -> int | None:
    """Find the account that started a checkout, by Stripe's id of the session or by our ref."""
    ours = or_(Checkout.stripe_session == stripe_session, Checkout.ref == checkout_ref)
    return _read(select(Checkout.user_id).where(ours))


def _find_payment_customer(payment: str) -> str | None:
    return _read(select(LedgerEntry.stripe_customer).where(LedgerEntry.stripe_payment == payment))


def _find_subscription_plan(stripe_id: str) -> tuple[str, str | None] | None:
    """Find plan and item of a stored subscription."""
    query = select(Subscription.plan, Subscription.stripe_item).where(Subscription.stripe_id == stripe_id)
    with db.read() as session:
        row = session.execute(query).one_or_none()
    return (row.plan, row.stripe_item) if row is not None else None


def _find_renewal(stripe_id: str) -> tuple[str | None, datetime | None]:
    """Find what the stored amount of a subscription's next invoice depends on, and when it was asked for."""
    query = select(Subscription.renewal_basis, Subscription.renewal_asked_at)
    with db.read() as session:
        row = session.execute(query.where(Subscription.stripe_id == stripe_id)).one_or_none()
    return (row.renewal_basis, row.renewal_asked_at) if row is not None else (None, None)


def _find_item_plan(item: StripeObject) -> str | None:
    """Find the plan of an item: by its product's metadata, the stored product, or the stored price."""
    product = get_nested(item, "price", "product")
    plan = plan_of_product(product) or find_product_plan(get_id(product) or "")
    return plan or _find_price_plan(get_id(item.get("price")) or "")


def _is_marked(item: StripeObject) -> bool:
    return plan_of_product(get_nested(item, "price", "product")) is not None


def _find_price_plan(stripe_id: str) -> str | None:
    """Find the plan of a stored price."""
    query = select(Product.plan).join(Price, Price.stripe_product == Product.stripe_id)
    return _read(query.where(Price.stripe_id == stripe_id))


def _list_plan_prices(subscription: StripeObject) -> frozenset[str]:
    """List the prices of a subscription's schedule that are known to be a plan's."""
    prices = {price for phase in list_next_phases(subscription) for price in list_phase_prices(phase)}
    return frozenset(price for price in prices if _find_price_plan(price) is not None)


def _find_unpaid_invoice(subscription: str) -> str | None:
    """Find Stripe's id of the invoice that made a stored subscription past due."""
    past_due = Subscription.past_due_since.is_not(None)
    query = select(Subscription.latest_invoice).where(Subscription.stripe_id == subscription, past_due)
    return _read(query)


def _is_due(invoice: str | None) -> bool:
    """Whether an invoice is stored and finalized: its own events report later changes."""
    return _read(select(Invoice.id).where(Invoice.stripe_id == invoice, Invoice.status != "draft")) is not None


def _is_price(stripe_id: str) -> bool:
    return _read(select(Price.id).where(Price.stripe_id == stripe_id)) is not None


def _is_booked(payment: str) -> bool:
    return _read(select(LedgerEntry.id).where(LedgerEntry.stripe_payment == payment)) is not None


def _list_open_subscriptions(customer: str) -> list[str]:
    """List Stripe's ids of a customer's stored subscriptions that have not ended."""
    query = select(Subscription.stripe_id).join(Customer, Customer.id == Subscription.customer_id)
    is_open = Subscription.status.not_in(ENDED_STATUSES)
    with db.read() as session:
        return list(session.scalars(query.where(Customer.stripe_id == customer, is_open)))
