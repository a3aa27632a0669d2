"""Short calls of the test till that several test files make."""

from __future__ import annotations

from typing import Any

from tests.support.till_fixture import Answer, Payer


def item(subscription: dict[str, Any]) -> dict[str, Any]:
    """The one item of a subscription."""
    found: dict[str, Any] = subscription["items"]["data"][0]
    return found


def period(subscription: dict[str, Any]) -> tuple[int, int]:
    """Start and end of the current period."""
    return item(subscription)["current_period_start"], item(subscription)["current_period_end"]


def to(subscription: dict[str, Any], price: str, **params: Any) -> Any:
    """Parameters that change a subscription to ``price``."""
    return {"items": [{"id": item(subscription)["id"], "price": price}], **params}


def pay(till: Payer, session: dict[str, Any], **fields: str) -> Answer:
    """Pay a session at the checkout page."""
    form = {"do": "pay", "card": "good", "email": "payer@site.example", **fields}
    return till.post(f"/checkout/{session['id']}", **form)


def read_session(till: Payer, session: dict[str, Any]) -> dict[str, Any]:
    """Fetch a checkout session again."""
    return till.stripe.v1.checkout.sessions.retrieve(session["id"]).to_dict(for_json=True)


def open_portal(till: Payer, subscription: dict[str, Any], **params: Any) -> str:
    """Create a session of the customer portal and return its path."""
    made = till.stripe.v1.billing_portal.sessions.create({"customer": subscription["customer"], **params})
    return f"/portal/{made.id}"
