"""Changes of plan that wait for their payment."""

from __future__ import annotations

import pytest

from church.till.billing.changing import apply_change_when_paid, prepare_change
from church.till.billing.cycle import process_due
from church.till.billing.holding import drop_pending_change
from tests.support.till_calls import item
from tests.support.till_fixture import PATRON


def upgrade(desk, subscription):
    """Upgrade as soon as the proration is paid."""
    items = [{**item(subscription), "price": desk.get("price", PATRON)}]
    apply_change_when_paid(desk, subscription, prepare_change(desk, subscription, items, "always_invoice", desk.now))
    return desk.get("subscription", subscription["id"])


def types(desk):
    return [event["type"] for event in desk.store.all("event")]


def test_change_that_is_paid_is_applied_at_once(desk, subscribe):
    changed = upgrade(desk, subscribe())
    assert (item(changed)["price"]["id"], changed["pending_update"]) == (PATRON, None)
    assert desk.get("invoice", changed["latest_invoice"])["status"] == "paid"
    assert "customer.subscription.pending_update_applied" not in types(desk)  # it never waited


@pytest.mark.parametrize("card", ["fails_later", "always_secure"])
def test_change_that_is_not_paid_waits_and_is_not_retried(desk, subscribe, card):
    before = subscribe(card)
    changed = upgrade(desk, before)
    assert (item(changed)["price"], changed["status"]) == (item(before)["price"], "active")
    [waiting] = changed["pending_update"]["subscription_items"]
    assert (waiting["price"]["id"], changed["pending_update"]["expires_at"] - desk.now) == (PATRON, 23 * 3600)
    invoice = desk.get("invoice", changed["latest_invoice"])
    assert (invoice["status"], invoice["next_payment_attempt"]) == ("open", None)


def test_change_that_stays_unpaid_expires_with_its_invoice(desk, subscribe):
    changed = upgrade(desk, subscribe("fails_later"))
    process_due(desk, changed["pending_update"]["expires_at"])
    stored = desk.get("subscription", changed["id"])
    assert (stored["pending_update"], stored["status"]) == (None, "active")
    assert desk.get("invoice", changed["latest_invoice"])["status"] == "void"


def test_drop_without_a_pending_change_does_nothing(desk, subscribe):
    subscription = subscribe()
    before = types(desk)
    drop_pending_change(desk, subscription)
    assert types(desk) == before
