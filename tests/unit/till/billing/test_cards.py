"""Test cards: how each pays now and at a renewal."""

from __future__ import annotations

import pytest

from church.till.billing.cards import ACTION_REQUIRED, BY_NAME, CARDS, DECLINED, PAID, attach_card, find_card, try_card
from tests.support.till_calls import pay


def test_decline_switch_declines_every_card(till):
    till.operate("knobs", decline="on")
    assert pay(till, till.checkout())[0] == 402


@pytest.mark.parametrize(
    ("name", "now", "later"),
    [
        ("good", PAID, PAID),
        ("declined", DECLINED, DECLINED),
        ("secure", ACTION_REQUIRED, PAID),
        ("always_secure", ACTION_REQUIRED, ACTION_REQUIRED),
        ("fails_later", PAID, DECLINED),
    ],
)
def test_card_pays_as_its_name_says(desk, name, now, later):
    card = BY_NAME[name]
    assert try_card(desk, card, present=True) == now
    assert try_card(desk, card, present=False) == later


def test_payment_without_a_card_is_declined(desk):
    assert try_card(desk, None, present=True) == DECLINED


def test_attached_card_is_found_by_its_payment_method(desk):
    for card in CARDS:
        method = attach_card(desk, card, "cus_1")
        assert (method["customer"], method["card"]["last4"]) == ("cus_1", card.last4)
        assert find_card(desk.get("payment_method", method["id"])) == card
    assert find_card(None) is None
