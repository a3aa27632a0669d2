"""The pages of memberships: who may open them, subscriptions, and paging."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from flask import Flask

from church.models import User
from tests.support.desk import JSON, AdminBrowser, add_person
from tests.support.membership_admin import give, pay, subscribe
from tests.support.people import client_of
from tests.support.stripe_fixture import SiteWithFakeStripe, make_event

HOSTILE = '"><svg onload=x>{{7*7}}</pre>'
ROOT = "/admin/membership"
PAGES = [ROOT, f"{ROOT}/events", f"{ROOT}/ledger", f"{ROOT}/grants"]


@pytest.fixture
def app(shop: SiteWithFakeStripe) -> Flask:
    """The site with the fake Stripe."""
    return shop.app


@pytest.mark.parametrize("path", [*PAGES, f"{ROOT}/events/1", f"{ROOT}/ledger.csv"])
def test_membership_is_closed_to_all_but_admins(shop: SiteWithFakeStripe, ada: User, path: str) -> None:
    pay(shop, ada, 1200)
    assert shop.app.test_client().get(path, headers=JSON).status_code == 401
    assert client_of(shop.app, ada).get(path).status_code == 403


@pytest.mark.parametrize("path", [*PAGES, f"{ROOT}/events/1", f"{ROOT}/ledger.csv"])
def test_membership_is_shown_to_admins_and_not_stored(
    shop: SiteWithFakeStripe, desk: AdminBrowser, ada: User, path: str
) -> None:
    pay(shop, ada, 1200)
    for headers in ({}, JSON):
        found = desk.get(path, **headers)
        assert found.status_code == 200
        assert {"private", "no-store"} <= set(found.headers["Cache-Control"].split(", "))


@pytest.mark.parametrize("path", PAGES)
def test_membership_pages_link_to_each_other_and_mark_the_current_one(desk: AdminBrowser, path: str) -> None:
    page = desk.get(path).text
    rooms = re.findall(r'<li><a href="([\w/]+)"( aria-current="page")?>', page.split('aria-label="Membership"')[1])
    assert [address for address, _ in rooms[:4]] == PAGES
    assert [address for address, here in rooms[:4] if here] == [path]
    current = 'aria-current="page"' if path == ROOT else 'aria-current="true"'
    assert re.search(f'<a href="{ROOT}"[^>]* {current}>Money</a>', page)


@pytest.mark.parametrize("path", PAGES)
def test_membership_without_a_row_says_so(desk: AdminBrowser, path: str) -> None:
    assert '<p class="empty">' in desk.get(path).text


def test_subscriptions_show_member_plan_status_and_end(shop: SiteWithFakeStripe, desk: AdminBrowser, ada: User) -> None:
    active = subscribe(shop, ada, cancel_at=1_792_000_000)
    subscribe(shop, add_person(shop.app, "eve@church.example", name=HOSTILE), status="past_due")
    page = desk.get(ROOT).text
    for words in (
        "patron, $12.00 a month",
        active["id"],
        ">ending<",
        "2026-10-14 17:46",
        "state-warning",
        ">past due<",
    ):
        assert words in page
    assert "<svg onload" not in page
    assert f'href="/admin/members/{ada.ref}">Ada</a>' in page
    data = desk.data(f"{ROOT}?status=active")
    assert [one["user_ref"] for one in data["subscriptions"]["rows"]] == [ada.ref]
    assert data["counts"] == {"active": 1, "past_due": 1}
    assert "No paused subscriptions." in desk.get(f"{ROOT}?status=paused").text


def test_members_with_several_subscriptions_are_listed(shop: SiteWithFakeStripe, desk: AdminBrowser, ada: User) -> None:
    """Only the current ones of those members; the member's page says so."""
    assert "No member has several subscriptions." in desk.get(f"{ROOT}?several=1").text
    payer = shop.stripe.customer(ada.ref)
    for status in ("active", "active", "canceled"):
        shop.deliver(make_event("customer.subscription.created", shop.stripe.subscription(payer, status=status)))
    subscribe(shop, add_person(shop.app, "eve@church.example"))
    listed = desk.data(f"{ROOT}?several=1")["subscriptions"]["rows"]
    assert [(one["user_ref"], one["status"], one["renewal"]) for one in listed] == [(ada.ref, "active", "$12.00")] * 2
    assert "This account pays for 2 subscriptions at once." in desk.get(f"/admin/members/{ada.ref}").text


def test_subscription_is_ended_with_its_period_and_audited(
    shop: SiteWithFakeStripe, desk: AdminBrowser, ada: User
) -> None:
    """One that ends already, and one of another account, are refused."""
    subscription = subscribe(shop, ada)
    eve = add_person(shop.app, "eve@church.example")
    path = f"/admin/members/{ada.ref}/subscriptions/end"
    for other in (f"/admin/members/{eve.ref}/subscriptions/end", path):
        name = subscription["id"] if other != path else "sub_none"
        assert desk.tell(other, {"subscription": name}).status_code == 409
    found = desk.tell(path, {"subscription": subscription["id"]})
    assert found.status_code == 200, found.text
    assert shop.stripe.objects[subscription["id"]]["cancel_at_period_end"] is True
    assert desk.tell(path, {"subscription": subscription["id"]}).status_code == 409
    audited = desk.data("/admin/audit?action=subscription.ended")["entries"]
    assert len(audited["rows"]) == 1


def add_events(shop: SiteWithFakeStripe, _desk: AdminBrowser, _user: User) -> None:
    for _ in range(60):
        shop.deliver(make_event("a.type_of_tomorrow", {"id": "x_1", "object": "x"}))


def add_entries(shop: SiteWithFakeStripe, _desk: AdminBrowser, user: User) -> None:
    pay(shop, user, *range(100, 160))


def add_grants(_shop: SiteWithFakeStripe, desk: AdminBrowser, user: User) -> None:
    for _ in range(55):
        give(desk, user)


def add_subscriptions(shop: SiteWithFakeStripe, _desk: AdminBrowser, user: User) -> None:
    for _ in range(55):
        subscribe(shop, user)


@pytest.mark.parametrize(
    ("path", "name", "add"),
    [
        (f"{ROOT}?status=active", "subscriptions", add_subscriptions),
        (f"{ROOT}/events?state=ignored", "events", add_events),
        (f"{ROOT}/ledger?currency=usd", "entries", add_entries),
        (f"{ROOT}/grants?state=open", "grants", add_grants),
    ],
)
def test_lists_are_paged_to_the_end_and_keep_the_filter(
    shop: SiteWithFakeStripe,
    desk: AdminBrowser,
    ada: User,
    path: str,
    name: str,
    add: Callable[[SiteWithFakeStripe, AdminBrowser, User], None],
) -> None:
    add(shop, desk, ada)
    first = desk.data(path)[name]
    (link,) = re.findall(r'<a href="([^"]+)" rel="next">', desk.get(path).text)
    assert path.partition("?")[2] in link
    second = desk.data(link.replace("&amp;", "&"))[name]
    ids = [row["id"] for row in first["rows"] + second["rows"]]
    assert (len(first["rows"]), second["older"]) == (50, None)
    assert ids == sorted(set(ids), reverse=True)
    assert len(ids) in {55, 60}
