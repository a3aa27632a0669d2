"""The calls of a change of plan: what is sent to Stripe, and what is restored when Stripe refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from church.models import Price, Subscription
from church.services.billing.errors import StripeDownError, StripeRefusedError
from church.services.billing.stripe.plan_change_calls import (
    ChangeCost,
    ChangeLostError,
    keep_plan,
    move_later,
    move_now,
    preview,
    preview_renewal,
)
from tests.support.stripe_fixture import START, Obj, utc_time

FORMER = Price(stripe_id="price_former", interval="month", interval_count=1)
YEARLY = Price(stripe_id="price_year", interval="year", interval_count=1)
SCHEDULE: Obj = {"id": "sched_2", "phases": [{"start_date": 1, "end_date": 2, "discounts": [{"discount": "di_1"}]}]}
PAGE = "https://stripe.example/confirm"
DECLINED = StripeRefusedError("card_declined", None, 402)
CHALLENGED = StripeRefusedError("authentication_required", None, 402)


class ScriptedStripe:
    """Answers calls with the next of ``answers`` for their method, and keeps them; an error is raised."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Obj | Exception]] = {"subscription_schedules.create": [SCHEDULE] * 3}
        self.calls: list[tuple[str, tuple[str, ...], Obj]] = []

    def call(self, method: str, *ids: str, key: str | None = None, **params: Any) -> Obj:
        self.calls.append((method, ids, params))
        waiting = self.answers.get(method)
        answer = waiting.pop(0) if waiting else {}
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def methods(self) -> list[str]:
        return [method for method, *_ in self.calls]


@pytest.fixture
def stripe(at_work: Flask) -> ScriptedStripe:
    at_work.extensions["stripe"] = scripted = ScriptedStripe()
    return scripted


def row(**values: Any) -> Subscription:
    """A subscription that is stored nowhere."""
    defaults = {"status": "active", "currency": "usd", "quantity": 2, "trial_end": utc_time(START)}
    return Subscription(stripe_id="sub_1", stripe_item="si_1", stripe_price="price_now", **defaults | values)


# -- preview --------------------------------------------------------------------------------------------------------


def test_preview_gives_what_is_due_and_the_next_renewal(stripe: ScriptedStripe) -> None:
    """Only lines that charge something say how long the new period lasts."""
    lines = [
        {"amount": -300, "period": {"end": START + 900}},
        {"amount": 1000, "period": {"end": START + 500}},
    ]
    stripe.answers["invoices.create_preview"] = [
        {"total": 700, "amount_due": 700, "currency": "usd", "lines": {"data": lines}}
    ]
    assert preview(row(), "price_2", 7) == ChangeCost(700, 0, "usd", utc_time(START + 500))
    [(_, _, params)] = stripe.calls
    assert params["subscription"] == "sub_1"
    assert params["subscription_details"] == {
        "items": [{"id": "si_1", "price": "price_2", "quantity": 2}],
        "proration_behavior": "always_invoice", "proration_date": 7,
    }  # fmt: skip


def test_preview_of_a_negative_total_is_a_credit(stripe: ScriptedStripe) -> None:
    """Nothing is due, and a missing currency is the subscription's."""
    stripe.answers["invoices.create_preview"] = [{"total": -450, "amount_due": 0}]
    assert preview(row(), "price_2", 7) == ChangeCost(0, 450, "usd", None)


def test_preview_in_a_trial_is_free_without_a_call(stripe: ScriptedStripe) -> None:
    """Nothing was paid yet; the trial goes on."""
    assert preview(row(status="trialing"), "price_2", 7) == ChangeCost(0, 0, "usd", utc_time(START))
    assert stripe.calls == []


# -- changes --------------------------------------------------------------------------------------------------------


def test_move_now_charges_the_difference_as_previewed(stripe: ScriptedStripe) -> None:
    """In a trial there is no difference."""
    assert move_now(row(), "price_2", 7, None) is None
    assert move_now(row(status="trialing"), "price_2", 7, None) is None
    (method, ids, paid), (_, _, trial) = stripe.calls
    assert (method, ids) == ("subscriptions.update", ("sub_1",))
    assert (paid["payment_behavior"], paid["proration_behavior"], paid["proration_date"]) == (
        "error_if_incomplete", "always_invoice", 7,
    )  # fmt: skip
    assert trial["proration_behavior"] == "none"
    assert "proration_date" not in trial


def test_move_now_with_3d_secure_gives_the_page_to_confirm(stripe: ScriptedStripe) -> None:
    """The change is sent again, to wait for the confirmation."""
    waiting = {"latest_invoice": {"hosted_invoice_url": PAGE}, "pending_update": {"expires_at": 1}}
    stripe.answers["subscriptions.update"] = [CHALLENGED, waiting]
    assert move_now(row(), "price_2", 7, None) == PAGE
    assert [params["payment_behavior"] for *_, params in stripe.calls] == [
        "error_if_incomplete", "pending_if_incomplete",
    ]  # fmt: skip


