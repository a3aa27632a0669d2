"""What is fetched for an event: the object that it names and those that it moves, as Stripe has them now.

Nothing is written here, and no transaction is open. So the order in which events come does not matter: each brings
the whole truth about its part of the world.
"""

from __future__ import annotations

from collections.abc import Callable

from church.services.billing.errors import NotOursError
from church.services.billing.stripe import owners
from church.services.billing.stripe.client import Obj
from church.services.billing.stripe.facts import Facts
from church.services.billing.stripe.fetcher import CUSTOMER, Fetcher
from church.services.billing.stripe.objects import part, plan_of_product, ref, rows, subscription_of_invoice

_SUBSCRIPTION = (
    "items.data.price.product", "latest_invoice", "schedule", "default_payment_method", "discounts.source.coupon",
)  # fmt: skip
_UNPAID = frozenset({"past_due", "unpaid"})
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
        if (found.get("status") in _UNPAID or found.get("pending_update")) and not owners.is_due(latest):
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
