"""Changing the plan: the preview of its cost, and the change."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest

from church.errors import ConflictError, FieldErrors
from church.models import LedgerEntry, User
from church.services import billing
from church.services.billing import plan_change
from church.services.billing.errors import StripeDownError, StripeRefusedError
from church.services.billing.plan_change import PREVIEW_SECONDS, CardRefusedError
from church.services.billing.stripe.plan_change_calls import ChangeLostError
from church.services.sessions import SignedIn
from tests.support.membership_fixture import FRIEND, FRIEND_YEAR, PATRON, PATRON_YEAR, Membership

pytestmark = pytest.mark.sqlite_alone

DAY = 86400


def preview(membership: Membership, member: SignedIn, price: str) -> plan_change.ChangePreview:
    with membership.app.app_context():
        return billing.preview_change(member, price)


def change(membership: Membership, member: SignedIn, price: str, at: int | None = None) -> plan_change.Changed:
    at = preview(membership, member, price).at if at is None else at
    with membership.app.app_context():
        return billing.change_plan(member, price, at)


def subscription(membership: Membership) -> dict[str, Any]:
    [found] = membership.till.stripe.v1.subscriptions.list().data
    return found.to_dict(for_json=True)


def price_of(membership: Membership) -> str:
    return str(subscription(membership)["items"]["data"][0]["price"]["id"])


def test_upgrade_costs_the_difference_and_starts_now(membership: Membership, user: User) -> None:
    member = membership.subscribed(user)
    shown = preview(membership, member, PATRON)
    assert (shown.kind, shown.plan_name, shown.due, shown.pays, shown.when) == ("now", "Patron", "$7.00", True, None)
    assert (shown.amount, shown.interval, shown.credit) == ("$12.00", "month", "")
    assert price_of(membership) == FRIEND  # a preview changes nothing
    assert change(membership, member, PATRON, shown.at) == plan_change.Changed("now", "Patron", None)
    assert membership.status(user).price == PATRON  # stored before any webhook
    membership.tell()
    assert [entry.amount for entry in membership.rows(LedgerEntry)] == [500, 700]


def test_upgrade_in_mid_period_costs_half_the_difference(membership: Membership, user: User) -> None:
    member = membership.subscribed(user)
    length = membership.till.desk.now + 15 * DAY
    [item] = subscription(membership)["items"]["data"]
    left = (item["current_period_end"] - length) / (item["current_period_end"] - item["current_period_start"])
    row = membership.till.stripe.v1.invoices.create_preview(
        {
            "subscription": subscription(membership)["id"],
            "subscription_details": {
                "items": [{"id": item["id"], "price": PATRON}],
                "proration_behavior": "always_invoice",
                "proration_date": length,
            },
        }
    )
    assert abs(row.amount_due - 700 * left) <= 1
    assert preview(membership, member, PATRON).due == "$7.00"


def test_downgrade_costs_nothing_and_starts_when_the_period_ends(membership: Membership, user: User) -> None:
    member = membership.subscribed(user)
    change(membership, member, PATRON)
    shown = preview(membership, member, FRIEND)
    assert (shown.kind, shown.due, shown.pays) == ("later", "$0.00", False)
    end = subscription(membership)["items"]["data"][0]["current_period_end"]
    assert shown.when is not None
    assert int(shown.when.timestamp()) == end
    assert change(membership, member, FRIEND, shown.at).when == shown.when
    assert price_of(membership) == PATRON
    status = membership.status(user)
    assert (status.state, status.next_price) == ("changing", FRIEND)
    assert status.sentence.startswith("Changes to Friend ")
    membership.till.operate("clock", days="32")
    membership.tell()
    status = membership.status(user)
    assert (status.price, status.next_price, status.state) == (FRIEND, None, "active")


def test_scheduled_change_can_be_cancelled_or_replaced(membership: Membership, user: User) -> None:
    member = membership.subscribed(user)
    change(membership, member, PATRON_YEAR)
    change(membership, member, FRIEND)
    assert preview(membership, member, PATRON_YEAR).kind == "keep"
    assert change(membership, member, PATRON_YEAR).kind == "keep"
    assert membership.status(user).next_price is None
    change(membership, member, FRIEND)
    change(membership, member, FRIEND_YEAR)
    assert membership.status(user).next_price == FRIEND_YEAR


def test_interval_change_within_a_plan_starts_with_the_next_period(membership: Membership, user: User) -> None:
    member = membership.subscribed(user)
    assert preview(membership, member, FRIEND_YEAR).kind == "later"
    assert preview(membership, member, PATRON_YEAR).kind == "now"
    yearly = membership.subscribed(membership.add("bea@church.example"), FRIEND_YEAR)
    assert preview(membership, yearly, FRIEND).kind == "later"  # although monthly payments cost more in a year


def test_monthly_upgrade_from_a_yearly_plan_keeps_a_credit(membership: Membership, user: User) -> None:
    member = membership.subscribed(user, FRIEND_YEAR)
    shown = preview(membership, member, PATRON)
    assert (shown.kind, shown.due, shown.credit) == ("now", "$0.00", "$38.00")
    assert shown.renews is not None
    assert shown.renews.timestamp() - shown.at < 32 * DAY


def test_change_in_a_trial_is_immediate_and_free(membership: Membership, user: User) -> None:
    member = membership.subscribed(user, PATRON)
    shown = preview(membership, member, FRIEND)
    assert (shown.kind, shown.due) == ("now", "$0.00")
    change(membership, member, FRIEND, shown.at)
    status = membership.status(user)
    assert (status.price, status.state) == (FRIEND, "trialing")
    membership.tell()
    assert membership.rows(LedgerEntry) == []


def test_upgrade_with_a_declined_card_changes_nothing(membership: Membership, user: User) -> None:
    member = membership.subscribed(user, card="fails_later")
    with pytest.raises(CardRefusedError):
        change(membership, member, PATRON)
    membership.tell()
    status = membership.status(user)
    assert (status.price, status.state) == (FRIEND, "active")


@pytest.mark.parametrize("confirmed", [True, False])
def test_upgrade_with_3d_secure_returns_the_page_to_confirm(
    membership: Membership, user: User, confirmed: bool
) -> None:
    member = membership.subscribed(user)
    portal = membership.gateway.call("billing_portal.sessions.create", customer=subscription(membership)["customer"])
    membership.till.post("/portal/" + portal["id"], do="card", card="always_secure")
    change(membership, member, FRIEND_YEAR)
    found = change(membership, member, PATRON)
    assert (found.kind, price_of(membership)) == ("confirm", FRIEND)
    banner = membership.status(user).banner  # stored before any webhook
    assert banner is not None
    assert (banner.pay_url, banner.way) == (found.confirm_at, "Confirm payment")
    assert {answer.status_code for answer in membership.tell()} == {200}
    assert membership.status(user).state == "active"
    if confirmed:
        membership.till.post(urlsplit(str(found.confirm_at)).path, do="pay")
    else:
        membership.till.operate("clock", days="1")
    membership.tell()
    status = membership.status(user)
    assert (status.price, status.state, status.banner) == (PATRON if confirmed else FRIEND, "active", None)
    assert [entry.amount for entry in membership.rows(LedgerEntry)] == ([500, 700] if confirmed else [500])


def refuse(membership: Membership, monkeypatch: pytest.MonkeyPatch, method: str, times: int = 1, **error: Any) -> None:
    """Make Stripe refuse the first ``times`` calls of a method, or not answer them."""
    real, left = membership.gateway.call, [times]

    def call(name: str, *ids: str, key: str | None = None, **params: Any) -> Any:
        if name == method and left[0]:
            left[0] -= 1
            raise StripeRefusedError("refused", None, 400) if not error else error["with_"]
        return real(name, *ids, key=key, **params)

    monkeypatch.setattr(membership.gateway, "call", call)


def test_declined_change_restores_the_scheduled_change(membership: Membership, user: User) -> None:
    member = membership.subscribed(user)
    change(membership, member, FRIEND_YEAR)
    at = preview(membership, member, PATRON).at
    membership.till.operate("knobs", decline="on")
    with pytest.raises(CardRefusedError):
        change(membership, member, PATRON, at)
    assert membership.status(user).next_price == FRIEND_YEAR  # stored before any webhook
    membership.tell()
    assert membership.status(user).next_price == FRIEND_YEAR
    membership.till.operate("knobs", decline="")
    assert change(membership, member, FRIEND).kind == "keep"  # of the current schedule


@pytest.mark.parametrize("by_card", [True, False])
def test_scheduled_change_that_cannot_be_restored_is_reported_lost(
    membership: Membership, user: User, monkeypatch: pytest.MonkeyPatch, by_card: bool
) -> None:
    member = membership.subscribed(user)
    change(membership, member, FRIEND_YEAR)
    at = preview(membership, member, PATRON).at
    if by_card:
        membership.till.operate("knobs", decline="on")
    else:
        refuse(membership, monkeypatch, "subscriptions.update")
    refuse(membership, monkeypatch, "subscription_schedules.create")
    with pytest.raises(ChangeLostError, match="scheduled change was cancelled") as raised:
        change(membership, member, PATRON, at)
    assert ("card" in str(raised.value)) is by_card
    assert membership.status(user).next_price is None


def test_later_change_refused_restores_the_former_and_leaves_no_empty_schedule(
    membership: Membership, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = membership.subscribed(user, PATRON_YEAR)
    membership.till.operate("clock", days="15")  # beyond the trial
    membership.tell()
    with monkeypatch.context() as patch:
        refuse(membership, patch, "subscription_schedules.update")
        with pytest.raises(ConflictError):
            change(membership, member, FRIEND)
    assert subscription(membership)["schedule"] is None
    change(membership, member, FRIEND)
    refuse(membership, monkeypatch, "subscription_schedules.update")
    with pytest.raises(ConflictError):
        change(membership, member, FRIEND_YEAR)
    assert membership.status(user).next_price == FRIEND


def test_change_without_answer_says_what_may_be_lost(
    membership: Membership, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = membership.subscribed(user)
    with monkeypatch.context() as patch:
        refuse(membership, patch, "subscriptions.update", with_=StripeDownError())
        with pytest.raises(StripeDownError, match="the change may have been made"):
            change(membership, member, PATRON)
    change(membership, member, FRIEND_YEAR)
    refuse(membership, monkeypatch, "subscriptions.update", with_=StripeDownError())
    with pytest.raises(StripeDownError, match="may be cancelled"):
        change(membership, member, PATRON)


@pytest.mark.both_databases
def test_change_submitted_twice_pays_once(membership: Membership, user: User) -> None:
    member = membership.subscribed(user)
    at = preview(membership, member, PATRON).at
    change(membership, member, PATRON, at)
    with pytest.raises(ConflictError, match="already your plan"):
        change(membership, member, PATRON, at)
    membership.tell()
    assert [entry.amount for entry in membership.rows(LedgerEntry)] == [500, 700]


@pytest.mark.both_databases
@pytest.mark.parametrize("late", [-PREVIEW_SECONDS - 60, PREVIEW_SECONDS + 60, 10**9])
def test_change_with_an_old_preview_is_refused(membership: Membership, user: User, late: int) -> None:
    member = membership.subscribed(user)
    at = preview(membership, member, PATRON).at
    with pytest.raises(ConflictError, match="amount has changed"):
        change(membership, member, PATRON, at + late)
    assert price_of(membership) == FRIEND


def test_change_without_a_changeable_plan_gives_the_reason(membership: Membership, user: User) -> None:
    member = membership.as_signed_in(user)
    with pytest.raises(ConflictError, match="no subscription"):
        preview(membership, member, PATRON)
    member = membership.subscribed(user)
    with pytest.raises(ConflictError, match="already your plan"):
        preview(membership, member, FRIEND)
    with pytest.raises(FieldErrors):
        preview(membership, member, "price_of_nothing")
    stripe = membership.till.stripe.v1
    euros = stripe.prices.create(
        {"product": "prod_patron", "currency": "eur", "unit_amount": 1200, "recurring": {"interval": "month"}}
    )
    membership.tell()
    with pytest.raises(FieldErrors):
        preview(membership, member, euros.id)
    stripe.subscriptions.update(subscription(membership)["id"], {"cancel_at_period_end": True})
    membership.tell()
    with pytest.raises(ConflictError, match="plan is cancelled"):
        preview(membership, member, PATRON)


def test_change_is_to_prices_for_sale_or_back_to_the_own_withdrawn_price(membership: Membership, user: User) -> None:
    member = membership.subscribed(user)
    stripe: Any = membership.till.stripe.v1
    wish = {"product": "prod_patron", "currency": "usd", "unit_amount": 1, "recurring": {"interval": "week"}}
    hidden = stripe.prices.create(wish).id
    stripe.prices.create({**wish, "product": "prod_friend", "unit_amount": 600, "recurring": {"interval": "month"}})
    membership.tell()
    with pytest.raises(FieldErrors):
        change(membership, member, hidden, 0)
    change(membership, member, FRIEND_YEAR)
    stripe.prices.update(FRIEND, {"active": False})
    membership.tell()
    assert change(membership, member, FRIEND).kind == "keep"
    assert membership.status(user).next_price is None


def test_change_while_a_payment_is_open_is_refused(membership: Membership, user: User) -> None:
    member = membership.subscribed(user, card="fails_later")
    membership.till.operate("clock", days="32")
    membership.tell()
    assert membership.status(user).state == "past_due"
    with pytest.raises(ConflictError, match="payment is due"):
        preview(membership, member, PATRON)


def test_change_after_one_at_stripe_is_refused_and_refreshes(membership: Membership, user: User) -> None:
    member = membership.subscribed(user)
    shown = preview(membership, member, FRIEND_YEAR)
    made = membership.till.stripe.v1.subscription_schedules.create(
        {"from_subscription": subscription(membership)["id"]}
    )
    with pytest.raises(ConflictError, match="has changed since"):
        change(membership, member, FRIEND_YEAR, shown.at)
    assert change(membership, member, FRIEND_YEAR).kind == "later"
    assert membership.till.stripe.v1.subscription_schedules.retrieve(made.id).status == "released"


def test_change_whose_refresh_fails_is_stored_by_its_webhook(
    membership: Membership, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = membership.subscribed(user)
    real = membership.gateway.call

    def no_fetch(method: str, *ids: str, **params: Any) -> Any:
        if method == "subscriptions.retrieve":
            raise StripeDownError
        return real(method, *ids, **params)

    with monkeypatch.context() as patch:
        patch.setattr(membership.gateway, "call", no_fetch)
        assert change(membership, member, PATRON).kind == "now"
    assert membership.status(user).price == FRIEND
    membership.tell()
    assert membership.status(user).price == PATRON


def with_add_on(membership: Membership, user: User) -> SignedIn:
    """Subscribe to Friend, with an add-on for 3 dollars as the first item."""
    member = membership.subscribed(user)
    stripe = membership.till.stripe.v1
    monthly: Any = {"currency": "usd", "unit_amount": 300, "recurring": {"interval": "month"}}
    add_on = stripe.prices.create({"product_data": {"name": "Printed letter"}, **monthly})
    items: Any = {"items": [{"price": add_on.id}], "proration_behavior": "none"}
    name = stripe.subscriptions.update(subscription(membership)["id"], items).id
    with membership.till.desk.store.transaction():
        found = membership.till.desk.get("subscription", name)
        found["items"]["data"].reverse()
        membership.till.desk.store.put(found)
    membership.tell()
    return member


def prices_of(membership: Membership) -> list[str]:
    return [str(item["price"]["unit_amount"]) for item in subscription(membership)["items"]["data"]]


def test_change_of_several_items_moves_the_plans_alone(membership: Membership, user: User) -> None:
    """Now or later; each shown amount is that of all items."""
    member = with_add_on(membership, user)
    assert membership.status(user).sentence.endswith(", $8.00")
    shown = preview(membership, member, PATRON)
    assert (shown.kind, shown.due, shown.amount) == ("now", "$7.00", "$15.00")
    change(membership, member, PATRON, shown.at)
    assert prices_of(membership) == ["300", "1200"]
    assert membership.status(user).sentence.endswith(", $15.00")
    shown = preview(membership, member, FRIEND)
    assert (shown.kind, shown.amount) == ("later", "$8.00")
    change(membership, member, FRIEND, shown.at)
    status = membership.status(user)
    assert (status.state, status.next_price, status.sentence.endswith(", $8.00")) == ("changing", FRIEND, True)
    membership.till.operate("clock", days="32")
    membership.tell()
    assert prices_of(membership) == ["300", "500"]
    assert membership.status(user).sentence.endswith(", $8.00")


def test_change_preview_has_the_discount_that_continues(membership: Membership, user: User) -> None:
    member = membership.subscribed(user)
    stripe = membership.till.stripe.v1
    half = stripe.coupons.create({"duration": "forever", "percent_off": 50}).id
    stripe.subscriptions.update(subscription(membership)["id"], {"discounts": [{"coupon": half}]})
    membership.tell()
    assert membership.status(user).sentence.endswith(", $2.50")
    assert preview(membership, member, PATRON).amount == "$6.00"


def test_change_while_payments_are_paused_is_refused(membership: Membership, user: User) -> None:
    """Stripe would not charge what the preview shows."""
    member = membership.subscribed(user)
    stripe = membership.till.stripe.v1
    stripe.subscriptions.update(subscription(membership)["id"], {"pause_collection": {"behavior": "void"}})
    membership.tell()
    status = membership.status(user)
    assert (status.sentence, status.premium, status.can_change) == ("Payments are paused", True, False)
    with pytest.raises(ConflictError, match="Payments for your plan are paused"):
        preview(membership, member, PATRON)


def test_change_in_a_further_currency_of_a_price_is_offered(membership: Membership, user: User) -> None:
    """The subscription is in euros, the prices are in dollars and in euros."""
    stripe = membership.till.stripe.v1
    payer = membership.subscribed(user)
    stripe.subscriptions.cancel(subscription(membership)["id"])
    options: Any = {"currency": "usd", "recurring": {"interval": "month"}}
    amounts = {"prod_friend": 400, "prod_patron": 1100}
    made = {
        product: stripe.prices.create(
            {"product": product, "unit_amount": 9900, "currency_options": {"eur": {"unit_amount": amount}}, **options}
        ).id
        for product, amount in amounts.items()
    }
    wanted: Any = {"items": [{"price": made["prod_friend"]}], "currency": "eur"}
    customer = stripe.customers.list().data[0]
    card = stripe.payment_methods.list({"customer": customer.id}).data[0].id
    stripe.subscriptions.create({"customer": customer.id, "default_payment_method": card, **wanted})
    membership.tell()
    assert membership.status(user).sentence.endswith(", €4.00")
    shown = preview(membership, payer, made["prod_patron"])
    assert (shown.kind, shown.due, shown.amount) == ("now", "€7.00", "€11.00")
