"""The till inside a transaction, for tests that call its billing directly."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from church.till.billing.cards import BY_NAME, attach_card
from church.till.billing.subscribing import start_subscription
from church.till.desk import Till
from church.till.store import Obj
from tests.support.till_fixture import FRIEND, InProcessTill


@pytest.fixture
def desk(till: InProcessTill) -> Iterator[Till]:
    """The till's state, in a transaction."""
    with till.desk.store.transaction():
        yield till.desk


@pytest.fixture
def subscribe(desk: Till) -> Callable[..., Obj]:
    """Start a subscription of a new customer who pays with a card."""

    def start(card: str = "good", price: str = FRIEND, quantity: int = 1, **values: object) -> Obj:
        customer = desk.add(desk.make("customer", email="payer@site.example", invoice_prefix="TEST"))
        method = attach_card(desk, BY_NAME[card], customer["id"])["id"]
        return start_subscription(desk, customer["id"], desk.get("price", price), quantity, method, **values)

    return start
