"""Charges, successful or declined, and their payment intent."""

from __future__ import annotations

import pytest

from church.till.billing.cards import ACTION_REQUIRED, BY_NAME, DECLINED, attach_card
from church.till.billing.charging import record_charge, record_failed_charge


@pytest.fixture
def intent(desk):
    return desk.add(desk.make("payment_intent", amount=500, currency="usd", customer="cus_1"))


def test_charge_succeeds_with_its_balance_transaction(desk, intent):
    charge = record_charge(desk, intent, attach_card(desk, BY_NAME["secure"], "cus_1"))
    assert (charge["status"], charge["paid"], charge["amount_captured"]) == ("succeeded", True, 500)
    assert charge["payment_method_details"]["card"]["last4"] == "3155"
    transaction = desk.get("balance_transaction", charge["balance_transaction"])
    assert (transaction["net"], transaction["source"]) == (500, charge["id"])
    stored = desk.get("payment_intent", intent["id"])
    assert (stored["status"], stored["amount_received"], stored["latest_charge"]) == ("succeeded", 500, charge["id"])


def test_declined_payment_is_a_failed_charge_and_the_intent_needs_another_card(desk, intent):
    record_failed_charge(desk, intent, None, DECLINED)
    stored = desk.get("payment_intent", intent["id"])
    charge = desk.get("charge", stored["latest_charge"])
    assert (charge["status"], charge["paid"], charge["failure_code"]) == ("failed", False, "card_declined")
    assert (stored["status"], stored["last_payment_error"]["charge"]) == ("requires_payment_method", charge["id"])


def test_payment_that_needs_3d_secure_is_no_charge(desk, intent):
    record_failed_charge(desk, intent, None, ACTION_REQUIRED)
    stored = desk.get("payment_intent", intent["id"])
    assert (stored["status"], stored["next_action"]["type"]) == ("requires_action", "redirect_to_url")
    assert list(desk.store.all("charge")) == []


def test_charge_after_a_decline_clears_the_error(desk, intent):
    record_failed_charge(desk, intent, None, DECLINED)
    record_charge(desk, intent, None)
    assert desk.get("payment_intent", intent["id"])["last_payment_error"] is None
