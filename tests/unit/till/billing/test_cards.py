"""Test cards: how each pays now and at a renewal."""

from __future__ import annotations

from tests.support.till_calls import pay


def test_decline_switch_declines_every_card(till):
    till.operate("knobs", decline="on")
    assert pay(till, till.checkout())[0] == 402
