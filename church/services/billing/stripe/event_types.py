"""Parse webhook events, and list the types that this site handles.

Only an event's id, its type and the id of its object are used. Everything else is fetched from Stripe, in the SDK's
version of the API, whatever the version and order of the events.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite
from typing import Any

from church.models.base import plain
from church.services.billing.stripe.objects import get_id, get_nested, subscription_of_invoice

LARGEST_PAYLOAD = 256 * 1024  # bytes of a payload that is kept

# What is fetched for each kind of object: see Fetcher.
HANDLED = frozenset(
    {
        *(f"checkout.session.{what}" for what in ("completed", "expired")),
        *(f"checkout.session.async_payment_{what}" for what in ("succeeded", "failed")),
        *(f"customer.subscription.{what}" for what in ("created", "updated", "deleted", "paused", "resumed")),
        "customer.subscription.trial_will_end",
        *(f"invoice.{what}" for what in ("paid", "payment_failed", "payment_action_required")),
        *(f"invoice.{what}" for what in ("finalization_failed", "voided", "marked_uncollectible")),
        *(f"invoice.{what}" for what in ("sent", "overdue", "upcoming")),
        "invoice_payment.paid",
        "charge.refunded",
        *(f"refund.{what}" for what in ("created", "updated", "failed")),
        *(f"charge.dispute.{what}" for what in ("created", "funds_withdrawn", "funds_reinstated", "closed")),
        *(f"customer.{what}" for what in ("updated", "deleted")),
        # What the next invoice takes may change:
        *(f"customer.discount.{what}" for what in ("created", "updated", "deleted")),
        *(f"customer.tax_id.{what}" for what in ("created", "updated", "deleted")),
        *(f"subscription_schedule.{what}" for what in ("updated", "released", "canceled")),
        "payment_method.automatically_updated",
        *(f"{thing}.{what}" for thing in ("price", "product") for what in ("created", "updated", "deleted")),
    }
)

_ID = re.compile(r"[A-Za-z0-9_]{1,255}")
_TYPE = re.compile(r"[a-z0-9_.]{1,100}")
_EPOCH = datetime.fromtimestamp(0, UTC)


class MalformedEventError(Exception):
    """A payload that is no event; its text is the missing field."""


@dataclass(frozen=True)
class IncomingEvent:
    """An event as it arrived."""

    stripe_id: str
    type: str
    object_id: str | None
    object_kind: str | None
    created_at: datetime
    payload: dict[str, Any]
    """Stored for admins; only an outline if it is larger than 256 KiB."""

    @property
    def object(self) -> dict[str, Any]:
        """Its object as it was sent, or the outline that is left of it."""
        found = get_nested(self.payload, "data", "object")
        return found if isinstance(found, dict) else {}

    @property
    def customer(self) -> str | None:
        """Stripe's id of the customer that its object names."""
        return get_id(get_nested(self.payload, "data", "object", "customer"))

    @property
    def problem(self) -> str | None:
        """Why the event is ignored; None for an event to process."""
        if self.type not in HANDLED:
            return "a type that this site does not handle"
        if self.payload.get("account"):
            return "an event of a connected account"
        if self.object_id is None or self.object_kind is None:
            return "no object is named"
        return None


def parse_event(raw: bytes) -> IncomingEvent:
    """Parse an event. Raises ValueError if ``raw`` is no JSON object, MalformedError if it is no event."""
    try:
        text = raw.decode(json.detect_encoding(raw), "surrogatepass")
        payload = json.loads(text, parse_float=_finite, parse_constant=_to_none)
        if "\\u" in text or plain(text) != text:
            payload = _storable(payload)  # rarely needed, and slower than the parsing
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(payload, dict):
        raise ValueError("no object")  # noqa: TRY004 (the value is the sender's)
    stripe_id, kind = payload.get("id"), payload.get("type")
    if not isinstance(stripe_id, str) or not _ID.fullmatch(stripe_id):
        raise MalformedEventError("id")
    if not isinstance(kind, str) or not _TYPE.fullmatch(kind):
        raise MalformedEventError("type")
    return read_event(payload, kept=payload if len(raw) <= LARGEST_PAYLOAD else None)


def read_event(payload: dict[str, Any], *, kept: dict[str, Any] | None) -> IncomingEvent:
    """Read a payload with a valid id and type; ``kept`` is stored of it, or an outline if that is None."""
    named = _object_ids(payload)
    return IncomingEvent(
        stripe_id=payload["id"],
        type=payload["type"],
        object_id=named.get("id"),
        object_kind=named.get("object"),
        created_at=_moment(payload.get("created")),
        payload=kept if kept is not None else shorten_payload(payload),
    )


def shorten_payload(payload: dict[str, Any]) -> dict[str, Any]:
    """Shorten a payload that is too large or too old to store, to what a replay needs."""
    fields: dict[str, Any] = {name: payload[name] for name in ("id", "type", "created", "account") if name in payload}
    return {**fields, "data": {"object": _object_ids(payload)}, "truncated": True}


def _object_ids(payload: dict[str, Any]) -> dict[str, Any]:
    """Return id and kind of the event's object and its customer's id; empty if it names no object to fetch."""
    data = payload.get("data")
    found = data.get("object") if isinstance(data, dict) else None
    obj: dict[str, Any] = found if isinstance(found, dict) else {}
    if payload.get("type") == "invoice.upcoming":
        obj = _upcoming_subscription(obj)
    object_id, object_kind = obj.get("id"), obj.get("object")
    if not (isinstance(object_id, str) and _ID.fullmatch(object_id) and isinstance(object_kind, str)):
        return {}
    return {"id": object_id, "object": object_kind, "customer": get_id(obj.get("customer"))}


def _upcoming_subscription(obj: dict[str, Any]) -> dict[str, Any]:
    """Return the subscription in place of an upcoming invoice, which can't be fetched: it does not exist yet."""
    if obj.get("object") != "invoice":
        return obj
    return {"id": subscription_of_invoice(obj), "object": "subscription", "customer": obj.get("customer")}


def _moment(seconds: object) -> datetime:
    """Return the event's own time; 1970 where it has none, and then no lag is recorded."""
    if isinstance(seconds, bool) or not isinstance(seconds, int) or not 0 < seconds < 2**36:
        return _EPOCH
    return datetime.fromtimestamp(seconds, UTC)


def _storable(value: Any) -> Any:
    """Remove the characters that a database refuses, at any depth."""
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, dict):
        return {plain(name): _storable(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_storable(item) for item in value]
    return value


def _finite(number: str) -> float | None:
    """Read a number; None for one such as ``1e999``, whose infinity no database stores."""
    value = float(number)
    return value if isfinite(value) else None


def _to_none(_name: str) -> None:
    """Read NaN and Infinity, which are no JSON, as None."""
