"""Memberships in the admin area over HTTP: access, escaping, and changes by form and by JSON."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import update

from church.config import Settings
from church.database import DatabaseDownError
from church.extensions import db
from church.models import StripeEvent, User
from church.models.base import utc_now
from church.services import audit, billing
from church.services.billing import ledger
from church.services.billing.errors import StripeDownError
from tests.support.accounts_fixture import audited
from tests.support.databases import copy_database
from tests.support.desk import JSON, AdminBrowser, add_person, call_in_context
from tests.support.people import client_of
from tests.support.stripe_fixture import Obj, SiteWithFakeStripe, make_event

HOSTILE = '"><svg onload=x>{{7*7}}</pre>'
ROOT = "/admin/membership"
PAGES = [ROOT, f"{ROOT}/events", f"{ROOT}/ledger", f"{ROOT}/grants"]


@pytest.fixture
def shop(settings: Settings, migrated_file: Path) -> Iterator[SiteWithFakeStripe]:
    copy_database(migrated_file, settings)
    shop = SiteWithFakeStripe(settings)
    shop.app.testing = True
    yield shop
    shop.close()


@pytest.fixture
def desk(shop: SiteWithFakeStripe) -> AdminBrowser:
    return AdminBrowser(shop.app, add_person(shop.app, "boss@church.example", name="Boss", role="admin"))


@pytest.fixture
def ada(shop: SiteWithFakeStripe) -> User:
    return add_person(shop.app, "ada@church.example")


def subscribe(shop: SiteWithFakeStripe, user: User, **values: Any) -> Obj:
    subscription = shop.stripe.subscription(shop.stripe.customer(user.ref), **values)
    shop.deliver(make_event("customer.subscription.created", subscription))
    return subscription


def pay(shop: SiteWithFakeStripe, user: User, *amounts: int) -> None:
    for amount in amounts:
        subscription = shop.stripe.subscription(shop.stripe.customer(user.ref))
        shop.deliver(make_event("invoice.paid", shop.stripe.invoice(subscription, paid=amount)))


def down(_method: str) -> None:
    raise StripeDownError


def failed_event(shop: SiteWithFakeStripe, user: User) -> int:
    """Add an event that failed because Stripe did not answer."""
    shop.stripe.before = down
    subscribe(shop, user)
    shop.stripe.before = lambda _method: None
    return call_in_context(shop.app, billing.list_events)[0].id


def day(ahead: int) -> str:
    return (utc_now() + timedelta(days=ahead)).date().isoformat()


# -- who comes in ---------------------------------------------------------------------------------------------------


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
    assert f'<a href="{ROOT}" {current}>Membership</a>' in page


@pytest.mark.parametrize("path", PAGES)
def test_membership_without_a_row_says_so(desk: AdminBrowser, path: str) -> None:
    assert '<p class="empty">' in desk.get(path).text


@pytest.mark.parametrize(
    "query", ["?status=root", "/events?state=dead", "/grants?state=x", "?before=-1", "/ledger?before=x"]
)
def test_unknown_filter_value_is_refused(desk: AdminBrowser, query: str) -> None:
    assert desk.get(ROOT + query).status_code == 400


# -- subscriptions --------------------------------------------------------------------------------------------------


def test_subscriptions_show_member_plan_status_and_end(shop: SiteWithFakeStripe, desk: AdminBrowser, ada: User) -> None:
    active = subscribe(shop, ada, cancel_at=1_792_000_000)
    subscribe(shop, add_person(shop.app, "eve@church.example", name=HOSTILE), status="past_due")
    page = desk.get(ROOT).text
    for words in ("patron, $12.00 a month", active["id"], ">ending<", "2026-10-14 17:46", 'mark-grave">past_due<'):
        assert words in page
    assert "<svg onload" not in page
    assert f'href="/admin/members/{ada.ref}">Ada</a>' in page
    data = desk.data(f"{ROOT}?status=active")
    assert [one["user_ref"] for one in data["subscriptions"]["rows"]] == [ada.ref]
    assert data["counts"] == {"active": 1, "past_due": 1}
    assert "No paused subscriptions." in desk.get(f"{ROOT}?status=paused").text


@pytest.mark.parametrize(("status", "goes_on"), [("active", True), ("past_due", True), ("canceled", False)])
def test_disabling_a_paying_account_warns_that_payments_continue(
    shop: SiteWithFakeStripe, desk: AdminBrowser, ada: User, status: str, goes_on: bool
) -> None:
    subscribe(shop, ada, status=status)
    page = desk.get(f"/admin/members/{ada.ref}").text
    assert ("cancel it at Stripe" in page) is goes_on


# -- events ---------------------------------------------------------------------------------------------------------


def test_events_show_type_state_reason_attempts_and_age(
    shop: SiteWithFakeStripe, desk: AdminBrowser, ada: User
) -> None:
    number = failed_event(shop, ada)
    shop.deliver(make_event("a.type_of_tomorrow", {"id": "x_1", "object": "x"}))
    page = desk.get(f"{ROOT}/events").text
    assert page.index("a.type_of_tomorrow") < page.index("customer.subscription.created")
    assert "Stripe does not answer" in page
    assert re.search(r'data-column="Age"><div>\d+ s</div>', page)
    data = desk.data(f"{ROOT}/events?state=failed")
    assert [(one["id"], one["attempts"], one["payload"]) for one in data["events"]["rows"]] == [(number, 1, None)]
    assert data["counts"] == {"failed": 1, "ignored": 1}


@pytest.mark.parametrize(
    ("ago", "words"), [(119, "119 s"), (121, "2 min"), (7300, "2 h"), (3 * 86400, "3 days"), (-50, "0 s")]
)
def test_event_age_is_shown_in_a_fitting_unit(
    shop: SiteWithFakeStripe, desk: AdminBrowser, ada: User, ago: int, words: str
) -> None:
    subscribe(shop, ada)
    with shop.app.app_context(), db.write() as session:
        session.execute(update(StripeEvent).values(received_at=utc_now() - timedelta(seconds=ago)))
    found = re.search(r'data-column="Age"><div>([^<]+)</div>', desk.get(f"{ROOT}/events").text)
    assert found is not None
    assert found[1] in {words, "120 s"}  # a second may have passed


def test_event_shows_what_stripe_sent_indented_and_escaped(
    shop: SiteWithFakeStripe, desk: AdminBrowser, ada: User
) -> None:
    subscription = shop.stripe.subscription(shop.stripe.customer(ada.ref), metadata={"note": HOSTILE, "name": "Zoë"})
    shop.deliver(make_event("customer.subscription.created", subscription))
    (stored,) = call_in_context(shop.app, billing.list_events)
    page = desk.get(f"{ROOT}/events/{stored.id}").text
    assert "<svg onload" not in page
    payload = page.partition('<pre class="payload"')[2].partition("</pre>")[0]
    assert "&lt;svg onload=x&gt;{{7*7}}&lt;/pre&gt;" in payload
    assert "\n  &#34;id&#34;: &#34;evt_" in payload
    assert "Zoë" in payload
    data = desk.data(f"{ROOT}/events/{stored.id}")["event"]
    assert data["payload"]["data"]["object"]["metadata"]["note"] == HOSTILE


def test_event_is_replayed_by_form_and_by_json(shop: SiteWithFakeStripe, desk: AdminBrowser, ada: User) -> None:
    number = failed_event(shop, ada)
    found = desk.send(f"{ROOT}/events/{number}/replay")
    assert (found.status_code, found.headers["Location"]) == (303, f"{ROOT}/events/{number}")
    assert f"Event {number} replayed: processed." in desk.get(f"{ROOT}/events/{number}").text
    answer = desk.tell(f"{ROOT}/events/{number}/replay", {})
    assert answer.status_code == 200
    assert (answer.json["outcome"]["status"], answer.json["event"]["attempts"]) == ("processed", 3)  # type: ignore[index]
    last = call_in_context(shop.app, audit.list_entries, limit=1)[0]
    assert last.actor is not None
    assert (last.action, last.actor.ref) == ("webhook.replayed", desk.user.ref)


def test_event_that_fails_again_shows_the_error(shop: SiteWithFakeStripe, desk: AdminBrowser, ada: User) -> None:
    number = failed_event(shop, ada)
    shop.stripe.before = down
    found = desk.send(f"{ROOT}/events/{number}/replay")
    assert found.status_code == 503
    assert "The event could not be processed: Stripe does not answer." in found.text
    answer = desk.tell(f"{ROOT}/events/{number}/replay", {})
    assert (answer.status_code, answer.mimetype) == (503, "application/problem+json")


def test_event_in_progress_cannot_be_replayed(shop: SiteWithFakeStripe, desk: AdminBrowser, ada: User) -> None:
    number = failed_event(shop, ada)
    lease = {"lease": "another", "leased_until": utc_now() + timedelta(minutes=1), "state": "received"}
    with shop.app.app_context(), db.write() as session:
        session.execute(update(StripeEvent).values(**lease))
    assert "/replay" not in desk.get(f"{ROOT}/events/{number}").text
    assert "processing" in desk.get(f"{ROOT}/events").text
    assert desk.send(f"{ROOT}/events/{number}/replay").status_code == 409
    assert desk.tell(f"{ROOT}/events/{number}/replay", {}).status_code == 409


def test_unknown_event_is_not_found(desk: AdminBrowser) -> None:
    for number in ("7", "99999999999999999999", "x"):
        assert desk.get(f"{ROOT}/events/{number}").status_code == 404
        assert desk.send(f"{ROOT}/events/{number}/replay").status_code == 404


# -- the ledger -----------------------------------------------------------------------------------------------------


def test_ledger_shows_amounts_in_the_notation_of_their_currency(
    shop: SiteWithFakeStripe, desk: AdminBrowser, ada: User
) -> None:
    pay(shop, ada, 1200, 999)
    eve = add_person(shop.app, "eve@church.example", name=HOSTILE)
    shop.stripe.price("price_jpy", "prod_patron", 800, "jpy")
    yen = shop.stripe.subscription(shop.stripe.customer(eve.ref), "price_jpy")
    shop.deliver(make_event("invoice.paid", shop.stripe.invoice(yen, paid=800)))
    page = desk.get(f"{ROOT}/ledger").text
    for words in ("$12.00", "$9.99", "$21.99", "¥800", ada.ref, "2026-09 USD", "2026-09 JPY"):
        assert words in page
    assert "<svg onload" not in page
    data = desk.data(f"{ROOT}/ledger?currency=jpy")
    assert [one["amount"] for one in data["entries"]["rows"]] == [800]
    assert [(one["currency"], one["net"]) for one in data["totals"]] == [("jpy", 800), ("usd", 2199)]
    assert len(desk.data(f"{ROOT}/ledger?member={ada.ref}")["entries"]["rows"]) == 2
    assert "No matches." in desk.get(f"{ROOT}/ledger?member=nobody").text


def test_ledger_is_downloaded_with_the_filter_of_the_page(
    shop: SiteWithFakeStripe, desk: AdminBrowser, ada: User
) -> None:
    pay(shop, ada, 1200, 999)
    page = desk.get(f"{ROOT}/ledger?member={ada.ref}").text
    (link,) = re.findall(r'href="([^"]+ledger\.csv[^"]*)"', page)
    assert link == f"{ROOT}/ledger.csv?member={ada.ref}"
    found = desk.get(link)
    assert found.mimetype == "text/csv"
    assert re.fullmatch(r"attachment; filename=ledger-\d{4}-\d\d-\d\d\.csv", found.headers["Content-Disposition"])
    assert [line.split(",")[4] for line in found.text.splitlines()] == ["amount", "9.99", "12.00"]
    assert len(desk.get(f"{ROOT}/ledger.csv?member=nobody").text.splitlines()) == 1


def test_ledger_file_with_the_database_down_is_an_error_page(
    desk: AdminBrowser, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(**_query: object) -> Any:
        raise DatabaseDownError

    monkeypatch.setattr(ledger, "list_ledger_entries", away)
    assert desk.get(f"{ROOT}/ledger.csv").status_code == 503


def test_ledger_file_in_many_pieces_is_complete_and_can_be_aborted(
    shop: SiteWithFakeStripe, desk: AdminBrowser, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "_BATCH", 1)
    pay(shop, ada, 100, 200, 300)
    assert len(desk.get(f"{ROOT}/ledger.csv").text.splitlines()) == 4
    left = desk.client.get(f"{ROOT}/ledger.csv", buffered=False)
    assert bytes(next(iter(left.iter_encoded()))).startswith(b"entry,")
    left.close()
    assert desk.client.head(f"{ROOT}/ledger.csv").status_code == 200


# -- grants ---------------------------------------------------------------------------------------------------------


def give(desk: AdminBrowser, user: User, until: str | None = None, reason: str = "a friend") -> int:
    """Give a complimentary membership. Returns its id."""
    found = desk.tell(f"/admin/members/{user.ref}/grants", {"until": until or day(30), "reason": reason})
    assert found.status_code == 200, found.text
    number: int = found.json["grant"]  # type: ignore[index]
    return number


def test_grant_by_form_is_confirmed_and_shown(shop: SiteWithFakeStripe, desk: AdminBrowser, ada: User) -> None:
    page = f"/admin/members/{ada.ref}"
    assert "No premium access." in desk.get(page).text
    found = desk.send(f"{page}/grants", until=day(30), reason=HOSTILE)
    assert (found.status_code, found.headers["Location"]) == (303, page)
    shown = desk.get(page).text
    assert f"Complimentary membership given until {day(30)}." in shown
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
    assert "Complimentary membership revoked." in page
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


def test_member_page_shows_own_subscriptions_without_the_forms_of_the_deleted(
    shop: SiteWithFakeStripe, desk: AdminBrowser, ada: User
) -> None:
    subscribe(shop, ada)
    page = desk.get(f"/admin/members/{ada.ref}").text
    assert "patron, $12.00 a month" in page
    assert f'href="{ROOT}/ledger?member={ada.ref}"' in page
    with shop.app.app_context(), db.write() as session:
        nothing = {"email": None, "email_key": None, "password_hash": None, "name": ""}
        session.execute(update(User).where(User.id == ada.id).values(deleted_at=utc_now(), **nothing))
    assert "/grants" not in desk.get(f"/admin/members/{ada.ref}").text


# -- paging ---------------------------------------------------------------------------------------------------------


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


def test_member_cannot_give_themself_premium(shop: SiteWithFakeStripe, ada: User) -> None:
    client: FlaskClient = client_of(shop.app, ada)
    body = {"until": day(30), "reason": "why"}
    assert client.post(f"/admin/members/{ada.ref}/grants", json=body).status_code == 403
    assert call_in_context(shop.app, billing.list_grants) == []
