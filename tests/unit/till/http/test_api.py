"""The API, called with the official SDK: keys, errors and idempotency."""

from __future__ import annotations

import pytest
import stripe

from tests.support.till_fixture import KEY


def call(till, method="GET", path="/v1/products", key=KEY, **options):
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return till.app.test_client().open(
        path, method=method, headers={**headers, **options.pop("headers", {})}, **options
    )


def test_call_without_the_key_is_refused(till):
    for key in (None, "sk_test_other", ""):
        answer = call(till, key=key)
        assert answer.status_code == 401
        assert answer.json["error"]["type"] == "invalid_request_error"
    assert call(till, auth=(KEY, ""), key=None).status_code == 200


def test_call_with_another_version_is_refused(till):
    answer = call(till, headers={"Stripe-Version": "2020-08-27"})
    assert (answer.status_code, "2026-10-28.endive" in answer.json["error"]["message"]) == (400, True)


def test_response_has_request_id_and_version(till):
    answer = call(till)
    assert answer.headers["Request-Id"].startswith("req_")
    assert answer.headers["Stripe-Version"] == "2026-10-28.endive"


def test_unknown_path_or_object_is_an_error_object(till):
    assert call(till, path="/v1/nothing").json["error"]["type"] == "invalid_request_error"
    with pytest.raises(stripe.InvalidRequestError) as caught:
        till.stripe.v1.prices.retrieve("price_none")
    assert (caught.value.http_status, caught.value.code, caught.value.param) == (404, "resource_missing", "id")


def test_internal_error_is_an_api_error(till, monkeypatch):
    monkeypatch.setattr(till.desk.store, "all", lambda *_, **__: 1 / 0)
    with pytest.raises(stripe.APIError) as caught:
        till.stripe.v1.products.list()
    assert caught.value.http_status == 500


def test_unknown_parameter_is_refused(till):
    with pytest.raises(stripe.InvalidRequestError) as caught:
        till.stripe.v1.products.create({"name": "A", "colour": "red"})
    assert (caught.value.code, caught.value.param) == ("parameter_unknown", "colour")


def test_idempotency_key_repeated_returns_the_first_response(till):
    options = {"idempotency_key": "once"}
    first = till.stripe.v1.customers.create({"email": "a@site.example"}, options)
    again = till.stripe.v1.customers.create({"email": "a@site.example"}, options)
    assert first.id == again.id
    assert again.last_response.headers["idempotent-replayed"] == "true"
    assert len(till.stripe.v1.customers.list().data) == 1


def test_idempotency_key_with_other_parameters_is_refused(till):
    till.stripe.v1.customers.create({"email": "a@site.example"}, {"idempotency_key": "once"})
    with pytest.raises(stripe.IdempotencyError):
        till.stripe.v1.customers.create({"email": "b@site.example"}, {"idempotency_key": "once"})


def test_idempotency_key_of_a_refused_call_can_be_reused(till):
    options = {"idempotency_key": "once"}
    with pytest.raises(stripe.InvalidRequestError):
        till.stripe.v1.products.create({"name": ""}, options)
    assert till.stripe.v1.products.create({"name": "A"}, options).name == "A"


def test_event_has_the_request_that_caused_it(till):
    made = till.stripe.v1.customers.create({"email": "a@site.example"}, {"idempotency_key": "once"})
    event = till.stripe.v1.events.list({"type": "customer.created"}).data[0]
    assert event.request.id == made.last_response.request_id
    assert event.request.idempotency_key == "once"


def test_api_down_answers_503_until_it_is_off(till):
    till.operate("knobs", api_down="on")
    with pytest.raises(stripe.APIError) as caught:
        till.stripe.v1.products.list()
    assert caught.value.http_status == 503
    till.operate("knobs", api_down="")
    assert till.stripe.v1.products.list().data
