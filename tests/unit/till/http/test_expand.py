"""Expanded responses, and paths that are refused."""

from __future__ import annotations

import pytest
import stripe

from tests.support.till_fixture import FRIEND


def test_expand_loads_objects_and_refuses_unknown_paths(till):
    price = till.stripe.v1.prices.retrieve(FRIEND, {"expand": ["product"]})
    assert price.product.name == "Friend"
    listed = till.stripe.v1.prices.list({"expand": ["data.product"]})
    assert {one.product.name for one in listed.data} == {"Friend", "Patron"}
    for path in ("colour", "a.b.c.d.e"):
        with pytest.raises(stripe.InvalidRequestError):
            till.stripe.v1.prices.retrieve(FRIEND, {"expand": [path]})


def test_expand_deeper_than_four_levels_is_refused(till):
    invoice = till.latest_invoice(till.subscribe()["id"])["id"]
    path = "payments.data.payment.payment_intent.latest_charge"
    assert till.stripe.v1.invoices.retrieve(invoice, {"expand": [path]}).id == invoice
    with pytest.raises(stripe.InvalidRequestError, match="4 levels"):
        till.stripe.v1.invoices.retrieve(invoice, {"expand": [f"{path}.refunds"]})
