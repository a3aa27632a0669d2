"""Plans, customers, subscriptions, invoices, the ledger, webhook events, checkouts, free passes and notices."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from church.services.billing.stripe.event_types import shorten_payload
from ops.seed.load import Row
from ops.seed.people import is_deleted, make_address
from ops.seed.size import PART, Size, Span, scatter, share

_PAYER_EVERY = 8
"""One member in so many has paid at some time."""
_PLANS = (("friend", "Friend"), ("patron", "Patron"))
_CURRENCIES = (*["usd"] * 60, *["eur"] * 30, *["gbp"] * 8, *["jpy"] * 2)
_AMOUNTS = {"friend": {"usd": 500, "eur": 500, "gbp": 400, "jpy": 700},
            "patron": {"usd": 1200, "eur": 1200, "gbp": 1000, "jpy": 1800}}  # fmt: skip
_STATES = (*["active"] * 70, *["canceled"] * 24, *["trialing"] * 3, *["past_due"] * 2, "unpaid")
_EVENTS = ("invoice.paid", "customer.subscription.updated", "invoice_payment.paid", "customer.updated")
_KEEP_PAYLOADS = timedelta(days=90)


class Payers:
    """Who pays: payer ``number`` is one member, with one customer and one subscription."""

    def __init__(self, size: Size, span: Span) -> None:
        self.count = max(1, size.members // _PAYER_EVERY)
        self._span = span

    def user(self, number: int) -> int:
        return number * _PAYER_EVERY

    def plan(self, number: int) -> str:
        return _PLANS[scatter(number, 20) % 2][0]

    def currency(self, number: int) -> str:
        return _CURRENCIES[scatter(number, 21) % 100]

    def amount(self, number: int) -> int:
        return _AMOUNTS[self.plan(number)][self.currency(number)]

    def status(self, number: int) -> str:
        if is_deleted(self.user(number)):
            return "canceled"
        if number % 4 == 2 and number < 4 * PART:
            return "past_due"
        return "active" if number == 1 else _STATES[scatter(number, 22) % 100]

    def start(self, number: int) -> float:
        """The fraction of the site's growth at which the subscription began."""
        return number / (self.count + 1)

    def end(self, number: int) -> float:
        """The fraction at which it ended; more than 1 while it has not."""
        if self.status(number) != "canceled":
            return 2.0
        start = self.start(number)
        return start + (1 - start) * share(number, 23)

    def paying_at(self, fraction: float, mixed: float) -> int:
        """Choose somebody whose subscription is there at a fraction."""
        number = 1 + int(fraction * mixed * (self.count - 1))
        while number > 1 and self.end(number) < fraction:
            number -= 1
        return number


def _whole_second(moment: datetime) -> datetime:
    """As Stripe tells times."""
    return moment.replace(microsecond=0)


def list_products(span: Span) -> Iterator[Row]:
    for position, (plan, name) in enumerate(_PLANS):
        yield {
            "stripe_id": f"prod_{plan}", "plan": plan, "name": name, "description": f"Everything for a {plan}",
            "features": ["Premium pages", "Premium videos"], "position": position, "active": True,
            "fetched_at": span.now,
        }  # fmt: skip


def list_prices(span: Span) -> Iterator[Row]:
    for plan, amounts in _AMOUNTS.items():
        for currency, amount in amounts.items():
            yield {
                "stripe_id": f"price_{plan}_{currency}", "stripe_product": f"prod_{plan}", "amount": amount,
                "currency": currency, "interval": "month", "interval_count": 1, "trial_days": 0,
                "tax_behavior": "inclusive", "active": True, "created_at": span.start, "fetched_at": span.now,
            }  # fmt: skip


def list_customers(payers: Payers, span: Span) -> Iterator[Row]:
    for number in range(1, payers.count + 1):
        yield {
            "id": number, "stripe_id": f"cus_{number:014}", "user_id": payers.user(number), "card_brand": "visa",
            "card_last4": f"{number % 10_000:04}", "card_expires": "05/2031",
            "created_at": span.at(payers.start(number)), "fetched_at": span.now,
        }  # fmt: skip


