"""Ask Stripe what the next invoice of a subscription takes, or reckon it where Stripe can't say.

Source: https://docs.stripe.com/api/invoices/create_preview. Asked when a subscription changes, never by a page.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from church.models.billing import ENDED_STATUSES
from church.services.billing.errors import StripeDownError, StripeRefusedError
from church.services.billing.stripe.client import BUDGET, Gateway, StripeObject
from church.services.billing.stripe.objects import get_id, get_list, get_nested, to_datetime
from church.services.billing.stripe.reckon_renewal import find_renewal_time, reckon_renewal

_NEVER_RENEWS = ENDED_STATUSES | {"incomplete", "paused"}
_NO_INVOICE = "invoice_upcoming_none"
_CUSTOMER = ("discount.source.coupon.applies_to",)
_ITEM_COUPONS = "items.data.discounts.source.coupon"  # deeper than Stripe itself expands


@dataclass(frozen=True)
class Renewal:
    """The next invoice: when it is made and what it takes; ``amount`` is None where nothing is taken, or unknown."""

    at: datetime | None
    amount: int | None
    basis: str
    is_sure: bool = True
    """Whether Stripe answered. If not, an older amount of the same basis is better than this one."""


def make_basis(obj: StripeObject) -> str:
    """Digest what the amount of the next invoice depends on, as far as the subscription itself tells.

    Ids only, so that expanded objects and those of a list give the same.
    """
    items = [
        [item.get("id"), get_id(item.get("price")), item.get("quantity"), item.get("current_period_end"),
         _ids(item.get("discounts")), _ids(item.get("tax_rates"))]
        for item in get_list(obj, "items")
    ]  # fmt: skip
    parts = [
        items, obj.get("currency"), _ids(obj.get("discounts")), _ids(obj.get("default_tax_rates")),
        bool(get_nested(obj, "automatic_tax", "enabled")), get_id(obj.get("schedule")), renews(obj),
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _ids(found: Any) -> list[str | None]:
    return [get_id(each) for each in found or []]


def renews(obj: StripeObject) -> bool:
    """Whether a next invoice will be charged: not for one that ends before, nor while collection is paused."""
    if obj.get("status") in _NEVER_RENEWS or obj.get("pause_collection") or obj.get("cancel_at_period_end"):
        return False
    at, ends = find_renewal_time(obj), to_datetime(obj.get("cancel_at"))
    return at is None or ends is None or ends > at


def _read_amount(preview: StripeObject, obj: StripeObject) -> int | None:
    """Read what a preview takes. One without lines, or in another currency, is no invoice of this subscription."""
    if not get_list(preview, "lines") or preview.get("currency", obj.get("currency")) != obj.get("currency"):
        return None
    due = preview.get("amount_due")
    amount = due if isinstance(due, int) else preview.get("total")
    return amount if isinstance(amount, int) else None


def _lacks_item_coupon(obj: StripeObject) -> bool:
    """Whether the coupon of an item's discount is only an id."""
    discounts = (discount for item in get_list(obj, "items") for discount in item.get("discounts") or [])
    return any(isinstance(get_nested(discount, "source", "coupon") or discount, str) for discount in discounts)


