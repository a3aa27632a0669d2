"""An in-memory Stripe for tests of the services: tests change its objects, the site reads them."""

from __future__ import annotations

import copy
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from typing import Any, TypeVar

from flask import Flask
from pydantic import SecretStr
from sqlalchemy import select, text

from church import create_app
from church.config import Settings
from church.extensions import db
from church.models import Base, User
from church.services.billing.errors import StripeRefusedError
from church.services.billing.stripe.webhooks import Outcome, process_webhook
from church.services.entitlements import member_has_premium
from tests.support.helpers import with_settings

T = TypeVar("T", bound=Base)

Obj = dict[str, Any]
SECRET = "whsec_of_the_tests"
DAY = 86400
START = 1_790_000_000
KINDS = {
    "subscriptions": "subscription", "invoices": "invoice", "customers": "customer", "charges": "charge",
    "refunds": "refund", "disputes": "dispute", "products": "product", "prices": "price",
    "invoice_payments": "invoice_payment", "checkout.sessions": "checkout.session", "coupons": "coupon",
    "subscription_schedules": "subscription_schedule",
}  # fmt: skip
_EXPANDED_ONLY = frozenset({"currency_options", "applies_to"})
_numbers = count(1)


def utc_time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


class FakeStripe:
    """Replaces the Stripe gateway. Keeps objects by id; ``before`` is called with each method and may raise or wait."""

    def __init__(self) -> None:
        self.objects: dict[str, Obj] = {}
        self.calls: list[tuple[str, tuple[str, ...], Obj]] = []
        self.before: Callable[[str], None] = lambda _method: None
        self.expand: list[str] = []
        self.previews: dict[str, Obj] = {}
        """Upcoming invoices by subscription; others can't be previewed here, so that their amounts are reckoned."""
        self.product("prod_patron", church_plan="patron", church_order="2")
        self.price("price_month", "prod_patron", 1200)

    def call(self, method: str, *ids: str, key: str | None = None, **params: Any) -> Obj:
        self.calls.append((method, ids, params))
        self.before(method)
        service, _, verb = method.rpartition(".")
        if verb == "list":
            return self._list(service, params)
        self.expand = params.get("expand", [])
        if verb == "create_preview":
            return self._preview(params["subscription"])
        found = self.objects.get(ids[0])
        if found is None or found["object"] != KINDS[service]:
            raise StripeRefusedError("resource_missing", "id", 404)
        if verb == "cancel":
            found.update(status="canceled", ended_at=int(time.time()), canceled_at=int(time.time()))
        if verb == "update":
            found.update(params)
        return self._expanded(found)

    def put(self, kind: str, stripe_id: str, **values: Any) -> Obj:
        made = {"id": stripe_id, "object": kind, "created": START, "metadata": {}, **values}
        self.objects[stripe_id] = made
        return made

    def product(self, stripe_id: str, **metadata: str) -> Obj:
        fields = {"name": "Patron", "description": "All of it", "marketing_features": [{"name": "Pages"}]}
        return self.put("product", stripe_id, active=True, metadata=metadata, **fields)

    def price(self, stripe_id: str, product: str, amount: int, currency: str = "usd", interval: str = "month") -> Obj:
        recurring = {"interval": interval, "interval_count": 1, "trial_period_days": None}
        return self.put(
            "price", stripe_id, active=True, product=product, unit_amount=amount, currency=currency,
            recurring=recurring, tax_behavior="exclusive",
        )  # fmt: skip

    def customer(self, user_ref: str | None, **values: Any) -> Obj:
        metadata = {"church_user": user_ref} if user_ref else {}
        method = {"card": {"brand": "visa", "last4": "4242", "exp_month": 4, "exp_year": 2031}}
        settings = {"invoice_settings": {"default_payment_method": method}}
        return self.put("customer", f"cus_{next(_numbers)}", metadata=metadata, **settings, **values)

    def subscription(self, customer: Obj, price: str = "price_month", **values: Any) -> Obj:
        found = self.objects[price]
        item = {
            "id": "si_1", "price": price, "quantity": 1,
            "current_period_start": START, "current_period_end": START + 30 * DAY,
        }  # fmt: skip
        defaults: Obj = {
            "status": "active", "currency": found["currency"], "start_date": START, "latest_invoice": None,
            "cancel_at": None, "cancel_at_period_end": False, "discounts": [], "schedule": None,
            "default_payment_method": None,
        }  # fmt: skip
        stripe_id = f"sub_{next(_numbers)}"
        items = {"object": "list", "data": [item]}
        return self.put("subscription", stripe_id, customer=customer["id"], items=items, **(defaults | values))

    def session(self, subscription: Obj, **values: Any) -> Obj:
        """Create the completed checkout session of a subscription, as of a payment link."""
        defaults: Obj = {"status": "complete", "payment_status": "paid", "invoice": None, "client_reference_id": None}
        return self.put(
            "checkout.session", f"cs_{next(_numbers)}", customer=subscription["customer"],
            subscription=subscription["id"], **(defaults | values),
        )  # fmt: skip

    def item(self, name: str, price: str, **values: Any) -> Obj:
        """Make an item of a subscription."""
        period = {"current_period_start": START, "current_period_end": START + 30 * DAY}
        return {"id": name, "price": price, "quantity": 1, "discounts": [], **period, **values}

    def discount(self, stripe_id: str, **coupon: Any) -> Obj:
        """Create a discount with a coupon that lasts forever."""
        source = {"type": "coupon", "coupon": {"id": "co_1", "object": "coupon", "duration": "forever", **coupon}}
        return self.put("discount", stripe_id, source=source, end=None)

    def invoice(self, subscription: Obj, paid: int = 0, **values: Any) -> Obj:
        """Create an invoice; ``paid`` is the amount of its payment, whose charge can be refunded."""
        number = next(_numbers)
        stripe_id, currency = f"in_{number}", subscription["currency"]
        payments = [self._paid(number, stripe_id, subscription["customer"], paid, currency)] if paid else []
        defaults: Obj = {
            "status": "paid" if paid else "open", "currency": currency, "amount_paid": paid, "number": f"N-{number}",
            "status_transitions": {"finalized_at": START, "paid_at": START if paid else None},
            "parent": {"subscription_details": {"subscription": subscription["id"]}},
            "hosted_invoice_url": "https://stripe.example/i", "attempt_count": 1,
        }  # fmt: skip
        lists = {"payments": {"object": "list", "data": payments}}
        found = self.put("invoice", stripe_id, customer=subscription["customer"], **lists, **(defaults | values))
        subscription["latest_invoice"] = stripe_id
        return found

    def _paid(self, number: int, invoice: str, customer: str, amount: int, currency: str) -> Obj:
        self.put(
            "charge", f"ch_{number}", customer=customer, payment_intent=f"pi_{number}", amount=amount,
            refunds={"object": "list", "data": []},
        )  # fmt: skip
        return self.put(
            "invoice_payment", f"inpay_{number}", invoice=invoice, status="paid", amount_paid=amount,
            currency=currency, status_transitions={"paid_at": START},
            payment={"type": "payment_intent", "payment_intent": f"pi_{number}"},
        )  # fmt: skip

    def charge_of(self, invoice: Obj) -> Obj:
        return self.objects["ch_" + invoice["id"].removeprefix("in_")]

    def refund(self, charge: Obj, amount: int, currency: str = "usd", status: str = "succeeded") -> Obj:
        made = self.put(
            "refund", f"re_{next(_numbers)}", charge=charge["id"], payment_intent=charge["payment_intent"],
            amount=amount, currency=currency, status=status,
        )  # fmt: skip
        charge["refunds"]["data"].append(made)
        return made

    def dispute(self, charge: Obj, *moved: int, status: str = "needs_response") -> Obj:
        return self.put(
            "dispute", f"dp_{next(_numbers)}", charge=charge["id"], amount=charge["amount"], currency="usd",
            status=status, balance_transactions=[{"amount": amount, "created": START + 9} for amount in moved],
        )  # fmt: skip

    def _preview(self, subscription: str) -> Obj:
        if subscription not in self.previews:
            raise StripeRefusedError("url_invalid", None, 404)
        return copy.deepcopy(self.previews[subscription])

    def _list(self, service: str, params: Obj) -> Obj:
        same = {
            name: params[name]
            for name in ("customer", "invoice", "charge", "product", "subscription")
            if name in params
        }
        found = [o for o in self.objects.values() if o["object"] == KINDS[service]]
        found = [o for o in found if all(o.get(name) == value for name, value in same.items())]
        if (payment := params.get("payment")) is not None:
            found = [o for o in found if o["payment"]["payment_intent"] == payment["payment_intent"]]
        return {"object": "list", "data": [self._expanded(o) for o in found], "has_more": False}

    def _expanded(self, found: Obj) -> Obj:
        """Return a copy with the objects that the services expand in place of their ids."""
        answer = copy.deepcopy(found)
        for item in (answer.get("items") or {}).get("data", []):
            item["price"] = copy.deepcopy(self.objects[item["price"]])
            item["price"]["product"] = copy.deepcopy(self.objects[item["price"]["product"]])
        if isinstance(answer.get("latest_invoice"), str):
            answer["latest_invoice"] = copy.deepcopy(self.objects[answer["latest_invoice"]])
        for place in (answer, *(answer.get("items") or {}).get("data", [])):
            if place.get("discounts"):
                place["discounts"] = [copy.deepcopy(self.objects.get(name, name)) for name in place["discounts"]]
        _hide(answer, self.expand)
        if answer["object"] == "price":
            answer["product"] = copy.deepcopy(self.objects.get(answer["product"], answer["product"]))
        return answer


