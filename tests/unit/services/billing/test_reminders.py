"""Emails that a date causes: a yearly renewal ahead, free premium that ends soon or has ended. Each is sent once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import update

from church.extensions import db
from church.models import Grant, Mail, Notice, Price, Product, User
from church.models.base import utc_now
from church.services import billing
from church.services.audit import Actor
from church.services.billing import reminders
from tests.support.billing_rows import add_customer, add_grant, add_subscription, store, stored
from tests.support.helpers import with_settings
from tests.support.people import add_user
from tests.support.statements import note_statements
from tests.support.stripe_fixture import START, utc_time

DAY = timedelta(days=1)
BOSS = Actor(via="cli")


def remind() -> list[tuple[str, dict[str, Any]]]:
    """Run the job twice, and return all emails queued so far."""
    for _ in range(2):
        reminders.send_reminders({})
    return [(mail.template, mail.context) for mail in stored(Mail)]


def templates() -> list[str]:
    return [template for template, _ in remind()]


def day(ahead: timedelta) -> str:
    at = utc_now() + ahead
    return f"{at.day} {at:%B %Y}"


def yearly(user: User, **values: Any) -> None:
    renews = {"interval": "year", "amount": 12000, "renewal_amount": 12000, "current_period_end": utc_now() + 5 * DAY}
    add_subscription(add_customer(user.id), **renews | values)


def test_yearly_renewal_is_announced_once_with_its_day_and_payment(ada: User) -> None:
    """The next year's renewal is another occasion."""
    when = day(5 * DAY)
    yearly(ada)
    context = {"plan": "Patron", "day": when, "price": "$120.00", "by_hand": False}
    assert remind() == [("renewal_ahead", context)]


def test_renewal_that_changes_the_plan_names_the_next_one(ada: User) -> None:
    end = utc_now() + 5 * DAY
    fields = {"description": "", "features": [], "active": True, "fetched_at": utc_now()}
    store(Product(stripe_id="prod_friend", plan="friend", name="Friend", **fields))
    price = {"currency": "usd", "interval": "year", "interval_count": 1, "trial_days": 0, "tax_behavior": "exclusive"}
    times = {"active": True, "created_at": utc_time(START), "fetched_at": utc_now()}
    store(Price(stripe_id="price_friend", stripe_product="prod_friend", amount=5000, **price, **times))
    yearly(ada, next_price="price_friend", next_price_at=end, current_period_end=end)
    [(_, context)] = remind()
    assert (context["plan"], context["price"]) == ("Friend", "$50.00")


def test_renewal_that_changes_the_plan_names_what_stripe_will_take(ada: User) -> None:
    """Stripe's amount counts where it was asked for the invoice of the change."""
    end = utc_now() + 5 * DAY
    yearly(ada, next_price="price_friend", next_price_at=end, current_period_end=end, renewal_at=end)
    [(_, context)] = remind()
    assert context["price"] == "$120.00"


@pytest.mark.parametrize(
    "values",
    [
        {"interval": "month"},
        {"interval": "month", "interval_count": 6},
        {"current_period_end": utc_now() + 8 * DAY},
        {"current_period_end": utc_now() - DAY},
        {"cancel_at": utc_now() + 5 * DAY},
        {"collection_paused": True},
        {"status": "past_due"},
        {"status": "trialing"},
        {"status": "canceled"},
    ],
)
def test_renewal_not_yearly_not_near_or_not_coming_is_not_announced(ada: User, values: dict[str, Any]) -> None:
    """A trial has an email of its own, a month is short."""
    yearly(ada, **values)
    assert remind() == []


def test_renewal_by_twelve_months_is_yearly(ada: User) -> None:
    yearly(ada, interval="month", interval_count=12)
    assert templates() == ["renewal_ahead"]


@pytest.mark.parametrize(("days", "count"), [(0, 0), (4, 0), (6, 1), (30, 1)])
def test_renewal_is_announced_as_early_as_the_setting_says(at_work: Flask, ada: User, days: int, count: int) -> None:
    at_work.config["CHURCH"] = with_settings(at_work.config["CHURCH"], email_renewal_days=days)
    yearly(ada)
    assert len(remind()) == count