def list_subscriptions(payers: Payers, span: Span) -> Iterator[Row]:
    month = timedelta(days=30)
    for number in range(1, payers.count + 1):
        status, started = payers.status(number), _whole_second(span.at(payers.start(number)))
        ended = _whole_second(span.at(payers.end(number))) if status == "canceled" else None
        last = ended or span.now
        period = _whole_second(max(started, last - month * share(number, 24)))
        plan, currency, amount = payers.plan(number), payers.currency(number), payers.amount(number)
        yield {
            "id": number, "stripe_id": f"sub_{number:014}", "customer_id": number, "user_id": payers.user(number),
            "status": status, "plan": plan, "stripe_item": f"si_{number:014}",
            "stripe_price": f"price_{plan}_{currency}", "stripe_product": f"prod_{plan}", "quantity": 1,
            "plan_amount": amount, "amount": amount, "renewal_amount": None if ended else amount,
            "renewal_at": None if ended else period + month, "renewal_asked_at": span.now, "currency": currency,
            "interval": "month", "interval_count": 1, "started_at": started, "current_period_start": period,
            "current_period_end": period + month, "ended_at": ended,
            "past_due_since": period if status == "past_due" else None, "latest_invoice": None,
            "created_at": started, "fetched_at": span.now,
        }  # fmt: skip


# -- money that moved -------------------------------------------------------------------------------------------------


