"""The till's pages: notices, protection, the operator's forms and the portal."""

from __future__ import annotations

import json

import pytest

from tests.support.till_fixture import PATRON


def portal_of(till, subscription, **params):
    made = till.stripe.v1.billing_portal.sessions.create({"customer": subscription["customer"], **params})
    return f"/portal/{made.id}"


def test_every_page_says_that_no_money_moves(till):
    subscription = till.subscribe()
    invoice = till.latest_invoice(subscription["id"])["id"]
    session = till.checkout()["id"]
    paths = ["/", f"/checkout/{session}", f"/checkout/{session}/authenticate?card=secure", f"/invoice/{invoice}"]
    for path in (*paths, portal_of(till, subscription), "/invoice/none"):
        status, headers, body = till.get(path)
        assert status == (404 if "none" in path else 200)
        assert "<strong>Test till:</strong> no money moves." in body
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "<script" not in body
        assert " style=" not in body


def test_checkout_forms_may_lead_to_the_site_and_return_addresses(till):
    session = till.checkout(success_url="https://church.example/done", cancel_url="https://other.example/")
    policy = till.get(f"/checkout/{session['id']}")[1]["content-security-policy"]
    allowed = policy.rpartition("form-action ")[2].split()
    assert set(allowed) == {"'self'", "http://127.0.0.1:8000", "https://church.example", "https://other.example"}


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}]
)
def test_form_of_another_site_is_refused(till, headers):
    answer = till.app.test_client().post("/operator/knobs", data={"decline": "on"}, headers=headers)
    assert answer.status_code == 400
    assert till.operate("knobs")["decline"] is False
    own = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    assert till.app.test_client().post("/operator/knobs", data={"decline": "on"}, headers=own).status_code == 303
    assert till.operate("knobs")["decline"] is True


def test_operator_state_and_errors_are_json(till):
    state = json.loads(till.get("/operator/state")[2])
    assert state["pending"] > 0
    assert {"now", "ahead", "next_renewal", "decline", "delay", "api_delay"} <= set(state)
    status, _, body = till.post("/operator/refund", charge="ch_none")
    assert (status, json.loads(body)["error"]["code"]) == (404, "resource_missing")


@pytest.mark.parametrize("fields", [{"delay": "x"}, {"delay": "-1"}, {"api_delay": "nan"}, {"api_delay": "99999"}])
def test_knob_with_an_invalid_number_is_refused(till, fields):
    assert till.post("/operator/knobs", **fields)[0] == 400


def test_operator_form_turns_off_unchecked_switches(till):
    till.operate("knobs", decline="on", disorder="on")
    assert till.operate("knobs", duplicates="on")["decline"] is True
    state = till.operate("knobs", all="1", disorder="on")
    assert (state["decline"], state["disorder"], state["duplicates"]) == (False, True, False)


def test_portal_cancels_resumes_and_cancels_now(till):
    subscription = till.subscribe()
    path = portal_of(till, subscription, return_url="http://127.0.0.1:8000/auth/account")
    assert "http://127.0.0.1:8000/auth/account" in till.get(path)[2]
    till.post(path, do="cancel", subscription=subscription["id"])
    ending = till.subscription(subscription["id"])
    assert ending["cancel_at"] == subscription["items"]["data"][0]["current_period_end"]
    assert ending["cancel_at_period_end"] is False
    till.post(path, do="resume", subscription=subscription["id"])
    assert till.subscription(subscription["id"])["cancel_at"] is None
    till.post(path, do="cancel_now", subscription=subscription["id"])
    assert till.subscription(subscription["id"])["status"] == "canceled"
    assert till.post(path, do="resume", subscription=subscription["id"])[0] == 400


def test_portal_of_another_customer_is_refused(till):
    mine, other = till.subscribe(), till.subscribe()
    assert till.post(portal_of(till, mine), do="cancel_now", subscription=other["id"])[0] == 400
    assert till.subscription(other["id"])["status"] == "active"


def test_portal_cancel_releases_the_schedule(till):
    subscription = till.subscribe(PATRON)
    schedule = till.stripe.v1.subscription_schedules.create({"from_subscription": subscription["id"]})
    till.post(portal_of(till, subscription), do="cancel", subscription=subscription["id"])
    assert till.stripe.v1.subscription_schedules.retrieve(schedule.id).status == "released"
    assert till.subscription(subscription["id"])["cancel_at"] is not None


def test_portal_new_card_pays_the_declined_invoice(till):
    subscription = till.subscribe(card="fails_later")
    till.operate("clock", to="renewal")
    path = "/invoice/" + till.latest_invoice(subscription["id"])["id"]
    till.operate("knobs", decline="on")
    assert till.post(path, do="pay")[0] == 402
    till.operate("knobs", decline="")
    assert till.post(portal_of(till, subscription), do="card", card="unknown")[0] == 400
    assert till.post(portal_of(till, subscription), do="card", card="good")[0] == 303
    assert "with •••• 4242" in till.get(path)[2]
    assert till.post(path, do="pay")[0] == 303
    assert till.subscription(subscription["id"])["status"] == "active"
    till.operate("clock", to="renewal")
    assert till.subscription(subscription["id"])["status"] == "active"


def test_product_name_is_escaped(till):
    till.stripe.v1.products.update("prod_friend", {"name": "<b>Friend</b>"})
    body = till.get(f"/checkout/{till.checkout()['id']}")[2]
    assert "<b>" not in body
    assert "&lt;b&gt;Friend" in body