class _UnderWay:
    """Previews that a process is waiting for. Events that come meanwhile share the next one of the same subscription.

    They can't share the one under way: Stripe may have made it before the change that they tell of.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[tuple[int, str, str], Future[Renewal]] = {}
        self._next: dict[tuple[int, str, str], Future[Renewal]] = {}

    def share(self, key: tuple[int, str, str], ask: Callable[[], Renewal], seconds: float) -> Renewal:
        """Return an answer of ``ask``, or of another event, that was asked for after this call. Raises TimeoutError."""
        with self._lock:
            before = self._running.get(key)
            answer = None if before is None else self._next.get(key)
            if is_first := answer is None:
                answer = Future()
                (self._running if before is None else self._next)[key] = answer
        if not is_first:
            return answer.result(max(0.0, seconds))
        try:
            if before is not None:
                before.exception(max(0.0, seconds))  # wait for its end
            renewal = ask()
        except BaseException:  # of a greenlet that was ended: the others must not wait on
            answer.set_exception(TimeoutError())
            raise
        else:
            answer.set_result(renewal)
        finally:
            with self._lock:
                self._leave(key, answer)
        return renewal

    def _leave(self, key: tuple[int, str, str], answer: Future[Renewal]) -> None:
        """Forget an answer; the one that waited for its end is under way now."""
        if self._running.get(key) is not answer:
            self._next.pop(key, None)
        elif (follower := self._next.pop(key, None)) is not None:
            self._running[key] = follower
        else:
            del self._running[key]


_UNDER_WAY = _UnderWay()


class RenewalFetcher:
    """Fetches renewals for one event; ``time_left`` returns the seconds that are left for it."""

    def __init__(self, stripe: Gateway, time_left: Callable[[], float]) -> None:
        self._stripe = stripe
        self._time_left = time_left

    def fetch(self, obj: StripeObject, customer: StripeObject | None, *, shared: bool = False) -> Renewal:
        """Fetch the renewal of a subscription; ``customer`` spares a call where it was fetched before.

        ``shared`` takes an answer that other events with the same subscription wait for, too. Never fails: an event
        must not wait for an amount.
        """
        at, basis = find_renewal_time(obj), make_basis(obj)
        if not renews(obj):
            return Renewal(at, None, basis)
        if not shared:
            return self._ask(obj, customer, at, basis)
        key = (id(self._stripe), str(obj["id"]), basis)
        try:
            return _UNDER_WAY.share(key, lambda: self._ask(obj, customer, at, basis), self._time_left())
        except TimeoutError:
            return Renewal(at, self._reckon(obj, customer), basis, is_sure=False)

    def _ask(self, obj: StripeObject, customer: StripeObject | None, at: datetime | None, basis: str) -> Renewal:
        try:
            found = self._call("invoices.create_preview", subscription=obj["id"])
        except StripeRefusedError as error:
            if error.code == _NO_INVOICE:
                return Renewal(at, None, basis)
            return Renewal(at, self._reckon(obj, customer), basis)
        except StripeDownError:
            return Renewal(at, self._reckon(obj, customer), basis, is_sure=False)
        amount = _read_amount(found, obj)
        return Renewal(at, self._reckon(obj, customer) if amount is None else amount, basis)

    def _reckon(self, obj: StripeObject, customer: StripeObject | None) -> int | None:
        try:
            return self._reckon_with(obj, customer)
        except StripeDownError:
            return None  # without the customer's discount it may be wrong

    def _reckon_with(self, obj: StripeObject, customer: StripeObject | None) -> int | None:
        if customer is None or isinstance(get_nested(customer, "discount", "source", "coupon"), str):
            customer = self._get("customers.retrieve", get_id(obj.get("customer")), _CUSTOMER) or customer
        self._add_coupons([(customer or {}).get("discount")], are_whole=True)
        self._add_coupons(obj.get("discounts"), are_whole=True)
        for item in get_list(obj, "items"):
            self._add_coupons(item.get("discounts"), are_whole=False)
        if _lacks_item_coupon(obj):
            more = self._get("subscriptions.retrieve", obj["id"], (_ITEM_COUPONS,))
            obj = {**obj, "items": more["items"]} if more is not None and not _lacks_item_coupon(more) else obj
        return reckon_renewal(obj, customer)

    def _add_coupons(self, discounts: Any, *, are_whole: bool) -> None:
        """Fetch coupons that are not expanded; and unless they ``are_whole``, the products that they apply to."""
        for discount in discounts or []:
            source = get_nested(discount, "source")
            coupon = get_nested(source, "coupon")
            if isinstance(coupon, str) or not (are_whole or coupon is None or "applies_to" in coupon):
                source["coupon"] = self._get("coupons.retrieve", get_id(coupon), ("applies_to",)) or coupon

    def _get(self, method: str, stripe_id: str | None, expand: tuple[str, ...]) -> StripeObject | None:
        """Fetch an object for the reckoning, expanded where Stripe does that; None where it has none."""
        for more in ({"expand": list(expand)}, {}):
            try:
                return self._call(method, stripe_id, **more) if stripe_id else None
            except StripeRefusedError as error:
                if not error.is_about_expansion:
                    return None
        return None

    def _call(self, method: str, *ids: str, **params: Any) -> StripeObject:
        if self._time_left() < BUDGET:
            raise StripeDownError
        return self._stripe.call(method, *ids, **params)
