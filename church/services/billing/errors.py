"""Errors of billing and Stripe.

UnavailableError, ChurchError, ConflictError (church.errors)
├── StripeDownError     503, Stripe does not answer, or not in time
├── StripeRefusedError  502, Stripe refused a call; ``is_missing`` where it has no such object
└── PaymentsOffError    409, this site takes no payments
Exception
└── NotOursError        never shown: an event about something that this site does not sell
    └── MissingError    an event about an object that Stripe does not have
"""

from __future__ import annotations

from church.errors import ChurchError, ConflictError, UnavailableError

_DOWN = "The payment service is not responding. Nothing was charged. Try again in a minute."
_UNNAMED = "InvalidRequestError"
"""The code of a refusal to which Stripe gave none."""
_REFUSED = "The payment service refused this. Nothing was charged. Try again later."


class StripeDownError(UnavailableError):
    """Stripe does not answer, or not in time, or limits our rate."""

    def __init__(self, detail: str | None = _DOWN, *, retry_after: int | None = 10) -> None:
        super().__init__(detail, retry_after=retry_after)


class StripeRefusedError(ChurchError):
    """Stripe refused a call. ``code`` and ``param`` are Stripe's, and hold no personal data."""

    status = 502

    def __init__(self, code: str, param: str | None = None, http_status: int | None = None) -> None:
        super().__init__(_REFUSED)
        self.code = code
        self.param = param
        self.http_status = http_status

    @property
    def is_missing(self) -> bool:
        """Whether Stripe has no such object."""
        return self.code == "resource_missing" or self.http_status == 404

    @property
    def is_about_expansion(self) -> bool:
        """Whether Stripe, or a stand-in for it, may have refused only to expand a property."""
        return self.http_status == 400 and (self.code == _UNNAMED or (self.param or "").startswith("expand"))

    @property
    def reason(self) -> str:
        """For the log and for admins."""
        return f"Stripe refused: {self.code}" + (f" ({self.param})" if self.param else "")


class PaymentsOffError(ConflictError):
    """This site takes no payments."""

    def __init__(self) -> None:
        super().__init__("This site takes no payments right now.")


class NotOursError(Exception):
    """An event that changes nothing here; its text is the reason."""


class MissingObjectError(NotOursError):
    """Stripe has no such object."""