# -- complimentary ----------------------------------------------------------------------------------------------------


def test_complimentary_pass_is_told_when_given_and_before_and_after_its_end(ada: User) -> None:
    """Four emails at most, whatever is done twice."""
    until = utc_now() + 30 * DAY
    number = billing.grant_premium(ada.ref, until, "helps", BOSS)
    assert remind() == [("pass_given", {"until": day(30 * DAY)})]
    move(number, until=utc_now() + 6 * DAY, created_at=utc_now() - 24 * DAY)
    assert remind()[1:] == [("pass_ending", {"until": day(6 * DAY)})]
    move(number, until=utc_now() - DAY)
    assert remind()[2:] == [("pass_ended", {})]


def move(number: int, **values: Any) -> None:
    with db.write() as session:
        session.execute(update(Grant).where(Grant.id == number).values(**values))


def test_complimentary_pass_of_a_week_is_not_told_to_end_soon(ada: User) -> None:
    """Its first email has just said when."""
    billing.grant_premium(ada.ref, utc_now() + 3 * DAY, "helps", BOSS)
    assert templates() == ["pass_given"]


def test_complimentary_pass_revoked_is_told_at_once(ada: User) -> None:
    number = billing.grant_premium(ada.ref, utc_now() + 30 * DAY, "helps", BOSS)
    billing.revoke_grant(number, BOSS)
    assert templates() == ["pass_given", "pass_ended"]


@pytest.mark.parametrize("end", [timedelta(days=5), timedelta(days=-1)])
@pytest.mark.parametrize("other", ["subscription", "grant"])
def test_complimentary_pass_is_not_told_to_end_while_other_premium_lasts(ada: User, end: timedelta, other: str) -> None:
    long_ago = utc_now() - 60 * DAY
    add_grant(ada.id, until=utc_now() + end, created_at=long_ago)
    if other == "grant":
        add_grant(ada.id, created_at=long_ago)
    else:
        add_subscription(add_customer(ada.id))
    assert remind() == []


def test_complimentary_pass_ends_with_a_subscription_that_ends_before_it(ada: User) -> None:
    add_grant(ada.id, until=utc_now() + 5 * DAY, created_at=utc_now() - 60 * DAY)
    add_subscription(add_customer(ada.id), cancel_at=utc_now() + 2 * DAY)
    assert templates() == ["pass_ending"]


def test_complimentary_pass_that_ended_before_the_site_was_upgraded_is_not_told(ada: User) -> None:
    add_grant(ada.id, until=utc_now() - 3 * DAY)
    assert remind() == []


def test_complimentary_emails_are_turned_off_by_their_setting(at_work: Flask, ada: User) -> None:
    at_work.config["CHURCH"] = with_settings(at_work.config["CHURCH"], email_complimentary=False)
    number = billing.grant_premium(ada.ref, utc_now() + 30 * DAY, "helps", BOSS)
    billing.revoke_grant(number, BOSS)
    assert remind() == []


def test_notices_of_long_ago_are_forgotten(at_work: Flask) -> None:
    now = utc_now()
    store(Notice(key="new", created_at=now), Notice(key="old", created_at=now - reminders.KEEP_NOTICES - DAY))
    reminders.forget_notices({})
    assert [row.key for row in stored(Notice)] == ["new"]


def test_pass_that_had_its_email_is_not_looked_at_again(at_work: Flask) -> None:
    """A site with many passes has as little to do each hour as one with few."""
    counts = []
    for numbers in (range(1), range(1, 6)):
        for number in numbers:
            member = add_user(at_work, f"member-{number}@church.example", password_hash="x")
            add_grant(member.id, until=utc_now() + 3 * DAY, created_at=utc_now() - 30 * DAY)
        assert len(remind()) == numbers.stop
        with note_statements() as statements:
            reminders.send_reminders({})
        counts.append(len(statements))
    assert counts[0] == counts[1]
