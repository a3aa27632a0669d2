"""The errors of billing: what a caller can tell from them, and what a visitor reads."""

from __future__ import annotations

import pytest

from church.errors import ConflictError, UnavailableError
from church.services.billing.errors import MissingObjectError, NotOursError, PaymentsOffError, StripeDownError
from church.services.billing.errors import StripeRefusedError as Refused


@pytest.mark.parametrize(
    ("error", "missing"),
    [
        (Refused("resource_missing", "id", 400), True),
        (Refused("InvalidRequestError", None, 404), True),
        (Refused("resource_missing"), True),
        (Refused("card_declined", None, 402), False),
        (Refused("card_declined"), False),
    ],
)
def test_refusal_is_missing_by_its_code_or_status(error: Refused, missing: bool) -> None:
    """Stripe says so in either of two ways."""
    assert error.is_missing is missing


def test_refusal_gives_code_and_parameter_to_the_log_only() -> None:
    """The visitor reads one sentence, whatever the code is."""
    error = Refused("parameter_invalid", "customer", 400)
    assert error.reason == "Stripe refused: parameter_invalid (customer)"
    assert Refused("card_declined").reason == "Stripe refused: card_declined"
    assert str(error) == "The payment service refused this. Nothing was charged. Try again later."
    assert error.status == 502


def test_stripe_down_asks_for_another_try_in_seconds() -> None:
    """The wait and the sentence can be replaced."""
    assert (StripeDownError().status, StripeDownError().retry_after) == (503, 10)
    assert "Nothing was charged" in str(StripeDownError())
    other = StripeDownError("The change may have been made.", retry_after=None)
    assert (str(other), other.retry_after) == ("The change may have been made.", None)


def test_errors_are_caught_by_their_general_kind() -> None:
    """Pages answer by the general kinds, and a webhook by NotOursError."""
    assert issubclass(StripeDownError, UnavailableError)
    assert issubclass(PaymentsOffError, ConflictError)
    assert issubclass(MissingObjectError, NotOursError)
    assert PaymentsOffError().status == 409
