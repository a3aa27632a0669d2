"""The plans of the pricing page: at most three, the newest price of each interval, one currency."""

from __future__ import annotations

from typing import Any

import pytest

from church.models import Price, Product
from church.models.base import utc_now
from church.services import billing
from church.services.billing.plans import PlanView
from tests.support.membership_fixture import FRIEND, FRIEND_YEAR, PATRON, Membership

pytestmark = pytest.mark.sqlite_alone


def offered(membership: Membership, currency: str | None = None) -> list[PlanView]:
    with membership.app.app_context():
        return billing.list_plans(currency)


def names(membership: Membership) -> list[str]:
    return [plan.plan for plan in offered(membership)]


def add_price(membership: Membership, product: str = "prod_friend", **values: Any) -> None:
    stripe = membership.till.stripe.v1
    recurring = values.pop("recurring", {"interval": "month"})
    stripe.prices.create({"product": product, "currency": "usd", "unit_amount": 700, "recurring": recurring, **values})
    membership.tell()


def add_plan(membership: Membership, plan: str, order: str = "", amount: int = 900) -> str:
    metadata = {"church_plan": plan, **({"church_order": order} if order else {})}
    made = membership.till.stripe.v1.products.create({"name": plan.title(), "metadata": metadata})
    add_price(membership, made.id, unit_amount=amount)
    return made.id


def test_plans_of_the_till_are_listed_by_month_and_year(membership: Membership) -> None:
    friend, patron = offered(membership)
    assert (friend.name, friend.features) == ("Friend", ("Premium pages",))
    assert [(price.stripe_id, price.shown, price.interval) for price in friend.prices] == [
        (FRIEND, "$5.00", "month"), (FRIEND_YEAR, "$50.00", "year"),
    ]  # fmt: skip
    assert (friend.at("month").trial_days, patron.at("month").trial_days) == (0, 14)


def test_plan_without_a_yearly_price_shows_the_monthly_one(membership: Membership) -> None:
    membership.till.stripe.v1.prices.update(FRIEND_YEAR, {"active": False})
    membership.tell()
    assert offered(membership)[0].at("year").stripe_id == FRIEND


def test_newer_price_of_an_interval_replaces_the_older(membership: Membership) -> None:
    add_price(membership)
    assert offered(membership)[0].at("month").shown == "$7.00"


@pytest.mark.both_databases
def test_plans_are_ordered_by_metadata_then_price_and_at_most_three(membership: Membership) -> None:
    add_plan(membership, "dearer", "0", amount=2000)
    add_plan(membership, "first", "0", amount=100)
    assert names(membership) == ["first", "dearer", "friend"]


def test_price_that_is_not_monthly_or_yearly_is_left_out(membership: Membership) -> None:
    quarter = add_plan(membership, "quarter", "0")
    [made] = [price for price in membership.rows(Price) if price.stripe_product == quarter]
    membership.till.stripe.v1.prices.update(made.stripe_id, {"active": False})
    add_price(membership, quarter, recurring={"interval": "month", "interval_count": 3})
    add_price(membership, quarter, recurring={"interval": "week"})
    assert "quarter" not in names(membership)


def test_withdrawn_plans_and_other_products_are_left_out(membership: Membership) -> None:
    membership.till.stripe.v1.products.update("prod_patron", {"active": False})
    other = membership.till.stripe.v1.products.create({"name": "A book"})
    add_price(membership, other.id)
    membership.tell()
    assert names(membership) == ["friend"]


def test_plans_are_in_one_currency_the_subscribers_own_if_possible(membership: Membership) -> None:
    add_price(membership, currency="eur", unit_amount=600)
    assert [price.currency for plan in offered(membership) for price in plan.prices] == ["usd"] * 4
    [friend] = offered(membership, "eur")
    assert friend.at("month").shown == "€6.00"
    assert len(offered(membership, "jpy")) == 2


def test_tax_text_follows_the_price(membership: Membership) -> None:
    assert offered(membership)[0].at("month").tax == "Tax, where it applies, is shown before you pay."
    for behavior, words in (("inclusive", "Tax is included."), ("exclusive", "Tax is added where it applies.")):
        add_price(membership, tax_behavior=behavior)
        assert offered(membership)[0].at("month").tax == words


def test_plans_before_the_first_sync_are_empty(membership: Membership) -> None:
    membership.till.stripe.v1.products.update("prod_friend", {"active": False})
    membership.till.stripe.v1.products.update("prod_patron", {"active": False})
    membership.tell()
    assert offered(membership) == []
    now = utc_now()
    membership.put(
        Product(
            stripe_id="prod_bare", plan="bare", name="Bare", description="", features=[], active=True, fetched_at=now
        )
    )
    assert offered(membership) == []
    assert PATRON in {price.stripe_id for price in membership.rows(Price)}


def test_price_in_several_currencies_is_offered_in_each(membership: Membership) -> None:
    """A subscriber in euros sees the amounts in euros, of the plans that have them."""
    add_price(membership, "prod_patron", unit_amount=1300, currency_options={"eur": {"unit_amount": 1100}})
    friend, patron = offered(membership)
    assert (friend.at("month").shown, patron.at("month").shown) == ("$5.00", "$13.00")
    [patron] = offered(membership, "eur")
    assert [price.shown for price in patron.prices] == ["€11.00"]
    with membership.app.app_context():
        billing.sync_catalogue()
    assert [price.shown for price in offered(membership, "eur")[0].prices] == ["€11.00"]
