"""Test cards: how each pays now and at a renewal."""

from __future__ import annotations


def pay(till, session, **fields):
    return till.post(
        f"/checkout/{session['id']}", do="pay", **{"card": "good", "email": "payer@site.example", **fields}
    )


def test_decline_switch_declines_every_card(till):
    till.operate("knobs", decline="on")
    assert pay(till, till.checkout())[0] == 402
