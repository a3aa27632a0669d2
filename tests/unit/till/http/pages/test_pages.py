"""All pages of the till: their notice and their protection."""

from __future__ import annotations

import pytest

from tests.support.till_calls import open_portal


def test_every_page_says_that_no_money_moves(till):
    subscription = till.subscribe()
    invoice = till.latest_invoice(subscription["id"])["id"]
    session = till.checkout()["id"]
    paths = ["/", f"/checkout/{session}", f"/checkout/{session}/authenticate?card=secure", f"/invoice/{invoice}"]
    for path in (*paths, open_portal(till, subscription), "/invoice/none"):
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
