"""What the API answers when it can't do what was asked: Stripe's error object with its HTTP status.

Source of types, codes and statuses: https://docs.stripe.com/api/errors
"""

from __future__ import annotations

from typing import Any


class TillError(Exception):
    """A refusal; ``status`` is HTTP's, ``kind`` Stripe's type of error."""

    status = 400
    kind = "invalid_request_error"

    def __init__(self, message: str, code: str | None = None, param: str | None = None, **more: str) -> None:
        """``more`` are further fields of Stripe's error object."""
        super().__init__(message)
        self.message = message
        self._fields = {"code": code, "param": param, **more}

    def body(self) -> dict[str, Any]:
        """The answer's JSON; what is not known is left out, as Stripe does."""
        known = {name: value for name, value in self._fields.items() if value is not None}
        return {"error": {"message": self.message, "type": self.kind, **known}}


class MissingError(TillError):
    """There is no such object."""

    status = 404

    def __init__(self, kind: str, identity: str, param: str = "id") -> None:
        super().__init__(f"No such {kind.replace('_', ' ')}: '{identity}'", "resource_missing", param)


class KeyRefusedError(TillError):
    """No API key, or not ours."""

    status = 401


class CardError(TillError):
    """A payment failed, and with it what it was for."""

    status = 402
    kind = "card_error"


class AttemptError(CardError):
    """A payment failed; that it was tried stays."""


class IdempotencyError(TillError):
    """An Idempotency-Key was used before for something else."""

    kind = "idempotency_error"


class DownError(TillError):
    """The operator has switched the API off."""

    status = 503
    kind = "api_error"
