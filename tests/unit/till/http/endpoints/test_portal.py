"""Sessions of the customer portal are created for a customer."""

from __future__ import annotations

import pytest
import stripe


def test_portal_session_has_the_address_of_its_page(till):
    customer = till.stripe.v1.customers.create({}).id
    params = {"customer": customer, "return_url": "http://site.example/back", "locale": "de"}
    made = till.stripe.v1.billing_portal.sessions.create(params)
    assert made.url == f"{till.desk.address}/portal/{made.id}"
    assert (made.customer, made.return_url, made.locale) == (customer, "http://site.example/back", "de")
    assert "http://site.example/back" in till.get(f"/portal/{made.id}")[2]


@pytest.mark.parametrize(
    ("params", "param"),
    [({}, "customer"), ({"customer": "cus_none"}, "customer"), ({"return_url": "javascript:alert(1)"}, "return_url")],
)
def test_portal_session_with_an_invalid_parameter_is_refused(till, params, param):
    known = {"customer": till.stripe.v1.customers.create({}).id} if param == "return_url" else {}
    with pytest.raises(stripe.InvalidRequestError) as caught:
        till.stripe.v1.billing_portal.sessions.create({**known, **params})
    assert caught.value.param == param
