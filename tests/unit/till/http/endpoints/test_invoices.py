"""Endpoints of invoices, and the preview of the next one."""

from __future__ import annotations

import pytest
import stripe

from church.till.billing.periods import DAY
from tests.support.till_calls import item, to
from tests.support.till_fixture import PATRON


def test_preview_without_a_change_is_the_next_renewal(till):
    subscription = till.subscribe()
    preview = till.stripe.v1.invoices.create_preview({"subscription": subscription["id"]})
    assert (preview.amount_due, preview.billing_reason, preview.status) == (500, "upcoming", "draft")
    assert preview.lines.data[0].period.start == item(subscription)["current_period_end"]
    till.stripe.v1.subscriptions.update(subscription["id"], {"cancel_at_period_end": True})
    with pytest.raises(stripe.InvalidRequestError) as caught:
        till.stripe.v1.invoices.create_preview({"subscription": subscription["id"]})
    assert caught.value.code == "invoice_upcoming_none"


def test_proration_date_outside_the_period_is_clamped(till):
    subscription = till.subscribe()
    early = item(subscription)["current_period_start"] - 40 * DAY
    details = to(subscription, PATRON, proration_behavior="always_invoice", proration_date=early)
    preview = till.stripe.v1.invoices.create_preview(
        {"subscription": subscription["id"], "subscription_details": details}
    )
    assert [line.amount for line in preview.lines.data] == [-500, 1200]


def test_open_invoice_is_retried_voided_or_uncollectible(till):
    open_ones = []
    for _ in range(3):
        subscription = till.subscribe(card="fails_later")
        open_ones.append(subscription["id"])
    while len(till.stripe.v1.invoices.list({"status": "open"}).data) < 3:  # each renews at the second at which it began
        till.operate("clock", to="renewal")
    tried, void, lost = (till.latest_invoice(one)["id"] for one in open_ones)
    with pytest.raises(stripe.CardError):
        till.stripe.v1.invoices.pay(tried)
    assert till.stripe.v1.invoices.retrieve(tried).attempt_count == 2
    assert till.stripe.v1.invoices.void_invoice(void).status == "void"
    assert till.stripe.v1.invoices.mark_uncollectible(lost).status == "uncollectible"
    assert till.events()[-2:] == ["invoice.voided", "invoice.marked_uncollectible"]
    with pytest.raises(stripe.InvalidRequestError):
        till.stripe.v1.invoices.void_invoice(lost)
    assert len(till.stripe.v1.invoices.list({"status": "open"}).data) == 1
