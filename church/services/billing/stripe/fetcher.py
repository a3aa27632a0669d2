"""How an event's objects are fetched: within a time, and only while they turn out to be a member's."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from church.services.billing.errors import MissingError, NotOursError, StripeDownError, StripeRefusedError
from church.services.billing.stripe import owners as stripe_owners
from church.services.billing.stripe.client import Gateway, Obj, every
from church.services.billing.stripe.facts import Facts
from church.services.billing.stripe.objects import owner_ref

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
