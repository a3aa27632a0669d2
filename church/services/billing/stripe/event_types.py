"""What a webhook says: read with care, for only its id, its type and the name of its object are relied on.

Everything else is fetched from Stripe, in the API version of the SDK, whatever version or order the event came in.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite
from typing import Any

from church.models.base import plain
from church.services.billing.stripe.objects import part, ref

LARGEST = 256 * 1024  # bytes of a payload that is kept

# The objects that are looked at, by the events that name them. What each fetches and changes: billing_gather.
HANDLED = frozenset(
    {
        *(f"checkout.session.{what}" for what in ("completed", "expired")),
        *(f"checkout.session.async_payment_{what}" for what in ("succeeded", "failed")),
        *(f"customer.subscription.{what}" for what in ("created", "updated", "deleted", "paused", "resumed")),
        "customer.subscription.trial_will_end",
        *(f"invoice.{what}" for what in ("paid", "payment_failed", "payment_action_required")),
        *(f"invoice.{what}" for what in ("finalization_failed", "voided", "marked_uncollectible")),
        "invoice_payment.paid",
        "charge.refunded",
        *(f"refund.{what}" for what in ("created", "updated", "failed")),
        *(f"charge.dispute.{what}" for what in ("created", "funds_withdrawn", "funds_reinstated", "closed")),
        *(f"customer.{what}" for what in ("updated", "deleted")),
        "payment_method.automatically_updated",
        *(f"{thing}.{what}" for thing in ("price", "product") for what in ("created", "updated", "deleted")),
    }
)

_ID = re.compile(r"[A-Za-z0-9_]{1,255}")
_TYPE = re.compile(r"[a-z0-9_.]{1,100}")
_EPOCH = datetime.fromtimestamp(0, UTC)


class MalformedError(Exception):
    """A payload without what every event has; its text says what is missing."""


@dataclass(frozen=True)
class Incoming:
    """An event as it came."""

    stripe_id: str
    type: str
    object_id: str | None
    object_kind: str | None
    created_at: datetime
    payload: dict[str, Any]
    """Kept for admins; only the names of its parts if it is larger than 256 KiB."""

    @property
    def customer(self) -> str | None:
        """Stripe's id of the customer whom its object names."""
        return ref(part(self.payload, "data", "object", "customer"))

    @property
    def problem(self) -> str | None:
        """Why nothing can come of it; None for an event to work on."""
        if self.type not in HANDLED:
            return "a type that this site does not listen to"
        if self.payload.get("account"):
            return "an event of a connected account"
        if self.object_id is None or self.object_kind is None:
            return "no object is named"
        return None


def parse(raw: bytes) -> Incoming:
    """The event in ``raw``. Raises ValueError for what is no JSON object, MalformedError for one that is no event."""
    try:
        text = raw.decode(json.detect_encoding(raw), "surrogatepass")
        payload = json.loads(text, parse_float=_finite, parse_constant=_nothing)
        if "\\u" in text or plain(text) != text:
            payload = _storable(payload)  # seldom: to look at each part takes longer than to read them all
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(payload, dict):
        raise ValueError("no object")  # noqa: TRY004 (a matter of the sender's)
    stripe_id, kind = payload.get("id"), payload.get("type")
    if not isinstance(stripe_id, str) or not _ID.fullmatch(stripe_id):
        raise MalformedError("id")
    if not isinstance(kind, str) or not _TYPE.fullmatch(kind):
        raise MalformedError("type")
    return read(payload, kept=payload if len(raw) <= LARGEST else None)


def read(payload: dict[str, Any], *, kept: dict[str, Any] | None) -> Incoming:
    """The event in a payload whose id and type are right; ``kept`` is what of it is stored, None for an outline."""
    named = _named(payload)
    return Incoming(
        stripe_id=payload["id"],
        type=payload["type"],
        object_id=named.get("id"),
        object_kind=named.get("object"),
        created_at=_moment(payload.get("created")),
        payload=kept if kept is not None else outline(payload),
    )


def outline(payload: dict[str, Any]) -> dict[str, Any]:
    """What is left of a payload that is too large or too old to be kept: enough to do the event again."""
    known: dict[str, Any] = {name: payload[name] for name in ("id", "type", "created", "account") if name in payload}
    return {**known, "data": {"object": _named(payload)}, "truncated": True}


def _named(payload: dict[str, Any]) -> dict[str, Any]:
    """The names of the event's object and of its customer; nothing where it names no object that could be fetched."""
    data = payload.get("data")
    found = data.get("object") if isinstance(data, dict) else None
    thing: dict[str, Any] = found if isinstance(found, dict) else {}
    object_id, object_kind = thing.get("id"), thing.get("object")
    if not (isinstance(object_id, str) and _ID.fullmatch(object_id) and isinstance(object_kind, str)):
        return {}
    return {"id": object_id, "object": object_kind, "customer": ref(thing.get("customer"))}


def _moment(seconds: object) -> datetime:
    """The event's own time; the beginning of time where it has none, so that no lag is told of it."""
    if isinstance(seconds, bool) or not isinstance(seconds, int) or not 0 < seconds < 2**36:
        return _EPOCH
    return datetime.fromtimestamp(seconds, UTC)


def _storable(value: Any) -> Any:
    """The same without the characters that a database refuses."""
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, dict):
        return {plain(name): _storable(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_storable(one) for one in value]
    return value


def _finite(number: str) -> float | None:
    """No database takes the infinity that ``1e999`` is."""
    value = float(number)
    return value if isfinite(value) else None


def _nothing(_name: str) -> None:
    """What NaN and Infinity are, which are no JSON."""
