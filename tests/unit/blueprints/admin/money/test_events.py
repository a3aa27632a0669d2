"""Stripe's events in the admin area: list them, show one, replay one."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import update

from church.extensions import db
from church.models import StripeEvent, User
from church.models.base import utc_now
from church.services import audit, billing
from church.services.billing.errors import StripeDownError
from tests.support.desk import AdminBrowser, call_in_context
from tests.support.membership_admin import subscribe
from tests.support.stripe_fixture import SiteWithFakeStripe, make_event

HOSTILE = '"><svg onload=x>{{7*7}}</pre>'
ROOT = "/admin/membership"


@pytest.fixture
def app(shop: SiteWithFakeStripe) -> Flask:
    """The site with the fake Stripe."""
    return shop.app


def down(_method: str) -> None:
    raise StripeDownError


def failed_event(shop: SiteWithFakeStripe, user: User) -> int:
    """Add an event that failed because Stripe did not answer."""
    shop.stripe.before = down
    subscribe(shop, user)
    shop.stripe.before = lambda _method: None
    return call_in_context(shop.app, billing.list_events)[0].id


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
    last = call_in_context(shop.app, audit.list_entries)[0]
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
