"""Errors of the API: Stripe's error objects with their HTTP status.

Source of types, codes and statuses: https://docs.stripe.com/api/errors
"""

from __future__ import annotations

from typing import Any


class TillError(Exception):
    """Base of all errors; ``status`` is the HTTP status, ``kind`` Stripe's type of error."""

    status = 400
    kind = "invalid_request_error"

    def __init__(self, message: str, code: str | None = None, param: str | None = None, **more: str) -> None:
        """Take message, code and param of Stripe's error object; ``more`` are further fields."""
        super().__init__(message)
        self.message = message
        self._fields = {"code": code, "param": param, **more}

    def body(self) -> dict[str, Any]:
        """Return the JSON of the response; fields without a value are left out, as at Stripe."""
        fields = {name: value for name, value in self._fields.items() if value is not None}
        return {"error": {"message": self.message, "type": self.kind, **fields}}


class NoSuchObjectError(TillError):
    """There is no such object."""

    status = 404

    def __init__(self, kind: str, identity: str, param: str = "id") -> None:
        super().__init__(f"No such {kind.replace('_', ' ')}: '{identity}'", "resource_missing", param)


class ApiKeyError(TillError):
    """The API key is missing or wrong."""

    status = 401


class CardError(TillError):
    """A payment failed, so the change that needed it is undone."""

    status = 402
    kind = "card_error"


class RecordedCardError(CardError):
    """A payment failed; the attempt stays recorded."""


class IdempotencyError(TillError):
    """An Idempotency-Key was used before with other parameters."""

    kind = "idempotency_error"


class ApiDownError(TillError):
    """The operator has switched off the API."""

    status = 503
    kind = "api_error"