def _hide(found: Any, expand: list[str]) -> None:
    """Leave out what Stripe gives only where it is expanded."""
    if isinstance(found, list):
        for each in found:
            _hide(each, expand)
    elif isinstance(found, dict):
        for name in list(found):
            if name in _EXPANDED_ONLY and not any(path.endswith(name) for path in expand):
                del found[name]
            else:
                _hide(found[name], expand)


def make_event(kind: str, obj: Obj, stripe_id: str | None = None, **changes: Any) -> Obj:
    """Make a Stripe event of type ``kind`` about ``obj``."""
    name = stripe_id or f"evt_{next(_numbers)}"
    data = {"object": copy.deepcopy(obj)}
    return {"id": name, "object": "event", "type": kind, "created": int(time.time()), "data": data, **changes}


def sign_delivery(body: Obj | bytes, secret: str = SECRET, age: int = 0) -> tuple[bytes, str]:
    """Return the body and the signature header of a delivery."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    stamp = int(time.time()) - age
    mac = hmac.new(secret.encode(), f"{stamp}.".encode() + raw, hashlib.sha256).hexdigest()
    return raw, f"t={stamp},v1={mac}"


def add_member(app: Flask, name: str = "Ann") -> tuple[int, str]:
    """Create an account and return its id and ref."""
    ref = f"user{next(_numbers)}"
    with app.app_context(), db.write() as session:
        user = User(ref=ref, name=name, source="web", created_at=utc_time(START))
        session.add(user)
        session.flush()
        return user.id, ref


class SiteWithFakeStripe:
    """A site with an in-memory Stripe, and readers of its database."""

    def __init__(self, site: Settings) -> None:
        self.settings = with_settings(site, stripe_webhook_secret=SecretStr(SECRET))
        self.app = create_app(self.settings)
        self.stripe = FakeStripe()
        self.app.extensions["stripe"] = self.stripe

    def close(self) -> None:
        """Close the connections to the database."""
        with self.app.app_context():
            db.dispose()

    def deliver(self, body: Obj | bytes, **how: Any) -> Outcome:
        """Deliver a webhook event."""
        with self.app.app_context():
            return process_webhook(*sign_delivery(body, **how))

    def subscriber(self, **values: Any) -> tuple[int, Obj]:
        """Create a member whose subscription exists only at Stripe so far."""
        user_id, ref = add_member(self.app)
        return user_id, self.stripe.subscription(self.stripe.customer(ref), **values)

    def rows(self, model: type[T]) -> list[T]:
        """List all rows of a table."""
        with self.app.app_context(), db.read() as session:
            return list(session.scalars(select(model).order_by(text("id"))))

    def one(self, model: type[T]) -> T:
        """Load the only row of a table."""
        found = self.rows(model)
        assert len(found) == 1, found
        return found[0]

    def premium(self, user_id: int) -> bool:
        """Whether the member has premium, at the time of the fake Stripe's objects."""
        with self.app.app_context(), db.read() as session:
            return member_has_premium(session, user_id, utc_time(START + DAY))
