"""The card for readers without access: on a page and in a chat room, for every kind of reader."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import update

from church.blueprints import stripe as stripe_blueprint
from church.database.errors import DatabaseDownError
from church.extensions import db
from church.models import Subscription, User
from church.services.billing import make_offer
from church.services.billing.plans import PlanView, PriceView
from tests.support.browsing import JSON, Browser
from tests.support.membership_fixture import Membership
from tests.support.pages_fixture import small_library

pytestmark = pytest.mark.sqlite_alone

CARD = re.compile(r'<section class="way-in".*?</section>', re.S)
PRICE = "From $5 a month"


@pytest.fixture
def site(membership: Membership) -> Membership:
    small_library(membership.settings.content)
    return membership


def card_of(browser: Browser, path: str, status: int = 200) -> str:
    """Return the text of the card at ``path``, with the targets of its links."""
    answer = browser.get(path)
    assert answer.status_code == status
    found = CARD.findall(answer.text)
    assert len(found) == 1
    text = re.sub(r'<a [^>]*href="([^"]*)"[^>]*>([^<]*)</a>', r"[\2](\1)", found[0])
    return " ".join(re.sub(r"<[^>]+>", " ", text).split())


def subscribed_once(site: Membership, user: User, status: str) -> None:
    """Subscribe the member, and give the subscription ``status``."""
    site.subscribed(user)
    with site.app.app_context(), db.write() as session:
        session.execute(update(Subscription).values(status=status))


@pytest.mark.parametrize(
    ("path", "status", "heading"),
    [
        ("/pages/gold", 200, "The rest is for subscribers"),
        ("/live/premium", 403, "This room is for subscribers"),
    ],
)
def test_card_of_premium_shows_a_visitor_price_and_both_ways_in(
    site: Membership, path: str, status: int, heading: str
) -> None:
    card = card_of(site.browser(), path, status)
    assert heading in card
    assert PRICE in card
    assert f"[Subscribe](/stripe/pricing?next={path})" in card
    assert f"Already a subscriber? [Sign in](/auth/login?next={path})" in card
    assert "register" not in card


@pytest.mark.parametrize(("path", "status"), [("/pages/gold", 200), ("/live/premium", 403)])
def test_card_of_premium_tells_a_member_no_more_to_sign_in(site: Membership, path: str, status: int) -> None:
    card = card_of(site.browser(site.add()), path, status)
    assert PRICE in card
    assert f"[Subscribe](/stripe/pricing?next={path})" in card
    assert "Sign in" not in card


@pytest.mark.parametrize(
    ("path", "status"), [("/pages/gold", 200), ("/pages/club", 200), ("/live/premium", 403), ("/live/public", 403)]
)
def test_card_asks_an_unconfirmed_account_to_confirm_and_nothing_else(site: Membership, path: str, status: int) -> None:
    card = card_of(site.browser(site.add(verified=False)), path, status)
    assert "Confirm your email address" in card
    assert "Resend email" in card
    assert "[" not in card


def test_card_of_a_members_page_offers_a_free_account(site: Membership) -> None:
    card = card_of(site.browser(), "/pages/club")
    assert "[Create an account](/auth/register?next=/pages/club)" in card
    assert "Already a member? [Sign in](/auth/login?next=/pages/club)" in card
    assert "$" not in card
    assert "subscrib" not in card.lower()


def test_trial_is_offered_until_one_was_had(site: Membership, monkeypatch: pytest.MonkeyPatch) -> None:
    plans = [PlanView("patron", "Patron", "", (), (PriceView("p", "month", 1200, "usd", 14, ""),))]
    monkeypatch.setattr("church.services.billing.offer.list_plans", lambda _currency: plans)
    card = card_of(site.browser(), "/pages/gold")
    assert "First 14 days free." in card
    assert "From" not in card
    user = site.add()
    assert "First 14 days free." in card_of(site.browser(user), "/pages/gold")
    subscribed_once(site, user, "canceled")
    assert "free" not in card_of(site.browser(user), "/pages/gold")


def test_card_sends_a_member_whose_payment_failed_to_pay(site: Membership) -> None:
    user = site.add()
    subscribed_once(site, user, "unpaid")
    card = card_of(site.browser(user), "/pages/gold")
    assert "Your last payment failed. Pay it to get premium back." in card
    assert "[Open your account](/auth/account)" in card
    assert "[Subscribe]" not in card
    assert "$" not in card


def test_card_without_plans_says_so(site: Membership, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("church.services.billing.offer.list_plans", lambda _currency: [])
    card = card_of(site.browser(), "/pages/gold")
    assert "No plan is for sale right now." in card
    assert "[Sign in]" in card


def test_card_without_payments_names_the_admins(site: Membership) -> None:
    site.app.jinja_env.globals["payments_enabled"] = False
    card = card_of(site.browser(), "/pages/gold")
    assert "give premium access to members" in card
    assert "Already have access? [Sign in]" in card
    assert "Ask an admin for premium access." in card_of(site.browser(site.add()), "/pages/gold")


def test_teaser_is_shown_without_a_price_while_the_database_is_down(
    site: Membership, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_user_id: int | None) -> None:
        raise DatabaseDownError

    monkeypatch.setattr(stripe_blueprint.billing, "read_offer", fail)
    card = card_of(site.browser(), "/pages/gold")
    assert "[Subscribe](/stripe/pricing?next=/pages/gold)" in card
    assert "$" not in card


def test_premium_room_is_an_error_for_programs_and_other_rooms_lead_visitors_to_sign_in(site: Membership) -> None:
    visitor, member = site.browser(), site.browser(site.add())
    assert visitor.get("/live/premium", headers=JSON).status_code == 401
    found = member.get("/live/premium", headers=JSON)
    assert (found.status_code, found.get_json()["detail"]) == (403, "This room is for subscribers.")
    for room in ("public", "admins", "nowhere"):
        assert visitor.get(f"/live/{room}").location == f"/auth/login?next=%2Flive%2F{room}"
    refused = member.get("/live/admins")
    assert refused.status_code == 403
    assert CARD.findall(refused.text) == []


def test_message_and_form_of_a_premium_room_show_the_card_too(site: Membership) -> None:
    member = site.browser(site.add())
    assert "[Subscribe]" in card_of(member, "/live/premium/1", 403)
    sent = member.submit("/live/premium", {"message": "let me in"})
    assert sent.status_code == 403
    assert len(CARD.findall(sent.text)) == 1


@pytest.mark.parametrize(
    ("amounts", "interval", "amount", "only"),
    [
        ([("month", 500), ("year", 5000), ("month", 1200)], "month", 500, False),
        ([("year", 5000)], "year", 5000, True),
        ([("month", 900), ("year", 100)], "month", 900, False),
    ],
)
def test_offer_is_the_lowest_monthly_price(
    amounts: list[tuple[str, int]], interval: str, amount: int, only: bool
) -> None:
    prices = tuple(PriceView(str(at), *one, "usd", 0, "") for at, one in enumerate(amounts))
    offer = make_offer([PlanView("friend", "Friend", "", (), prices)])
    assert offer.price is not None
    assert (offer.price.interval, offer.price.amount, offer.is_only_price) == (interval, amount, only)


def test_trial_of_a_dearer_plan_is_offered_by_its_name(site: Membership) -> None:
    assert "Patron is free for the first 14 days." in card_of(site.browser(), "/pages/gold")
