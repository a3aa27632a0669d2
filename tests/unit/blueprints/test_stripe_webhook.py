"""The webhook endpoint: what it accepts, refuses and answers."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from church.errors import UnavailableError
from church.extensions import db
from church.models import StripeEvent, Subscription
from church.observability.metrics import definitions
from church.services import billing
from church.web import maintenance
from tests.support.helpers import grows, with_settings
from tests.support.membership_fixture import Membership
from tests.support.stripe_fixture import make_event, sign_delivery

pytestmark = pytest.mark.sqlite_alone


def price_event(**changes: Any) -> bytes:
    return json.dumps(make_event("price.updated", {"id": "price_friend_month", "object": "price"}, **changes)).encode()


@pytest.mark.both_databases
def test_webhook_is_processed_before_it_is_answered(membership: Membership) -> None:
    answer = membership.post(price_event())
    assert (answer.status_code, answer.get_json()) == (200, {"status": "processed", "reason": None})
    assert membership.rows(StripeEvent)[-1].state == "processed"


@pytest.mark.both_databases
def test_webhook_delivered_again_is_a_duplicate(membership: Membership) -> None:
    raw = price_event()
    assert [membership.post(raw).get_json()["status"] for _ in range(3)] == ["processed", "duplicate", "duplicate"]


def test_webhook_needs_no_csrf_token_and_sets_no_cookie(membership: Membership) -> None:
    answer = membership.post(price_event())
    assert "Set-Cookie" not in answer.headers
    assert answer.content_type == "application/json"


def test_webhook_is_accepted_during_maintenance(membership: Membership) -> None:
    maintenance.turn_on(membership.settings)
    try:
        assert membership.browser().get("/stripe/pricing").status_code == 503
        assert membership.post(price_event()).status_code == 200
    finally:
        maintenance.turn_off(membership.settings)


@pytest.mark.parametrize("age", [-301, 301, 3600])
def test_webhook_with_a_stale_signature_is_refused(membership: Membership, age: int) -> None:
    raw, header = sign_delivery(price_event(), membership.settings.webhook_secrets[0], age=age)
    answer = membership.post(raw, header)
    assert (answer.status_code, answer.get_json()) == (400, {"status": "invalid_signature", "reason": "stale"})


def test_webhook_with_a_changed_signature_is_refused_and_counted(membership: Membership) -> None:
    raw, header = sign_delivery(price_event(), membership.settings.webhook_secrets[0])
    last = "0" if header[-1] != "0" else "1"
    forged = definitions.security_events.labels("webhook_forged", "high")
    before = len(membership.rows(StripeEvent))
    with grows(forged, 4):
        for wrong in (header[:-1] + last, header.replace("v1=", "v0="), "", f"t={int(time.time())}"):
            assert membership.post(raw, wrong).status_code == 400
    assert len(membership.rows(StripeEvent)) == before
    assert membership.post(raw + b" ", header).status_code == 400
    assert membership.post(raw, header).status_code == 200


def test_webhook_with_the_former_secret_is_accepted_during_a_rotation(membership: Membership) -> None:
    former = membership.settings.webhook_secrets[0]
    changed = with_settings(membership.settings)
    object.__setattr__(changed, "webhook_secrets", ("whsec_new", former))
    membership.app.config["CHURCH"] = changed
    raw = price_event()
    assert membership.post(*sign_delivery(raw, former)).status_code == 200
    assert membership.post(*sign_delivery(price_event(), "whsec_new")).status_code == 200
    assert membership.post(*sign_delivery(raw, "whsec_older")).status_code == 400


def test_webhook_too_large_is_refused_before_reading(membership: Membership) -> None:
    largest = b" " * billing.LARGEST_EVENT
    assert membership.post(largest).status_code == 400  # read, but no JSON
    with grows(definitions.stripe_webhooks.labels("other", "failed"), 1):
        assert membership.post(largest + b" ").status_code == 413


def test_webhook_without_json_is_refused_and_of_another_type_ignored(membership: Membership) -> None:
    assert membership.post(b"[]").status_code == 400
    answer = membership.post(json.dumps(make_event("invoice.upcoming", {"object": "invoice"})).encode())
    assert (answer.status_code, answer.get_json()["status"]) == (200, "ignored")


def test_webhook_while_the_database_is_down_is_503_in_json(
    membership: Membership, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = price_event()

    def down() -> Any:
        raise UnavailableError

    with monkeypatch.context() as patch:
        patch.setattr(db, "write", down)
        answer = membership.post(raw)
    assert (answer.status_code, answer.get_json()["status"]) == (503, "failed")
    assert membership.post(raw).get_json()["status"] == "processed"


def test_webhook_failing_before_it_is_stored_is_counted_once(
    membership: Membership, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("church.services.billing.stripe.event_store.claim_event", lambda _event: 1 / 0)
    with grows(definitions.stripe_webhooks.labels("price.updated", "failed"), 1), pytest.raises(ZeroDivisionError):
        membership.post(price_event())


def test_webhook_while_stripe_is_down_is_503(membership: Membership) -> None:
    user = membership.add()
    session = membership.start(membership.as_signed_in(user))
    membership.pay(session)
    membership.till.operate("knobs", api_down="on")
    raw = json.dumps(make_event("checkout.session.completed", {"id": session, "object": "checkout.session"})).encode()
    assert membership.post(raw).status_code == 503
    membership.till.operate("knobs", api_down="")
    assert membership.post(raw).status_code == 200
    assert membership.one(Subscription).status == "active"
    assert membership.as_signed_in(user).premium


def test_webhook_is_neither_scanned_nor_counted_as_an_attack(membership: Membership) -> None:
    suspicious = definitions.security_events.labels("threat_detected", "high")
    with grows(suspicious, 0):
        assert membership.post(price_event(note="<script>alert(1)</script> ' OR 1=1 --")).status_code == 200


def test_webhooks_of_one_sender_are_rate_limited(membership: Membership) -> None:
    membership.app.config["CHURCH"] = with_settings(
        membership.settings, limit_webhook="2/hour"
    )  # what was sent before counts by the minute
    assert [membership.post(price_event()).status_code for _ in range(3)] == [200, 200, 429]
