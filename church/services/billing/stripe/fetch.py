"""What is fetched for an event: the object that it names and those that it moves, as Stripe has them now.

Nothing is written here, and no transaction is open. So the order in which events come does not matter: each brings
the whole truth about its part of the world.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from church.models.billing import UNPAID_STATUSES
from church.services.billing.errors import MissingError, NotOursError, StripeDownError, StripeRefusedError
from church.services.billing.stripe import owners
from church.services.billing.stripe import owners as stripe_owners
from church.services.billing.stripe.client import Gateway, Obj, every
from church.services.billing.stripe.objects import owner_ref, part, plan_of_product, ref, rows, subscription_of_invoice


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


BUDGET = 8.0  # seconds for all calls of one event; its lease is 10
CUSTOMER = ("invoice_settings.default_payment_method",)


class Fetcher:
    """Calls for one event, and whose they are about."""

    def __init__(
        self,
        stripe: Gateway,
        started_at: datetime,
        *,
        owners: Mapping[str | None, int | None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``owners`` are the members whom customers are known to be."""
        self._stripe = stripe
        self._owners = owners or {}
        self._clock = clock
        self._deadline = clock() + BUDGET
        self.facts = Facts(started_at)

    def own(self, customer: str | None, found: Obj, ours: int | None = None) -> None:
        """Settle whose customer it is, once; the objects of one event are of one customer.

        ``ours`` is the member of whom our own rows tell, for a Stripe that gives back nothing of what it was told.
        """
        if self.facts.owner_id is not None:
            return
        if customer is None:
            raise NotOursError("nobody is named")
        self.facts.customer_id = customer
        self.facts.owner_id = (
            self._owners.get(customer) or stripe_owners.owner_of_customer(customer) or self._named(found)
        )
        if self.facts.owner_id is None:
            self.facts.owner_id = ours
        if self.facts.owner_id is None and self.facts.customer is None:
            self.facts.customer = self.get("customers.retrieve", customer, *CUSTOMER)
            self.facts.owner_id = self._named(self.facts.customer)
        if self.facts.owner_id is None:
            raise NotOursError("a customer of something else")

    def _named(self, obj: Obj) -> int | None:
        name = owner_ref(obj)
        return stripe_owners.user_of_ref(name) if name else None

    def get(self, method: str, stripe_id: str, *expand: str) -> Obj:
        """One object; what there is none of is not ours."""
        if not stripe_id:
            raise NotOursError("it names nothing that could be fetched")
        self._in_time()
        try:
            if expand:
                return self._stripe.call(method, stripe_id, expand=list(expand))
            return self._stripe.call(method, stripe_id)
        except StripeRefusedError as error:
            if error.is_missing:
                raise MissingError("no such object at Stripe: is STRIPE_SECRET_KEY of the same account?") from error
            raise

    def get_or_gone(self, method: str, stripe_id: str, *expand: str) -> Obj | None:
        """One object, None if it is deleted."""
        try:
            found = self.get(method, stripe_id, *expand)
        except MissingError:
            return None
        return None if found.get("deleted") else found

    def all_of(self, method: str, **params: Any) -> list[Obj]:
        """A whole list."""
        self._in_time()
        return list(every(self._stripe, method, **params))

    def _in_time(self) -> None:
        if self._clock() > self._deadline:
            raise StripeDownError


_SUBSCRIPTION = (
    "items.data.price.product", "latest_invoice", "schedule", "default_payment_method", "discounts.source.coupon",
)  # fmt: skip
_INVOICE = ("payments.data.payment.payment_intent",)


