"""Complimentary premium: give, revoke, and list it."""

from __future__ import annotations

import re

import pytest
from flask import Flask
from flask.testing import FlaskClient

from church.models import User
from church.services import billing
from tests.support.accounts_fixture import audited
from tests.support.desk import AdminBrowser, call_in_context
from tests.support.membership_admin import day, give
from tests.support.people import client_of
from tests.support.stripe_fixture import SiteWithFakeStripe

HOSTILE = '"><svg onload=x>{{7*7}}</pre>'
ROOT = "/admin/membership"


@pytest.fixture
def app(shop: SiteWithFakeStripe) -> Flask:
    """The site with the fake Stripe."""
    return shop.app


def test_grant_by_form_is_confirmed_and_shown(shop: SiteWithFakeStripe, desk: AdminBrowser, ada: User) -> None:
    page = f"/admin/members/{ada.ref}"
    assert "No premium access." in desk.get(page).text
    found = desk.send(f"{page}/grants", until=day(30), reason=HOSTILE)
    assert (found.status_code, found.headers["Location"]) == (303, page)
    shown = desk.get(page).text
    assert f"Complimentary premium given until {day(30)}." in shown
    assert "Has premium access." in shown
    for text in (shown, desk.get(f"{ROOT}/grants").text):
        assert f"{day(30)} 23:59" in text
        assert "<svg onload" not in text
        assert "&lt;svg onload=x&gt;" in text
    assert call_in_context(shop.app, audited) == ["grant.given"]
    assert desk.data(page)["membership"]["grants"][0]["given_by"]["name"] == "Boss"


def test_grant_is_revoked_by_the_button_on_the_page(shop: SiteWithFakeStripe, desk: AdminBrowser, ada: User) -> None:
    give(desk, ada)
    (action,) = re.findall(rf'action="({ROOT}/grants/\d+/revoke)"', desk.get(f"/admin/members/{ada.ref}").text)
    found = desk.send(action)
    assert (found.status_code, found.headers["Location"]) == (303, f"/admin/members/{ada.ref}")
    page = desk.get(f"/admin/members/{ada.ref}").text
    assert "Complimentary premium revoked." in page
    assert "/revoke" not in page
    assert (desk.send(action).status_code, desk.tell(action, {}).status_code) == (409, 409)
    assert call_in_context(shop.app, audited) == ["grant.given", "grant.revoked"]


@pytest.mark.parametrize(
    ("until", "reason", "wrong"),
    [("", "", {"until", "reason"}), ("31.5.2027", "why", {"until"}), ("2020-01-01", "why", {"until"}),
     ("9999-12-31", "why", {"until"}), (30, "x" * 201, {"reason"}), (30, "x" * 401, {"reason"})],
)  # fmt: skip
def test_invalid_grant_shows_errors_at_its_fields(
    shop: SiteWithFakeStripe, desk: AdminBrowser, ada: User, until: str | int, reason: str, wrong: set[str]
) -> None:
    if isinstance(until, int):
        until = day(until)
    found = desk.send(f"/admin/members/{ada.ref}/grants", until=until, reason=reason)
    assert found.status_code == 422
    assert set(re.findall(r'id="(\w+)-error"', found.text)) == wrong
    assert f'value="{until}"' in found.text
    assert '<details class="confirm" open>' in found.text
    answer = desk.tell(f"/admin/members/{ada.ref}/grants", {"until": until, "reason": reason})
    assert (answer.status_code, set(answer.json["errors"])) == (422, wrong)  # type: ignore[index]
    assert call_in_context(shop.app, audited) == []


def test_grant_needs_an_existing_account_and_a_csrf_token(
    shop: SiteWithFakeStripe, desk: AdminBrowser, ada: User
) -> None:
    body = {"until": day(30), "reason": "why"}
    assert desk.send("/admin/members/nobody/grants", **body).status_code == 404
    assert desk.send("/admin/members/nobody/grants").status_code == 404
    assert desk.send(f"{ROOT}/grants/7/revoke").status_code == 404
    assert desk.client.post(f"/admin/members/{ada.ref}/grants", data=body).status_code == 400
    foreign = {"Origin": "https://evil.example"}
    assert desk.client.post(f"/admin/members/{ada.ref}/grants", json=body, headers=foreign).status_code == 400
    assert call_in_context(shop.app, audited) == []


def test_grant_to_own_account_works_on_every_worker_at_once(desk: AdminBrowser) -> None:
    give(desk, desk.user)
    with desk.client.session_transaction() as cookie:
        assert "since" in cookie


def test_grants_are_filtered_by_state(shop: SiteWithFakeStripe, desk: AdminBrowser, ada: User) -> None:
    first, second = give(desk, ada), give(desk, ada, reason="once more")
    desk.tell(f"{ROOT}/grants/{first}/revoke", {})
    data = desk.data(f"{ROOT}/grants?state=open")
    assert [one["id"] for one in data["grants"]["rows"]] == [second]
    assert data["counts"] == {"open": 1, "ended": 0, "revoked": 1}


def test_member_cannot_give_themself_premium(shop: SiteWithFakeStripe, ada: User) -> None:
    client: FlaskClient = client_of(shop.app, ada)
    body = {"until": day(30), "reason": "why"}
    assert client.post(f"/admin/members/{ada.ref}/grants", json=body).status_code == 403
    assert call_in_context(shop.app, billing.list_grants) == []