class Ledger:
    """The ledger's entries by number. Of a hundred, three are refunds; of a thousand, one or two are disputes."""

    def __init__(self, size: Size, span: Span, payers: Payers) -> None:
        self.count = size.ledger
        self._span = span
        self._payers = payers

    def kind(self, number: int) -> str:
        if number % 1000 in (500, 510):
            return "dispute" if number % 1000 == 500 else "dispute_reversal"
        if number % 1000 == 543:
            return "refund_failed"
        return "refund" if number % 100 in (33, 66, 99) else "payment"

    def payment(self, number: int) -> int:
        """The number of the payment that an entry is about: its own, or an earlier one."""
        back = {"payment": 0, "refund": 7, "dispute": 7, "dispute_reversal": 17, "refund_failed": 17}
        return number - back[self.kind(number)]

    def payer(self, number: int) -> int:
        payment = self.payment(number)
        return self._payers.paying_at(payment / (self.count + 1), share(payment, 25))

    def source(self, number: int) -> str:
        return {
            "payment": f"in_payment:inpay_{number:014}", "refund": f"refund:re_{number:014}",
            "refund_failed": f"refund_failed:re_{number - 10:014}", "dispute": f"dispute:dp_{number:014}:withdrawn",
            "dispute_reversal": f"dispute:dp_{number - 10:014}:reinstated",
        }[self.kind(number)]  # fmt: skip

    def entries(self) -> Iterator[Row]:
        for number in range(1, self.count + 1):
            kind, payment, payer = self.kind(number), self.payment(number), self.payer(number)
            sign = -1 if kind in ("refund", "dispute") else 1
            yield {
                "source_id": self.source(number), "kind": kind, "amount": sign * self._payers.amount(payer),
                "currency": self._payers.currency(payer), "user_id": self._payers.user(payer),
                "stripe_customer": f"cus_{payer:014}",
                "stripe_invoice": f"in_{number:014}" if kind == "payment" else None,
                "stripe_payment": f"pi_{payment:014}", "occurred_at": self._span.at(number / (self.count + 1)),
            }  # fmt: skip

    def invoices(self) -> Iterator[Row]:
        """The paid invoices of all payments."""
        for number in range(1, self.count + 1):
            if self.kind(number) == "payment":
                payer = self.payer(number)
                yield self._invoice(number, payer, paid=True)
        for payer in range(1, self._payers.count + 1):
            if self._payers.status(payer) in ("past_due", "unpaid"):
                yield self._invoice(self.count + payer, payer, paid=False)

    def _invoice(self, number: int, payer: int, *, paid: bool) -> Row:
        amount, at = self._payers.amount(payer), _whole_second(self._span.at(min(1.0, number / (self.count + 1))))
        return {
            "stripe_id": f"in_{number:014}", "customer_id": payer, "user_id": self._payers.user(payer),
            "stripe_subscription": f"sub_{payer:014}", "number": f"CH-{number:08}",
            "status": "paid" if paid else "open", "currency": self._payers.currency(payer), "total": amount,
            "amount_paid": amount if paid else 0,
            "amount_remaining": 0 if paid else amount, "attempts": 1, "problem": None if paid else "payment_failed",
            "hosted_url": f"https://invoice.stripe.example/i/{number}", "created_at": at,
            "paid_at": at if paid else None, "fetched_at": at,
        }  # fmt: skip

    def events(self, size: Size) -> Iterator[Row]:
        """Webhook events; those before the last 90 days have an outline in place of their payload."""
        old = self._span.now - _KEEP_PAYLOADS
        for number in range(1, size.events + 1):
            at = self._span.at(number / (size.events + 1))
            about = max(1, number * self.count // size.events)
            kind = _EVENTS[number % len(_EVENTS)]
            payload = self._payload(number, kind, about, int(at.timestamp()))
            failed = number > size.events - 30 and number % 10 == 0
            yield {
                "stripe_id": payload["id"], "type": kind, "object_id": payload["data"]["object"]["id"],
                "payload": shorten_payload(payload) if at < old else payload,
                "state": "failed" if failed else "processed", "reason": "Stripe did not answer" if failed else None,
                "attempts": 1, "created_at": at, "received_at": at + timedelta(seconds=1),
                "processed_at": None if failed else at + timedelta(seconds=2),
                "request_id": f"{scatter(number, 26):016x}",
            }  # fmt: skip

    def _payload(self, number: int, kind: str, about: int, created: int) -> dict[str, Any]:
        payer = self.payer(about)
        customer, thing = f"cus_{payer:014}", kind.rpartition(".")[0].rpartition(".")[2]
        name = {"invoice": f"in_{about:014}", "subscription": f"sub_{payer:014}", "customer": customer}
        obj = {
            "id": name.get(thing, f"inpay_{about:014}"), "object": thing, "customer": customer,
            "amount_paid": self._payers.amount(payer), "currency": self._payers.currency(payer), "created": created,
            "customer_email": make_address(self._payers.user(payer)), "livemode": False,
            "lines": {"object": "list", "data": [{"object": "line_item", "quantity": 1, "period": {"start": created}}]},
        }  # fmt: skip
        return {"id": f"evt_{number:014}", "object": "event", "type": kind, "created": created, "data": {"object": obj}}


# -- beside it --------------------------------------------------------------------------------------------------------


def list_checkouts(payers: Payers, span: Span) -> Iterator[Row]:
    for number in range(1, payers.count + 1):
        at = span.at(payers.start(number))
        yield {
            "ref": f"{scatter(number, 27):016x}", "user_id": payers.user(number),
            "stripe_price": f"price_{payers.plan(number)}_{payers.currency(number)}",
            "stripe_session": f"cs_{number:014}", "state": "completed", "created_at": at, "finished_at": at,
        }  # fmt: skip


def list_grants(size: Size, span: Span) -> Iterator[Row]:
    """Free passes of all years; most have ended."""
    for number in range(1, max(PART, size.members // 200) + 1):
        at = span.at(share(number, 28))
        yield {
            "user_id": 1 + scatter(number, 29) % size.members, "granted_by": 1, "reason": "Helped with the garden",
            "created_at": at, "until": at + timedelta(days=30 + number % 300),
            "revoked_at": at + timedelta(days=3) if number % 40 == 0 else None,
        }  # fmt: skip


def list_notices(payers: Payers, span: Span) -> Iterator[Row]:
    for number in range(1, payers.count // 4 + 1):
        yield {"key": f"renewal:sub_{number:014}:1", "created_at": span.now - timedelta(days=700) * share(number, 30)}


def list_unmatched(payers: Payers, span: Span) -> Iterator[Row]:
    for number in range(1, max(PART, payers.count // 600) + 1):
        at = span.now - timedelta(days=60) * share(number, 31)
        yield {
            "stripe_subscription": f"sub_other{number:06}", "stripe_customer": f"cus_other{number:06}",
            "email": f"stranger-{number}@church.example", "email_key": f"stranger-{number}@church.example",
            "plan": "friend", "status": "active", "amount": 500, "currency": "eur", "interval": "month",
            "started_at": at, "created_at": at,
        }  # fmt: skip