class Gatherer(Fetcher):
    """Fetches for one event. Raises NotOursError, StripeDownError, StripeRefusedError and the database's errors."""

    def about(self, kind: str, object_id: str, customer: str | None = None) -> Facts:
        """Fetch what an event about an object of ``kind`` may have changed; ``customer`` is what it says it is of."""
        fetch = self._fetchers().get(kind)
        if fetch is None:
            raise NotOursError(f"an object of kind {kind[:40]}")
        if kind == "payment_method":
            object_id = customer or ""
        if not object_id:
            raise NotOursError("a payment method of nobody")
        fetch(object_id)
        return self.facts

    def _fetchers(self) -> dict[str, Callable[[str], None]]:
        return {
            "checkout.session": self._checkout,
            "subscription": self.subscription,
            "invoice": self.invoice,
            "invoice_payment": self._invoice_payment,
            "charge": self._charge,
            "refund": self._refund,
            "dispute": self._dispute,
            "customer": self._customer,
            "payment_method": self._customer,
            "product": self._product,
            "price": self._price,
        }

    def subscription(self, stripe_id: str) -> None:
        """A subscription of a plan of ours, and whose it is."""
        if stripe_id in self.facts.subscriptions:
            return
        found = self.get("subscriptions.retrieve", stripe_id, *_SUBSCRIPTION)
        plan = self._plan(found)
        if plan is None:
            raise NotOursError("a subscription to something else")
        self.own(ref(found.get("customer")), found)
        self.facts.subscriptions[stripe_id] = found, plan
        self._sold(found, plan)
        latest = ref(found.get("latest_invoice"))
        if found.get("status") == "past_due":
            self._unpaid_before(stripe_id, latest)
        if (found.get("status") in UNPAID_STATUSES or found.get("pending_update")) and not owners.is_due(latest):
            self._with_payments(latest)

    def invoice(self, stripe_id: str) -> None:
        """An invoice with its payments, and the subscription that it is for."""
        found = self.get("invoices.retrieve", stripe_id, *_INVOICE)
        subscription = subscription_of_invoice(found)
        if subscription is None:
            raise NotOursError("an invoice of no subscription")
        self.facts.invoices[stripe_id] = found
        self.subscription(subscription)

    def _with_payments(self, stripe_id: str | None) -> None:
        """An invoice beside its subscription: members are led to it as soon as they are told that it is unpaid."""
        if stripe_id and stripe_id not in self.facts.invoices:
            found = self.get_or_gone("invoices.retrieve", stripe_id, *_INVOICE)
            if found is not None:
                self.facts.invoices[stripe_id] = found

    def _unpaid_before(self, subscription: str, latest: str | None) -> None:
        """The invoice for which it was past due before: if that was paid unheard, the days of grace begin anew."""
        before = owners.unpaid_invoice(subscription)
        if before != latest:
            self._with_payments(before)

    def _checkout(self, stripe_id: str) -> None:
        found = self.get("checkout.sessions.retrieve", stripe_id)
        ours = owners.owner_of_checkout(stripe_id, part(found, "metadata", "church_checkout"))
        customer, subscription = ref(found.get("customer")), ref(found.get("subscription"))
        if subscription is not None:
            self.own(customer, found, ours)
            self.subscription(subscription)
            if invoice := ref(found.get("invoice")):
                self.invoice(invoice)
        elif ours is None:
            raise NotOursError("a checkout that was not started here")
        self.facts.sessions.append(found)

    def _invoice_payment(self, stripe_id: str) -> None:
        found = self.get("invoice_payments.retrieve", stripe_id)
        self.invoice(ref(found.get("invoice")) or "")

    def _charge(self, stripe_id: str) -> None:
        found = self.get("charges.retrieve", stripe_id, "refunds")
        self._of_payment(found)
        self.facts.refunds += [one for one in rows(found, "refunds") if one["id"] not in self._refund_ids()]

    def _refund(self, stripe_id: str) -> None:
        found = self.get("refunds.retrieve", stripe_id)
        self.facts.refunds.append(found)
        self._charge(ref(found.get("charge")) or "")

    def _dispute(self, stripe_id: str) -> None:
        found = self.get("disputes.retrieve", stripe_id)
        self.facts.disputes.append(found)
        self._of_payment(self.get("charges.retrieve", ref(found.get("charge")) or ""))

    def _of_payment(self, charge: Obj) -> None:
        """The payment that a charge is of, ours if it is in the ledger or pays an invoice of ours.

        Its invoice goes first: a customer who is not known yet may be named by the subscription alone.
        """
        payment = ref(charge.get("payment_intent")) or str(charge.get("id"))
        self.facts.payment = payment
        if not owners.is_booked(payment):
            invoices = [ref(charge.get("invoice"))]  # where older versions of the API name it
            if not any(invoices):
                wish = {"type": "payment_intent", "payment_intent": payment}
                invoices = [ref(one.get("invoice")) for one in self.all_of("invoice_payments.list", payment=wish)]
            if not any(invoices):
                raise NotOursError("a payment of no invoice")
            for invoice in filter(None, invoices):
                self.invoice(invoice)
        self.own(ref(charge.get("customer")) or owners.customer_of_payment(payment), charge)

    def _refund_ids(self) -> set[str]:
        return {one["id"] for one in self.facts.refunds}

    def _customer(self, stripe_id: str) -> None:
        found = self.get("customers.retrieve", stripe_id, *CUSTOMER)
        self.facts.customer = found
        self.own(stripe_id, found)
        for subscription in owners.living_subscriptions(stripe_id):
            self.subscription(subscription)

    def _product(self, stripe_id: str) -> None:
        product = self.get_or_gone("products.retrieve", stripe_id)
        plan = plan_of_product(product)
        if product is not None and plan is None:
            plan = self._plan_without_mark(stripe_id)
        if product is not None and plan is not None:
            self.facts.products[stripe_id] = product, plan
        elif owners.plan_of_product(stripe_id) is None:
            raise NotOursError("a product that is no plan")
        else:
            self.facts.gone_products.append(stripe_id)

    def _price(self, stripe_id: str) -> None:
        price = self.get_or_gone("prices.retrieve", stripe_id, "product")
        if price is None:
            if not owners.is_price(stripe_id):
                raise NotOursError("a price of no plan")
            self.facts.gone_prices.append(stripe_id)
        elif not self._is_of_a_plan(price.get("product")):
            raise NotOursError("a price of no plan")
        else:
            self.facts.prices[stripe_id] = price

    def _is_of_a_plan(self, product: object) -> bool:
        if isinstance(product, dict):
            return (plan_of_product(product) or self._plan_without_mark(str(product.get("id")))) is not None
        return owners.plan_of_product(ref(product) or "") is not None

    def _plan_without_mark(self, product: str) -> str | None:
        """The plan that a product was taken for: still one, where no product of the account is marked as a plan."""
        plan = owners.plan_of_product(product)
        if plan is None or any(plan_of_product(other) for other in self.all_of("products.list")):
            return None
        return plan

    def _sold(self, subscription: Obj, plan: str) -> None:
        """What a subscription is to: pages name it."""
        for item in rows(subscription, "items"):
            price, product = item.get("price") or {}, part(item, "price", "product")
            if isinstance(product, dict) and plan_of_product(product):
                self.facts.sold[price["id"]] = price, product, plan

    def _plan(self, subscription: Obj) -> str | None:
        """By its product's metadata, by what is known of the product, by what the subscription was before.

        A product that is neither expanded nor known is asked for, and put in its place.
        """
        for item in rows(subscription, "items"):
            product = part(item, "price", "product")
            plan = plan_of_product(product) or owners.plan_of_product(ref(product) or "")
            if plan is not None:
                return plan
        before = owners.plan_of_subscription(str(subscription.get("id")))
        return before or self._fetched_plan(subscription)

    def _fetched_plan(self, subscription: Obj) -> str | None:
        for item in rows(subscription, "items"):
            product = part(item, "price", "product")
            if isinstance(product, str) and (found := self.get_or_gone("products.retrieve", product)):
                item["price"]["product"] = found
                if (plan := plan_of_product(found)) is not None:
                    return plan
        return None
