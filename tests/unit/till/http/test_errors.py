"""Error objects of the API."""

from __future__ import annotations

import pytest

from church.till.http.errors import ApiDownError, ApiKeyError, CardError, IdempotencyError, NoSuchObjectError, TillError


def test_body_leaves_out_fields_without_a_value():
    assert TillError("Wrong.").body() == {"error": {"message": "Wrong.", "type": "invalid_request_error"}}


def test_body_has_code_param_and_further_fields():
    error = CardError("Declined.", "card_declined", decline_code="generic_decline").body()["error"]
    assert (error["type"], error["code"], error["decline_code"]) == ("card_error", "card_declined", "generic_decline")
    assert "param" not in error


def test_missing_object_is_named_in_words():
    error = NoSuchObjectError("payment_intent", "pi_none")
    assert str(error) == "No such payment intent: 'pi_none'"
    assert error.body()["error"]["code"] == "resource_missing"


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (ApiKeyError, 401, "invalid_request_error"),
        (CardError, 402, "card_error"),
        (IdempotencyError, 400, "idempotency_error"),
        (ApiDownError, 503, "api_error"),
    ],
)
def test_error_has_the_status_and_type_of_stripe(error, status, kind):
    assert (error("x").status, error("x").body()["error"]["type"]) == (status, kind)