def test_move_later_schedules_both_phases_with_the_discounts(stripe: ScriptedStripe) -> None:
    """The current price runs until the period ends; a phase without the discounts would lose them."""
    move_later(row(stripe_schedule="sched_1"), YEARLY, FORMER)
    assert stripe.methods == [
        "subscription_schedules.release", "subscription_schedules.create", "subscription_schedules.update",
    ]  # fmt: skip
    assert stripe.calls[0][1] == ("sched_1",)
    _, ids, params = stripe.calls[-1]
    assert (ids, params["end_behavior"]) == (("sched_2",), "release")
    running, coming = params["phases"]
    assert running == {
        "items": [{"price": "price_now", "quantity": 2}], "start_date": 1, "end_date": 2,
        "discounts": [{"discount": "di_1"}],
    }  # fmt: skip
    assert coming == {
        "items": [{"price": "price_year", "quantity": 2}], "duration": {"interval": "year", "interval_count": 1},
        "proration_behavior": "none", "discounts": [{"discount": "di_1"}],
    }  # fmt: skip


def test_move_later_keeps_the_other_items_and_changes_the_plans(stripe: ScriptedStripe) -> None:
    """An item that a phase leaves out would end; the first one is an add-on."""
    items = [
        {"price": "price_add", "quantity": 3, "discounts": [{"discount": "di_2"}], "tax_rates": ["txr_1"]},
        {"price": {"id": "price_now"}, "quantity": 2, "discounts": [], "tax_rates": []},
    ]
    made = {"id": "sched_2", "phases": [{"start_date": 1, "end_date": 2, "items": items}]}
    stripe.answers["subscription_schedules.create"] = [made]
    move_later(row(), YEARLY, None)
    running, coming = stripe.calls[-1][2]["phases"]
    add_on = {"price": "price_add", "quantity": 3, "discounts": [{"discount": "di_2"}], "tax_rates": ["txr_1"]}
    assert running["items"] == [add_on, {"price": "price_now", "quantity": 2}]
    assert coming["items"] == [add_on, {"price": "price_year", "quantity": 2}]


@pytest.mark.parametrize(
    ("answer", "amount"),
    [
        ({"total": 1440, "currency": "usd"}, 1440),
        ({"total": 1440, "currency": "eur"}, None),
        (StripeRefusedError("parameter_unknown", "preview_mode", 400), None),
        (StripeDownError(), None),
    ],
)
def test_preview_of_the_renewal_is_unknown_where_stripe_cant_say(
    stripe: ScriptedStripe, answer: Obj | Exception, amount: int | None
) -> None:
    stripe.answers["invoices.create_preview"] = [answer]
    assert preview_renewal(row(), "price_2") == amount
    [(_, _, params)] = stripe.calls
    assert params["preview_mode"] == "recurring"
    assert params["subscription_details"]["items"] == [{"id": "si_1", "price": "price_2", "quantity": 2}]


def test_keep_plan_releases_a_schedule_if_there_is_one(stripe: ScriptedStripe) -> None:
    """Without one there is nothing to cancel."""
    keep_plan(row())
    assert stripe.calls == []
    keep_plan(row(stripe_schedule="sched_1"))
    assert [(method, ids) for method, ids, _ in stripe.calls] == [("subscription_schedules.release", ("sched_1",))]


# -- refusals -------------------------------------------------------------------------------------------------------


def later(scheduled: Subscription) -> None:
    move_later(scheduled, YEARLY, FORMER)


def now(scheduled: Subscription) -> None:
    move_now(scheduled, "price_2", 7, FORMER)


@pytest.mark.parametrize(
    ("change", "method"), [(now, "subscriptions.update"), (later, "subscription_schedules.update")]
)
def test_refused_change_restores_the_former_schedule(
    stripe: ScriptedStripe, change: Callable[[Subscription], None], method: str
) -> None:
    """The refusal itself is raised; the last schedule made is for the former price."""
    stripe.answers[method] = [DECLINED]
    with pytest.raises(StripeRefusedError):
        change(row(stripe_schedule="sched_1"))
    phases = stripe.calls[-1][2]["phases"]
    assert phases[1]["items"][0]["price"] == "price_former"


def test_refused_schedule_is_released_because_it_would_block_others(stripe: ScriptedStripe) -> None:
    """An empty schedule is left over otherwise."""
    stripe.answers["subscription_schedules.update"] = [DECLINED]
    with pytest.raises(StripeRefusedError):
        move_later(row(), YEARLY, None)
    assert stripe.calls[-1][:2] == ("subscription_schedules.release", ("sched_2",))


@pytest.mark.parametrize(
    ("refusal", "by_card"), [(DECLINED, True), (StripeRefusedError("lock_timeout", None, 400), False)]
)
def test_schedule_that_cannot_be_restored_is_reported_lost(
    stripe: ScriptedStripe, refusal: StripeRefusedError, by_card: bool
) -> None:
    """The member reads whether the card was the reason."""
    stripe.answers["subscriptions.update"] = [refusal]
    stripe.answers["subscription_schedules.create"] = [StripeDownError()]
    with pytest.raises(ChangeLostError, match="scheduled change was cancelled") as raised:
        now(row(stripe_schedule="sched_1"))
    assert ("card" in str(raised.value)) is by_card


@pytest.mark.parametrize(("schedule", "lost"), [("sched_1", True), (None, False)])
def test_change_without_an_answer_says_what_may_have_happened(
    stripe: ScriptedStripe, schedule: str | None, lost: bool
) -> None:
    """Nothing can be restored while Stripe is down."""
    stripe.answers["subscriptions.update"] = [StripeDownError()]
    with pytest.raises(StripeDownError, match="may have been made") as raised:
        now(row(stripe_schedule=schedule))
    assert ("may be cancelled" in str(raised.value)) is lost
    assert stripe.methods[-1] == "subscriptions.update"
